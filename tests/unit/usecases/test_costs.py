"""What runs cost and how they stand side by side, from the ledger, S3 and SageMaker's jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sagemaker.models import sagemaker_backends
from perennial.aws.job_use import JobUse
from perennial.compare_runs import compare_runs
from perennial.domain import naming
from perennial.domain.errors import NotFound
from perennial.domain.ledger.monitor_rows import Earlier, WindowRow
from perennial.domain.ledger.store import create
from perennial.domain.naming import earlier_job
from perennial.domain.prices import LISTED
from perennial.end_run import end_run
from perennial.read_card import read_card
from perennial.request_retrain import request_retrain
from perennial.sum_costs import JobCost, MonitorCost, RunCost, by_step, sum_costs

from tests.unit.world import MODEL, World

ROLE = "arn:aws:iam::123456789012:role/jobs"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/jobs:1"
CLUSTER = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30}


def predict(name: str) -> None:
    """A transform job, and the Model that it serves."""
    sagemaker = boto3.client("sagemaker")
    image: Any = {"Image": IMAGE, "ModelDataUrl": "s3://artifacts/m.tar.gz"}
    sagemaker.create_model(ModelName=name, PrimaryContainer=image, ExecutionRoleArn=ROLE)
    source: Any = {"S3DataType": "S3Prefix", "S3Uri": "s3://landing/rows/"}
    sagemaker.create_transform_job(
        TransformJobName=name,
        ModelName=name,
        TransformInput={"DataSource": {"S3DataSource": source}},
        TransformOutput={"S3OutputPath": "s3://artifacts/out"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 2},
    )


def test_batches_are_counted_newest_first(world: World) -> None:
    """By the model's own jobs, whoever followed them; one at work has no cost yet."""
    world.push()
    stack = world.ports.deployment.stack
    names = [naming.batch_name(stack, MODEL, f"b2026112{day}-080000-0a1b") for day in (1, 2)]
    for name in (*names, naming.batch_name(stack, f"{MODEL}-b", "b20261123-080000-0a1b")):
        predict(name)
    backend: Any = sagemaker_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"]
    over = backend.transform_jobs[names[0]]
    over.transform_job_status = "Completed"
    over.transform_start_time = "2026-11-21 08:00:00"
    over.transform_end_time = "2026-11-21 08:30:00"
    backend.transform_jobs[names[1]].transform_job_status = "InProgress"
    found = sum_costs(world.ports, MODEL).batches
    assert [(each.job, each.seconds) for each in found] == [(names[1], None), (names[0], 3600.0)]
    assert found[1].usd == LISTED.cost("transform", "ml.m5.large", 3600)
    assert [each.job for each in sum_costs(world.ports, MODEL, 1).batches] == [names[1]]


def test_windows_of_monitors_are_counted_by_kind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest ones, by what their jobs used; a window without traffic had none. What scored
    earlier versions is told apart."""
    world.push()
    used = {
        earlier_job("perennial", MODEL, 6, 3): JobUse("ml.m5.large", 30.0),
        "job-5": JobUse("ml.m5.large", 90.0),
        "job-2": JobUse("ml.m5.large", 90.0),
        "job-3": JobUse("ml.m5.large", None),
        "job-4": JobUse("ml.m5.large", 30.0),
    }  # moto's processing jobs know neither their machines nor when they began

    def use_of(_kind: str, name: str) -> JobUse | None:
        assert name  # AWS takes no empty one
        return used.get(name)

    monkeypatch.setattr("perennial.sum_costs.job_use", use_of)
    # SageMaker's schedule found nothing for a job to do.
    idle = WindowRow(MODEL, "data-quality", 9, 10, 1, 1, 1, 1, 1, schedule="watch")
    world.ledger.commit([create(idle)])
    for number, kind in enumerate(["bias", "bias", "bias", "data-quality"], 1):
        window = WindowRow(MODEL, kind, number, number + 1, 1, 1, 1, 1, 1, job=f"job-{number}")
        world.ledger.commit([create(window)])
    others = (Earlier(3, 3), Earlier(2, 2, words="it is gone"))
    window = WindowRow(MODEL, "model-quality", 5, 6, 1, 1, 1, 1, 1, job="job-5", earlier=others)
    world.ledger.commit([create(window)])
    half_minute, minute_and_a_half = (
        LISTED.cost("processing", "ml.m5.large", seconds) for seconds in (30, 90)
    )
    assert sum_costs(world.ports, MODEL).monitors == (
        MonitorCost("data-quality", 1, 30.0, half_minute, 0),
        MonitorCost("model-quality", 1, 90.0, minute_and_a_half, 0),
        MonitorCost("earlier versions", 1, 30.0, half_minute, 0),
        MonitorCost("bias", 2, 90.0, minute_and_a_half, 1),
    )
    assert sum_costs(world.ports, MODEL, 1).monitors[-1] == MonitorCost("bias", 1, 0.0, 0.0, 1)


def train(name: str) -> None:
    """A training job that is over at once."""
    boto3.client("sagemaker").create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        OutputDataConfig={"S3OutputPath": "s3://artifacts/models"},
        ResourceConfig=CLUSTER,
        StoppingCondition={"MaxRuntimeInSeconds": 60},
        RoleArn=ROLE,
    )


def put(key: str, document: Any) -> None:
    """A document below the run's base in the artifact bucket."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    boto3.client("s3").put_object(Bucket="artifacts", Key=f"runs/{MODEL}/{key}", Body=body)


