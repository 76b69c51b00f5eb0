"""Every Sunday night: compacts and clusters the tables, deletes what nobody can ask for any more, shortens their logs.

A table's file stays for the days of the setting `retention_days` after its last use, and longer where somebody needs it:
the builds of `profiles` that a rollback can reach and the events they are made from, and the rows that each model in the
artifacts' folder was trained on. The report names those versions. The archiver may append meanwhile.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable

from dags.common import SHARED, done_within, spark_job

with DAG(
    "lambent_maintenance",
    schedule=CronTriggerTimetable("30 1 * * 0", timezone="UTC"),
    doc_md=__doc__,
    deadline=done_within(hours=6),
    **SHARED,
) as dag:
    spark_job("spark_jobs/maintenance.py")
