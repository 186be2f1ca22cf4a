"""Which steps an ended execution finished, so that later runs need not repeat them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from perennial.aws.history import Visit, visits
from perennial.aws.jobs import describe_training_job, describe_tuning_job
from perennial.commit_change import commit_change
from perennial.describe_run import known_run
from perennial.domain.errors import NotFound
from perennial.domain.ledger import claims
from perennial.domain.ledger.rows import FinishedStep, RunRow
from perennial.domain.ledger.store import Transaction

if TYPE_CHECKING:
    from perennial.wiring import Ports

STEP_OF_STATE = {
    "CheckData": "check_data",
    "Train": "train",
    "TrainInVpc": "train",
    "Tune": "train",
    "TuneInVpc": "train",
    "TuneFromParents": "train",
    "TuneFromParentsInVpc": "train",
    "Evaluate": "evaluate",
    "EvaluateChampion": "evaluate_champion",
    "Compare": "compare",
    "MeasureBias": "measure_bias",
    "MeasureBiasWithClarify": "measure_bias",
    "Explain": "explain",
}


def note_steps(ports: Ports, run: RunRow) -> bool:
    """Note on the run's row what its execution finished, however it ended; True if it changed.

    A history that is gone (Step Functions keeps 90 days) leaves nothing to reuse.
    """
    if not run.plan or not run.execution:
        return False
    try:
        found = tuple(_finished(run, visit) for visit in visits(run.execution) if _is_done(visit))
    except NotFound:
        return False

    def decide() -> Transaction:
        return claims.record_steps(known_run(ports.ledger, run.model, run.number), found)

    return commit_change(ports, decide)


def _is_done(visit: Visit) -> bool:
    is_over = visit.left_ms is not None and not visit.error
    return visit.state in STEP_OF_STATE and bool(visit.job) and is_over


def _finished(run: RunRow, visit: Visit) -> FinishedStep:
    step, plan = STEP_OF_STATE[visit.state], json.loads(run.plan)
    job, artifact = visit.job, ""
    if step == "train":
        described = describe_training_job(_best_trial(job) if "Tune" in visit.state else job)
        job = described["TrainingJobName"]
        artifact = described["ModelArtifacts"]["S3ModelArtifacts"]
    return FinishedStep(
        step=step,
        key=plan["keys"][step],
        job=job,
        place=plan["places"][step],
        artifact=artifact,
        ended_ms=visit.left_ms or 0,
    )


def _best_trial(tuning_job: str) -> str:
    return str(describe_tuning_job(tuning_job)["BestTrainingJob"]["TrainingJobName"])
