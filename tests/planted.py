"""Mistakes to be planted: what a system could get wrong, each with the words by which the oracle has to name it.

``DAMAGE`` changes what a run has left; ``MISTAKES`` are made by the worker while it runs.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from lambent import fold, keys, tables
from lambent.events import Event, Intent, Rejection
from lambent.policy import Rule
from lambent.records import decode_live, decode_profiles, encode_live, encode_profiles
from lambent.tiles import UNCOUNTED, Ragged
from realtime import batch, ids, predict, process, shadow, users
from realtime.commit import Commit
from realtime.store import Store
from tests.chaos.rig import FEATURES, TILE_MS, Rig
from tests.verified import PARTITIONS, Run
from tests.visitors import FakeModel

Plant = Callable[..., None]
DAMAGE: dict[str, tuple[str, Plant]] = {}
MISTAKES: dict[str, tuple[str, Plant]] = {}


def _planted(where: dict[str, tuple[str, Plant]], words: str) -> Callable[[Plant], Plant]:
    def enter(plant: Plant) -> Plant:
        where[plant.__name__] = (words, plant)
        return plant

    return enter


def damage(words: str) -> Callable[[Plant], Plant]:
    """Of a finished run; the function takes its rig."""
    return _planted(DAMAGE, words)


def mistake(words: str) -> Callable[[Plant], Plant]:
    """Of the worker; the function takes the run and pytest's ``monkeypatch``."""
    return _planted(MISTAKES, words)


# --- what a run has left ------------------------------------------------------------------------------------------------


def a_user(rig: Rig) -> tuple[int, str]:
    """Somebody whose last event came now and was not late."""
    said = {intent.user: intent for intent in rig.said()}
    user = max(said, key=lambda one: said[one].ingest_ms)
    return keys.partition(user, PARTITIONS), user


def change_record(rig: Rig, change: Callable[[Any], None]) -> None:
    """Change somebody's live record; it lives as long as before."""
    p, user = a_user(rig)
    key = keys.live(p, user)
    records = decode_live(FEATURES, [rig.store.call("GET", key)])
    change(records)
    rig.store.call("SET", key, encode_live(FEATURES, records)[0], "KEEPTTL")


@damage("record: there is none, though its time is not over")
def a_record_that_expired_too_early(rig: Rig) -> None:
    rig.store.call("DEL", keys.live(*a_user(rig)))


@damage("record: it lives for")
def a_record_that_will_expire_too_early(rig: Rig) -> None:
    rig.store.call("PEXPIRE", keys.live(*a_user(rig)), 3_600_000)


@damage("record: it lives for -1 ms")
def a_record_that_never_expires(rig: Rig) -> None:
    rig.store.call("PERSIST", keys.live(*a_user(rig)))


@damage("record: there is one, and the log of its partition has nothing of the user")
def a_record_of_somebody_who_never_came(rig: Rig) -> None:
    stranger = keys.pseudonym("nobody", b"k")
    rig.store.call("COPY", keys.live(*a_user(rig)), keys.live(keys.partition(stranger, PARTITIONS), stranger))


@damage("newest intent: there is one, and the log of its partition has nothing of the user")
def a_newest_intent_in_another_partition(rig: Rig) -> None:
    p, user = a_user(rig)
    rig.store.call("COPY", keys.intent(p, user), keys.intent((p + 1) % PARTITIONS, user))


@damage("recent ids: of .* remembered ids .* are missing")
def recent_ids_forgotten(rig: Rig) -> None:
    def change(records: Any) -> None:
        records.recent = Ragged(own := records.recent.of(0)[-3:], np.array([len(own)]))

    change_record(rig, change)


@damage("last events: what the event .* did to the intent is not what it has to be")
def what_an_event_did_changed(rig: Rig) -> None:
    def change(records: Any) -> None:
        records.last.values["change"][-1] *= -1

    change_record(rig, change)


@damage("last events: there are .*, and have to be")
def last_events_forgotten(rig: Rig) -> None:
    def change(records: Any) -> None:
        records.last = Ragged(own := records.last.of(0)[1:], np.array([len(own)]))

    change_record(rig, change)


@damage("model: the last answer is")
def the_last_answer_changed(rig: Rig) -> None:
    def change(records: Any) -> None:
        records.fixed["said"] += 0.01

    change_record(rig, change)


@damage("tiles: the one that starts at .* is missing")
def a_tile_lost(rig: Rig) -> None:
    def change(records: Any) -> None:
        records.tiles.events[:] = UNCOUNTED  # else those before it would be made of its events
        records.tiles = records.tiles[np.arange(len(records.tiles.user) - 1)]

    change_record(rig, change)


