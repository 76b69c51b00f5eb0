"""API keys in their file, on a server's ring, and from the command line; and how much each may ask for."""

from __future__ import annotations

import argparse
import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.errors import DataError, SettingsError, UsageError
from lambent.settings import Settings, load_settings
from realtime.api_keys import LOOK_S, Keyring, Scope, create_key, read_keys, revoke_key
from realtime.key_command import COMMAND
from realtime.rates import BURST_S, Rates


class Clock:
    """A clock that goes when it is told."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def call(settings: Settings, *arguments: str) -> Any:
    """What ``lambent key ARGUMENTS`` reports."""
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    parser.add_argument("--json", action="store_true")
    return COMMAND.run(parser.parse_args(arguments), settings)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "somewhere" / "keys.json"


def test_a_key_is_kept_as_a_hash_that_only_its_owner_may_read(path: Path) -> None:
    secret, key = create_key(path, "checkout", [Scope.WRITE])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret.split("_", 2)[2] not in path.read_text()
    assert secret.startswith(f"lambent_{key.id}_")
    assert Keyring(path).find(secret) == key == read_keys(path)[0]


def test_of_keys_that_are_made_at_the_same_time_all_are_kept(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: create_key(path, f"of {n}", [Scope.READ]), range(40)))
    ring = Keyring(path)
    assert sorted(key.name for key in read_keys(path)) == sorted(f"of {n}" for n in range(40))
    assert all(ring.find(secret) == key for secret, key in made)


def test_a_key_with_one_character_changed_is_none(path: Path) -> None:
    secret, _ = create_key(path, "", [Scope.READ])
    ring = Keyring(path)
    for at in range(len(secret)):
        assert ring.find(secret[:at] + ("A" if secret[at] != "A" else "B") + secret[at + 1 :]) is None
    assert ring.find(secret + "\n") is None


@given(st.text())
def test_no_text_is_a_key_of_an_empty_ring(text: str) -> None:
    assert Keyring(Path("/nowhere/keys.json")).find(text) is None


def test_what_is_made_or_revoked_is_known_within_a_second(path: Path) -> None:
    clock = Clock()
    ring = Keyring(path, clock)
    assert not ring.asked
    secret, key = create_key(path, "", [Scope.READ])
    clock.now_s += LOOK_S
    assert ring.asked
    assert (ring.find(secret), key in ring) == (key, True)
    revoke_key(path, key.id)
    clock.now_s += LOOK_S
    assert (ring.find(secret), key in ring, len(ring)) == (None, False, 0)
    assert ring.asked  # the last key's end does not open the server


@pytest.mark.parametrize("spoil", ["remove", "break", "another version"])
def test_a_file_that_is_gone_or_broken_leaves_the_keys_as_they_were(path: Path, spoil: str) -> None:
    clock = Clock()
    secret, key = create_key(path, "", [Scope.READ])
    ring = Keyring(path, clock)
    path.unlink()
    if spoil != "remove":
        path.write_text("{" if spoil == "break" else '{"keys":[{"id":1}]}')
        with pytest.raises(DataError, match=r"keys\.json cannot be read"):
            Keyring(path)
    clock.now_s += LOOK_S
    assert (ring.asked, ring.find(secret)) == (True, key)


def test_a_key_that_is_not_there_cannot_be_revoked(path: Path) -> None:
    create_key(path, "", [Scope.READ])
    with pytest.raises(UsageError, match="lambent key list"):
        revoke_key(path, "0" * 12)
    assert len(read_keys(path)) == 1


def test_the_command_prints_a_key_once_lists_it_without_its_secret_and_revokes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(root=tmp_path)
    report = call(settings, "create", "--scope", "write", "--scope", "read", "--name", "checkout")
    said = capsys.readouterr()
    assert said.out == report["key"] + "\n"
    assert report["key"] not in said.err
    call(settings, "list")
    listed = capsys.readouterr().out
    assert report["id"] in listed
    assert "write,read" in listed
    assert report["key"] not in listed
    assert report["key"] not in json.dumps(call(settings, "list", "--json"))
    call(settings, "revoke", report["id"])
    assert call(settings, "list", "--json") == []


def test_the_command_wants_a_scope_and_an_id(tmp_path: Path) -> None:
    settings = load_settings(root=tmp_path)
    with pytest.raises(UsageError, match="write or read or admin"):
        call(settings, "create")
    with pytest.raises(UsageError, match="Name its ID"):
        call(settings, "revoke")
    with pytest.raises(SystemExit):
        call(settings, "create", "--scope", "all")
    assert not settings.api_keys_file.exists()


# Rates


def passing(rates: Rates, costs: list[int]) -> Iterator[int]:
    for cost in costs:
        if not rates.enter("k"):
            rates.charge("k", cost)
            yield cost


@given(
    st.integers(1, 1_000),
    st.lists(st.tuples(st.floats(0, 5), st.lists(st.integers(1, 1_000), max_size=4)), max_size=30),
)
def test_no_key_gets_more_than_its_rate_a_burst_and_one_request(
    per_s: int, steps: list[tuple[float, list[int]]]
) -> None:
    clock = Clock()
    rates = Rates(per_s, clock)
    taken, began_s = 0, clock.now_s
    for wait_s, costs in steps:
        clock.now_s += wait_s
        taken += sum(passing(rates, costs))
        assert taken <= per_s * (BURST_S + clock.now_s - began_s) + 1_000 + 1e-6


def test_of_two_requests_for_the_last_token_one_passes_and_the_other_is_told_how_long_to_wait() -> None:
    clock = Clock()
    rates = Rates(10, clock)
    rates.enter("k")
    rates.charge("k", 19)
    assert [rates.enter("k"), rates.enter("k")] == [0.0, pytest.approx(0.1)]
    assert rates.enter("another key") == 0.0
    clock.now_s += 0.11
    assert rates.enter("k") == 0.0


def test_what_a_request_cost_beyond_the_bucket_is_paid_back_before_the_next() -> None:
    clock = Clock()
    rates = Rates(10, clock)
    assert list(passing(rates, [1_000])) == [1_000]
    wait_s = rates.enter("k")
    assert wait_s == pytest.approx((1_000 - 20 + 1) / 10)
    clock.now_s += wait_s + 1e-9
    assert rates.enter("k") == 0.0


def test_a_rate_of_0_is_no_limit() -> None:
    assert list(passing(Rates(0), [1_000] * 50)) == [1_000] * 50


# Settings


@pytest.mark.parametrize(
    "text", ["*", "shop.example", "https://shop.example/", "https://*.example", "null", "https://a b"]
)
def test_what_is_no_origin_is_refused_in_words(text: str) -> None:
    with pytest.raises(SettingsError, match=r"http_cors_origins.*is no origin"):
        load_settings(http_cors_origins=text)


def test_origins_stand_with_blanks_between() -> None:
    text = "https://shop.example http://localhost:3000"
    assert load_settings(http_cors_origins=text).http_cors_origins == text
