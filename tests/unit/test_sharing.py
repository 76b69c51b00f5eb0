"""How partitions are shared among workers: the rule, and what becomes of it where workers look at different times."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from realtime.partition_list import format_partitions, parse_partitions
from realtime.sharing import share

NAMES = tuple("abcdefgh")
P = 24
EVERY = frozenset(range(P))

workers = st.dictionaries(st.sampled_from(NAMES), st.just(EVERY) | st.frozensets(st.integers(0, P - 1)), max_size=8)
leases = st.dictionaries(st.integers(0, P - 1), st.sampled_from((*NAMES, "gone")))


@given(workers, leases)
def test_whoever_may_be_had_is_had_by_one_that_may_and_a_second_look_changes_nothing(wanted, holders) -> None:  # type: ignore[no-untyped-def]
    own = share(wanted, holders, range(P))
    assert set(own) == set(wanted)
    assert all(own[name] <= set(wanted[name]) for name in wanted)
    held = Counter(p for partitions in own.values() for p in partitions)
    assert held == Counter(set().union(*wanted.values()) if wanted else ())
    assert share(wanted, {p: name for name, mine in own.items() for p in mine}, range(P)) == own


@given(st.sets(st.sampled_from(NAMES), min_size=1), leases)
def test_workers_that_may_take_all_have_as_many_give_or_take_one_with_as_few_moves_as_that_takes(
    names, holders
) -> None:  # type: ignore[no-untyped-def]
    own = share(dict.fromkeys(names, EVERY), holders, range(P))
    sizes = [len(partitions) for partitions in own.values()]
    assert max(sizes) - min(sizes) <= 1
    before = Counter(name for name in holders.values() if name in names)
    lost = sum(p not in own[name] for p, name in holders.items() if name in names)
    least, extra = divmod(P, len(names))
    bounds = [least + 1] * extra + [least] * (len(names) - extra)
    fewest = sum(
        max(n - bound, 0) for n, bound in zip(sorted((before[n] for n in names), reverse=True), bounds, strict=True)
    )
    assert lost == fewest


@given(workers, leases)
def test_no_single_move_would_even_things_out_more(wanted, holders) -> None:  # type: ignore[no-untyped-def]
    own = share(wanted, holders, range(P))
    for rich in own:
        for poor in own:
            if len(own[rich]) - len(own[poor]) >= 2:
                assert not own[rich] & set(wanted[poor])


class World:
    """Workers that look one after the other at leases that others may have changed since: what ``Partitions`` does, without
    a store. A worker that is killed stays in sight until ``forget``."""

    def __init__(self) -> None:
        self.wanted: dict[str, frozenset[int]] = {}
        self.leases: dict[int, str] = {}
        self.alive: set[str] = set()
        self.moves = 0

    def look(self, name: str) -> None:
        if name not in self.alive:
            return
        self.wanted.setdefault(name, EVERY)
        own = share(self.wanted, self.leases, range(P))[name]
        for p, holder in list(self.leases.items()):
            if holder == name and p not in own:
                del self.leases[p]
                self.moves += 1
        for p in own - self.leases.keys():
            self.leases[p] = name

    def leave(self, name: str) -> None:
        self.alive.discard(name)
        self.forget(name)

    def forget(self, name: str) -> None:
        self.wanted.pop(name, None)
        self.leases = {p: holder for p, holder in self.leases.items() if holder != name}


steps = st.lists(
    st.tuples(st.sampled_from(("join", "look", "look", "look", "leave", "kill", "forget")), st.sampled_from(NAMES)),
    max_size=60,
)


@given(steps, st.permutations(NAMES))
def test_whatever_happened_each_has_its_share_after_two_looks_and_then_nothing_moves(happenings, order) -> None:  # type: ignore[no-untyped-def]
    world = World()
    for what, name in happenings:
        if what == "join":
            world.alive.add(name)
            world.look(name)
        elif what == "look":
            world.look(name)
        elif what == "leave":
            world.leave(name)
        elif what == "kill":
            world.alive.discard(name)
        elif name not in world.alive:
            world.forget(name)
    for name in set(world.wanted) - world.alive:
        world.forget(name)
    for _ in range(3):
        for name in order:
            world.look(name)
    if world.alive:
        held = Counter(world.leases.values())
        assert sum(held.values()) == P
        assert max(held[name] for name in world.alive) - min(held[name] for name in world.alive) <= 1
        moves, before = world.moves, dict(world.leases)
        for name in order:
            world.look(name)
        assert (world.moves, world.leases) == (moves, before)


@given(st.frozensets(st.integers(0, P - 1), min_size=1))
def test_a_list_of_partitions_is_read_as_it_was_written(partitions) -> None:  # type: ignore[no-untyped-def]
    assert parse_partitions(format_partitions(partitions), P) == sorted(partitions)
