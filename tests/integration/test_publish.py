"""Publishing on a real Valkey, forwards and back: what was published before, or died, leaves no trace in the store."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from deltalake import DeltaTable
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lambent import keys
from lambent.errors import DataError, StoreError
from lambent.tables import PROFILES
from spark_jobs import publish, store
from spark_jobs.builds import lineage
from spark_jobs.snapshot import Snapshot
from tests.profile_tables import Table
from tests.stores import server, valkey
from tests.valkey import Valkey, flush
from tests.valkey import server as one_server

pytestmark = pytest.mark.integration
__all__ = ["one_server", "server", "valkey"]

USERS = [keys.pseudonym(f"u{n}", b"k") for n in range(9)]
CALLS = ("write_profiles", "delete_keys", "begin", "announce")
"""What changes the store; a run is killed before or after any of them."""


class Killed(Exception):
    """The process is gone."""


@dataclasses.dataclass
class Shop:
    """A table, a store, and what has to hold between them."""

    table: Table
    valkey: Valkey

    def build(self, step: int, users: set[int], full: bool) -> None:
        """Something new of these users, or a table of them alone; ``step`` moves the snapshot on, 0 and below only if full."""
        before = self.table.versions[-1][0] if self.table.versions else Snapshot(0, 0)
        step = step if full else max(step, 1)
        moved = (before.events_version + step % 2, max(before.cutoff_ms + step // 2 * 1_000, 0))
        self.table.build(Snapshot(*moved), [USERS[n] for n in users], full=full)

    def compact(self) -> None:
        """The newest build is made whole."""
        if self.table.versions:
            self.table.compact()

    def wipe(self) -> None:
        """The store is empty."""
        flush(self.valkey)

    def publish(self, back: int, killed_at: int | None, full: bool) -> None:
        """Publish the version so many before the newest; the run is killed at this call that would change the store."""
        version = max(self.table.newest - back, 0)
        if not self.table.versions or self.is_refused(version):
            return
        foretold = self.unchanged_by(lambda: publish.publish(self.table.settings, version, full=full, dry_run=True))
        try:
            with killed(killed_at):
                report = publish.publish(self.table.settings, version, full=full)
        except Killed:
            return
        assert (report.rows, report.counts) == (foretold.rows, foretold.counts)
        assert report.rows + report.counts["unchanged"] == len(self.table.versions[version][1])
        self.check_is(version)

    def is_refused(self, version: int) -> bool:
        """Whether the version is older than the floor, and refused."""
        held = store.Held.read(self.valkey.client)
        if self.table.versions[version][0].cutoff_ms >= held.floor_ms:
            return False
        with pytest.raises(DataError, match="live events are kept apart only since"):
            self.unchanged_by(lambda: publish.publish(self.table.settings, version))
        return True

    def unchanged_by(self, act: Callable[[], Any]) -> Any:
        """Do it, and see that the store stays as it is."""
        before = self.content("*")
        try:
            return act()
        finally:
            after = self.content("*")
            assert {key: after[key] for key in before} == before
            assert after.keys() - before.keys() <= {keys.META.encode()}

    def content(self, pattern: str) -> dict[bytes, Any]:
        """The store's keys."""
        client = self.valkey.client
        found = set(client.scan_iter(match=pattern))
        return {key: client.get(key) if client.type(key) == b"string" else client.hgetall(key) for key in found}

    def check_is(self, version: int) -> None:
        """The store holds this version, byte for byte; the law needs no more of a head than that its cut-off is not before
        the user's last change and not after the snapshot's."""
        found = self.content(keys.profile_pattern())
        assert found == self.table.stored(version)
        snapshot, rows = self.table.versions[version]
        assert all(stamp.cutoff_ms <= snapshot.cutoff_ms for _, stamp in rows.values())
        meta = self.valkey.client.hgetall(keys.META)
        assert int(meta[b"profiles_version"]) == version
        assert int(meta[b"floor_ms"]) <= int(meta[b"cutoff_ms"]) == snapshot.cutoff_ms
        assert b"publishing" not in meta

    def check_each_is_whole(self) -> None:
        """Every key is its user's row of some version: that a reader meets it half-way is not seen."""
        rows = [self.table.stored(version) for version in range(len(self.table.versions))]
        for key, value in self.content(keys.profile_pattern()).items():
            assert any(value == stored.get(key) for stored in rows)


