"""What there is to buy: a grid, so that the probability of a product factorises over category, level, brand and rank.

The code of a product is ``((category * levels + level) * brands + brand) * ranks + rank``.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from lambent.simulate.parameters import Catalogue, Category
from lambent.simulate.world import Floats, Ints

NOTHING = -1
"""The code of no product."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """The sizes of the catalogue's grid."""

    categories: int
    levels: int
    brands: int
    ranks: int

    @property
    def products(self) -> int:
        """How many products there are."""
        return self.categories * self.levels * self.brands * self.ranks

    def code(self, category: Ints, level: Ints, brand: Ints, rank: Ints) -> Ints:
        """Codes of products from their coordinates, all (n,)."""
        return ((category * self.levels + level) * self.brands + brand) * self.ranks + rank

    def level(self, product: Ints) -> Ints:
        """Price levels of products, (n,)."""
        return product // (self.ranks * self.brands) % self.levels

    def neighbour(self, product: Ints) -> Ints:
        """The product of the next rank, the first after the last: alike in all that taste looks at."""
        rank = product % self.ranks
        return product - rank + (rank + 1) % self.ranks


def grid(catalogue: Catalogue) -> Grid:
    """The grid of a catalogue."""
    return Grid(len(catalogue.categories), len(catalogue.tier_factor), catalogue.brands_per_category, catalogue.ranks)


def popular(u: Floats, n: int) -> Ints:
    """Draw from 0 … n - 1, the low ones more often: P(k) = √((k + 1) / n) - √(k / n). ``u`` is uniform, (m,)."""
    return np.minimum((u * u * n).astype(np.int64), n - 1)


def brand_name(catalogue: Catalogue, category: int, brand: int) -> str:
    """A category's ``brand``-th brand; categories share the names."""
    return catalogue.brands[(5 * category + brand) % len(catalogue.brands)]


def price_cents(catalogue: Catalogue, category: Category, level: int, brand: int, rank: int) -> int:
    """Price of a product in cents, before a sale."""
    percent = catalogue.tier_factor[level] * (80 + 5 * rank + 3 * brand)
    return round(category.price * 100) * percent // 10_000


def queries(catalogue: Catalogue) -> list[str]:
    """What is searched for, by code ``(category * brands + brand) * 4 + kind``."""
    texts = []
    for code, category in enumerate(catalogue.categories):
        for brand in range(catalogue.brands_per_category):
            name = brand_name(catalogue, code, brand).lower()
            texts += [category.noun, f"{name} {category.noun}", f"best {category.noun}", f"{category.noun} manual"]
    return texts
