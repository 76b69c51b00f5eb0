"""The simulator's parts: drawing, the catalogue, encoding, the command and the progress bar."""

from __future__ import annotations

import argparse
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent.cli import Command
from lambent.errors import DataError, SettingsError
from lambent.progress import Progress
from lambent.settings import Settings
from lambent.simulate import catalogue
from lambent.simulate.command import COMMAND
from lambent.simulate.encode import BREAKERS
from lambent.simulate.rows import Day
from lambent.simulate.sessions import age_row, draw_intents
from lambent.simulate.world import AFTER, HOUR_MS, PHASES, TYPES, cumulative, load_world, pick, shop_world
from lambent.taxonomy import shop


def test_types_and_intents_are_those_of_the_shops_taxonomy() -> None:
    assert tuple(event_type.name for event_type in shop().types) == TYPES
    assert shop_world().parameters.intents == shop().intents == PHASES[:AFTER]


def test_tables_have_a_row_for_each_case() -> None:
    world, history = shop_world(), shop_world().parameters.history
    s = world.stages
    assert world.next_stage.shape == (len(PHASES) * s, s + 1)
    assert world.initial.shape == (len(PHASES), s - 1)
    assert world.dwell.shape == (s + 1, len(world.parameters.emissions.dwell_ms) - 2)
    assert world.act.shape[0] == world.product.shape[0] == world.query.shape[0] == world.events_in_stage.shape[0] == s
    assert len(history.cart) == len(history.cart_hours) + 2
    assert len(history.order) == len(history.order_hours) + 2


def test_only_sessions_with_a_decisive_intent_lead_to_the_act_and_they_cannot_end_before() -> None:
    for name, phase in shop_world().parameters.phases.items():
        acts, ends = (sum(row[-2] for row in phase.next), sum(row[-1] for row in phase.next))
        assert (acts > 0, ends > 0) == ((False, True) if name in ("browse", "after") else (True, False))


def test_no_stage_leads_to_itself_since_its_length_is_drawn() -> None:
    for phase in shop_world().parameters.phases.values():
        assert all(row[i] == 0 for i, row in enumerate(phase.next))


def test_draws_follow_the_weights() -> None:
    table = cumulative([[1, 2, 1], [0, 1]])
    u = np.random.default_rng(0).random(40_000)
    assert np.bincount(pick(table, 0, u)) / 40_000 == pytest.approx([0.25, 0.5, 0.25], abs=0.01)
    assert set(pick(table, np.ones(40_000, dtype=np.int64), u).tolist()) == {1}


def test_intents_are_drawn_in_proportion_to_their_weights() -> None:
    weights = np.tile([6.0, 3.0, 0.0, 1.0], (40_000, 1))
    counts = np.bincount(draw_intents(weights, np.random.default_rng(0).random(40_000)), minlength=4)
    assert counts / 40_000 == pytest.approx([0.6, 0.3, 0, 0.1], abs=0.01)


def test_ages_fall_into_classes_and_nothing_has_its_own() -> None:
    age_ms = np.array([1, 7, 8, 47, 48, 500]) * HOUR_MS
    assert age_row(np.array([-1, 3, 3, 3, 3, 3]), age_ms, (8, 48)).tolist() == [0, 1, 2, 2, 3, 3]


@given(st.integers(0, 2303))
def test_a_product_can_be_taken_apart_and_its_neighbour_differs_in_rank_alone(product: int) -> None:
    sizes = catalogue.grid(shop_world().parameters.catalogue)
    rest, rank = divmod(product, sizes.ranks)
    rest, brand = divmod(rest, sizes.brands)
    category, level = divmod(rest, sizes.levels)
    parts = [np.array([part]) for part in (category, level, brand, rank)]
    assert sizes.code(*parts).tolist() == [product]
    assert sizes.level(np.array([product])).tolist() == [level]
    other = int(sizes.neighbour(np.array([product]))[0])
    assert other != product and other // sizes.ranks == product // sizes.ranks


def test_popularity_has_the_probabilities_that_it_states() -> None:
    counts = np.bincount(catalogue.popular(np.random.default_rng(0).random(40_000), 4), minlength=4)
    assert counts / 40_000 == pytest.approx(np.sqrt([1, 2, 3, 4]) / 2 - np.sqrt([0, 1, 2, 3]) / 2, abs=0.01)


def test_a_day_knows_its_weekday_and_its_sale() -> None:
    world, monday_ms = shop_world(), 1_736_121_600_000
    sale = world.parameters.sale
    assert Day(0, monday_ms).weekday == 0
    assert [Day(n, monday_ms).has_sale(world) for n in range(sale.every_days)].count(True) == sale.days
    assert Day(sale.first_day, monday_ms).has_sale(world)


@pytest.mark.parametrize("breaker", BREAKERS)
def test_every_breaker_changes_the_line(breaker: object) -> None:
    line = b'{"user":"u000001","type":"view","event_ms":1736121600000,"product":"p1","price":1.25,"device":"phone"}'
    assert callable(breaker) and breaker(line) != line


def test_a_world_with_a_misspelt_name_is_refused(tmp_path: Path) -> None:
    text = Path(catalogue.__file__).with_name("world.toml").read_text()
    wrong = tmp_path / "world.toml"
    wrong.write_text(text.replace("max_events", "max_event"))
    with pytest.raises(SettingsError, match="max_event"):
        load_world(wrong)


def call(*arguments: str, command: Command = COMMAND) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    parser.add_argument("--json", action="store_true")
    result: dict[str, object] = command.run(parser.parse_args(arguments), Settings())
    return result


def test_the_command_writes_the_same_lines_plain_and_compressed(tmp_path: Path) -> None:
    plain, packed = tmp_path / "events.jsonl", tmp_path / "events.jsonl.gz"
    report = call("--users", "50", "--days", "2", "--json", "--out", str(plain))
    call("--users", "50", "--days", "2", "--json", "--out", str(packed))
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    assert plain.read_bytes().count(b"\n") == report["lines"]
    assert json.loads(json.dumps(report)) == report


def test_the_compressed_file_has_the_same_bytes_whatever_its_name(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        call("--users", "20", "--days", "1", "--json", "--out", str(tmp_path / name))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_the_command_tells_people_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call("--users", "50", "--days", "2", "--out", str(tmp_path / "events.jsonl"))
    assert "lines in order of arrival" in capsys.readouterr().out


def test_a_file_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        call("--users", "5", "--days", "1", "--out", str(tmp_path / "file" / "events.jsonl"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_bar_is_silent_where_nobody_watches() -> None:
    stream = io.StringIO()
    with Progress("reading", 2, stream=stream) as bar:
        bar.update(2)
    assert stream.getvalue() == ""


def test_the_bar_shows_share_rate_and_the_time_left() -> None:
    stream = Terminal()
    with Progress("reading", 4, "events", stream=stream) as bar:
        bar.update(1)
        assert " 25%" in bar.line() and "events/s" in bar.line() and "s left" in bar.line()
        bar.update(3)
    assert "100%" in stream.getvalue() and stream.getvalue().endswith("\n")


def test_the_bar_counts_on_where_the_total_is_unknown() -> None:
    bar = Progress("reading", stream=Terminal())
    bar.update(1200)
    assert bar.line().startswith("reading 1,200 ")
