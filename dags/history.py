"""Read a log of the past into the table ``events``: started by hand, with a file and its mapping."""

from __future__ import annotations

from airflow.sdk import DAG, Param

from dags.common import DEFAULTS, HISTORY, spark_job

with DAG(
    "lambent_history",
    schedule=None,
    default_args=DEFAULTS,
    max_active_runs=1,
    tags=["lambent"],
    doc_md=__doc__,
    params={
        "file": Param(type="string", description="The log: CSV, JSON lines or Parquet, compressed or not."),
        "mapping": Param("lambent", type="string", description="Name of a shipped mapping, or a TOML file."),
        "before": Param("2100-01-01T00:00:00Z", type="string", description="Take only events before this time (ISO)."),
    },
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
