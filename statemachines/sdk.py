"""The Data Science SDK, imported quietly and mended where Amazon States Language has moved on.

Nothing else in the repository imports `stepfunctions` or `sagemaker`. Both are frozen 2.x
packages with side effects at import; each is undone here, so that what is rendered depends on
our source alone: not on the Region, the home directory, the credentials or the network.
"""

import contextlib
import functools
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

REGION = "eu-west-1"  # only so that clients can be built; nothing rendered holds it


@contextlib.contextmanager
def quiet_import() -> Iterator[None]:
    """Import inside this block without the SDK's warnings, hooks, look-ups and log levels."""
    root_level, excepthook = logging.getLogger().level, sys.excepthook
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"  # else 16 connection attempts
    os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"
    logging.getLogger("sagemaker.config").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.getLogger().setLevel(root_level)  # the SDK sets it to ERROR
    sys.excepthook = excepthook  # sagemaker installs one that prints errors to stdout


with quiet_import():
    import boto3
    from sagemaker import image_uris, utils
    from sagemaker.estimator import Estimator
    from sagemaker.inputs import TrainingInput
    from sagemaker.processing import ProcessingInput, ProcessingOutput, Processor
    from sagemaker.session import Session
    from stepfunctions.inputs import Placeholder  # type: ignore[import-untyped]  # has no types
    from stepfunctions.steps import Chain, Choice, ChoiceRule, Graph, integration_resources  # type: ignore[import-untyped]  # has no types
    from stepfunctions.steps import sagemaker as sdk_sagemaker
    from stepfunctions.steps import states as sdk_states

# The partition in an integration's ARN comes from the Region that renders; ours from the one
# that is deployed to.
integration_resources.get_aws_partition = lambda: "${AwsPartition}"
# The SDK reads botocore's whole table of endpoints anew for each address of an image.
utils._botocore_resolver = functools.cache(utils._botocore_resolver)

__all__ = [
    "Catch", "Chain", "Choice", "ChoiceRule", "Estimator", "Fail", "Graph", "Parallel", "Pass",
    "Placeholder", "ProcessingInput", "ProcessingOutput", "ProcessingStep", "Processor", "Retry",
    "Succeed", "Task", "TrainingInput", "TrainingStep", "Wait", "definition", "fmt", "image_uris",
    "offline_session", "path",
]  # fmt: skip


class Path(Placeholder):  # type: ignore[misc]  # the SDK is untyped
    """Any JSONPath or intrinsic, where the SDK expects one of its own placeholders."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def to_jsonpath(self) -> str:
        """The text as it stands in the definition."""
        return self.text


def path(text: str) -> Path:
    """A reference into the state's input (`$.…`) or the context object (`$$.…`)."""
    return Path(text)


def fmt(template: str, *paths: str) -> Path:
    """`States.Format`: each `{}` of the template is replaced with what stands at a path."""
    return Path(f"States.Format('{template}', {', '.join(paths)})")


class _New(Enum):
    """Fields of the language that the SDK does not know."""

    CAUSE_PATH = "cause_path"
    JITTER_STRATEGY = "jitter_strategy"
    MAX_DELAY_SECONDS = "max_delay_seconds"
    RESULT_SELECTOR = "result_selector"


def _with_fields(base: type[Any], *fields: _New) -> type[Any]:
    """A subclass of one of the SDK's blocks that also takes the named fields."""

    def allowed_fields(self: Any) -> list[Enum]:
        return [*base.allowed_fields(self), *fields]

    return type(base.__name__, (base,), {"allowed_fields": allowed_fields})


Succeed, Wait = sdk_states.Succeed, sdk_states.Wait
Catch = _with_fields(sdk_states.Catch)
Fail = _with_fields(sdk_states.Fail, _New.CAUSE_PATH)
Parallel = _with_fields(sdk_states.Parallel, _New.RESULT_SELECTOR)
Pass = _with_fields(sdk_states.Pass)
ProcessingStep = _with_fields(sdk_sagemaker.ProcessingStep, _New.RESULT_SELECTOR)
Retry = _with_fields(sdk_states.Retry, _New.JITTER_STRATEGY, _New.MAX_DELAY_SECONDS)
Task = _with_fields(sdk_states.Task, _New.RESULT_SELECTOR)
TrainingStep = _with_fields(sdk_sagemaker.TrainingStep, _New.RESULT_SELECTOR)


@functools.cache
def offline_session() -> Any:
    """The SageMaker session that reads no file and calls nothing; the job classes demand one."""
    boto = boto3.Session(
        region_name=REGION,
        aws_access_key_id="render",
        aws_secret_access_key="render",  # noqa: S106  # no secret: nothing is ever called
    )
    session = Session(boto_session=boto, sagemaker_config={"SchemaVersion": "1.0"})
    session.sagemaker_config = {}  # else every job validates a configuration that is not there
    return session


FIELDS = (
    "Type", "Comment", "Resource", "Parameters", "Branches", "ResultSelector", "ResultPath",
    "OutputPath", "Error", "Cause", "CausePath", "Seconds", "TimeoutSeconds", "Choices", "Default",
    "Next", "End",
    "Retry", "Catch",
)  # fmt: skip


def definition(start: Any, *, comment: str, timeout_seconds: int) -> dict[str, Any]:
    """The chain as a definition, states and fields in the order that one reads them.

    Raises ValueError for a placeholder that leaked in as text, KeyError for a field that has
    no place in the order.
    """
    machine = _ordered(Graph(start).to_dict())
    document: dict[str, Any] = {"Comment": comment, "TimeoutSeconds": timeout_seconds, **machine}
    if "object at 0x" in repr(document):
        raise ValueError("a placeholder was rendered as text; use path() or fmt()")
    return document


def _ordered(machine: Mapping[str, Any]) -> dict[str, Any]:
    """A machine, or a branch of one, in the order that one reads it."""
    states = machine["States"]
    order = _reading_order(machine["StartAt"], states)
    return {
        "StartAt": machine["StartAt"],
        "States": {name: _in_order(states[name]) for name in order},
    }


def _in_order(state: Mapping[str, Any]) -> dict[str, Any]:
    position = {field: at for at, field in enumerate(FIELDS)}
    ordered = dict(sorted(state.items(), key=lambda item: position[item[0]]))
    if "Branches" in ordered:
        ordered["Branches"] = [_ordered(branch) for branch in ordered["Branches"]]
    return ordered


def _reading_order(start: str, states: Mapping[str, Any]) -> list[str]:
    """From the start along the ways of success, each followed by what catches its errors."""
    order: list[str] = []
    waiting: list[str] = [start]
    while waiting:
        name = waiting.pop(0)
        if name in order:
            continue
        order.append(name)
        state = states[name]
        ways = [state.get("Default"), state.get("Next")]
        ways += [choice["Next"] for choice in state.get("Choices", [])]
        ways += [catch["Next"] for catch in state.get("Catch", [])]
        waiting += [way for way in ways if way and way not in order]
    return order
