"""The retrain machine: a claimed run becomes a judged, registered candidate.

Each function below makes one state. Results are added to the input, so that the document
accretes: `$.check`, `$.training`, `$.evaluation`, `$.verdict`, `$.version`, `$.approval`.
What a run is and where its files are, its input says (`perennial.domain.run_input`); what
differs between stacks and Regions comes as `${…}` from the template.
"""

from typing import Any

from perennial.domain import errors

from statemachines import sdk

# A job is limited by the settings' `max_seconds`, which may be five days at most (SageMaker's
# own limit). The Task waits an hour longer: it ends first only if the service lost the job.
JOB_TIMEOUT = 5 * 24 * 3600 + 3600
# A function is retried by name of error, never by time: its own limit is 60 s at most.
FUNCTION_TIMEOUT = 120
OBJECT_TIMEOUT = 60
RUN_TIMEOUT = 16 * 24 * 3600  # three jobs, each as long as it may be, and a day

# No key at all is an empty text, which the API allows and which means its own key.
KEY = "${KmsKeyArn}"
CODE, SETTINGS, MANIFEST = "$.code", "$.settings_uri", "$.manifest"
INPUTS, OUTPUTS = "/opt/ml/processing/input", "/opt/ml/processing/output"

# What a job prints as `name=value;`, SageMaker keeps as a metric of the training job.
METRICS = (
    "accuracy", "auc", "f1", "log_loss", "mae", "precision", "r2", "recall", "rmse", "rows",
)  # fmt: skip


def _retry(*error_names: str, seconds: int, attempts: int, at_most: int) -> Any:
    return sdk.Retry(
        error_equals=list(error_names),
        interval_seconds=seconds,
        max_attempts=attempts,
        backoff_rate=2.0,
        max_delay_seconds=at_most,
        jitter_strategy="FULL",
    )


def _retry_job() -> list[Any]:
    """Throttles and missing capacity pass by waiting; a failed job (States.TaskFailed) does not.

    Every attempt is a new job, so its name carries the retry count.
    """
    return [
        _retry(
            "SageMaker.ThrottlingException",
            "ThrottlingException",
            "SageMaker.AmazonSageMakerException",
            "SageMaker.SdkClientException",
            seconds=5,
            attempts=6,
            at_most=120,
        ),
        _retry(
            "SageMaker.ResourceLimitExceededException",
            "SageMaker.ResourceLimitExceeded",
            seconds=60,
            attempts=5,
            at_most=900,
        ),
    ]


def _names(kind: type[Exception]) -> list[str]:
    """A class and all below it: Lambda reports an error by its own class's name only."""
    below = [name for child in kind.__subclasses__() for name in _names(child)]
    return [kind.__name__, *sorted(below)]


def _retry_function() -> list[Any]:
    """The service's own failures, and ours that say of themselves that time heals them."""
    return [
        _retry(
            "Lambda.ServiceException",
            "Lambda.AWSLambdaException",
            "Lambda.SdkClientException",
            "Lambda.TooManyRequestsException",
            "Lambda.Unknown",
            "Runtime.ExitError",
            "Sandbox.Timedout",
            seconds=2,
            attempts=6,
            at_most=60,
        ),
        _retry(*_names(errors.Retryable), seconds=2, attempts=6, at_most=60),
    ]


def _retry_object() -> list[Any]:
    """S3 answers slow-downs and its own failures with errors that it does not model."""
    return [
        _retry("S3.S3Exception", "S3.SdkClientException", seconds=1, attempts=4, at_most=20),
    ]


def _failed(step: str) -> Any:
    """Where a state's errors end: the run fails by the state's name, with error and cause."""
    return sdk.Fail(
        f"{step}Failed",
        error=f"{step}Failed",
        cause_path="States.Format('{}: {}', $.failure.Error, $.failure.Cause)",
    )


def _not_claimed() -> Any:
    return sdk.Fail(
        "NotClaimed",
        comment="Somebody started or redrove this by hand, or the run has ended since.",
        error="NotClaimed",
        cause_path="$.failure.Cause",
    )


def _catch(next_step: Any, *error_names: str) -> Any:
    return sdk.Catch(
        next_step, error_equals=list(error_names) or ["States.ALL"], result_path="$.failure"
    )


def _function(step: str, *, parameters: dict[str, Any], result_path: str | None) -> Any:
    """A Lambda function by its ARN: its answer is the result, with nothing wrapped around."""
    return sdk.Task(
        step,
        resource=f"${{{step}FunctionArn}}",
        parameters=parameters,
        result_path=result_path,
        timeout_seconds=FUNCTION_TIMEOUT,
        retry=_retry_function(),
    )


