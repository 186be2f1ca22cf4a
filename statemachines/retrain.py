"""The retrain machine: a claimed run becomes a judged, registered candidate.

Each function below makes one state. Results are added to the input, so that the document
accretes: `$.plan`, `$.check`, `$.evaluations`, `$.examinations`, `$.verdict`, `$.version`,
`$.approval`. What a run is and where its files are, its input says (`perennial.domain.run_input`)
and its plan (`perennial.plan_run`): `$.plan.do` names the steps that have to be done,
`$.plan.places` where the outputs of each lie, done now or by an earlier run, and `$.plan.done` what
came of each. What differs between stacks and Regions comes as `${…}` from the template.
"""

from typing import Any

from perennial.domain import errors

from statemachines import sdk
from statemachines.blocks import (
    CODE,
    MANIFEST,
    OBJECT_TIMEOUT,
    SETTINGS,
    WARM_START,
    catch,
    failed,
    function,
    is_true,
    not_claimed,
    of_run,
    retry_object,
)
from statemachines.retrain_jobs import (
    baseline,
    check_data,
    evaluations,
    examinations,
    read_best,
    train,
    tune,
)

# Five jobs one after the other, each as long as it may be, and a day.
RUN_TIMEOUT = 26 * 24 * 3600


def check_claim() -> Any:
    """Does the ledger say that this execution owns this run?"""
    return function(
        "CheckClaim", parameters=of_run(execution=sdk.path("$$.Execution.Id")), result_path=None
    )


def plan_run() -> Any:
    """Whom does the candidate meet, and which finished steps need not be repeated?"""
    return function(
        "PlanRun",
        parameters=of_run(
            execution=sdk.path("$$.Execution.Id"),
            image="${JobImage}",
            clarify_image="${ClarifyImage}",
            gpu_image="${GpuImage}",
            algorithm_images={
                "xgboost": "${XGBoostImage}",
                "linear-learner": "${LinearLearnerImage}",
            },
        ),
        result_path="$.plan",
    )


def read_check() -> Any:
    """The check's summary, at most 4 KB; the report itself stays in S3."""
    return sdk.Task(
        "ReadCheck",
        resource="arn:${AwsPartition}:states:::aws-sdk:s3:getObject",
        parameters={
            "Bucket": "${ArtifactBucket}",
            "Key": sdk.path("$.plan.check_key"),
        },
        result_selector={"summary.$": "States.StringToJson($.Body)"},
        result_path="$.check",
        timeout_seconds=OBJECT_TIMEOUT,
        retry=retry_object(),
    )


def judge_candidate() -> Any:
    """Hold what was found against the gates; write the verdict."""
    return function(
        "JudgeCandidate",
        parameters=of_run(
            base=sdk.path("$.base"),
            manifest=sdk.path(MANIFEST),
            settings_uri=sdk.path(SETTINGS),
            code=sdk.path(CODE),
            code_sha=sdk.path("$.code_sha"),
            plan=sdk.path("$.plan"),
            evaluations=sdk.path("$.evaluations"),
            examinations=sdk.path("$.examinations"),
        ),
        result_path="$.verdict",
    )


def register_version() -> Any:
    """Every candidate enters the registry: pending approval, or rejected with its verdict."""
    return function(
        "RegisterVersion",
        parameters=of_run(
            execution=sdk.path("$$.Execution.Id"),
            group=sdk.path("$.group"),
            verdict=sdk.path("$.verdict"),
            artifact=sdk.path("$.verdict.artifact"),
            code=sdk.path(CODE),
            code_sha=sdk.path("$.code_sha"),
            image="${JobImage}",
            manifest=sdk.path(MANIFEST),
            check_job=sdk.path("$.plan.done.check_data.job"),
            training_job=sdk.path("$.plan.done.train.job"),
            evaluate_job=sdk.path("$.evaluations.evaluate.job"),
            plan=sdk.path("$.plan"),
        ),
        result_path="$.version",
    )


def approve_candidate() -> Any:
    """Approve what the policy lets a machine approve; all else waits for a person."""
    return function(
        "ApproveCandidate",
        parameters=of_run(
            arn=sdk.path("$.version.arn"),
            verdict=sdk.path("$.verdict"),
            settings=sdk.path("$.settings"),
        ),
        result_path="$.approval",
    )


def data_checked(check: Any, summary: Any) -> Any:
    """Has an earlier run checked just these objects with just this code?"""
    choice = sdk.Choice("DataNeeded")
    choice.add_choice(is_true("$.plan.do.check_data"), check)
    choice.default_choice(summary)
    return choice


