from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lambent.ahead import one_ahead


def test_items_come_in_order_and_are_all_there() -> None:
    assert list(one_ahead(iter([3, None, 1, 2]))) == [3, None, 1, 2]
    assert list(one_ahead(iter([]))) == []


def test_while_an_item_is_in_use_exactly_the_next_one_is_made() -> None:
    made = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for place, event in enumerate(made):
            event.set()
            yield place

    for place in one_ahead(items()):
        assert made[min(place + 1, 3)].wait(10)
        assert not any(event.is_set() for event in made[place + 2 :])


def test_what_fails_while_an_item_is_made_fails_where_it_is_taken() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise FileNotFoundError("vacuumed")

    taken = one_ahead(items())
    assert next(taken) == 1
    with pytest.raises(FileNotFoundError, match="vacuumed"):
        next(taken)
