"""The newest log lines of a function, of a run's jobs, or of one job or endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws.log_groups import (
    ENDPOINTS,
    PROCESSING_GROUP,
    TRAINING_GROUP,
    LogLine,
    log_group_of,
    read_lines,
)
from perennial.aws.stacks import stack_resources
from perennial.aws.transforms import LOG_GROUP as TRANSFORM_GROUP
from perennial.domain import naming
from perennial.domain.errors import NotFound

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class LogSource:
    """One place to read from: a log group, and the beginning of its streams' names."""

    group: str
    stream_prefix: str = ""


def function_source(ports: Ports, name: str) -> LogSource:
    """Where a function of the stack writes, by its folder's name, for example `on_signal`."""
    logical = "".join(part.capitalize() for part in name.split("_")) + "Function"
    functions = {
        key: physical
        for key, (kind, physical) in stack_resources(ports.deployment.stack).items()
        if kind == "AWS::Lambda::Function"
    }
    if logical not in functions:
        known = ", ".join(sorted(_folder(key) for key in functions if key.endswith("Function")))
        raise NotFound(f"stack {ports.deployment.stack} has no function '{name}'; it has: {known}")
    return LogSource(log_group_of(functions[logical]))


def run_sources(ports: Ports, model: str, run: int) -> tuple[LogSource, ...]:
    """Where the jobs of a run write."""
    stack = ports.deployment.stack
    prefix = naming.run_prefix(stack, model, run) + "-"
    trials = naming.tuning_prefix(stack, model, run) + "-"
    return (
        LogSource(PROCESSING_GROUP, prefix),
        LogSource(TRAINING_GROUP, prefix),
        LogSource(TRAINING_GROUP, trials),
    )


def job_source(job: str) -> LogSource:
    """Where one job of a run writes; of a tuning job its trials, whose names begin with its."""
    kind = naming.job_kind(job)
    group = PROCESSING_GROUP if kind == "processing" else TRAINING_GROUP
    return LogSource(group, f"{job}-" if kind == "tuning" else f"{job}/")


def is_work_of(ports: Ports, name: str) -> bool:
    """Whether a name is one of the stack's jobs or endpoints: no function is called so."""
    return name.startswith(f"{naming.token(ports.deployment.stack)}-")


def work_sources(name: str) -> tuple[LogSource, ...]:
    """Where a job or endpoint writes, whatever its kind: SageMaker has a group for each kind."""
    groups = (PROCESSING_GROUP, TRAINING_GROUP, TRANSFORM_GROUP)
    return (
        *(LogSource(group, f"{name}/") for group in groups),
        LogSource(TRAINING_GROUP, f"{name}-"),
        LogSource(f"{ENDPOINTS}{name}"),
    )


def tail_logs(
    sources: Sequence[LogSource], *, since_ms: int | None = None, most: int = 100
) -> list[LogLine]:
    """The newest lines of all sources together, oldest first."""
    found = [
        line
        for source in sources
        for line in read_lines(
            source.group, stream_prefix=source.stream_prefix, since_ms=since_ms, most=most
        )
    ]
    return sorted(found, key=lambda line: line.at_ms)[-most:]


def _folder(logical: str) -> str:
    """`OnSignalFunction` as its folder's name, `on_signal`."""
    name = logical.removesuffix("Function")
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
