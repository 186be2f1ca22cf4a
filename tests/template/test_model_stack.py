"""What `perennial push` deploys for a model: the committed template with its schedules in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from perennial import model_stack
from perennial.domain import naming
from perennial.domain.errors import NotFound
from perennial.domain.settings_monitor import Monitor, Monitoring
from perennial.domain.signals import Signal, parse_signal
from perennial.model_stack import render_model_stack

from tests.statemachines.aws_api import mistakes
from tests.template.loading import main_template, read, references

SCHEDULES = {"nightly": "cron(0 3 * * ? *)", "a-1": "rate(1 hour)", "a1": "rate(2 hours)"}
LONGEST = ("prod-perennial", "m" * 20, {"s" * 20: "rate(1 minute)"})


def rendered(schedules: dict[str, str]) -> dict[str, Any]:
    """The resources of a rendered stack."""
    stack = render_model_stack("dev-perennial", "census", "dev-perenn", schedules)
    found: dict[str, Any] = read(stack.template).raw["Resources"]
    return found


def schedules_of(resources: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The properties of each schedule."""
    return {
        name: resource["Properties"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Scheduler::Schedule"
    }


def test_each_schedule_is_a_resource() -> None:
    """As many schedules as settings have, names that differ in a dash alone kept apart."""
    found = schedules_of(rendered(SCHEDULES))
    assert {p["Name"]: p["ScheduleExpression"] for p in found.values()} == {
        f"dev-perenn-census-{name}": expression for name, expression in SCHEDULES.items()
    }
    assert all(re.fullmatch(r"[A-Za-z0-9]+", name) for name in found)
    assert schedules_of(rendered({})) == {}


def test_unchanged_schedules_render_the_same() -> None:
    """The order of the settings plays no role, so an unchanged model deploys nothing."""
    one = render_model_stack("s", "m", "s", SCHEDULES)
    assert one == render_model_stack("s", "m", "s", dict(reversed(SCHEDULES.items())))


def test_a_schedule_sends_a_signal_that_is_understood() -> None:
    """The message, its time filled in by the scheduler, is a schedule signal of this model."""
    properties = schedules_of(rendered({"nightly": "rate(1 day)"}))["ScheduleNightly"]
    body = properties["Target"]["Input"].replace(model_stack.SCHEDULED_TIME, "2026-11-20T03:00:00Z")
    signal = parse_signal(body, "dev-perenn")
    assert isinstance(signal, Signal)
    assert (signal.model, signal.kind) == ("census", "schedule")


def test_the_longest_names_are_allowed() -> None:
    """The API allows what the longest stack, model and schedule names lead to."""
    stack, model, schedules = LONGEST
    template = render_model_stack(stack, model, "prod-peren", schedules).template
    (properties,) = schedules_of(read(template).raw["Resources"]).values()
    request = {
        "Name": properties["Name"],
        "GroupName": "prod-peren",
        "ScheduleExpression": properties["ScheduleExpression"],
        "FlexibleTimeWindow": properties["FlexibleTimeWindow"],
        "State": properties["State"],
        "Description": properties["Description"],
        "Target": {
            "Arn": "arn:aws:sqs:eu-west-1:111122223333:signals",
            "RoleArn": "arn:aws:iam::111122223333:role/schedules",
            "Input": properties["Target"]["Input"],
            "RetryPolicy": properties["Target"]["RetryPolicy"],
        },
    }
    assert mistakes("scheduler", "createSchedule", request) == []


def test_everything_imported_is_exported() -> None:
    """Each import names an output of the main stack; so it cannot be deleted before."""
    text = json.dumps(rendered(SCHEDULES))
    imported = set(re.findall(r"\$\{StackName\}-(\w+)", text))
    assert imported
    assert imported <= set(main_template().raw["Outputs"])


def test_every_parameter_is_used_and_given() -> None:
    """The stack's parameters are described, referred to, and filled in by the rendering."""
    stack = render_model_stack("perennial", "census", "perennial", {})
    raw = read(stack.template).raw
    assert set(stack.parameters) == set(raw["Parameters"])
    assert set(raw["Parameters"]) <= set(references(raw["Resources"]))
    assert all(len(p["Description"]) > 10 for p in raw["Parameters"].values())
    assert stack.name == "perennial-model-census"
    assert stack.tags == {"perennial:stack": "perennial", "perennial:model": "census"}


MONITORS = (Monitor("data-quality", 3600, 0, 3600, 300), Monitor("bias", 86400, 0, 86400, 86400))


def watched(stack: str, model: str, monitors: tuple[Monitor, ...]) -> dict[str, Any]:
    """The resources of a rendered stack with monitors."""
    token = naming.token(stack)
    found: dict[str, Any] = read(
        render_model_stack(stack, model, token, SCHEDULES, Monitoring(monitors)).template
    ).raw["Resources"]
    return found


def test_each_monitor_has_its_schedule_and_alarms() -> None:
    """A schedule that asks the function for this kind, an alarm whose name makes it a signal,
    and one for people when the monitor sees nothing; both are put as CloudWatch takes them."""
    found = watched("dev-perennial", "census", MONITORS)
    schedule = found["MonitorDataQualitySchedule"]["Properties"]
    assert schedule["ScheduleExpression"] == "cron(5 * * * ? *)"
    assert schedule["Target"]["Arn"] == {
        "Fn::ImportValue": {"Fn::Sub": "${StackName}-MonitorDueFunctionArn"}
    }
    message = json.loads(schedule["Target"]["Input"])
    assert (message["model"], message["monitor"]) == ("census", "data-quality")
    alarms = {
        name: resource["Properties"]
        for name, resource in found.items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    }
    assert set(alarms) == {
        f"Monitor{kind}{part}"
        for kind in ("DataQuality", "Bias")
        for part in ("Alarm", "BlindAlarm")
    }
    drift, blind = alarms["MonitorDataQualityAlarm"], alarms["MonitorDataQualityBlindAlarm"]
    named = naming.parse_monitor_alarm(drift["AlarmName"], "dev-perenn")
    assert named == ("census", "data-quality")
    assert (drift["MetricName"], blind["MetricName"]) == ("violations", "blind")
    # Between two windows there is no figure: neither alarm changes then.
    assert (drift["TreatMissingData"], blind["TreatMissingData"]) == ("ignore", "ignore")
    retry = schedule["Target"]["RetryPolicy"]
    assert retry["MaximumEventAgeInSeconds"] == 3600  # later the sweeper has looked
    assert "AlarmActions" not in drift
    assert blind["AlarmActions"] == [
        {"Fn::ImportValue": {"Fn::Sub": "${StackName}-NoticesTopicArn"}}
    ]
    for each in (drift, blind):
        assert (
            mistakes("cloudwatch", "putMetricAlarm", {**each, "AlarmActions": [], "OKActions": []})
            == []
        )


def test_monitors_of_the_longest_names_are_allowed() -> None:
    """Names stay within the limits, and what is imported is exported by the main stack."""
    found = watched("prod-perennial", "m" * 20, MONITORS)
    for resource in found.values():
        assert len(resource["Properties"].get("Name", "")) <= 64
    imported = set(re.findall(r"\$\{StackName\}-(\w+)", json.dumps(found)))
    assert imported <= set(main_template().raw["Outputs"])


def test_without_a_checkout_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the template is missing, the error says what to do."""
    monkeypatch.setattr(model_stack, "TEMPLATE", Path("nowhere/model.yaml"))
    with pytest.raises(NotFound, match="from a checkout"):
        rendered({})


def test_sagemakers_schedules_are_no_part_of_the_stack() -> None:
    """With the provider sagemaker its alarms stay, our schedule does not, and whoever removes the
    stack is told whose schedules to remove."""
    monitors = (Monitor("data-quality", 3600, 0, 3600, 0),)
    for provider, kinds in (("perennial", 3), ("sagemaker", 2)):
        monitoring = Monitoring(monitors, provider=provider)  # type: ignore[arg-type]
        text = render_model_stack("perennial", "census", "perennial", {}, monitoring).template
        resources = read(text).raw["Resources"]
        assert sum(name.startswith("Monitor") for name in resources) == kinds
        told = resources["ModelRemains"]["Properties"].get("MonitorProvider")
        assert told == ("sagemaker" if provider == "sagemaker" else None)