def _run(**more: Any) -> dict[str, Any]:
    """The model and the run's number, which every function asks for."""
    return {"model": sdk.path("$.model"), "run": sdk.path("$.run"), **more}


def _job_name(step: str) -> Any:
    return sdk.fmt(f"{{}}-{step}-{{}}", "$.prefix", "$$.State.RetryCount")


def _under_base(folder: str) -> Any:
    return sdk.fmt(f"{{}}/{folder}", "$.base")


def _processing(state: str, step: str, *, inputs: dict[str, Any], outputs: tuple[str, ...]) -> Any:
    """A processing job that unpacks the pushed code and runs one of its steps."""
    unpack = "mkdir -p /opt/ml/code && tar -xzf {0}/code/*.tar.gz -C /opt/ml/code"
    run = f"exec python3 /opt/ml/code/entry.py --step {step}"
    return sdk.ProcessingStep(
        state,
        processor=sdk.Processor(
            role="${JobRoleArn}",
            image_uri="${JobImage}",
            instance_count=sdk.path(f"$.instances.{step}.count"),
            instance_type=sdk.path(f"$.instances.{step}.type"),
            volume_size_in_gb=sdk.path(f"$.instances.{step}.volume_gb"),
            volume_kms_key=KEY,
            max_runtime_in_seconds=sdk.path(f"$.instances.{step}.max_seconds"),
            sagemaker_session=sdk.offline_session(),
        ),
        job_name=_job_name(step.replace("_", "-")),
        inputs=[
            sdk.ProcessingInput(source=source, destination=f"{INPUTS}/{name}", input_name=name)
            for name, source in inputs.items()
        ],
        outputs=[
            sdk.ProcessingOutput(
                source=f"{OUTPUTS}/{name}", destination=_under_base(name), output_name=name
            )
            for name in outputs
        ],
        container_entrypoint=["bash", "-c", f"{unpack.format(INPUTS)} && {run}"],
        kms_key_id=KEY,
        tags=sdk.path("$.tags"),
        parameters={
            "NetworkConfig": sdk.path(f"$.network.{step}"),
        },
        result_selector={"job.$": "$.ProcessingJobName"},
        result_path=f"$.{step}",
        timeout_seconds=JOB_TIMEOUT,
        retry=_retry_job(),
    )


def check_claim() -> Any:
    """Does the ledger say that this execution owns this run?"""
    return _function(
        "CheckClaim", parameters=_run(execution=sdk.path("$$.Execution.Id")), result_path=None
    )


def check_data() -> Any:
    """Read every object of the manifest once; split, prepare and report."""
    return _processing(
        "CheckData",
        "check_data",
        inputs={
            "code": sdk.path(CODE),
            "manifest": sdk.path(MANIFEST),
            "settings": sdk.path(SETTINGS),
        },
        outputs=("check", "training", "holdout"),
    )


def read_check() -> Any:
    """The check's summary, at most 4 KB; the report itself stays in S3."""
    return sdk.Task(
        "ReadCheck",
        resource="arn:${AwsPartition}:states:::aws-sdk:s3:getObject",
        parameters={
            "Bucket": "${ArtifactBucket}",
            "Key": sdk.fmt("runs/{}/{}/check/summary.json", "$.model", "$.run"),
        },
        result_selector={"summary.$": "States.StringToJson($.Body)"},
        result_path="$.check",
        timeout_seconds=OBJECT_TIMEOUT,
        retry=_retry_object(),
    )


def train(state: str, network: dict[str, Any]) -> Any:
    """A training job in script mode."""
    return sdk.TrainingStep(
        state,
        estimator=sdk.Estimator(
            image_uri="${JobImage}",
            role="${JobRoleArn}",
            instance_count=sdk.path("$.instances.train.count"),
            instance_type="ml.placeholder",  # the SDK wants text; replaced below
            volume_size=sdk.path("$.instances.train.volume_gb"),
            volume_kms_key=KEY,
            max_run=sdk.path("$.instances.train.max_seconds"),
            output_path="s3://${ArtifactBucket}/models",  # the SDK asks STS for one otherwise
            output_kms_key=KEY,
            debugger_hook_config=False,  # Debugger is closed to new accounts
            disable_profiler=True,
            metric_definitions=[
                {"Name": name, "Regex": rf"\b{name}=([-+0-9.eE]+);"} for name in METRICS
            ],
            sagemaker_session=sdk.offline_session(),
        ),
        job_name=_job_name("train"),
        output_data_config_path=sdk.path("$.models"),
        data={
            "training": sdk.TrainingInput(s3_data=_under_base("training")),
            "settings": sdk.TrainingInput(s3_data=sdk.path(SETTINGS)),
            "check": sdk.TrainingInput(s3_data=_under_base("check")),
        },
        hyperparameters=sdk.path("$.hyperparameters"),
        tags=sdk.path("$.tags"),
        parameters={
            "EnableNetworkIsolation": sdk.path("$.network.isolated"),
            "ResourceConfig": {"InstanceType": sdk.path("$.instances.train.type")},
            **network,
        },
        result_selector={
            "job.$": "$.TrainingJobName",
            "artifact.$": "$.ModelArtifacts.S3ModelArtifacts",
        },
        result_path="$.training",
        timeout_seconds=JOB_TIMEOUT,
        retry=_retry_job(),
    )


