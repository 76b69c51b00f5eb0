"""Is the archived log whole, and does it agree with the stream, the positions and the dead letters?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from realtime import ids
from realtime.batch import MARKER
from realtime.verify.difference import Difference
from realtime.verify.evidence import Evidence
from realtime.verify.reference import Walked


def check_log(found: Evidence) -> Iterator[Difference]:
    """The archive against itself and against what the stream still holds."""
    p = found.partition
    counts = Counter(entry_id for entry_id, _, _ in found.archived)
    for entry_id, count in counts.items():
        if count > 1:
            yield Difference("archive", f"the entry is in the table log {count} times", p, entry=entry_id.decode())
    last = max(counts, key=ids.parse, default=ids.START)
    if last != found.end:
        words = f"the table's transaction says that the archive ends at {found.end.decode()}, but its last row is {last.decode()}"
        yield Difference("watermark", words, p)
    yield from _ahead(found)
    yield from _overlap(found)


def _ahead(found: Evidence) -> Iterator[Difference]:
    """What may not be ahead of what."""
    for what, at, whose, end in (
        ("lambent:archived", found.told, "the archive", found.end),
        ("trimmed", found.trimmed, "the archive", found.end),
        ("trimmed", found.trimmed, "the position", found.position),
    ):
        if ids.parse(at) > ids.parse(end):
            words = f"{what} says {at.decode()}, which is ahead of {whose} at {end.decode()}"
            yield Difference("watermark", words, found.partition)


def _overlap(found: Evidence) -> Iterator[Difference]:
    """Archived entries that the stream still holds have to be the same, none more and none less."""
    p, end = found.partition, ids.parse(found.end)
    streamed = {entry_id: (kind, data) for entry_id, kind, data in found.streamed if ids.parse(entry_id) <= end}
    archived = {entry_id: (kind, data) for entry_id, kind, data in found.archived}
    ends = [ids.parse(found.streamed[n][0]) for n in (0, -1)] if found.streamed else [end, end]
    for entry_id, one in streamed.items():
        if entry_id not in archived:
            yield Difference(
                "archive", "the entry is in the stream, but not in the table log", p, entry=entry_id.decode()
            )
        elif archived[entry_id] != one:
            words = "the table log holds other bytes than the stream"
            yield Difference("archive", words, p, entry=entry_id.decode())
    for entry_id in archived:
        if ends[0] < ids.parse(entry_id) < ends[1] and entry_id not in streamed:
            words = "the entry is in the table log, but not in the stream, which was not trimmed so far"
            yield Difference("archive", words, p, entry=entry_id.decode())


def check_position(found: Evidence) -> Iterator[Difference]:
    """A worker that has finished stands at an entry behind which there are only markers."""
    p, at = found.partition, ids.parse(found.position)
    log = found.log()
    behind = [entry_id for entry_id, kind, _ in log if ids.parse(entry_id) > at and kind != MARKER]
    if found.position == ids.HELD:
        yield Difference("position", "the partition is being rebuilt: end the rebuild", p)
    elif behind:
        words = f"the position is {found.position.decode()}, and {len(behind)} entries come after it"
        yield Difference("position", words, p, entry=behind[0].decode())
    elif at > ids.parse(ids.START) and log and at < ids.parse(log[0][0]):
        yield Difference("position", f"the position is {found.position.decode()}, before the log begins", p)
    elif at > ids.parse(log[-1][0] if log else ids.START):
        yield Difference("position", f"the position is {found.position.decode()}, behind the log's last entry", p)


def check_dead(found: Evidence, walked: Walked) -> Iterator[Difference]:
    """Each dead letter is an entry of the log, once, with its bytes; each stray is one."""
    p = found.partition
    data = {entry_id: (kind, sent) for entry_id, kind, sent in found.log()}
    for entry_id, count in Counter(one.id for one in found.dead).items():
        if count > 1:
            yield Difference("dead letter", f"it is recorded {count} times", p, entry=entry_id.decode())
    for one in found.dead:
        if one.id not in data:
            yield Difference("dead letter", "it names an entry that is not in the log", p, entry=one.id.decode())
        elif data[one.id][1] != one.data:
            yield Difference("dead letter", "it has other bytes than the log", p, entry=one.id.decode())
    recorded = {one.id for one in found.dead}
    for entry_id in walked.strays:
        if entry_id not in recorded:
            words = "an event of a user of another partition is not recorded as a dead letter"
            yield Difference("dead letter", words, p, entry=entry_id.decode())
