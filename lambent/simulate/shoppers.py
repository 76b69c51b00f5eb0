"""Who shops, and what each shopper's past holds."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from lambent.simulate.catalogue import NOTHING, grid
from lambent.simulate.world import Floats, Ints, Mask, World, cumulative, pick

LONG_AGO_MS = -(10**15)


@dataclasses.dataclass
class Shoppers:
    """What is hidden and stays: codes, each (users,). Tastes are independent of intents given the type.

    Attributes:
        type, activity: positions in the lists of the world.
        category, brand, device: the favourites.
        bot: no person.
    """

    type: Ints
    activity: Ints
    category: Ints
    brand: Ints
    device: Ints
    bot: Mask

    def __len__(self) -> int:
        return len(self.type)


@dataclasses.dataclass
class Memory:
    """What a shopper did before, each (users,): it can all be read off the events. Products are codes or ``NOTHING``.

    Attributes:
        last_ms: time of the newest event.
        last: the product in focus when the newest session ended.
        returns: sessions in a row that came back to the ``last`` of the one before.
        cart, cart_ms: the newest product put in the cart that is still there, and when.
        order, order_ms: the newest product bought that was not reviewed, and when.
    """

    last_ms: Ints
    last: Ints
    returns: Ints
    cart: Ints
    cart_ms: Ints
    order: Ints
    order_ms: Ints


def draw_shoppers(world: World, users: int, rng: np.random.Generator) -> Shoppers:
    """Draw the hidden part of ``users`` shoppers."""
    parameters, sizes = world.parameters, grid(world.parameters.catalogue)
    types = pick(cumulative([[t.weight for t in parameters.types]]), 0, rng.random(users))
    return Shoppers(
        type=types,
        activity=pick(cumulative([parameters.activity.weight]), 0, rng.random(users)),
        category=uniform(rng.random(users), sizes.categories),
        brand=uniform(rng.random(users), sizes.brands),
        device=pick(world.device, types, rng.random(users)),
        bot=_bots(users, parameters.bots.share),
    )


def _bots(users: int, share: float) -> Mask:
    """Bots, spread evenly over the users so that their number is not chance."""
    bot = np.zeros(users, dtype=np.bool_)
    count = math.ceil(users * share)
    bot[(2 * np.arange(count) + 1) * users // (2 * max(count, 1))] = True
    return bot


def no_memory(users: int) -> Memory:
    """The past of users that nobody has seen yet."""
    long_ago, nothing = np.full(users, LONG_AGO_MS), np.full(users, NOTHING, dtype=np.int64)
    return Memory(
        last_ms=long_ago.copy(),
        last=nothing.copy(),
        returns=np.zeros(users, dtype=np.int64),
        cart=nothing.copy(),
        cart_ms=long_ago.copy(),
        order=nothing.copy(),
        order_ms=long_ago.copy(),
    )


def uniform(u: Floats, n: int) -> Ints:
    """Uniform integers 0 … n - 1 from uniforms in [0, 1)."""
    return np.minimum((u * n).astype(np.int64), n - 1)
