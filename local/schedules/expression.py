"""Schedule expressions of EventBridge and EventBridge Scheduler: rate, cron and at.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_MONTHS = {name: n for n, name in enumerate(calendar.month_abbr) if name}
_MONTHS = {name.upper(): n for name, n in _MONTHS.items()}
_DAYS = {name: n for n, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_HORIZON_YEARS = 8  # a leap day on a given week day comes back within so many years or never soon


class ExpressionInvalidError(ValueError):
    """An expression that AWS would refuse."""


@dataclass(frozen=True)
class Rate:
    """Every so many seconds from the start."""

    seconds: int


@dataclass(frozen=True)
class At:
    """Once, at a moment (epoch seconds)."""

    moment: float


@dataclass(frozen=True)
class Cron:
    """Six fields in a time zone."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: str
    months: frozenset[int]
    weekdays: str
    years: frozenset[int]
    zone: ZoneInfo

    def next_after(self, moment: float) -> float | None:
        """The first minute strictly after `moment`, in epoch seconds; None if there is none."""
        local = datetime.fromtimestamp(moment, UTC).astimezone(self.zone)
        day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        last = day.replace(year=min(day.year + _HORIZON_YEARS, 9998), day=1, month=1)
        while day <= last:
            if day.year in self.years and day.month in self.months and self._day_matches(day):
                found = self._first_minute(day, moment)
                if found is not None:
                    return found
            day += timedelta(days=1)
        return None

    def _first_minute(self, day: datetime, moment: float) -> float | None:
        for hour in sorted(self.hours):
            for minute in sorted(self.minutes):
                local = day.replace(hour=hour, minute=minute, tzinfo=self.zone)
                epoch = local.timestamp()
                exists = datetime.fromtimestamp(epoch, self.zone).hour == hour
                if epoch > moment and exists:  # an hour that the clock change leaves out is skipped
                    return epoch
        return None

    def _day_matches(self, day: datetime) -> bool:
        if self.days != "?":
            return _month_day_matches(self.days, day)
        return _week_day_matches(self.weekdays, day)


Schedule = Rate | At | Cron


def parse_schedule(text: str, zone: str = "UTC", *, allow_at: bool = True) -> Schedule:
    """Read an expression; raises `ExpressionInvalidError` with the reason."""
    match = re.fullmatch(r"(rate|cron|at)\((.*)\)", text.strip())
    if not match:
        raise ExpressionInvalidError(f"{text!r} is no rate(…), cron(…) or at(…) expression")
    try:
        timezone = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ExpressionInvalidError(f"{zone!r} is no time zone") from None
    kind, inner = match.groups()
    if kind == "rate":
        return _rate(inner)
    if kind == "at":
        if not allow_at:
            raise ExpressionInvalidError("a rule's schedule is a rate or a cron expression")
        try:
            moment = datetime.strptime(inner.strip(), "%Y-%m-%dT%H:%M:%S")
        except ValueError:
            raise ExpressionInvalidError(f"at() takes yyyy-mm-ddThh:mm:ss, not {inner!r}") from None
        return At(moment.replace(tzinfo=timezone).timestamp())
    return _cron(inner, timezone)


def _rate(inner: str) -> Rate:
    match = re.fullmatch(r"\s*(\d+)\s+(minute|hour|day)(s?)\s*", inner)
    if not match or int(match.group(1)) < 1:
        raise ExpressionInvalidError(
            f"rate() takes a number and minutes, hours or days, not {inner!r}"
        )
    value, unit, plural = int(match.group(1)), match.group(2), match.group(3)
    if (value == 1) == bool(plural):
        raise ExpressionInvalidError(f"rate({inner}): singular and plural do not fit the number")
    return Rate(value * _UNITS[unit])


def _cron(inner: str, zone: ZoneInfo) -> Cron:
    fields = inner.split()
    if len(fields) != 6:
        raise ExpressionInvalidError(f"cron() has six fields, not {len(fields)}: {inner!r}")
    minutes, hours, days, months, weekdays, years = fields
    if (days == "?") == (weekdays == "?"):
        raise ExpressionInvalidError("exactly one of day-of-month and day-of-week must be ?")
    cron = Cron(
        _numbers(minutes, 0, 59, {}),
        _numbers(hours, 0, 23, {}),
        days,
        _numbers(months, 1, 12, _MONTHS),
        weekdays.upper(),
        _numbers(years, 1970, 2199, {}),
        zone,
    )
    cron._day_matches(datetime(2024, 2, 29))  # only to have the day fields checked
    return cron


def _numbers(text: str, low: int, high: int, names: dict[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        body, _, step_text = part.partition("/")
        try:
            step = int(step_text) if step_text else 1
            if body == "*":
                first, last = low, high
            elif "-" in body:
                ends = body.split("-")
                first, last = (names.get(end.upper()) or int(end) for end in ends)
            else:
                first = names.get(body.upper()) or int(body)
                last = high if step_text else first
        except ValueError:
            raise ExpressionInvalidError(f"cron field {text!r} is not understood") from None
        if not (low <= first <= high and low <= last <= high) or step < 1:
            raise ExpressionInvalidError(f"cron field {text!r} leaves {low}-{high}")
        span = (
            range(first, last + 1, step)
            if first <= last
            else (*range(first, high + 1, step), *range(low, last + 1, step))
        )
        found.update(span)
    return frozenset(found)


def _month_day_matches(field: str, day: datetime) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    if field == "L":
        return day.day == last
    if field.endswith("W"):
        wanted = last if field == "LW" else int(field[:-1])
        return day.day == _nearest_weekday(day, min(wanted, last))
    return day.day in _numbers(field, 1, 31, {})


def _nearest_weekday(day: datetime, wanted: int) -> int:
    last = calendar.monthrange(day.year, day.month)[1]
    weekday = day.replace(day=wanted).weekday()
    if weekday == 5:
        return wanted - 1 if wanted > 1 else wanted + 2
    if weekday == 6:
        return wanted + 1 if wanted < last else wanted - 2
    return wanted


def _week_day_matches(field: str, day: datetime) -> bool:
    weekday = day.isoweekday() % 7 + 1  # AWS: 1 is Sunday
    if "#" in field:
        wanted, _, nth = field.partition("#")
        number = _DAYS.get(wanted) or int(wanted)
        return weekday == number and (day.day - 1) // 7 + 1 == int(nth)
    if field.endswith("L") and field != "L":
        wanted_day = _DAYS.get(field[:-1]) or int(field[:-1])
        last = calendar.monthrange(day.year, day.month)[1]
        return weekday == wanted_day and day.day > last - 7
    if field == "L":
        return weekday == 7
    return weekday in _numbers(field, 1, 7, _DAYS)
