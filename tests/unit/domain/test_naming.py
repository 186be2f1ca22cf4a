"""Names keep the limits of their services, also the longest."""

from __future__ import annotations

import re
from functools import cache

import botocore.session
import pytest
from perennial.domain import naming

STACK = "dev-perennial-of-somebody"
LONGEST = "a" * 19 + "b"


@cache
def shape(service: str, operation: str, *members: str):
    """A member's shape in botocore's model of an operation."""
    model = botocore.session.get_session().get_service_model(service)
    found = model.operation_model(operation).input_shape
    for member in members:
        found = found.members[member]
    return found


def fits(name, service, operation, *members):
    """Whether a name keeps the pattern and length that botocore knows."""
    metadata = shape(service, operation, *members).metadata
    pattern, most = metadata.get("pattern"), metadata.get("max")
    assert pattern or most
    is_short = most is None or len(name) <= most
    return is_short and (pattern is None or re.fullmatch(pattern.strip("^$"), name) is not None)


@pytest.mark.parametrize("stack", [STACK, "p"])
@pytest.mark.parametrize("model", [LONGEST, "m"])
@pytest.mark.parametrize("run", [1, 999_999, 10**9])
def test_the_longest_names_are_valid(stack, model, run):
    """Executions 80, jobs 63, packages 63, schedules 64: as botocore says."""
    prefix = naming.run_prefix(stack, model, run)
    assert len(prefix) <= 40
    execution = naming.execution_name(stack, model, run)
    assert fits(execution, "stepfunctions", "StartExecution", "name")
    for step in naming.JOB_STEPS:
        job = naming.job_name(prefix, step, 99)
        assert fits(job, "sagemaker", "CreateTrainingJob", "TrainingJobName")
        assert fits(job, "sagemaker", "CreateProcessingJob", "ProcessingJobName")
        assert naming.is_job_of(prefix, job)
    group = naming.package_group(stack, model)
    assert fits(group, "sagemaker", "CreateModelPackageGroup", "ModelPackageGroupName")
    assert fits(naming.schedule_group(stack), "scheduler", "CreateScheduleGroup", "Name")
    for schedule in ("n", "n" * 32):
        assert fits(
            naming.schedule_name(stack, model, schedule), "scheduler", "CreateSchedule", "Name"
        )
    stack_name = naming.model_stack(stack, model)
    # botocore knows no pattern for it; this is the one of the API reference.
    assert re.fullmatch("[a-zA-Z][-a-zA-Z0-9]*", stack_name)
    assert len(stack_name) <= 128
    for kind in naming.MONITOR_KINDS:
        alarm = naming.monitor_alarm(stack, model, kind)
        assert fits(alarm, "cloudwatch", "PutMetricAlarm", "AlarmName")
        assert naming.parse_monitor_alarm(alarm, naming.token(stack)) == (model, kind)
        blind = naming.blind_alarm(stack, model, kind)
        assert fits(blind, "cloudwatch", "PutMetricAlarm", "AlarmName")
        assert naming.parse_monitor_alarm(blind) is None
        for mark_ms in (1_000_000_000_000, 2_800_000_000_000):
            job = naming.monitor_job(stack, model, kind, mark_ms)
            assert fits(job, "sagemaker", "CreateProcessingJob", "ProcessingJobName")
            assert naming.parse_monitor_job(job, naming.token(stack)) == (model, kind)
            assert naming.parse_earlier_job(job, naming.token(stack)) is None
            job = naming.earlier_job(stack, model, mark_ms, 999_999)
            assert fits(job, "sagemaker", "CreateProcessingJob", "ProcessingJobName")
            assert naming.parse_earlier_job(job, naming.token(stack)) == model
            assert naming.parse_monitor_job(job, naming.token(stack)) is None
        look = naming.monitor_schedule(stack, model, kind)
        assert fits(look, "scheduler", "CreateSchedule", "Name")


