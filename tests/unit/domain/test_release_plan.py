"""What a release asks of AWS, against AWS's own description of each request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain import release_plan
from perennial.domain.settings import Endpoint, Guard, Release
from perennial.domain.settings_release import STRATEGIES

from tests.statemachines.aws_api import mistakes

LONGEST_STACK, LONGEST_MODEL = "prod-perennial-with-a-long-name", "m" * 20
KEY = "arn:aws:kms:eu-west-1:111122223333:key/0a"
SUBJECT = release_plan.Subject(
    stack="perennial",
    model="census",
    release=3,
    version=7,
    config="perennial-census-r3",
    bucket="artifacts",
)
REGISTERED = {
    "Image": "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3",
    "ModelDataUrl": "s3://artifacts/models/census/12/x/output/model.tar.gz",
    "Environment": {
        "PERENNIAL_CODE": "s3://artifacts/code/census/c.tar.gz",
        "PERENNIAL_CODE_SHA256": "c" * 64,
        "PERENNIAL_MODEL_SHA256": "d" * 64,
    },
}
releases = st.builds(
    Release,
    endpoint=st.just(Endpoint()),
    strategy=st.sampled_from(STRATEGIES),
    share=st.integers(10, 50).map(lambda percent: percent / 100),
    bake=st.integers(0, 3600),
    guard=st.builds(
        Guard,
        errors=st.sampled_from([0.001, 0.01, 1.0]),
        latency_p99=st.none() | st.sampled_from([1.0, 500.0, 60_000.0]),
    ),
)


def update(release: Release, subject: release_plan.Subject = SUBJECT) -> dict[str, Any]:
    """A whole UpdateEndpoint request."""
    return {
        "EndpointName": subject.endpoint,
        "EndpointConfigName": subject.config,
        "RetainAllVariantProperties": True,
        "DeploymentConfig": release_plan.deployment(subject, release),
    }


@given(releases)
def test_aws_takes_every_deployment_that_ends_in_time(release: Release) -> None:
    """Whatever the strategy: enums, limits and required members hold, or the figure is refused."""
    try:
        request = update(release)
    except ValueError:
        assert release_plan.waits(release) > 28_000
        return
    assert mistakes("sagemaker", "updateEndpoint", request) == []
    policy = request["DeploymentConfig"]["BlueGreenUpdatePolicy"]
    assert policy["MaximumExecutionTimeoutInSeconds"] > release_plan.waits(release)


@pytest.mark.parametrize(
    ("strategy", "routing", "waits"),
    [
        (
            "canary",
            {"Type": "CANARY", "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 20}},
            (600, 1200),
        ),
        (
            "linear",
            {"Type": "LINEAR", "LinearStepSize": {"Type": "CAPACITY_PERCENT", "Value": 20}},
            (600, 3000),
        ),
        ("all-at-once", {"Type": "ALL_AT_ONCE"}, (0, 600)),
    ],
)
def test_traffic_moves_as_the_settings_say(
    strategy: Any, routing: dict[str, Any], waits: tuple[int, int]
) -> None:
    """Each step is watched for a bake, and the old fleet is kept for one more."""
    release = Release(endpoint=Endpoint(), strategy=strategy, share=0.2, bake=600)
    policy = release_plan.deployment(SUBJECT, release)["BlueGreenUpdatePolicy"]
    assert policy["TrafficRoutingConfiguration"] == {"WaitIntervalInSeconds": waits[0], **routing}
    assert policy["TerminationWaitInSeconds"] == 600
    assert release_plan.waits(release) == waits[1]


def test_a_deployment_that_would_take_too_long_is_refused_with_its_figure() -> None:
    """Ten steps of an hour are more than SageMaker allows; the words say what to change."""
    release = Release(endpoint=Endpoint(), strategy="linear", share=0.1, bake=3600)
    with pytest.raises(
        ValueError, match=r"waits 36,000 s .* 28,800 s; take a larger share or a shorter bake"
    ):
        release_plan.deployment(SUBJECT, release)


def test_the_deployment_is_guarded_by_just_the_alarms_that_are_put() -> None:
    """An alarm that is not there refuses the update; one that is not named guards nothing."""
    for guard in (Guard(), Guard(errors=None), Guard(latency_p99=None)):
        config = release_plan.deployment(SUBJECT, Release(endpoint=Endpoint(), guard=guard))
        named = [a["AlarmName"] for a in config["AutoRollbackConfiguration"]["Alarms"]]
        assert named == [a["AlarmName"] for a in release_plan.alarms(SUBJECT, guard)] != []


def test_alarms_look_at_the_new_fleet_alone() -> None:
    """Both fleets serve one endpoint; only the configuration's name tells them apart."""
    errors, latency = release_plan.alarms(SUBJECT, Guard(errors=0.02, latency_p99=500.0))
    for alarm in (errors, latency):
        assert mistakes("cloudwatch", "putMetricAlarm", alarm) == []
        assert {d["Name"]: d["Value"] for d in alarm["Dimensions"]} == {
            "EndpointName": "perennial-live-census",
            "VariantName": "main",
            "EndpointConfigName": "perennial-census-r3",
        }
        assert (alarm["Namespace"], alarm["TreatMissingData"]) == ("AWS/SageMaker", "notBreaching")
        assert (alarm["Period"], alarm["EvaluationPeriods"]) == (60, 2)
    assert (errors["MetricName"], errors["Statistic"], errors["Threshold"]) == (
        *("Invocation5XXErrors", "Average"),
        0.02,
    )
    # CloudWatch has the model's latency in microseconds.
    assert (latency["MetricName"], latency["ExtendedStatistic"], latency["Threshold"]) == (
        *("ModelLatency", "p99"),
        500_000,
    )
    assert "p99 of the model's latency passed 500 ms" in latency["AlarmDescription"]


