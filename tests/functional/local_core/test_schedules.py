"""Schedules fire at their time and hand over what AWS hands over."""

import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.schedules.expression import Cron, ExpressionInvalidError, Rate, parse_schedule
from tests.functional.conftest import LocalCloud
from tests.functional.local_core.conftest import MakeFunction, eventually, unique
from tests.functional.local_core.test_events import queue, receive

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"


def at(text: str) -> float:
    """Epoch seconds of an ISO time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("cron(0 3 * * ? *)", "UTC", "2026-11-20T10:00", "2026-11-21T03:00"),
        ("cron(0/15 8-9 ? * MON-FRI *)", "UTC", "2026-11-20T09:46", "2026-11-23T08:00"),
        ("cron(30 9 L * ? *)", "UTC", "2026-02-01T00:00", "2026-02-28T09:30"),
        ("cron(0 0 ? * 6#3 *)", "UTC", "2026-11-01T00:00", "2026-11-20T00:00"),
        ("cron(0 0 ? * 2L *)", "UTC", "2026-11-01T00:00", "2026-11-30T00:00"),
        ("cron(0 12 15W * ? *)", "UTC", "2026-11-01T00:00", "2026-11-16T12:00"),
        ("cron(0 3 * * ? *)", "Europe/Dublin", "2026-07-01T00:00", "2026-07-01T02:00"),
        ("cron(30 1 * * ? *)", "Europe/Dublin", "2026-03-28T12:00", "2026-03-30T00:30"),
        ("cron(0 0 29 2 ? *)", "UTC", "2026-01-01T00:00", "2028-02-29T00:00"),
        ("cron(0 22-1 ? * * *)", "UTC", "2026-11-20T23:30", "2026-11-21T00:00"),
    ],
)
def test_cron_times(expression: str, zone: str, after: str, expected: str) -> None:
    """Ranges, steps, last days, n-th week days, time zones and the hour that does not exist."""
    schedule = parse_schedule(expression, zone)
    assert isinstance(schedule, Cron)
    assert schedule.next_after(at(after)) == at(expected)


@pytest.mark.parametrize(
    "expression",
    [
        "cron(0 3 * * * *)",
        "cron(0 3 * * ?)",
        "cron(61 3 * * ? *)",
        "rate(1 minutes)",
        "rate(0 days)",
        "every hour",
        "at(tomorrow)",
    ],
)
def test_invalid_expressions_are_refused(expression: str) -> None:
    """What AWS refuses is refused."""
    with pytest.raises(ExpressionInvalidError):
        parse_schedule(expression)


def test_rate_is_read() -> None:
    """Units and numbers."""
    assert parse_schedule("rate(5 minutes)") == Rate(300)


def create(cloud: LocalCloud, expression: str, target: dict[str, Any], **options: Any) -> str:
    """A schedule; returns its name."""
    name = unique("schedule")
    cloud.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression=expression,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"RoleArn": ROLE, **target},
        **options,
    )
    return name


def test_one_time_schedule_replaces_context_attributes_and_deletes_itself(
    local_cloud: LocalCloud,
) -> None:
    """at() fires once with the Input, attributes filled in, and is deleted afterwards."""
    url, arn = queue(local_cloud)
    moment = datetime.fromtimestamp(time.time() + 1, UTC)
    text = (
        '{"at": "<aws.scheduler.scheduled-time>", "arn": "<aws.scheduler.schedule-arn>",'
        ' "n": <aws.scheduler.attempt-number>, "e": "<aws.scheduler.execution-id>"}'
    )
    group = unique("group")
    scheduler = local_cloud.client("scheduler")
    scheduler.create_schedule_group(Name=group)
    name = create(
        local_cloud,
        f"at({moment:%Y-%m-%dT%H:%M:%S})",
        {"Arn": arn, "Input": text},
        GroupName=group,
        ActionAfterCompletion="DELETE",
    )
    got = json.loads(receive(local_cloud, url)[0]["Body"])
    assert got["at"] == f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    assert got["arn"] == f"arn:aws:scheduler:eu-west-1:{ACCOUNT}:schedule/{group}/{name}"
    assert got["n"] == 1
    assert re.fullmatch(r"[0-9a-f-]{36}", got["e"])

    def gone() -> bool:
        try:
            scheduler.get_schedule(Name=name, GroupName=group)
        except scheduler.exceptions.ResourceNotFoundException:
            return True
        return False

    eventually(gone)
    with pytest.raises(scheduler.exceptions.ConflictException):
        scheduler.create_schedule_group(Name=group)


def test_function_and_universal_targets(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """A Lambda target gets the Input as its event; a universal target makes the call."""
    function = make_function("def handler(e, c): print('fired', e['kind'])")
    create(
        local_cloud,
        "rate(1 hour)",
        {
            "Arn": f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{function}",
            "Input": '{"kind": "sweep"}',
        },
    )
    url, _ = queue(local_cloud)
    create(
        local_cloud,
        "rate(1 hour)",
        {
            "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
            "Input": json.dumps({"QueueUrl": url, "MessageBody": "universal"}),
        },
    )
    assert receive(local_cloud, url)[0]["Body"] == "universal"
    local_cloud.idle()
    events = local_cloud.client("logs").filter_log_events(
        logGroupName=f"/aws/lambda/{function}", filterPattern="fired"
    )["events"]
    assert [e["message"] for e in events] == ["fired sweep"]


def test_rate_fires_again_and_rules_have_schedules_too(fast_cloud: LocalCloud) -> None:
    """With a fast clock a rate fires repeatedly; a rule's schedule sends a Scheduled Event."""
    cloud = fast_cloud
    url, arn = queue(cloud)
    create(cloud, "rate(1 minute)", {"Arn": arn, "Input": "tick"})
    rule_url, rule_arn = queue(cloud)
    events = cloud.client("events")
    events.put_rule(Name="every-minute", ScheduleExpression="rate(1 minute)")
    events.put_targets(Rule="every-minute", Targets=[{"Id": "q", "Arn": rule_arn}])
    off_url, off_arn = queue(cloud)
    create(cloud, "rate(1 minute)", {"Arn": off_arn, "Input": "tick"}, State="DISABLED")
    receive(cloud, url, 3)
    event = json.loads(receive(cloud, rule_url, 2)[0]["Body"])
    assert (event["source"], event["detail-type"], event["detail"]) == (
        "aws.events",
        "Scheduled Event",
        {},
    )
    assert event["resources"][0].endswith(":rule/every-minute")
    assert "Messages" not in cloud.client("sqs").receive_message(QueueUrl=off_url)


