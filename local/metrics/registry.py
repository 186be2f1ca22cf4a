"""CloudWatch's API: alarms, dashboards, tags."""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.cloudwatch.exceptions import CloudWatchException
from moto.core.responses import ActionResult, BaseResponse, EmptyResult

from local.metrics.actions import unsupported_action
from local.metrics.alarms import Alarm, Judgement
from local.metrics.composite import RuleInvalidError, evaluate_rule
from local.metrics.query import QueryInvalidError, check_queries
from local.metrics.store import StatisticUnsupportedError, check_statistic

if TYPE_CHECKING:
    from local.cloud import Cloud

UNSUPPORTED = ("ThresholdMetricId", "EvaluationCriteria", "EvaluationWindow", "WarmUpConfiguration")
UNSUPPORTED_COMPOSITE = (
    "ActionsSuppressor",
    "ActionsSuppressorWaitPeriod",
    "ActionsSuppressorExtensionPeriod",
)
OPERATORS = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
)
TREATMENTS = ("breaching", "notBreaching", "ignore", "missing")
ACTION_LISTS = ("AlarmActions", "OKActions", "InsufficientDataActions")
MAX_ACTIONS = 5
WEEK = 7 * 86_400
STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")


def _invalid(message: str) -> CloudWatchException:
    return CloudWatchException("ValidationError", message)


