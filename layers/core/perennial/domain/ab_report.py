"""What an A/B test has shown so far: the figures of both variants, and what they mean.

Three figures are held against each other by the sequential test: answers (from captured requests
with a label), failed requests and latency (from CloudWatch). They share its false-positive rate,
a third each, so that a whole report is wrong about two equal variants with a chance of at most
`sequential_test.ALPHA`, however often it is asked for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from perennial.domain.ledger.ab_rows import AbTest
from perennial.domain.ledger.ab_tests import CHALLENGER, MAIN
from perennial.domain.sequential_test import (
    ALPHA,
    Difference,
    Kind,
    Sample,
    Stratum,
    compare,
    sample_of,
    share_of,
)

FIGURES = 3
EACH = ALPHA / FIGURES
PERCENT_POINTS = 100.0
NOTHING = "no difference is shown yet"


@dataclass(frozen=True)
class Period:
    """A variant within a time of CloudWatch's: latencies in milliseconds, None without any."""

    begin_ms: int
    end_ms: int
    requests: int
    errors: int
    latency_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True)
class Judged:
    """The rows of one labelled request: when it was made, and per row 1 (right) or 0, or an error.

    `values` of a regression are absolute errors.
    """

    at_ms: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class VariantFigures:
    """One variant in figures. `quality` is its share of right answers, or mean absolute error."""

    variant: str
    version: int
    requests: int
    errors: int
    latency_ms: float | None
    worst_p99_ms: float | None
    labelled: int
    quality: float | None


@dataclass(frozen=True)
class AbReport:
    """The figures, the three comparisons (challenger minus main), and the verdict in words.

    `is_error`: quality is an error, so lower is better; else a share of right answers.
    `winner` is `challenger` or `main` where the answers tell, else empty.
    """

    variants: tuple[VariantFigures, ...]
    is_error: bool
    quality: Difference
    errors: Difference
    latency: Difference
    winner: str
    words: tuple[str, ...]


def report(
    model: str,
    test: AbTest,
    counted: Mapping[str, Sequence[Period]],
    judged: Mapping[str, Sequence[Judged]],
    *,
    is_error: bool,
) -> AbReport:
    """What the periods and the labelled requests of each variant of a model show."""
    starts = [share.at_ms for share in test.shares]
    quality_kind: Kind = "mean" if is_error else "share"
    quality = compare(_quality(starts, judged), quality_kind, alpha=EACH)
    errors = compare(_periods(starts, counted, _failed), "share", alpha=EACH)
    latency = compare(_periods(starts, counted, _latency), "mean", alpha=EACH)
    winner = _winner(quality, is_error=is_error)
    variants = tuple(
        _figures(name, version, counted.get(name, ()), judged.get(name, ()))
        for name, version in ((MAIN, test.main), (CHALLENGER, test.challenger))
    )
    words = (
        _quality_words(model, quality, winner, is_error=is_error),
        _failed_words(errors),
        _latency_words(latency),
        _advice(model, test, winner, errors, latency),
    )
    return AbReport(variants, is_error, quality, errors, latency, winner, words)


def _figures(
    variant: str, version: int, periods: Sequence[Period], judged: Sequence[Judged]
) -> VariantFigures:
    timed = [each for each in periods if each.latency_ms is not None]
    weight = sum(each.requests for each in timed)
    spent = sum((each.latency_ms or 0.0) * each.requests for each in timed)
    worst = [each.p99_ms for each in periods if each.p99_ms is not None]
    values = [value for each in judged for value in each.values]
    return VariantFigures(
        variant=variant,
        version=version,
        requests=sum(each.requests for each in periods),
        errors=sum(each.errors for each in periods),
        latency_ms=spent / weight if weight else None,
        worst_p99_ms=max(worst, default=None),
        labelled=len(values),
        quality=sum(values) / len(values) if values else None,
    )


def _stratum(starts: Sequence[int], begin_ms: int, end_ms: int) -> int | None:
    """The place of the share that held from `begin_ms` to `end_ms`; None: none did throughout."""
    place = bisect_right(starts, begin_ms)
    is_whole = place > 0 and (place == len(starts) or end_ms <= starts[place])
    return place if is_whole else None


