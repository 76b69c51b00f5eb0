"""Reads a log of the past into the table `events`: started by hand, with a file and its mapping.

What the table has already is not added again, so a run can be repeated, and files may overlap. It wakes
`lambent_profiles`. A file is named as the machine that runs Spark's executors sees it.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from dags.common import HISTORY, SHARED, done_within, spark_job

with DAG(
    "lambent_history",
    schedule=None,
    doc_md=__doc__,
    deadline=done_within(hours=4),
    params={
        "file": Param(
            type="string", minLength=1, description="The log: CSV, JSON lines or Parquet, compressed or not."
        ),
        "mapping": Param("lambent", type="string", description="Name of a shipped mapping, or a TOML file."),
        "before": Param(
            "2100-01-01T00:00:00Z", type="string", format="date-time", description="Take only events before this time."
        ),
    },
    **SHARED,
) as dag:
    spark_job(
        "spark_jobs/ingest.py",
        "{{ params.file }}",
        "--mapping",
        "{{ params.mapping }}",
        "--before",
        "{{ params.before }}",
        outlets=[HISTORY],
    )