class AlarmOperations(BaseResponse):
    """Alarms, dashboards and their tags, kept by the cloud's `AlarmBook`."""

    cloud: "Cloud"

    def __init__(self) -> None:
        super().__init__(service_name="cloudwatch")
        self.automated_parameter_parsing = True

    def _parameters(self) -> dict[str, Any]:
        return {k: v for k, v in dict(self.params).items() if v is not None}

    def put_metric_alarm(self) -> Any:
        """Create an alarm or replace its configuration; its state stays."""
        made = self._parameters()
        for name in UNSUPPORTED:
            if made.get(name):
                raise _invalid(f"{name} is not supported by the local cloud.")
        _check_alarm(made)
        self._store(made, composite=False)
        return EmptyResult()

    def put_composite_alarm(self) -> Any:
        """As above, for a rule over other alarms."""
        made = self._parameters()
        for name in UNSUPPORTED_COMPOSITE:
            if made.get(name):
                raise _invalid(f"{name} is not supported by the local cloud.")
        try:
            evaluate_rule(made["AlarmRule"], {})
        except RuleInvalidError as error:
            raise _invalid(str(error)) from None
        _check_actions(made)
        self._store(made, composite=True)
        return EmptyResult()

    def _store(self, made: dict[str, Any], *, composite: bool) -> None:
        tags = {tag["Key"]: tag["Value"] for tag in made.pop("Tags", None) or []}
        self.cloud.alarms.put(made, composite=composite, tags=tags)

    def describe_alarms(self) -> Any:
        """Alarms by names, prefix, state or action; both kinds where asked for."""
        names, prefix = self._get_param("AlarmNames"), self._get_param("AlarmNamePrefix")
        state, action = self._get_param("StateValue"), self._get_param("ActionPrefix")
        types = self._get_param("AlarmTypes") or ["MetricAlarm"]
        first, limit = int(self._get_param("NextToken") or 0), self._get_param("MaxRecords") or 50
        for name in ("ChildrenOfAlarmName", "ParentsOfAlarmName"):
            if self._get_param(name):
                raise NotImplementedError(f"DescribeAlarms with {name} is not supported")
        with self.cloud.alarms.lock:
            alarms = sorted(self.cloud.alarms.alarms.values(), key=lambda a: a.name)
        if names and not self._get_param("AlarmTypes"):
            types = ["MetricAlarm", "CompositeAlarm"]
        chosen = [
            alarm
            for alarm in alarms
            if (not names or alarm.name in names)
            and (not prefix or alarm.name.startswith(prefix))
            and state in (None, alarm.state)
            and (not action or any(a.startswith(action) for a in _actions(alarm)))
            and ("CompositeAlarm" if alarm.composite else "MetricAlarm") in types
        ]
        page = chosen[first : first + limit]
        result: dict[str, Any] = {
            "MetricAlarms": [_described(a) for a in page if not a.composite],
            "CompositeAlarms": [_described(a) for a in page if a.composite],
        }
        if len(chosen) > first + limit:
            result["NextToken"] = str(first + limit)
        return ActionResult(result)

    def describe_alarm_history(self) -> Any:
        """State changes, newest first."""
        name = self._get_param("AlarmName")
        kind = self._get_param("HistoryItemType")
        with self.cloud.alarms.lock:
            entries = [e for e in self.cloud.alarms.history if name in (None, e["AlarmName"])]
        if kind not in (None, "StateUpdate"):
            entries = []
        limit = self._get_param("MaxRecords") or 100
        return ActionResult({"AlarmHistoryItems": entries[::-1][:limit]})

    def delete_alarms(self) -> Any:
        """Delete alarms; one that does not exist is no error among others that do."""
        self.cloud.alarms.drop(self._get_param("AlarmNames") or [])
        return EmptyResult()

    def set_alarm_state(self) -> Any:
        """Put an alarm into a state until it is judged again."""
        alarm = self.cloud.alarms.alarms.get(self._get_param("AlarmName"))
        if alarm is None:
            raise CloudWatchException("ResourceNotFound", "The alarm does not exist.")
        state = self._get_param("StateValue")
        if state not in STATES:
            raise _invalid(f"StateValue {state!r} is none of {', '.join(STATES)}.")
        data = self._get_param("StateReasonData")
        try:
            parsed = json.loads(data) if data else None
        except ValueError:
            raise CloudWatchException(
                "InvalidFormat", "StateReasonData is not valid JSON."
            ) from None
        if state != alarm.state:
            judgement = Judgement(state, self._get_param("StateReason"), parsed)
            self.cloud.alarms.change(alarm, judgement)
        return EmptyResult()

    def enable_alarm_actions(self) -> Any:
        """Let state changes run actions again."""
        return self._switch(on=True)

    def disable_alarm_actions(self) -> Any:
        """State changes run no actions."""
        return self._switch(on=False)

    def _switch(self, *, on: bool) -> Any:
        for name in self._get_param("AlarmNames") or []:
            alarm = self.cloud.alarms.alarms.get(name)
            if alarm is not None:
                alarm.actions_enabled = on
        return EmptyResult()

    def put_dashboard(self) -> Any:
        """Keep a dashboard whose body is JSON with widgets."""
        name, body = self._get_param("DashboardName"), self._get_param("DashboardBody")
        try:
            widgets = json.loads(body)["widgets"]
        except (ValueError, KeyError, TypeError):
            raise CloudWatchException(
                "InvalidParameterInput", "The field DashboardBody must be JSON with widgets."
            ) from None
        if not isinstance(widgets, list) or any("type" not in widget for widget in widgets):
            raise CloudWatchException("InvalidParameterInput", "Every widget must have a type.")
        self.cloud.dashboards[name] = (body, self.cloud.clock.now())
        return ActionResult({"DashboardValidationMessages": []})

    def get_dashboard(self) -> Any:
        """A dashboard's body."""
        name = self._get_param("DashboardName")
        if name not in self.cloud.dashboards:
            raise CloudWatchException("ResourceNotFound", f"Dashboard {name} does not exist")
        arn = self._dashboard_arn(name)
        body = self.cloud.dashboards[name][0]
        return ActionResult({"DashboardName": name, "DashboardArn": arn, "DashboardBody": body})

    def _dashboard_arn(self, name: str) -> str:
        return f"arn:aws:cloudwatch::{self.cloud.account}:dashboard/{name}"

    def list_dashboards(self) -> Any:
        """Dashboards by prefix."""
        prefix = self._get_param("DashboardNamePrefix") or ""
        entries = [
            {
                "DashboardName": name,
                "DashboardArn": self._dashboard_arn(name),
                "LastModified": datetime.fromtimestamp(moment, UTC),
                "Size": len(body),
            }
            for name, (body, moment) in sorted(self.cloud.dashboards.items())
            if name.startswith(prefix)
        ]
        return ActionResult({"DashboardEntries": entries})

    def delete_dashboards(self) -> Any:
        """Delete dashboards; all must exist."""
        names = self._get_param("DashboardNames") or []
        missing = [name for name in names if name not in self.cloud.dashboards]
        if missing:
            raise CloudWatchException("ResourceNotFound", f"Dashboard {missing[0]} does not exist")
        for name in names:
            del self.cloud.dashboards[name]
        return EmptyResult()

    def _tagged(self) -> Alarm:
        arn = self._get_param("ResourceARN")
        for alarm in self.cloud.alarms.alarms.values():
            if alarm.arn == arn:
                return alarm
        raise CloudWatchException("ResourceNotFoundException", f"{arn} does not exist")

    def tag_resource(self) -> Any:
        """Tag an alarm."""
        tags = {tag["Key"]: tag["Value"] for tag in self._get_param("Tags") or []}
        self._tagged().tags.update(tags)
        return EmptyResult()

    def untag_resource(self) -> Any:
        """Remove tags of an alarm."""
        alarm = self._tagged()
        for key in self._get_param("TagKeys") or []:
            alarm.tags.pop(key, None)
        return EmptyResult()

    def list_tags_for_resource(self) -> Any:
        """An alarm's tags."""
        tags = [{"Key": k, "Value": v} for k, v in sorted(self._tagged().tags.items())]
        return ActionResult({"Tags": tags})


