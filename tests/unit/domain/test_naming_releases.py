"""Names of releases keep the limits of their services, and tell whose they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain import naming

from tests.unit.domain.test_naming import LONGEST, STACK, fits

MODELS = st.from_regex(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?", fullmatch=True)


@pytest.mark.parametrize("stack", [STACK, "p"])
@pytest.mark.parametrize("model", [LONGEST, "m"])
@pytest.mark.parametrize("release", [1, 999_999, 10**9])
def test_the_longest_names_are_valid(stack: str, model: str, release: int) -> None:
    """Endpoints, configs, models and jobs 63, executions 80, alarms 255: as botocore says."""
    prefix = naming.release_prefix(stack, model, release)
    assert len(prefix) <= 40
    assert fits(prefix, "stepfunctions", "StartExecution", "name")
    assert fits(prefix, "sagemaker", "CreateModel", "ModelName")
    for config in (prefix, naming.staging_config(prefix)):
        assert fits(config, "sagemaker", "CreateEndpointConfig", "EndpointConfigName")
    for name in (naming.live_endpoint, naming.next_endpoint, naming.staging_endpoint):
        endpoint = name(stack, model)
        assert fits(endpoint, "sagemaker", "CreateEndpoint", "EndpointName")
    for step in naming.RELEASE_STEPS:
        job = naming.release_job(prefix, step, 99)
        assert fits(job, "sagemaker", "CreateProcessingJob", "ProcessingJobName")
        assert naming.is_release_job_of(prefix, job)
        assert not naming.is_job_of(naming.run_prefix(stack, model, release), job)
    for kind in naming.GUARD_KINDS:
        alarm = naming.guard_alarm(stack, model, release, kind)
        assert fits(alarm, "cloudwatch", "PutMetricAlarm", "AlarmName")
        assert naming.is_guard_of(stack, model, alarm)


def test_production_has_two_names_taken_in_turn() -> None:
    """Traffic moves from the one to the other and back; with nothing live, to the first one."""
    one, other = "perennial-live-census", "perennial-next-census"
    assert naming.other_slot("perennial", "census", one) == other
    assert naming.other_slot("perennial", "census", other) == one
    assert naming.other_slot("perennial", "census", "") == one


def test_names_in_words() -> None:
    """They say what they are."""
    assert naming.live_endpoint("dev-perennial", "census") == "dev-perenn-live-census"
    assert naming.staging_endpoint("dev-perennial", "census") == "dev-perenn-staging-census"
    prefix = naming.release_prefix("perennial", "census", 3)
    assert prefix == "perennial-census-r3"
    assert naming.staging_config(prefix) == "perennial-census-r3-staging"
    assert naming.release_job(prefix, "smoke-test", 1) == "perennial-census-r3-smoke-test-1"
    assert (
        naming.guard_alarm("perennial", "census", 3, "errors") == "perennial-guard-census-r3-errors"
    )
    assert naming.release_base("census", 3) == "releases/census/3"


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("perennial-census-r3", 3),
        ("perennial-census-r12-staging", 12),
        ("perennial-census-3", None),
        ("perennial-census-r3-r4", None),
        ("perennial-census-1-r3", None),
        ("perennial-census-r03", None),
        ("other-census-r3", None),
    ],
)
def test_a_name_tells_its_release(name: str, release: int | None) -> None:
    """Removing a model's configs takes none of a model whose name begins alike."""
    assert naming.release_of_name("perennial", "census", name) == release


def test_unknown_steps_and_guards_are_refused() -> None:
    """A misspelt name would be found by no rule and no role."""
    with pytest.raises(ValueError, match="'train' is no job of a release"):
        naming.release_job("p-census-r1", "train", 0)
    with pytest.raises(ValueError, match="'cpu' is no guard"):
        naming.guard_alarm("p", "census", 1, "cpu")


@given(one=MODELS, other=MODELS, release=st.integers(1, 10**6))
def test_no_model_takes_anothers_names(one: str, other: str, release: int) -> None:
    """Neither configs nor alarms of one model are another's."""
    if one == other:
        return
    name = naming.release_prefix("perennial", one, release)
    assert naming.release_of_name("perennial", other, name) is None
    alarm = naming.guard_alarm("perennial", one, release, "latency")
    assert not naming.is_guard_of("perennial", other, alarm)
