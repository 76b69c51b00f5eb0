"""Which profile a worker takes a user's history from."""

from __future__ import annotations

import numpy as np
import pytest

from lambent import keys
from lambent.encoding import encode_events
from lambent.events import Event
from lambent.features import shop_features
from lambent.fold import fold_profiles
from lambent.records import encode_profiles
from realtime.users import read_users

FEATURES = shop_features()
USER = keys.pseudonym("anna", b"k" * 32)
NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(("cutoff_ms", "is_used"), [(0, True), (NOW_MS, True), (NOW_MS + 1, False)])
def test_a_published_profile_counts_unless_it_has_seen_the_event_already(cutoff_ms: int, is_used: bool) -> None:
    """A cut-off of 0 is that of a history from files alone."""
    bought = Event(user=USER, type="purchase", event_ms=NOW_MS - 86_400_000, id="e")
    events = encode_events([bought], [bought.event_ms], FEATURES.taxonomy)
    profile = fold_profiles(FEATURES, FEATURES.profile.identity(1), np.zeros(1, np.int64), events)
    profile["fact"] = 1
    users = read_users(FEATURES, [*encode_profiles(FEATURES, profile, cutoff_ms), None], np.array([NOW_MS]))
    expected = profile if is_used else FEATURES.profile.identity(1)
    assert users.base["clock_ms"] == expected["clock_ms"]
    assert (users.base["count"] == expected["count"]).all()
    assert users.cutoff_ms == (cutoff_ms if is_used else 0)
    assert (users.base["fact"] == 1).all()  # what is told of a user is no event
