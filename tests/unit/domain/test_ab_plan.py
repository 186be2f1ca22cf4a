"""What an A/B test asks of AWS, against AWS's own description of each request."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from perennial.domain import ab_plan, naming, release_plan
from perennial.domain.errors import NotAllowed
from perennial.domain.settings import Guard

from tests.statemachines.aws_api import mistakes
from tests.unit.domain.test_release_plan import LONGEST_MODEL, LONGEST_STACK, REGISTERED, SUBJECT

TEST = replace(SUBJECT, release=2, config="perennial-census-ab2", tags=(("team", "x"),))
MODEL = {
    "ModelName": "perennial-census-r3",
    "PrimaryContainer": {"Image": "i", "Mode": "SingleModel"},
    "ExecutionRoleArn": "arn:aws:iam::111122223333:role/endpoint",
    "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
    "EnableNetworkIsolation": False,
    "CreationTime": "yesterday",
}
MAIN = {
    "VariantName": "main",
    "ModelName": "perennial-census-r3",
    "InstanceType": "ml.m5.large",
    "InitialInstanceCount": 3,
    "InitialVariantWeight": 1.0,
    "ContainerStartupHealthCheckTimeoutInSeconds": 600,
}
CONFIG: dict[str, Any] = {
    "EndpointConfigName": "perennial-census-r3",
    "ProductionVariants": [MAIN],
    "DataCaptureConfig": release_plan.capture(SUBJECT, 1.0),
    "KmsKeyId": "alias/ml",
    "EndpointConfigArn": "arn",
    "CreationTime": "yesterday",
}


def test_the_challenger_joins_beside_main_at_weight_0() -> None:
    """Main's variant as it is; the challenger differs in name, model and weight alone."""
    request = ab_plan.config_request(TEST, CONFIG, "perennial-census-r3", None)
    assert mistakes("sagemaker", "createEndpointConfig", request) == []
    main, challenger = request["ProductionVariants"]
    assert main == MAIN
    assert challenger == {
        **MAIN,
        "VariantName": "challenger",
        "ModelName": "perennial-census-ab2",
        "InitialVariantWeight": 0.0,
    }
    assert request["DataCaptureConfig"] == CONFIG["DataCaptureConfig"]
    assert (request["KmsKeyId"], "VpcConfig" in request) == ("alias/ml", False)
    fewer = ab_plan.config_request(TEST, CONFIG, "perennial-census-r3", 1)
    assert [v["InitialInstanceCount"] for v in fewer["ProductionVariants"]] == [3, 1]


def test_the_challengers_model_is_made_after_mains() -> None:
    """Role and network are main's; the container is the version's own."""
    container = release_plan.container(TEST, REGISTERED)
    request = ab_plan.model_request(TEST, MODEL, container)
    assert mistakes("sagemaker", "createModel", request) == []
    assert (request["ModelName"], request["PrimaryContainer"]) == (TEST.config, container)
    assert (request["ExecutionRoleArn"], request["VpcConfig"]) == (
        MODEL["ExecutionRoleArn"],
        MODEL["VpcConfig"],
    )
    assert {"Key": "perennial:ab", "Value": "2"} in request["Tags"]
    assert {"Key": "team", "Value": "x"} in request["Tags"]
    assert not any(each["Key"] == "perennial:release" for each in request["Tags"])


def test_the_alarms_watch_the_challenger_alone() -> None:
    """Under its own variant and configuration, by the release's guards."""
    guard = Guard(errors=0.02, latency_p99=300.0)
    errors, latency = ab_plan.alarms(TEST, guard)
    for request in (errors, latency):
        assert mistakes("cloudwatch", "putMetricAlarm", request) == []
        assert {each["Name"]: each["Value"] for each in request["Dimensions"]} == {
            "EndpointName": "perennial-live-census",
            "VariantName": "challenger",
            "EndpointConfigName": "perennial-census-ab2",
        }
    assert (errors["AlarmName"], latency["AlarmName"]) == ab_plan.alarm_names(
        "perennial", "census", 2
    )
    assert errors["AlarmDescription"] == (
        "census 7 as challenger of A/B test 2: more than 2% of the requests failed. It gets no "
        "traffic any more."
    )
    (only,) = ab_plan.alarms(TEST, Guard(latency_p99=None))
    assert only["AlarmName"] == "perennial-guard-census-ab2-errors"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"ProductionVariants": [{**MAIN, "VariantName": "AllTraffic"}]}, "begins with main alone"),
        ({"ProductionVariants": [MAIN, {**MAIN, "VariantName": "b"}]}, "has the variants main, b"),
        ({"ProductionVariants": [{**MAIN, "ServerlessConfig": {"x": 1}}]}, "serverless endpoint"),
        ({"ProductionVariants": [{**MAIN, "ManagedInstanceScaling": {"x": 1}}]}, "managed scaling"),
        ({**CONFIG, "ShadowProductionVariants": [MAIN]}, "has ShadowProductionVariants"),
        ({**CONFIG, "AsyncInferenceConfig": {"x": 1}}, "has AsyncInferenceConfig"),
    ],
)
def test_endpoints_that_take_no_second_variant(config: Any, words: str) -> None:
    """Refused by name, before anything is made."""
    with pytest.raises(NotAllowed, match=words):
        ab_plan.config_request(TEST, config, "c", None)


def test_a_server_of_many_models_takes_no_challenger() -> None:
    """It has one variant by AWS's rules."""
    many = {**MODEL, "PrimaryContainer": {"Mode": "MultiModel"}}
    with pytest.raises(NotAllowed, match="serves many models"):
        ab_plan.model_request(TEST, many, {})


def test_names_of_a_test_are_told_from_all_others() -> None:
    """They fit AWS's patterns; a model called like a test of another is not taken for it."""
    config = naming.ab_config(LONGEST_STACK, LONGEST_MODEL, 99_999)
    named = {"ModelName": config, "ExecutionRoleArn": MODEL["ExecutionRoleArn"]}
    assert mistakes("sagemaker", "createModel", named) == []
    assert len(config) <= 63
    assert naming.ab_of_name(LONGEST_STACK, LONGEST_MODEL, config) == 99_999
    assert naming.ab_of_name("perennial", "census", "perennial-census-ab1") == 1
    for other in ("perennial-census-r1", "perennial-census-ab0", "perennial-census-ab1-r1"):
        assert naming.ab_of_name("perennial", "census", other) is None
    assert naming.release_of_name("perennial", "census", "perennial-census-ab1") is None
    alarm = naming.ab_alarm("perennial", "census", 12, "errors")
    assert naming.parse_ab_alarm(alarm, "perennial") == ("census", 12)
    assert naming.parse_ab_alarm(alarm, "other") is None
    assert naming.parse_ab_alarm("perennial-guard-census-r12-errors", "perennial") is None
    assert not naming.is_guard_of("perennial", "census", alarm)
    twisted = naming.guard_alarm("perennial", "census-ab1", 2, "errors")
    assert naming.parse_ab_alarm(twisted, "perennial") is None
    with pytest.raises(ValueError, match="is no guard"):
        naming.ab_alarm("perennial", "census", 1, "cost")
