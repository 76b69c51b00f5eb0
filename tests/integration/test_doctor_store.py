"""``lambent doctor`` on a real Valkey."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambent.doctor import Finding, Question, run_checks
from lambent.features import shop_features
from lambent.settings import Settings
from realtime import forecast
from realtime.checks import check_store
from realtime.store import open_store
from tests.valkey import Valkey, free_port, server, start_valkey, stop_valkey, valkey  # noqa: F401

pytestmark = pytest.mark.integration

COUNT = 20_000


def examine(settings: Settings) -> dict[str, Finding]:
    return {finding.name: finding for finding in run_checks([check_store], Question(settings))}


def test_a_store_as_lambent_starts_one_is_in_order(tmp_path: Path) -> None:
    options = ("--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction")
    running = start_valkey(tmp_path, free_port(), *options)
    try:
        settings = Settings(root=tmp_path, store_url=running.url)  # type: ignore[arg-type]
        before = examine(settings)
        open_store(settings)
        after = examine(settings)
        other = examine(settings.model_copy(update={"partitions": 8}))
    finally:
        stop_valkey(running)
    assert {finding.status for finding in (*before.values(), *after.values())} == {"ok"}
    assert "valkey 9" in after["store"].detail
    assert "no store is made yet" in before["partitions"].detail
    assert other["partitions"].status == "problem"
    assert other["partitions"].remedy.startswith("Set LAMBENT_PARTITIONS=64")


def test_a_store_that_forgets_is_a_problem_and_nothing_is_written(valkey: Valkey, tmp_path: Path) -> None:  # noqa: F811
    valkey.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = examine(Settings(root=tmp_path, store_url=valkey.url))  # type: ignore[arg-type]
    finally:
        valkey.client.config_set("maxmemory-policy", "noeviction")
    assert {name for name, finding in found.items() if finding.status == "problem"} == {"eviction", "persistence"}
    assert valkey.client.dbsize() == 0


def test_the_forecast_is_what_a_store_needs_or_up_to_a_quarter_more(valkey: Valkey) -> None:  # noqa: F811
    valkey.client.execute_command("FLUSHALL", "SYNC")
    empty_bytes = valkey.client.info("memory")["used_memory"]
    pipe = valkey.client.pipeline(transaction=False)
    for entry in forecast.typical_user(shop_features(), 64):
        for number in range(COUNT):
            key = entry.key.replace(forecast.USER, f"{number:022d}")
            pipe.set(key, entry.value, px=10**9 if entry.expires else None)
        pipe.execute()
    measured_bytes = (valkey.client.info("memory")["used_memory"] - empty_bytes) / COUNT
    assert 1 <= forecast.user_bytes(shop_features(), 64) / measured_bytes <= 1.25
