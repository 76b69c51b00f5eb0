"""The training table as batches: nothing lost, nothing twice, the same for any number of ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lambent.errors import DataError, ModelError
from lambent.settings import Settings, load_settings
from models import dataset
from models.batching import MAX_STEPS, plan
from models.dataset import Chunk, Sessions, TrainingTable
from models.row_groups import Group
from tests.model_tables import FEATURES, simulated_events, training_table, write_training_table

GROUP = 30
"""Sessions of a row group."""


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    return training_table(simulated_events(users=300, days=5, seed=3))


@pytest.fixture(scope="module")
def settings(rows: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Row groups of one split, as the batch layer writes them, and where splits meet, of two."""
    settings = load_settings(root=tmp_path_factory.mktemp("root"))
    write_training_table(settings, rows.sort_by("split"), GROUP)
    return settings


@pytest.fixture(scope="module")
def table(settings: Settings) -> TrainingTable:
    return TrainingTable.open(settings, FEATURES)


def _keys(batches: list[dataset.Batch]) -> list[bytes]:
    """What tells one session from another: its floats."""
    return [_floats(batch, number).tobytes() for batch in batches for number in range(len(batch.profile))]


def _floats(batch: dataset.Batch, number: int) -> np.ndarray:
    """[steps, floats] of one session of a batch: a row of each step that it has."""
    firsts = np.cumsum(batch.alive) - batch.alive
    return batch.floats[firsts[batch.alive > number] + number]


def test_a_pass_gives_each_session_of_the_split_once(table: TrainingTable, rows: pa.Table) -> None:
    train = rows.filter(pa.compute.equal(rows["split"], "train"))
    wanted = [
        np.asarray(floats, np.float32)[: MAX_STEPS * table.floats_width].tobytes()
        for floats in train["floats"].to_pylist()
    ]
    assert sorted(_keys(list(table.batches("train", 32, seed=1)))) == sorted(wanted)


def test_labels_and_steps_of_a_batch_are_those_of_the_table(table: TrainingTable, rows: pa.Table) -> None:
    train = rows.filter(pa.compute.equal(rows["split"], "train"))
    batches = list(table.batches("train", 32, seed=1))
    assert sum(int(b.alive.sum()) for b in batches) == sum(min(n, MAX_STEPS) for n in train["length"].to_pylist())
    labels = np.concatenate([b.labels for b in batches])
    wanted = np.concatenate([np.array(one[:MAX_STEPS]) for one in train["labels"].to_pylist()])
    assert np.bincount(labels, minlength=4).tolist() == np.bincount(wanted, minlength=4).tolist()


