"""What is known of products, joined into the events of files, and written down for the door of the live ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lambent.products import FILLED, Product, Products, products_file, write_products
from lambent.settings import Settings
from lambent.tables import PRODUCTS, SOURCE_FILE
from spark_jobs.commits import open_table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def with_products(events: DataFrame, settings: Settings) -> DataFrame:
    """``as_known`` by the table; where there is none, the events as they are."""
    path = settings.table(PRODUCTS)
    if open_table(path) is None:
        return events
    return as_known(events, events.sparkSession.read.format("delta").load(path))


def as_known(events: DataFrame, products: DataFrame) -> DataFrame:
    """Events with what those of files lack of category, brand and price: as it was of their product when they happened.

    A live event has it from the door, or goes without: what the log holds is what both layers see.

    Args:
        events: of ``tables.EVENT_COLUMNS``.
        products: of ``tables.PRODUCT_COLUMNS``.
    """
    from pyspark.sql import functions as F

    same = F.expr(
        f"e.product = p.product AND e.source = {SOURCE_FILE} AND e.event_ms >= p.valid_from_ms "
        "AND e.event_ms < coalesce(p.valid_to_ms, e.event_ms + 1)"
    )
    joined = events.alias("e").join(products.alias("p"), same, "left")
    filled = {name: F.coalesce(f"e.{name}", f"p.{name}").alias(name) for name in FILLED}
    return joined.select(*(filled.get(name, F.col(f"e.{name}")) for name in events.columns))


def publish_products(settings: Settings) -> None:
    """Write what is known of products now to the file that the collector reads."""
    import pyarrow.compute as pc

    table = open_table(settings.table(PRODUCTS))
    if table is None:
        return
    current = table.to_pyarrow_dataset().to_table(
        columns=["product", *FILLED, "valid_from_ms"], filter=pc.field("valid_to_ms").is_null()
    )
    columns = (current.column(name).to_pylist() for name in current.column_names)
    rows = {product: Product(*values) for product, *values in zip(*columns, strict=True)}
    write_products(products_file(settings), Products(table.version(), rows))
