"""The release machine: an approved version goes to production, or production stays as it was.

How the states of `statemachines.release_states` follow each other. No state records how the
release ended: that is told from the endpoint itself, by ConfirmRelease and, whatever became of the
execution, by `on_release_ended`.

SageMaker moves traffic within an endpoint of instances, under guard. Everything else goes to a
second endpoint, and ShiftTraffic and WatchTraffic do what a guarded update does. A version that
shares an endpoint with other models brings an archive there, and no endpoint of its own.
"""

from typing import Any

from perennial.domain import errors
from perennial.domain.ledger.moves import LOOK_SECONDS

from statemachines import sdk
from statemachines.blocks import catch, failed, is_true, not_claimed
from statemachines.release_states import (
    PLAN,
    await_approval,
    check_release,
    compare,
    confirm_release,
    create_endpoint,
    create_endpoint_config,
    create_model,
    create_staging,
    create_staging_config,
    describe,
    evaluate_champion,
    guard_endpoint,
    judge_release,
    plan_release,
    planned,
    read_smoke_test,
    remove_staging,
    share_model,
    shift_traffic,
    smoke_test,
    update_endpoint,
    watch_traffic,
)

# What SageMaker takes for an endpoint's whole update, at most, twice (staging, production), four
# jobs, a fortnight for a person, and a day.
RELEASE_TIMEOUT = 40 * 24 * 3600
# How often an endpoint that changes is looked at. Steps of a deployment are minutes long.
LOOK_EVERY = 20
CHANGING = ("Creating", "Updating", "RollingBack", "SystemUpdating")


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


def is_in_service(status: str) -> Any:
    """A rule of a Choice: the endpoint serves."""
    return sdk.ChoiceRule.StringEquals(status, "InService")


def both(*rules: Any) -> Any:
    """A rule of a Choice: all of these hold."""
    return sdk.ChoiceRule.And(list(rules))


def staged(go_on: Any, guard: Any) -> tuple[Any, Any, list[Any]]:
    """The new model where it is tested: on an endpoint of its own, or on the one it shares.

    Answers the first state of either way. What served there before is not tested again.
    """
    config, create, share = create_staging_config(), create_staging(), share_model()
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
        (both(is_in_service("$.staging.status"), is_true(f"{PLAN}.is_deployed_before")), guard),
        (is_in_service("$.staging.status"), test),
        (is_changing("$.staging.status"), wait),
    )
    sdk.Chain([config, create, wait, look, ready])
    share.next(wait)
    has_passed = is_true("$.smoke_test.found.passed")
    passed = choose(
        "SmokeTestPassed",
        poor,
        (both(has_passed, is_true(f"{PLAN}.shared")), go_on),
        (has_passed, removed),
    )
    sdk.Chain([test, read, passed])
    removed.next(go_on)
    return config, share, [share, config, create, look, test, read, removed]


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
    exists = choose(
        "EndpointExists",
        create,
        (is_true(f"{PLAN}.shared"), shift),
        (is_true("$.ready.exists"), update),
    )
    sdk.Chain([guard, check, exists])
    for change in (create, update):
        change.next(wait)
    settled = choose(
        "EndpointSettled",
        confirm,
        (is_changing("$.endpoint.status"), wait),
        (both(is_true(f"{PLAN}.moves"), is_in_service("$.endpoint.status")), shift),
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


def catch_refusals(plan: Any, judge: Any, share: Any, waiting: Any, *deploying: Any) -> None:
    """What a function says no with, by name: each is an end of its own."""
    unclaimed = not_claimed()
    withdrawn = ends("Withdrawn", "$.failure.Cause", "The version is not approved any more.")
    stale = ends("Stale", "$.failure.Cause", "It does not win against the present champion.")
    not_approved = sdk.Fail(
        "NotApproved",
        error="NotApproved",
        cause="nobody approved this release for production within 14 days; production is as it was",
    )
    for state in (plan, judge, share, waiting, *deploying):
        state.add_catch(catch(unclaimed, errors.NotClaimed.__name__))
    for state in (plan, share, waiting, deploying[1]):
        state.add_catch(catch(withdrawn, errors.Withdrawn.__name__))
    for state in (plan, judge):
        state.add_catch(catch(stale, errors.Stale.__name__))
    waiting.add_catch(catch(not_approved, "States.Timeout"))


def build() -> Any:
    """The machine as Amazon States Language."""
    guard, deploying = deployed()
    configs = (
        create_endpoint_config("CreateEndpointConfig", {"DataCaptureConfig": planned("capture")}),
        create_endpoint_config("CreateUncapturedConfig", {}),
    )
    for state in configs:
        state.next(guard)
    config = choose(
        "IsCaptured",
        configs[1],
        (is_true(f"{PLAN}.shared"), guard),
        (is_true(f"{PLAN}.captures"), configs[0]),
    )
    waiting = await_approval()
    waiting.next(config)
    asks = choose("NeedsAPerson", config, (is_true(f"{PLAN}.waits_for_person"), waiting))
    stage, share, staging = staged(asks, guard)
    model = create_model("CreateModel", {})
    in_vpc = create_model("CreateModelInVpc", {"VpcConfig": planned("network.vpc")})
    for state in (model, in_vpc):
        state.next(stage)
    where = choose(
        "WhereItRuns",
        model,
        (is_true(f"{PLAN}.shared"), share),
        (sdk.ChoiceRule.IsPresent(f"{PLAN}.network.vpc", value=True), in_vpc),
    )
    again, judging = judged_again(where)
    plan = plan_release()
    needed = choose(
        "WhatIsNew",
        where,
        (both(is_true(f"{PLAN}.is_deployed_before"), is_true(f"{PLAN}.shared")), where),
        (is_true(f"{PLAN}.is_deployed_before"), guard),
        (is_true(f"{PLAN}.judge_again"), again),
    )
    sdk.Chain([plan, needed])

    catch_refusals(plan, judging[-1], share, waiting, *deploying[:5])
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
