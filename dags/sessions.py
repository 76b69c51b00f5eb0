"""Every night: the sessions that have ended, as training rows; if the tables are good, wakes `lambent_training`.

`quality` fails where a table or a feature misses its limit, and says which and what to do: rows, nulls, age, drift from what
the newest model was trained on. If the shop has changed indeed, mark the task as success: training goes on, and the new
rows are the next reference.

A run replaces the table by that of the newest snapshot. A run of a **backfill**, or one that is started with `as_of`,
makes it from what was known at that time: a version of the table a day, to train a model as it would have been then. It is
the newest version until the next run; a backfill wakes no training.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable, Param, chain

from dags.common import SESSIONS, SHARED, done_within, spark_job

AS_OF = "{{ params.as_of or (dag_run.data_interval_end if dag_run.run_type == 'backfill' else '') }}"

with DAG(
    "lambent_sessions",
    schedule=CronTriggerTimetable("30 3 * * *", timezone="UTC"),
    doc_md=__doc__,
    deadline=done_within(hours=3),
    params={
        "as_of": Param(
            None, type=["null", "string"], format="date-time", description="Only what was known then; empty: all."
        )
    },
    **SHARED,
) as dag:
    chain(
        spark_job("spark_jobs/training_sessions.py", "--as-of", AS_OF),
        spark_job("spark_jobs/quality.py", outlets=[SESSIONS]),
    )
