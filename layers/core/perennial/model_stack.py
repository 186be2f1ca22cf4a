"""The CloudFormation stack of one model: `templates/model.yaml` with the model's schedules in it.

CloudFormation knows no loop over a parameter, so each schedule is written out as a resource.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perennial.domain import naming
from perennial.domain.errors import NotFound

TEMPLATE = Path(__file__).resolve().parents[3] / "templates" / "model.yaml"
PLACE = "  # schedules: rendered here\n"

# `scheduled` is filled in by EventBridge Scheduler; with the schedule's name it is the signal's id.
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"

SCHEDULE = """\
  {logical_id}:
    Type: AWS::Scheduler::Schedule
    Properties:
      Name: {name}
      Description: {description}
      GroupName:
        Fn::ImportValue: !Sub ${{StackName}}-ScheduleGroup
      ScheduleExpression: {expression}
      FlexibleTimeWindow: {{Mode: "OFF"}}
      State: ENABLED
      Target:
        Arn:
          Fn::ImportValue: !Sub ${{StackName}}-SignalQueueArn
        RoleArn:
          Fn::ImportValue: !Sub ${{StackName}}-ScheduleRoleArn
        Input: {message}
        RetryPolicy: {{MaximumEventAgeInSeconds: 86400, MaximumRetryAttempts: 185}}
        DeadLetterConfig:
          Arn:
            Fn::ImportValue: !Sub ${{StackName}}-SignalDeadLettersArn
"""


@dataclass(frozen=True)
class ModelStack:
    """Everything that a deployment of a model's stack is asked with."""

    name: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


def render_model_stack(
    stack: str, model: str, token: str, schedules: Mapping[str, str]
) -> ModelStack:
    """The model's stack beside the main stack `stack`; `schedules` maps names to expressions.

    The same arguments give the same text, so that an unchanged model deploys nothing.
    Raises `NotFound` when the template is not there: pushing needs a checkout.
    """
    try:
        template = TEMPLATE.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFound(
            f"{TEMPLATE} is missing: run `perennial push` from a checkout of Perennial"
        ) from error
    rendered = [
        _schedule(stack, model, name, expression) for name, expression in sorted(schedules.items())
    ]
    return ModelStack(
        name=naming.model_stack(stack, model),
        template=template.replace(PLACE, "\n".join(rendered)),
        parameters={"StackName": stack, "Model": model, "Token": token},
        tags={"perennial:stack": stack, "perennial:model": model},
    )


def _schedule(stack: str, model: str, schedule: str, expression: str) -> str:
    message = {
        "perennial": "schedule",
        "model": model,
        "schedule": schedule,
        "scheduled": SCHEDULED_TIME,
    }
    return SCHEDULE.format(
        logical_id=_logical_id(schedule),
        name=json.dumps(naming.schedule_name(stack, model, schedule)),
        description=json.dumps(f"Retrains the model {model}: {schedule}"),
        expression=json.dumps(expression),
        message=json.dumps(json.dumps(message)),
    )


def _logical_id(schedule: str) -> str:
    """Letters and digits only, another for every name: names have no capitals, so X is free."""
    return f"Schedule{schedule[0].upper()}{schedule[1:]}".replace("-", "X")
