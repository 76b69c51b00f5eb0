from __future__ import annotations

import re

import redis.crc
from hypothesis import given
from hypothesis import strategies as st

from lambent import keys

KEY = bytes(range(32))


def test_a_pseudonym_is_the_documented_hmac() -> None:
    # echo -n 'jane' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102…1f -binary | head -c 16 | basenc --base64url
    assert keys.pseudonym("jane", KEY) == "WxKoOdUye4E6KdEPMMy86w"


@given(st.text(max_size=40))
def test_a_pseudonym_is_22_characters_that_need_no_escaping(raw: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", keys.pseudonym(raw, KEY))


@given(st.from_regex(r"[A-Za-z0-9_-]{22}", fullmatch=True), st.integers(1, 1024))
def test_a_users_partition_follows_from_the_clusters_own_key_slot(user: str, partitions: int) -> None:
    assert keys.partition(user, partitions) == redis.crc.key_slot(user.encode()) % partitions


def test_all_keys_of_a_partition_lie_in_one_slot_of_a_cluster() -> None:
    of_users = [make(7, "u" * 22) for make in (keys.profile, keys.live, keys.intent)]
    of_partition = [make(7) for make in (keys.events, keys.intents, keys.dead, keys.position, keys.control, keys.lease)]
    assert len({redis.crc.key_slot(key.encode()) for key in of_users + of_partition}) == 1


def test_every_key_is_described_where_it_is_defined() -> None:
    made = {
        make(*("p", "USER")[: make.__code__.co_argcount])
        for make in vars(keys).values()
        if callable(make) and getattr(make, "__annotations__", {}).get("p") == "int"
    }
    assert {key.pattern for key in keys.KEYS} == made | {
        keys.META,
        keys.ARCHIVER,
        keys.ARCHIVED,
        keys.PUBLISHER,
        keys.WORKERS,
    }
    assert len(keys.KEYS) == len({key.pattern for key in keys.KEYS})
    assert all(key.meaning and key.written_by and key.read_by and key.lives for key in keys.KEYS)
