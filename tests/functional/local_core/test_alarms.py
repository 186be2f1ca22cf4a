"""Alarms come from metrics, and say so as CloudWatch does."""

import json
import math
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.conftest import LocalCloud
from tests.functional.local_core.conftest import MakeFunction, eventually, unique
from tests.functional.local_core.test_events import queue, receive, rule

ACCOUNT = "123456789012"


def alarm(cloud: LocalCloud, **options: Any) -> str:
    """An alarm on a metric of its own (namespace = alarm name); returns its name."""
    name = unique("alarm")
    base: dict[str, Any] = {
        "AlarmName": name,
        "Namespace": name,
        "MetricName": "Drift",
        "Dimensions": [{"Name": "Model", "Value": "census"}],
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 0.5,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    cloud.client("cloudwatch").put_metric_alarm(**{**base, **options})
    return name


def put(cloud: LocalCloud, namespace: str, value: float, ago: float = 0, **more: Any) -> None:
    """One data point."""
    datum = {
        "MetricName": "Drift",
        "Dimensions": [{"Name": "Model", "Value": "census"}],
        "Timestamp": time.time() - ago,
        "Value": value,
        **more,
    }
    cloud.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])


def state(cloud: LocalCloud, name: str) -> str:
    """The alarm's state."""
    described = cloud.client("cloudwatch").describe_alarms(AlarmNames=[name])
    return str((described["MetricAlarms"] + described["CompositeAlarms"])[0]["StateValue"])


