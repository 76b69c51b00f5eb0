"""A champion, or a correction of what it says, enters the log: one control entry in each partition, so that a replay switches
where live did."""

from __future__ import annotations

from pathlib import Path

import msgspec
import redis

from lambent import keys
from lambent.calibration import Calibration
from lambent.cluster import connect
from lambent.control import CalibrationEntry, ControlEntry, ModelEntry, RolloutEntry, encode_control
from lambent.errors import ModelError, StoreError
from lambent.refusal import refusal
from lambent.settings import Settings
from models.artifact import digest, read_description

CORRECTION = "correction.json"
"""File beside an artifact's that holds the correction that was sent last."""
_FORM = 'Write {"scale": [1, …], "bias": [0, …]}, a number for each intent in the order of the taxonomy.'


def announce(settings: Settings, version: int) -> int:
    """Append the control entry of a version to every partition's stream. To do so twice does no harm.

    Returns:
        How many partitions were told.

    Raises:
        ModelError: the version's artifact is missing or broken.
        StoreError: the store cannot be reached, or was never made.
    """
    entry = _model_entry(settings, version)
    return _append(settings, entry, f"Model {version}", f"lambent model promote {version}")


def correct(settings: Settings, version: int, path: Path) -> int:
    """Append a correction of what a version says, from a file ``{"scale": […], "bias": […]}``; to how many partitions.

    Raises:
        ModelError: the version's artifact is missing, or the file is no correction of it.
        StoreError: the store cannot be reached, or was never made.
    """
    intents = len(read_description(artifact_folder(settings, version))["intents"])
    try:
        calibration = msgspec.json.decode(path.read_bytes(), type=Calibration)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"{path}: not a calibration ({error}).", _FORM) from error
    if not calibration.fits(intents):
        raise ModelError(f"{path}: not a calibration of {intents} intents with scales above 0.", _FORM)
    entry = CalibrationEntry(version, calibration)
    partitions = _append(
        settings, entry, f"The correction of model {version}", f"lambent model correct {version} {path}"
    )
    (artifact_folder(settings, version) / CORRECTION).write_bytes(msgspec.json.encode(calibration))
    return partitions


def challenge(settings: Settings, version: int, experiment: str, share: float, *, shadow: bool) -> int:
    """Have a share of the users begin their sessions on a version, from here on; to how many partitions that was told.

    Args:
        settings: name the store, and say where the artifact is.
        version: the challenger.
        experiment: decides by lot whose sessions these are.
        share: of the users, above 0 and at most 1.
        shadow: it only predicts beside the champion, and nobody acts on it.

    Raises:
        ModelError: the version's artifact is missing or broken.
        StoreError: the store cannot be reached, or was never made.
    """
    entry = RolloutEntry(_model_entry(settings, version), experiment, share, shadow)
    command = f"lambent model challenge {version} --share {share:g}{' --shadow' if shadow else ''}"
    return _append(settings, entry, f"Challenger {version}", command)


def stop_challenge(settings: Settings) -> int:
    """Have no session begin on a challenger any more; to how many partitions that was told.

    Raises:
        StoreError: the store cannot be reached, or was never made.
    """
    return _append(settings, RolloutEntry(), "The challenger's end", "lambent model challenge --stop")


def is_corrected(settings: Settings, version: int) -> bool:
    """Whether what a version says live is not what its artifact says."""
    path = artifact_folder(settings, version) / CORRECTION
    if not path.exists():
        return False
    calibration = msgspec.json.decode(path.read_bytes(), type=Calibration)
    return calibration != Calibration.identity(len(calibration.scale))


def _model_entry(settings: Settings, version: int) -> ModelEntry:
    """What names a version in the log, once its artifact is known to be whole."""
    folder = artifact_folder(settings, version)
    read_description(folder)
    return ModelEntry(version, str(folder), digest(folder))


def _append(settings: Settings, control: ControlEntry, what: str, command: str) -> int:
    entry = encode_control(control)
    try:
        with connect(settings.store_url.get_secret_value()) as store:
            partitions = _partitions(store)
            pipeline = store.pipeline(transaction=False)
            for p in range(partitions):
                pipeline.xadd(keys.events(p), {"c": entry})
            pipeline.execute()
    except redis.RedisError as error:
        raise StoreError(
            f"{what} could not be announced. {refusal(error).cause}", f"When the store is up: {command}."
        ) from error
    return partitions


def artifact_folder(settings: Settings, version: int) -> Path:
    """Where the artifact of a version lies."""
    return settings.artifacts_root / str(version)


def _partitions(store: redis.Redis) -> int:
    partitions = store.hget(keys.META, "partitions")
    if partitions is None:
        raise StoreError(f"The store has no {keys.META}: it was never made.", "Start a worker or the server first.")
    return int(partitions)
