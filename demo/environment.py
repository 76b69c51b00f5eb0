"""Where the demo runs: its own folder, its own ports, and the variables that every part of it is started with."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import SecretStr

from lambent.errors import LambentError
from lambent.settings import PREFIX, Settings, load_settings
from spark_jobs.session import load_facts, session_conf

PARTITIONS = 8
TILE_MS = 1_000
PROJECT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 20


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def demo_settings(settings: Settings) -> Settings:
    """The caller's settings, moved to the demo's own folder and ports; the folder is ``ROOT/demo``."""
    root = settings.root / "demo"
    return load_settings(
        root=root,
        tables="",
        artifacts="",
        mlflow_uri="",
        store_url=f"redis://127.0.0.1:{free_port()}/0",
        http_port=free_port(),
        partitions=PARTITIONS,
        tile_ms=TILE_MS,
        spark_master="local[2]",
        spark_memory="1g",
    )


def variables(settings: Settings) -> dict[str, str]:
    """Environment of every process that runs with these settings, whatever other sources say."""
    own = {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in settings
        if value is not None
    }
    airflow_home = settings.root / "airflow"
    return (
        os.environ
        | {f"{PREFIX}{name.upper()}": str(value) for name, value in own.items()}
        | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_CONF_DIR": str(settings.root / "spark" / "conf"),
            **java_variables(),
            "AIRFLOW_HOME": str(airflow_home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps(
                {"conn_type": "spark", "host": settings.spark_master, "extra": {"spark-binary": "spark-submit"}}
            ),
        }
    )


def java_variables() -> dict[str, str]:
    """Where set-up found Java, unless the caller says otherwise."""
    home = os.environ.get("JAVA_HOME") or load_facts().get("java_home")
    return {"JAVA_HOME": home} if home else {}


def write_spark_conf(settings: Settings) -> None:
    """The configuration that ``spark-submit`` finds by SPARK_CONF_DIR, as a cluster has one of its own."""
    folder = settings.root / "spark" / "conf"
    folder.mkdir(parents=True, exist_ok=True)
    lines = (f"{name} {value}\n" for name, value in session_conf(settings).items())
    (folder / "spark-defaults.conf").write_text("".join(lines))


class Processes:
    """The demo's processes: each with a log of its own, all ended when the demo ends."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.logs = settings.root / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        write_spark_conf(settings)
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], *, nice: int = 0) -> subprocess.Popen[bytes]:
        """Start a process; its output goes to ``logs/NAME.log``."""
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["nice", "-n", str(nice), *command] if nice else list(command),
                env=variables(self.settings), cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._running[name] = process
        return process

    def lambent(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``lambent NAME …``."""
        return self.start(name, [sys.executable, "-m", "lambent", name, *arguments])

    def wait(self, name: str) -> None:
        """Wait for a process to end.

        Raises:
            LambentError: it failed; the message holds the last lines of its log.
        """
        code = self._running[name].wait()
        if code:
            raise LambentError(
                f"The demo's {name} ended with code {code}.\n{self.tail(name)}", f"Log: {self.logs}/{name}.log"
            )

    def check(self) -> None:
        """Raise if a process that should be running has failed."""
        for name, process in self._running.items():
            if process.poll():
                self.wait(name)

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a process's log."""
        return "\n".join((self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])

    def stop(self, name: str) -> None:
        """Ask a process to end, and see that it does."""
        process = self._running.pop(name, None)
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """End everything, what was started last first."""
        for name in reversed(list(self._running)):
            self.stop(name)


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Processes]:
    """Processes that end with the block, however it ends."""
    processes = Processes(settings)
    try:
        yield processes
    finally:
        processes.stop_all()


def wait_until(ready: Callable[[], bool], what: str, processes: Processes, seconds: float = 30) -> None:
    """Wait for ``ready()`` to be true while the processes live.

    Raises:
        LambentError: it was not within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return
        processes.check()
        time.sleep(0.05)
    raise LambentError(f"{what} was not ready within {seconds:.0f} s.", f"See the logs in {processes.logs}.")


def start_store(processes: Processes) -> None:
    """Start the embedded Valkey; return when it answers."""
    processes.lambent("store")
    wait_until(lambda: store_answers(processes.settings), "Valkey", processes)


def store_answers(settings: Settings) -> bool:
    """Whether a store answers where the settings say."""
    import redis

    url = settings.store_url.get_secret_value()
    try:
        with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as store:
            return bool(store.ping())
    except redis.RedisError:
        return False


def http_answers(url: str) -> bool:
    """Whether a server on this machine answers a URL with 200."""
    import httpx

    try:
        return httpx.get(url, timeout=1, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
