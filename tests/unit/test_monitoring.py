"""The alerts and the dashboard ask for metrics that there are, by labels that these have."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from infra.reference.metrics import exported_name, families, registries
from realtime.verdict import ARCHIVE_LATE_MS, LATE_MS, STALE_MS
from tests.pages import PROJECT

FOLDER = PROJECT / "infra" / "monitoring"


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "lambent.rules.yml").read_text())["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / "grafana.json").read_text())["panels"])


def known() -> dict[str, tuple[str, ...]]:
    """Labels by the names that queries use."""
    found: dict[str, tuple[str, ...]] = {}
    for registry in registries().values():
        for family, labels in families(registry):
            name = exported_name(family)
            found |= {f"{name}_bucket": (*labels, "le")} if family.type == "histogram" else {name: labels}
    return found


def test_every_query_asks_for_metrics_that_there_are_and_groups_by_their_labels() -> None:
    queries = [rule["expr"] for rule in rules()] + [one["expr"] for panel in panels() for one in panel["targets"]]
    assert len(queries) > 15
    for query in queries:
        names = re.findall(r"lambent_\w+", query)
        assert names
        assert set(names) <= set(known()), query
        assert query.count("(") == query.count(")"), query
        grouped = {label for labels in re.findall(r"by \((.*?)\)", query) for label in labels.split(", ")}
        assert all(grouped <= set(known()[name]) for name in names), query
        assert all(name.endswith(("_total", "_bucket")) for name in re.findall(r"(\w+)\[", query)), query


def test_the_alerts_have_the_limits_of_the_status_and_say_what_to_do() -> None:
    by_name = {rule["alert"]: rule for rule in rules()}
    assert all({"summary", "remedy"} <= set(rule["annotations"]) for rule in by_name.values())
    for name, limit_ms in (
        ("LambentWorkerBehind", LATE_MS),
        ("LambentArchiverBehind", ARCHIVE_LATE_MS),
        ("LambentProfilesStale", STALE_MS),
    ):
        assert f"> {limit_ms // 1000}" in by_name[name]["expr"]
