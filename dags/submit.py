"""Submits a job to Spark, and brings what the job says of itself to where a person sees it in Airflow.

A job prints its report as one line of JSON, and an error as one line that begins with ``lambent:``. Both come with the
output of ``spark-submit``, so that nothing has to be shared with the machine on which the driver runs. A driver that
runs in the cluster (``deploy-mode: cluster``) keeps its output there: the task then has no report, and is well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseOperatorLink
from airflow.sdk.exceptions import AirflowException, AirflowFailException

WRONG_CALL = 2
"""Exit code of a job whose arguments or settings are wrong: another try would end the same."""

_RAISED = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit)(:|$)")

Report = dict[str, Any]


class Said:
    """What a job has said so far.

    Attributes:
        reports: by job, in the order in which they ended.
        reason: why it failed: the job's own words, else the last exception, else nothing.
    """

    def __init__(self) -> None:
        self.reports: dict[str, Report] = {}
        self.reason = ""
        self._own_words = False

    def hear(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines as they come; what matters in them is kept."""
        for line in lines:
            self._keep(line.strip())
            yield line

    def _keep(self, line: str) -> None:
        if line.startswith('{"job": '):
            report = json.loads(line)
            self.reports[report.pop("job")] = report
        elif line.startswith("lambent: "):
            self.reason, self._own_words = line.removeprefix("lambent: "), True
        elif _RAISED.match(line) and not self._own_words:
            self.reason = line


class ReportLink(BaseOperatorLink):
    """A link to what a report names by URL.

    Args:
        name: of the button.
        fact: of a report, that holds the URL.
    """

    def __init__(self, name: str, fact: str) -> None:
        self._name, self._fact = name, fact

    @property
    def name(self) -> str:
        """Name of the button."""
        return self._name

    @property
    def xcom_key(self) -> str:
        """Where Airflow keeps the URL."""
        return f"_link_{self._fact}"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The URL; empty where no report has it."""
        urls = (report.get(self._fact) for report in operator.said.reports.values())
        return next(filter(None, urls), "")


class SparkJob(SparkSubmitOperator):
    """A ``SparkSubmitOperator`` whose result is the jobs' reports, and whose failure is the job's own reason.

    The reports are the XCom ``return_value``, by job, and the ``extra`` of each asset event. In a run of a backfill the
    task has no outlets: a range of days would wake what is downstream once a day.

    Args:
        links: buttons of the task.
        options: as for ``SparkSubmitOperator``.

    Raises:
        AirflowFailException: the job was called wrongly, so that it is not tried again.
        AirflowException: it failed in another way.
    """

    def __init__(self, *, links: Sequence[ReportLink] = (), **options: Any) -> None:
        super().__init__(**options)
        self.operator_extra_links = tuple(links)
        self.said = Said()

    def execute(self, context: Any) -> dict[str, Report]:
        """Submit the job, and wait for its end."""
        if context["dag_run"].run_type == "backfill":
            self.outlets: list[Any] = []
        self.said = Said()
        try:
            super().execute(context)
        except AirflowException as error:
            raise self._failure(error) from None  # what the job has printed is in the log above
        for asset in self.outlets:
            context["outlet_events"][asset].extra = self.said.reports
        return self.said.reports

    def _failure(self, error: AirflowException) -> AirflowException:
        """In the job's words, where it has said any."""
        process = self._hook._submit_sp if self._hook else None
        kind = AirflowFailException if process and process.returncode == WRONG_CALL else AirflowException
        return kind(self.said.reason or str(error))

    def _get_hook(self) -> SparkSubmitHook:
        hook = super()._get_hook()
        process = hook._process_spark_submit_log
        hook._process_spark_submit_log = lambda lines: process(self.said.hear(lines))
        return hook
