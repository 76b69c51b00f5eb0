"""Workers and archivers that are wrong in one place: each has to show in some world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lambent import keys
from realtime import archive, batch, predict, process, store, trim, users
from realtime.archiver import Archiver
from realtime.commit import Commit
from realtime.partitions import Partitions
from realtime.store import Store
from realtime.worker import Worker

Mutate = Callable[[pytest.MonkeyPatch], None]
MUTANTS: dict[str, Mutate] = {}


def mutant(mutate: Mutate) -> Mutate:
    """Takes pytest's ``monkeypatch``."""
    MUTANTS[mutate.__name__] = mutate
    return mutate


def change_script(patch: pytest.MonkeyPatch, where: Any, name: str, old: bytes, new: bytes) -> None:
    """Change a script of the store."""
    script = getattr(where, name)
    assert old in script
    patch.setattr(where, name, script.replace(old, new))
    if where is store:
        patch.setattr(store, "SHA", store.hashlib.sha1(store.SCRIPT, usedforsecurity=False).hexdigest().encode())


@mutant
def the_position_moves_before_the_records_are_written(patch: pytest.MonkeyPatch) -> None:
    real = Store.commit

    def commit(self: Store, commits: Sequence[Commit]) -> Any:
        self.pipe(("SET", keys.position(one.partition), one.end) for one in commits)
        self.pipe(("SET", keys.position(one.partition), one.start) for one in commits)
        return real(self, commits)

    patch.setattr(Store, "commit", commit)


@mutant
def the_position_moves_after_the_transaction(patch: pytest.MonkeyPatch) -> None:
    change_script(patch, store, "SCRIPT", b"redis.call('SET', KEYS[1], ARGV[2])\n", b"")
    real = Store.commit

    def commit(self: Store, commits: Sequence[Commit]) -> Any:
        replies = real(self, commits)
        self.pipe(
            ("SET", keys.position(one.partition), one.end)
            for one, reply in zip(commits, replies, strict=True)
            if reply is None
        )
        return replies

    patch.setattr(Store, "commit", commit)


@mutant
def there_is_no_fence(patch: pytest.MonkeyPatch) -> None:
    change_script(patch, store, "SCRIPT", b"if at ~= ARGV[1] then return at end\n", b"")


@mutant
def a_worker_goes_on_where_it_stood_after_its_connection_was_lost(patch: pytest.MonkeyPatch) -> None:
    """Behind a fence that lets it."""
    there_is_no_fence(patch)
    patch.setattr(Worker, "_recover", lambda self: None)


@mutant
def what_was_read_ahead_is_kept_after_a_loss(patch: pytest.MonkeyPatch) -> None:
    real = Partitions.load

    def load(self: Partitions, partitions: Sequence[int]) -> None:
        ahead = {p: self.held[p].ahead for p in partitions if p in self.held}
        real(self, partitions)
        for p, entries in ahead.items():
            if p in self.held:
                self.held[p].ahead = entries

    patch.setattr(Partitions, "load", load)


@mutant
def a_batch_goes_on_behind_a_control_entry(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(batch, "cut", len)


@mutant
def control_entries_are_forgotten_at_a_restart(patch: pytest.MonkeyPatch) -> None:
    change_script(patch, store, "SCRIPT", b"if ARGV[4] ~= '' then redis.call('SET', KEYS[2], ARGV[4]) end\n", b"")


@mutant
def the_stream_is_trimmed_ahead_of_the_worker(patch: pytest.MonkeyPatch) -> None:
    change_script(patch, trim, "_TRIM", b"if before(ARGV[1], upto) then upto = ARGV[1] end", b"upto = ARGV[1]")


@mutant
def the_stream_is_trimmed_ahead_of_the_archive(patch: pytest.MonkeyPatch) -> None:
    change_script(patch, trim, "_TRIM", b"if before(ARGV[1], upto) then upto = ARGV[1] end", b"")


@mutant
def the_archive_forgets_where_it_ended(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(archive, "read_ends", lambda table, application, partitions: dict.fromkeys(range(partitions), b"0-0"))


@mutant
def a_profile_that_has_seen_the_event_is_used(patch: pytest.MonkeyPatch) -> None:
    real = users.read_users

    def read(features: Any, values: Any, first_ms: Any) -> Any:
        return real(features, values, first_ms + 10**12)

    patch.setattr(process, "read_users", read)


@mutant
def tiles_are_dropped_before_the_newest_cutoff(patch: pytest.MonkeyPatch) -> None:
    """As if nobody ever went back."""
    real = Store.meta

    def meta(self: Store) -> Any:
        found = real(self)
        newest = found.published[-1:] if found else ()
        return store.dataclasses.replace(found, floor_ms=newest[0]) if newest and found else found

    patch.setattr(Store, "meta", meta)


@mutant
def copies_within_a_batch_are_not_seen(patch: pytest.MonkeyPatch) -> None:
    real = process.duplicates

    def duplicates(recent: Any, user: Any, ids: Any) -> Any:
        copies = real(recent, user, ids)
        for n, one in enumerate(ids):
            copies[n] &= one not in ids[:n]
        return copies

    patch.setattr(process, "duplicates", duplicates)


@mutant
def an_archiver_does_not_look_again_after_an_error(patch: pytest.MonkeyPatch) -> None:
    real = Archiver._open

    def open_once(self: Archiver) -> Any:
        kept = vars(self).setdefault("kept", None) or real(self)
        vars(self)["kept"] = kept
        return kept

    patch.setattr(Archiver, "_open", open_once)


@mutant
def nobody_gets_the_challenger(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(predict.Control, "picks", lambda self, user: self.newest)


@mutant
def what_a_shadow_has_seen_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    real = process.read_kept
    patch.setattr(process, "read_kept", lambda values: real([None] * len(values)))
