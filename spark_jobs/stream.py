"""Events that a batch job sends to the live log, once each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lambent import keys
from lambent.errors import StoreError
from lambent.events import Event, encode_event
from spark_jobs.quarantine import Place

if TYPE_CHECKING:
    import redis

KEPT_S = 30 * 86_400
"""How long the store knows what was sent; a run that was stopped has long been repeated by then."""

# One step: what is noted is in the stream, and what is in the stream is noted.
_SEND = """
if redis.call('SADD', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('XADD', KEYS[1], '*', 'e', ARGV[2])
return 1
"""


def send_once(store: redis.Redis, partitions: int, events: Iterable[tuple[Place, Event]], most: int) -> int:
    """Append events to their users' streams, save those whose place has been sent before; how many were appended.

    Args:
        store: a connection.
        partitions: P.
        events: each with the place that it was rejected at.
        most: entries that a partition's stream may hold.

    Raises:
        StoreError: a stream is full.
    """
    parted = [(keys.partition(event.user, partitions), place, event) for place, event in events]
    _need_room(store, {p for p, _, _ in parted}, most)
    pipeline = store.pipeline(transaction=False)
    for p, place, event in parted:
        name = "/".join(map(str, place))
        pipeline.eval(_SEND, 2, keys.events(p), keys.retried(p), name, encode_event(event), KEPT_S)
    return sum(pipeline.execute())


def _need_room(store: redis.Redis, partitions: Iterable[int], most: int) -> None:
    pipeline = store.pipeline(transaction=False)
    for p in partitions:
        pipeline.xlen(keys.events(p))
    if max(pipeline.execute(), default=0) >= most:
        raise StoreError(f"The log is full: a stream holds {most:,} entries.", "Do worker and archiver run?")
