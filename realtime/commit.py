"""One transaction a batch: all that a partition's batch changes, and the position, or nothing.

A script runs alone on the server, so it is a transaction with the fence inside: it compares the position with the one
that the worker started from before it writes. Unlike ``WATCH``, it says nothing about the connection, so that the
batches of many partitions can travel in one pipeline and each stands or falls alone.
"""

from __future__ import annotations

import dataclasses

from lambent import keys

EXPIRY_MS = 14 * 24 * 3600 * 1000
"""How long a live record and an intent outlive their user's last event."""

# What can fail (a key of another type) goes first, when nothing has been written; the position goes last. It may go beyond
# maxmemory: see ``room``.
SCRIPT = b"""#!lua flags=allow-oom
local at = redis.call('GET', KEYS[1]) or '0-0'
if at ~= ARGV[1] then return at end
local records, dead = tonumber(ARGV[6]), tonumber(ARGV[7])
local arg = 7 + records
for i = 1, dead do
  redis.call('XADD', KEYS[4], '*', 'id', ARGV[arg + 1], 'reason', ARGV[arg + 2], 'bytes', ARGV[arg + 3])
  arg = arg + 3
end
if ARGV[5] ~= '' then redis.call('XADD', KEYS[3], '*', 'i', ARGV[5]) end
for i = 1, records do redis.call('SET', KEYS[4 + i], ARGV[7 + i], 'PX', ARGV[3]) end
if ARGV[4] ~= '' then redis.call('SET', KEYS[2], ARGV[4]) end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


@dataclasses.dataclass(frozen=True)
class Dead:
    """An entry that the worker had to give up."""

    id: bytes
    reason: str
    data: bytes


@dataclasses.dataclass(frozen=True)
class Commit:
    """What a batch of partition ``partition`` changes.

    Attributes:
        start: the position that the batch was read from: the fence.
        end: the position afterwards.
        control: what the control entries have set, as JSON; empty: as before.
        live: live records by user.
        newest: newest intents by user, as JSON.
        shadow: states of shadows by user.
        intents: the batch's intents: a JSON array; empty: none.
        dead: what had to be given up.
    """

    partition: int
    start: bytes
    end: bytes
    control: bytes = b""
    live: dict[str, bytes] = dataclasses.field(default_factory=dict)
    newest: dict[str, bytes] = dataclasses.field(default_factory=dict)
    shadow: dict[str, bytes] = dataclasses.field(default_factory=dict)
    intents: bytes = b""
    dead: tuple[Dead, ...] = ()

    def command(self, sha: bytes) -> list[bytes | str | int]:
        """The ``EVALSHA`` of this batch."""
        p = self.partition
        names = [keys.position(p), keys.control(p), keys.intents(p), keys.dead(p)]
        names += [keys.live(p, user) for user in self.live]
        names += [keys.intent(p, user) for user in self.newest]
        names += [keys.shadow(p, user) for user in self.shadow]
        values = [*self.live.values(), *self.newest.values(), *self.shadow.values()]
        given_up: list[bytes | str | int] = [part for one in self.dead for part in (one.id, one.reason, one.data)]
        head: list[bytes | str | int] = [
            self.start,
            self.end,
            EXPIRY_MS,
            self.control,
            self.intents,
            len(values),
            len(self.dead),
        ]
        return ["EVALSHA", sha, len(names), *names, *head, *values, *given_up]