def enough_data(refused: Any, trained: Any, how_to_train: Any) -> Any:
    """Stop a run without enough good rows; train unless an earlier run has trained just that."""
    choice = sdk.Choice("EnoughData")
    choice.add_choice(is_true("$.check.summary.refused"), refused)
    choice.add_choice(is_true("$.plan.do.train"), how_to_train)
    choice.default_choice(trained)
    return choice


def how_to_train(jobs: tuple[Any, Any], searches: tuple[Any, Any], warm: tuple[Any, Any]) -> Any:
    """One job or a search over many, perhaps from earlier searches, in the VPC if there is one.

    Each pair is the same job without a VPC and in it. The API accepts no empty VpcConfig and no
    empty WarmStartConfig, and a definition cannot leave a field out: hence states of their own.
    """
    tuned = sdk.ChoiceRule.IsPresent("$.training.tuning", value=True)
    parents = sdk.ChoiceRule.IsPresent(WARM_START, value=True)
    in_vpc = sdk.ChoiceRule.IsPresent("$.network.vpc", value=True)
    choice = sdk.Choice("HowToTrain")
    for rules, (outside, inside) in (([tuned, parents], warm), ([tuned], searches)):
        choice.add_choice(sdk.ChoiceRule.And([*rules, in_vpc]), inside)
        choice.add_choice(sdk.ChoiceRule.And(rules) if len(rules) > 1 else tuned, outside)
    choice.add_choice(in_vpc, jobs[1])
    choice.default_choice(jobs[0])
    return choice


def won(baselines: Any, register: Any) -> Any:
    """Only a candidate that passed every gate gets baselines, for it may reach production."""
    choice = sdk.Choice("Won")
    choice.add_choice(is_true("$.verdict.passed"), baselines)
    choice.default_choice(register)
    return choice


def may_be_approved(approve: Any, lost: Any) -> Any:
    """Only a candidate that passed every gate may be approved."""
    choice = sdk.Choice("MayBeApproved")
    choice.add_choice(is_true("$.verdict.passed"), approve)
    choice.default_choice(lost)
    return choice


def left_for_a_person(registered: Any) -> Any:
    """The version is registered and pending; that nobody approved it yet is no failure."""
    state = sdk.Pass(
        "LeftForAPerson",
        parameters={
            "approved": False,
            "words": sdk.fmt("left for a person: {}", "$.failure.Error"),
        },
        result_path="$.approval",
    )
    state.next(registered)
    return state


def build() -> Any:
    """The machine as Amazon States Language."""
    registered, lost = sdk.Succeed("CandidateRegistered"), sdk.Succeed("CandidateLost")
    refused = sdk.Fail("Refused", error="Refused", cause_path="$.check.summary.reason")
    unclaimed = not_claimed()
    train_failed, tune_failed = failed("Train"), failed("Tune")

    claim, plan, data, summary = check_claim(), plan_run(), check_data(), read_check()
    training = train("Train", {})
    in_vpc = train("TrainInVpc", {"VpcConfig": sdk.path("$.network.vpc")})
    search = tune("Tune", {})
    search_in_vpc = tune("TuneInVpc", {"VpcConfig": sdk.path("$.network.vpc")})
    warm = tune("TuneFromParents", {}, warm=True)
    warm_in_vpc = tune("TuneFromParentsInVpc", {"VpcConfig": sdk.path("$.network.vpc")}, warm=True)
    best, scored, examined = read_best(), evaluations(), examinations()
    judge, baselines, register = judge_candidate(), baseline(), register_version()
    approve = approve_candidate()

    for state in (claim, plan, register):
        state.add_catch(catch(unclaimed, errors.NotClaimed.__name__))
    for state in (claim, plan, data, summary, best, judge, baselines, register):
        state.add_catch(catch(failed(state.state_id)))
    for state in (training, in_vpc):
        state.add_catch(catch(train_failed))
        state.next(scored)
    for state in (search, search_in_vpc, warm, warm_in_vpc):
        state.add_catch(catch(tune_failed))
        state.next(best)
    approve.add_catch(catch(left_for_a_person(registered)))
    approve.next(registered)

    sdk.Chain([claim, plan, data_checked(data, summary)])
    ways = how_to_train((training, in_vpc), (search, search_in_vpc), (warm, warm_in_vpc))
    sdk.Chain([data, summary, enough_data(refused, scored, ways)])
    sdk.Chain([best, scored, examined, judge, won(baselines, register)])
    sdk.Chain([baselines, register, may_be_approved(approve, lost)])
    return sdk.definition(
        claim,
        comment="One run: check the data, train a candidate, score, judge and register it.",
        timeout_seconds=RUN_TIMEOUT,
    )
