"""``lambent doctor``: how findings are run and told, and the checks that need no service."""

from __future__ import annotations

import http.server
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lambent import cli, doctor, machine
from lambent.doctor import Check, Finding, Question, ok, problem, run_checks, warning
from lambent.errors import StoreError
from lambent.features import shop_features
from lambent.settings import Settings
from models import checks as model_checks
from realtime import checks as realtime_checks
from realtime import forecast
from spark_jobs import checks as batch_checks


def asked(root: Path, users: int = 1_000, **settings: object) -> Question:
    return Question(Settings(root=root, **settings), users)  # type: ignore[arg-type]


def statuses(check: Check, question: Question) -> list[str]:
    return [finding.status for finding in run_checks([check], question)]


# --- the frame ---------------------------------------------------------------------------------------------------------


def call(monkeypatch: pytest.MonkeyPatch, findings: list[Finding], *arguments: str) -> int:
    monkeypatch.setattr(cli, "load_commands", lambda: {"doctor": doctor.COMMAND})
    monkeypatch.setattr(doctor, "load_checks", lambda: [lambda question: findings])
    return cli.main(["doctor", *arguments])


def test_a_finding_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, [ok("disk", "large"), warning("store", "down", "Start it.")]) == 0
    assert capsys.readouterr().out == (
        "ok       disk         large\nwarning  store        down\n                      -> Start it.\n"
        "ok: 1, warnings: 1, problems: 0\n"
    )


def test_a_problem_makes_the_command_fail_in_json_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, [problem("java", "none", "Install it.")], "--json") == 1
    report = json.loads(capsys.readouterr().out)
    expected = {"name": "java", "status": "problem", "detail": "none", "remedy": "Install it."}
    assert report == {"ok": False, "checks": [expected]}


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(tmp_path: Path) -> None:
    def check_first(question: Question) -> Iterator[Finding]:
        raise KeyError("redis://user:hunter2@host")
        yield

    def check_second(question: Question) -> Iterator[Finding]:
        raise ImportError("No module named 'redis'")
        yield

    def check_third(question: Question) -> Iterator[Finding]:
        yield ok("third", "fine")
        raise StoreError("It broke.", "Mend it.")

    found = list(run_checks([check_first, check_second, check_third], asked(tmp_path)))
    assert [(one.name, one.status) for one in found] == [
        ("first", "problem"),
        ("second", "warning"),
        ("third", "ok"),
        ("third", "problem"),
    ]
    assert "hunter2" not in found[0].detail
    assert found[3].remedy == "Mend it."


def test_every_layer_offers_its_checks() -> None:
    expected = [*machine.CHECKS, *batch_checks.CHECKS, *model_checks.CHECKS, *realtime_checks.CHECKS]
    assert {check.__name__ for check in expected} == {getattr(check, "__name__", "") for check in doctor.load_checks()}


def test_what_is_no_number_of_users_is_a_wrong_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as stopped:
        call(monkeypatch, [], "--users", "0")
    assert stopped.value.code == 2


# --- the machine -------------------------------------------------------------------------------------------------------


def test_the_packages_of_this_environment_are_those_that_are_locked(tmp_path: Path) -> None:
    assert statuses(machine.check_packages, asked(tmp_path)) == ["ok"]
    assert machine.required()["pyspark"] == "4.2.0"


def test_other_versions_are_told_by_how_much_is_known_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed = {"pinned": "2.0", "locked": "2.0", "missing": None}
    monkeypatch.setattr(machine, "required", lambda: {"pinned": "1.0", "locked": None, "missing": None})
    monkeypatch.setattr(machine, "read_lock", lambda path: {"pinned": {"1.0"}, "locked": {"1.0"}})
    monkeypatch.setattr(machine, "_installed", installed.get)
    details = [finding.detail for finding in machine.check_packages(asked(tmp_path))]
    assert details == [
        "known not to work: pinned 2.0 (not 1.0)",
        "untested: locked 2.0 (locked 1.0)",
        "not installed: missing",
    ]


