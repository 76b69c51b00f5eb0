"""What every DAG shares: how a job is submitted to Spark, the assets that wire DAGs together, defaults."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Asset

PROJECT = Path(__file__).resolve().parent.parent

HISTORY = Asset("lambent://tables/events/history")
PROFILES = Asset("lambent://store/profiles")
SESSIONS = Asset("lambent://tables/training_sessions")
MODEL = Asset("lambent://models/champion")

DEFAULTS: dict[str, Any] = {
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(hours=2),
}
"""Every job can be run again after any crash, so a retry is always safe."""


def spark_job(module: str, *arguments: str, **operator: Any) -> SparkSubmitOperator:
    """A task that submits one job module to the connection ``spark_default``.

    Args:
        module: file below the project, for example ``spark_jobs/profiles.py``; its name is the task's.
        arguments: of the job; templates are rendered.
        operator: anything else that the operator takes.
    """
    return SparkSubmitOperator(
        task_id=operator.pop("task_id", Path(module).stem),
        application=str(PROJECT / module),
        application_args=list(arguments),
        conn_id="spark_default",
        name=f"lambent-{Path(module).stem}",
        **operator,
    )
