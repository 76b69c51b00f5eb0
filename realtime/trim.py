"""What both the archive and the worker have seen leaves the streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lambent import keys
from realtime import ids
from realtime.stores import FullStore

INTENTS_KEPT_MS = 10 * 60 * 1000
"""How long an archived intent stays in its stream, for those who follow it, and what was given up in its; in a store that is full it goes at once."""

# Trims up to the older of the archive's last id (ARGV[1]) and the worker's position, and records it: a worker whose
# position is before that has lost entries and can say so. The entry with that id itself stays. While the partition is
# rebuilt (ARGV[2]) all stays.
_TRIM = b"""#!lua flags=allow-oom
local function parse(id)
  local dash = string.find(id, '-', 1, true)
  return tonumber(string.sub(id, 1, dash - 1)), tonumber(string.sub(id, dash + 1))
end
local function before(a, b)
  local a_ms, a_seq = parse(a)
  local b_ms, b_seq = parse(b)
  return a_ms < b_ms or (a_ms == b_ms and a_seq < b_seq)
end
local upto = redis.call('GET', KEYS[1])
if not upto or upto == ARGV[2] then return 0 end
if before(ARGV[1], upto) then upto = ARGV[1] end
local trimmed = redis.call('GET', KEYS[3])
if trimmed and not before(trimmed, upto) then return 0 end
redis.call('SET', KEYS[3], upto)
return redis.call('XTRIM', KEYS[2], 'MINID', upto)
"""


def trim_events(store: FullStore, archived: Mapping[int, bytes]) -> int:
    """Drop what is archived and folded from the partitions' streams; how many entries that were."""
    return sum(
        store.pipe_or_raise(
            ("EVAL", _TRIM, 3, keys.position(p), keys.events(p), keys.trimmed(p), end, ids.HELD)
            for p, end in archived.items()
            if end != ids.START
        )
    )


def trim_archived(store: FullStore, stream: Callable[[int], str], archived: Mapping[int, bytes], before_ms: int) -> int:
    """Drop archived entries from before a time from streams that no worker reads; how many that were."""
    oldest = ids.form(max(before_ms, 0), 0)
    return sum(
        store.pipe_or_raise(("XTRIM", stream(p), "MINID", ids.earliest(end, oldest)) for p, end in archived.items())
    )