def evaluate() -> Any:
    """Score the candidate on the run's own holdout."""
    return _processing(
        "Evaluate",
        "evaluate",
        inputs={
            "code": sdk.path(CODE),
            "manifest": sdk.path(MANIFEST),
            "settings": sdk.path(SETTINGS),
            "model": sdk.path("$.training.artifact"),
            "holdout": _under_base("holdout"),
            "check": _under_base("check"),
        },
        outputs=("evaluation",),
    )


def judge_candidate() -> Any:
    """Hold the evaluation against the gates; write the verdict."""
    return _function(
        "JudgeCandidate",
        parameters=_run(
            base=sdk.path("$.base"),
            evaluation=_under_base("evaluation/evaluation.json"),
            manifest=sdk.path(MANIFEST),
            settings_uri=sdk.path(SETTINGS),
            code=sdk.path(CODE),
            code_sha=sdk.path("$.code_sha"),
            artifact=sdk.path("$.training.artifact"),
        ),
        result_path="$.verdict",
    )


def register_version() -> Any:
    """Every candidate enters the registry: pending approval, or rejected with its verdict."""
    return _function(
        "RegisterVersion",
        parameters=_run(
            execution=sdk.path("$$.Execution.Id"),
            group=sdk.path("$.group"),
            verdict=sdk.path("$.verdict"),
            artifact=sdk.path("$.training.artifact"),
            code=sdk.path(CODE),
            code_sha=sdk.path("$.code_sha"),
            image="${JobImage}",
            manifest=sdk.path(MANIFEST),
            check_job=sdk.path("$.check_data.job"),
            training_job=sdk.path("$.training.job"),
            evaluate_job=sdk.path("$.evaluate.job"),
        ),
        result_path="$.version",
    )


def approve_candidate() -> Any:
    """Approve what the policy lets a machine approve; all else waits for a person."""
    return _function(
        "ApproveCandidate",
        parameters=_run(
            arn=sdk.path("$.version.arn"),
            verdict=sdk.path("$.verdict"),
            settings=sdk.path("$.settings"),
        ),
        result_path="$.approval",
    )


def enough_data(refused: Any, train_state: Any, train_in_vpc: Any) -> Any:
    """Stop a run without enough good rows; else train, in the VPC if there is one.

    CreateTrainingJob accepts no empty VpcConfig, and a definition cannot leave a field out:
    hence two states with the same job.
    """
    choice = sdk.Choice("EnoughData")
    choice.add_choice(sdk.ChoiceRule.BooleanEquals("$.check.summary.refused", value=True), refused)
    choice.add_choice(sdk.ChoiceRule.IsPresent("$.network.vpc", value=True), train_in_vpc)
    choice.default_choice(train_state)
    return choice


def won(approve: Any, lost: Any) -> Any:
    """Only a candidate that passed every gate may be approved."""
    choice = sdk.Choice("Won")
    choice.add_choice(sdk.ChoiceRule.BooleanEquals("$.verdict.passed", value=True), approve)
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
    not_claimed = _not_claimed()
    train_failed = _failed("Train")

    claim, data, summary = check_claim(), check_data(), read_check()
    training = train("Train", {})
    in_vpc = train("TrainInVpc", {"VpcConfig": sdk.path("$.network.vpc")})
    evaluation, judge, register = evaluate(), judge_candidate(), register_version()
    approve = approve_candidate()

    claim.add_catch(_catch(not_claimed, errors.NotClaimed.__name__))
    register.add_catch(_catch(not_claimed, errors.NotClaimed.__name__))
    for state in (claim, data, summary, evaluation, judge, register):
        state.add_catch(_catch(_failed(state.state_id)))
    for state in (training, in_vpc):
        state.add_catch(_catch(train_failed))
        state.next(evaluation)
    approve.add_catch(_catch(left_for_a_person(registered)))
    approve.next(registered)

    sdk.Chain([claim, data, summary, enough_data(refused, training, in_vpc)])
    sdk.Chain([evaluation, judge, register, won(approve, lost)])
    return sdk.definition(
        claim,
        comment="One run: check the data, train a candidate, evaluate, judge and register it.",
        timeout_seconds=RUN_TIMEOUT,
    )
