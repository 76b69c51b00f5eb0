"""The reference pages that are made from the code whenever the documentation is built: nothing of them is kept.

A fact that a page lacks is added to the code that it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from infra.reference.commands import cli_page
from infra.reference.contract import redis_page
from infra.reference.events import events_page
from infra.reference.features import features_page
from infra.reference.http_api import http_page
from infra.reference.keys import keys_page
from infra.reference.metrics import metrics_page
from infra.reference.settings import settings_page
from infra.reference.tables import tables_page
from infra.reference.taxonomy import taxonomy_page

PAGES: Mapping[str, Callable[[], str]] = {
    "settings": settings_page,
    "cli": cli_page,
    "events": events_page,
    "http": http_page,
    "redis": redis_page,
    "keys": keys_page,
    "metrics": metrics_page,
    "tables": tables_page,
    "features": features_page,
    "taxonomy": taxonomy_page,
}
"""The pages below ``docs/reference`` that are made, by name."""


def made_pages() -> Iterator[tuple[str, str]]:
    """Each page: its path below ``docs`` and its text."""
    for name, make in PAGES.items():
        yield f"reference/{name}.md", make()
