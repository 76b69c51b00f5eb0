"""Whenever there are new training rows: train with Horovod on Spark, evaluate, register through the gate."""

from __future__ import annotations

from airflow.sdk import DAG, chain

from dags.common import DEFAULTS, MODEL, SESSIONS, spark_job

with DAG(
    "lambent_training",
    schedule=[SESSIONS],
    default_args=DEFAULTS,
    max_active_runs=1,
    tags=["lambent"],
    doc_md=__doc__,
) as dag:
    chain(
        spark_job("models/train.py"),
        spark_job("models/evaluate.py"),
        spark_job("models/register.py", outlets=[MODEL]),
    )