def test_failing_target_reaches_the_dead_letter_queue(local_cloud: LocalCloud) -> None:
    """A function that does not exist: the Input and AWS's attributes land on the queue."""
    url, dead = queue(local_cloud)
    gone = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:gone"
    create(
        local_cloud,
        "rate(1 day)",
        {"Arn": gone, "Input": '{"a": 1}', "DeadLetterConfig": {"Arn": dead}},
    )
    message = receive(local_cloud, url)[0]
    attributes = {k: v["StringValue"] for k, v in message["MessageAttributes"].items()}
    assert json.loads(message["Body"]) == {"a": 1}
    assert attributes["ERROR_CODE"] == "ResourceNotFoundException"
    assert attributes["TARGET_ARN"] == gone
    assert attributes["RETRY_ATTEMPTS"] == "0"


@pytest.mark.parametrize(
    ("expression", "target", "options", "word"),
    [
        ("rate(1 minutes)", {"Arn": "arn:aws:sqs:eu-west-1:123456789012:q"}, {}, "rate"),
        ("rate(1 day)", {"Arn": "arn:aws:ecs:eu-west-1:123456789012:cluster/c"}, {}, "ecs"),
        (
            "rate(1 day)",
            {"Arn": "arn:aws:sqs:eu-west-1:123456789012:q"},
            {"GroupName": "none"},
            "none",
        ),
        (
            "rate(1 day)",
            {"Arn": "arn:aws:sqs:eu-west-1:123456789012:q"},
            {"ScheduleExpressionTimezone": "Mars/Base"},
            "Mars",
        ),
    ],
)
def test_schedules_that_cannot_fire_are_refused(
    local_cloud: LocalCloud,
    expression: str,
    target: dict[str, Any],
    options: dict[str, Any],
    word: str,
) -> None:
    """Wrong expressions, unknown targets, groups and zones."""
    with pytest.raises(ClientError, match=word):
        create(local_cloud, expression, target, **options)
