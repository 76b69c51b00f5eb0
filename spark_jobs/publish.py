"""Publishes ``profiles`` to the store: one key a user, then the snapshot's cut-off for all.

It reads the table with ``deltalake``, batch by batch, without a JVM: there is nothing to compute, and a JVM would take
longer to start than this takes to publish a hundred thousand users. A profile carries its own cut-off, so a store that is half
published already answers right.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lambent import keys
from lambent.errors import DataError, StoreError
from lambent.features import FeatureSet
from lambent.progress import Progress
from lambent.records import encode_profiles
from lambent.settings import Settings
from lambent.tables import PROFILES
from spark_jobs.commits import last_metadata, need_table
from spark_jobs.profile_rows import from_arrow
from spark_jobs.report import Report, Stopwatch, keep, run_job

if TYPE_CHECKING:
    import redis

JOB = "publish"
BATCH_USERS = 8_192
ROLLBACKS = 3
"""How many of the last published snapshots may be rolled back to; the worker keeps the tiles since the oldest."""


def by_partition(users: Sequence[str], values: Sequence[bytes], partitions: int) -> dict[int, dict[str, bytes]]:
    """Keys and values of each partition: they lie in one slot, so one command can set them."""
    found: dict[int, dict[str, bytes]] = {}
    for user, value in zip(users, values, strict=True):
        p = keys.partition(user, partitions)
        found.setdefault(p, {})[keys.profile(p, user)] = value
    return found


def publish(settings: Settings) -> Report:
    """Write the newest ``profiles`` to the store, and keep the report.

    Raises:
        DataError: there are no profiles, or they were built for other features.
        StoreError: the store cannot be reached, or was made with another tile width.
    """
    watch = Stopwatch()
    table = need_table(settings.table(PROFILES), "Make it: lambent batch profiles.")
    said, features = last_metadata(table), FeatureSet(settings.load_taxonomy())
    if said.get("features") != features.hash:
        cause = f"profiles were built for features {said.get('features')}; these are {features.hash}."
        raise DataError(cause, "Make them anew: lambent batch profiles.")
    with connected(settings) as store:
        partitions = meet_store(store, settings)
        rows = _publish_rows(store, table.to_pyarrow_dataset(), features, partitions, said["cutoff_ms"])
        facts = {**said, "profiles_version": table.version()}
        facts["floor_ms"] = announce(store, facts)
    report = Report(JOB, rows, watch.seconds, facts=facts)
    keep(settings, report)
    return report


def _publish_rows(store: redis.Redis, dataset: Any, features: FeatureSet, partitions: int, cutoff_ms: int) -> int:
    with Progress("publishing", total=dataset.count_rows(), unit="users") as bar:
        for batch in dataset.to_batches(batch_size=BATCH_USERS):
            values = encode_profiles(features, from_arrow(features, batch), cutoff_ms)
            pipeline = store.pipeline(transaction=False)
            for pairs in by_partition(batch.column("user").to_pylist(), values, partitions).values():
                pipeline.mset(pairs)
            pipeline.execute()
            bar.update(batch.num_rows)
        return bar.done


# --- the store ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def connected(settings: Settings) -> Iterator[redis.Redis]:
    """A connection to the store.

    Raises:
        StoreError: it cannot be reached.
    """
    import redis

    store = redis.Redis.from_url(settings.store_url.get_secret_value(), socket_timeout=30, socket_connect_timeout=5)
    try:
        yield store
    except redis.ConnectionError as error:
        raise StoreError(f"The store cannot be reached ({error}).", "Start it, or set LAMBENT_STORE_URL.") from error
    finally:
        store.close()


def meet_store(store: redis.Redis, settings: Settings) -> int:
    """The store's number of partitions; makes the store where there is none.

    Raises:
        StoreError: its tiles have another width than the cut-offs are aligned to.
    """
    for name, value in (("partitions", settings.partitions), ("tile_ms", settings.tile_ms), ("schema", 1)):
        store.hsetnx(keys.META, name, str(value))
    partitions, tile_ms = (int(value or 0) for value in store.hmget(keys.META, "partitions", "tile_ms"))
    if tile_ms != settings.tile_ms:
        cause = f"The store was made with tile_ms={tile_ms}; LAMBENT_TILE_MS is {settings.tile_ms}."
        raise StoreError(cause, "Set it, or rebuild the store.")
    return partitions


def announce(store: redis.Redis, facts: dict[str, Any]) -> int:
    """Say which snapshot is published; returns the floor, before which no tile is needed."""
    published = json.loads(store.hget(keys.META, "published") or "[]")
    published = [*published, facts["cutoff_ms"]][-ROLLBACKS:]
    floor_ms = min(published)
    said: dict[Any, Any] = {
        name: facts[name] for name in ("cutoff_ms", "events_version", "profiles_version", "features")
    }
    store.hset(keys.META, mapping={**said, "published": json.dumps(published), "floor_ms": floor_ms})
    return floor_ms


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m spark_jobs.publish``."""
    argparse.ArgumentParser(prog=JOB, description=__doc__).parse_args(argv)
    return run_job(publish)


if __name__ == "__main__":
    raise SystemExit(main())
