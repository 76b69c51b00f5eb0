"""A store as the realtime layer meets it: many users with published profiles, a model, a catalogue, and events of a few of them.

Users act by Zipf's law with exponent 0.8. Profiles are of ``PROFILES`` different histories, of 20 events on average; each user
has one of them. The model has the shipped network's shape and random weights: it costs what a trained one costs.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lambent import keys
from lambent.catalogue import ROW_DTYPE, VALUES, write_catalogue
from lambent.control import CatalogueEntry, ModelEntry, encode_control
from lambent.encoding import encode_events, text_hash
from lambent.events import Event, encode_event
from lambent.features import shop_features
from lambent.fold import fold_profiles
from lambent.records import encode_profiles
from lambent.settings import Settings
from realtime.embedded import PERSISTENCE
from realtime.store import Meta, open_store
from tests.benchmarks.events import BRANDS, BRANDS_OF_CATEGORY, CATEGORIES, PRODUCTS, TYPES
from tests.benchmarks.wire import Command, Wire
from tests.valkey import Valkey, free_port, start_valkey

FEATURES = shop_features()
PARTITIONS = 64
ZIPF = 0.8
PROFILES, MEAN_HISTORY = 10_000, 20
HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@dataclasses.dataclass
class Shop:
    """A store with its users.

    Attributes:
        valkey: the server.
        settings: of processes that work on it.
        meta: the store's.
        users: pseudonyms, who acts most first.
        random: draws events.
        sent: events so far.
    """

    valkey: Valkey
    settings: Settings
    meta: Meta
    users: list[str]
    random: np.random.Generator
    sent: int = 0

    def events(self, count: int) -> Iterator[tuple[int, Event]]:
        """More events that happen now, and the partition of each."""
        who = np.searchsorted(self._shares, self.random.random(count))
        at_ms = np.full(count, time.time_ns() // 1_000_000)
        first, self.sent = self.sent, self.sent + count
        return make_events(self.users, who, at_ms, first, self.random)

    def fill(self, count: int) -> None:
        """Put more events into the log."""
        wire = Wire(self.valkey.url)
        wire.send_all(("XADD", keys.events(p), "*", "e", encode_event(one)) for p, one in self.events(count))
        wire.close()

    @property
    def _shares(self) -> np.ndarray:
        """Of the users' events, summed up."""
        weights = np.cumsum(np.arange(1, len(self.users) + 1) ** -ZIPF)
        return weights / weights[-1]


