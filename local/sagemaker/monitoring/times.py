"""When a monitoring schedule runs: the few forms that Model Monitor takes.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-schedule-expression.html
"""

import re
from dataclasses import dataclass
from typing import Any

from local.sagemaker.errors import invalid
from local.schedules.expression import Schedule, parse_schedule

NOW = "NOW"
HOUR = 3600.0
#: Hourly, daily at an hour, or every so many hours from an hour on.
CRON = re.compile(r"cron\(0 (?:\*|([01]?\d|2[0-3])(?:/(\d{1,2}))?) \? \* \* \*\)")
OFFSET = re.compile(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
LONGEST = 24 * HOUR


@dataclass(frozen=True)
class Times:
    """A schedule's times; `schedule` is None for one that runs once, at once.

    An execution judges the time from `begin` to `end` seconds before its own.
    """

    schedule: Schedule | None
    begin: float
    end: float = 0.0


def read_times(config: dict[str, Any]) -> Times:
    """The times of a ScheduleConfig; AWS's error for what is none."""
    text = config["ScheduleExpression"]
    given = [config.get(name) for name in ("DataAnalysisStartTime", "DataAnalysisEndTime")]
    if text == NOW:
        if None in given:
            raise invalid("A NOW schedule needs DataAnalysisStartTime and DataAnalysisEndTime.")
        begin, end = (_seconds_back(str(each)) for each in given)
        if not end < begin <= LONGEST:
            raise invalid(
                f"DataAnalysisStartTime {given[0]} must lie up to 24 hours before the end."
            )
        return Times(None, begin, end)
    if any(each is not None for each in given):
        raise invalid("DataAnalysisStartTime and DataAnalysisEndTime are for NOW schedules only.")
    match = CRON.fullmatch(text)
    hours = int(match[2]) if match and match[2] else 24 if match and match[1] else 1
    if match is None or not 1 <= hours <= 24:
        raise invalid(
            f"Invalid ScheduleExpression {text}: NOW, cron(0 * ? * * *), cron(0 [0-23] ? * * *) or "
            "cron(0 [0-23]/[1-24] ? * * *)."
        )
    return Times(parse_schedule(text), hours * HOUR)


def _seconds_back(text: str) -> float:
    match = OFFSET.fullmatch(text)
    if match is None or text in ("P", "-P", "PT", "-PT"):
        raise invalid(f"{text} is no ISO 8601 duration like -PT5H.")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
    back = days * 86400.0 + hours * HOUR + minutes * 60.0 + seconds
    if back and not match[1]:
        raise invalid(f"{text} lies in the future.")
    return back
