"""The training table as packed batches of sessions: Delta → Arrow → numpy → ``tf.data``, without a Java machine.

The table is read a *chunk* at a time, and a chunk is divided into *parts*. Each global batch takes equally many sessions
from each part, and a rank reads its own parts alone. So all ranks take equally many steps, and one process, two, four and
eight take the same steps, for they divide the same parts. A rank that a batch leaves without rows takes the step with an
empty one. Memory holds two chunks, one in use and one that is read ahead, whatever the size of the table.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from numpy.typing import NDArray

from lambent.ahead import one_ahead
from lambent.errors import DataError, ModelError
from lambent.features import FeatureSet
from lambent.settings import Settings
from lambent.tables import TRAINING_SESSIONS
from models.batching import MAX_STEPS, by_length, mixed
from models.row_groups import gathered, groups_of, sessions_between

CHUNK_BYTES = 128 << 20
"""What is in memory and shuffled, at least: 60,000 sessions of five events."""
PARTS = 8
"""Parts of a chunk where the ranks divide it; other numbers of ranks have a part each, as large as such a chunk."""
COLUMNS = ("profile", "length", "ids", "floats", "labels")
OWNERS = ("user", "start_ms")
"""Columns that say whose a session is; training needs none of them."""

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Sessions step by step: the first event of each, then the second of each that has one, and so on.

    The longest session comes first, so that those that go on are always the first rows; nothing is padded.

    Attributes:
        profile: [n, profile features] float32.
        alive: [T] int32: how many sessions have a step t.
        ids: [events, ids] int32, floats: [events, floats] float32.
        follows: [events] int32: which event of the batch is the session's next, where there is one and it decides nothing; else -1.
        labels: [events] int32.
    """

    profile: Array
    alive: Array
    ids: Array
    floats: Array
    follows: Array
    labels: Array

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The fields in order."""
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @property
    def inputs(self) -> tuple[Array, ...]:
        """What the network sees of it."""
        return self.profile, self.alive, self.ids, self.floats

    @property
    def session(self) -> Array:
        """[events] which row of ``profile`` each event belongs to."""
        return np.concatenate([np.zeros(0, np.int64), *map(np.arange, self.alive)])


@dataclasses.dataclass(frozen=True)
class Sessions:
    """Some rows of the table, flat: session s has steps ``first[s]`` to ``first[s] + length[s]``.

    Attributes:
        decides: [steps] bool: whether the event decides a session.
        user, start_ms: [sessions] whose each is, and when it began; empty where they were not asked for.
    """

    profile: Array
    length: Array
    first: Array
    ids: Array
    floats: Array
    labels: Array
    decides: Array
    user: Array = dataclasses.field(default_factory=lambda: np.zeros(0, object))
    start_ms: Array = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))

    def pack(self, rows: Array) -> Batch:
        """The sessions ``rows`` [n] as a batch, none included."""
        rows = rows[np.argsort(-self.length[rows], kind="stable")]
        length = np.minimum(self.length[rows], MAX_STEPS)
        inside = np.arange(length.max(initial=0))[:, None] < length  # [T, n]
        step, session = np.nonzero(inside)
        at = self.first[rows][session] + step  # [events]
        alive = inside.sum(1, dtype=np.int32)
        labels = self.labels[at].astype(np.int32)
        return Batch(
            self.profile[rows], alive, self.ids[at], self.floats[at], _follows(alive, self.decides[at]), labels
        )


def _follows(alive: Array, decides: Array) -> Array:
    """``Batch.follows``. Sessions that go on are the first rows of a step, so that from the second step on an event lies behind
    the one before it in its session by as many rows as that one's step has.
    """
    later = np.arange(alive[:1].sum(), len(decides))
    before = later - np.repeat(alive[:-1], alive[1:])
    follows = np.full(len(decides), -1, np.int32)
    follows[before] = np.where(decides[later], -1, later)
    return follows


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A rank's parts of a chunk.

    Attributes:
        number: of the chunk, from 0.
        count: sessions of the chunk, other ranks' included.
        parts: numbers of the rank's parts.
        edges: [parts + 1] where they begin and end among its sessions.
        sessions: the rank's.
    """

    number: int
    count: int
    parts: range
    edges: Array
    sessions: Sessions

    def steps(self, size: int) -> int:
        """How many global batches of at most about ``size`` sessions it makes."""
        return math.ceil(self.count / size)

    def plan(self, size: int, seed: int | None) -> list[Array]:
        """The rank's rows of each global batch, of sessions of all lengths, or without a seed of sessions of like length."""
        steps, pieces = self.steps(size), []
        for part, low, high in zip(self.parts, self.edges[:-1], self.edges[1:], strict=True):
            length = self.sessions.length[low:high]
            if seed is None:
                rows = np.array_split(by_length(length, None), steps)
            else:
                rows = mixed(length, steps, np.random.default_rng([seed, self.number, part]))
            pieces.append([low + one for one in rows])
        order = range(steps) if seed is None else np.random.default_rng([seed, self.number]).permutation(steps)
        return [np.concatenate([piece[step] for piece in pieces]) for step in order]


