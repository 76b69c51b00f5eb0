"""Every night: the sessions that have ended, as training rows."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, CronTriggerTimetable

from dags.common import DEFAULTS, SESSIONS, spark_job

with DAG(
    "lambent_sessions",
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args=DEFAULTS,
    max_active_runs=1,
    tags=["lambent"],
    doc_md=__doc__,
) as dag:
    spark_job("spark_jobs/training_sessions.py", outlets=[SESSIONS])
