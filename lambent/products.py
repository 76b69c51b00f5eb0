"""What is known of products now, in one file: the collector completes an event by it before the log takes its bytes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lambent.errors import DataError
from lambent.events import Event
from lambent.settings import Settings

FILLED = ("category", "brand", "price")
"""Fields of an event that a product fills in where they are missing."""


class Product(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is known of a product since ``valid_from_ms``."""

    category: str | None
    brand: str | None
    price: float | None
    valid_from_ms: int


@dataclasses.dataclass(frozen=True)
class Products:
    """All products.

    Attributes:
        version: of the table ``products``; -1: there is none.
        rows: by the shop's own id.
    """

    version: int = -1
    rows: Mapping[str, Product] = dataclasses.field(default_factory=dict)

    def complete(self, event: Event) -> Event:
        """The event with what it lacks and is known of its product.

        One that happened before what is known now goes without: what was so at its time is not in this file.
        """
        product = self.rows.get(event.product) if event.product is not None else None
        if product is None or event.event_ms < product.valid_from_ms:
            return event
        lacking = {name: getattr(product, name) for name in FILLED if getattr(event, name) is None}
        return msgspec.structs.replace(event, **lacking) if lacking else event


def products_file(settings: Settings) -> Path:
    """Where the file lies: a path that every collector can read."""
    return settings.artifacts_root / "products.msgpack"


def write_products(path: Path, products: Products) -> None:
    """Replace the file; a reader finds the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(msgspec.msgpack.encode((products.version, products.rows)))
    draft.replace(path)


def read_products(path: Path) -> Products:
    """The file's products; none where there is no file.

    Raises:
        DataError: it cannot be read, or is none of these.
    """
    try:
        return Products(*msgspec.msgpack.decode(path.read_bytes(), type=tuple[int, dict[str, Product]]))
    except FileNotFoundError:
        return Products()
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(
            f"{path} cannot be read ({error}).", "Write it again: lambent ingest --into products."
        ) from error
