"""When signals may open a run, and what holds them back until then.

Signals form up to three groups, which open runs in this order:

1. a person's ``run retry``: same signals and settings as the run it repeats;
2. each manual signal with overrides (``retrain --set``), alone, oldest first;
3. all others together.

A person's request passes quiet period, cool-down, budget and the pause after a failure, never
single flight, and it waits while the model is paused: pausing is a person's word as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from perennial.domain.ledger.book import Book
from perennial.domain.ledger.limits import DAY_MS, Limits
from perennial.domain.ledger.rows import ClosedEvidence, ModelRow, Retry, SignalRow
from perennial.domain.signals import CODE, DATA, DRIFT, MANUAL, REVIEW


@dataclass(frozen=True)
class Hold:
    """One thing that a signal waits for; ``until_ms`` None: for an event, not for a time."""

    code: str
    words: str
    until_ms: int | None = None


@dataclass(frozen=True)
class Opening:
    """A run may open now: as a retry, for one signal alone, or for all ``openers``."""

    openers: tuple[SignalRow, ...] = ()
    alone: SignalRow | None = None
    retry: Retry | None = None


@dataclass(frozen=True)
class Waiting:
    """No run may open before ``until_ms`` (None: before something happens)."""

    until_ms: int | None
    holds: tuple[Hold, ...]


def runs_alone(signal: SignalRow) -> bool:
    """Whether a signal asks for a run with settings of its own."""
    return bool(signal.overrides)


def decide(book: Book, limits: Limits, now_ms: int) -> Opening | Waiting:
    """Whether a model without an open run may open one now, and for whom."""
    stop = standstill(book.model)
    if stop is not None:
        return Waiting(None, (stop,))
    waits: list[tuple[Hold, ...]] = []
    if book.model.retry is not None:
        holds = _pause_until(book.model.retry.not_before_ms, now_ms)
        if not holds:
            return Opening(retry=book.model.retry)
        waits.append(holds)
    for signal in _alone(book):
        holds = alone_holds(signal, book, now_ms)
        if not holds:
            return Opening(openers=(signal,), alone=signal)
        waits.append(holds)
    openers = common_openers(book, now_ms)
    if openers:
        holds = common_holds(openers, book.model, limits, now_ms)
        if not holds:
            return Opening(openers=openers)
        waits.append(holds)
    else:
        waits.extend((hold,) for hold in _drift_holds(book, now_ms))
    return Waiting(_earliest(waits), tuple(hold for holds in waits for hold in holds))


def standstill(model: ModelRow) -> Hold | None:
    """What keeps a model from opening any run at all."""
    if model.paused is not None:
        paused = model.paused
        words = f"paused by {paused.by}: {paused.because}; `perennial resume {model.model}`"
        return Hold("paused", words)
    if not model.has_data:
        return Hold("no-data", f"no data yet: nothing of {model.model} has landed")
    return None


def may_open(signal: SignalRow, book: Book, now_ms: int) -> bool:
    """Whether a signal is a reason of its own to open a run (if nothing holds it back)."""
    if signal.state == "held":
        return is_released(signal, book)
    if signal.kind == DRIFT:
        return drift_hold(signal, book, now_ms) is None
    return signal.state == "pending"


def is_released(signal: SignalRow, book: Book) -> bool:
    """Whether code, settings or data changed since a signal was put on hold."""
    if book.model.settings > signal.held_settings:
        return True
    return any(
        s.kind in (DATA, REVIEW) and s.run is None and s.admitted_ms > signal.held_ms
        for s in book.signals
    )


def common_openers(book: Book, now_ms: int) -> tuple[SignalRow, ...]:
    """The signals that may together open a run with the settings as published."""
    return tuple(s for s in book.signals if not runs_alone(s) and may_open(s, book, now_ms))


def common_holds(
    openers: tuple[SignalRow, ...], model: ModelRow, limits: Limits, now_ms: int
) -> tuple[Hold, ...]:
    """What the common group waits for now; empty: nothing, a run may open.

    Only what was not in a run yet speeds things up (or is slowed by the quiet period): what came
    back, or was on hold until something changed, has had its turn.
    """
    manual = [s for s in openers if s.kind == MANUAL and s.state == "pending"]
    if any(s.run is None for s in manual):
        return ()
    pause = _pause_until(model.not_before_ms, now_ms)
    if manual:
        return pause
    holds = [*pause, *_cool_down(model, limits, now_ms), *_budget(model, limits, now_ms)]
    if not _passes_quiet(openers, model):
        holds.extend(_quiet(openers, limits, now_ms))
    return tuple(holds)


def alone_holds(signal: SignalRow, book: Book, now_ms: int) -> tuple[Hold, ...]:
    """What a signal with overrides waits for; one that came back from a failure pauses."""
    return () if signal.run is None else _pause_until(book.model.not_before_ms, now_ms)


def drift_hold(signal: SignalRow, book: Book, now_ms: int) -> Hold | None:
    """Why an alarm may not open a run: by policy, alone, nothing new, or its evidence is closed."""
    return (
        _policy_hold(signal) or _company_hold(signal, book) or _evidence_hold(signal, book, now_ms)
    )


def _policy_hold(signal: SignalRow) -> Hold | None:
    """Whether the retrain policy is one by which alarms open no run."""
    policy = signal.evidence.get("policy")
    if policy is None:
        return None
    words = f"retrain.policy is {policy}: alarms of {signal.model} are told and open no run"
    return Hold("policy", words)


def _company_hold(signal: SignalRow, book: Book) -> Hold | None:
    """Whether fewer monitors are in ALARM than the settings ask for."""
    missing = int(signal.evidence.get("at_least", 1)) - len(sounding_alarms(book))
    if missing <= 0:
        return None
    more = "1 more monitor is" if missing == 1 else f"{missing} more monitors are"
    words = f"retrain.when: this alarm of {signal.model} counts once {more} in ALARM"
    return Hold("alone", words)


def _evidence_hold(signal: SignalRow, book: Book, now_ms: int) -> Hold | None:
    """Whether there is nothing new to learn, or the alarm's evidence is closed."""
    champion = book.model.champion
    if champion is None:
        return None
    if not _is_news(book, champion.run, champion.settings):
        words = (
            f"nothing new to learn: champion {signal.model} {champion.version} has seen all data "
            f"and settings {champion.settings}; waits for new data, code or settings"
        )
        return Hold("nothing-new", words)
    closed = closed_evidence(book.model, signal.parts[0])
    if closed is None:
        return None
    if not _is_news(book, closed.run, closed.settings):
        words = (
            f"nothing new to learn: run {closed.run} answered this alarm and kept the champion; "
            "waits for new data, code or settings"
        )
        return Hold("nothing-new", words)
    if now_ms < closed.until_ms:
        words = f"run {closed.run} answered this alarm and kept the champion: a pause"
        return Hold("closed", words, closed.until_ms)
    return None