@pytest.mark.parametrize(("free", "status"), [(1 << 29, "problem"), (2 << 30, "warning"), (9 << 30, "ok")])
def test_free_space_is_judged_before_the_folder_is_there(
    free: int, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free}))
    assert statuses(machine.check_disk, asked(tmp_path / "not" / "there")) == [status]
    assert not (tmp_path / "not").exists()


def test_a_root_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    assert statuses(machine.check_disk, asked(tmp_path / "root")) == ["problem"]


@pytest.mark.parametrize(
    ("seconds", "drifting", "status"), [(0.0, False, "problem"), (1.8e9, True, "warning"), (1.8e9, False, "ok")]
)
def test_the_clock_is_judged(
    seconds: float, drifting: bool, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: int(seconds * 1e9))
    monkeypatch.setattr(machine, "is_drifting", lambda: drifting)
    assert statuses(machine.check_clock, asked(tmp_path)) == [status]


# --- the batch layer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "status"), [("1.8.0_402", "problem"), ("17.0.12", "ok"), ("21", "warning"), ("", "problem")]
)
def test_java_is_judged_by_its_release(
    version: str, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert statuses(batch_checks.check_java, asked(tmp_path)) == [status]


def test_without_java_the_remedy_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(batch_checks, "load_facts", dict)
    (found,) = batch_checks.check_java(asked(tmp_path))
    assert found.status == "problem"
    assert "openjdk-17" in found.remedy


def test_deltas_jars_have_to_be_there_and_of_the_package_s_release(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jar = tmp_path / "io.delta_delta-spark_4.2_2.13-4.4.0.jar"
    monkeypatch.setattr(batch_checks, "version", lambda name: "4.4.0")
    monkeypatch.setattr(batch_checks, "load_facts", lambda: {"jars": [str(jar)]})
    before = statuses(batch_checks.check_delta_jars, asked(tmp_path))
    jar.write_text("")
    assert (before, statuses(batch_checks.check_delta_jars, asked(tmp_path))) == (["problem"], ["ok"])
    monkeypatch.setattr(batch_checks, "version", lambda name: "4.5.0")
    assert statuses(batch_checks.check_delta_jars, asked(tmp_path)) == ["problem"]
    monkeypatch.setattr(batch_checks, "load_facts", dict)
    assert statuses(batch_checks.check_delta_jars, asked(tmp_path)) == ["warning"]


def test_airflow_is_looked_at_without_making_its_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "airflow"))
    assert statuses(batch_checks.check_airflow, asked(tmp_path)) == ["ok"]
    assert not (tmp_path / "airflow").exists()
    monkeypatch.delenv("AIRFLOW_HOME")
    assert statuses(batch_checks.check_airflow, asked(tmp_path)) == ["warning"]


# --- the model layer ---------------------------------------------------------------------------------------------------


def test_a_registry_in_a_file_is_read_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    assert statuses(model_checks.check_mlflow, asked(tmp_path)) == ["ok"]
    assert not path.exists()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
    assert statuses(model_checks.check_mlflow, asked(tmp_path)) == ["ok"]
    path.write_bytes(b"no database" * 100)
    assert statuses(model_checks.check_mlflow, asked(tmp_path)) == ["problem"]


def test_a_registry_s_server_is_asked_without_telling_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with web_server(b"OK") as port:
        uri = f"http://shop:hunter2@127.0.0.1:{port}"
        (up,) = model_checks.check_mlflow(asked(tmp_path, mlflow_uri=uri))
    (down,) = model_checks.check_mlflow(asked(tmp_path, mlflow_uri=uri))
    assert (up.status, down.status) == ("ok", "problem")
    assert "hunter2" not in up.detail + down.detail


# --- the realtime layer ------------------------------------------------------------------------------------------------


