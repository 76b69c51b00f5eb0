"""Mappings: any CSV, JSON-lines or Parquet log, read by a small TOML file that says which column is which field.

    mapping = load_mapping("rees46")                      # or the path of a TOML file
    for row in read_events(path, mapping, taxonomy, user_key):
        row.event, row.rejection                          # one of them; neither: skipped on purpose

Read in this order: ``spec`` (what a mapping can say), ``load`` and ``checks`` (what is refused), ``readers``, ``csvrows``,
``tables`` and ``parquet`` (bytes to rows), ``fields``, ``values`` and ``times`` (cells to values), ``rows`` (rows to events).
"""

from lambent.mapping.load import check_types, load_mapping, shipped
from lambent.mapping.rows import Row, read_events
from lambent.mapping.spec import Mapping

__all__ = ["Mapping", "Row", "check_types", "load_mapping", "read_events", "shipped"]
