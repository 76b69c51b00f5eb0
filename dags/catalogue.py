"""Every day: what all shoppers do with each product and category, smoothed, to the workers.

A run builds all days that are missing, up to its own. A run of a **backfill**, or one that is started with a `day`, builds
that day again. The newest day is published; what is published already is not announced again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param, chain

from dags.common import OPEN_POOL, SHARED, done_within, spark_job

ONE_DAY = "{{ params.day or ((dag_run.data_interval_end | ds) if dag_run.run_type == 'backfill' else '') }}"

with DAG(
    "lambent_catalogue",
    schedule=CronTriggerTimetable("20 0 * * *", timezone="UTC", interval=timedelta(days=1)),
    doc_md=__doc__,
    deadline=done_within(hours=3),
    params={
        "day": Param(
            None, type=["null", "string"], format="date", description="Build only this day; empty: all that miss."
        )
    },
    **SHARED,
) as dag:
    chain(
        spark_job("spark_jobs/catalogue.py", "--day", ONE_DAY),
        spark_job("spark_jobs/run.py", "publish-catalogue", task_id="publish_catalogue", pool=OPEN_POOL),
    )
