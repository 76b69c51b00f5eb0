"""What ``lambent up`` runs: each part's command, how to see that it is ready, and where it can be found."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from pydantic import SecretStr

from demo.environment import PROJECT, http_answers, store_answers
from demo.ports import LOOPBACK, http_url, pick_port
from demo.supervisor import Part
from lambent.errors import UsageError
from lambent.masking import mask_url
from lambent.settings import Settings

NAMES = ("store", "server", "worker", "archiver", "airflow", "mlflow")
AIRFLOW_PORT = 8080
MLFLOW_PORT = 5000
AIRFLOW_TASKS = 2
"""At once: a Spark job uses every core by itself."""

Say = Callable[[str], None]


@dataclasses.dataclass
class Plan:
    """What to run, and where it will be.

    Attributes:
        settings: the caller's, with the ports that were picked.
        parts: to run, in the order in which they start.
        addresses: by name, of the parts that have one, and of what runs already.
        env: variables of every part.
    """

    settings: Settings
    parts: list[Part] = dataclasses.field(default_factory=list)
    addresses: dict[str, str] = dataclasses.field(default_factory=dict)
    env: dict[str, str] = dataclasses.field(default_factory=dict)

    def lambent(self, name: str, url: str, probe: str, env: dict[str, str] | None = None) -> None:
        """Add ``lambent NAME``, which is ready when ``probe`` answers below its address."""
        after = tuple(part.name for part in self.parts if part.name == "store")
        command = [sys.executable, "-m", "lambent", name]
        self.parts.append(Part(name, command, lambda: http_answers(url + probe), after, env or {}))
        self.addresses[name] = url


def make_plan(settings: Settings, without: Collection[str], say: Say) -> Plan:
    """Decide what to run, on which ports.

    Raises:
        UsageError: no store answers at a URL where none can be started.
    """
    plan = Plan(settings)
    adders = (_add_store, _add_server, _add_worker, _add_archiver, _add_airflow, _add_mlflow)
    for name, add in zip(NAMES, adders, strict=True):
        if name not in without:
            add(plan, say)
    return plan


def _add_store(plan: Plan, say: Say) -> None:
    url = plan.settings.store_url.get_secret_value()
    if store_answers(plan.settings):
        say(f"A store answers at {mask_url(url)} already: it is used as it is.")
    else:
        url = _embedded_url(url, say)
        settings = plan.settings = plan.settings.model_copy(update={"store_url": SecretStr(url)})
        command = [sys.executable, "-m", "lambent", "store"]
        plan.parts.append(Part("store", command, lambda: store_answers(settings)))
    plan.addresses["store"] = mask_url(url)


def _embedded_url(url: str, say: Say) -> str:
    """Where the embedded store can listen."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return url
    if parts.scheme != "redis" or parts.hostname not in (LOOPBACK, "localhost", "::1"):
        raise UsageError(
            f"No store answers at {mask_url(url)}, and one can be started on this machine only.",
            "Start it, or set LAMBENT_STORE_URL=redis://127.0.0.1:6390/0.",
        )
    port = parts.port or 6379
    picked = pick_port("the store", port, say, "::1" if parts.hostname == "::1" else LOOPBACK)
    return url if picked == port else f"redis://{LOOPBACK}:{picked}{parts.path}"


def _add_server(plan: Plan, say: Say) -> None:
    host = plan.settings.http_host
    port = pick_port("the server", plan.settings.http_port, say, host)
    plan.settings = plan.settings.model_copy(update={"http_port": port})
    plan.lambent("server", http_url(host, port), "/readyz")


def _add_worker(plan: Plan, say: Say) -> None:
    _add_metered(plan, "worker", plan.settings.metrics_port, say)


def _add_archiver(plan: Plan, say: Say) -> None:
    _add_metered(plan, "archiver", 0, say)  # the one port of the settings is the worker's


def _add_metered(plan: Plan, name: str, usual: int, say: Say) -> None:
    """A part whose only address is that of its metrics."""
    port = pick_port(f"the {name}'s metrics", usual, say)
    plan.lambent(name, http_url(LOOPBACK, port), "/metrics", {"LAMBENT_METRICS_PORT": str(port)})


def _add_airflow(plan: Plan, say: Say) -> None:
    port = pick_port("Airflow", AIRFLOW_PORT, say)
    url = plan.addresses["airflow"] = http_url(LOOPBACK, port)
    health = f"{url}/api/v2/monitor/health"
    plan.env |= _airflow_variables(url, port)
    web = ["airflow", "api-server", "--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    commands = {
        "airflow": (web, lambda: http_answers(health)),
        # Task logs are read from the folder: the scheduler need not serve them to the network.
        "airflow-scheduler": (["airflow", "scheduler", "--skip-serve-logs"], lambda: _is_healthy(health, "scheduler")),
        "airflow-dags": (["airflow", "dag-processor"], lambda: _is_healthy(health, "dag_processor")),
    }
    plan.parts.append(Part("airflow-db", ["airflow", "db", "migrate"], once=True))
    plan.parts += [Part(name, command, ready, ("airflow-db",)) for name, (command, ready) in commands.items()]
    pools = ["airflow", "pools", "import", str(PROJECT / "dags" / "pools.json")]
    plan.parts.append(Part("airflow-pools", pools, after=("airflow-db",), once=True))


def _airflow_variables(url: str, port: int) -> dict[str, str]:
    return {
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": str(AIRFLOW_TASKS),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH", "")])),
    }


def _is_healthy(url: str, name: str) -> bool:
    """Whether Airflow's web server has seen a heartbeat of a part lately."""
    import httpx

    try:
        return httpx.get(url, timeout=1, trust_env=False).json()[name]["status"] == "healthy"
    except (httpx.HTTPError, ValueError, KeyError):
        return False


def _add_mlflow(plan: Plan, say: Say) -> None:
    uri = plan.settings.mlflow_tracking_uri
    if uri.startswith(("http://", "https://")):
        say(f"MLflow is at {mask_url(uri)}: none is started.")
        plan.addresses["mlflow"] = mask_url(uri)
        return
    port = pick_port("MLflow", MLFLOW_PORT, say)
    url = plan.addresses["mlflow"] = plan.env["LAMBENT_MLFLOW_UI"] = http_url(LOOPBACK, port)
    files = plan.settings.root / "mlflow-artifacts"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--artifacts-destination", str(files),
               "--host", LOOPBACK, "--port", str(port), "--workers", "1"]  # fmt: skip
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    plan.parts.append(Part("mlflow", command, lambda: http_answers(f"{url}/health"), env=quiet))
