"""What the states of our machines are made of: retries, catches, functions, jobs and branches.

What differs between stacks and Regions comes as `${…}` from the template.
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

# No key at all is an empty text, which the API allows and which means its own key.
KEY = "${KmsKeyArn}"
CODE, SETTINGS, MANIFEST = "$.code", "$.settings_uri", "$.manifest"
CHAMPION = "$.plan.champion"
CLARIFY, WARM_START = "$.plan.clarify", "$.plan.warm_start.config"
INPUTS, OUTPUTS = "/opt/ml/processing/input", "/opt/ml/processing/output"
# Jobs that call AWS themselves are never isolated from the network.
CALL_AWS = ("check_data", "smoke_test")


def retry(*error_names: str, seconds: int, attempts: int, at_most: int) -> Any:
    """Repeat after these errors; waits double from `seconds` to `at_most`, with full jitter."""
    return sdk.Retry(
        error_equals=list(error_names),
        interval_seconds=seconds,
        max_attempts=attempts,
        backoff_rate=2.0,
        max_delay_seconds=at_most,
        jitter_strategy="FULL",
    )


def retry_job() -> list[Any]:
    """Throttles and missing capacity pass by waiting; a failed job (States.TaskFailed) does not.

    Every attempt is a new job, so its name carries the retry count.
    """
    return [
        retry(
            "SageMaker.ThrottlingException",
            "ThrottlingException",
            "SageMaker.AmazonSageMakerException",
            "SageMaker.SdkClientException",
            seconds=5,
            attempts=6,
            at_most=120,
        ),
        retry(
            "SageMaker.ResourceLimitExceededException",
            "SageMaker.ResourceLimitExceeded",
            seconds=60,
            attempts=5,
            at_most=900,
        ),
    ]


def error_names(kind: type[Exception]) -> list[str]:
    """A class and all below it: Lambda reports an error by its own class's name only."""
    below = [name for child in kind.__subclasses__() for name in error_names(child)]
    return [kind.__name__, *sorted(below)]