@dataclasses.dataclass(frozen=True)
class TrainingTable:
    """One version of the table ``training_sessions``; cheap to hand to another process.

    Attributes:
        path: path or URL of the table.
        version: its Delta version.
        snapshot: what its commit says of the events: ``events_version``, ``cutoff_ms``.
        profile_width, ids_width, floats_width: widths of the rows.
        features: hash of the feature set.
        decides: [types] whether an event of the type decides a session.
    """

    path: str
    version: int
    snapshot: dict[str, int]
    features: str
    profile_width: int
    ids_width: int
    floats_width: int
    decides: tuple[bool, ...]

    @classmethod
    def open(cls, settings: Settings, features: FeatureSet) -> TrainingTable:
        """The newest version of the table.

        Raises:
            DataError: there is no such table, or its commit does not say what it was made from.
            ModelError: it was made for other features.
        """
        path = settings.table(TRAINING_SESSIONS)
        try:
            table = DeltaTable(path)
        except TableNotFoundError as error:
            raise DataError(f"{path}: there is no such table.", "Make it: lambent batch training-sessions.") from error
        metadata = _commit_metadata(table, path)
        if metadata.get("features") != features.hash:
            cause = f"{path}: made for features {metadata.get('features')}; these are {features.hash}."
            raise ModelError(cause, "Make it anew: lambent batch training-sessions.")
        snapshot = {name: int(metadata[name]) for name in ("events_version", "cutoff_ms")}
        widths = len(features.profile.feature_names), len(features.step_ids), len(features.step_floats)
        decides = tuple(intent is not None for intent in features.taxonomy.intent_of_type)
        return cls(path, table.version(), snapshot, features.hash, *widths, decides)

    def chunks(self, split: str, owners: bool = False) -> Iterator[Sessions]:
        """The sessions of a split, in the table's order, a chunk at a time.

        Args:
            split: train, validation or test.
            owners: whether users and starts are wanted too.
        """
        return (chunk.sessions for chunk in self.share(split, owners))

    def count(self, split: str) -> int:
        """How many sessions a split has, by what files say of themselves."""
        return sum(group.count for group in groups_of(self._data(), split))

    def share(self, split: str, owners: bool = False, *, rank: int = 0, ranks: int = 1) -> Iterator[Chunk]:
        """A rank's parts of each chunk, the next one being read while one is in use."""
        return one_ahead(self._share(split, owners, rank, ranks))

    def _share(self, split: str, owners: bool, rank: int, ranks: int) -> Iterator[Chunk]:
        data = self._data()
        columns = [*COLUMNS, *(OWNERS if owners else ())]
        parts, chunk_bytes = (PARTS, CHUNK_BYTES) if PARTS % ranks == 0 else (ranks, CHUNK_BYTES * ranks)
        own = range(rank * parts // ranks, (rank + 1) * parts // ranks)
        for number, groups in enumerate(gathered(groups_of(data, split), chunk_bytes)):
            count = sum(group.count for group in groups)
            edges = count * np.arange(own.start, own.stop + 1) // parts
            none = data.schema.empty_table().select(columns)
            read = pa.concat_tables([none, *sessions_between(groups, columns, *edges[[0, -1]])])
            yield Chunk(number, count, own, edges - edges[0], self._decode(read))

    def _data(self) -> Any:
        """Its files as a data set."""
        return DeltaTable(self.path, version=self.version).to_pyarrow_dataset()

    def _decode(self, table: pa.Table) -> Sessions:
        length = table["length"].to_numpy().astype(np.int64)
        flat = {name: _flat(table[name]) for name in ("profile", "ids", "floats", "labels")}
        ids = flat["ids"].reshape(-1, self.ids_width)
        return Sessions(
            profile=flat["profile"].reshape(len(length), self.profile_width),
            length=length,
            first=np.cumsum(length) - length,
            ids=ids,
            floats=flat["floats"].reshape(-1, self.floats_width),
            labels=flat["labels"],
            decides=np.array(self.decides)[ids[:, 0]],
            **{name: table[name].to_numpy() for name in OWNERS if name in table.column_names},
        )

    def batches(
        self, split: str, size: int, *, seed: int | None = None, rank: int = 0, ranks: int = 1, skip: int = 0
    ) -> Iterator[Batch]:
        """This rank's part of each global batch.

        Args:
            split: train, validation or test.
            size: sessions of a global batch.
            seed: shuffles, and mixes lengths; None: batches of like length, the short ones first, as is fastest. Another seed
            each epoch.
            rank, ranks: whose sessions of a global batch are wanted.
            skip: global batches that are passed over, being done with.
        """
        for chunk in self.share(split, rank=rank, ranks=ranks):
            planned = chunk.plan(size, seed)
            yield from map(chunk.sessions.pack, planned[skip:])
            skip = max(skip - len(planned), 0)


def as_tensors(batches: Callable[[], Iterator[Batch]], signature: Sequence[Any]) -> Any:
    """A ``tf.data`` set of ``Batch.arrays``, read ahead of the network. Each pass calls ``batches`` anew."""
    import tensorflow as tf

    arrays = tf.data.Dataset.from_generator(lambda: (b.arrays for b in batches()), output_signature=tuple(signature))
    options = tf.data.Options()
    # There is nothing to tune, and the end of a pass would wait for the tuner's next look.
    options.autotune.enabled = False
    return arrays.prefetch(4).with_options(options)


def _flat(column: pa.ChunkedArray) -> Array:
    """The values of a list column, end to end. ``flatten`` respects the offsets of a filtered batch."""
    return column.combine_chunks().flatten().to_numpy(zero_copy_only=False)


def _commit_metadata(table: DeltaTable, path: str) -> dict[str, Any]:
    """What the newest commit that says anything says: a job's, not that of an OPTIMIZE after it."""
    for commit in table.history(8):
        if commit.get("userMetadata"):
            return dict(json.loads(commit["userMetadata"]))
    cause = f"{path}: no commit up to version {table.version()} names its snapshot."
    raise DataError(cause, "Make it anew: lambent batch training-sessions.")