def test_names_in_words():
    """Short names say what they are."""
    assert naming.token("perennial") == "perennial"
    assert naming.token("dev-perennial") == "dev-perenn"
    assert naming.token("perennial-2") == "perennial"
    assert naming.token("perennial--") == "perennial"
    assert naming.run_prefix("perennial", "census", 12) == "perennial-census-12"
    assert naming.job_name("perennial-census-12", "train", 0) == "perennial-census-12-train-0"
    assert naming.package_group("dev-perennial", "census") == "dev-perenn-census"
    assert naming.schedule_name("perennial", "census", "nightly") == "perennial-census-nightly"
    assert naming.model_stack("dev-perennial", "census") == "dev-perennial-model-census"
    assert naming.monitor_alarm("perennial", "census", "bias") == "perennial-monitor-census-bias"
    assert (
        naming.execution_arn(
            "arn:aws:states:eu-west-1:1:stateMachine:perennial-retrain", "perennial-census-12"
        )
        == "arn:aws:states:eu-west-1:1:execution:perennial-retrain:perennial-census-12"
    )


def test_names_that_are_too_long_are_hashed():
    """All that made them is in the hash."""
    names = {
        naming.run_prefix(stack, model, run)
        for stack in ("dev-perennial", "dev-perennials")
        for model in (LONGEST, "a" * 20)
        for run in (10**9, 10**9 + 1)
    }
    assert len(names) == 8
    assert all(re.fullmatch(r"dev-perenn-[0-9a-f]{16}", name) for name in names)
    exact = naming.run_prefix("dev-perennial", LONGEST, 12345678)
    assert exact == f"dev-perenn-{LONGEST}-12345678"
    assert len(exact) == 40
    assert naming.run_prefix("dev-perennial", LONGEST, 123456789).startswith("dev-perenn-")
    assert len(naming.run_prefix("dev-perennial", LONGEST, 123456789)) == 27
    assert naming.schedule_name("dev-perennial", LONGEST, "n" * 32) == (
        f"dev-perenn-{LONGEST}-{'n' * 32}"
    )
    hashed = naming.schedule_name("dev-perennial", LONGEST, "n" * 33)
    assert re.fullmatch(r"dev-perenn-[0-9a-f]{16}", hashed)


def test_an_unknown_step_has_no_job():
    """A typing mistake is found at once."""
    with pytest.raises(ValueError, match="'tune' is no job step; known are check-data, train, ev"):
        naming.job_name("p", "tune", 0)


@pytest.mark.parametrize(
    "name",
    [
        "perennial-census-12-train-0",
        "perennial-census-1-2-train-0",
        "perennial-census-1-train",
        "perennial-census-1-tune-0",
        "x-perennial-census-1-train-0",
        "perennial-census-1-train-0-x",
    ],
)
def test_jobs_of_other_runs_are_not_mistaken(name):
    """Run 12, and model census-1, are not run 1 of census."""
    assert not naming.is_job_of("perennial-census-1", name)
    assert naming.is_job_of("perennial-census-1", "perennial-census-1-train-10")


def test_a_jobs_kind_is_in_its_name():
    """The step says it; a tuning job has none, whatever stack and model are called."""
    for stack, model in (("perennial", "census"), ("my-train", "x-train-1"), ("p", LONGEST)):
        prefix = naming.run_prefix(stack, model, 3)
        kinds = {
            step: naming.job_kind(naming.job_name(prefix, step, 0)) for step in naming.JOB_STEPS
        }
        assert {step for step, kind in kinds.items() if kind == "training"} == {"train"}
        assert set(kinds.values()) == {"training", "processing"}
        assert naming.job_kind(f"{naming.tuning_prefix(stack, model, 3)}-1") == "tuning"


@pytest.mark.parametrize("name", ["a", "census", "a-1", "a" * 20, "a--b"])
def test_model_names(name):
    """Twenty small letters, digits and inner dashes."""
    assert naming.is_model_name(name)
    assert naming.check_model_name(name) == name
    assert naming.model_of_key(f"incoming/{name}/x") == name


