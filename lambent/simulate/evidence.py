"""What one event of each session says of its stage, its dwell and its shopper's type: likelihoods, up to constants.

Which products a shopper has in mind can be read off the events before. A view shows whether it is of one of them, which
depends on the stage. If it is of none, the new product's price level depends on the type alone, its category and brand on
tastes that are independent of all that is asked for: they cancel.
"""

from __future__ import annotations

import numpy as np

from lambent.simulate.catalogue import NOTHING, Grid
from lambent.simulate.mess import OMITTABLE
from lambent.simulate.probabilities import Probabilities
from lambent.simulate.rows import Rows
from lambent.simulate.shoppers import Memory
from lambent.simulate.steps import QUERY_KINDS, Live
from lambent.simulate.world import CART, FAVOURITE, SEARCH, UNCART, VIEW, Floats, Ints, Mask

ID, _DWELL, _PRICE, _DEVICE = (1 << OMITTABLE.index(name) for name in ("id", "dwell_ms", "price", "device"))


def of_stage(tables: Probabilities, live: Live, memory: Memory, rows: Rows) -> Floats:
    """P(act, class of the product or query | stage), (n, S); what it says of an act that decides has no meaning."""
    likelihood = _of_act(tables, live, memory.cart[live.user], rows["type"])
    view, search = rows["type"] == VIEW, rows["type"] == SEARCH
    likelihood[view] *= _of_product(tables, _in_mind(live, memory)[view], rows["about"][view])
    likelihood[search] *= tables.query[:, rows["query"][search] % QUERY_KINDS].T
    return likelihood


def _of_act(tables: Probabilities, live: Live, cart: Ints, act: Ints) -> Floats:
    """P(act | stage), (n, S): an act that would have no object has become a view."""
    idle = np.zeros((len(act), tables.act.shape[1]), dtype=np.bool_)
    idle[:, CART] = (live.focus == NOTHING) | (live.focus == cart)
    idle[:, FAVOURITE] = live.focus == NOTHING
    idle[:, UNCART] = cart == NOTHING
    idle[:, VIEW] = True
    as_drawn: Floats = tables.act[:, np.minimum(act, FAVOURITE)].T
    return np.where((act == VIEW)[:, None], idle @ tables.act.T, as_drawn)


def _in_mind(live: Live, memory: Memory) -> Ints:
    """The products that a shopper may come back to, (n, 5), in the order of the classes of a view."""
    own = live.user
    return np.stack([live.focus, live.before, memory.cart[own], memory.order[own], live.anchor], axis=1)


def _of_product(tables: Probabilities, in_mind: Ints, product: Ints) -> Floats:
    """P(the product is one of those in mind, or none | stage), (n, S): a class without a product shows a new one."""
    match = in_mind == product[:, None]
    new = ~match.any(axis=1, keepdims=True)
    classes = np.concatenate([new, np.where(new, in_mind == NOTHING, match)], axis=1)
    likelihood: Floats = classes @ tables.product.T
    return likelihood


def is_new(live: Live, memory: Memory, rows: Rows) -> Mask:
    """Whether the product was drawn by taste, (n,)."""
    in_mind = _in_mind(live, memory)
    unknown = ~(in_mind == rows["about"][:, None]).any(axis=1)
    may_be = np.isin(rows["type"], (CART, FAVOURITE, UNCART, SEARCH), invert=True)
    return unknown & may_be & (rows["about"] != NOTHING)


def of_type(tables: Probabilities, sizes: Grid, new: Mask, product: Ints) -> Floats:
    """P(price level of a new product | type), (n, T); 1 where it is not new."""
    level = sizes.level(np.maximum(product, 0))
    return np.where(new[:, None], tables.tier[:, level].T, 1.0)


def dwell_is_seen(rows: Rows) -> Mask:
    """Whether the event says its dwell, (n,)."""
    return (rows["dwell_ms"] >= 0) & (rows["omitted"] & _DWELL == 0)


def device_is_seen(rows: Rows) -> Mask:
    """Whether the event says its device, (n,)."""
    return rows["omitted"] & _DEVICE == 0


def price_is_seen(rows: Rows) -> Mask:
    """Whether the event says a price, and with it whether it is one of a sale, (n,)."""
    return (rows["product"] != NOTHING) & (rows["omitted"] & _PRICE == 0)


def of_gap(tables: Probabilities, rows: Rows, gap_ms: Ints) -> Floats:
    """P(time since the event before, and dwell where it is seen | class of dwell), (n, K).

    The dwell itself says the class; else the time says it, which is dwell and pause together.
    """
    by_time = tables.gap_cdf(gap_ms) - tables.gap_cdf(gap_ms - 1)
    by_dwell = tables.dwell_class(rows["dwell_ms"].astype(np.int64))
    return np.where(dwell_is_seen(rows)[:, None], by_dwell / tables.pause_ms, by_time)