@damage("model: the state is")
def a_models_state_lost(rig: Rig) -> None:
    def change(records: Any) -> None:
        records.fixed["state"] = 0

    change_record(rig, change)


@damage("model: the session runs on version 1, and has to run on 2")
def a_session_on_another_model(rig: Rig) -> None:
    def change(records: Any) -> None:
        records.fixed["model"] = 1

    change_record(rig, change)


@damage("session: clock_ms is")
def a_clock_that_went_back(rig: Rig) -> None:
    def change(records: Any) -> None:
        records.fixed["session"]["clock_ms"] -= 1

    change_record(rig, change)


@damage("entries that the worker has not seen")
def a_stale_position(rig: Rig) -> None:
    p, _ = a_user(rig)
    entries = rig.store.call("XREVRANGE", keys.events(p), "+", "-", "COUNT", 3)
    rig.store.call("SET", keys.position(p), entries[-1][0])


@damage("position: the position is .*, behind the log's last entry")
def a_position_that_no_entry_has(rig: Rig) -> None:
    p, _ = a_user(rig)
    ms, seq = ids.parse(rig.store.positions([p])[0])
    rig.store.call("SET", keys.position(p), ids.form(ms, seq + 7))


@damage("control: the control entries have set .* and the worker remembers Control\\(models=\\(\\)")
def a_control_state_lost(rig: Rig) -> None:
    rig.store.call("DEL", keys.control(0))


@damage("watermark: lambent:archived says .*, which is ahead of the archive")
def a_watermark_ahead_of_the_archive(rig: Rig) -> None:
    (position,) = rig.store.positions([1])
    ms, seq = ids.parse(position)
    rig.store.call("HSET", keys.ARCHIVED, 1, ids.form(ms + 5_000, seq))


@damage("watermark: trimmed says .*, which is ahead of the position")
def a_stream_trimmed_ahead_of_the_worker(rig: Rig) -> None:
    ms, seq = ids.parse(rig.store.positions([1])[0])
    rig.store.call("SET", keys.trimmed(1), ids.form(ms + 5_000, seq))


def change_newest(rig: Rig, **values: Any) -> None:
    """Change somebody's newest intent."""
    key = keys.intent(*a_user(rig))
    intent = msgspec.json.decode(rig.store.call("GET", key), type=Intent)
    rig.store.call("SET", key, msgspec.json.encode(msgspec.structs.replace(intent, **values)), "KEEPTTL")


@damage("newest intent: the newest intent is of the event 'n0', and has to be of")
def a_newest_intent_that_is_not_the_newest(rig: Rig) -> None:
    change_newest(rig, event_id="n0")


@damage("newest intent: there is no newest intent")
def a_newest_intent_lost(rig: Rig) -> None:
    rig.store.call("DEL", keys.intent(*a_user(rig)))


def change_intents(rig: Rig, change: Callable[[list[Intent]], list[Intent]]) -> None:
    """Change the last batch of intents of a partition, which is not archived yet."""
    p, _ = a_user(rig)
    ((entry_id, pairs),) = rig.store.call("XREVRANGE", keys.intents(p), "+", "-", "COUNT", 1)
    changed = msgspec.json.encode(change(msgspec.json.decode(pairs[1], type=list[Intent])))
    ms, seq = ids.parse(entry_id)
    rig.store.call("XDEL", keys.intents(p), entry_id)
    rig.store.call("XADD", keys.intents(p), ids.form(ms, seq + 1), "i", changed)


@damage("intent: there are 0 intents of the event")
def an_intent_lost(rig: Rig) -> None:
    change_intents(rig, lambda said: said[:-1])


@damage("intent: there are 2 intents of the event")
def an_intent_doubled(rig: Rig) -> None:
    change_intents(rig, lambda said: [*said, said[-1]])


@damage("intent: the intent is of model 1, and has to be of 2")
def an_intent_of_another_model(rig: Rig) -> None:
    change_intents(rig, lambda said: [*said[:-1], msgspec.structs.replace(said[-1], model="1")])


@damage("intent: there is an intent of the event 'nobody', which is late, a copy, given up, or not in the log")
def an_intent_of_an_event_that_never_was(rig: Rig) -> None:
    change_intents(rig, lambda said: [*said, msgspec.structs.replace(said[-1], event_id="nobody")])


@damage("intent: the intent's profile has a cut-off of .*, after the event itself")
def an_intent_that_knew_the_future(rig: Rig) -> None:
    change_intents(rig, lambda said: [*said[:-1], msgspec.structs.replace(said[-1], cutoff_ms=2**42)])


