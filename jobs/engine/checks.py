"""Checks a window's data against a baseline's rules: SageMaker Model Monitor's six checks.

A check fires when its constraint is broken, and chance does not explain it: the chance of so much
in a window of the baseline's own distribution is at most `LEVEL` for all checks of the window
together (each gets an equal part of it: Bonferroni). So a row more or less decides nothing in a
small window, and many features raise no alarm by their number. The formulas and their sources are
in docs/monitors.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jobs.constraint_rules import CHI_SQUARED, ROBUST, Rule
from jobs.engine.distances import (
    Texts,
    chi_squared,
    chi_squared_chance,
    new_texts_chance,
    numeric_chance,
    numeric_distance,
    robust,
    text_chance,
    text_distance,
)
from jobs.engine.sketch import KllSketch
from jobs.engine.tails import binomial_surplus, surplus

LEVEL = 0.01
TYPE, COMPLETENESS, DRIFT = "data_type_check", "completeness_check", "baseline_drift_check"
MISSING, EXTRA = "missing_column_check", "extra_column_check"
VALUES = "categorical_values_check"


@dataclass(frozen=True)
class Reference:
    """What the baseline knows of a feature: its rows with and without a value, and the values."""

    present: int
    missing: int
    values: KllSketch | Texts | None


@dataclass(frozen=True)
class Observed:
    """What a window holds of a feature. `present` rows had a value, `wrong` of them one of another
    type; `absent` rows did not even name the feature; `foreign` counts values by text."""

    rows: int
    present: int
    wrong: int
    absent: int
    values: KllSketch | Texts | None


@dataclass(frozen=True)
class Finding:
    """One check's figure beside its bound. `severity` is above 1 where the bound is broken.

    `fires`: it is broken, and not by chance.
    """

    name: str
    check: str
    value: float
    bound: float
    severity: float
    fires: bool
    words: str
    description: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The entry in report.json."""
        return {
            "name": self.name,
            "check": self.check,
            "value": self.value,
            "bound": self.bound,
            "words": self.words,
            **self.facts,
        }


def check_features(
    rules: Mapping[str, Rule],
    references: Mapping[str, Reference],
    window: Mapping[str, Observed],
) -> list[Finding]:
    """All findings of the features' values, whether they fire or not."""
    watched = [
        (rule, references.get(name, Reference(0, 0, None)), window[name])
        for name, rule in rules.items()
        if rule.is_watched and name in window and window[name].rows > window[name].absent
    ]
    planned = [check for each in watched for check in _checks_of(*each)]
    level = LEVEL / max(len(planned), 1)
    return [check(level) for check in planned]


def _checks_of(rule: Rule, then: Reference, now: Observed) -> Iterator[Callable[[float], Finding]]:
    """The checks that a feature gets; each wants the level of chance that it may have."""
    if rule.completeness is not None:
        yield partial(_completeness, rule, rule.completeness, then, now)
    if not now.present:
        return
    if rule.kind in ("Integral", "Fractional") or now.wrong:
        yield partial(_type, rule, then, now)
    values, base = now.values, then.values
    if isinstance(values, Texts) and values.rows and rule.domain is not None:
        yield partial(_categories, rule, rule.domain, then, values)
    if not rule.compares:
        return
    if isinstance(values, KllSketch) and isinstance(base, KllSketch):
        if values.count and base.count:
            yield partial(_numeric_drift, rule, base, values)
    elif isinstance(values, Texts) and isinstance(base, Texts) and values.counts and base.counts:
        yield partial(_text_drift, rule, base, values)


@dataclass(frozen=True)
class Share:
    """Good ones among some rows, the `least` share that a constraint asks for, and the baseline's
    own rows: how many of how many are bad. `known_chance` says the chance where it is known."""

    good: int
    rows: int
    least: float
    base_bad: int
    base_rows: int
    known_chance: float | None = None

    @property
    def value(self) -> float:
        """The share of good ones."""
        return self.good / self.rows

    @property
    def severity(self) -> float:
        """Above 1 where the constraint is broken."""
        lack, allowed = 1 - self.value, 1 - self.least
        if self.value < self.least:
            return 1 + lack - allowed
        return min(lack / allowed, 1.0) if allowed else 0.0

    def fires(self, level: float) -> bool:
        """Whether the constraint is broken, and not by chance."""
        return self.value < self.least and self.chance <= level

    @property
    def chance(self) -> float:
        """How likely so many bad rows are when nothing has changed.

        The baseline's own rows are what is compared with as long as they keep the constraint;
        where a person made it stricter than they are, the constraint itself is.
        """
        bad = self.rows - self.good
        if self.known_chance is not None:
            return self.known_chance
        base_good = self.base_rows - self.base_bad
        if self.base_rows and base_good >= self.least * self.base_rows:
            return surplus(bad, self.rows, self.base_bad, self.base_rows)
        return binomial_surplus(bad, self.rows, 1 - self.least)

    def finding(self, rule: Rule, check: str, level: float, texts: tuple[str, str]) -> Finding:
        """The finding of a check of such a share."""
        bounds = (self.value, self.least, self.severity)
        return Finding(rule.name, check, *bounds, self.fires(level), *texts)


