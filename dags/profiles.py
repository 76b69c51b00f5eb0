"""Every hour, and after a history was read: archive → events → profiles → store.

The three jobs share one Spark application, since most of a small job is the start of its Java machine. Each is a
transaction of its own and safe to run again, so a retry of the task repeats nothing that was done.
"""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable

from dags.common import DEFAULTS, HISTORY, PROFILES, spark_job

with DAG(
    "lambent_profiles",
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("5 * * * *", timezone="UTC"), assets=[HISTORY]),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    default_args=DEFAULTS,
    max_active_runs=1,
    tags=["lambent"],
    doc_md=__doc__,
) as dag:
    spark_job("spark_jobs/run.py", "ingest-log", "profiles", "publish", task_id="refresh", outlets=[PROFILES])