@contextmanager
def web_server(answer: bytes) -> Iterator[int]:
    """A server on a loopback port that answers every GET with the same words."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_port_is_free_or_ours_or_another_s(tmp_path: Path) -> None:
    with web_server(b"ok") as port:
        (ours,) = realtime_checks.check_ports(asked(tmp_path, http_port=port))
    (free,) = realtime_checks.check_ports(asked(tmp_path, http_port=port))
    with web_server(b"somebody else") as port:
        (taken,) = realtime_checks.check_ports(asked(tmp_path, http_port=port))
    assert (ours.status, free.status, taken.status) == ("ok", "ok", "problem")
    assert "LAMBENT_HTTP_PORT" in taken.remedy


def test_a_worker_s_metrics_port_is_looked_at_where_one_is_set(tmp_path: Path) -> None:
    with web_server(b"lambent_worker_events 1") as port:
        found = list(realtime_checks.check_ports(asked(tmp_path, http_port=0, metrics_port=port)))
    assert [(one.name, one.status) for one in found] == [("http port", "ok"), ("metrics port", "ok")]


def test_a_store_that_does_not_run_is_a_warning_with_the_command_that_starts_one(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{probe.getsockname()[1]}/0"
        found = list(run_checks([realtime_checks.check_store], asked(tmp_path, store_url=url)))
    assert [(one.name, one.status) for one in found] == [("store", "warning"), ("memory", "ok")]
    assert "lambent store" in found[0].remedy


def test_eviction_and_persistence_are_what_keeps_users() -> None:
    assert realtime_checks.check_eviction({"maxmemory_policy": "allkeys-lru"}).status == "problem"
    assert realtime_checks.check_eviction({"maxmemory_policy": "noeviction"}).status == "ok"
    assert realtime_checks.check_persistence({"aof_enabled": "0"}).status == "problem"
    assert realtime_checks.check_persistence({"aof_enabled": "1", "aof_last_write_status": "err"}).status == "problem"
    assert realtime_checks.check_persistence({"aof_enabled": "1", "aof_last_write_status": "ok"}).status == "ok"


@pytest.mark.parametrize(
    ("used", "uncounted", "status"), [(70, 0, "ok"), (80, 0, "warning"), (95, 0, "problem"), (95, 30, "ok")]
)
def test_little_room_is_told_before_anything_is_refused_and_buffers_do_not_count(
    used: int, uncounted: int, status: str
) -> None:
    info = {"used_memory": str(used), "maxmemory": "100", "mem_not_counted_for_evict": str(uncounted)}
    assert realtime_checks.check_room(info).status == status
    assert realtime_checks.check_room({**info, "maxmemory": "0"}).status == "ok"


@pytest.mark.parametrize(("skew_ms", "status"), [(-20, "ok"), (1_500, "warning"), (-90_000, "problem")])
def test_the_store_s_clock_is_compared_with_ours(skew_ms: int, status: str) -> None:
    assert realtime_checks.check_skew(skew_ms).status == status


def test_a_forecast_beyond_the_store_s_memory_is_a_warning(tmp_path: Path) -> None:
    info = {"maxmemory": str(10**8), "total_system_memory": str(10**12)}
    assert realtime_checks.check_memory(asked(tmp_path, users=10_000), [info]).status == "ok"
    assert realtime_checks.check_memory(asked(tmp_path, users=10**6), [info]).status == "warning"
    assert realtime_checks.check_memory(asked(tmp_path, users=10**6), [{**info, "maxmemory": "0"}]).status == "ok"


def test_a_typical_user_is_what_the_encoders_make_of_one() -> None:
    profile, live, intent = forecast.typical_user(shop_features(), 64)
    assert [entry.key.partition(":")[0] for entry in (profile, live, intent)] == ["profile", "live", "intent"]
    assert 200 < len(profile.value) < 600 < len(live.value) < 2_000
    assert forecast.user_bytes(shop_features(), 64) > sum(len(e.key) + len(e.value) for e in (profile, live, intent))


@pytest.mark.parametrize(
    ("size", "given"), [(1, 16), (16, 16), (17, 32), (128, 128), (129, 160), (257, 320), (1025, 1280), (1281, 1536)]
)
def test_sizes_are_rounded_up_as_jemalloc_does(size: int, given: int) -> None:
    assert forecast.allocated(size) == given