def sounding_alarms(book: Book) -> frozenset[str]:
    """The alarms that call for a run; an alarm that went back to OK takes its signal along."""
    return frozenset(s.parts[0] for s in book.signals if s.kind == DRIFT)


def closed_evidence(model: ModelRow, alarm: str) -> ClosedEvidence | None:
    """The closed evidence of an alarm, if its last run kept the champion."""
    return next((each for each in model.closed if each.alarm == alarm), None)


def _is_news(book: Book, run: int, settings: int) -> bool:
    """Whether there is labelled data or a settings version that ``run`` has not seen."""
    waiting = any(s.kind in (DATA, REVIEW) for s in book.signals)
    is_labelled = max(book.model.data_run, book.model.labels_run) > run
    return waiting or is_labelled or book.model.settings > settings


def _drift_holds(book: Book, now_ms: int) -> Iterable[Hold]:
    for signal in book.signals:
        if signal.kind == DRIFT and signal.state == "pending":
            hold = drift_hold(signal, book, now_ms)
            if hold is not None:
                yield hold


def _alone(book: Book) -> list[SignalRow]:
    waiting = [s for s in book.signals if runs_alone(s)]
    ready = [s for s in waiting if s.state == "pending" or _is_held_and_released(s, book)]
    return sorted(ready, key=lambda s: (s.admitted_ms, s.id))


def _is_held_and_released(signal: SignalRow, book: Book) -> bool:
    return signal.state == "held" and is_released(signal, book)


def _pause_until(until_ms: int, now_ms: int) -> tuple[Hold, ...]:
    if now_ms >= until_ms:
        return ()
    return (Hold("pause", "a pause after a passing failure", until_ms),)


def _cool_down(model: ModelRow, limits: Limits, now_ms: int) -> tuple[Hold, ...]:
    until = model.ended_ms + limits.cool_down_ms
    if now_ms >= until:
        return ()
    return (Hold("cool-down", "cool-down after the last run", until),)


def _budget(model: ModelRow, limits: Limits, now_ms: int) -> tuple[Hold, ...]:
    recent = sorted(at for at in model.opened_ms if at > now_ms - DAY_MS)
    most = limits.max_runs_per_day
    if len(recent) < most:
        return ()
    words = f"budget: {len(recent)} runs within 24 hours, at most {most}"
    return (Hold("budget", words, recent[len(recent) - most] + DAY_MS),)


def _passes_quiet(openers: tuple[SignalRow, ...], model: ModelRow) -> bool:
    """A push passes the quiet period, unless it waited for a model's first data, which gather.

    Else it would open the first run on the first file of many.
    """
    pushes = [s.admitted_ms for s in openers if s.kind == CODE and s.run is None]
    if not pushes or model.data_run:
        return bool(pushes)
    first_data = [s.admitted_ms for s in openers if s.kind == DATA and s.run is None]
    return not first_data or max(pushes) >= min(first_data)


def _quiet(openers: tuple[SignalRow, ...], limits: Limits, now_ms: int) -> tuple[Hold, ...]:
    burst = [s.admitted_ms for s in openers if s.run is None and s.kind != CODE]
    if not burst:
        return ()
    until = min(max(burst) + limits.quiet_ms, min(burst) + limits.max_wait_ms)
    if now_ms >= until:
        return ()
    return (Hold("quiet", "quiet period: more may come", until),)


def _earliest(waits: list[tuple[Hold, ...]]) -> int | None:
    """The first moment at which any group could open; a group waits for its last hold."""
    moments = []
    for holds in waits:
        times = [hold.until_ms for hold in holds if hold.until_ms is not None]
        if len(times) == len(holds):
            moments.append(max(times))
    return min(moments, default=None)
