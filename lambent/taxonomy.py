"""Event types, which of them are decisive, and what intent each means: declared in one place.

The shipped ``taxonomy.toml`` describes a shop; a user replaces it to serve another domain with the same engine.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import msgspec

from lambent.errors import SettingsError
from lambent.toml_files import read_toml

MAX_TYPES = 32  # a session counts each type in a fixed register
MAX_INTENTS = 8
MAX_VALUES = 32
RESERVED = frozenset({"unknown", "other"})
"""What values are called that are missing, or not listed."""


class EventType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a visitor can do; ``intent`` is set where the act is decisive."""

    name: str
    intent: str | None = None


class UserValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The texts that the table ``users`` has of each attribute; any other one is taken for "other"."""

    age_band: tuple[str, ...] = ()
    gender: tuple[str, ...] = ()


class Taxonomy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The event types and intents of a domain. Codes are positions in these lists."""

    intents: tuple[str, ...]
    base_rates: tuple[float, ...]
    types: tuple[EventType, ...]
    users: UserValues = UserValues()

    @functools.cached_property
    def type_code(self) -> dict[str, int]:
        """Event type's name to its code, 0 … len(types) - 1."""
        return {event_type.name: code for code, event_type in enumerate(self.types)}

    @functools.cached_property
    def intent_of_type(self) -> tuple[int | None, ...]:
        """For each type's code the code of the intent that it decides, or None."""
        return tuple(None if t.intent is None else self.intents.index(t.intent) for t in self.types)


class _CachedTaxonomy(Taxonomy, frozen=True, dict=True):
    """A struct with a ``__dict__``, which ``cached_property`` needs."""


def load_taxonomy(path: Path | None = None) -> Taxonomy:
    """Read a taxonomy from TOML.

    Args:
        path: the file; None means the shop that is shipped.

    Raises:
        SettingsError: the file is missing, is not TOML, or contradicts itself.
    """
    path, remedy = (
        path or Path(__file__).with_name("taxonomy.toml"),
        "Set LAMBENT_TAXONOMY to a file like the shipped one.",
    )
    taxonomy = read_toml(path, _CachedTaxonomy, remedy)
    if problem := _problem(taxonomy):
        raise SettingsError(f"{path}: {problem}.", remedy)
    return taxonomy


def _problem(taxonomy: Taxonomy) -> str | None:
    names = [t.name for t in taxonomy.types]
    decided = [t.intent for t in taxonomy.types if t.intent is not None]
    if not 1 <= len(names) <= MAX_TYPES or len(set(names)) != len(names):
        return f"types must be 1 to {MAX_TYPES} different names"
    if not 2 <= len(taxonomy.intents) <= MAX_INTENTS or len(set(taxonomy.intents)) != len(taxonomy.intents):
        return f"intents must be 2 to {MAX_INTENTS} different names"
    if len(taxonomy.base_rates) != len(taxonomy.intents) or not math.isclose(sum(taxonomy.base_rates), 1.0):
        return "base_rates must be one for each intent and sum to 1"
    unknown = sorted(set(decided) - set(taxonomy.intents[1:]))
    if unknown:
        return f"types decide {unknown}, which intents does not list after its first"
    for name, values in msgspec.structs.asdict(taxonomy.users).items():
        if len(values) > MAX_VALUES or len(set(values)) != len(values) or not RESERVED.isdisjoint(values):
            return (
                f"users.{name} must be at most {MAX_VALUES} different texts, and none of {', '.join(sorted(RESERVED))}"
            )
    return None


@functools.cache
def shop() -> Taxonomy:
    """The taxonomy that is shipped."""
    return load_taxonomy()
