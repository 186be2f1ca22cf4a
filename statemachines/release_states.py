"""The states of the release machine, one function each; `statemachines.release` joins them.

What the release is, its input says (model, number, prefix of names); everything that it sends,
PlanRelease decides once (`perennial.domain.release_plan`), as whole request parts below `$.plan`.
What differs between stacks and Regions comes as `${…}` from the template.
"""

from typing import Any

from statemachines import sdk
from statemachines.blocks import (
    KEY,
    OBJECT_TIMEOUT,
    function,
    output_of,
    processing,
    retry,
    retry_object,
    waits_for_token,
)

# Nothing that SageMaker makes here takes longer to accept; the making itself is waited for.
API_TIMEOUT = 60
#: How long production waits for a person.
APPROVAL_TIMEOUT = 14 * 24 * 3600
PLAN = "$.plan"


def of_release(**more: Any) -> dict[str, Any]:
    """The model and the release's number, which every function asks for, and who asks."""
    return {
        "model": sdk.path("$.model"),
        "release": sdk.path("$.release"),
        "execution": sdk.path("$$.Execution.Id"),
        **more,
    }


def planned(part: str) -> Any:
    """What the plan holds under a name."""
    return sdk.path(f"{PLAN}.{part}")


def retry_sagemaker() -> list[Any]:
    """Through the SDK integration, what SageMaker does not model has one name.

    Throttles are among it, and that a name which was made a moment ago is not known everywhere.
    """
    return [
        retry(
            "SageMaker.SageMakerException",
            "SageMaker.SdkClientException",
            seconds=2,
            attempts=5,
            at_most=60,
        ),
        retry(
            "SageMaker.ResourceLimitExceededException",
            "SageMaker.ResourceLimitExceeded",
            seconds=60,
            attempts=5,
            at_most=900,
        ),
    ]


def sagemaker(state: str, action: str, parameters: dict[str, Any], **more: Any) -> Any:
    """A call of SageMaker's API by the SDK integration, which takes every member there is."""
    return sdk.Task(
        state,
        resource=f"arn:${{AwsPartition}}:states:::aws-sdk:sagemaker:{action}",
        parameters=parameters,
        **{"result_path": None, **more},
        timeout_seconds=API_TIMEOUT,
        retry=retry_sagemaker(),
    )


def plan_release() -> Any:
    """May this version still go out, over which champion, and with which requests?"""
    return function("PlanRelease", parameters=of_release(), result_path=PLAN)


def evaluate_champion() -> Any:
    """Score the present champion on the candidate's holdout, by its own code and settings."""
    return processing(
        "EvaluateChampion",
        "evaluate_champion",
        inputs={
            "code": planned("champion.code"),
            "settings": planned("champion.settings_uri"),
            "model": planned("champion.artifact"),
            "holdout": output_of("check_data", "holdout"),
            "check": output_of("check_data", "check"),
        },
        outputs=("evaluation:champion",),
        root=PLAN,
    )


def compare() -> Any:
    """Candidate against the present champion, row by row of the candidate's holdout."""
    return processing(
        "Compare",
        "compare",
        inputs={
            "code": planned("code"),
            "settings": planned("candidate.settings_uri"),
            "evaluation": output_of("evaluate", "evaluation"),
            "holdout": output_of("check_data", "holdout"),
            "champion": output_of("evaluate_champion", "champion"),
        },
        outputs=("comparison",),
        root=PLAN,
    )


def judge_release() -> Any:
    """Does the candidate still win, against the champion that there is now?"""
    return function("JudgeRelease", parameters=of_release(), result_path="$.judged")


def create_model(state: str, network: dict[str, Any]) -> Any:
    """The approved version's artifact, code and server under one name."""
    return sagemaker(
        state,
        "createModel",
        {
            "ModelName": planned("names.config"),
            "PrimaryContainer": planned("container"),
            "ExecutionRoleArn": "${EndpointRoleArn}",
            "EnableNetworkIsolation": planned("network.isolated"),
            "Tags": planned("tags"),
            **network,
        },
    )


def share_model() -> Any:
    """The version's archive put where the shared endpoint finds it, and that endpoint made."""
    return function(
        "ShareModel", parameters=of_release(container=planned("container")), result_path=None
    )


def create_staging_config() -> Any:
    """One instance of the new model, that only the smoke test talks to."""
    return sagemaker(
        "CreateStagingConfig",
        "createEndpointConfig",
        {
            "EndpointConfigName": planned("names.staging_config"),
            "ProductionVariants": planned("staging_variants"),
            "KmsKeyId": KEY,
            "Tags": planned("tags"),
        },
    )


