from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.aggregates import ACT_BITS, HASH_BITS, MAX_RANK, MINUTE_MS, SECOND_MS
from lambent.codec import STORED_LEAST, STORED_RELATIVE, pack, unpack
from lambent.errors import DataError, StoreError
from lambent.events import MIN_EVENT_MS
from lambent.features import FeatureSet, shop_features
from lambent.profile import KINDS, Layout, Profiles
from lambent.records import decode_profiles, encode_profiles
from lambent.taxonomy import shop
from tests.codec_oracle import pack_one

FEATURES = shop_features()
LAYOUT = FEATURES.profile


def some_profiles(seed: int, users: int, layout: Layout = LAYOUT) -> Profiles:
    """Profiles of which about half the columns are the identity."""
    random = np.random.default_rng(seed)
    profiles = layout.identity(users)
    profiles["clock_ms"] = random.integers(0, 2**41, users)
    for group, kind in KINDS.items():
        most = {"register": MAX_RANK + 1, "recent": 2**48}.get(group, 2**32)
        values = random.integers(1, most, profiles[group].shape).astype(kind.dtype)
        profiles[group] = np.where(random.random(values.shape) < 0.5, values, kind.identity)
    return profiles


@given(st.integers(0, 2**32), st.integers(0, 5), st.integers(1, 5))
def test_a_packed_profile_of_any_features_unpacks_to_itself(seed: int, users: int, each: int) -> None:
    layout = Layout(LAYOUT.aggregates[::each])
    profiles = some_profiles(seed, users, layout)
    np.testing.assert_array_equal(unpack(layout, pack(layout, profiles, double=True), double=True), profiles)


@given(st.integers(0, 2**32), st.integers(1, 5), st.booleans())
def test_the_bytes_are_those_that_are_put_together_one_by_one(seed: int, each: int, double: bool) -> None:
    layout = Layout(LAYOUT.aggregates[::each])
    profiles = some_profiles(seed, 3, layout)
    expected = [pack_one(layout, profiles[row : row + 1], double=double) for row in range(3)]
    assert pack(layout, profiles, double=double) == expected


def test_what_happened_at_the_clock_and_after_it_is_remembered() -> None:
    profiles = LAYOUT.identity(1)
    minute = 1_000_000
    profiles["clock_ms"] = MIN_EVENT_MS + minute * MINUTE_MS
    clock_s = int(profiles["clock_ms"][0]) // SECOND_MS
    profiles["latest"][:, :3] = clock_s - 2**24, clock_s, clock_s + 1
    profiles["earliest"] = clock_s
    profiles["recent"][:, :2] = np.array([minute + 1, minute]) << ACT_BITS + HASH_BITS
    np.testing.assert_array_equal(unpack(LAYOUT, pack(LAYOUT, profiles, double=False), double=False), profiles)


@given(st.lists(st.floats(0, 2.0**39), min_size=1, max_size=8))
def test_a_published_float_is_within_one_unit_and_below_the_smallest_nothing(values: list[float]) -> None:
    profiles = LAYOUT.identity(1)
    profiles["decayed"][:, : len(values)] = values
    found = unpack(LAYOUT, pack(LAYOUT, profiles, double=False), double=False)
    np.testing.assert_allclose(found["decayed"], profiles["decayed"], rtol=STORED_RELATIVE, atol=STORED_LEAST)
    again = pack(LAYOUT, found, double=False)
    assert again == pack(LAYOUT, profiles, double=False), "what is stored once is stored the same again"


def test_a_profile_takes_bytes_only_for_what_happened() -> None:
    empty, full = pack(LAYOUT, LAYOUT.identity(1), double=False)[0], pack(LAYOUT, some_profiles(1, 1), double=False)[0]
    assert len(empty) < 50 < len(full)


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_a_profile_that_was_cut_is_refused(seed: int, cut: int) -> None:
    whole, other = pack(LAYOUT, some_profiles(seed, 2), double=True)
    with pytest.raises(DataError):
        unpack(LAYOUT, [whole[:-cut], other], double=True)


def test_a_profile_of_other_features_is_refused_in_words() -> None:
    other = FeatureSet(shop(), LAYOUT.aggregates[1:])
    values = encode_profiles(other, other.profile.identity(1), 0)
    with pytest.raises(StoreError, match=f"{other.hash[:8]}.*{FEATURES.hash}"):
        decode_profiles(FEATURES, list(values))


def test_a_profile_of_another_version_is_refused_in_words() -> None:
    value = encode_profiles(FEATURES, LAYOUT.identity(1), 0)[0]
    with pytest.raises(StoreError, match="version 9"):
        decode_profiles(FEATURES, [b"\x09" + value[1:]])
