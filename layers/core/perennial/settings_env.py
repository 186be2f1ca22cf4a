"""What a deployment is made of: the names of its resources, typed.

A function reads them from its environment, which holds only what it needs; the command line
reads them from the stack's outputs. Either way a name is looked at when it is first used, so
that importing a handler asks for nothing, and one that is missing is named in the error.
No other module reads `os.environ` for a setting of ours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from perennial.domain.errors import SettingMissing


class _Name:
    """One resource's name: a variable of the functions, and an output of the main stack."""

    def __init__(self, variable: str, output: str) -> None:
        self.variable = variable
        self.output = output

    def __get__(self, deployment: Deployment, _owner: type[Deployment]) -> str:
        value = deployment.values.get(self.variable) or deployment.values.get(self.output)
        if not value:
            raise SettingMissing(
                f"{self.variable} is not set: a function gets it from its environment in "
                f"template.yaml, a command from the stack's output {self.output}"
            )
        return value


@dataclass(frozen=True)
class Deployment:
    """The resources of one main stack."""

    values: Mapping[str, str]

    stack = _Name("STACK_NAME", "StackName")
    token = _Name("STACK_TOKEN", "StackToken")
    ledger_table = _Name("LEDGER_TABLE", "LedgerTable")
    landing_bucket = _Name("LANDING_BUCKET", "LandingBucket")
    artifact_bucket = _Name("ARTIFACT_BUCKET", "ArtifactBucket")
    signal_queue_url = _Name("SIGNAL_QUEUE_URL", "SignalQueueUrl")
    capture_queue_url = _Name("CAPTURE_QUEUE_URL", "CaptureQueueUrl")
    capture_dead_letters_url = _Name("CAPTURE_DEAD_LETTERS_URL", "CaptureDeadLettersUrl")
    signal_dead_letters_url = _Name("SIGNAL_DEAD_LETTERS_URL", "SignalDeadLettersUrl")
    run_ended_dead_letters_url = _Name("RUN_ENDED_DEAD_LETTERS_URL", "RunEndedDeadLettersUrl")
    event_dead_letters_url = _Name("EVENT_DEAD_LETTERS_URL", "EventDeadLettersUrl")
    release_ended_dead_letters_url = _Name(
        "RELEASE_ENDED_DEAD_LETTERS_URL", "ReleaseEndedDeadLettersUrl"
    )
    machine_arn = _Name("RETRAIN_MACHINE_ARN", "RetrainMachineArn")
    release_machine_arn = _Name("RELEASE_MACHINE_ARN", "ReleaseMachineArn")
    notices_topic_arn = _Name("NOTICES_TOPIC_ARN", "NoticesTopicArn")
    job_role_arn = _Name("JOB_ROLE_ARN", "JobRoleArn")
    endpoint_role_arn = _Name("ENDPOINT_ROLE_ARN", "EndpointRoleArn")
    shared_instance = _Name("SHARED_INSTANCE_TYPE", "SharedInstanceType")
    shared_count = _Name("SHARED_INSTANCE_COUNT", "SharedInstanceCount")
    batch_role_arn = _Name("BATCH_ROLE_ARN", "BatchRoleArn")
    schedule_group = _Name("SCHEDULE_GROUP", "ScheduleGroup")
    schedule_role_arn = _Name("SCHEDULE_ROLE_ARN", "ScheduleRoleArn")
    job_image = _Name("JOB_IMAGE", "JobImage")
    monitor_due_arn = _Name("MONITOR_DUE_FUNCTION_ARN", "MonitorDueFunctionArn")
    monitoring_ended_arn = _Name("MONITORING_ENDED_FUNCTION_ARN", "MonitoringEndedFunctionArn")
    predictions_url = _Name("PREDICTIONS_URL", "PredictionsUrl")
    stack_changed_arn = _Name("STACK_CHANGED_FUNCTION_ARN", "StackChangedFunctionArn")

    def optional(self, variable: str) -> str:
        """A setting that may be empty, by its variable's name."""
        return self.values.get(variable, "")


def from_environment() -> Deployment:
    """The deployment that this function belongs to."""
    return Deployment(dict(os.environ))