def create_staging() -> Any:
    """The staging endpoint."""
    return sagemaker(
        "CreateStaging",
        "createEndpoint",
        {
            "EndpointName": planned("names.staging"),
            "EndpointConfigName": planned("names.staging_config"),
            "Tags": planned("tags"),
        },
    )


def describe(state: str, name: str, result_path: str) -> Any:
    """What an endpoint is like now."""
    return sagemaker(
        state,
        "describeEndpoint",
        {"EndpointName": planned(f"names.{name}")},
        result_selector={"status.$": "$.EndpointStatus", "described.$": "States.JsonToString($)"},
        result_path=result_path,
    )


def smoke_test() -> Any:
    """Replay holdout rows and captured requests at the staging endpoint; fails closed."""
    return processing(
        "SmokeTest",
        "smoke_test",
        inputs={
            "code": planned("smoke_test.code"),
            "settings": planned("smoke_test.settings"),
            "target": planned("smoke_test.target"),
            "holdout": output_of("check_data", "holdout"),
            "evaluation": output_of("evaluate", "evaluation"),
        },
        outputs=("smoke_test:smoke-test",),
        root=PLAN,
        role="${SmokeTestRoleArn}",
    )


def read_smoke_test() -> Any:
    """What the smoke test found; a few short texts."""
    return sdk.Task(
        "ReadSmokeTest",
        resource="arn:${AwsPartition}:states:::aws-sdk:s3:getObject",
        parameters={"Bucket": "${ArtifactBucket}", "Key": planned("smoke_test.result_key")},
        result_selector={"found.$": "States.StringToJson($.Body)"},
        result_path="$.smoke_test",
        timeout_seconds=OBJECT_TIMEOUT,
        retry=retry_object(),
    )


def remove_staging() -> Any:
    """The staging endpoint has done its work, and costs by the hour."""
    return sagemaker("RemoveStaging", "deleteEndpoint", {"EndpointName": planned("names.staging")})


def await_approval() -> Any:
    """Ask a person, and wait for the answer."""
    return waits_for_token(
        "AwaitApproval",
        parameters=of_release(token=sdk.path("$$.Task.Token")),
        result_path="$.approval",
        timeout_seconds=APPROVAL_TIMEOUT,
    )


def create_endpoint_config(state: str, capture: dict[str, Any]) -> Any:
    """What production is asked to become; requests are captured as the settings say."""
    return sagemaker(
        state,
        "createEndpointConfig",
        {
            "EndpointConfigName": planned("names.config"),
            "ProductionVariants": planned("variants"),
            "KmsKeyId": KEY,
            "Tags": planned("tags"),
            **capture,
        },
    )


def guard_endpoint() -> Any:
    """Alarms that look at the new fleet alone; they end the deployment if it is slow or fails."""
    return function("GuardEndpoint", parameters=of_release(), result_path=None)


def check_release() -> Any:
    """The last look before production changes: is all as it was planned?"""
    return function("CheckRelease", parameters=of_release(), result_path="$.ready")


def create_endpoint() -> Any:
    """The model's first endpoint, or a second one that traffic moves to."""
    return sagemaker(
        "CreateEndpoint",
        "createEndpoint",
        {
            "EndpointName": planned("names.endpoint"),
            "EndpointConfigName": planned("names.config"),
            "Tags": planned("tags"),
        },
    )


def update_endpoint() -> Any:
    """A new fleet beside the old one; traffic moves by the strategy, and back by an alarm.

    Only with RetainAllVariantProperties a scaled fleet does not shrink to what the config says,
    and only without it a count that the settings have changed comes into force.
    """
    return sagemaker(
        "UpdateEndpoint",
        "updateEndpoint",
        {
            "EndpointName": planned("names.endpoint"),
            "EndpointConfigName": planned("names.config"),
            "RetainAllVariantProperties": sdk.path("$.ready.keeps_counts"),
            "DeploymentConfig": planned("deployment"),
        },
    )


def shift_traffic() -> Any:
    """The next share of the requests goes to the new endpoint; `predict` divides them."""
    asked = of_release(step=planned("traffic.step"))
    return function("ShiftTraffic", parameters=asked, result_path=f"{PLAN}.traffic")


def watch_traffic() -> Any:
    """Does the new endpoint do harm? Then its requests are taken away at once."""
    asked = of_release(step=planned("traffic.step"), looks=planned("traffic.looks"))
    return function("WatchTraffic", parameters=asked, result_path=f"{PLAN}.traffic")


def confirm_release() -> Any:
    """Compare what is live with what was asked for, record it, and remove what is left over."""
    return function("ConfirmRelease", parameters=of_release(), result_path="$.confirmed")
