"""Remove a model: open run and release, endpoint, stack with the versions, files, rows.

What producers landed is theirs, and stays unless asked for. Each step may be repeated, so a
removal that died half-way is simply asked for again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.advance_releases import advance_releases
from perennial.aws.jobs import stop_processing_job, stop_processing_jobs
from perennial.aws.objects import delete_versions
from perennial.aws.stacks import StackEvent, delete_stack
from perennial.aws.transforms import active_transforms, stop_transform
from perennial.commit_change import commit_change
from perennial.describe_model import describe_model, known_model
from perennial.domain import naming
from perennial.domain.errors import NotAllowed, NotFound
from perennial.domain.ledger.release_claims import stop_release
from perennial.domain.ledger.rows import Key, release_key
from perennial.domain.ledger.single_flight import refuse_during_test
from perennial.domain.ledger.store import Transaction, read_release
from perennial.end_run import end_run
from perennial.forget_model import forget_model
from perennial.keep_watch import jobs_at_work, remove_watches
from perennial.pause_model import pause_model
from perennial.stop_run import stop_run

if TYPE_CHECKING:
    from perennial.wiring import Ports

LONGEST_STOP_S = 180  # a processing job is given two minutes to stop
LONGEST_DEPLOYMENT_S = 900
PAUSE_S = 0.5
#: What a model has in the artifact bucket, each below a folder of its own.
OWN_FOLDERS = (
    *("code", "runs", "models", "releases", "capture", "batch"),
    *("monitoring", "labels", "shared"),
)


@dataclass(frozen=True)
class Removed:
    """What a removal took away: numbers of object versions, and whether a stack was there."""

    model: str
    stopped_run: int | None
    stack_deleted: bool
    artifacts: int
    landed: int


def remove_model(
    ports: Ports, model: str, *, by: str, with_data: bool, tell: Callable[[StackEvent], None]
) -> Removed:
    """Take the model away; raises `NotFound` when there is nothing of it."""
    naming.check_model_name(model)
    known = True
    try:
        # Before anything is touched: somebody compares versions on its traffic.
        refuse_during_test(known_model(ports.ledger, model), "the removal")
        stopped = _stop_open_run(ports, model, by)
        _stop_open_release(ports, model, by)
    except NotFound:
        # Perhaps an earlier removal came this far: what is left is still taken away.
        known, stopped = False, None
    _stop_batches(ports.deployment.stack, model)
    _stop_monitors(ports.deployment.stack, model)
    _stop_watches(ports, model)
    stack_deleted = delete_stack(naming.model_stack(ports.deployment.stack, model), tell)
    bucket = ports.deployment.artifact_bucket
    artifacts = sum(delete_versions(bucket, f"{folder}/{model}/") for folder in OWN_FOLDERS)
    landed = 0
    if with_data:
        landed = delete_versions(ports.deployment.landing_bucket, naming.landing_prefix(model))
    if known:
        forget_model(ports, model)
    elif not (stack_deleted or artifacts or landed):
        raise NotFound(f"there is no model '{model}' on stack {ports.deployment.stack}")
    return Removed(model, stopped, stack_deleted, artifacts, landed)


def _stop_open_run(ports: Ports, model: str, by: str) -> int | None:
    """Pause the model, so that nothing opens meanwhile, and bring an open run to its end."""
    pause_model(ports, model, f"{model} is being removed", by)
    run = describe_model(ports, model).open_run
    if run is None:
        return None
    stop_run(ports, model, run, f"{model} is being removed", by)
    deadline = time.monotonic() + LONGEST_STOP_S
    while describe_model(ports, model).open_run == run:
        if time.monotonic() > deadline:
            raise NotAllowed(f"run {run} of {model} does not stop; try again in a few minutes")
        end_run(ports, _execution(ports, model, run))
        time.sleep(PAUSE_S)
    return run


def _stop_batches(stack: str, model: str) -> None:
    """Stop batches under way, of whoever follows them: they would store predictions yet."""
    deadline = time.monotonic() + LONGEST_STOP_S
    while active := [
        name
        for name in active_transforms(naming.batch_name(stack, model, "b"))
        if naming.is_batch_of(stack, model, name)
    ]:
        for name in active:
            stop_transform(name)
        if time.monotonic() > deadline:
            raise NotAllowed(f"{active[0]} does not stop; try again in a few minutes")
        time.sleep(PAUSE_S)


def _stop_monitors(stack: str, model: str) -> None:
    """Stop monitors' jobs: they would write reports of a model that is gone."""
    token = naming.token(stack)
    deadline = time.monotonic() + LONGEST_STOP_S

    def is_ours(name: str) -> bool:
        named = naming.parse_monitor_job(name, token)
        return model in (named[0] if named else None, naming.parse_earlier_job(name, token))

    while active := stop_processing_jobs(f"{token}-monitor-{model}-", is_ours):
        if time.monotonic() > deadline:
            raise NotAllowed(f"{active[0].name} does not stop; try again in a few minutes")
        time.sleep(PAUSE_S)


def _stop_watches(ports: Ports, model: str) -> None:
    """Remove SageMaker's monitoring schedules, and stop the jobs that they started."""
    started = jobs_at_work(ports, model)
    remove_watches(ports, model)
    deadline = time.monotonic() + LONGEST_STOP_S
    while active := [name for name in started if not stop_processing_job(name)]:
        if time.monotonic() > deadline:
            raise NotAllowed(f"{active[0]} does not stop; try again in a few minutes")
        time.sleep(PAUSE_S)


def _stop_open_release(ports: Ports, model: str, by: str) -> None:
    """Bring an open release to its end; a deployment under way is waited for."""
    because = f"{model} is being removed"
    deadline = time.monotonic() + LONGEST_DEPLOYMENT_S
    while (number := known_model(ports.ledger, model).open_release) is not None:
        key = release_key(model, number)

        def decide(key: Key = key) -> Transaction:
            row = read_release(ports.ledger, key)
            return () if row is None else stop_release(row, by, because)

        commit_change(ports, decide)
        done = advance_releases(ports, model, may_open=False)
        if time.monotonic() > deadline:
            raise NotAllowed(
                f"release {number} of {model} does not end ({done.words}); try again in a few "
                "minutes"
            )
        time.sleep(PAUSE_S)


def _execution(ports: Ports, model: str, run: int) -> str:
    name = naming.execution_name(ports.deployment.stack, model, run)
    return naming.execution_arn(ports.deployment.machine_arn, name)