def retry_function() -> list[Any]:
    """The service's own failures, and ours that say of themselves that time heals them."""
    return [
        retry(
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
        retry(*error_names(errors.Retryable), seconds=2, attempts=6, at_most=60),
    ]


def retry_object() -> list[Any]:
    """S3 answers slow-downs and its own failures with errors that it does not model."""
    return [
        retry("S3.S3Exception", "S3.SdkClientException", seconds=1, attempts=4, at_most=20),
    ]


def failed(step: str) -> Any:
    """Where a state's errors end: the run fails by the state's name, with error and cause."""
    return sdk.Fail(
        f"{step}Failed",
        error=f"{step}Failed",
        cause_path="States.Format('{}: {}', $.failure.Error, $.failure.Cause)",
    )


def not_claimed() -> Any:
    """Where an execution ends that may not act for its run."""
    return sdk.Fail(
        "NotClaimed",
        comment="Somebody started or redrove this by hand, or the run has ended since.",
        error="NotClaimed",
        cause_path="$.failure.Cause",
    )


def catch(next_step: Any, *error_names: str) -> Any:
    """Go on at `next_step` after these errors, or after any, with the error at `$.failure`."""
    return sdk.Catch(
        next_step, error_equals=list(error_names) or ["States.ALL"], result_path="$.failure"
    )


def function(step: str, *, parameters: dict[str, Any], result_path: str | None) -> Any:
    """A Lambda function by its ARN: its answer is the result, with nothing wrapped around."""
    return sdk.Task(
        step,
        resource=f"${{{step}FunctionArn}}",
        parameters=parameters,
        result_path=result_path,
        timeout_seconds=FUNCTION_TIMEOUT,
        retry=retry_function(),
    )


def waits_for_token(step: str, *, parameters: dict[str, Any], **more: Any) -> Any:
    """A Lambda function that hands its task token on; whoever answers the token ends the state."""
    return sdk.Task(
        step,
        resource="arn:${AwsPartition}:states:::lambda:invoke.waitForTaskToken",
        parameters={"FunctionName": f"${{{step}FunctionArn}}", "Payload": parameters},
        retry=retry_function(),
        **more,
    )


def of_run(**more: Any) -> dict[str, Any]:
    """The model and the run's number, which every function asks for."""
    return {"model": sdk.path("$.model"), "run": sdk.path("$.run"), **more}


def job_name(step: str) -> Any:
    """Every attempt is a job of its own, so its name carries the retry count."""
    return sdk.fmt(f"{{}}-{step}-{{}}", "$.prefix", "$$.State.RetryCount")


def output_of(step: str, folder: str) -> Any:
    """Where a step's output lies, whether this run wrote it or an earlier one."""
    return sdk.fmt(f"{{}}/{folder}", f"$.plan.places.{step}")


def inputs(*more: str, **folders: Any) -> dict[str, Any]:
    """What every processing job is given, and outputs of earlier steps by their folder."""
    owners = {"evaluation": "evaluate", "bias": "measure_bias", "explanations": "explain"}
    return {
        "code": sdk.path(CODE),
        "manifest": sdk.path(MANIFEST),
        "settings": sdk.path(SETTINGS),
        **{name: output_of(owners.get(name, "check_data"), name) for name in more},
        **folders,
    }


def processing(  # noqa: PLR0913  # what differs between the jobs of the machines
    state: str,
    step: str,
    *,
    inputs: dict[str, Any],
    outputs: tuple[str, ...],
    root: str = "$",
    role: str = "${JobRoleArn}",
    **more: Any,
) -> Any:
    """A processing job that unpacks pushed code and runs one of its steps.

    An output is a folder, or `folder:name` where it is stored under another name. Instances,
    network and tags stand below `root`.
    """
    unpack = "mkdir -p /opt/ml/code && tar -xzf {0}/code/*.tar.gz -C /opt/ml/code"
    runs = "evaluate" if step == "evaluate_champion" else step
    run = f"exec python3 /opt/ml/code/entry.py --step {runs}"
    network = "check_data" if step in CALL_AWS else "other_jobs"
    return sdk.ProcessingStep(
        state,
        processor=sdk.Processor(
            role=role,
            image_uri="${JobImage}",
            instance_count=sdk.path(f"{root}.instances.{step}.count"),
            instance_type=sdk.path(f"{root}.instances.{step}.type"),
            volume_size_in_gb=sdk.path(f"{root}.instances.{step}.volume_gb"),
            volume_kms_key=KEY,
            max_runtime_in_seconds=sdk.path(f"{root}.instances.{step}.max_seconds"),
            sagemaker_session=sdk.offline_session(),
        ),
        job_name=job_name(step.replace("_", "-")),
        inputs=[
            sdk.ProcessingInput(source=source, destination=f"{INPUTS}/{name}", input_name=name)
            for name, source in inputs.items()
        ],
        outputs=[
            sdk.ProcessingOutput(
                source=f"{OUTPUTS}/{folder}",
                destination=output_of(step, name),
                output_name=name,
            )
            for folder, name in ((part.split(":")[0], part.split(":")[-1]) for part in outputs)
        ],
        container_entrypoint=["bash", "-c", f"{unpack.format(INPUTS)} && {run}"],
        kms_key_id=KEY,
        tags=sdk.path(f"{root}.tags"),
        parameters={
            "NetworkConfig": sdk.path(f"{root}.network.{network}"),
        },
        result_selector={"job.$": "$.ProcessingJobName"},
        result_path=f"$.plan.done.{step}",
        timeout_seconds=JOB_TIMEOUT,
        retry=retry_job(),
        **more,
    )


def by_clarify(state: str, *, config: Any, dataset: Any, **more: Any) -> Any:
    """A processing job of Amazon SageMaker Clarify that measures bias.

    It has an entry point of its own; its inputs and its output have the names and paths that it
    asks for. All else is that of the job of ours whose place it takes.
    """
    given = {"analysis_config": config, "dataset": dataset}
    job = processing(state, "measure_bias", inputs=given, outputs=("bias",), **more)
    request = job.parameters
    request["AppSpecification"] = {"ImageUri": "${ClarifyImage}"}
    for entry, folder in zip(request["ProcessingInputs"], ("config", "data"), strict=True):
        entry["S3Input"]["LocalPath"] = f"{INPUTS}/{folder}"
    (output,) = request["ProcessingOutputConfig"]["Outputs"]
    output["OutputName"] = "analysis_result"
    output["S3Output"]["LocalPath"] = OUTPUTS
    return job


def as_planned(state: str, step: str) -> Any:
    """A step that is not wanted, or that an earlier run has done: the plan holds its answer.

    A branch answers what came of its step alone.
    """
    return sdk.Pass(state, output_path=f"$.plan.done.{step}")


def without(state: str) -> Any:
    """The candidate is judged without this step's answer, which then speaks against it."""
    return sdk.Pass(
        state,
        parameters={"failure": sdk.fmt("{}: {}", "$.failure.Error", "$.failure.Cause")},
    )


def is_true(variable: str) -> Any:
    """A rule of a Choice: what stands there is true."""
    return sdk.ChoiceRule.BooleanEquals(variable, value=True)


def either(choice: str, rule: Any, job: Any, otherwise: Any, on_failure: Any) -> Any:
    """Do the job if the rule holds; a failure of it ends where `on_failure` says."""
    decide = sdk.Choice(choice)
    decide.add_choice(rule, job)
    decide.default_choice(otherwise)
    job.add_catch(catch(on_failure))
    return sdk.Chain([decide])
