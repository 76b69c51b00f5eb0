"""Why an intent is what it is: planted causes are found where the worker, the store, the command and HTTP meet."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from litestar.testing import TestClient

from lambent import cli, keys
from lambent.calibration import Calibration
from lambent.control import CalibrationEntry, ControlEntry, ModelEntry, encode_control
from lambent.errors import ModelError, StoreError
from lambent.events import Event
from lambent.features import FeatureSet
from realtime import explain, ids
from realtime.api_keys import Keyring
from realtime.explain import FORGOTTEN, NEWER, Explainer
from realtime.explanation import Part
from realtime.intent import Found, find_intent
from realtime.server import create_app
from tests.chaos.rig import FEATURES, TILE_MS, Rig, make_rig
from tests.stores import Start
from tests.valkey import Valkey, flush

pytestmark = pytest.mark.integration
START_MS = 1_700_000_000_000
DAY_MS = 86_400_000
PROFILE = FEATURES.profile.feature_names
CART = FEATURES.taxonomy.type_code["cart"]


@dataclasses.dataclass
class Planted:
    """A model in which two things alone raise the odds of a purchase: bought before, in the profile, and a cart event."""

    version: int = 1

    def start(self, profile):  # type: ignore[no-untyped-def]
        state = np.zeros((len(profile), 64), np.float32)
        state[:, 0] = -3 + 2 * profile[:, PROFILE.index("purchase_sessions")]
        return state

    def step(self, state, ids, floats):  # type: ignore[no-untyped-def]
        state = state.copy()
        state[:, 0] += 2 * (ids[:, 0] == CART)
        purchase = 1 / (1 + np.exp(-state[:, 0]))
        zeros = np.zeros(len(state), np.float32)
        return state, np.stack([1 - purchase, purchase, zeros, zeros], axis=1)


def load(features: FeatureSet, entry: ModelEntry) -> Planted:
    return Planted(entry.version)


@pytest.fixture
def rig(server: Valkey, tmp_path: Path) -> Rig:
    flush(server)
    return told(make_rig(server, tmp_path, partitions=2), ModelEntry(1, "here", ""))


def told(rig: Rig, entry: ControlEntry, at_ms: int = START_MS - 2) -> Rig:
    """A rig with a control entry in its log."""
    for p in range(rig.meta.partitions):
        rig.store.call("XADD", keys.events(p), ids.form(at_ms, 0), "c", encode_control(entry))
    return rig


def user_of(rig: Rig, name: str = "anna") -> str:
    return keys.pseudonym(name, rig.settings.user_key_bytes())


def acts(rig: Rig, at_ms: int, *types: str) -> list[tuple[Event, int]]:
    """A session of one user, an event a minute."""
    times = [at_ms + 60_000 * n for n in range(len(types))]
    user = user_of(rig)
    return [
        (Event(user=user, type=kind, event_ms=ms, id=f"{ms}", product="p1", category="c1"), ms)
        for kind, ms in zip(types, times, strict=True)
    ]


def worked(rig: Rig, *sessions: list[tuple[Event, int]]) -> None:
    for session in sessions:
        rig.feed(session)
        rig.drain(rig.worker(load=lambda entry: load(FEATURES, entry)))


def explained(rig: Rig, loader: Callable[[FeatureSet, ModelEntry], Planted] = load) -> Found:
    found = find_intent(rig.store, rig.meta.partitions, user_of(rig), Explainer(FEATURES, TILE_MS, loader))
    assert found is not None and found.explanation is not None
    base, said = found.explanation.base_rates, found.intent.probabilities
    for name in FEATURES.taxonomy.intents:
        assert base[name] + sum(one.moved[name] for one in found.explanation.parts) == pytest.approx(said[name])
    return found


def parts(found: Found) -> dict[str, float]:
    """By profile's group and by event's number and type, what it did to purchase."""
    assert found.explanation is not None
    own = [one for one in found.explanation.parts if one.kind == "profile"]
    rest = [one for one in found.explanation.parts if one.kind != "profile"]
    named = {one.name: one.moved["purchase"] for one in own}
    return named | {f"{n} {one.name or one.kind}": one.moved["purchase"] for n, one in enumerate(rest, 1)}


def bought_before(rig: Rig) -> None:
    """A purchase, which is in the published profile, and a day later a session with a cart in it."""
    worked(rig, acts(rig, START_MS, "view", "purchase"))
    rig.publish(START_MS + 3_600_000)
    worked(rig, acts(rig, START_MS + DAY_MS, "view", "cart", "view"))


def logistic(odds: float) -> float:
    return 1 / (1 + np.exp(-odds))


def test_the_planted_fact_and_the_planted_event_have_the_parts_that_they_planted(rig: Rig) -> None:
    bought_before(rig)
    found = parts(explained(rig))
    known, unknown = -3 + 2 * np.log1p(1), -3
    assert found["outcomes"] == pytest.approx(logistic(known) - logistic(unknown), abs=1e-5)
    assert found["1 view"] == pytest.approx(logistic(unknown) - 0.04, abs=1e-3)
    assert found["2 cart"] == pytest.approx(logistic(known + 2) - logistic(known), abs=1e-3)
    assert max(found, key=lambda name: abs(found[name])) == "2 cart"
    others = {name: value for name, value in found.items() if name not in ("outcomes", "1 view", "2 cart")}
    assert len(others) == 6 and all(abs(value) < 1e-9 for value in others.values())


def test_on_a_cluster_all_that_explains_is_read_at_once(servers: Start, tmp_path: Path) -> None:
    cluster = servers("cluster")
    flush(cluster)
    rig = told(make_rig(cluster, tmp_path, partitions=2), ModelEntry(1, "here", ""))
    bought_before(rig)
    assert parts(explained(rig))["2 cart"] > 0.4


def test_a_profile_of_which_only_tiles_know_counts_as_well(rig: Rig) -> None:
    worked(rig, acts(rig, START_MS, "view", "purchase"), acts(rig, START_MS + DAY_MS, "view"))
    found = parts(explained(rig))
    assert found["outcomes"] == pytest.approx(logistic(-3 + 2 * np.log1p(1)) - logistic(-3), abs=1e-5)


def test_what_happened_in_the_session_itself_is_no_part_of_the_profile(rig: Rig) -> None:
    worked(rig, acts(rig, START_MS, "view"), acts(rig, START_MS + DAY_MS, "view", "purchase", "view"))
    assert "outcomes" not in parts(explained(rig))


def test_of_a_new_visitor_the_events_alone_have_parts(rig: Rig) -> None:
    worked(rig, acts(rig, START_MS, "cart"))
    found = explained(rig)
    assert parts(found) == {"1 cart": pytest.approx(logistic(-1) - 0.04, abs=1e-6)}
    assert found.explanation is not None and not found.explanation.undivided


def test_a_long_session_keeps_the_profiles_part_apart_from_what_is_kept_no_more(rig: Rig) -> None:
    worked(rig, acts(rig, START_MS, "view", "purchase"))
    rig.publish(START_MS + 3_600_000)
    worked(rig, acts(rig, START_MS + DAY_MS, *["view"] * 5, "cart", *["view"] * 25))
    found = parts(explained(rig))
    known = -3 + 2 * np.log1p(1)
    assert found["outcomes"] == pytest.approx(logistic(known) - logistic(-3), abs=1e-5)
    earlier = logistic(known + 2) - 0.04 - found["outcomes"]
    assert found["1 earlier"] == pytest.approx(earlier, abs=1e-3)


def test_a_correction_of_the_model_is_in_the_profiles_part_too(rig: Rig) -> None:
    calibration = Calibration((1.0, 1.0, 1.0, 1.0), (0.0, 0.5, 0.0, 0.0))
    told(rig, CalibrationEntry(1, calibration), START_MS - 1)
    bought_before(rig)
    found = parts(explained(rig))
    known = -3 + 2 * np.log1p(1)
    assert found["outcomes"] == pytest.approx(logistic(known + 0.5) - logistic(-3 + 0.5), abs=1e-4)


@pytest.mark.parametrize("why", ["published since", "model gone", "control lost", "profile of another version"])
def test_where_the_profile_cannot_be_told_apart_it_says_why_and_the_sum_still_holds(rig: Rig, why: str) -> None:
    bought_before(rig)
    p, user = keys.partition(user_of(rig), rig.meta.partitions), user_of(rig)
    if why == "published since":
        rig.publish(START_MS + 2 * DAY_MS)
        expected = NEWER
    elif why == "model gone":
        expected = "gone/model.json cannot be read."
    elif why == "control lost":
        rig.store.call("DEL", keys.control(p))
        expected = FORGOTTEN
    else:
        rig.store.call("SETRANGE", keys.profile(p, user), 0, b"\x7f")
        expected = "A profile has version 127; this is version 3."
    found = explained(rig, gone if why == "model gone" else load)
    assert found.explanation is not None and found.explanation.undivided == expected
    assert set(parts(found)) == {"1 view", "2 cart", "3 view"}


def gone(features: FeatureSet, entry: ModelEntry) -> Planted:
    raise ModelError("gone/model.json cannot be read.")


def test_without_a_model_there_is_nothing_to_explain(server: Valkey, tmp_path: Path) -> None:
    flush(server)
    rig = make_rig(server, tmp_path, partitions=2)
    worked(rig, acts(rig, START_MS, "view"))
    assert parts(explained(rig)) == {"1 view": pytest.approx(0)}


def test_an_intent_of_another_taxonomy_or_a_record_of_another_version_is_refused_in_words(rig: Rig) -> None:
    bought_before(rig)
    p, user = keys.partition(user_of(rig), rig.meta.partitions), user_of(rig)
    rig.store.call("SETRANGE", keys.live(p, user), 0, b"\x7f")
    with pytest.raises(StoreError, match="live record has version 127"):
        explained(rig)
    rig.store.call(
        "SET",
        keys.intent(p, user),
        b'{"user":"u","event_id":"e","event_ms":0,"ingest_ms":0,"probabilities":{"a":1},"model":"1"}',
    )
    with pytest.raises(StoreError, match="another taxonomy"):
        explained(rig)


def test_http_explains_by_the_same_words_and_only_where_it_is_asked(rig: Rig) -> None:
    bought_before(rig)
    app = create_app(rig.settings, rig.meta, Keyring(rig.settings.api_keys_file))
    explainer = Explainer(FEATURES, TILE_MS, load)
    app.state.context = dataclasses.replace(app.state.context, explainer=lambda: explainer)
    with TestClient(app) as http:
        answer = http.get("/v1/users/anna/intent", params={"explain": "true"})
        assert answer.status_code == 200
        found = answer.json()
        assert [one["kind"] for one in found["explanation"]["parts"]] == ["profile"] * 6 + ["event"] * 3
        assert found["explanation"]["parts"] == [_plain(one) for one in explained(rig).explanation.parts]  # type: ignore[union-attr]
        assert "explanation" not in http.get("/v1/users/anna/intent").json()
        assert http.get("/v1/users/nobody/intent", params={"explain": "true"}).status_code == 404
        p = keys.partition(user_of(rig), rig.meta.partitions)
        rig.store.call("SETRANGE", keys.live(p, user_of(rig)), 0, b"\x7f")
        assert http.get("/v1/users/anna/intent", params={"explain": "true"}).status_code == 502


def _plain(part: Part) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(part)
    return plain


def test_the_command_shows_it_to_people_and_machines(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bought_before(rig)
    monkeypatch.setattr(explain.Explainer.__init__, "__defaults__", (load,))
    for name, value in {"STORE_URL": rig.url, "PARTITIONS": "2", "TILE_MS": str(TILE_MS), "ROOT": str(rig.settings.root)}.items():  # fmt: skip
        monkeypatch.setenv(f"LAMBENT_{name}", value)
    assert cli.main(["intent", "anna", "--explain"]) == 0
    shown = capsys.readouterr().out
    assert "what earlier sessions led to" in shown and "bar: purchase" in shown
    assert cli.main(["intent", "anna", "--explain", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["explanation"]["parts"]) == 9
