"""The truth of the shop: calibrated, uncorrelated with whatever could be seen, the same however it is computed."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from lambent.errors import DataError, SettingsError
from lambent.events import Event, admit
from lambent.keys import pseudonym
from lambent.settings import Settings
from lambent.simulate import simulate, world
from lambent.simulate.command import COMMAND
from lambent.simulate.posterior import Observer, Truth
from lambent.simulate.probabilities import between, probabilities
from lambent.simulate.truth import observer_of, truths
from lambent.simulate.world import PURCHASE, Floats, Ints, cumulative, make_world, shop_world
from lambent.taxonomy import shop

EDGES = (0.0, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 1.0)


def joined(days: list[Truth]) -> Truth:
    """Several days as one, by user and time."""
    rows = np.concatenate([day.rows for day in days])
    order = np.lexsort((rows["event_ms"], rows["user"]))
    session, intent = (np.concatenate([getattr(day, name) for day in days])[order] for name in ("session", "intent"))
    return Truth(rows[order], session, intent)


def labels(truth: Truth) -> Ints:
    """The first decisive act after each event in its session, 0 if none, (n,); there is one a session at most."""
    key = truth.rows["user"].astype(np.int64) * 100_000 + truth.session
    _, session = np.unique(key, return_inverse=True)
    acts = np.flatnonzero(truth.rows["type"] >= PURCHASE)
    act_at, act_of = np.full(session.max() + 1, -1), np.zeros(session.max() + 1, dtype=np.int64)
    act_at[session[acts]], act_of[session[acts]] = acts, truth.rows["type"][acts] - PURCHASE + 1
    return np.where(np.arange(len(session)) < act_at[session], act_of[session], 0)


def deviation(truth: Truth, residual: Floats) -> float:
    """A sum of residuals in standard deviations, those of one user taken together since they hang together."""
    by_user = np.bincount(truth.rows["user"], weights=residual)
    return float(by_user.sum() / max(np.sqrt((by_user**2).sum()), 1e-12))


def calibration(truth: Truth, least: float) -> list[float]:
    """Deviations of each intent in each bin of probability in which ``least`` of either outcome are expected."""
    result, label = [], labels(truth)
    for intent, p in enumerate(truth.intent.T):
        bins = np.digitize(p, EDGES)
        for number in range(1, len(EDGES)):
            inside = bins == number
            if min(p[inside].sum(), (1 - p[inside]).sum()) >= least:
                result.append(deviation(truth, np.where(inside, (label == intent) - p, 0.0)))
    return result


def features(truth: Truth) -> dict[str, Floats]:
    """Things that could be seen by the time of each event."""
    rows = truth.rows
    named = {name: rows["type"] == code for code, name in enumerate(world.TYPES[:PURCHASE])}
    named |= {f"device {code}": rows["device"] == code for code in range(3)}
    named |= {f"query {kind}": (rows["query"] >= 0) & (rows["query"] % 4 == kind) for kind in range(4)}
    named |= {f"level {level}": (rows["product"] >= 0) & (rows["product"] // 48 % 3 == level) for level in range(3)}
    named |= {f"slot {slot}": rows["event_ms"] // 21_600_000 % 4 == slot for slot in range(4)}
    named |= {"sale": rows["sale"], "first": truth.session == 0, "later": truth.session >= 6}
    named |= {"long": rows["dwell_ms"] > 25_000, "omitted": rows["omitted"] > 0}
    named["weekend"] = (rows["event_ms"] // 86_400_000 + 3) % 7 >= 5
    named["again"] = np.concatenate([[False], rows["product"][1:] == rows["product"][:-1]])
    return {name: seen.astype(np.float64) for name, seen in named.items()}


def correlations(truth: Truth) -> dict[tuple[str, int], float]:
    """What is exact leaves residuals that no feature of the past explains: deviations by feature and intent."""
    label, intents = labels(truth), range(truth.intent.shape[1])
    return {
        (name, intent): deviation(truth, seen * ((label == intent) - truth.intent[:, intent]))
        for name, seen in features(truth).items()
        for intent in intents
    }


@pytest.fixture(scope="module")
def truth() -> Truth:
    """Some 30,000 events."""
    return joined(list(truths(simulate(1500, 10, 4))))


def test_it_is_calibrated(truth: Truth) -> None:
    assert len(truth.rows) >= 29_000
    deviations = calibration(truth, least=30)
    assert len(deviations) > 15 and max(map(abs, deviations)) < 4


def test_nothing_that_could_be_seen_explains_what_is_left(truth: Truth) -> None:
    deviations = correlations(truth)
    assert max(map(abs, deviations.values())) < 4.5


def test_the_loss_is_the_entropy_that_it_states(truth: Truth) -> None:
    p = np.maximum(truth.intent, 1e-300)
    loss = -np.log(p[np.arange(len(p)), labels(truth)])
    entropy = -(p * np.log(p)).sum(axis=1)
    assert abs(deviation(truth, loss - entropy)) < 4
    assert loss.mean() < 0.8 * -np.log(np.bincount(labels(truth)) / len(p)) @ np.bincount(labels(truth)) / len(p)


@pytest.mark.long
def test_it_is_calibrated_over_a_million_events() -> None:
    large = joined(list(truths(simulate(30_000, 16, 5))))
    assert len(large.rows) > 900_000
    deviations = [*calibration(large, least=50), *correlations(large).values()]
    assert max(map(abs, deviations)) < 4.5
    assert 0.8 < float(np.std(deviations)) < 1.25


def test_from_the_act_that_decides_on_nothing_more_is_to_come(truth: Truth) -> None:
    rows, done = truth.rows, np.zeros(len(truth.rows), dtype=np.bool_)
    for position in np.flatnonzero(rows["type"] >= PURCHASE):
        same = (rows["user"] == rows["user"][position]) & (truth.session == truth.session[position])
        done |= same & (rows["event_ms"] >= rows["event_ms"][position])
    assert done.sum() > 500
    assert (truth.intent[done] == [1.0, 0.0, 0.0, 0.0]).all()
    assert (truth.intent[~done] > 0).all() and (truth.intent[~done] < 1).all()


def test_probabilities_sum_to_one_and_sessions_count_from_zero(truth: Truth) -> None:
    assert truth.intent.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    new_user = np.diff(truth.rows["user"], prepend=-1) != 0
    assert (truth.session[new_user] == 0).all()
    assert set(np.diff(truth.session)[~new_user[1:]].tolist()) == {0, 1}


def test_one_user_seen_alone_all_days_at_once_and_in_any_order_has_the_same_truth(truth: Truth) -> None:
    busiest = int(np.bincount(truth.rows["user"]).argmax())
    own = truth.rows["user"] == busiest
    rows = truth.rows[own][::-1]
    alone = observer_of(simulate(1500, 10, 4)).observe(rows)
    np.testing.assert_allclose(alone.intent, truth.intent[own], rtol=0, atol=1e-12)
    assert (alone.session == truth.session[own]).all()


def test_what_is_believed_does_not_depend_on_what_comes_later(truth: Truth) -> None:
    own = truth.rows["user"] == int(np.bincount(truth.rows["user"]).argmax())
    rows = truth.rows[own][: own.sum() // 2]
    part = observer_of(simulate(1500, 10, 4)).observe(rows)
    np.testing.assert_allclose(part.intent, truth.intent[own][: len(rows)], rtol=0, atol=1e-12)


def test_no_events_have_no_truth(truth: Truth) -> None:
    assert len(observer_of(simulate(5, 1, 1)).observe(truth.rows[:0]).intent) == 0


def test_who_knows_of_a_shift_is_calibrated_and_who_does_not_is_not() -> None:
    simulation = simulate(2500, 8, 6, shift=2)
    days = list(truths(simulation))
    unaware = Observer(shop_world(), 2500, simulation.first_ms, 8)
    told, untold = joined(days), joined([unaware.observe(day.rows) for day in days])
    assert max(map(abs, calibration(told, least=30))) < 4
    assert deviation(untold, (labels(untold) == 2) - untold.intent[:, 2]) > 5  # more ask for help than it expects


def test_a_shift_changes_nothing_before_its_day() -> None:
    plain, shifted = simulate(300, 4, 1), simulate(300, 4, 1, shift=2)
    before = shifted.first_ms + 2 * 86_400_000
    arrived = [np.concatenate(list(each.arrivals())) for each in (plain, shifted)]
    early, late = ([rows[side(rows["arrival_ms"], before)] for rows in arrived] for side in (np.less, np.greater_equal))
    assert (early[0] == early[1]).all()
    assert len(late[0]) != len(late[1])
    assert (plain.summary.shift, shifted.summary.shift) == (None, 2)


def test_the_parameters_of_world_1_are_frozen() -> None:
    # Models are measured against this truth: raise the version in world.toml with any change.
    text = Path(world.__file__).with_name("world.toml").read_bytes()
    assert (shop_world().parameters.version, hashlib.sha256(text).hexdigest()[:16]) == (1, "f69a76772365142b")


def test_a_world_whose_sessions_outlast_a_slot_has_no_truth() -> None:
    parameters = shop_world().parameters
    session = msgspec.structs.replace(parameters.session, max_events=80)
    with pytest.raises(SettingsError, match="outlast"):
        probabilities(make_world(msgspec.structs.replace(parameters, session=session)))


def test_cumulative_tables_give_their_probabilities_back() -> None:
    assert between(cumulative([[1, 2, 1], [0, 1]])).tolist() == [[0.25, 0.5, 0.25], [0.0, 1.0, 0.0]]


def test_gaps_have_the_probabilities_of_dwell_and_pause() -> None:
    tables = dataclasses.replace(probabilities(shop_world()), bounds_ms=np.array([2, 4, 9]), pause_ms=3)
    counts = np.zeros((2, 20))
    for k, (low, high) in enumerate(((2, 4), (4, 9))):
        for dwell in range(low, high):
            for pause in range(3):
                counts[k, dwell + pause] += 1 / (high - low) / 3
    assert pytest.approx(np.cumsum(counts, axis=1), abs=1e-15) == tables.gap_cdf(np.arange(20)).T


def call(*arguments: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    parser.add_argument("--json", action="store_true")
    result: dict[str, object] = COMMAND.run(parser.parse_args(arguments), Settings())
    return result


def admitted(path: Path) -> list[Event]:
    """What the door lets in, its users pseudonyms."""
    lines = [
        line[:9] + pseudonym(line[9:16].decode(), b"k").encode() + line[16:] for line in path.read_bytes().splitlines()
    ]
    return [answer for answer in (admit(line, shop()) for line in lines) if isinstance(answer, Event)]


def test_the_command_writes_a_line_for_each_event_of_a_person(tmp_path: Path) -> None:
    out, beside = tmp_path / "events.jsonl", tmp_path / "truth.jsonl"
    report = call("--users", "400", "--days", "3", "--json", "--out", str(out), "--truth", str(beside))
    lines = [json.loads(line) for line in beside.read_bytes().splitlines()]
    assert len(lines) == int(str(report["events"])) - int(str(report["bot_events"]))
    assert report["truth"] == str(beside)
    events = {(event.user, event.event_ms): event for event in admitted(out)}
    for line in lines:
        event = events[pseudonym(line["user"], b"k"), line["event_ms"]]
        assert line["id"] in (None, event.id)
        assert sum(line["intent"].values()) == pytest.approx(1, abs=1e-10)
    assert list(lines[0]["intent"]) == list(shop().intents)


def test_the_events_are_the_same_with_and_without_the_truth(tmp_path: Path) -> None:
    for name, more in (("plain", []), ("watched", ["--truth", str(tmp_path / "truth.jsonl.gz")])):
        call("--users", "50", "--days", "2", "--json", "--out", str(tmp_path / name), *more)
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "watched").read_bytes()


def test_a_truth_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="Give another --truth"):
        call("--users", "5", "--days", "1", "--out", str(tmp_path / "e"), "--truth", str(tmp_path / "file" / "t"))