@pytest.fixture(params=["one chunk", "some"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some chunks hold a row group or two."""
    if request.param == "some":
        monkeypatch.setattr(dataset, "CHUNK_BYTES", 32_000)


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_ranks_share_out_the_batches_of_one_process(table: TrainingTable, chunks: None, ranks: int) -> None:
    alone = list(table.batches("train", 32, seed=5))
    parts = [list(table.batches("train", 32, seed=5, rank=r, ranks=ranks)) for r in range(ranks)]
    assert [len(part) for part in parts] == [len(alone)] * ranks
    for number, whole in enumerate(alone):
        assert sorted(_keys([part[number] for part in parts])) == sorted(_keys([whole]))


@pytest.mark.parametrize("ranks", [3, 11])
def test_any_number_of_ranks_takes_equally_many_steps_over_each_session_once(
    table: TrainingTable, chunks: None, ranks: int
) -> None:
    parts = [list(table.batches("train", 32, seed=5, rank=r, ranks=ranks)) for r in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    assert sorted(key for part in parts for key in _keys(part)) == sorted(
        _keys(list(table.batches("train", 32, seed=5)))
    )


def test_a_rank_without_sessions_takes_the_steps_with_empty_batches(tmp_path: Path, rows: pa.Table) -> None:
    settings = load_settings(root=tmp_path)
    write_training_table(settings, rows.filter(pa.compute.equal(rows["split"], "train")).slice(0, 3))
    few = TrainingTable.open(settings, FEATURES)
    parts = [list(few.batches("train", 2, seed=5, rank=r, ranks=4)) for r in range(4)]
    assert [len(part) for part in parts] == [2] * 4
    assert sorted(sum(len(batch.profile) for batch in part) for part in parts) == [0, 1, 1, 1]


def test_a_rank_reads_the_row_groups_of_its_own_parts_alone(
    table: TrainingTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, read = [], Group.read

    def reading(group: Group, columns: Sequence[str]) -> pa.Table:
        opened.append(group)
        return read(group, columns)

    monkeypatch.setattr(Group, "read", reading)
    list(table.batches("train", 32))
    groups = len(opened)
    for rank in range(4):
        list(table.batches("train", 32, rank=rank, ranks=4))
    assert groups > 8
    assert len(opened) - groups <= groups + 3  # those in which a part ends and the next begins


def test_the_same_seed_gives_the_same_batches_and_another_seed_others(table: TrainingTable) -> None:
    first, again, other = (_keys(list(table.batches("train", 32, seed=seed))) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("skip", [0, 3, 7, 1_000])
def test_batches_that_are_done_with_are_passed_over(
    table: TrainingTable, monkeypatch: pytest.MonkeyPatch, skip: int
) -> None:
    monkeypatch.setattr(dataset, "CHUNK_BYTES", 32_000)
    whole = list(table.batches("train", 32, seed=1))
    assert _keys(list(table.batches("train", 32, seed=1, skip=skip))) == _keys(whole[skip:])


def test_memory_holds_a_chunk_however_many_sessions_there_are(
    table: TrainingTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sorted(_keys(list(table.batches("train", 32, seed=1))))
    monkeypatch.setattr(dataset, "CHUNK_BYTES", 16_000)
    sizes = [len(chunk.length) for chunk in table.chunks("train")]
    assert len(sizes) > 3 and max(sizes) <= 2 * GROUP
    assert sorted(_keys(list(table.batches("train", 32, seed=1)))) == whole


def test_sessions_of_a_batch_are_of_like_length() -> None:
    length = np.random.default_rng(1).integers(1, 40, 1_000)
    batches = plan(length, 50, np.random.default_rng(2))
    padded = sum(len(rows) * length[rows].max() for rows in batches)
    assert padded < 1.1 * length.sum()
    assert sorted(np.concatenate(batches).tolist()) == list(range(1_000))


def chunk_of(length: NDArray[Any]) -> Chunk:
    """Sessions of these lengths, in eight parts."""
    return Chunk(0, len(length), range(8), np.arange(9) * len(length) // 8, sessions_of(length.tolist()))


def test_sessions_of_a_batch_that_is_scored_are_of_like_length_though_they_come_from_all_parts() -> None:
    length = np.random.default_rng(1).integers(1, 40, 1_000)
    batches = chunk_of(length).plan(50, seed=None)
    padded = sum(len(rows) * length[rows].max() for rows in batches)
    assert len(batches) == 20 and padded < 1.15 * length.sum()
    assert sorted(np.concatenate(batches).tolist()) == list(range(1_000))
    assert all(np.bincount(rows // 125, minlength=8).min() > 0 for rows in batches)


@given(seed=st.integers(0, 2**32 - 1), sessions=st.integers(8, 3_000), size=st.integers(1, 200))
def test_batches_of_a_training_divide_the_sessions_and_no_two_differ_by_more_than_one_a_part(
    seed: int, sessions: int, size: int
) -> None:
    length = np.random.default_rng(seed).geometric(0.2, sessions)
    batches = chunk_of(length).plan(size, seed)
    counts = [len(rows) for rows in batches]
    assert len(batches) == math.ceil(sessions / size) and max(counts) - min(counts) <= 8
    assert sorted(np.concatenate(batches).tolist()) == list(range(sessions))


def test_an_event_counts_the_same_in_training_however_long_its_session_is() -> None:
    length = np.random.default_rng(1).geometric(0.2, 8_000)
    shares = [[(length[rows] * (length[rows] >= least)).sum() / length[rows].sum() for least in (2, 5, 10)]
              for rows in chunk_of(length).plan(128, seed=2)]  # fmt: skip
    share = [(length * (length >= least)).sum() / length.sum() for least in (2, 5, 10)]
    assert np.mean(shares, axis=0) == pytest.approx(share, rel=0.01)  # what steps see on average is what there is
    assert np.std(shares, axis=0).max() < 0.06  # and each sees about that


def sessions_of(length: list[int]) -> Sessions:
    """Sessions whose events are numbered from 0 on, one after the other."""
    n, events = np.array(length), np.arange(sum(length))
    decides = events % 5 == 2
    return Sessions(
        np.arange(len(n), dtype=np.float32)[:, None], n, np.cumsum(n) - n, events[:, None].astype(np.int32),
        events[:, None].astype(np.float32), (events % 4).astype(np.int8), decides,
    )  # fmt: skip


def test_a_batch_holds_step_after_step_and_the_longest_session_first() -> None:
    batch = sessions_of([1, 3, 2]).pack(np.array([0, 1, 2]))
    assert batch.profile[:, 0].tolist() == [1, 2, 0]
    assert batch.alive.tolist() == [3, 2, 1]
    assert batch.floats[:, 0].tolist() == [1, 4, 0, 2, 5, 3]
    assert batch.ids[:, 0].tolist() == [1, 4, 0, 2, 5, 3] and batch.labels.tolist() == [1, 0, 0, 2, 1, 3]


def test_an_event_of_a_batch_names_the_next_one_of_its_session_unless_that_decides() -> None:
    batch = sessions_of([1, 3, 2]).pack(np.array([0, 1, 2]))  # events 1, 4, 0, 2, 5, 3, of which 2 decides
    assert batch.follows.tolist() == [-1, 4, -1, 5, -1, -1]


def test_a_rank_without_rows_gets_a_batch_without_events() -> None:
    empty = sessions_of([2]).pack(np.zeros(0, np.int64))
    assert [array.shape for array in empty.arrays] == [(0, 1), (0,), (0, 1), (0, 1), (0,), (0,)]


def test_a_session_beyond_the_limit_keeps_its_first_steps() -> None:
    batch = sessions_of([MAX_STEPS + 10]).pack(np.array([0]))
    assert batch.floats[:, 0].tolist() == list(range(MAX_STEPS))


def test_the_snapshot_comes_from_the_jobs_commit(table: TrainingTable) -> None:
    assert table.snapshot == {"events_version": 3, "cutoff_ms": 1_736_000_000_000}
    assert table.features == FEATURES.hash


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such table"):
        TrainingTable.open(load_settings(root=tmp_path), FEATURES)


def test_a_table_of_other_features_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    other = type(FEATURES)(FEATURES.taxonomy, FEATURES.profile.aggregates[1:])
    with pytest.raises(ModelError, match="made for features"):
        TrainingTable.open(settings, other)
