"""The oracle of everything: it finds nothing in a run in which nothing went wrong, and names each mistake that is planted."""

from __future__ import annotations

import dataclasses
import random
import re
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lambent.control import ModelEntry
from lambent.errors import DataError, LambentError, ModelError
from lambent.events import Event
from realtime import rebuild
from realtime.verify import command, reference
from realtime.verify.checks import Verification
from realtime.verify.command import verify
from realtime.verify.sent import Outcome, Sending, Sent, read_sent
from tests.chaos.rig import FEATURES, make_rig
from tests.planted import DAMAGE, MISTAKES
from tests.valkey import Valkey, server, valkey  # noqa: F401
from tests.verified import PARTITIONS, Run
from tests.visitors import FakeModel, load

pytestmark = pytest.mark.integration
SEED = 1


def played(valkey: Valkey, root: Path) -> Run:  # noqa: F811
    valkey.client.flushall()
    return Run(make_rig(valkey, root, partitions=PARTITIONS), random.Random(SEED))


@dataclasses.dataclass
class Kept:
    """A run that can be had again as it was."""

    run: Run
    values: dict[bytes, tuple[bytes, int]]
    tables: Path

    def again(self) -> Run:
        client = self.run.rig.store.client
        client.execute_command("FLUSHALL")
        for key, (value, ttl_ms) in self.values.items():
            client.execute_command("RESTORE", key, max(ttl_ms, 0), value)
        root = Path(self.run.rig.settings.tables_root)
        shutil.rmtree(root)
        shutil.copytree(self.tables, root)
        return self.run


@pytest.fixture(scope="module")
def kept(server: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Kept:  # noqa: F811
    run = played(server, tmp_path_factory.mktemp("run"))
    run.play()
    client = run.rig.store.client
    names = client.execute_command("KEYS", "*")
    values = {key: (client.execute_command("DUMP", key), client.execute_command("PTTL", key)) for key in names}
    copy = tmp_path_factory.mktemp("kept") / "tables"
    shutil.copytree(run.rig.settings.tables_root, copy)
    return Kept(run, values, copy)


def said(run: Run) -> str:
    """The oracle's words, or those in which it refuses."""
    try:
        return "\n".join(run.verify().words())
    except LambentError as error:
        return str(error)


def write(sent: list[Sent], path: Path) -> Path:
    path.write_bytes(b"\n".join(map(msgspec.json.encode, sent)))
    return path


def test_what_was_sent_is_in_the_log_as_often_as_it_was_accepted(kept: Kept, tmp_path: Path) -> None:
    run = kept.again()
    report = run.verify(read_sent(write(run.sent, tmp_path / "sent.jsonl")))
    assert list(report.words()) == []
    assert report.sent == Sending(accepted=len(run.sent))


def the_last(sent: list[Sent], outcome: Outcome) -> list[Sent]:
    """As if the last one had been told that."""
    return [*sent[:-1], msgspec.structs.replace(sent[-1], outcome=outcome)]


def once_more(sent: list[Sent], outcome: Outcome, event: Event | None = None, entry: str = "") -> list[Sent]:
    """As if an event had been sent another time."""
    return [*sent, Sent(outcome, event or sent[-1].event, entry)]


STRANGER = Event(user="s" * 22, type="view", event_ms=1_700_000_000_000, id="stranger")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda sent: the_last(sent, "maybe"), ""),
        (lambda sent: once_more(sent, "maybe"), ""),
        (lambda sent: once_more(sent, "maybe", STRANGER), ""),
        (lambda sent: once_more(sent, "refused", STRANGER), ""),
        (lambda sent: once_more(sent, "refused"), ""),
        (lambda sent: once_more(sent, "accepted"), "sent: the event '.*' was accepted .* times, and is in the log .* times: it is lost"),
        (lambda sent: once_more(sent, "accepted", STRANGER), "sent: the event 'stranger' was accepted 1 times, and is in the log 0 times"),
        (lambda sent: the_last(sent, "refused"), "sent: the event '.*' was sent .* times that may have arrived, and is in the log .* times"),
        (lambda sent: [one for one in sent if one.event.id != "n5"], "sent: nobody has sent the event 'n5'"),
        (lambda sent: once_more(sent, "maybe", entry="1-1"), "sent: the event '.*' was accepted as this entry, which is not it"),
    ],
)  # fmt: skip
def test_a_producers_log_is_compared_with_the_systems(kept: Kept, change: Any, words: str) -> None:
    run = kept.again()
    found = "\n".join(run.verify(change(run.sent)).words())
    assert re.search(words, found) if words else not found, found


