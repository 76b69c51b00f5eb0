"""Which worker is to have which partition: a rule that each of them works out for itself from what all of them can see.

As many each as can be, and as few moves as that takes. Nobody leads: workers that see the same come to the same answer,
and where they see different things a lease decides, and the next look mends it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

Wanted = Mapping[str, Collection[int]]
"""By worker the partitions that it may take."""


def share(wanted: Wanted, holders: Mapping[int, str], partitions: Iterable[int]) -> dict[str, set[int]]:
    """By worker the partitions that it is to have. Applied to its own outcome it changes nothing.

    Args:
        wanted: the workers that live.
        holders: who holds each partition now; none, or a worker that is gone: it is free.
        partitions: that are shared out. One that nobody may take is nobody's.
    """
    own: dict[str, set[int]] = {name: set() for name in sorted(wanted)}
    free = []
    for p in partitions:
        holder = holders.get(p, "")
        if p in wanted.get(holder, ()):
            own[holder].add(p)
        else:
            free.append(p)
    for p in free:
        able = [name for name in own if p in wanted[name]]
        if able:
            own[min(able, key=lambda name: len(own[name]))].add(p)
    while _move(own, wanted):
        pass
    return own


def _move(own: dict[str, set[int]], wanted: Wanted) -> bool:
    """Move one partition to a worker that has at least two fewer; false where that evens out nothing any more."""
    by_size = sorted(own, key=lambda name: len(own[name]))
    for rich in reversed(by_size):
        for poor in by_size:
            if len(own[rich]) - len(own[poor]) < 2:
                break
            movable = [p for p in own[rich] if p in wanted[poor]]
            if movable:
                own[rich].remove(max(movable))
                own[poor].add(max(movable))
                return True
    return False
