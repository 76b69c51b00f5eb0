"""A partition that is rebuilt: taken out of the workers' hands, written, and given back. The position is the fence.

While it is held its position is ``ids.HELD``: a worker's commit is void, and when it looks again it leaves the partition
alone. Where it stood is kept beside it, so that a rebuild that was killed is run again from there. Of two rebuilds the later
one owns the partition, and the other one's writes are void.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence

from lambent import keys
from lambent.errors import FencedError
from realtime import ids
from realtime.commit import Dead
from realtime.stores import FullStore

_HOLD = b"""
local at = redis.call('GET', KEYS[1]) or ARGV[3]
if at ~= ARGV[1] then
  redis.call('HSET', KEYS[2], 'position', at)
  redis.call('SET', KEYS[1], ARGV[1])
end
redis.call('HSET', KEYS[2], 'owner', ARGV[2])
return redis.call('HGET', KEYS[2], 'position') or ARGV[3]
"""

# ARGV: owner, then for each key its value ('' deletes it), how long it lives in ms, and 'NX' if one that is there stays.
_WRITE = b"""
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
for i = 2, #KEYS do
  local at = 3 * i - 4
  if ARGV[at] == '' then redis.call('UNLINK', KEYS[i])
  elseif ARGV[at + 2] == 'NX' then redis.call('SET', KEYS[i], ARGV[at], 'PX', ARGV[at + 1], 'NX')
  else redis.call('SET', KEYS[i], ARGV[at], 'PX', ARGV[at + 1]) end
end
return 1
"""

# ARGV: owner, position, control, then of each event that was given up its id, the reason and its bytes.
_RELEASE = b"""
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
for at = 4, #ARGV, 3 do
  redis.call('XADD', KEYS[4], '*', 'id', ARGV[at], 'reason', ARGV[at + 1], 'bytes', ARGV[at + 2])
end
if ARGV[3] == '' then redis.call('DEL', KEYS[3]) else redis.call('SET', KEYS[3], ARGV[3]) end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[1])
return 1
"""


@dataclasses.dataclass(frozen=True)
class Write:
    """What becomes of a key.

    Attributes:
        key: of the partition.
        value: empty: the key goes.
        lives_ms: how long it lives.
        if_missing: a value that is there stays.
    """

    key: str
    value: bytes = b""
    lives_ms: int = 0
    if_missing: bool = False


class Fence:
    """Holds partitions for one rebuild.

    Args:
        store: the store.
    """

    def __init__(self, store: FullStore) -> None:
        self._store, self._owner = store, secrets.token_hex(8)

    def stood(self, partitions: Sequence[int]) -> dict[int, bytes]:
        """Where the workers stand, or stood before a rebuild that has not ended."""
        replies = self._store.pipe_or_raise(
            command
            for p in partitions
            for command in (("GET", keys.position(p)), ("HGET", keys.rebuild(p), "position"))
        )
        pairs = zip(partitions, replies[0::2], replies[1::2], strict=True)
        return {p: (kept if at == ids.HELD else at) or ids.START for p, at, kept in pairs}

    def hold(self, partitions: Sequence[int]) -> dict[int, bytes]:
        """Take partitions out of the workers' hands; where these stood."""
        replies = self._store.pipe_or_raise(
            ("EVAL", _HOLD, 2, keys.position(p), keys.rebuild(p), ids.HELD, self._owner, ids.START) for p in partitions
        )
        return dict(zip(partitions, replies, strict=True))

    def write(self, p: int, writes: Sequence[Write]) -> None:
        """Write keys of a partition that is held, all or none.

        Raises:
            FencedError: another rebuild has taken over.
        """
        names = [keys.rebuild(p), *(one.key for one in writes)]
        values = [part for one in writes for part in (one.value, one.lives_ms, "NX" if one.if_missing else "")]
        self._own(p, self._store.call("EVAL", _WRITE, len(names), *names, self._owner, *values))

    def release(self, p: int, position: bytes, control: bytes, dead: Sequence[Dead]) -> None:
        """Give a partition back to the workers, who go on from a position.

        Args:
            p: the partition.
            position: id of the last entry whose effects have been written.
            control: what the control entries up to it have set; empty: nothing.
            dead: what could not be folded.

        Raises:
            FencedError: another rebuild has taken over.
        """
        names = (keys.rebuild(p), keys.position(p), keys.control(p), keys.dead(p))
        given_up = [part for one in dead for part in (one.id, one.reason, one.data)]
        self._own(p, self._store.call("EVAL", _RELEASE, 4, *names, self._owner, position, control, *given_up))

    def _own(self, p: int, reply: int) -> None:
        if not reply:
            raise FencedError(f"Another rebuild has taken over partition {p}.", "Let it end.")
