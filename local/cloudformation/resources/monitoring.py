"""Amazon CloudWatch and its Logs: alarms, dashboards, log groups, metric filters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.logs.models import logs_backends

from local.cloudformation.errors import ResourceError
from local.cloudformation.resources.base import (
    Context,
    Made,
    Properties,
    ResourceType,
    absent_is_done,
    json_text,
    key_values,
    pick,
    tag_changes,
    words,
)

_ALARM = (
    "ActionsEnabled",
    "AlarmActions",
    "AlarmDescription",
    "ComparisonOperator",
    "DatapointsToAlarm",
    "Dimensions",
    "EvaluateLowSampleCountPercentile",
    "EvaluationPeriods",
    "ExtendedStatistic",
    "InsufficientDataActions",
    "MetricName",
    "Metrics",
    "Namespace",
    "OKActions",
    "Period",
    "Statistic",
    "Threshold",
    "TreatMissingData",
    "Unit",
)
_COMPOSITE = (
    "ActionsEnabled",
    "AlarmActions",
    "AlarmDescription",
    "AlarmRule",
    "InsufficientDataActions",
    "OKActions",
)
_OPERATORS = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanOrEqualToThreshold",
    "LessThanThreshold",
)
_MISSING = ("breaching", "notBreaching", "ignore", "missing")
_RETENTION_GONE = "ResourceNotFoundException"


class Alarm(ResourceType):
    """AWS::CloudWatch::Alarm."""

    type_name = "AWS::CloudWatch::Alarm"
    carried_out = words("AlarmName Tags " + " ".join(_ALARM))
    attributes = words("Arn")
    custom_name = "AlarmName"

    def problems(self, properties: Properties) -> list[str]:
        """Check operator, threshold, periods and actions."""
        found = []
        if properties.get("ComparisonOperator") not in _OPERATORS:
            found.append(
                f"ComparisonOperator {properties.get('ComparisonOperator')} is not supported "
                f"by the local cloud (one of {', '.join(_OPERATORS)})"
            )
        if "Threshold" not in properties:
            found.append("Threshold is required for alarms that are not based on anomaly detection")
        if properties.get("TreatMissingData", "missing") not in _MISSING:
            found.append(f"TreatMissingData must be one of {', '.join(_MISSING)}")
        if "MetricName" in properties:
            found += _metric_problems(properties)
        periods = int(properties.get("EvaluationPeriods", 0))
        if periods < 1:
            found.append("EvaluationPeriods must be given, and at least 1")
        if int(properties.get("DatapointsToAlarm", 1)) > max(periods, 1):
            found.append("DatapointsToAlarm must be less than or equal to EvaluationPeriods")
        if periods * int(properties.get("Period", 60)) > 7 * 86_400:
            found.append(
                "Metrics cannot be checked across more than seven days "
                "(EvaluationPeriods * Period must be <= 604800)"
            )
        return found + _action_problems(properties)

    def create(self, context: Context, properties: Properties) -> Made:
        """Put the alarm."""
        name = context.name(properties.get("AlarmName"), 255)
        tags = key_values(context.tags(properties.get("Tags")))
        request = pick(properties, *_ALARM)
        context.client("cloudwatch").put_metric_alarm(AlarmName=name, Tags=tags, **request)
        return Made(name, {"Arn": context.arn("cloudwatch", f"alarm:{name}")})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Put the whole definition again."""
        client = context.client("cloudwatch")
        client.put_metric_alarm(AlarmName=made.physical_id, **pick(new, *_ALARM))
        _retag(context, client, made.attributes["Arn"], old, new)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the alarm."""
        del properties
        with absent_is_done("ResourceNotFound", "ResourceNotFoundException"):
            context.client("cloudwatch").delete_alarms(AlarmNames=[made.physical_id])


def _metric_problems(properties: Properties) -> list[str]:
    found = [
        f"{key} is required for an alarm on one metric"
        for key in ("Namespace", "Period")
        if key not in properties
    ]
    if not {"Statistic", "ExtendedStatistic"} & set(properties):
        found.append("Exactly one of Statistic and ExtendedStatistic must be given")
    return found


def _action_problems(properties: Properties) -> list[str]:
    return [
        f"Invalid {key} value: {action} is not an ARN"
        for key in ("AlarmActions", "OKActions", "InsufficientDataActions")
        for action in properties.get(key, [])
        if not str(action).startswith("arn:")
    ]


def _retag(context: Context, client: Any, arn: str, old: Properties, new: Properties) -> None:
    wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
    if wanted:
        client.tag_resource(ResourceARN=arn, Tags=key_values(wanted))
    if gone:
        client.untag_resource(ResourceARN=arn, TagKeys=gone)


class CompositeAlarm(ResourceType):
    """AWS::CloudWatch::CompositeAlarm."""

    type_name = "AWS::CloudWatch::CompositeAlarm"
    carried_out = words("AlarmName Tags " + " ".join(_COMPOSITE))
    attributes = words("Arn")
    custom_name = "AlarmName"

    def problems(self, properties: Properties) -> list[str]:
        """Check the actions."""
        return _action_problems(properties)

    def create(self, context: Context, properties: Properties) -> Made:
        """Put the alarm."""
        name = context.name(properties.get("AlarmName"), 255)
        tags = key_values(context.tags(properties.get("Tags")))
        context.client("cloudwatch").put_composite_alarm(
            AlarmName=name, Tags=tags, **pick(properties, *_COMPOSITE)
        )
        return Made(name, {"Arn": context.arn("cloudwatch", f"alarm:{name}")})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Put the whole definition again."""
        client = context.client("cloudwatch")
        client.put_composite_alarm(AlarmName=made.physical_id, **pick(new, *_COMPOSITE))
        _retag(context, client, made.attributes["Arn"], old, new)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the alarm."""
        del properties
        with absent_is_done("ResourceNotFound", "ResourceNotFoundException"):
            context.client("cloudwatch").delete_alarms(AlarmNames=[made.physical_id])


class Dashboard(ResourceType):
    """AWS::CloudWatch::Dashboard."""

    type_name = "AWS::CloudWatch::Dashboard"
    carried_out = words("DashboardName DashboardBody")
    custom_name = "DashboardName"
    tagged = False

    def problems(self, properties: Properties) -> list[str]:
        """Check the body: JSON, with widgets that have a type and properties."""
        try:
            body = json.loads(json_text(properties["DashboardBody"]))
        except json.JSONDecodeError as error:
            return [f"The field DashboardBody must be a valid JSON object: {error}"]
        widgets = body.get("widgets") if isinstance(body, dict) else None
        if not isinstance(widgets, list):
            return ["Should have required property 'widgets' (dashboard body)"]
        known = ("metric", "text", "alarm", "log", "explorer", "custom")
        return [
            f"widgets/{number}: should have a type out of {', '.join(known)}, and properties"
            for number, widget in enumerate(widgets)
            if widget.get("type") not in known or "properties" not in widget
        ]

    def create(self, context: Context, properties: Properties) -> Made:
        """Put the dashboard."""
        name = context.name(properties.get("DashboardName"), 255)
        body = json_text(properties["DashboardBody"])
        context.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody=body)
        return Made(name)

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Put the new body."""
        del old
        context.client("cloudwatch").put_dashboard(
            DashboardName=made.physical_id, DashboardBody=json_text(new["DashboardBody"])
        )
        return {}

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the dashboard."""
        del properties
        with absent_is_done("DashboardNotFoundError", "ResourceNotFound"):
            context.client("cloudwatch").delete_dashboards(DashboardNames=[made.physical_id])


class LogGroup(ResourceType):
    """AWS::Logs::LogGroup."""

    type_name = "AWS::Logs::LogGroup"
    carried_out = words("LogGroupName LogGroupClass KmsKeyId RetentionInDays Tags")
    attributes = words("Arn")
    custom_name = "LogGroupName"

    def replaces(self, old: Properties, new: Properties) -> bool:
        """The class of a log group cannot be changed."""
        return str(old.get("LogGroupClass", "STANDARD")) != str(
            new.get("LogGroupClass", "STANDARD")
        )

    def create(self, context: Context, properties: Properties) -> Made:
        """Create the group; one that is there already is refused, as AWS does."""
        client = context.client("logs")
        name = context.name(properties.get("LogGroupName"), 512)
        request: dict[str, Any] = {}
        if "KmsKeyId" in properties:
            request["kmsKeyId"] = properties["KmsKeyId"]
        if "LogGroupClass" in properties:
            request["logGroupClass"] = properties["LogGroupClass"]
        tags = context.tags(properties.get("Tags"))
        client.create_log_group(logGroupName=name, **request, **({"tags": tags} if tags else {}))
        context.claim(name)
        if "RetentionInDays" in properties:
            client.put_retention_policy(
                logGroupName=name, retentionInDays=properties["RetentionInDays"]
            )
        return Made(name, {"Arn": context.arn("logs", f"log-group:{name}:*")})

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Change retention, key and tags."""
        client, name = context.client("logs"), made.physical_id
        if old.get("KmsKeyId") != new.get("KmsKeyId"):
            # moto has no AssociateKmsKey: what it would store is stored here.
            with context.cloud.lock("logs"):
                backend = logs_backends[context.cloud.account][context.cloud.region]
                backend.groups[name].kms_key_id = new.get("KmsKeyId")
        if "RetentionInDays" in new:
            client.put_retention_policy(logGroupName=name, retentionInDays=new["RetentionInDays"])
        elif "RetentionInDays" in old:
            client.delete_retention_policy(logGroupName=name)
        wanted, gone = tag_changes(context, old.get("Tags"), new.get("Tags"))
        arn = made.attributes["Arn"].removesuffix(":*")
        if wanted:
            client.tag_resource(resourceArn=arn, tags=wanted)
        if gone:
            client.untag_resource(resourceArn=arn, tagKeys=gone)
        return made.attributes

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the group with its streams."""
        del properties
        with absent_is_done(_RETENTION_GONE):
            context.client("logs").delete_log_group(logGroupName=made.physical_id)


class MetricFilter(ResourceType):
    """AWS::Logs::MetricFilter."""

    type_name = "AWS::Logs::MetricFilter"
    carried_out = words("FilterName FilterPattern LogGroupName MetricTransformations")
    custom_name = "FilterName"
    tagged = False

    def create(self, context: Context, properties: Properties) -> Made:
        """Put the filter."""
        name = context.name(properties.get("FilterName"), 512)
        self._put(context, name, properties)
        return Made(name)

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any]:
        """Put the new definition."""
        # moto keeps the first definition when a filter is put again.
        self.delete(context, made, old)
        self._put(context, made.physical_id, new)
        return {}

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Delete the filter; a log group that is gone took it along."""
        with absent_is_done(_RETENTION_GONE):
            context.client("logs").delete_metric_filter(
                logGroupName=properties["LogGroupName"], filterName=made.physical_id
            )

    @staticmethod
    def _put(context: Context, name: str, properties: Properties) -> None:
        renamed = {
            "MetricName": "metricName",
            "MetricNamespace": "metricNamespace",
            "MetricValue": "metricValue",
            "DefaultValue": "defaultValue",
            "Unit": "unit",
        }
        transformations = []
        for item in properties["MetricTransformations"]:
            unknown = sorted(set(item) - set(renamed) - {"Dimensions"})
            if unknown:
                raise ResourceError(
                    f"Property MetricTransformations.{unknown[0]} is not supported "
                    "by the local cloud"
                )
            sent = {renamed[key]: value for key, value in item.items() if key in renamed}
            if "Dimensions" in item:
                sent["dimensions"] = {part["Key"]: part["Value"] for part in item["Dimensions"]}
            transformations.append(sent)
        context.client("logs").put_metric_filter(
            logGroupName=properties["LogGroupName"],
            filterName=name,
            filterPattern=properties["FilterPattern"],
            metricTransformations=transformations,
        )