@damage("dead letter: an event of a user of another partition is not recorded")
def a_dead_letter_unrecorded(rig: Rig) -> None:
    for p in range(PARTITIONS):
        rig.store.call("DEL", keys.dead(p))


@damage("dead letter: it has other bytes than the log")
def a_dead_letter_with_other_bytes(rig: Rig) -> None:
    p = next(p for p in range(PARTITIONS) if rig.store.call("XLEN", keys.dead(p)))
    ((entry_id, pairs),) = rig.store.call("XRANGE", keys.dead(p), "-", "+", "COUNT", 1)
    rig.store.call("XDEL", keys.dead(p), entry_id)
    rig.store.call("XADD", keys.dead(p), "*", *pairs[:5], b"{}")


@damage("dead letter: it is recorded 2 times")
def a_dead_letter_doubled(rig: Rig) -> None:
    p = next(p for p in range(PARTITIONS) if rig.store.call("XLEN", keys.dead(p)))
    ((_, pairs),) = rig.store.call("XRANGE", keys.dead(p), "-", "+", "COUNT", 1)
    rig.store.call("XADD", keys.dead(p), "*", *pairs)


def change_table(rig: Rig, name: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Write a table anew with other rows; its transactions stay."""
    table = DeltaTable(rig.settings.table(name))
    rows = table.to_pyarrow_table()
    order = [("partition", "ascending"), ("ingest_ms", "ascending")]
    changed = pa.Table.from_pylist(change(rows.sort_by(order).to_pylist()), rows.schema)
    write_deltalake(table, changed, mode="overwrite")


def the_event(rows: list[dict[str, Any]]) -> int:
    """The index of an early event of which there is no copy."""
    counts = Counter(row["bytes"] for row in rows)
    return next(i for i, row in enumerate(rows) if row["kind"] == "e" and counts[row["bytes"]] == 1)


@damage("intent: there is an intent of the event .* not in the log")
def an_archived_row_lost(rig: Rig) -> None:
    change_table(rig, tables.LOG, lambda rows: [row for i, row in enumerate(rows) if i != the_event(rows)])


@damage("archive: the entry is in the table log 2 times")
def an_archived_row_doubled(rig: Rig) -> None:
    change_table(rig, tables.LOG, lambda rows: [*rows, rows[the_event(rows)]])


@damage("session: |tiles: |intent: the intent's ingest_ms is")
def archived_rows_in_another_order(rig: Rig) -> None:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        first = the_event(rows)
        own = [
            i
            for i in range(first, len(rows))
            if rows[i]["kind"] == "e" and rows[i]["partition"] == rows[first]["partition"]
        ]
        a, b = own[:2]
        rows[a]["bytes"], rows[b]["bytes"] = rows[b]["bytes"], rows[a]["bytes"]
        return rows

    change_table(rig, tables.LOG, change)


@damage("archive: the table log holds other bytes than the stream")
def an_archived_row_with_other_bytes(rig: Rig) -> None:
    p = max(range(PARTITIONS), key=lambda p: rig.store.call("XLEN", keys.events(p)))
    ((entry_id, _),) = rig.store.call("XREVRANGE", keys.events(p), "+", "-", "COUNT", 1)
    place = (p, *ids.parse(entry_id))

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in rows:
            if (row["partition"], row["ingest_ms"], row["seq"]) == place:
                row["bytes"] = b" " + row["bytes"]
        return rows

    change_table(rig, tables.LOG, change)


@damage("watermark: the table's transaction says that the archive ends at")
def a_transaction_ahead_of_its_rows(rig: Rig) -> None:
    (position,) = rig.store.positions([1])
    table = DeltaTable(rig.settings.table(tables.LOG))
    rows = table.to_pyarrow_table().slice(0, 0)
    marks = [Transaction("lambent-archiver-1", ids.to_version(position) + (9_000 << ids.SEQ_BITS))]
    write_deltalake(table, rows, mode="append", commit_properties=CommitProperties(app_transactions=marks))


@damage("intent: the intent of the event .* is 1 times too few in the table intents|there are 0 intents of the event")
def an_archived_intent_lost(rig: Rig) -> None:
    change_table(rig, tables.INTENTS, lambda rows: rows[1:])


@damage("there are 2 intents of the event")
def an_archived_intent_doubled(rig: Rig) -> None:
    change_table(rig, tables.INTENTS, lambda rows: [*rows, rows[3]])


@damage("law: the live profile's events is .*, which is what all events give")
def an_older_profile_merged_twice(rig: Rig) -> None:
    """A profile with what came after the cut-off that it carries."""
    p, user = a_user(rig)
    key = keys.profile(p, user)
    profiles, cutoff_ms = decode_profiles(FEATURES, [rig.store.call("GET", key)])
    records = decode_live(FEATURES, [rig.store.call("GET", keys.live(p, user))])
    ((_, tile),) = records.tiles.of(0)[-1:]
    profiles = fold.merge(FEATURES, profiles, tile)
    rig.store.call("SET", key, encode_profiles(FEATURES, profiles, cutoff_ms)[0])


# --- what a worker could do wrong ---------------------------------------------------------------------------------------


@mistake("intent: there are 0 intents of the event 'n70'")
def an_event_dropped(run: Run, patch: pytest.MonkeyPatch) -> None:
    real = batch.admit

    def admit(data: bytes, taxonomy: Any) -> Event | Rejection:
        return Rejection("malformed", "") if b'"id":"n70"' in data else real(data, taxonomy)

    patch.setattr(batch, "admit", admit)


@mistake("intent: there are [23] intents of the event")
def copies_folded(run: Run, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(process, "duplicates", lambda recent, user, ids: np.zeros(len(ids), bool))


@mistake("recent ids: of .* remembered ids")
def recent_ids_not_kept(run: Run, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(process, "remember", lambda *arguments: None)


@mistake("the remembered ids are in another order")
def two_events_swapped(run: Run, patch: pytest.MonkeyPatch) -> None:
    real = Store.read

    def read(self: Store, *arguments: Any, **options: Any) -> dict[int, list[Any]]:
        found = real(self, *arguments, **options)
        for entries in found.values():
            for at in range(1, len(entries), 2):
                (a, kind, data), (b, other, more) = entries[at - 1 : at + 1]
                if kind == other == batch.EVENT:
                    entries[at - 1 : at + 1] = (a, other, more), (b, kind, data)
        return found

    patch.setattr(run.worker_store, "read", read.__get__(run.worker_store))


@mistake("intent: there are 0 intents of the event")
def a_position_written_outside_the_transaction(run: Run, patch: pytest.MonkeyPatch) -> None:
    """It moves first, and the third commit does not come through."""
    store, count = run.worker_store, iter(range(1_000))
    real = store.commit

    def commit(commits: Sequence[Commit]) -> Sequence[Any]:
        if next(count) == 2:
            store.pipe(("SET", keys.position(one.partition), one.end) for one in commits)
            return [None] * len(commits)
        return real(commits)

    patch.setattr(store, "commit", commit)


@mistake("intent: there are 0 intents of the event")
def a_commit_reported_that_never_was(run: Run, patch: pytest.MonkeyPatch) -> None:
    """The live records of one batch are written, its intents are not."""
    _change_commits(run, patch, intents=b"")


@mistake("session: events is|record: |tiles: ")
def live_records_not_written(run: Run, patch: pytest.MonkeyPatch) -> None:
    _change_commits(run, patch, live={})


@mistake("newest intent: the newest intent is of the event|newest intent: there is no newest intent")
def newest_intents_not_written(run: Run, patch: pytest.MonkeyPatch) -> None:
    _change_commits(run, patch, newest={})


@mistake("control: the control entries have set")
def control_entries_forgotten(run: Run, patch: pytest.MonkeyPatch) -> None:
    _change_commits(run, patch, control=b"")


@mistake("dead letter: an event of a user of another partition is not recorded")
def dead_letters_forgotten(run: Run, patch: pytest.MonkeyPatch) -> None:
    _change_commits(run, patch, dead=())


def _change_commits(run: Run, patch: pytest.MonkeyPatch, **values: Any) -> None:
    store = run.worker_store
    real = store.commit
    patch.setattr(store, "commit", lambda commits: real([dataclasses.replace(one, **values) for one in commits]))


@mistake("tiles: there is one that starts at .*, when the log took nothing that counts")
def tiles_of_another_width(run: Run, patch: pytest.MonkeyPatch) -> None:
    run.tile_ms = 7 * TILE_MS


def _change_marks(patch: pytest.MonkeyPatch, name: str) -> None:
    real = fold.mark

    def mark(clock_ms: Any, user: Any, events: Any) -> Any:
        expired = real(clock_ms, user, events)
        events[name] = (clock_ms[user] == 0) if name == "opens" else False
        return expired

    patch.setattr(fold, "mark", mark)


@mistake("intent: the intent's session_events is")
def a_session_not_ended(run: Run, patch: pytest.MonkeyPatch) -> None:
    _change_marks(patch, "opens")


@mistake("intent: there is an intent of the event .*, which is late")
def a_late_event_put_into_the_session(run: Run, patch: pytest.MonkeyPatch) -> None:
    _change_marks(patch, "late")


@mistake("intent: the intent's probabilities are")
def probabilities_not_calibrated(run: Run, patch: pytest.MonkeyPatch) -> None:
    class Uncalibrated(FakeModel):
        def step(self, state, step_ids, floats):  # type: ignore[no-untyped-def]
            state, said = super().step(state, step_ids, floats)
            said = said**1.001
            return state, said / said.sum(axis=1, keepdims=True)

    run.load = lambda entry: Uncalibrated(entry.version)


@mistake("intent: the intent's probabilities are")
def another_model_under_the_same_version(run: Run, patch: pytest.MonkeyPatch) -> None:
    class Other(FakeModel):
        def __post_init__(self) -> None:
            version, self.version = self.version, self.version + 100
            super().__post_init__()
            self.version = version

    run.load = lambda entry: Other(entry.version)


@mistake("intent: the intent is of model 1, and has to be of 2|control: ")
def a_control_entry_lost(run: Run, patch: pytest.MonkeyPatch) -> None:
    real = run.load

    def load(entry: Any) -> FakeModel:
        if entry.version == 2:
            raise OSError("lost")
        return real(entry)

    run.load = load


@mistake("intent: the intent is of model 1, and has to be of 3")
def a_challenger_that_nobody_gets(run: Run, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(predict.Control, "picks", lambda self, user: self.newest)


@mistake("intent: the intent's arm is colours/challenger, and has to be colours/champion")
def everybody_told_to_be_challenged(run: Run, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(predict.Control, "arm", lambda self, user: "colours/challenger" if self.rollout else "")


@mistake("intent: the intent's shadow is none, and has to be 3")
def a_shadow_whose_states_are_not_kept(run: Run, patch: pytest.MonkeyPatch) -> None:
    _change_commits(run, patch, shadow={})


@mistake("intent: the shadow's probabilities are")
def a_shadow_that_steps_on_anothers_state(run: Run, patch: pytest.MonkeyPatch) -> None:
    real = shadow.read_kept

    def read(values: Sequence[bytes | None]) -> Any:
        kept = real(values)
        kept["state"] += 0.1
        return kept

    patch.setattr(process, "read_kept", read)


@mistake("intent: the intent's actions is")
def actions_of_another_policy(run: Run, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(process, "rules_for", lambda taxonomy: (Rule("browse", 0.0, "send-flowers"),))


@mistake("tiles: |intent: the intent's probabilities are")
def a_wrong_cutoff(run: Run, patch: pytest.MonkeyPatch) -> None:
    """Profiles are taken for older than they are, so that tiles are merged which they have seen."""
    real = users.decode_profiles

    def decode(features: Any, values: Any) -> Any:
        profiles, cutoffs_ms = real(features, values)
        return profiles, np.maximum(cutoffs_ms - 86_400_000, 0)

    patch.setattr(users, "decode_profiles", decode)


@mistake("intent: the intent's probabilities are")
def tiles_left_out_of_what_the_model_sees(run: Run, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(users, "merge_tiles", lambda *arguments: None)


@mistake("intent: there is an intent of the event .* given up")
def a_dead_letter_also_applied(run: Run, patch: pytest.MonkeyPatch) -> None:
    """An event is given up, and folded all the same."""
    store, count = run.worker_store, iter(range(1_000))
    real = store.commit

    def commit(commits: Sequence[Commit]) -> Sequence[Any]:
        for one in commits if next(count) == 0 else ():
            ((entry_id, pairs),) = store.call("XRANGE", keys.events(one.partition), "-", "+", "COUNT", 1)
            store.call("XADD", keys.dead(one.partition), "*", "id", entry_id, "reason", "?", "bytes", pairs[1])
        return real(commits)

    patch.setattr(store, "commit", commit)


@mistake("tiles: the one that starts at .* differs in")
def ages_by_the_producers_clock(run: Run, patch: pytest.MonkeyPatch) -> None:
    """An event counts as of when its producer says, even if that is after the log took it."""
    real = process.encode_events

    def encode(events: Any, ingest_ms: Any, taxonomy: Any) -> Any:
        encoded = real(events, ingest_ms, taxonomy)
        encoded["t_ms"] += 1
        return encoded

    patch.setattr(process, "encode_events", encode)


@mistake("session: reset_ms is|tiles: ")
def a_silence_beyond_the_horizon_ignored(run: Run, patch: pytest.MonkeyPatch) -> None:
    real = fold.mark
    patch.setattr(fold, "mark", lambda clock_ms, user, events: np.zeros_like(real(clock_ms, user, events)))