def test_alarms_look_at_the_new_endpoint_where_traffic_moves() -> None:
    """A serverless endpoint has no figures by its configuration's name."""
    place = "perennial-next-census"
    moved = replace(SUBJECT, place=place, moves=True)
    assert release_plan.names(moved)["endpoint"] == place
    for alarm in release_plan.alarms(moved, Guard()):
        assert mistakes("cloudwatch", "putMetricAlarm", alarm) == []
        assert {d["Name"]: d["Value"] for d in alarm["Dimensions"]} == {
            "EndpointName": place,
            "VariantName": "main",
        }


def test_alarms_look_at_our_own_figures_where_models_share_an_endpoint() -> None:
    """SageMaker's are of all models together; ours are of what this release brings."""
    shared = replace(SUBJECT, place="perennial-shared", moves=True, is_shared=True)
    errors, latency = release_plan.alarms(shared, Guard(errors=0.02, latency_p99=500.0))
    for alarm in (errors, latency):
        assert mistakes("cloudwatch", "putMetricAlarm", alarm) == []
        dimensions = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
        assert dimensions == {"stack": "perennial", "model": "census", "release": "3"}
        assert alarm["Namespace"] == "Perennial"
    assert (errors["MetricName"], errors["Statistic"]) == ("BadAnswers", "Average")
    assert (latency["MetricName"], latency["ExtendedStatistic"], latency["Threshold"]) == (
        *("AnswerMilliseconds", "p99"),
        500.0,
    )


def test_a_version_is_tested_on_the_endpoint_that_it_shares() -> None:
    """As a target of it; else on an endpoint of the release's own."""
    shared = replace(SUBJECT, place="perennial-shared", moves=True, is_shared=True)
    assert release_plan.names(shared)["staging"] == "perennial-shared"
    assert shared.target == "census/perennial-census-r3.tar.gz"
    assert (release_plan.names(SUBJECT)["staging"], SUBJECT.target) == (
        *("perennial-staging-census",),
        "",
    )
    assert release_plan.variants("m", Endpoint("multi-model"), count=2) == []


