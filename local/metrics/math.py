"""Metric math: the expressions of GetMetricData and of alarms.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
A series maps a period's start (epoch seconds) to its value.
"""

import operator
import re
import statistics
from collections.abc import Callable, Mapping

Series = dict[float, float]
Value = float | str | Series | list[Series]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<string>\"[^\"]*\"|'[^']*')"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<operator>\|\||&&|==|!=|<=|>=|[-+*/^<>()\[\],]))"
)
_LEVELS: list[dict[str, Callable[[float, float], float]]] = [
    {"||": lambda a, b: float(bool(a) or bool(b))},
    {"&&": lambda a, b: float(bool(a) and bool(b))},
    {
        "==": lambda a, b: float(a == b),
        "!=": lambda a, b: float(a != b),
        "<": lambda a, b: float(a < b),
        "<=": lambda a, b: float(a <= b),
        ">": lambda a, b: float(a > b),
        ">=": lambda a, b: float(a >= b),
    },
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": lambda a, b: a / b if b else float("nan")},
    {"^": operator.pow},
]
_SPREAD: dict[str, Callable[[list[float]], float]] = {
    "SUM": lambda values: float(sum(values)),
    "AVG": lambda values: float(statistics.fmean(values)),
    "MIN": min,
    "MAX": max,
    "STDDEV": lambda values: float(statistics.pstdev(values)),
}
_EACH: dict[str, Callable[[float], float]] = {
    "ABS": abs,
    "CEIL": lambda value: float(-(-value // 1)),
    "FLOOR": lambda value: float(value // 1),
}


class ExpressionError(ValueError):
    """An expression that is wrong, or uses what the local cloud does not compute."""


def evaluate(
    text: str, series: Mapping[str, Series], starts: list[float], period: float
) -> list[Series]:
    """The series that an expression yields; `starts` are the periods in question, in order.

    Raises `ExpressionError`, naming the function or identifier that is not known.
    """
    value = _Parser(text, series, starts, period).parse()
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value]
    if isinstance(value, str):
        raise ExpressionError(f"the expression {text!r} is a text, not a time series")
    return [dict.fromkeys(starts, value)]


def identifiers(text: str) -> set[str]:
    """Names that an expression uses, functions included."""
    return {match.group("name") for match in _tokens(text) if match.group("name")}


def _tokens(text: str) -> list["re.Match[str]"]:
    found = []
    at = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if not match:
            raise ExpressionError(f"the expression {text!r} is not understood at {text[at:]!r}")
        found.append(match)
        at = match.end()
    return found


class _Parser:
    """Evaluates while it reads: expressions are short and read once."""

    def __init__(
        self, text: str, series: Mapping[str, Series], starts: list[float], period: float
    ) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self._series = series
        self._starts = starts
        self._period = period

    def parse(self) -> Value:
        value = self._level(0)
        if self._at != len(self._tokens):
            raise ExpressionError(f"the expression {self._text!r} goes on where it should end")
        return value

    def _peek(self) -> str:
        return self._tokens[self._at].group(0).strip() if self._at < len(self._tokens) else ""

    def _expect(self, text: str) -> None:
        if self._peek() != text:
            raise ExpressionError(f"the expression {self._text!r} misses {text!r}")
        self._at += 1

    def _level(self, level: int) -> Value:
        if level == len(_LEVELS):
            return self._factor()
        value = self._level(level + 1)
        while self._peek() in _LEVELS[level]:
            apply = _LEVELS[level][self._peek()]
            self._at += 1
            value = _combine(apply, value, self._level(level + 1))
        return value

    def _factor(self) -> Value:
        if self._at >= len(self._tokens):
            raise ExpressionError(f"the expression {self._text!r} ends too early")
        token = self._tokens[self._at]
        self._at += 1
        if token.group("number"):
            return float(token.group("number"))
        if token.group("string"):
            return str(token.group("string")[1:-1])
        if token.group("name"):
            return self._name(token.group("name"))
        symbol = token.group("operator")
        if symbol == "-":
            return _combine(operator.sub, 0.0, self._factor())
        if symbol == "(":
            value = self._level(0)
            self._expect(")")
            return value
        if symbol == "[":
            return self._array()
        raise ExpressionError(f"the expression {self._text!r} is not understood at {symbol!r}")

    def _array(self) -> Value:
        items: list[Series] = []
        for value in self._arguments("]"):
            items += _as_list(value)
        return items

    def _arguments(self, end: str) -> list[Value]:
        values: list[Value] = []
        while self._peek() != end:
            values.append(self._level(0))
            if self._peek() == ",":
                self._at += 1
            elif self._peek() != end:
                raise ExpressionError(f"the expression {self._text!r} misses {end!r}")
        self._at += 1
        return values

    def _name(self, name: str) -> Value:
        if self._peek() != "(":
            if name in ("REPEAT", "LINEAR"):
                return name
            if name not in self._series:
                raise ExpressionError(f"the expression uses {name!r}, which is no id of this query")
            return self._series[name]
        self._at += 1
        return self._call(name, self._arguments(")"))

    def _call(self, name: str, arguments: list[Value]) -> Value:  # noqa: PLR0911
        if name == "METRICS":
            wanted = str(arguments[0]) if arguments else ""
            return [s for key, s in self._series.items() if wanted in key]
        if name == "PERIOD":
            return self._period
        if name == "FILL" and len(arguments) == 2:
            return [self._fill(one, arguments[1]) for one in _as_list(arguments[0])]
        if name == "IF" and len(arguments) in (2, 3):
            return self._choose(arguments)
        if len(arguments) == 1 and name in _SPREAD:
            return _spread(_SPREAD[name], arguments[0])
        if len(arguments) == 1 and name in _EACH:
            return _each(_EACH[name], arguments[0])
        if len(arguments) == 1 and name in ("RATE", "DIFF", "RUNNING_SUM"):
            return [_along(name, one) for one in _as_list(arguments[0])]
        raise ExpressionError(f"{name} is not supported by the local cloud's metric math")

    def _fill(self, series: Series, filler: Value) -> Series:
        filled: Series = {}
        known = sorted(series)
        for start in self._starts:
            if start in series:
                filled[start] = series[start]
            elif isinstance(filler, float):
                filled[start] = filler
            else:
                before = [moment for moment in known if moment < start]
                after = [moment for moment in known if moment > start]
                if before and filler == "REPEAT":
                    filled[start] = series[before[-1]]
                elif before and after:
                    left, right = before[-1], after[0]
                    share = (start - left) / (right - left)
                    filled[start] = series[left] + (series[right] - series[left]) * share
        return filled

    def _choose(self, arguments: list[Value]) -> Value:
        condition = arguments[0]
        chosen: Series = {}
        for start in self._starts:
            test = condition.get(start) if isinstance(condition, dict) else condition
            if test is None:
                continue
            branch = arguments[1] if test else arguments[2] if len(arguments) == 3 else None
            value = branch.get(start) if isinstance(branch, dict) else branch
            if isinstance(value, float | int):
                chosen[start] = float(value)
        return chosen


def _as_list(value: Value) -> list[Series]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value]
    raise ExpressionError("a time series is expected where a number or text stands")


def _combine(apply: Callable[[float, float], float], left: Value, right: Value) -> Value:
    if isinstance(left, str) or isinstance(right, str):
        raise ExpressionError("a text cannot be calculated with")
    if isinstance(left, list):
        return [s for one in left for s in _as_list(_combine(apply, one, right))]
    if isinstance(right, list):
        return [s for one in right for s in _as_list(_combine(apply, left, one))]
    if isinstance(left, dict) and isinstance(right, dict):
        return _finite({k: apply(left[k], right[k]) for k in left if k in right})
    if isinstance(left, dict):
        return _finite({k: apply(v, float(right)) for k, v in left.items()})  # type: ignore[arg-type] # a number here
    if isinstance(right, dict):
        return _finite({k: apply(float(left), v) for k, v in right.items()})
    return apply(float(left), float(right))


def _finite(series: Series) -> Series:
    return {moment: value for moment, value in series.items() if value == value}  # noqa: PLR0124 - not NaN


def _spread(apply: Callable[[list[float]], float], value: Value) -> Value:
    """Over an array: a series, moment by moment; over one series: one number."""
    if isinstance(value, list):
        moments = sorted({moment for series in value for moment in series})
        return {m: apply([s[m] for s in value if m in s]) for m in moments}
    if isinstance(value, dict):
        return apply(list(value.values())) if value else {}
    raise ExpressionError("a time series is expected where a number or text stands")


def _each(apply: Callable[[float], float], value: Value) -> Value:
    if isinstance(value, float):
        return apply(value)
    return [{k: apply(v) for k, v in series.items()} for series in _as_list(value)]


def _along(name: str, series: Series) -> Series:
    made: Series = {}
    total, before = 0.0, None
    for moment in sorted(series):
        total += series[moment]
        if name == "RUNNING_SUM":
            made[moment] = total
        elif before is not None:
            step = series[moment] - series[before]
            made[moment] = step / (moment - before) if name == "RATE" else step
        before = moment
    return made
