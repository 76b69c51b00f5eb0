"""Dimensions: what is known of users and of products, each over a span of time, told by files as of a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from lambent.tables import PRODUCT_COLUMNS, PRODUCTS, USER_COLUMNS, USERS

SPAN = ("valid_from_ms", "valid_to_ms", "told_ms")
"""The last columns of each dimension's table."""


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One of them.

    Attributes:
        name: of its table.
        columns: of its table: the key, the attributes, the span.
    """

    name: str
    columns: Mapping[str, str]

    @property
    def key(self) -> str:
        """The column that names whom or what a row is of."""
        return next(iter(self.columns))

    @property
    def attributes(self) -> tuple[str, ...]:
        """The columns that change."""
        return tuple(name for name in self.columns if name not in (self.key, *SPAN))


DIMENSIONS = {one.name: one for one in (Dimension(USERS, USER_COLUMNS), Dimension(PRODUCTS, PRODUCT_COLUMNS))}