def noted(step: str, job: str, **changes: Any) -> dict[str, Any]:
    """A job as a verdict notes it."""
    entry = {"step": step, "job": job, "kind": "processing", "instance": "ml.m5.large"}
    return {**entry, "seconds": 3600.0, "usd": 0.115, "reused": False, **changes}


def verdict(*jobs: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """The parts of a verdict that are read here."""
    return {
        "version": 2,
        "metrics": {"auc": 0.9, "auc:sex=Female": 0.8, "log_loss": 0.3},
        "gates": [{"name": "auc.min", "passed": True}],
        "champion": None,
        "candidate": {"code_digest": "c" * 64},
        "settings": {"hyperparameters": {"rounds": 90}},
        "cost": {"usd": 1.0, "prices": "2020-01-01", "jobs": list(jobs)},
        **changes,
    }


@pytest.fixture
def two_runs(world: World) -> World:
    """A model with two runs that are over; the second with an override."""
    world.push(train={"hyperparameters": {"rounds": 20, "depth": 3}})
    world.deliver(world.land("1.csv"))
    end_run(world.ports, world.win(1))
    request_retrain(world.ports, MODEL, "again", {"gates.auc.min": "0.5"}, "t", "ann")
    world.wake()
    end_run(world.ports, world.win(2, passed=False))
    return world


def test_a_runs_cost_is_the_sum_of_its_jobs_at_the_prices_of_today(two_runs: World) -> None:
    """The table's date is told; a verdict's own sum, made by older prices, is not taken."""
    jobs = (noted("check_data", "a"), noted("evaluate", "b", seconds=1800.0))
    put("1/verdict/verdict.json", verdict(*jobs))
    costs = sum_costs(two_runs.ports, MODEL)
    assert costs.prices == LISTED.date
    first = next(run for run in costs.runs if run.run == 1)
    assert first.seconds == 5400
    assert first.usd == pytest.approx(1.5 * LISTED.usd_per_hour["ml.m5.large"])
    assert [job.step for job in first.jobs] == ["check_data", "evaluate"]


def test_a_reused_job_costs_its_run_nothing(two_runs: World) -> None:
    """The run that started it has paid."""
    reused = noted("check_data", "perennial-census-1-check-data-0", reused=True, usd=0.0)
    put("2/verdict/verdict.json", verdict(reused, noted("train", "t", kind="training")))
    run = next(run for run in sum_costs(two_runs.ports, MODEL).runs if run.run == 2)
    assert (run.seconds, run.unknown) == (3600, 0)
    assert run.jobs[0].usd == 0
    assert [job.reused for job in run.jobs] == [True, False]


def test_jobs_that_no_verdict_names_are_found_by_their_names(two_runs: World) -> None:
    """A failed run, a repeated attempt, the job after the verdict: each bears the run's name."""
    prefix = "perennial-census-1"
    for name in (f"{prefix}-train-0", f"{prefix}-train-1", "perennial-census-12-train-0"):
        train(name)
    put("1/verdict/verdict.json", verdict(noted("train", f"{prefix}-train-1", kind="training")))
    costs = sum_costs(two_runs.ports, MODEL)
    first = next(run for run in costs.runs if run.run == 1)
    assert [job.job for job in first.jobs] == [f"{prefix}-train-0", f"{prefix}-train-1"]
    assert [(job.step, job.kind) for job in first.jobs] == [("train", "training")] * 2
    assert (first.jobs[0].instance, first.jobs[1].seconds) == ("ml.m5.large", 3600)
    assert first.jobs[0].seconds is not None
    assert next(run for run in costs.runs if run.run == 2).jobs == ()


def test_what_has_no_price_is_counted_as_unknown(two_runs: World) -> None:
    """A sum never passes off an unknown cost as none."""
    odd = noted("train", "t", kind="training", instance="ml.x9.huge", usd=None)
    gone = noted("explain", "forgotten", seconds=None, usd=None, instance="")
    put("1/verdict/verdict.json", verdict(odd, gone, noted("evaluate", "e")))
    run = next(run for run in sum_costs(two_runs.ports, MODEL).runs if run.run == 1)
    assert run.unknown == 2
    assert run.usd == pytest.approx(0.115)
    assert run.seconds == 7200


def test_own_prices_take_the_place_of_the_table(two_runs: World) -> None:
    """An agreement with AWS, or another Region, as JSON in the artifact bucket."""
    table = {"date": "2026-01-02", "usd_per_hour": {"ml.m5.large": 1.0}}
    boto3.client("s3").put_object(
        Bucket="artifacts", Key="code/prices.json", Body=json.dumps(table)
    )
    put("1/verdict/verdict.json", verdict(noted("evaluate", "e")))
    costs = sum_costs(two_runs.ports, MODEL)
    assert costs.prices == "2026-01-02"
    assert sum(run.usd for run in costs.runs) == 1.0


def test_costs_are_of_the_newest_runs_of_a_known_model(two_runs: World) -> None:
    """A limit cuts the oldest; an unknown name is told."""
    assert [run.run for run in sum_costs(two_runs.ports, MODEL, limit=1).runs] == [2]
    with pytest.raises(NotFound):
        sum_costs(two_runs.ports, "ghost")


def test_steps_are_summed_the_dearest_first() -> None:
    """By step and kind; what was reused is counted apart and costs nothing."""
    jobs = (
        JobCost("evaluate", "a", "processing", "ml.m5.large", 10, 0.5),
        JobCost("train", "b", "training", "ml.m5.large", 20, 2.0),
        JobCost("evaluate", "c", "processing", "ml.m5.large", 90, 0.0, reused=True),
    )
    found = by_step([RunCost("m", 1, "won", 0, jobs), RunCost("m", 2, "won", 0, jobs[:1])])
    assert [(each.step, each.jobs, each.reused) for each in found] == [
        ("train", 1, 0),
        ("evaluate", 2, 1),
    ]
    assert (found[1].seconds, found[1].usd) == (20, 1.0)


def test_runs_are_compared_in_the_order_asked_for(two_runs: World) -> None:
    """What each was given, what came of it, and what of it was for this run only."""
    put("1/verdict/verdict.json", verdict(noted("evaluate", "e"), champion={"version": 4}))
    second, first = compare_runs(two_runs.ports, MODEL, [2, 1])
    assert (first.run, second.run) == (1, 2)
    assert first.hyperparameters == {"rounds": 90, "depth": 3}
    assert second.hyperparameters == {"rounds": 20, "depth": 3}
    assert second.overrides == {"gates.auc.min": "0.5"}
    assert first.metrics == {"auc": 0.9, "log_loss": 0.3}
    assert first.gates == {"auc.min": True}
    assert first.data["objects"] == 1
    assert (first.champion, second.champion) == (4, None)
    assert (first.code_sha, second.code_sha) == ("c" * 64, "a" * 64)
    assert (first.outcome, second.outcome) == ("won", "lost")
    assert first.seconds is not None
    assert first.cost.seconds == 3600
    with pytest.raises(NotFound, match="there is no run 3"):
        compare_runs(two_runs.ports, MODEL, [1, 3])


def test_a_run_without_a_verdict_has_no_card(two_runs: World) -> None:
    """The words say how the run ended; one that was judged has the page and its text."""
    with pytest.raises(NotFound, match=r"run 2 of census has no card: it wrote no verdict \(lost"):
        read_card(two_runs.ports, MODEL, 2)
    put("1/verdict/card.html", b"<html>")
    put("1/verdict/card.md", b"# card")
    assert read_card(two_runs.ports, MODEL, 1).body == b"<html>"
    found = read_card(two_runs.ports, MODEL, 1, "md")
    assert found.uri == f"s3://artifacts/runs/{MODEL}/1/verdict/card.md"
    assert found.body == b"# card"
