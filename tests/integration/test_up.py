"""``lambent up`` and its supervisor, with real processes: what ends is started again, what is stopped is gone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.parts import make_plan
from demo.ports import is_taken, pick_port
from demo.supervisor import Part, Supervisor
from demo.up import only_one, parse_without
from lambent.errors import LambentError, UsageError
from lambent.settings import load_settings
from tests.valkey import free_port

pytestmark = pytest.mark.integration

SLEEPS = "import time; time.sleep(60)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEPS}"
HAS_GRANDCHILDREN = f"""
import subprocess, sys
for own_session in (False, True):
    subprocess.Popen([sys.executable, "-c", {IGNORES_SIGTERM!r}], start_new_session=own_session)
{SLEEPS}
"""
"""Both outlive their parent, one of them in a session of its own."""


class Rig:
    """A supervisor on tiny programs, and what it said."""

    def __init__(self, folder: Path, *parts: Part) -> None:
        self.said: list[str] = []
        self.ready: list[str] = []
        self.supervisor = Supervisor(
            parts, folder, os.environ, self.said.append, lambda part: self.ready.append(part.name)
        )

    def turn_until(self, true: Callable[[], bool]) -> None:
        def turn() -> bool:
            self.supervisor.turn()
            return true()

        until(turn, 10)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(*parts: Part) -> Rig:
        rigs.append(Rig(tmp_path, *parts))
        return rigs[-1]

    yield make
    for one in rigs:
        one.supervisor.stop()


def until(true: Callable[[], bool], seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end_s, "not in time"
        time.sleep(0.02)


def python(name: str, code: str, **part: Any) -> Part:
    return Part(name, [sys.executable, "-c", code], **part)


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def log_of(folder: Path, name: str) -> str:
    path = folder / f"{name}.log"
    return path.read_text() if path.exists() else ""


def test_what_crashes_is_started_again_and_its_reason_is_shown(rig: Callable[..., Rig], tmp_path: Path) -> None:
    once = tmp_path / "once"
    code = f"import pathlib, sys\nif not (p := pathlib.Path({str(once)!r})).exists(): p.touch(); sys.exit('no luck')\n{SLEEPS}"
    one = rig(python("fragile", code))
    one.turn_until(lambda: bool(one.said))
    assert one.said == ["fragile ended with exit code 1; starts again in 0.5 s.\n    no luck"]
    one.turn_until(lambda: one.supervisor.all_ready and len(one.supervisor.processes()) == 1)
    assert len(one.said) == 1


def test_a_signal_is_named_and_each_wait_is_longer(rig: Callable[..., Rig]) -> None:
    one = rig(python("shot", "import os; os.kill(os.getpid(), 9)"))
    one.turn_until(lambda: len(one.said) == 2)
    assert [line.split(".")[0] for line in one.said] == [
        "shot was ended by SIGKILL; starts again in 0",
        "shot was ended by SIGKILL; starts again in 1 s",
    ]


def test_a_part_starts_when_what_it_needs_is_ready_and_a_step_is_done_once(rig: Callable[..., Rig]) -> None:
    one = rig(python("later", SLEEPS, after=("step",)), python("step", "pass", once=True))
    one.turn_until(lambda: one.supervisor.all_ready)
    assert one.ready == ["step", "later"]
    assert one.said == []


def test_stop_leaves_no_process_not_even_one_that_ignores_it_or_a_grandchild(
    rig: Callable[..., Rig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.supervisor.GRACE_SECONDS", (0.5, 0.5))
    one = rig(python("deaf", IGNORES_SIGTERM), python("parent", HAS_GRANDCHILDREN))
    one.turn_until(lambda: len(one.supervisor.processes()) == 4 and log_of(tmp_path, "parent").count("deaf") == 2)
    until(lambda: "deaf" in log_of(tmp_path, "deaf"), 10)
    members = one.supervisor.processes()
    started_s = time.monotonic()
    one.supervisor.stop()
    assert time.monotonic() - started_s < 3
    assert not [pid for pid in members if alive(pid)]


def test_what_a_crashed_part_leaves_behind_is_ended_before_it_starts_again(
    rig: Callable[..., Rig], tmp_path: Path
) -> None:
    one = rig(python("parent", HAS_GRANDCHILDREN))
    one.turn_until(lambda: log_of(tmp_path, "parent").count("deaf") == 2)
    members = one.supervisor.processes()
    (parent,) = (pid for pid in members if b"start_new_session" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(parent, signal.SIGKILL)
    one.turn_until(lambda: bool(one.said))
    assert not [pid for pid in members if alive(pid)]


def test_not_even_an_orphan_without_any_sign_outlives_the_system() -> None:
    child = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEPS!r}], start_new_session=True, env={{}}).pid)"
    code = f"""