@pytest.mark.parametrize("name", ["", "A", "1a", "-a", "a-", "a" * 21, "a_b", "a.b", "a\n", "ü"])
def test_other_names_are_no_models(name):
    """The refusal says what is allowed."""
    assert not naming.is_model_name(name)
    with pytest.raises(ValueError, match="cannot name a model: it takes a small letter"):
        naming.check_model_name(name)
    assert naming.model_of_key(f"incoming/{name}/x") is None


def test_schedule_names():
    """As models', and digits may come first."""
    assert all(map(naming.is_schedule_name, ["a", "9", "at-3", "n" * 32]))
    assert not any(map(naming.is_schedule_name, ["", "-a", "a-", "A", "n" * 33]))


def test_stacks_that_cannot_live_together():
    """Rules recognise a stack by its token and a dash."""
    assert naming.tokens_collide("dev", "dev")
    assert naming.tokens_collide("dev", "dev-a")
    assert naming.tokens_collide("dev-a", "dev")
    assert not naming.tokens_collide("dev", "dev2")
    assert not naming.tokens_collide("dev", "prod")


def test_alarms_of_monitors():
    """Other alarms, other stacks' and unknown kinds are none."""
    parse = naming.parse_monitor_alarm
    assert parse("dev-monitor-monitor-monitor-bias", "dev") == ("monitor-monitor", "bias")
    assert parse("dev-monitor-census-model-quality", "dev") == ("census", "model-quality")
    assert parse("dev-monitor-census-bias") == ("census", "bias")
    assert parse("dev-monitor-census-bias", "de") is None
    assert parse("dev-monitor-census-other", "dev") is None
    assert parse("dev-monitor-Census-bias", "dev") is None
    assert parse("xdev-monitor-census-bias", "dev") is None
    assert parse("dev-monitor-census-bias-2", "dev") is None
    assert parse("d.v-monitor-census-bias", "d.v") == ("census", "bias")
    assert parse("dev-monitor-census-bias", "d.v") is None


def test_jobs_of_monitors():
    """A job of a run, of another stack or of no known kind is none."""
    parse = naming.parse_monitor_job
    name = naming.monitor_job("perennial", "census", "bias", 1_800_000_000_000)
    assert name == "perennial-monitor-census-bias-mywpiww0"
    assert naming.monitor_job("dev", "a", "bias", 0) == "dev-monitor-a-bias-0"
    assert parse(name, "perennial") == ("census", "bias")
    assert parse(name, "perennia") is None
    assert parse("perennial-monitor-12-check-data-0", "perennial") is None
    assert parse("perennial-monitor-census-other-mywpiww0", "perennial") is None
    other = naming.earlier_job("perennial", "census", 1_800_000_000_000, 7)
    assert other == "perennial-monitor-census-earlier-mywpiww0-7"
    assert naming.parse_earlier_job(other, "perennia") is None
    key = naming.monitoring_base("census", "bias", "2026/11/20/14", 5)
    assert key == "monitoring/census/bias/2026/11/20/14/5"
    assert naming.blind_alarm("perennial", "census", "bias") == "perennial-blind-census-bias"
    assert naming.monitor_schedule("dev", "census", "bias") == "dev-census.bias"


def test_keys():
    """Where things lie in the two buckets."""
    assert naming.landing_prefix("census") == "incoming/census/"
    assert naming.model_of_key("incoming/census/2026/a.csv") == "census"
    assert naming.model_of_key("incoming/census/") is None
    assert naming.model_of_key("incoming/census") is None
    assert naming.model_of_key("xincoming/census/a") is None
    assert naming.code_key("census", "ab") == "code/census/ab.tar.gz"
    assert naming.run_base("census", 12) == "runs/census/12"
    assert naming.models_prefix("census", 12) == "models/census/12"
    assert naming.settings_key("census", 12) == "runs/census/12/settings.json"
    digest = "0123456789abcdef" * 4
    assert naming.manifest_key("census", 12, digest) == (
        "runs/census/12/manifest-0123456789abcdef.json"
    )
