"""Publishes ``profiles`` to the store: one key a user, and then which snapshot that was.

It reads the table with ``deltalake``, batch by batch, without a JVM: there is nothing to compute, and a JVM would take
longer to start than this takes to publish a hundred thousand users.

A key's bytes are those of the user's row and nothing else: its cut-off is that of the build that last changed the row, so
a row that stays is a key that stays. Old and new value of a key both keep the law, so that a store that is half published,
forwards or back, already answers right.

Where the store says that it holds a build that this one went on from, only rows that changed since are read and written.
A store without profiles is given all rows. Everywhere else (a rollback, rows that were all made anew, another table, a
rollback that died half-way) every key is compared with its row, and keys of users who are in no row are deleted.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lambent.ahead import one_ahead
from lambent.errors import DataError
from lambent.features import FeatureSet
from lambent.progress import Progress
from lambent.records import encode_profiles
from lambent.settings import Settings
from lambent.tables import PROFILES
from lambent.utc import time_text
from spark_jobs import store as shop
from spark_jobs.builds import Built, lineage
from spark_jobs.commits import count_rows, need_table
from spark_jobs.newest import KEY, NewestRows
from spark_jobs.profile_rows import from_arrow
from spark_jobs.report import Report, Stopwatch, keep, run_job

if TYPE_CHECKING:
    import pyarrow as pa
    import redis
    from deltalake import DeltaTable

JOB = "publish"
BATCH_USERS = 8_192
KEYS_AT_ONCE = 250_000
"""So many keys of the store are looked up in the table together."""


@dataclasses.dataclass
class Publication:
    """One publish on its way.

    Attributes:
        store: where to.
        partitions: of the store.
        features: the feature set.
        rows: those that count.
        dry_run: only count.
        stay: called with every batch.
        written, deleted: keys so far.
    """

    store: redis.Redis
    partitions: int
    features: FeatureSet
    rows: NewestRows
    dry_run: bool
    stay: Callable[[], None]
    written: int = 0
    deleted: int = 0

    def write_all(self) -> None:
        """Write the rows: those that changed, or all where the store has none."""
        if self.dry_run:
            self.written = self.rows.count()
            return
        for users, values in self._batches():
            self._write(dict(zip(users, values, strict=True)))

    def write_different(self) -> None:
        """Write the rows that are not as the store has them, and delete keys that no row has."""
        for users, values in self._batches():
            found = shop.stored_profiles(self.store, self.partitions, users)
            self._write({user: new for user, new, old in zip(users, values, found, strict=True) if new != old})
        for own in shop.profile_keys(self.store, KEYS_AT_ONCE):
            self.stay()
            strangers = self._strangers(own)
            self.deleted += len(strangers)
            if not self.dry_run:
                shop.delete_keys(self.store, strangers)

    def _batches(self) -> Iterator[tuple[list[str], list[bytes]]]:
        """Users and values of the rows; batches may be empty."""
        aggregates = (one.name for one in self.features.profile.aggregates)
        names = ["clock_ms", *aggregates, *KEY]
        with Progress("publishing", total=self.rows.count(), unit="users") as bar:
            # A batch is read while the one before it is encoded, and that one before it written.
            read = one_ahead(self.rows.batches(names, BATCH_USERS))
            for users, values in one_ahead(map(self._encoded, read)):
                yield users, values
                bar.update(len(users))

    def _encoded(self, batch: pa.RecordBatch) -> tuple[list[str], list[bytes]]:
        profiles, cutoffs_ms = from_arrow(self.features, batch), batch.column("cutoff_ms").to_numpy()
        return batch.column("user").to_pylist(), encode_profiles(self.features, profiles, cutoffs_ms)

    def _write(self, values: dict[str, bytes]) -> None:
        self.stay()
        self.written += len(values)
        if values and not self.dry_run:
            shop.write_profiles(self.store, self.partitions, values)

    def _strangers(self, own: dict[str, str]) -> list[str]:
        """Those of these keys (with their users) that no row has, or that are not in their user's partition."""
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted, known = pa.array(sorted(set(own.values()))), set()
        for batch in self.rows.batches(KEY, KEYS_AT_ONCE):
            users = batch.column("user")
            known.update(users.filter(pc.is_in(users, value_set=wanted)).to_pylist())
        places = shop.keys_of(known, self.partitions)
        return [key for key in own if key not in places]


