"""Whenever there are new training rows: train with Horovod on Spark, evaluate, register through the gate.

A run reads the newest version of `training_sessions`, so one run makes up for several that were missed. The candidate
becomes champion only if the gate lets it through; why or why not, `ROOT/reports/gate.md` and the report of `register` say.
"""

from __future__ import annotations

from airflow.sdk import DAG, chain

from dags.common import MODEL, OPEN_POOL, SESSIONS, SHARED, done_within, spark_job
from dags.submit import ReportLink

with DAG(
    "lambent_training",
    schedule=[SESSIONS],
    doc_md=__doc__,
    deadline=done_within(hours=6),
    **SHARED,
) as dag:
    chain(
        spark_job("models/train.py", pool=OPEN_POOL),
        spark_job("models/evaluate.py", pool=OPEN_POOL),
        spark_job(
            "models/register.py", pool=OPEN_POOL, outlets=[MODEL], links=[ReportLink("MLflow run", "mlflow_url")]
        ),
    )
