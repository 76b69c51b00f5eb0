"""What the live side reads of the table ``users`` itself: for a rebuild, and for the law."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake

from lambent import oracle
from lambent.events import Event
from lambent.features import shop_features
from lambent.records import decode_profiles
from lambent.settings import Settings
from lambent.tables import EVENTS, USERS
from realtime.bases import read_bases
from realtime.told import read_told
from tests.chaos.rig import ingest

FEATURES = shop_features()
ANNA, BEN, CLEO = (f"{n:022d}" for n in range(3))
CHANGE_MS = 1_700_000_000_000
SAID: list[tuple[str, dict[str, Any], int, int | None]] = [
    (ANNA, {"gender": "female", "age_band": "18-24", "member_since_ms": None}, CHANGE_MS - 1_000, CHANGE_MS),
    (ANNA, {"gender": "female", "age_band": "25-34", "member_since_ms": None}, CHANGE_MS, None),
    (BEN, {"gender": None, "age_band": None, "member_since_ms": CHANGE_MS - 86_400_000}, CHANGE_MS, None),
]
"""Anna has had a birthday; Ben has just become a member; of Cleo nothing is told."""


@pytest.fixture
def shop(tmp_path: Path) -> Settings:
    settings = Settings(root=tmp_path)
    rows = [{"user": user, **told, "valid_from_ms": a, "valid_to_ms": b, "told_ms": a} for user, told, a, b in SAID]
    write_deltalake(settings.table(USERS), pa.Table.from_pylist(rows))
    return settings


@pytest.mark.parametrize(
    ("cutoff_ms", "known"),
    [
        (CHANGE_MS - 1_001, {}),
        (CHANGE_MS - 1_000, {ANNA: 0}),
        (CHANGE_MS - 1, {ANNA: 0}),
        (CHANGE_MS, {ANNA: 1, BEN: 2}),
        (0, {ANNA: 1, BEN: 2}),
    ],
)
def test_a_snapshot_holds_what_was_told_at_its_cutoff_and_before_the_live_log_what_was_told_last(
    shop: Settings, cutoff_ms: int, known: dict[str, int]
) -> None:
    found = read_told(shop, FEATURES, [ANNA, BEN, CLEO], cutoff_ms)
    expected = {user: oracle.profile(FEATURES, [], SAID[row][1])["fact"][0].tolist() for user, row in known.items()}
    assert found == expected
    assert read_told(shop, FEATURES, [ANNA], cutoff_ms).keys() == known.keys() & {ANNA}


def test_without_the_table_nothing_is_told(tmp_path: Path) -> None:
    assert read_told(Settings(root=tmp_path), FEATURES, [ANNA], 0) == {}


def test_a_replay_begins_with_what_was_told_then_of_users_with_and_without_events(shop: Settings) -> None:
    events = [Event(user=user, type="view", event_ms=CHANGE_MS - 10, id=user) for user in (ANNA, CLEO)]
    ingest(shop, events)
    assert Path(shop.table(EVENTS)).exists()
    bases = {user: profile for user, profile, _ in read_bases(shop, FEATURES, {ANNA, BEN, CLEO}, CHANGE_MS)}
    told = {ANNA: SAID[1][1], BEN: SAID[2][1], CLEO: {}}
    assert bases.keys() == told.keys()
    for user, profile in bases.items():
        own = [(event, event.event_ms) for event in events if event.user == user]
        expected = oracle.profile(FEATURES, oracle.mark(FEATURES, own), told[user])
        found, _ = decode_profiles(FEATURES, [profile])
        for name in ("fact", "count", "clock_ms"):
            np.testing.assert_array_equal(found[name], expected[name])
