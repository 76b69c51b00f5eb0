"""Looks at the tables before a model is trained on them: rows, nulls, age, what was refused, and drift of every feature.

It reads without a JVM: counts and nulls from what each file's commit says of it, drift from a sample of bounded size. The
reference of the drift is the version of ``training_sessions`` that the newest model was trained on. Of it the newest part,
``test``, stands beside the sessions that began after all of those: a shop's histories grow longer with time, so older rows
would differ though nobody behaves otherwise. Sessions of one user are alike, so what chance gives is reckoned by users.

``ROOT/reports/quality.md`` and ``quality.json`` say what was found. Whatever misses its limit fails the job.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from lambent.errors import DataError
from lambent.features import FeatureSet
from lambent.settings import Settings
from lambent.tables import EVENTS, LOG, QUARANTINE, TRAINING_SESSIONS
from lambent.toml_files import read_toml
from spark_jobs import drift
from spark_jobs.builds import SAME_ROWS
from spark_jobs.commits import commits, count_rows, last_metadata, need_table, open_table
from spark_jobs.needed import models
from spark_jobs.quarantine import open_rows
from spark_jobs.report import Report, Stopwatch, keep, run_job
from spark_jobs.samples import Sample, read_sample

if TYPE_CHECKING:
    from deltalake import DeltaTable

JOB = "quality"
HOUR_MS = 3_600_000
TOLD = 5
"""So many failures are in the error's one line; the report has all."""
MEASURES = ("psi", "ks")

REMEDIES = {
    "rows": "Has the job that writes it run, and on the tables that were meant?",
    "nulls": "What sends such events? lambent validate says what a mapping makes of a file.",
    "hours old": "Run the job that writes it (lambent batch), and see in Airflow why it did not.",
    "refused": "See lambent quarantine show, and mend what it names.",
    "not finite": "Build the rows anew: lambent batch training-sessions.",
    "psi": "If the shop has changed, train on it, and it is the next reference; if not, mend what sends the events.",
}
REMEDIES["ks"] = REMEDIES["psi"]


