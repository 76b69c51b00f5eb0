"""A replay's pace, on a clock of its own; and how it ends."""

from __future__ import annotations

import argparse
import json
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambent import cli
from lambent.errors import UsageError
from lambent.events import Event
from realtime import replay as command
from realtime.doors import Item, Verdict
from realtime.pacing import AsItHappened, at_once, at_rate, paced
from realtime.replay import COMMAND, Report, describe, replay

START_MS = 1_700_000_000_000


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now_s = 5.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now_s += seconds


class TimedDoor:
    """Notes what was sent, and when, in seconds since the start; a send takes ``takes_s``."""

    def __init__(self, clock: Clock, takes_s: float = 0.0) -> None:
        self.clock, self.takes_s, self.sent, self.start_s = clock, takes_s, list[tuple[float, Item]](), clock()

    def send(self, items: Sequence[Item]) -> Verdict:
        self.sent += [(round(self.clock() - self.start_s, 6), item) for item in items]
        self.clock.now_s += self.takes_s
        return len(items), Counter()


def event(at_s: float) -> Event:
    return Event(user="A" * 22, type="view", event_ms=START_MS + round(at_s * 1_000), id=str(at_s))


def times(items: Sequence[Item], pace: AsItHappened, takes_s: float = 0.0) -> list[float]:
    clock = Clock()
    door = TimedDoor(clock, takes_s)
    assert replay(items, door, due=pace, clock=clock, sleep=clock.sleep).sent == len(items)
    assert [item for _, item in door.sent] == list(items)
    return [at_s for at_s, _ in door.sent]


def test_a_log_is_replayed_in_the_time_that_it_took() -> None:
    assert times([event(0), event(2), event(2), event(2.5), event(60)], AsItHappened()) == [0, 2, 2, 2.5, 60]


def test_a_speed_shortens_all_gaps_alike() -> None:
    assert times([event(0), event(60), event(3_600)], AsItHappened(60)) == [0, 1, 60]


def test_an_event_out_of_order_and_a_row_without_a_time_go_with_the_one_before() -> None:
    assert times([b"{", event(10), event(4), b"{", event(9), event(12)], AsItHappened()) == [0, 0, 0, 0, 0, 2]


def test_long_silences_are_shortened_only_if_so_asked() -> None:
    log = [event(0), event(1), event(4_000), event(4_002)]
    assert times(log, AsItHappened()) == [0, 1, 4_000, 4_002]
    assert times(log, AsItHappened(max_gap_s=5)) == [0, 1, 6, 8]
    assert times(log, AsItHappened(2, max_gap_s=5)) == [0, 0.5, 5.5, 6.5]


def test_a_slow_door_is_caught_up_with_and_no_gap_is_added() -> None:
    assert times([event(n) for n in (0, 1, 2, 3, 10)], AsItHappened(), takes_s=2.5) == [0, 2.5, 2.5, 5, 10]


@given(st.lists(st.integers(0, 100), max_size=40), st.floats(1, 1_000), st.integers(1, 7))
def test_any_log_is_sent_whole_in_its_order_and_never_early(at: list[int], speed: float, batch: int) -> None:
    clock = Clock()
    door, log = TimedDoor(clock), [event(at_s) for at_s in at]
    replay(log, door, due=AsItHappened(speed), batch=batch, clock=clock, sleep=clock.sleep)
    assert [item for _, item in door.sent] == log
    for n, (sent_s, _) in enumerate(door.sent):
        assert sent_s == pytest.approx((max(at[: n + 1]) - at[0]) / speed, abs=1e-5)


def test_a_rate_is_kept_in_batches_of_what_is_due() -> None:
    clock = Clock()
    batches = list(paced([b"x"] * 100, at_rate(10), 7, clock, clock.sleep))
    assert sum(map(len, batches)) == 100
    assert clock.now_s == pytest.approx(5.0 + 9.9)
    assert [len(own) for own in paced([b"x"] * 10, at_once, 4, clock, clock.sleep)] == [4, 4, 2]


def test_a_replay_that_is_stopped_says_what_was_sent_and_what_was_under_way() -> None:
    clock = Clock()

    class Stopped(TimedDoor):
        def send(self, items: Sequence[Item]) -> Verdict:
            if len(self.sent) == 4:
                raise KeyboardInterrupt
            return super().send(items)

    log = [event(n) for n in range(10)]
    report = replay(log, Stopped(clock), batch=2, clock=clock, sleep=clock.sleep)
    assert (report.stopped, report.sent, report.uncertain, report.log_ms) == (True, 4, 2, START_MS + 3_000)
    assert describe(report).startswith("Stopped at 2023-11-14 22:13:23 of the log: 4 sent, 4 accepted")
    assert "2 more were under way" in describe(report)
    assert not describe(Report()).startswith("Stopped")


# --- the command -------------------------------------------------------------------------------------------------------


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args(["log.jsonl", *arguments])


def test_the_pace_is_a_rate_or_a_speed_and_only_a_speed_has_silences(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.pace_of(parse()) is at_once
    assert isinstance(command.pace_of(parse("--speed", "60", "--max-gap", "2")), AsItHappened)
    with pytest.raises(UsageError, match="--speed"):
        command.pace_of(parse("--rate", "5", "--max-gap", "2"))
    for wrong in (["--rate", "1", "--speed", "1"], ["--speed", "0"], ["--rate", "-1"], ["--max-gap", "inf"]):
        with pytest.raises(SystemExit):
            parse(*wrong)


@pytest.mark.parametrize("json_wanted", [True, False])
def test_ctrl_c_in_a_silence_ends_the_command_with_its_report(
    json_wanted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "load_commands", lambda: {"replay": COMMAND})
    monkeypatch.setenv("LAMBENT_ROOT", str(tmp_path))
    log = tmp_path / "log.jsonl"
    rows = [{"user": f"u{n}", "type": "view", "event_ms": START_MS + n * 86_400_000} for n in range(2)]
    log.write_text("\n".join(map(json.dumps, rows)))

    class Interrupting(TimedDoor):
        """Takes the first event; what follows is a silence of a day, in which the signal comes."""

        def send(self, items: Sequence[Item]) -> Verdict:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            return super().send(items)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    monkeypatch.setattr(command, "open_door", lambda *_: Interrupting(Clock()))
    try:
        code = cli.main(["replay", str(log), "--speed", "1", *(["--json"] if json_wanted else [])])
    finally:
        signal.signal(signal.SIGALRM, before)
    out = capsys.readouterr().out
    assert code == 130
    assert json.loads(out)["sent"] == 1 if json_wanted else out.startswith("Stopped at 2023-11-14 22:13:20 of the log")