def make_events(
    users: Sequence[str], who: np.ndarray, at_ms: np.ndarray, first: int, random: np.random.Generator
) -> Iterator[tuple[int, Event]]:
    """Events, and the partition of each.

    Args:
        users: pseudonyms.
        who: [n] which of them, and at_ms: when.
        first: number of the first event; ids are numbers in hex.
        random: draws what they are about.
    """
    n = len(who)
    types = random.choice(list(TYPES), n, p=list(TYPES.values())).tolist()
    product = (PRODUCTS * random.random(n) ** 2).astype(np.int64)
    category = product % CATEGORIES
    brand = (category * BRANDS_OF_CATEGORY + product // CATEGORIES % BRANDS_OF_CATEGORY) % BRANDS
    numbers = (who, at_ms, product, category, brand, random.integers(1_000, 60_000, n))
    for i, (kind, u, ms, p, c, b, dwell) in enumerate(zip(types, *(one.tolist() for one in numbers), strict=True)):
        user = users[u]
        yield keys.partition(user, PARTITIONS), Event(
            user=user, type=kind, event_ms=ms, id=f"{first + i:024x}", product=f"product-{p}", category=f"category-{c}",
            brand=f"brand-{b}", price=float(1 + p % 997), dwell_ms=dwell, device="desktop",
        )  # fmt: skip


def open_shop(folder: Path, users: int, artifact: Path, seed: int = 0) -> Shop:
    """Start a server and fill it.

    Args:
        folder: an empty one for the server, the catalogue and the processes' files.
        users: how many, each with a published profile.
        artifact: of a model.
        seed: of the events.
    """
    folder.mkdir(parents=True)
    options = [part for name, value in PERSISTENCE.items() for part in (f"--{name}", value)]
    valkey = start_valkey(folder, free_port(), *options)
    settings = Settings(
        root=folder, store_url=valkey.url, partitions=PARTITIONS, user_key="5a" * 32, http_port=free_port()
    )
    store, meta = open_store(settings)
    random = np.random.default_rng(seed)
    names = pseudonyms(users, random)
    wire = Wire(valkey.url)
    wire.send_all(_published(names, random))
    wire.send_all(_announced(folder, artifact))
    wire.close()
    store.client.close()
    return Shop(valkey, settings, meta, names, random)


def pseudonyms(users: int, random: np.random.Generator) -> list[str]:
    """What looks like pseudonyms: 16 random bytes each."""
    raw = random.bytes(16 * users)
    return [base64.urlsafe_b64encode(raw[at : at + 16])[:22].decode() for at in range(0, len(raw), 16)]


def _published(names: Sequence[str], random: np.random.Generator) -> Iterator[Command]:
    values = profile_values(random)
    for name, which in zip(names, random.integers(0, PROFILES, len(names)).tolist(), strict=True):
        yield "SET", keys.profile(keys.partition(name, PARTITIONS), name), values[which]


def profile_values(random: np.random.Generator) -> list[bytes]:
    """Bytes of the profiles of ``PROFILES`` users."""
    lengths = np.maximum(random.lognormal(0, 1, PROFILES) / np.exp(0.5) * MEAN_HISTORY, 1).astype(np.int64)
    n, now_ms = int(lengths.sum()), time.time_ns() // 1_000_000
    user = np.repeat(np.arange(PROFILES), lengths)
    age_ms = np.sort(random.integers(DAY_MS, 60 * DAY_MS, n))[::-1]
    order = np.argsort(user, kind="stable")
    liked = (user * 31 + random.integers(0, 4, n) * 97) % CATEGORIES
    types = random.choice(list(TYPES), n, p=list(TYPES.values())).tolist()
    events = [
        Event(
            user="", type=kind, event_ms=now_ms - age, id="x", product=f"product-{c + CATEGORIES * k}",
            category=f"category-{c}", brand=f"brand-{c * 2 + k % 2}", price=1.0 + k, dwell_ms=20_000,
        )
        for kind, age, c, k in zip(types, age_ms[order].tolist(), liked.tolist(), random.integers(0, 9, n).tolist(), strict=True)
    ]  # fmt: skip
    encoded = encode_events(events, [one.event_ms for one in events], FEATURES.taxonomy)
    profiles = fold_profiles(FEATURES, FEATURES.profile.identity(PROFILES), user, encoded)
    return encode_profiles(FEATURES, profiles, (now_ms - DAY_MS) // HOUR_MS * HOUR_MS)


def _announced(folder: Path, artifact: Path) -> Iterator[Command]:
    """The model and the catalogue enter each partition's log."""
    digest = hashlib.sha256((artifact / "model.json").read_bytes()).hexdigest()
    rows = np.zeros(PRODUCTS + CATEGORIES, ROW_DTYPE)
    names = [f"product-{n}" for n in range(PRODUCTS)] + [f"category-{n}" for n in range(CATEGORIES)]
    rows["hash"], rows["kind"] = [text_hash(name) for name in names], np.arange(len(rows)) >= PRODUCTS
    rows["values"] = np.random.default_rng(0).random((len(rows), len(VALUES)))
    path, sha256 = write_catalogue(folder / "catalogue", "2025-01-01", rows)
    for entry in (ModelEntry(1, str(artifact), digest), CatalogueEntry("2025-01-01", str(path), sha256)):
        for p in range(PARTITIONS):
            yield "XADD", keys.events(p), "*", "c", encode_control(entry)


def export_model(folder: Path) -> Path:
    """The artifact, made by a process of its own: TensorFlow holds memory that would be counted."""
    subprocess.run([sys.executable, "-m", "tests.benchmarks.shop", str(folder)], check=True, stderr=subprocess.DEVNULL)
    return folder


def _export(folder: Path) -> None:
    from lambent.calibration import Calibration
    from models.artifact import copy_artifact
    from models.dataset import TrainingTable
    from models.export import export
    from models.network import IntentNetwork, Shape

    shape = Shape.of(FEATURES)
    table = TrainingTable("none", 0, {}, FEATURES.hash, shape.profile, shape.ids, shape.floats, ())
    export(folder, IntentNetwork(shape), Calibration.identity(shape.intents), FEATURES, table, {})
    copy_artifact(folder, folder, version=1)


if __name__ == "__main__":
    _export(Path(sys.argv[1]))
