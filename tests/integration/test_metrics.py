"""What Prometheus is told by a running worker, a running archiver and a check of the law."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from infra.reference.metrics import exported_name, families, registries
from lambent.records import encode_profiles
from realtime.archiver import Archiver
from realtime.connection import connect_one
from realtime.lag_metrics import LagCollector
from realtime.law import Report
from realtime.law_metrics import write_law_metrics
from realtime.running import metrics_at
from realtime.store import Store
from realtime.worker import Worker
from tests.chaos.rig import FEATURES, Rig, events_of, in_background, make_rig, wait_until
from tests.pages import pages
from tests.valkey import Valkey, free_port, server, valkey  # noqa: F401

pytestmark = pytest.mark.integration
Samples = dict[str, dict[str, float]]


@pytest.fixture
def rig(valkey: Valkey, tmp_path: Path) -> Rig:  # noqa: F811
    return make_rig(valkey, tmp_path)


def read(text: str) -> Samples:
    """By name, then by the labels' values, joined."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            found.setdefault(one.name, {})[",".join(one.labels.values())] = one.value
    return found


def scrape(registry: CollectorRegistry) -> Samples:
    """As Prometheus does it."""
    port = free_port()
    with metrics_at(port, registry), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
        return read(reply.read().decode())


def all_families() -> Iterator[tuple[Metric, tuple[str, ...]]]:
    for registry in registries().values():
        yield from families(registry)


def with_lag(worker: Worker, rig: Rig) -> Worker:
    """As the command has it."""
    LagCollector(worker.metrics.registry, "worker", Store(rig.url), lambda: list(worker.partitions.held))
    return worker


def test_a_running_worker_tells_counts_times_and_how_far_each_partition_is_behind(rig: Rig) -> None:
    worker = with_lag(rig.worker(Store(rig.url)), rig)
    end = in_background(worker.run)
    rig.feed_now(events_of(5, 40))
    rig.feed_now(events_of(5, 10))  # copies
    wait_until(lambda: worker.metrics.tally["entries"] == 50)
    found = scrape(worker.metrics.registry)
    end()
    assert found["lambent_worker_events_total"] == {"": 40}
    assert found["lambent_worker_duplicates_total"] == {"": 10}
    assert found["lambent_worker_lag_entries"] == dict.fromkeys("0123", 0)
    assert found["lambent_worker_lag_seconds"] == dict.fromkeys("0123", 0)
    assert found["lambent_worker_batch_events_sum"] == {"": 50}
    assert found["lambent_worker_step_seconds_count"] == found["lambent_worker_commit_seconds_count"]
    assert found["lambent_worker_latency_seconds_count"] == {"": 40}


def test_a_worker_that_stands_still_is_seen_to_fall_behind(rig: Rig) -> None:
    worker = with_lag(rig.drain(), rig)
    worker.turn(block_ms=0)
    rig.feed_now(events_of(5, 40))
    found = scrape(worker.metrics.registry)
    assert sum(found["lambent_worker_lag_entries"].values()) == 40
    wait_until(lambda: max(scrape(worker.metrics.registry)["lambent_worker_lag_seconds"].values()) > 0)


def test_a_running_archiver_tells_its_own_lag_and_one_that_waits_tells_none(rig: Rig) -> None:
    rig.feed_now(events_of(5, 40))
    own, waits = (Archiver(Store(rig.url), rig.meta, rig.settings, name=name) for name in ("a", "b"))
    own.round()
    waits.round()
    rig.feed_now(events_of(5, 7, start=40))
    found = scrape(own.metrics.registry)
    assert sum(found["lambent_archiver_lag_entries"].values()) >= 7  # and markers
    assert set(found["lambent_archiver_lag_seconds"]) == set("0123")
    assert found["lambent_archiver_rows_total"] == {"log": 40}
    assert "lambent_archiver_lag_entries" not in scrape(waits.metrics.registry)


def test_a_store_that_is_away_takes_the_lag_from_the_page_and_nothing_else() -> None:
    registry = registries()["server"]
    store = Store("", connect_one(f"redis://127.0.0.1:{free_port()}/0"))
    LagCollector(registry, "worker", store, lambda: range(4))
    found = scrape(registry)
    assert "lambent_worker_lag_seconds" not in found
    assert "lambent_collector_events_total" in found


def test_a_profile_that_is_newer_than_the_event_is_a_merge_miss(rig: Rig) -> None:
    rig.feed_now(events_of(1, 10))
    worker = rig.drain()
    hour_ms = 3_600_000
    for number, (ahead_ms, missed) in enumerate(((-hour_ms, 0), (hour_ms, 1))):
        rig.publish(max(ingest_ms for _, ingest_ms in rig.log) + 1)
        stored = {key: rig.store.call("GET", key) for key in rig.store.call("KEYS", "profile:*")}
        profile = encode_profiles(FEATURES, FEATURES.profile.identity(1), rig.store.now_ms() + ahead_ms)[0]
        assert len(stored) == 1
        rig.store.call("SET", *stored, profile)
        rig.feed_now(events_of(1, 1, start=10 + number))
        rig.drain(worker)
        found = read(generate_latest(worker.metrics.registry).decode())
        assert found["lambent_worker_merge_misses_total"] == {"": missed}


def test_failures_of_models_are_counted_once_each(rig: Rig) -> None:
    worker = rig.worker()
    for failures in ({"load": 1}, {"load": 1}, {"load": 3, "step": 2}):
        worker.models.failures.update(failures)
        worker.metrics.models(0, worker.models.failures)
    found = read(generate_latest(worker.metrics.registry).decode())
    assert found["lambent_worker_model_failures_total"] == {"load": 5, "step": 2}


def test_a_check_of_the_law_is_told_by_a_file(tmp_path: Path) -> None:
    write_law_metrics(Report(users=12, differences=3), tmp_path / "law.prom")
    found = read((tmp_path / "law.prom").read_text())
    assert (found["lambent_law_users"], found["lambent_law_differences"]) == ({"": 12}, {"": 3})


def test_metrics_have_the_conventional_names_and_units_a_meaning_and_no_user() -> None:
    for family, labels in all_families():
        name = exported_name(family)
        assert re.fullmatch(r"lambent_(worker|archiver|collector|http|law)_[a-z_]+", name)
        assert not re.search(r"_(ms|s|kb|mb|count|sum|bucket)(_total)?$", name), name
        assert family.documentation.endswith("."), name
        assert set(labels) <= {"partition", "reason", "kind", "table", "status"}, name


def test_the_page_on_how_it_runs_names_metrics_that_there_are() -> None:
    known = {exported_name(family) for family, _ in all_families()}
    named = set(re.findall(r"`(lambent_\w+)`", pages()["docs/how-to/see-how-it-runs.md"]))
    assert len(named) > 8
    assert named <= known
    listed = set(re.findall(r"^\| `(lambent_\w+)`", pages()["docs/reference/metrics.md"], flags=re.MULTILINE))
    assert listed == known