@pytest.mark.parametrize("line", [b"{", b'{"outcome":"perhaps"}', b"\xff"])
def test_a_line_that_says_nothing_of_what_was_sent_is_named(tmp_path: Path, line: bytes) -> None:
    path = write([Sent("refused", STRANGER)], tmp_path / "sent.jsonl")
    path.write_bytes(path.read_bytes() + b"\n" + line)
    with pytest.raises(DataError, match=r"sent.jsonl:2: this is not a line of what was sent"):
        read_sent(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_sent(tmp_path / "none.jsonl")


@pytest.mark.parametrize("json", [True, False])
def test_the_command_says_what_differs_and_fails(
    kept: Kept, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, json: bool
) -> None:
    run = kept.again()
    monkeypatch.setattr(rebuild, "load_artifact", lambda features, entry: load(entry))
    arguments = Namespace(wait=0, sent=None, json=json)
    report = command.run(arguments, run.rig.settings)
    assert report["verified"]["differences"] == 0
    DAMAGE["a_newest_intent_lost"][1](run.rig)
    failed = command.run(arguments, run.rig.settings)
    assert (failed.exit_code, failed.report["verified"]["differences"]) == (1, 1)
    assert ("newest intent: there is no newest intent" in capsys.readouterr().out) == (not json)


def test_what_a_model_said_that_is_gone_is_not_judged(kept: Kept) -> None:
    run = kept.again()

    def gone(entry: ModelEntry) -> FakeModel:
        if entry.version == 1:
            raise ModelError("There is no such folder.")
        return FakeModel(entry.version)

    meta = run.rig.store.meta()
    assert meta is not None
    found = verify(run.rig.store, meta, run.rig.settings, FEATURES, load=gone).verified
    assert found.models_missing == ("1",)
    assert found.tally.unproven > 0
    assert [one.what for one in found.examples] == ["control"] * PARTITIONS


def test_entries_that_come_while_it_compares_are_refused_and_markers_are_not(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, read = kept.again(), Verification.partition
    for kind, words in ((b"m", ""), (b"e", "Partition 0 got entries while its log was replayed")):

        def meanwhile(self: Verification, found: Any, kind: bytes = kind) -> None:
            read(self, found)
            run.rig.store.append([(0, kind, b"")] if found.partition == 0 else [])

        monkeypatch.setattr(Verification, "partition", meanwhile)
        assert words in (found := said(run)) and bool(words) == bool(found), found


def test_what_models_say_of_a_user_who_did_too_much_is_not_worked_out(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "MOST_STEPS", 3)
    report = kept.again().verify()
    assert list(report.words()) == []
    assert 0 < report.verified.tally.unproven < report.verified.tally.answers


def test_a_run_in_which_nothing_went_wrong_differs_in_nothing(kept: Kept) -> None:
    report = kept.again().verify()
    assert list(report.words()) == []
    tally = report.verified.tally
    assert tally.events == tally.applied + tally.duplicates + tally.dead + sum(tally.rejected.values())
    assert min(tally.late, tally.duplicates, tally.dead, tally.controls, sum(tally.rejected.values())) > 0
    assert (tally.answers, tally.unproven) == (tally.applied - tally.late, 0)


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_to_what_is_stored_is_named(kept: Kept, name: str) -> None:
    words, damage = DAMAGE[name]
    run = kept.again()
    damage(run.rig)
    assert re.search(words, found := said(run)), found


@pytest.mark.parametrize("name", MISTAKES)
def test_a_workers_mistake_is_named(
    valkey: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str  # noqa: F811
) -> None:  # fmt: skip
    words, plant = MISTAKES[name]
    run = played(valkey, tmp_path)
    with monkeypatch.context() as patch:
        plant(run, patch)
        run.play()
    assert re.search(words, found := said(run)), found
