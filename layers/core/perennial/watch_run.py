"""What an execution of the retrain machine does at this moment: its path, its job, its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from perennial.aws.history import Visit, visits
from perennial.aws.jobs import (
    TITLES,
    describe_processing_job,
    describe_training_job,
    describe_tuning_job,
)
from perennial.aws.log_groups import LogLine, read_lines
from perennial.aws.machine import Execution, describe
from perennial.domain import naming
from perennial.domain.errors import NotFound
from perennial.domain.job_failure import reason_of
from perennial.tail_logs import job_source


@dataclass(frozen=True)
class JobView:
    """One SageMaker job: its status, its stage in SageMaker's words, why it failed."""

    name: str
    kind: str
    status: str
    stage: str
    failure: str


@dataclass(frozen=True)
class RunView:
    """One look at an execution: the states so far; the running job with its newest lines."""

    execution: Execution
    path: tuple[Visit, ...]
    job: JobView | None
    log: tuple[LogLine, ...]

    @property
    def state(self) -> str:
        """The state that the execution is in, or ended in; nothing before the first."""
        return self.path[-1].state if self.path else ""


def watch_run(execution_arn: str, *, log_lines: int = 6) -> RunView | None:
    """Look once; None while the execution does not exist."""
    execution = describe(execution_arn)
    if execution is None:
        return None
    path = visits(execution_arn)
    # Branches run side by side: the newest state may be done while another one works.
    newest = next((v for v in reversed(path) if v.job and v.left_ms is None), None)
    if newest is None:
        return RunView(execution, path, None, ())
    job = describe_job(newest.job)
    source = job_source(newest.job)
    lines = read_lines(source.group, stream_prefix=source.stream_prefix, most=log_lines)
    return RunView(execution, path, job, tuple(lines))


def describe_job(name: str) -> JobView | None:
    """One job of any kind by its name, or None while it does not exist."""
    kind = naming.job_kind(name)
    describe_it = {
        "training": describe_training_job,
        "tuning": describe_tuning_job,
        "processing": describe_processing_job,
    }[kind]
    try:
        found: Any = describe_it(name)
    except NotFound:
        return None
    status = str(found[f"{TITLES[kind]}Status"])
    return JobView(
        name=name,
        kind=kind,
        status=status,
        stage=str(found.get("SecondaryStatus", status)),
        failure=reason_of(found, unknown=""),
    )