import subprocess, sys
from demo.families import adopt_orphans, end_children
adopt_orphans()
subprocess.run([sys.executable, "-c", {child!r}])
end_children()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert not Path(f"/proc/{int(done.stdout)}").exists()


def test_a_taken_port_is_replaced_with_a_word() -> None:
    said: list[str] = []
    port = free_port()
    assert pick_port("the server", port, said.append) == port
    with held(port):
        assert is_taken(port)
        other = pick_port("the server", port, said.append)
    assert said == [f"Port {port} is taken: the server takes {other}."]


@contextlib.contextmanager
def held(port: int) -> Iterator[None]:
    import socket

    with socket.create_server(("127.0.0.1", port)):
        yield


def test_a_store_elsewhere_that_does_not_answer_is_not_replaced(tmp_path: Path) -> None:
    settings = load_settings(root=tmp_path, store_url=f"rediss://user:secret@127.0.0.1:{free_port()}/0")
    with pytest.raises(UsageError, match="No store answers") as refused:
        make_plan(settings, set(), lambda text: None)
    assert "secret" not in str(refused.value)


def test_only_parts_that_exist_can_be_left_out() -> None:
    assert parse_without("airflow, mlflow") == {"airflow", "mlflow"}
    with pytest.raises(UsageError, match="airfow"):
        parse_without("airfow")


def test_a_second_one_in_the_same_folder_is_refused_in_words(tmp_path: Path) -> None:
    already = rf"up already in .* \(process {os.getpid()}\)"
    with only_one(tmp_path), pytest.raises(LambentError, match=already), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


class System:
    """A real ``lambent up`` of the live parts."""

    def __init__(self, root: Path) -> None:
        own = {"ROOT": root, "HTTP_PORT": free_port(), "PARTITIONS": 4}
        self.root = root
        self.env = os.environ | {f"LAMBENT_{name}": str(value) for name, value in own.items()}
        self.env |= {"LAMBENT_STORE_URL": f"redis://127.0.0.1:{free_port()}/0"}

    @contextlib.contextmanager
    def up(self) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
        """Start it; its process, and a client of its server once all is ready."""
        command = [sys.executable, "-m", "lambent", "up", "--without", "airflow,mlflow", "--json"]
        with (self.root / "said").open("w") as said:
            process = subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=said, text=True)
        try:
            assert process.stdout is not None
            addresses = json.loads(process.stdout.readline())
            assert set(addresses) == {"store", "server", "worker", "archiver"}
            with httpx.Client(base_url=addresses["server"], timeout=20) as client:
                yield process, client
        finally:
            process.terminate()
            process.wait(15)

    def said(self) -> str:
        return (self.root / "said").read_text()


def processes_below(pid: int) -> dict[int, str]:
    """Every process that has come from this one, with its command line."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found[int(child)] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ").strip()
        found |= processes_below(int(child))
    return found


def answer(client: httpx.Client, user: str) -> Any:
    body = client.post("/v1/events", json={"user": user, "type": "view"}, params={"wait": 10_000}).json()
    return body["intents"][0]["intent"]


@pytest.mark.slow
def test_the_system_answers_survives_a_killed_worker_stops_in_time_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    system = System(tmp_path)
    with system.up() as (process, client):
        assert answer(client, "anna")["probabilities"]
        members = processes_below(process.pid)
        assert len(members) == 5, members  # the parts, and Valkey below its own
        (worker,) = (pid for pid, line in members.items() if line.endswith("lambent worker"))
        os.kill(worker, signal.SIGKILL)
        until(lambda: "worker was ended by SIGKILL; starts again in 0.5 s." in system.said(), 5)
        until(lambda: system.said().count("ready  worker") == 2, 10)
        (store,) = (pid for pid, line in members.items() if line.endswith("lambent store"))
        os.kill(store, signal.SIGKILL)  # its Valkey lives on, an orphan that has to go before the next can listen
        until(lambda: system.said().count("ready  store") == 2, 10)
        assert answer(client, "bo")["probabilities"]
        refused = subprocess.run(
            [sys.executable, "-m", "lambent", "up"], env=system.env, capture_output=True, text=True, check=False
        )
        assert (refused.returncode, "is up already in" in refused.stderr) == (1, True)
        members = processes_below(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert not [line for pid, line in members.items() if alive(pid)]
    with system.up() as (_, client):
        found = client.get("/v1/users/bo/intent")
        assert found.status_code == 200
        assert found.json()["intent"]["probabilities"]
