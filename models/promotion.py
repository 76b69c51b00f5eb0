"""A champion enters the log: one control entry in each partition, so that a replay switches models where live did."""

from __future__ import annotations

from pathlib import Path

import redis

from lambent import keys
from lambent.cluster import connect
from lambent.control import ModelEntry, encode_control
from lambent.errors import StoreError
from lambent.settings import Settings
from models.artifact import digest, read_description


def announce(settings: Settings, version: int) -> int:
    """Append the control entry of a version to every partition's stream. To do so twice does no harm.

    Returns:
        How many partitions were told.

    Raises:
        ModelError: the version's artifact is missing or broken.
        StoreError: the store cannot be reached, or was never made.
    """
    folder = artifact_folder(settings, version)
    read_description(folder)
    entry = encode_control(ModelEntry(version, str(folder), digest(folder)))
    try:
        with connect(settings.store_url.get_secret_value()) as store:
            partitions = _partitions(store)
            pipeline = store.pipeline(transaction=False)
            for p in range(partitions):
                pipeline.xadd(keys.events(p), {"c": entry})
            pipeline.execute()
    except redis.RedisError as error:
        remedy = f"When the store is up: lambent model promote {version}."
        raise StoreError(f"Model {version} could not be announced: {error}.", remedy) from error
    return partitions


def artifact_folder(settings: Settings, version: int) -> Path:
    """Where the artifact of a version lies."""
    return settings.artifacts_root / str(version)


def _partitions(store: redis.Redis) -> int:
    partitions = store.hget(keys.META, "partitions")
    if partitions is None:
        raise StoreError(f"The store has no {keys.META}: it was never made.", "Start a worker or the server first.")
    return int(partitions)
