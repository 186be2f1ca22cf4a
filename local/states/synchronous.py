"""`.sync`: wait for the end of what a Task started, and end it with the execution."""

import logging
import threading
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError

from local.states.errors import CancelledError, StateError
from local.states.integrations import Call, task_failed
from local.states.resources import SYNC2
from local.states.values import epoch_ms, to_json

log = logging.getLogger(__name__)
PAUSE = 0.2  # real seconds before a failed look is repeated
POLL = 5.0  # real seconds between two looks, should a notice be lost
# The kind of a job, and the first part of what its ARN ends with.
KINDS = {
    "createTrainingJob": ("Training", "training-job"),
    "createProcessingJob": ("Processing", "processing-job"),
    "createTransformJob": ("Transform", "transform-job"),
    "createHyperParameterTuningJob": ("HyperParameterTuning", "hyper-parameter-tuning-job"),
}
ENDED = ("Completed", "Failed", "Stopped")


def follow(call: Call, submitted: Any) -> Any:
    """The result of what was started; StateError `States.TaskFailed` when it ended badly."""
    if call.resource.service == "states":
        return _follow_execution(call, submitted)
    return _follow_job(call)


def _follow_job(call: Call) -> Any:
    kind, path = KINDS[call.resource.action]
    name = call.parameters[f"{kind}JobName"]
    execution = call.frame.execution
    client = execution.client("sagemaker")
    describe = getattr(client, xform_name(f"Describe{kind}Job"))
    try:
        while True:
            told = threading.Event()
            execution.watch_job(f"{path}/{name}", told)
            left = call.left()
            call.frame.life.wait(told, POLL if left is None else min(POLL, left))
            call.check_time()
            found = _described(describe, {f"{kind}JobName": name})
            if not found:
                call.frame.life.sleep(PAUSE)
            elif found[f"{kind}JobStatus"] in ENDED:
                break
    except (CancelledError, StateError):
        _stop_job(client, kind, name)
        raise
    found.pop("ResponseMetadata", None)
    shape = client.meta.service_model.operation_model(f"Describe{kind}Job").output_shape
    output = to_json(found, epoch_ms, pascal=False, shape=shape)
    if output[f"{kind}JobStatus"] != "Completed":
        raise task_failed(output)
    return output


def _described(describe: Any, request: dict[str, str]) -> dict[str, Any]:
    """Describe; nothing when the call is throttled or broken off, as the next look repeats it."""
    try:
        found: dict[str, Any] = describe(**request)
    except (ClientError, BotoCoreError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if code in ("ValidationException", "ResourceNotFound"):  # somebody has deleted the job
            raise StateError("SageMaker.AmazonSageMakerException", str(error)) from error
        log.info("describe %s: %s", request, error)
        return {}
    return found


def _stop_job(client: Any, kind: str, name: str) -> None:
    """An execution that ends takes its jobs with it, as far as that is possible."""
    try:
        getattr(client, xform_name(f"Stop{kind}Job"))(**{f"{kind}JobName": name})
    except (ClientError, BotoCoreError) as error:
        log.info("stop %s job %s: %s", kind, name, error)


def _follow_execution(call: Call, submitted: Any) -> Any:
    execution = call.frame.execution
    arn = submitted["ExecutionArn"]
    child = execution.machines.find_execution(arn)
    try:
        ended = threading.Event()
        child.tell(ended)
        call.frame.life.wait(ended, call.left())
        if not ended.is_set():
            call.check_time()
    except (CancelledError, StateError):
        child.stop("", "")
        raise
    described = execution.machines.described_child(child, parsed=call.resource.pattern == SYNC2)
    if described["Status"] != "SUCCEEDED":
        raise task_failed(described)
    return described