def test_alarm_starts_without_data_and_tells_topic_and_bus(local_cloud: LocalCloud) -> None:
    """INSUFFICIENT_DATA, then ALARM from a data point: event and notification of AWS's shape."""
    url, arn = queue(local_cloud)
    topic_url, topic_queue = queue(local_cloud)
    topic = local_cloud.client("sns").create_topic(Name=unique("topic"))["TopicArn"]
    local_cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=topic_queue)
    name = alarm(local_cloud, AlarmActions=[topic], AlarmDescription="drift of census")
    rule(
        local_cloud,
        {"source": ["aws.cloudwatch"], "detail": {"alarmName": [name]}},
        {"Arn": arn},
    )
    assert state(local_cloud, name) == "INSUFFICIENT_DATA"
    put(local_cloud, name, 0.31, ago=0)
    put(local_cloud, name, 0.91, ago=0)
    event = json.loads(receive(local_cloud, url)[0]["Body"])
    assert event["detail-type"] == "CloudWatch Alarm State Change"
    assert event["resources"] == [f"arn:aws:cloudwatch:eu-west-1:{ACCOUNT}:alarm:{name}"]
    detail = event["detail"]
    assert detail["state"]["value"] == "ALARM"
    assert detail["state"]["reason"].startswith("Threshold Crossed: 1 out of the last 1 datapoints")
    assert detail["state"]["timestamp"].endswith("+0000")
    data = json.loads(detail["state"]["reasonData"])
    assert (data["recentDatapoints"], data["threshold"]) == ([0.91], 0.5)
    assert detail["previousState"]["value"] == "INSUFFICIENT_DATA"
    assert detail["configuration"] == {
        "description": "drift of census",
        "metrics": [
            {
                "id": "m1",
                "metricStat": {
                    "metric": {
                        "namespace": name,
                        "name": "Drift",
                        "dimensions": {"Model": "census"},
                    },
                    "period": 60,
                    "stat": "Maximum",
                },
                "returnData": True,
            }
        ],
    }
    notification = json.loads(receive(local_cloud, topic_url)[0]["Body"])
    assert notification["Subject"] == f'ALARM: "{name}" in EU (Ireland)'
    message = json.loads(notification["Message"])
    assert (message["NewStateValue"], message["OldStateValue"]) == ("ALARM", "INSUFFICIENT_DATA")
    history = local_cloud.client("cloudwatch").describe_alarm_history(AlarmName=name)
    assert (
        history["AlarmHistoryItems"][0]["HistorySummary"]
        == "Alarm updated from INSUFFICIENT_DATA to ALARM"
    )


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        # newest last; None: no data in that minute. The two tables of "missing data" in the guide.
        ([0, 1, 1, None, 1], {"EvaluationPeriods": 3}, "ALARM"),
        ([0, None, 1, None, 1], {"EvaluationPeriods": 3}, "OK"),
        ([None, None, None, None, 0], {"EvaluationPeriods": 3}, "OK"),
        ([None, None, 1, None, None], {"EvaluationPeriods": 3}, "ALARM"),
        ([None] * 5, {"EvaluationPeriods": 3}, "INSUFFICIENT_DATA"),
        ([None] * 5, {"EvaluationPeriods": 3, "TreatMissingData": "breaching"}, "ALARM"),
        ([None] * 5, {"EvaluationPeriods": 3, "TreatMissingData": "notBreaching"}, "OK"),
        (
            [None, None, 1, None, None],
            {"EvaluationPeriods": 3, "TreatMissingData": "notBreaching"},
            "OK",
        ),
        ([None] * 5, {"EvaluationPeriods": 3, "TreatMissingData": "ignore"}, "INSUFFICIENT_DATA"),
        ([0, 0, 1, 0, 1], {"EvaluationPeriods": 3, "DatapointsToAlarm": 2}, "ALARM"),
        ([0, None, 1, None, None], {"EvaluationPeriods": 3, "DatapointsToAlarm": 2}, "OK"),
        ([0, 0, 0, 0, 1], {"EvaluationPeriods": 3, "DatapointsToAlarm": 2}, "OK"),
        ([0, 0, 0, 0, 1], {"ComparisonOperator": "LessThanThreshold"}, "OK"),
        ([1, 1, 1, 1, 0], {"ComparisonOperator": "LessThanThreshold"}, "ALARM"),
        ([0, 0, 0, 0, 1], {"Statistic": "Average"}, "ALARM"),
        ([0, 0, 0, 0, 1], {"Statistic": None, "ExtendedStatistic": "p90"}, "ALARM"),
    ],
)
def test_evaluation_follows_the_guides_tables(
    local_cloud: LocalCloud, values: list[float | None], options: dict[str, Any], expected: str
) -> None:
    """Datapoints to alarm, missing data, comparisons, percentiles."""
    options = dict(options)
    if options.get("Statistic", "") is None:
        options.pop("Statistic")
        name = unique("alarm")
    wait = 60 - time.time() % 60
    if wait < 2:  # not across the end of a minute
        time.sleep(wait)
    complete = math.floor(time.time() / 60) * 60
    base = {"Statistic": "Maximum"} if "ExtendedStatistic" not in options else {}
    name = unique("table")
    for back, value in enumerate(reversed(values), 1):
        if value is not None:
            put(local_cloud, name, value, ago=time.time() - (complete - back * 60 + 30))
    local_cloud.client("cloudwatch").put_metric_alarm(
        **{
            "AlarmName": name,
            "Namespace": name,
            "MetricName": "Drift",
            "Dimensions": [{"Name": "Model", "Value": "census"}],
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 0.5,
            "ComparisonOperator": "GreaterThanThreshold",
            **base,
            **options,
        }
    )
    if expected == "INSUFFICIENT_DATA":
        time.sleep(0.6)
    eventually(lambda: state(local_cloud, name) == expected, 4)


def test_metric_math_and_composite_alarms(local_cloud: LocalCloud) -> None:
    """An expression over two metrics raises an alarm, and a composite rule follows it."""
    name = unique("math")
    metric = {
        "Namespace": name,
        "MetricName": "Drift",
        "Dimensions": [{"Name": "Model", "Value": "census"}],
    }
    stat = {"Metric": metric, "Period": 60}
    local_cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Metrics=[
            {"Id": "n", "MetricStat": {**stat, "Stat": "SampleCount"}, "ReturnData": False},
            {"Id": "s", "MetricStat": {**stat, "Stat": "Sum"}, "ReturnData": False},
            {"Id": "e", "Expression": "IF(n > 1, s / n, 0)", "Label": "mean"},
        ],
        EvaluationPeriods=1,
        Threshold=2,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
    )
    whole = unique("composite")
    local_cloud.client("cloudwatch").put_composite_alarm(
        AlarmName=whole, AlarmRule=f'ALARM("{name}") AND NOT ALARM(other)'
    )
    eventually(lambda: state(local_cloud, whole) == "OK")
    wait = 60 - time.time() % 60
    if wait < 2:
        time.sleep(wait)
    back = time.time() % 60 + 30  # in the minute that is over
    put(local_cloud, name, 1, ago=back)
    put(local_cloud, name, 3, ago=back)
    eventually(lambda: state(local_cloud, name) == "ALARM")
    eventually(lambda: state(local_cloud, whole) == "ALARM")
    result = local_cloud.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            {"Id": "s", "MetricStat": {**stat, "Stat": "Sum"}, "ReturnData": False},
            {"Id": "e", "Expression": "FILL(s, 0) + 1"},
        ],
        StartTime=time.time() - 240,
        EndTime=time.time() + 60,
        ScanBy="TimestampAscending",
    )["MetricDataResults"]
    assert [r["Id"] for r in result] == ["e"]
    assert sorted(set(result[0]["Values"])) == [1, 5]


