"""Alarms: what they watch, when their state changes.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

import json
import logging
import math
import operator
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from local.metrics.actions import announce
from local.metrics.composite import evaluate_rule
from local.metrics.query import plain_fetch, run_queries
from local.metrics.store import Point

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from local.cloud import Cloud

log = logging.getLogger(__name__)
LOOK_EVERY = 0.25  # seconds
EXTRA_PERIODS = 2  # how far beyond its periods an alarm looks for real data points
_COMPARE: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}


@dataclass
class Alarm:
    """One alarm: its configuration as put, and its state."""

    name: str
    arn: str
    configuration: dict[str, Any]
    composite: bool
    updated: float
    state: str = "INSUFFICIENT_DATA"
    reason: str = "Unchecked: Initial alarm creation"
    reason_data: str | None = None
    changed: float = 0.0
    actions_enabled: bool = True
    tags: dict[str, str] = field(default_factory=dict)

    def queries(self) -> list[dict[str, Any]]:
        """What the alarm watches, in GetMetricData's form."""
        made = self.configuration
        if made.get("Metrics"):
            return [dict(query) for query in made["Metrics"]]
        metric = {
            "Namespace": made["Namespace"],
            "MetricName": made["MetricName"],
            "Dimensions": made.get("Dimensions") or [],
        }
        stat = {
            "Metric": metric,
            "Period": made["Period"],
            "Stat": made.get("Statistic") or made.get("ExtendedStatistic"),
        }
        if made.get("Unit"):
            stat["Unit"] = made["Unit"]
        return [{"Id": "m1", "MetricStat": stat, "ReturnData": True}]

    def period(self) -> float:
        """Seconds of one data point."""
        periods = [q["MetricStat"]["Period"] for q in self.queries() if q.get("MetricStat")]
        return float(min(periods or [self.configuration.get("Period") or 60]))


@dataclass(frozen=True)
class Judgement:
    """A state, with the words for it."""

    state: str
    reason: str
    data: dict[str, Any] | None


def stamp(moment: float) -> str:
    """CloudWatch's time in events: milliseconds and +0000."""
    at = datetime.fromtimestamp(moment, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}+0000"


