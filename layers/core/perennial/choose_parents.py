"""The earlier searches of a model that a run's search may continue from (`warm_start: true`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from perennial.aws.jobs import describe_training_job, describe_tuning_job
from perennial.domain.errors import NotFound
from perennial.domain.ledger.rows import RunRow
from perennial.domain.warm_start import MOST_PARENTS, Earlier, Search, WarmStart, choose, misfit

#: How many earlier searches are looked at; each costs two calls.
MOST_LOOKED_AT = 3 * MOST_PARENTS


def choose_parents(given: Mapping[str, Any], runs: Sequence[RunRow]) -> WarmStart:
    """The parents of the search that a run's input describes; `runs` are the earlier, newest first.

    Only searches that finished are looked at; what SageMaker would refuse is left out in words.
    """
    config = given["training"]["tuning"]
    jobs = int(config["ResourceLimits"]["MaxNumberOfTrainingJobs"])
    ours = Search.of(config, given["hyperparameters"], jobs)
    return choose(ours, _looked_at(ours, runs))


def _looked_at(ours: Search, runs: Sequence[RunRow]) -> list[Earlier]:
    """The newest searches, until enough of them fit."""
    found: list[Earlier] = []
    fitting = 0
    for each in _searches(runs):
        found.append(each)
        fitting += each.search is not None and not misfit(ours, each.search)
        if len(found) == MOST_LOOKED_AT or fitting == MOST_PARENTS:
            break
    return found


def _searches(runs: Sequence[RunRow]) -> Iterator[Earlier]:
    """What is known of each run that searched, newest first; looked up one by one."""
    for run in runs:
        if run.state != "ended" or not run.input or not run.plan:
            continue
        if "tuning" not in json.loads(run.input)["training"]:
            continue
        trained = next((step for step in run.steps if step.step == "train"), None)
        if trained is not None:
            yield _earlier(run.number, trained.job)
        elif _has_trained(run):
            yield Earlier(run.number, why_not="it finished no search")


def _has_trained(run: RunRow) -> bool:
    """Whether the run meant to train itself, rather than to take what another one had trained."""
    document = json.loads(run.input)
    return bool(json.loads(run.plan)["places"].get("train") == document["base"])


def _earlier(run: int, best: str) -> Earlier:
    """The search whose best trial is known."""
    try:
        arn = str(describe_training_job(best).get("TuningJobArn", ""))
        job = arn.rpartition("/")[2]
        if not job:
            return Earlier(run, why_not=f"{best} is no trial of a search")
        found = describe_tuning_job(job)
    except NotFound:
        return Earlier(run, why_not="its search was deleted")
    status = found["HyperParameterTuningJobStatus"]
    if status != "Completed":
        return Earlier(run, job, why_not=f"its search is {status}")
    return Earlier(run, job, Search.described(found))