def killed(at: int | None) -> Any:
    """Before call ``at`` of those that change the store if it is even, behind it if odd; None: not at all."""
    count = itertools.count()

    def dies(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            n = next(count)
            if at == 2 * n:
                raise Killed
            done = call(*given, **named)
            if at == 2 * n + 1:
                raise Killed
            return done

        return run

    return mock.patch.multiple(store, **{name: dies(getattr(store, name)) for name in CALLS})


some_users = st.sets(st.integers(0, len(USERS) - 1))
builds = st.tuples(st.just("build"), st.integers(1, 3), some_users, st.just(False))
rebuilds = st.tuples(st.just("build"), st.integers(-2, 3), some_users, st.just(True))
kills = st.none() | st.integers(0, 9)
publishes = st.tuples(
    st.just("publish"), st.sampled_from([0, 0, 0, 1, 2, 4]), kills, st.sampled_from([False] * 5 + [True])
)
steps = st.lists(
    st.one_of(builds, builds, rebuilds, publishes, publishes, publishes, st.just(("compact",)), st.just(("wipe",))),
    max_size=14,
)
ALL, NONE = set(range(len(USERS))), None


@settings(max_examples=60)
@given(steps=steps)
@example(steps=[("build", 2, ALL, True), ("publish", 0, NONE, False), ("build", 2, {1, 2}, False), ("publish", 0, 3, False),
                ("publish", 1, NONE, False), ("publish", 0, NONE, False)])  # fmt: skip
@example(steps=[("build", 2, ALL, True), ("publish", 0, NONE, False), ("build", 2, {1, 2}, False), ("compact",),
                ("build", 2, {2, 3}, False), ("publish", 0, NONE, False), ("publish", 1, NONE, False)])  # fmt: skip
@example(steps=[("build", 2, {1}, True), ("publish", 0, NONE, False), ("build", 2, {2}, False), ("publish", 0, NONE, False),
                ("publish", 1, 3, False), ("build", 1, {3}, False), ("publish", 0, NONE, False)])  # fmt: skip
@example(
    steps=[("build", 2, {1}, True), ("publish", 0, NONE, False), ("build", 0, {1}, True), ("publish", 0, NONE, False)]
)
def test_after_any_builds_publishes_deaths_rollbacks_and_wipes_the_store_is_one_full_publish(
    one_server: Valkey, steps: list[tuple[Any, ...]]
) -> None:
    flush(one_server)
    small = mock.patch.multiple(publish, BATCH_USERS=3, KEYS_AT_ONCE=2)
    with tempfile.TemporaryDirectory() as folder, small:
        shop = Shop(Table(Path(folder), one_server.url), one_server)
        for name, *given_ in steps:
            getattr(shop, name)(*given_)
            shop.check_each_is_whole()
        shop.publish(0, None, False)


@pytest.fixture
def shop(valkey: Valkey, tmp_path: Path) -> Shop:
    """A shop of nine users whose first build is published."""
    shop = Shop(Table(tmp_path, valkey.url), valkey)
    shop.build(2, ALL, True)
    shop.publish(0, None, False)
    return shop


def test_only_rows_that_changed_are_read_and_written(shop: Shop) -> None:
    shop.build(2, {4, 7}, False)
    with mock.patch.object(store, "write_profiles", wraps=store.write_profiles) as write:
        report = publish.publish(shop.table.settings)
    assert (report.rows, report.counts) == (2, {"deleted": 0, "unchanged": 7})
    assert [set(call.args[2]) for call in write.call_args_list] == [{USERS[4], USERS[7]}]


def test_a_user_who_changed_several_times_is_written_once_with_the_newest_row_and_older_files_are_not_opened(
    shop: Shop,
) -> None:
    first = DeltaTable(shop.table.settings.table(PROFILES)).file_uris()
    for users in ({4, 7}, {4}, {4, 8}):
        shop.build(2, users, False)
    for path in first:
        Path(path).rename(path + ".away")
    with mock.patch.object(store, "write_profiles", wraps=store.write_profiles) as write:
        report = publish.publish(shop.table.settings)
    assert (report.rows, report.counts) == (3, {"deleted": 0, "unchanged": 6})
    assert sorted(user for call in write.call_args_list for user in call.args[2]) == sorted(USERS[n] for n in (4, 7, 8))
    shop.check_is(3)


def test_what_is_published_is_not_published_again(shop: Shop) -> None:
    before = shop.content("*")
    report = publish.publish(shop.table.settings)
    assert (report.rows, report.counts) == (0, {"deleted": 0, "unchanged": 9})
    assert shop.content("*") == before


def test_keys_that_were_lost_or_written_by_something_else_are_mended_in_full(shop: Shop) -> None:
    lost, foreign = shop.table.key(USERS[0]), shop.table.key(keys.pseudonym("stranger", b"k"))
    shop.valkey.client.delete(lost)
    shop.valkey.client.set(foreign, b"?")
    shop.valkey.client.set(keys.profile(9, USERS[1]), b"?")
    assert publish.publish(shop.table.settings).rows == 0
    report = publish.publish(shop.table.settings, full=True)
    assert (report.rows, report.counts) == (1, {"deleted": 2, "unchanged": 8})
    shop.check_is(0)


def test_a_commit_that_leaves_the_rows_alone_does_not_break_the_line_and_a_delete_does(shop: Shop) -> None:
    def table() -> DeltaTable:
        return DeltaTable(shop.table.settings.table(PROFILES))

    table().alter.set_table_properties({"delta.logRetentionDuration": "interval 9 days"})
    shop.table.versions.append(shop.table.versions[-1])
    shop.build(2, {1}, False)
    shop.build(2, {2}, False)
    assert [one.version for one in lineage(table())] == [3, 2, 0]
    assert publish.publish(shop.table.settings).rows == 2

    table().delete(f"user = '{USERS[5]}'")
    assert list(lineage(table())) == []
    assert publish.publish(shop.table.settings).counts == {"deleted": 1, "unchanged": 8}


def test_a_table_of_the_same_versions_that_is_another_is_published_in_full(shop: Shop, tmp_path: Path) -> None:
    other = Shop(Table(tmp_path / "other", shop.valkey.url), shop.valkey)
    other.build(2, {1, 2}, True)
    other.publish(0, None, False)
    assert len(other.content(keys.profile_pattern())) == 2


def test_one_publish_at_a_time_and_none_claims_a_store_that_was_emptied_under_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.build(2, {1}, False)
    monkeypatch.setattr(store, "PUBLISHER_MS", 200)
    shop.valkey.client.set(keys.PUBLISHER, "another")
    with pytest.raises(StoreError, match="Another publish is running"):
        publish.publish(shop.table.settings)
    shop.valkey.client.pexpire(keys.PUBLISHER, 100)
    with mock.patch.object(store, "write_profiles", lambda *_: shop.wipe()), pytest.raises(StoreError, match="emptied"):
        publish.publish(shop.table.settings)
    assert shop.content("*") == {}


def test_a_version_that_is_not_there_or_was_vacuumed_is_told_in_words(shop: Shop) -> None:
    with pytest.raises(DataError, match="no version 7"):
        publish.publish(shop.table.settings, 7)
    for path in Path(shop.table.settings.table(PROFILES)).glob("*.parquet"):
        path.unlink()
    with pytest.raises(DataError, match="has been vacuumed"):
        publish.publish(shop.table.settings, 0, full=True)