class AlarmBook:
    """All alarms, and the thread that judges them."""

    def __init__(self, cloud: "Cloud") -> None:
        self.cloud = cloud
        self.alarms: dict[str, Alarm] = {}
        self.history: list[dict[str, Any]] = []
        self.lock = threading.RLock()
        cloud.background("alarms", self._watch)

    def put(
        self,
        made: dict[str, Any],
        *,
        composite: bool = False,
        tags: "Mapping[str, str] | None" = None,
    ) -> None:
        """Create an alarm or replace its configuration; its state stays."""
        name, now = made["AlarmName"], self.cloud.clock.now()
        arn = f"arn:aws:cloudwatch:{self.cloud.region}:{self.cloud.account}:alarm:{name}"
        with self.lock:
            alarm = self.alarms.get(name)
            if alarm is None or alarm.composite != composite:
                alarm = Alarm(name, arn, made, composite, now, changed=now, tags=dict(tags or {}))
                self.alarms[name] = alarm
            alarm.configuration, alarm.updated = made, now
            alarm.actions_enabled = bool(made.get("ActionsEnabled", True))
        self.cloud.metrics.changed.set()

    def drop(self, names: "Iterable[str]") -> None:
        """Delete alarms; one that does not exist is no error."""
        with self.lock:
            for name in names:
                self.alarms.pop(name, None)

    def sums(
        self, namespace: str, name: str, dimensions: "Mapping[str, str]", period: int, count: int
    ) -> list[float]:
        """A metric's sums of the last whole periods, oldest first; one without data is left out."""
        end = math.floor(self.cloud.clock.service_now() / period) * period
        named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        metric = {"Namespace": namespace, "MetricName": name, "Dimensions": named}
        query = {"Id": "m1", "MetricStat": {"Metric": metric, "Period": period, "Stat": "Sum"}}
        start = end - count * period
        series = run_queries([query], start, end, self._scaled_fetch())["m1"]
        return [value for _, value in sorted(series[0].items())] if series else []

    def _watch(self) -> None:
        while not self.cloud.stopping.is_set():
            self.cloud.metrics.changed.wait(LOOK_EVERY)
            self.cloud.metrics.changed.clear()
            try:
                self.judge_all()
            except Exception:
                log.exception("alarms could not be judged")
            time.sleep(0.05)

    def judge_all(self) -> None:
        """Judge every alarm once, metric alarms before composite ones."""
        with self.lock:
            alarms = sorted(self.alarms.values(), key=lambda alarm: alarm.composite)
        for alarm in alarms:
            judgement = self._judge_composite(alarm) if alarm.composite else self.judge(alarm)
            if judgement is not None and judgement.state != alarm.state:
                self.change(alarm, judgement)

    def change(self, alarm: Alarm, judgement: Judgement) -> None:
        """Put the alarm into its new state, tell EventBridge and run the state's actions."""
        with self.lock:
            if alarm.name not in self.alarms:
                return
            before = (alarm.state, alarm.reason, alarm.reason_data, alarm.changed)
            alarm.state = judgement.state
            alarm.reason = judgement.reason
            alarm.reason_data = json.dumps(judgement.data) if judgement.data else None
            alarm.changed = self.cloud.clock.now()
            self.history.append(
                {
                    "AlarmName": alarm.name,
                    "AlarmType": "CompositeAlarm" if alarm.composite else "MetricAlarm",
                    "Timestamp": datetime.fromtimestamp(alarm.changed, UTC),
                    "HistoryItemType": "StateUpdate",
                    "HistorySummary": f"Alarm updated from {before[0]} to {alarm.state}",
                    "HistoryData": json.dumps(
                        {
                            "version": "1.0",
                            "oldState": {"stateValue": before[0], "stateReason": before[1]},
                            "newState": {"stateValue": alarm.state, "stateReason": alarm.reason},
                        }
                    ),
                }
            )
        self.cloud.journal.add("alarm", name=alarm.name, state=alarm.state, was=before[0])
        announce(self.cloud, alarm, before)

    def judge(self, alarm: Alarm) -> Judgement | None:
        """The state that the data asks for; None to leave it as it is."""
        made = alarm.configuration
        period = alarm.period()
        now = self.cloud.clock.service_now()
        span = (made["EvaluationPeriods"] + EXTRA_PERIODS) * period
        end = math.floor(now / period) * period + period
        queries = alarm.queries()
        watched = next((q["Id"] for q in queries if q.get("ReturnData", True)), queries[0]["Id"])
        results = run_queries(queries, end - period - span, end, self._scaled_fetch())[watched]
        series = results[0] if results else {}
        compare, _ = _COMPARE[made["ComparisonOperator"]]
        current = end - period
        if current in series and not (
            self._only_grows(alarm) and compare(series[current], made["Threshold"])
        ):
            del series[current]  # not over yet, and it may still turn out well
        newest = current if current in series else current - period
        return _state(alarm, series, newest, period)

    def _only_grows(self, alarm: Alarm) -> bool:
        made = alarm.configuration
        return made["ComparisonOperator"].startswith("Greater") and all(
            (q.get("MetricStat") or {}).get("Stat") in ("Sum", "Maximum", "SampleCount")
            for q in alarm.queries()
        )

    def _scaled_fetch(self) -> Any:
        """Points on the services' time axis, which runs faster than the stamps of callers."""
        clock = self.cloud.clock
        fetch = plain_fetch(self.cloud.metrics)

        def scaled(stat: "Mapping[str, Any]", start: float, end: float) -> list[Point]:
            points = fetch(stat, clock.real_at(start), clock.real_at(end))
            return [replace(each, moment=clock.service_at(each.moment)) for each in points]

        return scaled

    def _judge_composite(self, alarm: Alarm) -> Judgement | None:
        with self.lock:
            states = {other.name: other.state for other in self.alarms.values()}
            states |= {other.arn: other.state for other in self.alarms.values()}
            arns = {other.name: other for other in self.alarms.values()}
        rule = alarm.configuration["AlarmRule"]
        state, names = evaluate_rule(rule, states)
        triggers: list[dict[str, Any]] = [
            {
                "arn": arns[name].arn,
                "state": {"value": arns[name].state, "timestamp": stamp(arns[name].changed)},
            }
            for name in names
            if name in arns
        ]
        reason = f"{', '.join(t['arn'] for t in triggers)} transitioned; the rule {rule} is {state}"
        return Judgement(state, reason, {"triggeringAlarms": triggers})