def _actions(alarm: Alarm) -> list[str]:
    return [arn for key in ACTION_LISTS for arn in alarm.configuration.get(key) or []]


def _described(alarm: Alarm) -> dict[str, Any]:
    described = {
        **alarm.configuration,
        "AlarmArn": alarm.arn,
        "ActionsEnabled": alarm.actions_enabled,
        "AlarmConfigurationUpdatedTimestamp": datetime.fromtimestamp(alarm.updated, UTC),
        "StateValue": alarm.state,
        "StateReason": alarm.reason,
        "StateUpdatedTimestamp": datetime.fromtimestamp(alarm.changed, UTC),
        "StateTransitionedTimestamp": datetime.fromtimestamp(alarm.changed, UTC),
    }
    if alarm.reason_data:
        described["StateReasonData"] = alarm.reason_data
    for key in ACTION_LISTS:
        described.setdefault(key, [])
    return described


def _check_actions(made: dict[str, Any]) -> None:
    for key in ACTION_LISTS:
        actions = made.get(key) or []
        if len(actions) > MAX_ACTIONS:
            raise _invalid(f"Member {key} must have length less than or equal to {MAX_ACTIONS}")
        for arn in actions:
            refusal = unsupported_action(arn)
            if refusal:
                raise _invalid(refusal)


def _check_alarm(made: dict[str, Any]) -> None:
    """PutMetricAlarm's documented rules; raises what AWS would answer."""
    _check_actions(made)
    if bool(made.get("Metrics")) == bool(made.get("MetricName")):
        raise _invalid("Exactly one of MetricName and Metrics must be specified")
    if made.get("Threshold") is None:
        raise _invalid("The parameter Threshold is required for a static alarm")
    if made.get("ComparisonOperator") not in OPERATORS:
        raise _invalid(f"ComparisonOperator {made.get('ComparisonOperator')!r} is not supported")
    if made.get("TreatMissingData") not in (None, *TREATMENTS):
        raise _invalid(f"TreatMissingData must be one of {', '.join(TREATMENTS)}")
    wanted = made.get("EvaluationPeriods") or 0
    if wanted < 1:
        raise _invalid("EvaluationPeriods must be at least 1")
    if not 1 <= (made.get("DatapointsToAlarm") or wanted) <= wanted:
        raise _invalid("DatapointsToAlarm must be between 1 and EvaluationPeriods")
    try:
        if made.get("Metrics"):
            _check_queries(made["Metrics"])
        else:
            _check_statistics(made)
    except (QueryInvalidError, StatisticUnsupportedError) as error:
        raise _invalid(str(error)) from None
    period = made.get("Period") or 60
    if period * wanted > WEEK:
        raise _invalid(
            "Metrics cannot be checked across more than seven days (EvaluationPeriods * Period)"
        )


def _check_queries(queries: list[dict[str, Any]]) -> None:
    check_queries(queries)
    returned = [query for query in queries if query.get("ReturnData", True)]
    if len(returned) != 1:
        raise QueryInvalidError("Exactly one element of the metrics list should return data.")


def _check_statistics(made: dict[str, Any]) -> None:
    if bool(made.get("Statistic")) == bool(made.get("ExtendedStatistic")):
        raise QueryInvalidError("Exactly one of Statistic and ExtendedStatistic must be specified")
    check_statistic(made.get("Statistic") or made["ExtendedStatistic"])
    period = made.get("Period") or 0
    if period not in (10, 20, 30) and (period < 60 or period % 60):
        raise QueryInvalidError(f"Period {period} must be 10, 20, 30 or a multiple of 60")