# --- one run -----------------------------------------------------------------------------------------------------------


def publish(settings: Settings, version: int | None = None, *, full: bool = False, dry_run: bool = False) -> Report:
    """Make the store's profiles those of a build, and keep the report.

    Args:
        settings: the settings.
        version: of the table ``profiles``; None: the newest.
        full: look at every key, whatever the store says of itself.
        dry_run: change nothing, and count what would be.

    Raises:
        DataError: there is no such build, it was made for other features, or the live side cannot go back so far.
        StoreError: the store cannot be reached, was made with another tile width, or is being published to.
    """
    watch = Stopwatch()
    features = FeatureSet(settings.load_taxonomy())
    table = need_table(settings.table(PROFILES), "Make it: lambent batch profiles.", version)
    built = find_build(table, features)
    with shop.connected(settings) as store, contextlib.nullcontext(_idle) if dry_run else shop.alone(store) as stay:
        partitions = shop.meet_store(store, settings, create=not dry_run)
        held = shop.Held.read(store)
        refuse_beyond_floor(built, held)
        base = None if full else base_of(table, built, held)
        facts = {**dataclasses.asdict(built.snapshot), "features": built.features, "profiles_version": built.version}
        try:
            rows = NewestRows.of(table, built, base.snapshot if base else None)
            run = Publication(store, partitions, features, rows, dry_run, stay)
            _run(run, table, built, goes_on=base is not None, facts=facts)
        except FileNotFoundError as error:
            cause = f"Version {built.version} of {settings.table(PROFILES)} has been vacuumed ({error})."
            raise DataError(cause, "Publish a newer one: lambent publish --list names them.") from error
    counts = {"deleted": run.deleted, "unchanged": count_rows(table) - run.written}
    report = Report(JOB, run.written, watch.seconds, counts, facts)
    if not dry_run:
        keep(settings, report)
    return report


def _idle() -> None:
    """Nobody is kept away by who only counts."""


def _run(run: Publication, table: DeltaTable, built: Built, *, goes_on: bool, facts: dict[str, Any]) -> None:
    if not run.dry_run:
        shop.begin(run.store, built.version, goes_on=goes_on)
    if goes_on or shop.is_bare(run.store):
        run.write_all()
    else:
        run.write_different()
    if not run.dry_run:
        facts["floor_ms"] = shop.announce(run.store, table, built)


def find_build(table: DeltaTable, features: FeatureSet) -> Built:
    """The build that a version of the table holds.

    Raises:
        DataError: it was made for other features.
    """
    built = next(lineage(table), None) or Built.find(table)
    said = built.features if built else None
    if built is None or said != features.hash:
        cause = f"profiles were built for features {said}; these are {features.hash}."
        raise DataError(cause, "Make them anew: lambent batch profiles.")
    return built


def base_of(table: DeltaTable, built: Built, held: shop.Held) -> Built | None:
    """The build that the store holds, where ``built`` went on from it; None where every key has to be looked at."""
    if held.origin != shop.origin_of(table, built):
        return None
    builds = {one.version: one for one in lineage(table)}
    known = held.publishing == -1 or held.publishing in builds
    return builds.get(held.version) if known else None


def refuse_beyond_floor(built: Built, held: shop.Held) -> None:
    """Refuse a snapshot that needs tiles which the worker has dropped.

    Raises:
        DataError: it does.
    """
    if built.snapshot.cutoff_ms >= held.floor_ms:
        return
    cause = (
        f"Version {built.version} of profiles ends at {time_text(built.snapshot.cutoff_ms)}, but live events are kept apart "
        f"only since {time_text(held.floor_ms)}: those in between would be missing."
    )
    raise DataError(cause, "Publish a newer one (lambent publish --list), or build one: lambent batch profiles.")


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m spark_jobs.publish``."""
    argparse.ArgumentParser(prog=JOB, description=__doc__).parse_args(argv)
    return run_job(publish)


if __name__ == "__main__":
    raise SystemExit(main())