def _type(rule: Rule, then: Reference, now: Observed, level: float) -> Finding:
    found = Share(now.present - now.wrong, now.present, rule.typed_share, 0, then.present)
    share, least = found.value, rule.typed_share
    return found.finding(
        rule,
        TYPE,
        level,
        (
            f"`{rule.name}` is {rule.kind} in {share:.1%} of its values (bound {least:.1%})",
            (
                f"Data type match requirement is not met. Expected data type: {rule.kind}, "
                f"Expected match: {least:.1%}. "
                f"Observed: Only {share * 100}% of data is {rule.kind}."
            ),
        ),
    )


def _completeness(
    rule: Rule, least: float, then: Reference, now: Observed, level: float
) -> Finding:
    found = Share(now.present, now.rows, least, then.missing, then.present + then.missing)
    share = found.value
    return found.finding(
        rule,
        COMPLETENESS,
        level,
        (
            f"`{rule.name}` has a value in {share:.1%} of the rows (bound {least:.1%})",
            (
                f"Value: {share:.6g} does not meet the constraint requirement! "
                f"Expected at least {least:.6g}."
            ),
        ),
    )


def _categories(
    rule: Rule, domain: frozenset[str], then: Reference, now: Texts, level: float
) -> Finding:
    foreign = {text: count for text, count in now.counts.items() if text not in domain}
    # Of very many texts the rare ones are not counted one by one; they are no known ones.
    unknown = now.rows - sum(now.counts.values()) + sum(foreign.values())
    least = rule.domain_share
    chance = None
    if isinstance(then.values, Texts) and not set(then.values.counts) - domain:
        # The domain was learned from these very rows.
        chance = new_texts_chance(now, then.values, foreign)
    base_foreign = 0
    if isinstance(then.values, Texts):
        base_foreign = sum(c for text, c in then.values.counts.items() if text not in domain)
    found = Share(now.rows - unknown, now.rows, least, base_foreign, then.present, chance)
    few = sorted(foreign, key=lambda text: (-foreign[text], text))[:5]
    named = f", such as {', '.join(map(repr, few))}" if few else ""
    return found.finding(
        rule,
        VALUES,
        level,
        (
            (
                f"`{rule.name}` has a known value in {found.value:.1%} of its rows "
                f"(bound {least:.1%}){named}"
            ),
            (
                f"Value: {found.value:.6g} does not meet the constraint requirement! Expected at "
                f"least {least:.6g} of the values in the baseline's domain{named}."
            ),
        ),
    )


def _numeric_drift(rule: Rule, then: KllSketch, now: KllSketch, level: float) -> Finding:
    distance = numeric_distance(now, then)
    chance = numeric_chance(now, then, level)
    # Deequ knows chi-squared for texts alone.
    method = ROBUST if rule.method == CHI_SQUARED else rule.method
    rows = (now.count, then.count)
    return _drift(rule, method, rule.distance, (distance, chance), rows)


def _text_drift(rule: Rule, then: Texts, now: Texts, level: float) -> Finding:
    if CHI_SQUARED in (rule.text_method, rule.method):
        return _chi_squared(rule, then, now, level)
    distance = text_distance(now, then)
    chance = text_chance(now, then, level)
    rows = (now.rows, then.rows)
    return _drift(rule, rule.method, rule.text_distance, (distance, chance), rows)


def _drift(
    rule: Rule, method: str, bound: float, far: tuple[float, float], rows: tuple[int, int]
) -> Finding:
    """The finding of a distance: `far` is the plain one, and what chance moves."""
    plain, chance = far
    value = robust(plain, *rows) if method == ROBUST else plain
    return Finding(
        rule.name,
        DRIFT,
        value,
        bound,
        value / bound if bound else 1 + value,
        value > bound and plain > chance,
        f"`{rule.name}` drifted {value:.2f} from its baseline (bound {bound:.2f})",
        f"Baseline drift distance: {value:.6g} exceeds threshold: {bound:.6g}",
        {"method": method, "plain_distance": plain, "chance": chance},
    )


def _chi_squared(rule: Rule, then: Texts, now: Texts, level: float) -> Finding:
    found = chi_squared(now, then)
    value = 1.0 if found is None else found
    chance = chi_squared_chance(now, then)
    bound = rule.text_distance
    return Finding(
        rule.name,
        DRIFT,
        value,
        bound,
        min(bound / max(value, 1e-6), 1e6) if bound else 0.0,
        value < bound and chance <= level,
        f"`{rule.name}` has other values than its baseline (p {value:.2g}, bound {bound:g})",
        f"Baseline drift p-value: {value:.6g} is below threshold: {bound:.6g}",
        {"method": CHI_SQUARED, "chance": chance},
    )


def read_reference(entry: Mapping[str, Any]) -> Reference:
    """A feature of statistics.json; raises ValueError, TypeError or KeyError for what is none."""
    numeric = entry.get("numerical_statistics")
    section = numeric or entry.get("string_statistics") or {}
    common = section["common"]
    present, missing = int(common["num_present"]), int(common["num_missing"])
    if numeric is not None:
        kll = section["distribution"]["kll"]
        return Reference(present, missing, KllSketch.from_json(kll["sketch"]))
    buckets = section.get("distribution", {}).get("categorical", {}).get("buckets", [])
    counts = {str(bucket["value"]): int(bucket["count"]) for bucket in buckets}
    rest = present - sum(counts.values())
    unlisted = 0 if rest <= 0 else min(rest, *counts.values()) if counts else rest
    return Reference(present, missing, Texts(counts, present, unlisted))
