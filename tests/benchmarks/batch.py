"""``make bench-batch``: what the batch layer costs, each figure beside a baseline measured in the same run."""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

from lambent.keys import partition, profile
from lambent.settings import Settings
from lambent.tables import EVENTS, PROFILES
from spark_jobs.publish import BATCH_USERS
from tests.benchmarks import measure
from tests.benchmarks.events import write_events
from tests.benchmarks.report import FOLDER, Row, tell
from tests.valkey import Valkey, free_port, start_valkey, stop_valkey

SHARES = (0.001, 0.01, 0.05)
SMALL_EVENTS = 20_000
PACKAGES = ("pyspark", "delta-spark", "duckdb", "polars", "numba")


class Bench:
    """One shop in a folder of its own, and the rows that it gave."""

    def __init__(self, root: Path, events: int, users: int) -> None:
        self.settings = Settings(root=root, user_key="5a" * 32)
        self.events, self.users = events, users
        self.rows: list[Row] = []
        self.peak_gib: dict[str, float] = {}
        write_events(self.settings.table(EVENTS), events, users)

    def job(self, module: str, *arguments: str, store: str = "") -> measure.Run:
        """Run one of Lambent's jobs."""
        environment = {"LAMBENT_ROOT": str(self.settings.root), "LAMBENT_USER_KEY": "5a" * 32}
        if store:
            environment["LAMBENT_STORE_URL"] = store
        run = measure.python(module, arguments, environment, self.settings.root / "log.txt")
        self.peak_gib[module] = max(self.peak_gib.get(module, 0.0), run.peak_gib)
        return run

    def by_hand(self, engine: str) -> measure.Run:
        """Run a baseline."""
        out = self.settings.root / "by-hand"
        shutil.rmtree(out, ignore_errors=True)
        return self.job("tests.benchmarks.by_hand", engine, str(out))

    def add(self, name: str, value: float, unit: str, target: str = "", baseline: str = "", note: str = "") -> None:
        """One more figure."""
        self.rows.append(Row(name, value, unit, target, baseline, note))

    def profiles(self) -> float:
        """The full build; returns its seconds."""
        full = self.job("spark_jobs.profiles", "--full")
        said = f"{full.seconds:.0f} s, {self.events / full.seconds:,.0f} events/s"
        for engine, target in (("spark", "<= 1.3"), ("duckdb", "<= 5.5")):
            other = self.by_hand(engine)
            self.add(f"full profile build / {engine}", full.seconds / other.seconds, "×", target,
                     f"by hand {other.seconds:.0f} s", said)  # fmt: skip
        return full.seconds

    def going_on(self, full_s: float) -> None:
        """Builds after a few more events, each of the day that follows."""
        for number, share in enumerate(SHARES, start=1):
            days = (59 + number, 60 + number)
            write_events(self.settings.table(EVENTS), int(self.events * share), self.users, days, seed=number)
            run = self.job("spark_jobs.profiles")
            touched = json.loads(run.output.splitlines()[-1])["users_touched"]
            self.add(f"build after {share:.1%} new events / full build", run.seconds / full_s, "×",
                     "<= 0.4" if share == 0.01 else "", f"full {full_s:.0f} s",
                     f"{run.seconds:.0f} s, {touched / self.users:.1%} of users touched")  # fmt: skip

    def training(self) -> None:
        """Training sessions against a sort and a scan."""
        run, other = self.job("spark_jobs.training_sessions"), self.by_hand("polars")
        self.add("training sessions / polars", run.seconds / other.seconds, "×", "<= 6", f"by hand {other.seconds:.0f} s",
                 f"{run.seconds:.0f} s, {self.events / run.seconds:,.0f} events/s")  # fmt: skip

    def publish(self) -> None:
        """Publish to a store of its own, and the same bytes by a bare pipeline."""
        folder = self.settings.root / "store"
        folder.mkdir()
        valkey = start_valkey(folder, free_port())
        try:
            before = valkey.client.info("memory")["used_memory"]
            run = self.job("spark_jobs.publish", store=valkey.url)
            said = json.loads(run.output.splitlines()[-1])
            held = (valkey.client.info("memory")["used_memory"] - before) / said["rows"]
            values = self._published(valkey)
            valkey.client.flushall()
            raw_s = set_all(valkey, values)
        finally:
            stop_valkey(valkey)
        self.add("publish / raw pipelined SET: rate", raw_s / said["seconds"], "×", ">= 0.6",
                 f"SET {len(values) / raw_s:,.0f} users/s", f"{said['rows'] / said['seconds']:,.0f} users/s")  # fmt: skip
        self.add("store, key and overhead included", held, "bytes a user", "<= 400")

    def _published(self, valkey: Valkey) -> list[tuple[str, bytes]]:
        from deltalake import DeltaTable

        users = DeltaTable(self.settings.table(PROFILES)).to_pyarrow_dataset().to_table(["user"]).column("user")
        keys = [profile(partition(user, 64), user) for user in users.unique().to_pylist()]
        return list(zip(keys, valkey.client.mget(keys), strict=True))

    def memory(self) -> None:
        """The most that any job held."""
        jobs = {name: gib for name, gib in self.peak_gib.items() if name.startswith("spark_jobs")}
        note = ", ".join(f"{name.removeprefix('spark_jobs.')} {gib:.1f}" for name, gib in jobs.items())
        self.add(f"peak memory, {self.users:,} users", max(jobs.values()), "GiB", "<= 6", note=note)


def set_all(valkey: Valkey, values: list[tuple[str, bytes]]) -> float:
    """Seconds that a bare pipeline of SET takes."""
    started_s = time.monotonic()
    for start in range(0, len(values), BATCH_USERS):
        pipeline = valkey.client.pipeline(transaction=False)
        for key, value in values[start : start + BATCH_USERS]:
            pipeline.set(key, value)
        pipeline.execute()
    return time.monotonic() - started_s


def run(folder: Path, events: int, users: int) -> list[Row]:
    """All figures."""
    small = Bench(folder / "small", SMALL_EVENTS, 2_000)
    quick = small.job("spark_jobs.profiles", "--full")
    small.add(f"one job on {SMALL_EVENTS:,} events, JVM and all", quick.seconds, "s", "<= 12")
    large = Bench(folder / "large", events, users)
    full_s = large.profiles()
    large.training()
    large.going_on(full_s)
    large.publish()
    large.memory()
    many = Bench(folder / "many", events, 4 * users)
    many.job("spark_jobs.profiles", "--full")
    many.job("spark_jobs.training_sessions")
    many.memory()
    return [*small.rows, *large.rows, *many.rows]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench-batch", description=__doc__)
    parser.add_argument("--events", type=float, default=20e6)
    parser.add_argument("--users", type=float, default=1e6)
    parser.add_argument("--folder", type=Path, default=FOLDER / "batch", help="made anew; needs about 15 GB")
    given = parser.parse_args()
    shutil.rmtree(given.folder, ignore_errors=True)
    given.folder.mkdir(parents=True)
    tell("batch", run(given.folder.resolve(), int(given.events), int(given.users)), PACKAGES)


if __name__ == "__main__":
    main()
