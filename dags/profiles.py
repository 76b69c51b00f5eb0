"""Every hour, and after a history was read: archive → events → profiles → store."""

from __future__ import annotations

from datetime import datetime

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, chain

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
    chain(
        spark_job("spark_jobs/ingest.py", "--log"),
        spark_job("spark_jobs/profiles.py"),
        spark_job("spark_jobs/publish.py", outlets=[PROFILES]),
    )
