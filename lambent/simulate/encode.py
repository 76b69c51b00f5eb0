"""Rows to JSON lines, from fragments made once: nothing is escaped or formatted twice.

Fragments carry their own comma, so that a missing field is an empty fragment.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from lambent.simulate.catalogue import brand_name, grid, price_cents, queries
from lambent.simulate.rows import Rows
from lambent.simulate.world import DEVICES, TYPES, World

_HEAD = b'{"user":"u%06d","type":"%b","event_ms":%d'
_ID, _CATEGORY, _BRAND, _PRICE, _DWELL, _DEVICE = (1 << bit for bit in range(6))  # bits of mess.OMITTABLE


class Encoder:
    """The fragments of a world. Fields that the model leaves open are not written."""

    def __init__(self, world: World) -> None:
        self._types = [name.encode() for name in TYPES]
        self._goods = _goods_fragments(world)
        self._queries = _query_fragments(world)
        self._tails = [b',"device":"%b"}' % name.encode() for name in DEVICES] + [b"}"]

    def lines(self, rows: Rows) -> list[bytes]:
        """One line of JSON for each row, without a line's end."""
        parts = (
            self._heads(rows),
            _ids(rows),
            self._goods_of(rows),
            self._queries_of(rows),
            _dwells(rows),
            self._tails_of(rows),
        )
        lines = list(map(b"".join, zip(*parts, strict=True)))
        for position in np.flatnonzero(rows["broken"]).tolist():
            lines[position] = BREAKERS[rows["broken"][position] - 1](lines[position])
        return lines

    def _heads(self, rows: Rows) -> map[bytes]:
        types = map(self._types.__getitem__, rows["type"].tolist())
        return map(_HEAD.__mod__, zip(rows["user"].tolist(), types, rows["event_ms"].tolist(), strict=True))

    def _goods_of(self, rows: Rows) -> map[bytes]:
        """Product, category, brand, price; the last fragment is the empty one."""
        kind = (rows["omitted"] >> 1 & 7) * 2 + rows["sale"]
        index = np.where(rows["product"] < 0, -1, rows["product"] * 16 + kind)
        return map(self._goods.__getitem__, index.tolist())

    def _queries_of(self, rows: Rows) -> map[bytes]:
        index = np.where(rows["query"] < 0, -1, rows["query"] * 2 + (rows["omitted"] >> 1 & 1))
        return map(self._queries.__getitem__, index.tolist())

    def _tails_of(self, rows: Rows) -> map[bytes]:
        index = np.where(rows["omitted"] & _DEVICE, len(DEVICES), rows["device"])
        return map(self._tails.__getitem__, index.tolist())


def _ids(rows: Rows) -> list[bytes]:
    ids = list(map(b',"id":"%016x"'.__mod__, rows["serial"].tolist()))
    for position in np.flatnonzero(rows["omitted"] & _ID).tolist():
        ids[position] = b""
    return ids


def _dwells(rows: Rows) -> list[bytes]:
    dwell_ms = np.where(rows["omitted"] & _DWELL, -1, rows["dwell_ms"])
    return [b',"dwell_ms":%d' % value if value >= 0 else b"" for value in dwell_ms.tolist()]


def _goods_fragments(world: World) -> list[bytes]:
    """By ``product * 16 + left out (category 1, brand 2, price 4) * 2 + sale``; the last one is empty."""
    catalogue = world.parameters.catalogue
    sizes, fragments = grid(catalogue), []
    for product in range(sizes.products):
        rest, rank = divmod(product, sizes.ranks)
        rest, brand = divmod(rest, sizes.brands)
        code, level = divmod(rest, sizes.levels)
        category = catalogue.categories[code]
        cents = price_cents(catalogue, category, level, brand, rank)
        fields = (f"p{product:05d}", category.path, brand_name(catalogue, code, brand))
        prices = (cents, cents * (100 - world.parameters.sale.percent) // 100)
        fragments += [_goods(fields, price, omitted) for omitted in range(8) for price in prices]
    return [*fragments, b""]


def _goods(fields: tuple[str, str, str], cents: int, omitted: int) -> bytes:
    product, category, brand = fields
    text = f',"product":"{product}"'
    text += "" if omitted & 1 else f',"category":"{category}"'
    text += "" if omitted & 2 else f',"brand":"{brand}"'
    text += "" if omitted & 4 else f',"price":{cents // 100}.{cents % 100:02d}'
    return text.encode()


def _query_fragments(world: World) -> list[bytes]:
    """By ``query * 2 + category left out``; the last one is empty."""
    catalogue, fragments = world.parameters.catalogue, []
    texts = queries(catalogue)
    for code, text in enumerate(texts):
        path = catalogue.categories[code * len(catalogue.categories) // len(texts)].path
        fragments += [f',"category":"{path}","query":"{text}"', f',"query":"{text}"']
    return [*(text.encode() for text in fragments), b""]


def _truncated(line: bytes) -> bytes:
    return line[: 2 * len(line) // 3]


def _wrong_type(line: bytes) -> bytes:
    return re.sub(rb'"event_ms":(\d+)', rb'"event_ms":"\1"', line)


def _unknown_type(line: bytes) -> bytes:
    return re.sub(rb'"type":"\w+"', b'"type":"hover"', line)


def _negative_price(line: bytes) -> bytes:
    return re.sub(rb',"price":[\d.]+', b"", line)[:-1] + b',"price":-19.99}'


def _absurd_time(line: bytes) -> bytes:
    return re.sub(rb'("event_ms":\d+)\d{3}', rb"\1", line)  # seconds where milliseconds are due


BREAKERS: tuple[Callable[[bytes], bytes], ...] = (
    _truncated,
    _wrong_type,
    _unknown_type,
    _negative_price,
    _absurd_time,
)
"""What makes a sound line one that no door lets in."""
