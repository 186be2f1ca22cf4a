"""The values that a tuning job may try, on the scale on which it looks for them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.sagemaker.errors import SageMakerError, invalid, unsupported

KINDS = ("Integer", "Continuous", "Categorical")
MOST = 30  # hyperparameters that one tuning job may search
AUTO_LOG_RATIO = 100.0  # Auto takes the logarithmic scale for ranges of two orders of magnitude


@dataclass(frozen=True)
class Range:
    """One tunable hyperparameter. `kind`: Integer, Continuous or Categorical."""

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    scale: str = "Linear"  # Linear, Logarithmic or ReverseLogarithmic
    values: tuple[str, ...] = ()

    def text(self, value: Any) -> str:
        """A value as the training job gets it."""
        if self.kind == "Integer":
            return str(int(value))
        return repr(float(value)) if self.kind == "Continuous" else str(value)

    def parsed(self, text: str | None) -> Any:
        """The value that a text means, or None if it lies outside the range or is none."""
        if text is None or self.kind == "Categorical":
            return text if text in self.values else None
        try:
            value = float(text.strip('"'))
        except ValueError:
            return None
        if not self.low <= value <= self.high:
            return None
        return int(value) if self.kind == "Integer" else value


def read_ranges(found: Mapping[str, Any]) -> list[Range]:
    """ParameterRanges as AWS takes them; refuses what AWS refuses, and automatic ranges.

    Fills in the default ScalingType, as Describe shows it.
    """
    if found.get("AutoParameters"):
        raise unsupported("Autotune (ParameterRanges.AutoParameters)")
    ranges = [
        _read(kind, entry) for kind in KINDS for entry in found.get(f"{kind}ParameterRanges", [])
    ]
    names = [entry.name for entry in ranges]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"Hyperparameter names must be unique; {name} has more than one range.")
    if len(ranges) > MOST:
        raise SageMakerError(
            "ResourceLimitExceeded",
            f"A hyperparameter tuning job can search at most {MOST} hyperparameters, "
            f"not {len(ranges)}.",
        )
    if not ranges:
        raise invalid("A hyperparameter tuning job needs at least one range (ParameterRanges).")
    return ranges


def _read(kind: str, entry: dict[str, Any]) -> Range:
    name = entry["Name"]
    if kind == "Categorical":
        values = tuple(entry["Values"])
        if len(set(values)) != len(values):
            raise invalid(f"The values of the categorical hyperparameter {name} are not unique.")
        return Range(name, kind, values=values)
    scale = entry.setdefault("ScalingType", "Auto")
    low, high = (_number(kind, entry, member) for member in ("MinValue", "MaxValue"))
    if low > high:
        raise invalid(
            f"The MinValue {entry['MinValue']} of the hyperparameter {name} is greater than its "
            f"MaxValue {entry['MaxValue']}."
        )
    if scale == "Logarithmic" and low <= 0:
        raise invalid(
            f"Logarithmic scaling works only for ranges that have only values greater than 0; "
            f"{name} begins at {entry['MinValue']}."
        )
    if scale == "ReverseLogarithmic":
        if kind == "Integer":
            raise invalid(f"ReverseLogarithmic scaling is for continuous ranges; {name} is not.")
        if not 0 <= low <= high < 1:
            raise invalid(
                "ReverseLogarithmic scaling works only for ranges that are entirely within the "
                f"range 0<=x<1.0; {name} is not."
            )
    if scale == "Auto":
        wide = low > 0 and high / low >= AUTO_LOG_RATIO
        scale = "Logarithmic" if wide else "Linear"
    return Range(name, kind, low, high, scale)


def _number(kind: str, entry: Mapping[str, Any], member: str) -> float:
    text = entry[member]
    try:
        value = float(int(text)) if kind == "Integer" else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        what = "an integer" if kind == "Integer" else "a number"
        raise invalid(f"The {member} {text!r} of the hyperparameter {entry['Name']} is not {what}.")
    return value