def _state(
    alarm: Alarm, series: dict[float, float], newest: float, period: float
) -> Judgement | None:
    """AWS's rules for M out of N data points with missing data."""
    made = alarm.configuration
    wanted = made["EvaluationPeriods"]
    needed = made.get("DatapointsToAlarm") or wanted
    treat = made.get("TreatMissingData") or "missing"
    compare, words = _COMPARE[made["ComparisonOperator"]]
    threshold = float(made["Threshold"])
    looked = [newest - n * period for n in range(wanted + EXTRA_PERIODS)]  # newest first
    real = [moment for moment in looked if moment in series][:wanted]
    bad = [moment for moment in real if compare(series[moment], threshold)]
    absent = wanted - len(real)
    data = {
        "version": "1.0",
        "queryDate": stamp(newest + period),
        "startDate": stamp(min(real, default=newest)),
        "statistic": made.get("Statistic") or made.get("ExtendedStatistic") or "Expression",
        "period": int(period),
        "recentDatapoints": [series[moment] for moment in reversed(real)],
        "threshold": threshold,
    }
    if not real:
        return _without_data(alarm, treat, wanted, data)
    filled = absent if treat == "breaching" else 0
    oldest_bad = (newest - min(bad)) / period + 1 if bad else 0
    premature = treat == "missing" and absent and len(bad) == len(real) and oldest_bad >= needed
    if len(bad) + filled >= needed or premature:
        state, count = "ALARM", len(bad)
    elif len(bad) < len(real) or treat == "notBreaching":
        state, count = "OK", len(real) - len(bad)
    else:
        return None  # too little is known to leave the state it is in
    values = ", ".join(
        f"{series[m]} ({datetime.fromtimestamp(m, UTC):%d/%m/%y %H:%M:%S})" for m in real
    )
    verb = "was" if count == 1 else "were"
    no = "" if state == "ALARM" else "not "
    reason = (
        f"Threshold Crossed: {count} out of the last {len(real)} datapoints [{values}] {verb} "
        f"{no}{words} the threshold ({threshold}) (minimum {needed} datapoint"
        f"{'' if needed == 1 else 's'} for {alarm.state} -> {state} transition)."
    )
    return Judgement(state, reason, data)


def _without_data(alarm: Alarm, treat: str, wanted: int, data: dict[str, Any]) -> Judgement | None:
    plural = "datapoint was" if wanted == 1 else "datapoints were"
    if treat == "ignore":
        return None
    if treat == "missing":
        reason = f"Insufficient Data: {wanted} {plural} unknown."
        return Judgement("INSUFFICIENT_DATA", reason, data)
    state = "ALARM" if treat == "breaching" else "OK"
    name = "Breaching" if treat == "breaching" else "NonBreaching"
    reason = (
        f"Threshold Crossed: no datapoints were received for {wanted} period"
        f"{'' if wanted == 1 else 's'} and {wanted} missing {plural} treated as [{name}]."
    )
    return Judgement(state, reason, data)
