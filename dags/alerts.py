"""Who is told when a task has failed for good or a run is late: the log, and a chat or pager where there is one.

The connection ``lambent_alerts`` names a webhook that takes ``{"text": …}``, as Slack, Mattermost and Teams have it: its
host is the URL's beginning, its password the part that nobody else may know. Without it the log alone is told. Set it by
the variable ``AIRFLOW_CONN_LAMBENT_ALERTS``: who tells of a late run may not read connections that Airflow has stored.
"""

from __future__ import annotations

import json
import logging
import urllib.request
from collections.abc import Mapping
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowRuntimeError

CONNECTION = "lambent_alerts"
TIMEOUT_SECONDS = 10

log = logging.getLogger(__name__)


def tell_failure(context: Mapping[str, Any]) -> None:
    """A task has failed and is not tried again."""
    ti = context["task_instance"]
    reason = str(context.get("exception") or "it was ended from outside").strip().splitlines()[0]
    tell(f"{ti.dag_id}.{ti.task_id} failed at try {ti.try_number}: {reason} Run: {ti.run_id}. Log: {ti.log_url}")


def tell_late(context: Mapping[str, Any], within: str) -> None:
    """A run was not done by its deadline; it goes on. Runs of a backfill wait for each other, and are never late."""
    run = context["dag_run"]
    if run["run_type"] != "backfill":
        tell(f"{run['dag_id']} is late: run {run['dag_run_id']} is {run['state']}, and was to be done within {within}.")


def tell(text: str) -> None:
    """Log it as an error, and send it to the webhook. One that cannot be reached changes nothing for the task."""
    log.error(text)
    url = webhook()
    if not url:
        return
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).close()
    except OSError as error:
        log.warning("The webhook of the connection %s was not reached: %s", CONNECTION, error)


def webhook() -> str:
    """Its URL; empty where there is no such connection, or none that may be read here."""
    try:
        connection = BaseHook.get_connection(CONNECTION)
    except (AirflowException, AirflowRuntimeError, PermissionError):
        return ""
    return "/".join(part.strip("/") for part in (connection.host, connection.password) if part)
