"""Makes the JVM's archive of loaded classes, once, at set-up: most of a small job's time is Spark loading its classes.

``python -m spark_jobs.archive`` runs the jobs on a handful of events and has the JVM write down at its exit which classes
it has loaded (JEP 350, "Dynamic CDS Archives"). A JVM that the archive does not fit starts without it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lambent.settings import Settings
from lambent.taxonomy import Taxonomy
from spark_jobs import ingest, profiles, training_sessions
from spark_jobs.report import Stopwatch
from spark_jobs.session import class_archive, java_options, spark_session

START_MS = 1_700_000_000_000
EVENTS = 400
USERS = 20
STEP_MS = 7 * 60_000


def make_archive(path: Path) -> None:
    """Run the jobs, and leave the archive at ``path`` when it is whole."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    options = f"{java_options(local=True, small=True)} -XX:ArchiveClassesAtExit={draft} -Xlog:disable -Xlog:all=off"
    with tempfile.TemporaryDirectory() as root:
        settings = Settings(root=Path(root), spark_master="local[2]", user_key="00" * 32)
        _run_jobs(settings, options)
    if draft.exists():
        draft.rename(path)


def _run_jobs(settings: Settings, options: str) -> None:
    log = settings.root / "events.jsonl"
    log.write_text("".join(sample(settings.load_taxonomy())))
    with spark_session(settings, "lambent archive", {"spark.driver.extraJavaOptions": options}) as spark:
        gateway = spark.sparkContext._gateway
        for _ in range(2):  # the second run looks at what is there
            ingest.ingest_files(settings, [log], "lambent")
            profiles.build(settings)
            training_sessions.build(settings)
    gateway.shutdown()
    gateway.proc.stdin.close()  # the JVM ends when its input does, and then writes the archive
    gateway.proc.wait(timeout=300)


def sample(taxonomy: Taxonomy) -> list[str]:
    """Lines for the mapping ``lambent``; the last is no event."""
    types = taxonomy.types
    lines = [
        f'{{"user":"{n % USERS}","type":"{types[n % len(types)].name}","event_ms":{START_MS + n * STEP_MS},"price":{n}}}\n'
        for n in range(EVENTS)
    ]
    return [*lines, "{\n"]


def main() -> int:
    """Make the archive where set-up has put the jars."""
    path, watch = class_archive(), Stopwatch()
    if path is None:
        print("There are no local jars: run make setup.", file=sys.stderr)
        return 1
    make_archive(path)
    print(f"{path}: {path.stat().st_size / 2**20:.0f} MiB in {watch.seconds:.0f} s", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