class Refused(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The share of what came in that may lie in quarantine."""

    share: float


class Drift(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of each measure, the probability of a false alarm in a run, and features that are not looked at."""

    psi: float
    ks: float
    false_alarms: float
    exempt: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the tables have to be like: see ``quality.toml``."""

    rows: dict[str, int]
    nulls: dict[str, dict[str, float]]
    age_hours: dict[str, float]
    refused: Refused
    drift: Drift


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        table: which table.
        subject: the column or feature; empty where the whole table is meant.
        measure: a key of ``REMEDIES``.
        value, limit: what was found, and what is still good.
        failed: whether it misses the limit.
    """

    table: str
    subject: str
    measure: str
    value: float
    limit: float
    failed: bool

    def __str__(self) -> str:
        where = f"{self.table}: {self.subject}" if self.subject else self.table
        return f"{where}: {self.measure} {self.value:.4g}, limit {self.limit:.4g}"


def load_limits(path: Path | None = None) -> Limits:
    """Read the limits from TOML; None: those that are shipped.

    Raises:
        SettingsError: the file is missing, is not TOML, or holds no such limits.
    """
    path = path or Path(__file__).with_name("quality.toml")
    return read_toml(path, Limits, "Set LAMBENT_QUALITY to a file like the shipped quality.toml.")


# --- the tables as their commits tell them -----------------------------------------------------------------------------


def table_checks(settings: Settings, limits: Limits, now_ms: int) -> Iterator[Check]:
    """Rows, nulls and age of the tables that have limits."""
    live = open_table(settings.table(LOG)) is not None
    for name, least in limits.rows.items():
        table = open_table(settings.table(name))
        rows = count_rows(table) if table else 0
        yield Check(name, "", "rows", rows, least, rows < least)
        if table is None:
            continue
        yield from null_checks(name, table, limits.nulls.get(name, {}))
        if live and (most := limits.age_hours.get(name)) is not None:
            hours = (now_ms - _written_ms(table)) / HOUR_MS
            yield Check(name, "", "hours old", hours, most, hours > most)


def null_checks(name: str, table: DeltaTable, limits: dict[str, float]) -> Iterator[Check]:
    """Share of missing values, of the files that say how many they have."""
    import pyarrow as pa
    import pyarrow.compute as pc

    files = pa.table(table.get_add_actions(flatten=True))
    for column, most in limits.items():
        if (counted := f"null_count.{column}") in files.column_names:
            told = files.filter(pc.and_(*(pc.is_valid(files.column(one)) for one in (counted, "num_records"))))
            nulls, rows = (pc.sum(told.column(one)).as_py() or 0 for one in (counted, "num_records"))
            share = nulls / max(rows, 1)
            yield Check(name, column, "nulls", share, most, share > most)


def _written_ms(table: DeltaTable) -> int:
    """When a job wrote the table last; maintenance of it does not make it newer."""
    return max((int(one["timestamp"]) for one in commits(table) if one["operation"] not in SAME_ROWS), default=0)


def refused_check(settings: Settings, limits: Limits) -> Iterator[Check]:
    """The share of what came in that is in quarantine."""
    if open_table(settings.table(QUARANTINE)) is None:
        return
    table = open_table(settings.table(EVENTS))
    refused, taken = sum(1 for _ in open_rows(settings)), table.count() if table else 0
    share = refused / max(refused + taken, 1)
    yield Check(QUARANTINE, "", "refused", share, limits.refused.share, share > limits.refused.share)


# --- drift -------------------------------------------------------------------------------------------------------------


def drift_checks(settings: Settings, limits: Drift, reference: int | None) -> tuple[list[Check], dict[str, Any]]:
    """Every feature of the sessions since the reference; and what was compared, or why nothing was.

    Raises:
        DataError: the reference cannot be read.
    """
    import pyarrow.compute as pc

    path, features = settings.table(TRAINING_SESSIONS), FeatureSet(settings.load_taxonomy())
    newest = open_table(path)
    version = reference if reference is not None else max(models(settings), default=(0, None))[1]
    if newest is None or version is None:
        return [], {"drift": "There is no model yet whose training rows could be compared."}
    trained = need_table(path, "Name another: python -m spark_jobs.quality --reference VERSION.", version)
    hashes = {last_metadata(table).get("features") for table in (newest, trained)}
    if hashes != {features.hash}:
        return [], {"drift": "The feature set is another one now.", "reference_version": version}
    before = read_sample(trained, features, pc.field("split") == "test")
    since = read_sample(newest, features, pc.field("start_ms") > before.newest_ms)
    facts = {"reference_version": version, "reference_sessions": before.sessions, "new_sessions": since.sessions}
    checks = [Check(TRAINING_SESSIONS, "", "not finite", since.not_finite, 0, since.not_finite > 0)]
    if not (len(before.values) and len(since.values)):
        return checks, facts | {"drift": "There are no new sessions."}
    return checks + compared(before, since, limits, {*limits.exempt, *features.profile.now_names}), facts


def compared(before: Sample, since: Sample, limits: Drift, exempt: Set[str]) -> list[Check]:
    """Both measures of every feature that is not exempt. The clock's are: some days have other weekdays than some others."""
    alpha = limits.false_alarms / (len(MEASURES) * len(before.names))
    counts = before.users, since.users
    least = {
        "psi": max(limits.psi, drift.psi_by_chance(*counts, alpha)),
        "ks": max(limits.ks, drift.ks_by_chance(*counts, alpha)),
    }
    found = []
    for n, name in enumerate(before.names):
        if name in exempt:
            continue
        old, new = (sample.values[np.isfinite(sample.values[:, n]), n] for sample in (before, since))
        for measure in MEASURES:
            value = getattr(drift, measure)(old, new) if len(old) and len(new) else 0.0
            found.append(Check(TRAINING_SESSIONS, name, measure, value, least[measure], value > least[measure]))
    return found


# --- one run -----------------------------------------------------------------------------------------------------------


def check(settings: Settings, reference: int | None = None) -> Report:
    """Look at everything, and write the reports.

    Args:
        settings: the settings.
        reference: version of ``training_sessions`` to compare with; None: that of the newest model.

    Raises:
        DataError: something misses its limit; the first few are named.
    """
    watch, limits = Stopwatch(), load_limits(settings.quality)
    checks = [*table_checks(settings, limits, time.time_ns() // 1_000_000), *refused_check(settings, limits)]
    drifted, facts = drift_checks(settings, limits.drift, reference)
    checks += drifted
    failed = [one for one in checks if one.failed]
    report = Report(JOB, len(checks), watch.seconds, {"failed": len(failed)}, facts)
    write_reports(settings, checks, facts)
    keep(settings, report)
    if failed:
        named = "; ".join(map(str, failed[:TOLD])) + (f"; and {len(failed) - TOLD} more" if len(failed) > TOLD else "")
        remedies = dict.fromkeys(REMEDIES[one.measure] for one in failed)
        where = f"All are in {settings.root / 'reports' / 'quality.md'}."
        raise DataError(f"{len(failed)} of {len(checks)} checks failed: {named}.", " ".join([*remedies, where]))
    return report


def write_reports(settings: Settings, checks: Sequence[Check], facts: dict[str, Any]) -> None:
    """``quality.json`` for machines and ``quality.md`` for people, what failed first."""
    folder = settings.root / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    ordered = sorted(checks, key=lambda one: (not one.failed, -one.value / (one.limit or 1)))
    found = {"time_ms": time.time_ns() // 1_000_000, **facts, "checks": ordered}
    (folder / "quality.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    lines = [f"* {name.replace('_', ' ')}: {value}" for name, value in facts.items()]
    rows = [
        f"| {'**fails**' if one.failed else 'good'} | {one.table} | {one.subject} | {one.measure} | {one.value:.4g} | {one.limit:.4g} |"
        for one in ordered
    ]
    head = ["| | table | column or feature | measure | value | limit |", "| --- | --- | --- | --- | ---: | ---: |"]
    (folder / "quality.md").write_text("\n".join(["# Quality of the tables", "", *lines, "", *head, *rows, ""]))


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m spark_jobs.quality [--reference VERSION]``."""
    parser = argparse.ArgumentParser(prog=JOB, description=__doc__)
    parser.add_argument(
        "--reference", type=int, metavar="VERSION", help="of training_sessions; default: the newest model's"
    )
    arguments = parser.parse_args(argv)
    return run_job(lambda settings: check(settings, arguments.reference))


if __name__ == "__main__":
    raise SystemExit(main())
