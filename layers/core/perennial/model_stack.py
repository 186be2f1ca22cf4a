"""The CloudFormation stack of one model: `templates/model.yaml` with what its settings ask for.

CloudFormation knows no loop over a parameter, so each schedule, and each monitor's schedule and
alarms, are written out as resources.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from perennial.domain import naming
from perennial.domain.errors import NotFound
from perennial.domain.monitor_windows import schedule as schedule_of
from perennial.domain.settings_monitor import Monitor, Monitoring

TEMPLATE = Path(__file__).resolve().parents[3] / "templates" / "model.yaml"
PLACE = "  # schedules: rendered here\n"
MONITORS_PLACE = "  # monitors: rendered here\n"
PROVIDER_PLACE = "      # provider of monitors: rendered here\n"
#: Tells the custom resource that SageMaker has schedules of the model, to be removed with it.
PROVIDER = "      MonitorProvider: sagemaker\n"
NO_MONITORS = Monitoring()

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
          Fn::ImportValue: !Sub ${{StackName}}-{target}
        RoleArn:
          Fn::ImportValue: !Sub ${{StackName}}-ScheduleRoleArn
        Input: {message}
        RetryPolicy: {{MaximumEventAgeInSeconds: {seconds}, MaximumRetryAttempts: {attempts}}}
        DeadLetterConfig:
          Arn:
            Fn::ImportValue: !Sub ${{StackName}}-{letters}
"""

ALARMS = """\
  # Its event is a reason to retrain; between two windows it stays as it is.
  {logical_id}Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: {alarm}
      AlarmDescription: {drifted}
      Namespace: Perennial/Monitoring
      MetricName: violations
      Dimensions: {dimensions}
      Statistic: Maximum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: ignore

  # A monitor that fails, or sees nothing, says nothing about the model: people are told.
  {logical_id}BlindAlarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: {blind}
      AlarmDescription: {unseen}
      Namespace: Perennial/Monitoring
      MetricName: blind
      Dimensions: {dimensions}
      Statistic: Maximum
      Period: 60
      EvaluationPeriods: 1
      Threshold: 1
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: ignore
      AlarmActions:
        - Fn::ImportValue: !Sub ${{StackName}}-NoticesTopicArn
      OKActions:
        - Fn::ImportValue: !Sub ${{StackName}}-NoticesTopicArn
"""


@dataclass(frozen=True)
class ModelStack:
    """Everything that a deployment of a model's stack is asked with."""

    name: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


def render_model_stack(
    stack: str,
    model: str,
    token: str,
    schedules: Mapping[str, str],
    monitoring: Monitoring = NO_MONITORS,
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
    is_managed = monitoring.is_managed
    watching = [_monitor(stack, model, each, is_managed) for each in monitoring.monitors]
    return ModelStack(
        name=naming.model_stack(stack, model),
        template=template.replace(PLACE, "\n".join(rendered))
        .replace(MONITORS_PLACE, "\n".join(watching))
        .replace(PROVIDER_PLACE, PROVIDER if is_managed else ""),
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
        target="SignalQueueArn",
        letters="SignalDeadLettersArn",
        seconds=86400,
        attempts=185,
    )


def _monitor(stack: str, model: str, monitor: Monitor, is_managed: bool) -> str:
    """A monitor's schedule and alarms; SageMaker's own schedules are no part of the stack."""
    message = {
        "perennial": "monitor",
        "model": model,
        "monitor": monitor.kind,
        "scheduled": SCHEDULED_TIME,
    }
    dimensions = {"Stack": naming.token(stack), "Model": model, "Monitor": monitor.kind}
    kind = monitor.kind
    logical_id = "Monitor" + "".join(part.capitalize() for part in kind.split("-"))
    # A look that comes an hour late is one that the sweeper or the next schedule has made.
    looking = SCHEDULE.format(
        logical_id=f"{logical_id}Schedule",
        name=json.dumps(naming.monitor_schedule(stack, model, kind)),
        description=json.dumps(f"Looks at {model}: {kind}"),
        expression=json.dumps(schedule_of(monitor)),
        message=json.dumps(json.dumps(message)),
        target="MonitorDueFunctionArn",
        letters="EventDeadLettersArn",
        seconds=3600,
        attempts=20,
    )
    alarms = ALARMS.format(
        logical_id=logical_id,
        alarm=json.dumps(naming.monitor_alarm(stack, model, kind)),
        drifted=json.dumps(f"The {kind} monitor of {model} found violations in its last window."),
        blind=json.dumps(naming.blind_alarm(stack, model, kind)),
        unseen=json.dumps(f"The {kind} monitor of {model} failed, or saw nothing."),
        dimensions=json.dumps([{"Name": n, "Value": v} for n, v in dimensions.items()]),
    )
    return alarms if is_managed else f"{looking}\n{alarms}"


def _logical_id(schedule: str) -> str:
    """Letters and digits only, another for every name: names have no capitals, so X is free."""
    return f"Schedule{schedule[0].upper()}{schedule[1:]}".replace("-", "X")