def test_a_serverless_variant_has_a_size_and_no_machines() -> None:
    """However many instances are asked for, and whatever a machine's limits are."""
    endpoint = Endpoint("serverless", memory_mb=6144, concurrency=200)
    variants = release_plan.variants("m", endpoint, count=2)
    assert variants == [
        {
            "VariantName": "main",
            "ModelName": "m",
            "ServerlessConfig": {"MemorySizeInMB": 6144, "MaxConcurrency": 200},
        }
    ]
    request = {"EndpointConfigName": "c", "ProductionVariants": variants}
    assert mistakes("sagemaker", "createEndpointConfig", request) == []


def test_an_alarm_goes_off_within_one_bake() -> None:
    """The default bake is longer than the default alarms need."""
    release = Release(endpoint=Endpoint())
    for alarm in release_plan.alarms(SUBJECT, release.guard):
        assert release.bake > alarm["Period"] * alarm["EvaluationPeriods"]


def test_aws_takes_the_longest_names_and_the_most_tags() -> None:
    """Models, configurations and endpoints of a stack with the longest names."""
    subject = replace(
        SUBJECT,
        stack=LONGEST_STACK,
        model=LONGEST_MODEL,
        release=999_999,
        config="prod-peren-" + "0" * 16,
        key=KEY,
        tags=tuple((f"team-{n}", "x" * 256) for n in range(40)),
    )
    names = release_plan.names(subject)
    tags = release_plan.tags(subject)
    variants = release_plan.variants(subject.config, Endpoint(count=100), count=100)
    requests = {
        "createModel": {
            "ModelName": names["config"],
            "PrimaryContainer": release_plan.container(subject, REGISTERED),
            "ExecutionRoleArn": "arn:aws:iam::111122223333:role/endpoint",
            "Tags": tags,
        },
        "createEndpointConfig": {
            "EndpointConfigName": names["staging_config"],
            "ProductionVariants": variants,
            "DataCaptureConfig": release_plan.capture(subject, 0.5),
            "KmsKeyId": KEY,
            "Tags": tags,
        },
        "createEndpoint": {
            "EndpointName": names["staging"],
            "EndpointConfigName": names["staging_config"],
            "Tags": tags,
        },
        "updateEndpoint": update(Release(endpoint=Endpoint()), subject),
    }
    for operation, request in requests.items():
        assert mistakes("sagemaker", operation, request) == [], operation


def test_the_server_is_told_what_it_serves() -> None:
    """What the package says of digests goes along; the program and the names are ours."""
    container = release_plan.container(SUBJECT, REGISTERED)
    assert container["Environment"] == {
        **REGISTERED["Environment"],  # type: ignore[dict-item]  # a mapping of texts
        "SAGEMAKER_PROGRAM": "serve.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": "s3://artifacts/code/census/c.tar.gz",
        "PERENNIAL_MODEL_NAME": "census",
        "PERENNIAL_VERSION": "7",
    }
    with pytest.raises(KeyError, match="PERENNIAL_CODE"):
        release_plan.container(SUBJECT, {**REGISTERED, "Environment": {}})


@pytest.mark.parametrize(("share", "enabled", "percent"), [(1.0, True, 100), (0.0, False, 0)])
def test_capture_lies_where_labelled_traffic_is_read(
    share: float, enabled: bool, percent: int
) -> None:
    """Below the model's own prefix; none of the requests is no capture at all."""
    config = release_plan.capture(SUBJECT, share)
    assert config["DestinationS3Uri"] == "s3://artifacts/capture/census"
    assert (config["EnableCapture"], config["InitialSamplingPercentage"]) == (enabled, percent)
    assert "KmsKeyId" not in config
    assert release_plan.capture(replace(SUBJECT, key=KEY), share)["KmsKeyId"] == KEY
