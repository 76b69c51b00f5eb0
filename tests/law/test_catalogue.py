"""The catalogue's half of the law: training shows each live event what the worker showed the model, number by number."""

from __future__ import annotations

from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from lambent import keys
from lambent.catalogue import KINDS, ROW_DTYPE, VALUES, write_catalogue
from lambent.control import CatalogueEntry
from lambent.encoding import encode_events, id_hash, text_hash
from lambent.events import Event, admit
from lambent.fold import fold
from lambent.tables import LOG
from lambent.training import session_rows
from realtime import process
from realtime.archiver import Archiver
from realtime.predict import read_control
from realtime.store import Store
from spark_jobs.catalogue_publish import announce
from spark_jobs.commits import need_table
from spark_jobs.histories import Histories
from spark_jobs.shown import InForce
from tests.chaos.rig import FEATURES, Rig, make_rig
from tests.valkey import Valkey, server, valkey  # noqa: F401

pytestmark = [pytest.mark.integration, pytest.mark.law]

USERS = [f"{n:022d}" for n in range(5)]
START_MS = 1_700_000_000_000
PRODUCTS = [None, "a", "b", "c"]
POPULARITY = FEATURES.step_floats.index("product_popularity_log")


def made_up(random: Random, folder: Path, day: str) -> CatalogueEntry:
    rows = np.zeros(3, ROW_DTYPE)
    rows["kind"] = [KINDS.index("product"), KINDS.index("product"), KINDS.index("category")]
    rows["hash"] = [text_hash(name) for name in (*random.sample(["a", "b", "c"], 2), "x")]
    rows["values"] = np.random.default_rng(random.randrange(2**32)).random((3, len(VALUES)))
    path, sha256 = write_catalogue(folder, day, rows)
    return CatalogueEntry(day, str(path), sha256)


def feed(rig: Rig, random: Random) -> None:
    """Events of several users, catalogues between them: new ones, an earlier one again, and some that cannot be read."""
    entries: list[CatalogueEntry] = []
    for n in range(120):
        if random.random() < 0.15:
            kind = random.choice(["new", "new", "again", "missing", "none"])
            if kind == "new" or not entries:
                entries.append(made_up(random, rig.settings.artifacts_root, f"2024-01-{len(entries) + 1:02d}"))
            if kind == "none":
                rig.store.append((p, b"c", b"no entry") for p in range(rig.meta.partitions))
            else:
                entry = CatalogueEntry("2024-02-01", "/missing", "0" * 64) if kind == "missing" else entries[-1]
                entry = random.choice(entries) if kind == "again" else entry
                rig.store.publish_control(entry, rig.meta.partitions)
        event = Event(
            user=random.choice(USERS), type="view", event_ms=START_MS + n * 1_000, id=f"e{n}",
            product=random.choice(PRODUCTS), category=random.choice([None, "x", "y"]),
        )  # fmt: skip
        rig.feed_now([event] * random.choice([1, 1, 1, 2]))


@pytest.mark.parametrize("restarts", [False, True])
def test_training_shows_an_event_what_the_worker_showed_it(
    valkey: Valkey, tmp_path: Path, restarts: bool, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    seed = SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    rig = make_rig(valkey, tmp_path, partitions=2)
    feed(rig, Random(seed))
    live: dict[int, NDArray[np.float32]] = {}

    def watched(features: Any, state: Any, user: Any, events: Any, tile_ms: int) -> Any:
        steps = fold(features, state, user, events, tile_ms)
        live.update(zip(events["id"][steps.event].tolist(), steps.floats, strict=True))
        return steps

    monkeypatch.setattr(process, "fold", watched)
    worker = rig.worker()
    while worker.turn(block_ms=0):
        worker = rig.worker(Store(rig.url)) if restarts else worker
    trained = in_training(rig)
    assert live.keys() == trained.keys() == {id_hash(event.id) for event, _ in rig.log}
    for event_id, floats in live.items():
        np.testing.assert_array_equal(floats, trained[event_id])
    assert len({float(floats[POPULARITY]) for floats in live.values()}) > 3


def in_training(rig: Rig) -> dict[int, NDArray[np.float32]]:
    """What the model is trained on, by the archived log: of each event the step's numbers."""
    Archiver(rig.store, rig.meta, rig.settings, name="archiver").round()
    table = need_table(rig.settings.table(LOG), "").to_pyarrow_dataset().to_table()
    rows = [row for row in table.to_pylist() if row["kind"] == "e"]
    rows.sort(key=lambda row: (row["partition"], row["ingest_ms"], row["seq"]))
    seen: dict[str, tuple[Event, dict[str, Any]]] = {}
    for row in rows:
        event = admit(row["bytes"], FEATURES.taxonomy)
        assert isinstance(event, Event)
        seen.setdefault(event.id, (event, row))
    found = sorted(seen.values(), key=lambda one: USERS.index(one[0].user))
    user = np.array([USERS.index(event.user) for event, _ in found], np.int64)
    events = encode_events([event for event, _ in found], [row["ingest_ms"] for _, row in found], FEATURES.taxonomy)
    columns = {"source": [1] * len(found), **{name: [row[name] for _, row in found] for name in ("ingest_ms", "seq")}}
    InForce.find(rig.settings).show(Histories(pa.array(USERS), user, pa.table(columns)), events)
    sessions = session_rows(FEATURES, user, events)
    return dict(zip(events["id"][sessions.event].tolist(), sessions.floats, strict=True))


def test_a_catalogue_is_announced_once_and_one_that_cannot_be_read_leaves_the_one_before(
    valkey: Valkey, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    rig = make_rig(valkey, tmp_path, partitions=2)
    first, second = (made_up(Random(n), tmp_path, "2024-01-01") for n in range(2))
    assert [announce(rig.settings, entry) for entry in (first, first, second)] == [2, 0, 2]
    rig.store.publish_control(CatalogueEntry("2024-01-02", "/missing", ""), 2)
    worker = rig.drain()
    for p in range(2):
        assert read_control(rig.store.call("GET", keys.control(p))).catalogue == second
    assert worker.models.catalogues.failures == 1
