"""What every DAG shares: assets, defaults, the pool, deadlines, and how a job is submitted to Spark.

A DAG file says what runs when:

    with DAG("lambent_x", schedule=…, doc_md=__doc__, deadline=done_within(hours=2), **SHARED) as dag:
        spark_job("spark_jobs/x.py", "--day", DAY, outlets=[X])

**Assets wake a DAG, they are not a queue.** Airflow merges events, and misses some: a job never asks what woke it, but
goes on from what its own table, or the store, says was finished last. A run that an asset has woken has no data interval.

**One writer of a table at a time**: tasks that write tables share the pool ``lambent_tables``, which has one slot.
``lambent up`` makes it; elsewhere ``airflow pools import dags/pools.json`` does. Without it Airflow warns on the DAG's
page, and tasks stay ``scheduled``.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from dags.alerts import tell_failure, tell_late
from dags.submit import SparkJob

PROJECT = Path(__file__).resolve().parent.parent

HISTORY = Asset("lambent://tables/events/history")
PROFILES = Asset("lambent://store/profiles")
SESSIONS = Asset("lambent://tables/training_sessions")
MODEL = Asset("lambent://models/champion")

TABLES_POOL = "lambent_tables"
OPEN_POOL = "default_pool"
"""For tasks that only read tables."""

DEFAULTS: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": tell_failure,
}
"""Every job can be run again after any crash, so a retry is always safe."""

SHARED: dict[str, Any] = {
    "start_date": datetime(2026, 1, 1),
    "catchup": False,
    "max_active_runs": 1,
    "default_args": DEFAULTS,
    "tags": ["lambent"],
}
"""Arguments of every DAG. A backfill may go back further than ``start_date``."""

DAY = "{{ params.day or ((dag_run.data_interval_end or dag_run.run_after) | ds) }}"
"""The day (UTC) of a daily run: what its form says, else the day on which the run was due. A DAG that uses it has a param
``day``. The run's own fields are always there; the template's ``data_interval_end`` fails in a run that has none."""


def done_within(**duration: float) -> DeadlineAlert:
    """Tell someone if a run is not done so long after it was queued; ``duration`` is that of a ``timedelta``.

    The scheduler tells. ``airflow dags test`` (3.3.2) breaks on a deadline once its tasks are done: trigger a run instead.
    """
    interval = timedelta(**duration)
    told = SyncCallback(tell_late, kwargs={"within": str(interval)})
    return DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, interval, told)


def spark_job(module: str, *arguments: str, pool: str = TABLES_POOL, **operator: Any) -> SparkJob:
    """A task that submits one job module to the connection ``spark_default``.

    Args:
        module: file below the project, for example ``spark_jobs/profiles.py``; its name is the task's.
        arguments: of the job; templates are rendered.
        pool: ``OPEN_POOL`` for a job that writes no table.
        operator: anything else that the operator takes.
    """
    return SparkJob(
        task_id=operator.pop("task_id", Path(module).stem),
        application=str(PROJECT / module),
        application_args=list(arguments),
        conn_id="spark_default",
        name=f"lambent-{Path(module).stem}",
        pool=pool,
        **operator,
    )
