"""Every hour, and after a history was read: archive → events → profiles → store.

The three jobs share one Spark application, since most of a small job is the start of its Java machine. Each is a
transaction of its own and goes on from what it finished last: `ingest-log` from the version of `log` that `events` names,
`profiles` from the snapshot of the last build, `publish` from the build that the store names. So a retry repeats nothing
that was done, and one run does the work of all that were missed.
"""

from __future__ import annotations

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable

from dags.common import HISTORY, PROFILES, SHARED, done_within, spark_job

with DAG(
    "lambent_profiles",
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("5 * * * *", timezone="UTC"), assets=[HISTORY]),
    doc_md=__doc__,
    deadline=done_within(hours=1),
    **SHARED,
) as dag:
    spark_job(
        "spark_jobs/run.py",
        "ingest-log",
        "profiles",
        "publish",
        task_id="refresh",
        outlets=[PROFILES],
        priority_weight=10,  # before what is daily, where both wait for the tables
    )