def test_alarm_invokes_a_function_and_can_be_set_by_hand(
    local_cloud: LocalCloud, make_function: MakeFunction
) -> None:
    """The direct Lambda action has its own shape; SetAlarmState runs actions too."""
    function = make_function("import json\ndef handler(e, c): print('alarm', json.dumps(e))")
    arn = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:{function}"
    name = alarm(local_cloud, AlarmActions=[arn], TreatMissingData="ignore")
    local_cloud.client("cloudwatch").set_alarm_state(
        AlarmName=name, StateValue="ALARM", StateReason="test"
    )
    local_cloud.idle()
    events = local_cloud.client("logs").filter_log_events(
        logGroupName=f"/aws/lambda/{function}", filterPattern="alarm"
    )["events"]
    got = json.loads(
        next(e["message"] for e in events if e["message"].startswith("alarm ")).split(" ", 1)[1]
    )
    assert (got["source"], got["alarmData"]["state"]["reason"]) == ("aws.cloudwatch", "test")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"Period": 45}, "Period"),
        ({"Threshold": None}, "Threshold"),
        ({"DatapointsToAlarm": 2}, "DatapointsToAlarm"),
        ({"AlarmActions": ["arn:aws:automate:eu-west-1:ec2:stop"]}, "automate"),
        ({"TreatMissingData": "nonsense"}, "TreatMissingData"),
        ({"Statistic": None, "ExtendedStatistic": "tm90"}, "tm90"),
        (
            {
                "MetricName": None,
                "Namespace": None,
                "Statistic": None,
                "Dimensions": None,
                "Period": None,
                "Metrics": [{"Id": "e", "Expression": "SEARCH('{A}', 'Sum', 60)"}],
            },
            "SEARCH",
        ),
    ],
)
def test_wrong_and_unsupported_alarms_are_refused(
    local_cloud: LocalCloud, options: dict[str, Any], word: str
) -> None:
    """PutMetricAlarm's rules, and what the local cloud does not compute, by name."""
    base: dict[str, Any] = {
        "AlarmName": unique("alarm"),
        "Namespace": "N",
        "MetricName": "M",
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    given = {key: value for key, value in {**base, **options}.items() if value is not None}
    with pytest.raises(ClientError, match=word):
        local_cloud.client("cloudwatch").put_metric_alarm(**given)


def test_percentile_statistics_and_listing(local_cloud: LocalCloud) -> None:
    """GetMetricStatistics computes percentiles; ListMetrics finds exact dimensions."""
    namespace = unique("Figures")
    for value in range(1, 101):
        put(local_cloud, namespace, value)
    points = local_cloud.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName="Drift",
        Dimensions=[{"Name": "Model", "Value": "census"}],
        StartTime=time.time() - 7200,
        EndTime=time.time() + 60,
        Period=86400,
        ExtendedStatistics=["p50", "p99"],
    )["Datapoints"]
    assert points[0]["ExtendedStatistics"] == {"p50": 50.5, "p99": 99.01}
    listed = local_cloud.client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"]
    assert listed == [
        {
            "Namespace": namespace,
            "MetricName": "Drift",
            "Dimensions": [{"Name": "Model", "Value": "census"}],
        }
    ]
