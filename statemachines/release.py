"""The release machine: an approved version goes to production, or production stays as it was.

Each function below makes one state. What the release is, its input says (model, number, prefix of
names); everything that it sends, PlanRelease decides once (`perennial.domain.release_plan`), as
whole request parts below `$.plan`. What differs between stacks and Regions comes as `${…}` from
the template. No state here records how the release ended: that is told from the endpoint itself,
by ConfirmRelease and, whatever became of the execution, by `on_release_ended`.

SageMaker moves traffic within an endpoint of instances, under guard. Everything else goes to a
second endpoint, and ShiftTraffic and WatchTraffic do what a guarded update does.
"""

from typing import Any

from perennial.domain import errors
from perennial.domain.ledger.moves import LOOK_SECONDS

from statemachines import sdk
from statemachines.blocks import (
    KEY,
    OBJECT_TIMEOUT,
    catch,
    failed,
    function,
    is_true,
    not_claimed,
    output_of,
    processing,
    retry,
    retry_object,
    waits_for_token,
)

# What SageMaker takes for an endpoint's whole update, at most, twice (staging, production), four
# jobs, a fortnight for a person, and a day.
RELEASE_TIMEOUT = 40 * 24 * 3600
# Nothing that SageMaker makes here takes longer to accept; the making itself is waited for.
API_TIMEOUT = 60
# How often an endpoint that changes is looked at. Steps of a deployment are minutes long.
LOOK_EVERY = 20
#: How long production waits for a person.
APPROVAL_TIMEOUT = 14 * 24 * 3600
CHANGING = ("Creating", "Updating", "RollingBack", "SystemUpdating")
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


def choose(state: str, otherwise: Any, *ways: tuple[Any, Any]) -> Any:
    """A Choice: the first rule that holds, else `otherwise`."""
    choice = sdk.Choice(state)
    for rule, target in ways:
        choice.add_choice(rule, target)
    choice.default_choice(otherwise)
    return choice


def is_changing(status: str) -> Any:
    """A rule of a Choice: the endpoint is on its way to another state by itself."""
    return sdk.ChoiceRule.Or([sdk.ChoiceRule.StringEquals(status, each) for each in CHANGING])


def ends(state: str, cause_path: str, comment: str) -> Any:
    """An end without success, called as it is named."""
    return sdk.Fail(state, comment=comment, error=state, cause_path=cause_path)


def judged_again(go_on: Any) -> tuple[Any, list[Any]]:
    """Candidate and champion once more, for the champion has changed since the verdict."""
    evaluated, compared, judged = evaluate_champion(), compare(), judge_release()
    sdk.Chain([evaluated, compared, judged, go_on])
    return evaluated, [evaluated, compared, judged]


def staged(go_on: Any) -> tuple[Any, list[Any]]:
    """The new model on an endpoint of its own, tested there."""
    config, create = create_staging_config(), create_staging()
    wait = sdk.Wait("WaitForStaging", seconds=LOOK_EVERY)
    look, test, read = (
        describe("DescribeStaging", "staging", "$.staging"),
        smoke_test(),
        read_smoke_test(),
    )
    removed = remove_staging()
    unfit = ends(
        "StagingFailed", "$.staging.described", "The new model could not be served at all."
    )
    poor = ends(
        "SmokeTestNotPassed", "$.smoke_test.found.words", "It is served, but not as it should."
    )
    ready = choose(
        "StagingReady",
        unfit,
        (sdk.ChoiceRule.StringEquals("$.staging.status", "InService"), test),
        (is_changing("$.staging.status"), wait),
    )
    sdk.Chain([config, create, wait, look, ready])
    passed = choose("SmokeTestPassed", poor, (is_true("$.smoke_test.found.passed"), removed))
    sdk.Chain([test, read, passed])
    removed.next(go_on)
    return config, [config, create, look, test, read, removed]


def moved(confirm: Any) -> tuple[Any, list[Any]]:
    """Requests go over to the new endpoint share by share, until all have, or none has any more."""
    shift, watch = shift_traffic(), watch_traffic()
    wait = sdk.Wait("WaitForTraffic", seconds=LOOK_SECONDS)
    sdk.Chain([shift, wait, watch])
    watch.next(
        choose(
            "TrafficMoved",
            confirm,
            (sdk.ChoiceRule.StringEquals(f"{PLAN}.traffic.next", "wait"), wait),
            (sdk.ChoiceRule.StringEquals(f"{PLAN}.traffic.next", "shift"), shift),
        )
    )
    return shift, [shift, watch]


