"""The form of ``world.toml``: what the simulated world is told, as structs. Tables are made of it in ``world``."""

from __future__ import annotations

import msgspec

Row = tuple[float, ...]
Table = tuple[Row, ...]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file; a name that it does not know is an error."""


class Activity(_Part, frozen=True):
    """How busy shoppers are: a weight and a factor on the rate of sessions for each level."""

    weight: Row
    factor: Row


class ShopperType(_Part, frozen=True):
    """A latent type. ``intent``, ``tier`` and ``device`` are weights; ``cart_tier`` and ``sale`` factors on purchase."""

    name: str
    weight: float
    sessions_per_day: float
    intent: Row
    tier: Row
    cart_tier: Row
    sale: float
    device: Row
    rhythm: str


class Tastes(_Part, frozen=True):
    """Probabilities of staying with one's own favourite."""

    own_category: float
    own_brand: float
    own_device: float


class When(_Part, frozen=True):
    """Rhythms: the slots of a day, the rate by weekday, the factors on the intents by slot and on weekends."""

    slot_hours: int
    weekday: Row
    slot: Table
    weekend: Table


class History(_Part, frozen=True):
    """Factors on the intents by what a shopper did before; ages in hours."""

    cart_hours: tuple[int, ...]
    cart: Table
    order_hours: tuple[int, ...]
    order: Table
    returns: Table


class Sale(_Part, frozen=True):
    """Days of lower prices: ``days`` of every ``every_days``, from ``first_day`` on, ``percent`` off."""

    every_days: int
    first_day: int
    days: int
    percent: int


class Shift(_Part, frozen=True):
    """Factors on the intents from the day on that a run asks for."""

    intent: Row


class Session(_Part, frozen=True):
    """How long sessions and stages last, in events."""

    max_events: int
    events_in_stage: Table
    goes_on_after: Row


class Phase(_Part, frozen=True):
    """A chain of stages: where it starts, and where each stage leads (stages, the act, the end)."""

    initial: Row
    next: Table


class Emissions(_Part, frozen=True):
    """What can be seen of a stage, as weights; ``dwell_ms`` and ``pause_ms`` in milliseconds."""

    act: Table
    product: Table
    query: Table
    dwell: Table
    dwell_ms: tuple[int, ...]
    pause_ms: int


class Bots(_Part, frozen=True):
    """Visitors that are no persons: how many, how often, how fast (``gap_ms``: bounds, milliseconds)."""

    share: float
    active_days: float
    events: tuple[int, int]
    gap_ms: tuple[int, int]


class Omissions(_Part, frozen=True):
    """Probability that a producer leaves a field out."""

    id: float
    category: float
    brand: float
    price: float
    dwell_ms: float
    device: float
    consult_product: float


class Mess(_Part, frozen=True):
    """What happens to events on the way: probabilities, and the bounds of the delays."""

    late: float
    late_weight: Row
    late_minutes: tuple[int, ...]
    duplicate: float
    duplicate_seconds: tuple[int, int]
    broken: float


class Category(_Part, frozen=True):
    """A kind of product: its path, the word that people search for, the price of its middle tier."""

    path: str
    noun: str
    price: float


class Catalogue(_Part, frozen=True):
    """What there is to buy: a grid of category, price level, brand and rank."""

    brands_per_category: int
    ranks: int
    tier_factor: tuple[int, ...]
    brands: tuple[str, ...]
    categories: tuple[Category, ...]


class Parameters(_Part, frozen=True):
    """All of ``world.toml``."""

    version: int
    intents: tuple[str, ...]
    stages: tuple[str, ...]
    activity: Activity
    types: tuple[ShopperType, ...]
    tastes: Tastes
    rhythms: dict[str, Row]
    when: When
    history: History
    sale: Sale
    shift: Shift
    session: Session
    phases: dict[str, Phase]
    emissions: Emissions
    bots: Bots
    omissions: Omissions
    mess: Mess
    catalogue: Catalogue
