"""``make bench-train``: what training costs, each figure beside a baseline measured in the same run."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambent.settings import Settings
from tests.benchmarks import measure
from tests.benchmarks.report import FOLDER, Row, tell
from tests.benchmarks.sessions import write_sessions
from tests.benchmarks.train_runs import WIDE

PACKAGES = ("tensorflow-cpu", "keras", "horovod", "ai-edge-litert", "deltalake")


class Table:
    """A table of sessions in a folder of its own."""

    def __init__(self, root: Path, sessions: int) -> None:
        self.root = root
        root.mkdir(parents=True)
        self.sessions, self.events = write_sessions(Settings(root=root, user_key="5a" * 32), sessions)

    def run(self, what: str, weigh: bool = False) -> tuple[dict[str, Any], float]:
        """What ``train_runs`` says, and the most that it held, GiB, if it is to be weighed."""
        environment = {"LAMBENT_ROOT": str(self.root), "LAMBENT_USER_KEY": "5a" * 32, "PYTHONPATH": str(Path.cwd())}
        run = measure.python("tests.benchmarks.train_runs", [what], environment, self.root / "log.txt", weigh)
        return json.loads(run.output.splitlines()[-1]), run.peak_gib

    def rate(self, what: str) -> float:
        """Events a second."""
        return self.rate_of(self.run(what)[0])

    def rate_of(self, said: dict[str, Any]) -> float:
        """Events a second, of what a run says."""
        return said.get("events", self.events) / said["seconds"]


def speed(table: Table) -> list[Row]:
    """One process against plain Keras and against one batch in memory; two processes; scoring."""
    own, in_memory = table.rate("own"), table.rate("held")
    plain, xla = table.rate("plain"), table.rate("plain-xla")
    best, how = max((plain, "without XLA"), (xla, "with XLA, once it has compiled every width"))
    score = table.rate("score")
    each = f"plain {plain:,.0f}, with XLA {xla:,.0f} events/s"
    return [
        Row("training, one process / keras.Model.fit", own / best, "×", ">= 1.5", f"{best:,.0f} events/s, {how}",
            f"{own:,.0f} events/s; {each}; one thread all"),
        Row("training / the step on one batch in memory", own / in_memory, "×", ">= 0.7", f"{in_memory:,.0f} events/s"),
        *(_two(table, wide) for wide in ("-wide", "")),
        Row("scoring of archived sessions", score, "events/s", ">= 100000", note="one process; reads in one thread, scores in another"),
    ]  # fmt: skip


def _two(table: Table, wide: str) -> Row:
    """Two processes against one; ``wide``: with batches of ``WIDE`` sessions."""
    one, (ranks, _) = table.rate(f"pinned{wide}"), table.run(f"two{wide}")
    two, batches = table.rate_of(ranks), f"batches of {WIDE:,}" if wide else "usual batches"
    note = f"2 processes {two:,.0f} events/s; to sum a gradient {1e3 * ranks['summing_s']:.2f} ms"
    name = f"2 processes / 1, a core each, {batches}"
    return Row(name, two / one, "×", ">= 1.7", f"1 process {one:,.0f} events/s", note)


def memory(folder: Path, sizes: Sequence[int]) -> list[Row]:
    """One epoch at some sizes."""
    rows = []
    for size in sizes:
        table = Table(folder / f"sessions-{size}", size)
        said, peak_gib = table.run("epoch", weigh=True)
        note = f"{table.events / said['seconds']:,.0f} events/s"
        rows.append(Row(f"peak memory of an epoch, {table.sessions:,} sessions", peak_gib, "GiB", "<= 3", note=note))
        shutil.rmtree(table.root)
    return rows


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench-train", description=__doc__)
    parser.add_argument("--sessions", type=float, default=1.5e5, help="of the figures of speed")
    parser.add_argument("--memory", type=float, nargs="*", default=[5e5, 2e6], help="sessions of the figures of memory")
    parser.add_argument("--folder", type=Path, default=FOLDER / "train", help="made anew; needs about 1 GB")
    given = parser.parse_args()
    shutil.rmtree(given.folder, ignore_errors=True)
    folder = given.folder.resolve()
    rows = speed(Table(folder / "small", int(given.sessions)))
    tell("train", [*rows, *memory(folder, [int(size) for size in given.memory])], PACKAGES)
    shutil.rmtree(given.folder)


if __name__ == "__main__":
    main()
