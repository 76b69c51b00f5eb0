"""The registry: MLflow's runs, versions and the aliases ``champion`` and ``challenger``, through its plain client.

Nothing is logged automatically and no requirements are inferred: that takes longer than the training of a small model.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lambent.settings import Settings

MODEL = "lambent-intent"
CHAMPION, CHALLENGER = "champion", "challenger"
CHAMPIONS = "champions"
"""Tag of the registered model: which versions came to be champion, as a JSON list."""
EXPERIMENT = "lambent"


class Registry:
    """Runs and versions of the intent model.

    Args:
        settings: say where MLflow keeps them.
    """

    def __init__(self, settings: Settings) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        from mlflow.tracking import MlflowClient

        settings.root.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(settings.mlflow_tracking_uri)
        self._files = (settings.root / "mlruns").as_uri()
        self._pages = pages_url(settings)

    def log(
        self, parameters: Mapping[str, Any], figures: Mapping[str, float], tags: Mapping[str, Any], files: list[Path]
    ) -> str:
        """Record one training as a run; returns the run's id."""
        from mlflow.entities import Metric, Param, RunTag

        now_ms = time.time_ns() // 1_000_000
        run_id: str = self._client.create_run(self._experiment()).info.run_id
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, float(value), now_ms, 0) for name, value in figures.items()],
            params=[Param(name, str(value)) for name, value in parameters.items()],
            tags=[RunTag(name, str(value)) for name, value in tags.items()],
        )
        self.add_files(run_id, files)
        self._client.set_terminated(run_id)
        return run_id

    def add_files(self, run_id: str, files: list[Path]) -> None:
        """Keep more files with a run."""
        for file in files:
            self._client.log_artifact(run_id, str(file))

    def tag(self, version: int, tags: Mapping[str, Any]) -> None:
        """Note something of a version; what was noted under that name is replaced."""
        for name, value in tags.items():
            self._client.set_model_version_tag(MODEL, str(version), name, str(value))

    def page(self, run_id: str) -> str:
        """URL at which a person sees a run; empty where MLflow has no pages."""
        return f"{self._pages}/#/experiments/{self._experiment()}/runs/{run_id}" if self._pages else ""

    def _experiment(self) -> str:
        known = self._client.get_experiment_by_name(EXPERIMENT)
        if known:
            return str(known.experiment_id)
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=self._files))

    def add_version(self, run_id: str, tags: Mapping[str, Any]) -> int:
        """The number of a new version of the model, 1 or more."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(MODEL)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        texts = {name: str(value) for name, value in tags.items()}
        source = self._client.get_run(run_id).info.artifact_uri
        return int(self._client.create_model_version(MODEL, source, run_id, tags=texts).version)

    def champion(self) -> int:
        """The champion's version; 0 if there is none."""
        return self._aliased(CHAMPION)

    def set_champion(self, version: int) -> None:
        """Give a version the alias ``champion``, and note that it came to it."""
        self._name(version, [*self.champions(), version] if version != self.champion() else self.champions())

    def roll_back(self, version: int) -> None:
        """Give the champion before the alias again, and forget that the newest ever had it: the next goes further back."""
        self._name(version, self.champions()[:-1])

    def _name(self, version: int, champions: Sequence[int]) -> None:
        self._client.set_registered_model_alias(MODEL, CHAMPION, str(version))
        self._client.set_registered_model_tag(MODEL, CHAMPIONS, json.dumps(champions))
        if self.challenger() == version:
            self.set_challenger(0)  # it has won

    def set_challenger(self, version: int) -> None:
        """Give a version the alias ``challenger``; 0: nobody has it."""
        if version:
            self._client.set_registered_model_alias(MODEL, CHALLENGER, str(version))
        elif self.challenger():
            self._client.delete_registered_model_alias(MODEL, CHALLENGER)

    def challenger(self) -> int:
        """The challenger's version; 0 if there is none."""
        return self._aliased(CHALLENGER)

    def _aliased(self, alias: str) -> int:
        found = _known(lambda: self._client.get_model_version_by_alias(MODEL, alias))
        return int(found.version) if found else 0

    def champions(self) -> list[int]:
        """All that came to be champion and were not rolled back, the newest last."""
        model = _known(lambda: self._client.get_registered_model(MODEL))
        noted = model.tags.get(CHAMPIONS) if model else None
        if noted is None:  # a registry of before it was noted
            return [champion] if (champion := self.champion()) else []
        return [int(version) for version in json.loads(noted)]

    def versions(self) -> list[dict[str, Any]]:
        """All versions, newest first: version, created_ms and what they were tagged with."""
        found = self._client.search_model_versions(f"name = '{MODEL}'")
        rows = [{**one.tags, "version": int(one.version), "created_ms": one.creation_timestamp} for one in found]
        return sorted(rows, key=lambda row: -int(row["version"]))


def _known(ask: Callable[[], Any]) -> Any:
    """What the registry answers; None where it has no such thing."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def pages_url(settings: Settings) -> str:
    """Where MLflow's pages are, without a user or password; empty where that is not known."""
    url = urlsplit(settings.mlflow_ui or settings.mlflow_tracking_uri)
    if url.scheme not in ("http", "https"):
        return ""
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path.rstrip('/')}"