def deployed() -> tuple[Any, list[Any]]:
    """Production asked to change under guard, watched, and confirmed."""
    guard, check = guard_endpoint(), check_release()
    create, update = create_endpoint(), update_endpoint()
    wait = sdk.Wait("WaitForEndpoint", seconds=LOOK_EVERY)
    look, confirm = describe("DescribeEndpoint", "endpoint", "$.endpoint"), confirm_release()
    shift, moving = moved(confirm)
    sdk.Chain([guard, check, choose("EndpointExists", create, (is_true("$.ready.exists"), update))])
    for change in (create, update):
        change.next(wait)
    serves = sdk.ChoiceRule.StringEquals("$.endpoint.status", "InService")
    settled = choose(
        "EndpointSettled",
        confirm,
        (is_changing("$.endpoint.status"), wait),
        (sdk.ChoiceRule.And([is_true(f"{PLAN}.moves"), serves]), shift),
    )
    sdk.Chain([wait, look, settled])
    live = sdk.Succeed("Released")
    rolled_back = ends("RolledBack", "$.confirmed.words", "Production is as it was before.")
    confirm.next(
        choose(
            "IsLive",
            ends("NotReleased", "$.confirmed.words", "Something else is live, or nothing."),
            (sdk.ChoiceRule.StringEquals("$.confirmed.outcome", "released"), live),
            (sdk.ChoiceRule.StringEquals("$.confirmed.outcome", "rolled_back"), rolled_back),
        )
    )
    return guard, [guard, check, *moving, confirm, create, update, look]


def build() -> Any:
    """The machine as Amazon States Language."""
    unclaimed = not_claimed()
    withdrawn = ends("Withdrawn", "$.failure.Cause", "The version is not approved any more.")
    stale = ends("Stale", "$.failure.Cause", "It does not win against the present champion.")
    not_approved = sdk.Fail(
        "NotApproved",
        error="NotApproved",
        cause="nobody approved this release for production within 14 days; production is as it was",
    )
    guard, deploying = deployed()
    configs = (
        create_endpoint_config("CreateEndpointConfig", {"DataCaptureConfig": planned("capture")}),
        create_endpoint_config("CreateUncapturedConfig", {}),
    )
    for state in configs:
        state.next(guard)
    config = choose("IsCaptured", configs[1], (is_true(f"{PLAN}.captures"), configs[0]))
    waiting = await_approval()
    waiting.next(config)
    asks = choose("NeedsAPerson", config, (is_true(f"{PLAN}.waits_for_person"), waiting))
    stage, staging = staged(asks)
    model = create_model("CreateModel", {})
    in_vpc = create_model("CreateModelInVpc", {"VpcConfig": planned("network.vpc")})
    for state in (model, in_vpc):
        state.next(stage)
    where = choose(
        "WhereItRuns", model, (sdk.ChoiceRule.IsPresent(f"{PLAN}.network.vpc", value=True), in_vpc)
    )
    again, judging = judged_again(where)
    plan = plan_release()
    needed = choose(
        "WhatIsNew",
        where,
        (is_true(f"{PLAN}.is_deployed_before"), guard),
        (is_true(f"{PLAN}.judge_again"), again),
    )
    sdk.Chain([plan, needed])

    functions = (plan, judging[-1], waiting, *deploying[:5])
    for state in functions:
        state.add_catch(catch(unclaimed, errors.NotClaimed.__name__))
    for state in (plan, waiting, deploying[1]):
        state.add_catch(catch(withdrawn, errors.Withdrawn.__name__))
    for state in (plan, judging[-1]):
        state.add_catch(catch(stale, errors.Stale.__name__))
    waiting.add_catch(catch(not_approved, "States.Timeout"))
    model_failed = failed("CreateModel")
    for state in (model, in_vpc):
        state.add_catch(catch(model_failed))
    config_failed = failed("CreateEndpointConfig")
    for state in configs:
        state.add_catch(catch(config_failed))
    for state in (plan, *judging, *staging, waiting, *deploying):
        state.add_catch(catch(failed(state.state_id)))
    return sdk.definition(
        plan,
        comment="One release: test an approved version on its own, then move production to it.",
        timeout_seconds=RELEASE_TIMEOUT,
    )
