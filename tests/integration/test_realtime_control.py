"""Control entries: a model takes effect at its place in the log, and a session finishes on the one it began with."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable

from lambent import cli, keys
from lambent.calibration import Calibration
from lambent.control import CalibrationEntry, ModelEntry, PolicyEntry, RolloutEntry
from lambent.errors import ModelError
from lambent.events import Event, Intent
from lambent.policy import Rule
from lambent.rollout import is_challenged
from lambent.tables import INTENT_COLUMNS, INTENTS
from models.commands import MODEL
from models.promotion import artifact_folder
from realtime import policy_command
from realtime.archive import arrow_schema
from realtime.archiver import Archiver
from realtime.partitions import Partitions
from realtime.predict import read_control
from realtime.rebuild import rebuild
from realtime.status import read_status
from realtime.store import Store
from tests.artifacts import write_blank
from tests.chaos.rig import FEATURES, Rig, make_rig
from tests.stores import server, valkey  # noqa: F401
from tests.valkey import Valkey, flush

pytestmark = pytest.mark.integration
USER = f"{7:022d}"
GAP_MS = 31 * 60_000


@dataclasses.dataclass
class FakeModel:
    """Says its version and how many events of the session it has seen, in the probability of the second intent."""

    version: int

    def start(self, profile):  # type: ignore[no-untyped-def]
        return np.zeros((len(profile), 64), np.float32)

    def step(self, state, ids, floats):  # type: ignore[no-untyped-def]
        state = state + 1
        second = self.version / 10 + state[:, 0] / 1000
        zeros = np.zeros(len(state))
        return state, np.stack([1 - second, second, zeros, zeros], axis=1).astype(np.float32)


def load(entry: ModelEntry) -> FakeModel:
    if entry.folder == "missing":
        raise ModelError("model.json cannot be read.")
    return FakeModel(entry.version)


def entry(version: int, folder: str = "here") -> ModelEntry:
    return ModelEntry(version, folder, "")


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path, partitions=2)


def view(n: int, event_ms: int) -> Event:
    return Event(user=USER, type="view", event_ms=event_ms, id=f"e{n}")


def heard(rig: Rig) -> list[tuple[str, float]]:
    return [(intent.model, intent.probabilities["purchase"]) for intent in rig.said()]


def scenario(rig: Rig) -> None:
    """Before any model; version 1 in the same session; a new session; version 2; the session goes on; a new one."""
    start_ms = 1_700_000_000_000
    times = [0, 1, GAP_MS, GAP_MS + 1, GAP_MS + 2, 2 * GAP_MS + 2]
    swaps = {1: entry(1), 4: entry(2)}
    for n, time_ms in enumerate(times):
        if n in swaps:
            rig.store.publish_control(swaps[n], rig.meta.partitions)
        rig.feed_now([view(n, start_ms + time_ms)])


EXPECTED = [("base-rate", 0.04), ("base-rate", 0.04), ("1", 0.101), ("1", 0.102), ("1", 0.103), ("2", 0.201)]


def test_a_model_takes_effect_at_its_place_in_the_log_and_sessions_finish_on_theirs(rig: Rig) -> None:
    scenario(rig)
    rig.drain(rig.worker(load=load))
    assert heard(rig) == EXPECTED


def test_a_worker_that_starts_anew_after_every_batch_says_the_same(rig: Rig) -> None:
    scenario(rig)
    while rig.worker(Store(rig.url), load=load).turn(block_ms=0):
        pass
    assert heard(rig) == EXPECTED
    p = keys.partition(USER, rig.meta.partitions)
    assert read_control(rig.store.call("GET", keys.control(p))).newest == 2


def test_a_model_that_cannot_be_loaded_leaves_the_one_before(rig: Rig) -> None:
    rig.store.publish_control(entry(1), rig.meta.partitions)
    rig.store.publish_control(entry(2, "missing"), rig.meta.partitions)
    rig.store.append((p, b"c", b"no entry") for p in range(2))
    rig.feed_now([view(0, 1_700_000_000_000)])
    worker = rig.drain(rig.worker(load=load))
    assert heard(rig) == [("1", 0.101)]
    assert worker.models.failures["load"] == 1
    assert worker.metrics.rejected_by["control"] == 2


def test_a_model_that_fails_takes_no_event_with_it(rig: Rig) -> None:
    class Broken(FakeModel):
        def step(self, state, ids, floats):  # type: ignore[no-untyped-def]
            raise RuntimeError("broken")

    rig.store.publish_control(entry(1), rig.meta.partitions)
    rig.feed_now([view(0, 1_700_000_000_000)])
    worker = rig.drain(rig.worker(load=lambda one: Broken(one.version)))
    assert heard(rig) == [("base-rate", 0.04)]
    assert (worker.models.failures["step"], worker.metrics.tally["dead"]) == (1, 0)


def test_the_actions_are_those_of_the_policy(rig: Rig) -> None:
    rig.store.publish_control(entry(3), rig.meta.partitions)
    rig.feed_now([view(0, 1_700_000_000_000)])
    rig.drain(rig.worker(load=load))
    (intent,) = rig.said()
    assert intent.actions == ("recommend",)
    assert sorted(intent.probabilities) == sorted(FEATURES.taxonomy.intents)


START_MS = 1_700_000_000_000


def send(rig: Rig, *what: object) -> None:
    """Control entries, and times of events after the start in ms, in this order."""
    for one in what:
        if isinstance(one, int):
            rig.feed_now([view(len(rig.log), START_MS + one)])
        else:
            rig.store.publish_control(one, rig.meta.partitions)  # type: ignore[arg-type]


def drained(rig: Rig, *, anew: bool):  # type: ignore[no-untyped-def]
    """A worker that has worked off all; ``anew``: another one for each batch."""
    worker = rig.worker(load=load)
    while worker.turn(block_ms=0):
        worker = rig.worker(Store(rig.url), load=load) if anew else worker
    return worker


EAGER, SHY = PolicyEntry((Rule("browse", 0.0, "wave"), Rule("purchase", 0.1, "offer"))), PolicyEntry(())


@pytest.mark.parametrize("anew", [False, True])
def test_a_policy_takes_effect_at_its_place_in_the_log(rig: Rig, anew: bool) -> None:
    send(rig, entry(3), 0, EAGER, 1, PolicyEntry((Rule("no-intent", 0.1, "x"),)), 2, SHY, 3)
    worker = drained(rig, anew=anew)
    assert [intent.actions for intent in rig.said()] == [("recommend",), ("wave", "offer"), ("wave", "offer"), ()]
    if not anew:
        assert worker.metrics.rejected_by["control"] == 2  # one that speaks of no intent of this taxonomy


@pytest.mark.parametrize("anew", [False, True])
def test_a_correction_takes_effect_at_its_place_for_the_model_that_it_names_alone(rig: Rig, anew: bool) -> None:
    double = Calibration((1.0, 1.0, 1.0, 1.0), (0.0, float(np.log(2)), 0.0, 0.0))
    of_1, no_model = CalibrationEntry(1, double), CalibrationEntry(7, double)
    back = CalibrationEntry(1, Calibration.identity(4))
    send(rig, entry(1), 0, of_1, 1, no_model, entry(2), 2, GAP_MS + 2, back, GAP_MS + 3)
    drained(rig, anew=anew)

    def doubled(p: float) -> float:
        return round(2 * p / (1 + p), 6)

    assert heard(rig) == [
        ("1", 0.101), ("1", doubled(0.102)), ("1", doubled(0.103)), ("2", 0.201), ("2", 0.202)
    ]  # fmt: skip


def test_a_correction_goes_with_its_model_when_that_is_remembered_no_more(rig: Rig) -> None:
    send(rig, entry(1), CalibrationEntry(1, Calibration.identity(4)), entry(2), entry(3), 0)
    drained(rig, anew=False)
    p = keys.partition(USER, rig.meta.partitions)
    assert [one.version for one in read_control(rig.store.call("GET", keys.control(p))).calibrations] == [1]
    send(rig, entry(4), 1)
    drained(rig, anew=False)
    assert read_control(rig.store.call("GET", keys.control(p))).calibrations == ()


@pytest.mark.parametrize("anew", [False, True])
def test_a_session_on_a_model_that_is_remembered_no_more_begins_anew_on_the_newest_and_is_counted(
    rig: Rig, anew: bool
) -> None:
    send(rig, entry(1), 0, entry(2), entry(3), 1, entry(4), 2, 3)
    worker = drained(rig, anew=anew)
    assert heard(rig) == [("1", 0.101), ("1", 0.102), ("4", 0.401), ("4", 0.402)]
    assert [intent.session_events for intent in rig.said()] == [1, 2, 1, 2]
    if not anew:
        assert worker.metrics.report()["restarted"] == 1
    send(rig, entry(5), entry(6), entry(7), GAP_MS + 4)  # a session that opens anyhow is not begun anew
    assert drained(rig, anew=False).metrics.report()["restarted"] == 0


def many(rig: Rig, events: range, at_ms: int) -> dict[str, Intent]:
    """One event of each of twenty visitors, and what was answered."""
    for n in range(20):
        own = [Event(user=f"{n:022d}", type="view", event_ms=START_MS + at_ms, id=f"{e}-{n}") for e in events]
        rig.feed_now(own)
    drained(rig, anew=True)
    return {intent.user: intent for intent in rig.said() if int(intent.event_id.partition("-")[0]) in events}


def test_a_share_of_the_users_begin_their_sessions_on_the_challenger_and_intents_say_the_arm(rig: Rig) -> None:
    send(rig, entry(1))
    first = many(rig, range(1), 0)
    send(rig, RolloutEntry(entry(2), "colours", 0.4))
    running, begun = many(rig, range(1, 2), 1), many(rig, range(2, 3), GAP_MS + 2)
    challenged = {user for user in begun if is_challenged("colours", user, 0.4)}
    assert 2 < len(challenged) < 18
    arms = {user: "colours/challenger" if user in challenged else "colours/champion" for user in begun}
    assert {user: one.arm for user, one in begun.items()} == {user: one.arm for user, one in running.items()} == arms
    assert {one.arm for one in first.values()} == {""}
    assert {one.model for one in [*first.values(), *running.values()]} == {"1"}  # those sessions had begun
    assert {user for user, one in begun.items() if one.model == "2"} == challenged
    assert {one.model for one in begun.values()} == {"1", "2"}


def test_when_the_challenge_is_stopped_its_sessions_finish_on_it_and_none_begins(rig: Rig) -> None:
    send(rig, entry(1), RolloutEntry(entry(2), "colours", 0.4))
    begun = many(rig, range(1), 0)
    send(rig, RolloutEntry())
    running, anew = many(rig, range(1, 2), 1), many(rig, range(2, 3), GAP_MS + 2)
    assert {user: one.model for user, one in running.items()} == {user: one.model for user, one in begun.items()}
    assert {one.model for one in running.values()} == {"1", "2"}
    assert {(one.model, one.arm) for one in anew.values()} == {("1", "")}


@pytest.mark.parametrize(
    ("then", "models"),
    [
        ((entry(2),), (1, 2)),
        ((entry(3), entry(4)), (3, 2, 4)),
        ((entry(3), entry(4), entry(5)), (4, 2, 5)),
        ((entry(3), entry(2)), (1, 3, 2)),
    ],
)
def test_a_challenge_goes_on_beside_other_champions_and_ends_when_its_model_has_won(
    rig: Rig, then: tuple[ModelEntry, ...], models: tuple[int, ...]
) -> None:
    send(rig, entry(1), RolloutEntry(entry(2), "colours", 1.0), *then, 0)
    drained(rig, anew=False)
    control = read_control(rig.store.call("GET", keys.control(keys.partition(USER, rig.meta.partitions))))
    assert tuple(one.version for one in control.models) == models
    assert (control.rollout is None) == (models[-1] == 2)
    assert heard(rig)[0][0] == "2"


@pytest.mark.parametrize(
    ("challenge", "refused"),
    [
        (RolloutEntry(entry(2), "colours", 0.0), True),
        (RolloutEntry(entry(2), "", 0.5), True),
        (RolloutEntry(entry(1), "colours", 0.5), True),
        (RolloutEntry(entry(2, "missing"), "colours", 1.0), False),
    ],
)
def test_a_challenge_that_cannot_be_followed_changes_nothing(rig: Rig, challenge: RolloutEntry, refused: bool) -> None:
    send(rig, entry(1), challenge, 0)
    worker = drained(rig, anew=False)
    assert [(one.model, one.arm) for one in rig.said()] == [("1", "")]
    assert worker.metrics.rejected_by["control"] == (2 if refused else 0)  # in each partition


def test_before_there_is_a_champion_nobody_challenges(rig: Rig) -> None:
    send(rig, RolloutEntry(entry(2), "colours", 1.0), 0)
    drained(rig, anew=False)
    assert heard(rig) == [("base-rate", 0.04)]


def test_a_rebuild_goes_on_with_the_challenge(rig: Rig, valkey: Valkey) -> None:  # noqa: F811
    send(rig, entry(1), RolloutEntry(entry(2), "colours", 0.4))
    begun = many(rig, range(1), 0)
    Archiver(rig.store, rig.meta, rig.settings, name="archiver").round()
    before = controls(rig)
    flush(valkey)
    rig.store.create_meta(rig.meta.partitions, rig.meta.tile_ms)
    rebuild(rig.store, rig.meta, rig.settings, FEATURES, load=load)
    assert controls(rig) == before
    after = many(rig, range(1, 2), 1)
    assert {user: (one.model, one.arm) for user, one in after.items()} == {
        user: (one.model, one.arm) for user, one in begun.items()
    }
    rows = DeltaTable(rig.settings.table(INTENTS)).to_pyarrow_table(columns=["user", "arm"]).to_pylist()
    assert {row["user"]: row["arm"] for row in rows} == {user: one.arm for user, one in begun.items()}


def test_an_archive_of_a_version_without_arms_takes_them(rig: Rig) -> None:
    earlier = arrow_schema(
        {name: kind for name, kind in INTENT_COLUMNS.items() if name not in ("arm", "shadow_model", "shadow")}
    )
    path, told = rig.settings.table(INTENTS), json.dumps({"partitions": rig.meta.partitions})
    DeltaTable.create(path, earlier, partition_by=["day"], description=told)
    send(rig, entry(1), 0, RolloutEntry(entry(2), "colours", 1.0), GAP_MS)
    drained(rig, anew=False)
    Archiver(rig.store, rig.meta, rig.settings, name="archiver").round()
    rows = DeltaTable(path).to_pyarrow_table(columns=["model", "arm"]).to_pylist()
    assert sorted((row["model"], row["arm"]) for row in rows) == [("1", None), ("2", "colours/challenger")]


def in_shadow(version: int, share: float = 1.0) -> RolloutEntry:
    return RolloutEntry(entry(version), "shapes", share, shadow=True)


def overheard(rig: Rig) -> list[tuple[str, float] | None]:
    """What the shadows said."""
    shadows = [intent.shadow for intent in rig.said()]
    return [one and (one.model, one.probabilities["purchase"]) for one in shadows]


@pytest.mark.parametrize("anew", [False, True])
def test_a_shadow_predicts_beside_sessions_that_begin_and_changes_nothing_of_what_is_answered(
    rig: Rig, anew: bool
) -> None:
    send(rig, entry(1), 0, in_shadow(2), 1, GAP_MS + 1, GAP_MS + 2, 2 * GAP_MS + 2)
    drained(rig, anew=anew)
    assert heard(rig) == [("1", 0.101), ("1", 0.102), ("1", 0.101), ("1", 0.102), ("1", 0.101)]
    assert overheard(rig) == [None, None, ("2", 0.201), ("2", 0.202), ("2", 0.201)]
    assert {intent.arm for intent in rig.said()} == {""}


@pytest.mark.parametrize("anew", [False, True])
def test_a_shadow_that_missed_an_event_is_silent_until_a_session_begins(rig: Rig, anew: bool) -> None:
    send(
        rig,
        entry(1),
        in_shadow(2),
        0,
        1,
        RolloutEntry(),
        2,
        in_shadow(2),
        3,
        in_shadow(3),
        4,
        GAP_MS + 4,
        in_shadow(3),
        GAP_MS + 5,
    )
    drained(rig, anew=anew)
    assert overheard(rig) == [("2", 0.201), ("2", 0.202), None, None, None, ("3", 0.301), None]


def test_a_session_never_goes_on_from_the_shadow_of_one_before(rig: Rig) -> None:
    """As many events as the other had when its shadow was stopped: only the challenge tells them apart."""
    send(rig, entry(1), in_shadow(2), 0, 1, RolloutEntry(), GAP_MS + 1, GAP_MS + 2, in_shadow(2), GAP_MS + 3)
    drained(rig, anew=True)
    assert overheard(rig) == [("2", 0.201), ("2", 0.202), None, None, None]


def test_a_shadow_of_a_share_is_of_those_users_alone(rig: Rig) -> None:
    send(rig, entry(1), in_shadow(2, 0.4))
    said = many(rig, range(1), 0)
    assert {user for user, one in said.items() if one.shadow} == {u for u in said if is_challenged("shapes", u, 0.4)}
    assert {one.model for one in said.values()} == {"1"}


def test_without_a_shadow_nothing_is_read_or_kept_of_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = Store.shadows
    monkeypatch.setattr(Store, "shadows", lambda self, wanted: asked.append(1) or real(self, wanted))
    send(rig, entry(1), RolloutEntry(entry(2), "colours", 1.0), 0)
    drained(rig, anew=False)
    key = keys.shadow(keys.partition(USER, rig.meta.partitions), USER)
    assert not asked and not rig.store.call("EXISTS", key)
    send(rig, in_shadow(2), GAP_MS)
    drained(rig, anew=False)
    assert asked and rig.store.call("PTTL", key) > 13 * 24 * 3600 * 1000


def test_a_shadow_that_fails_takes_no_answer_with_it(rig: Rig) -> None:
    class Broken(FakeModel):
        def step(self, state, ids, floats):  # type: ignore[no-untyped-def]
            raise RuntimeError("broken")

    send(rig, entry(1), in_shadow(2), 0, 1)
    worker = rig.drain(rig.worker(load=lambda one: (Broken if one.version == 2 else FakeModel)(one.version)))
    assert heard(rig) == [("1", 0.101), ("1", 0.102)] and overheard(rig) == [None, None]
    assert worker.metrics.tally["dead"] == 0


def test_a_correction_holds_in_the_shadow_too(rig: Rig) -> None:
    double = Calibration((1.0, 1.0, 1.0, 1.0), (0.0, float(np.log(2)), 0.0, 0.0))
    send(rig, entry(1), in_shadow(2), CalibrationEntry(2, double), 0)
    drained(rig, anew=False)
    assert overheard(rig) == [("2", round(2 * 0.201 / 1.201, 6))]


def test_a_rebuild_goes_on_with_the_shadow_and_the_archive_has_what_it_said(
    rig: Rig,
    valkey: Valkey,  # noqa: F811
) -> None:
    send(rig, entry(1), in_shadow(2), 0)
    drained(rig, anew=False)
    Archiver(rig.store, rig.meta, rig.settings, name="archiver").round()
    key = keys.shadow(keys.partition(USER, rig.meta.partitions), USER)
    before = rig.store.call("GET", key)
    flush(valkey)
    rig.store.create_meta(rig.meta.partitions, rig.meta.tile_ms)
    report = rebuild(rig.store, rig.meta, rig.settings, FEATURES, load=load)
    assert (rig.store.call("GET", key), report.records) == (before, 1)
    send(rig, 1)
    drained(rig, anew=False)
    assert overheard(rig)[-1] == ("2", 0.202)
    (row,) = DeltaTable(rig.settings.table(INTENTS)).to_pyarrow_table(columns=["shadow_model", "shadow"]).to_pylist()
    assert (row["shadow_model"], dict(row["shadow"])["purchase"]) == ("2", 0.201)


def test_a_partition_whose_records_are_of_other_features_is_left_to_those_who_compute_them(rig: Rig) -> None:
    send(rig, entry(1), 0)
    drained(rig, anew=False)
    mine, other = (
        Partitions(Store(rig.url), 2, range(2), name, 60_000, features)
        for name, features in (("mine", FEATURES.hash), ("other", "f" * 16))
    )
    other.keep()
    assert not other.held
    mine.keep()
    assert len(mine.held) == 2
    assert read_status(rig.store, 2).workers == {"mine": 2, "other": 0}
    mine._due_s = other._due_s = 0
    other.keep()
    mine.keep()
    assert (len(mine.held), len(other.held)) == (2, 0)  # it asks for no share of what it leaves alone


def test_the_command_sets_a_policy_and_shows_what_is_in_force(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "load_commands", lambda: {"policy": policy_command.COMMAND})
    monkeypatch.setattr(cli, "load_settings", lambda: rig.settings)
    path = tmp_path / "rules.toml"
    path.write_text('[[rules]]\nintent = "purchase"\nthreshold = 0.15\naction = "nudge"\n')
    assert cli.main(["policy", "set", str(path)]) == 0
    drained(rig, anew=False)
    capsys.readouterr()
    assert cli.main(["policy", "show"]) == 0
    assert capsys.readouterr().out == "in 2 partitions: 1 rules\n  purchase     from 0.15  nudge\n"
    assert cli.main(["policy", "set"]) == 0
    drained(rig, anew=False)
    assert cli.main(["policy", "show"]) == 0
    assert "offer-express-checkout" in capsys.readouterr().out
    path.write_text(path.read_text().replace("purchase", "fly"))
    assert cli.main(["policy", "set", str(path)]) == 2
    assert "the intent 'fly' is none of" in capsys.readouterr().err
    assert cli.main(["policy", "show", str(path)]) == 2


def test_a_rebuild_of_a_lost_store_has_set_what_the_entries_set(rig: Rig, valkey: Valkey) -> None:  # noqa: F811
    send(rig, entry(1), 0, EAGER, CalibrationEntry(1, Calibration((1.0,) * 4, (0.0, 0.5, 0.0, 0.0))), entry(2), 1)
    drained(rig, anew=False)
    Archiver(rig.store, rig.meta, rig.settings, name="archiver").round()
    before, said = controls(rig), rig.said()
    flush(valkey)
    rig.store.create_meta(rig.meta.partitions, rig.meta.tile_ms)
    rebuild(rig.store, rig.meta, rig.settings, FEATURES, load=load)
    assert controls(rig) == before
    send(rig, 2)
    drained(rig, anew=False)
    (after,) = rig.said()
    assert (after.actions, after.model, after.session_events) == (said[-1].actions, "1", 3)


def controls(rig: Rig) -> list[bytes]:
    return [rig.store.call("GET", keys.control(p)) for p in range(rig.meta.partitions)]


def test_the_command_sends_a_correction_of_a_version_and_refuses_what_is_none(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "load_commands", lambda: {"model": MODEL})
    monkeypatch.setattr(cli, "load_settings", lambda: rig.settings)
    write_blank(artifact_folder(rig.settings, 1), FEATURES)
    path = tmp_path / "correction.json"
    path.write_text('{"scale": [1, 1, 1, 1], "bias": [0, 0.5, 0, 0]}')
    send(rig, entry(1))
    assert cli.main(["model", "correct", "1", str(path)]) == 0
    send(rig, 0)
    drained(rig, anew=False)
    assert heard(rig)[0][1] > 0.15  # 0.101 without it
    for wrong in ('{"scale": [1], "bias": [0]}', '{"scale": [1, 1, 0, 1], "bias": [0, 0, 0, 0]}', "{"):
        path.write_text(wrong)
        assert cli.main(["model", "correct", "1", str(path)]) == 1
        assert "not a calibration" in capsys.readouterr().err
    assert cli.main(["model", "correct", "1"]) == 2


def test_a_republished_profile_takes_effect_at_the_next_event(rig: Rig) -> None:
    worker = rig.worker(load=load)
    cutoffs_ms = []
    for n in range(3):
        rig.feed([(view(n, START_MS + n * 2_000), START_MS + n * 2_000)])
        rig.drain(worker)
        rig.publish(START_MS + n * 2_000 + 1_000)
        cutoffs_ms.append(START_MS + n * 2_000 + 1_000)
    said = rig.said()
    assert [intent.cutoff_ms for intent in said] == [0, *cutoffs_ms[:2]]
    assert [intent.session_events for intent in said] == [1, 2, 3]  # the session goes on