def _joined(parts: Iterable[tuple[str, int | None, Sample]]) -> list[Stratum]:
    """The samples of each variant by stratum."""
    sums: dict[int, dict[str, Sample]] = {}
    for variant, place, sample in parts:
        if place is not None:
            both = sums.setdefault(place, {MAIN: Sample(), CHALLENGER: Sample()})
            both[variant] += sample
    return [Stratum(both[MAIN], both[CHALLENGER]) for _, both in sorted(sums.items())]


def _quality(starts: Sequence[int], judged: Mapping[str, Sequence[Judged]]) -> list[Stratum]:
    return _joined(
        (variant, _stratum(starts, each.at_ms, each.at_ms), sample_of(each.values))
        for variant, requests in judged.items()
        for each in requests
    )


def _failed(period: Period) -> Sample:
    return share_of(period.requests, min(period.errors, period.requests))


def _latency(period: Period) -> Sample:
    """A period's mean counts once: its requests ran beside each other and are not independent."""
    return Sample() if period.latency_ms is None else sample_of([period.latency_ms])


def _periods(
    starts: Sequence[int],
    counted: Mapping[str, Sequence[Period]],
    sample: Callable[[Period], Sample],
) -> list[Stratum]:
    """By whole periods: one in which the share changed belongs to no stratum."""
    return _joined(
        (variant, _stratum(starts, each.begin_ms, each.end_ms), sample(each))
        for variant, periods in counted.items()
        for each in periods
    )


def _winner(quality: Difference, *, is_error: bool) -> str:
    better = (
        {"lower": CHALLENGER, "higher": MAIN}
        if is_error
        else {
            "higher": CHALLENGER,
            "lower": MAIN,
        }
    )
    return better.get(quality.finding, "")


def _quality_words(model: str, quality: Difference, winner: str, *, is_error: bool) -> str:
    rows = f"{quality.challenger.count:,} labelled answers of the challenger"
    rows += f", {quality.main.count:,} of main"
    if quality.finding == "too little data":
        return f"quality: too little data yet ({rows}; labels land below labels/{model}/)"
    said = {CHALLENGER: "the challenger is better", MAIN: "main is better"}.get(winner, NOTHING)
    interval = _interval(quality) if is_error else _interval(quality, PERCENT_POINTS, " points")
    what = "mean absolute error" if is_error else "right answers"
    return f"quality: {said} ({what}: {interval}; {rows})"


def _failed_words(found: Difference) -> str:
    if found.finding == "too little data":
        return "failed requests: too few yet to tell a difference"
    told = {"higher": "the challenger has more", "lower": "the challenger has fewer"}
    said = told.get(found.finding, NOTHING)
    return f"failed requests: {said} ({_interval(found, PERCENT_POINTS, ' points')})"


def _latency_words(found: Difference) -> str:
    if found.finding == "too little data":
        return "latency: too little data yet"
    told = {"higher": "the challenger is slower", "lower": "the challenger is faster"}
    return f"latency: {told.get(found.finding, NOTHING)} ({_interval(found, 1.0, ' ms')})"


def _interval(found: Difference, scale: float = 1.0, unit: str = "") -> str:
    low, high = found.low * scale, found.high * scale
    return f"challenger minus main lies between {low:+.2f} and {high:+.2f}{unit}"


def _advice(model: str, test: AbTest, winner: str, errors: Difference, latency: Difference) -> str:
    """What to do next, in one sentence."""
    told = (("fails more often", errors), ("is slower", latency))
    harm = " and ".join(words for words, found in told if found.finding == "higher")
    stop = f'perennial ab stop {model} --because "..." --winner'
    if test.ended_ms is not None:
        advice = f"the test is over: {test.words}"
    elif test.stop is not None:
        advice = "the test is being stopped"
    elif winner == CHALLENGER and harm:
        advice = f"the challenger answers better, but {harm}: that is for you to weigh"
    elif winner == CHALLENGER:
        advice = f"the challenger answers better: {stop} challenger"
    elif winner == MAIN:
        advice = f"main answers better: {stop} main"
    elif harm:
        advice = f"the challenger {harm}: {stop} main"
    elif not test.share:
        shift = f'perennial ab shift {model} --share 10% --because "..."'
        advice = f"the challenger gets no traffic: {shift}"
    else:
        advice = "nothing is decided yet; looking again does no harm"
    return advice
