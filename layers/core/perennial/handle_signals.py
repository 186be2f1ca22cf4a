"""Handle a batch of messages of the signal queue.

Each message is admitted by itself; then each model of the batch is looked after once, however
many of its signals came. A message fails alone: poison as such until it reaches the dead-letter
queue, the others when their model could not be looked after, for then a run might be late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from perennial.admit_signal import Admitted, admit_signal
from perennial.advance import Advance
from perennial.domain.errors import PerennialError
from perennial.domain.ledger.rows import RunRow
from perennial.domain.signals import DRIFT, Ignored, Signal, Wake, parse_signal
from perennial.open_run import open_run

if TYPE_CHECKING:
    from perennial.wiring import Ports

COUNTED = {
    "new": "SignalsAdmitted",
    "known": "SignalsDuplicate",
    "ahead": "SignalsIgnored",
    "unknown model": "SignalsIgnored",
    "not selected": "SignalsIgnored",
}


@dataclass(frozen=True)
class Line:
    """One line for the log: which model and signal, and what was decided."""

    what: str
    model: str = ""
    signal: str = ""
    decision: str = ""
    words: str = ""
    is_error: bool = False

    def fields(self) -> dict[str, str]:
        """What is filled in, by name."""
        found = {
            "model": self.model,
            "signal": self.signal,
            "decision": self.decision,
            "words": self.words,
        }
        return {name: value for name, value in found.items() if value}


@dataclass
class Handled:
    """What became of a batch: failed message ids, lines for the log, counts by name and model."""

    failed: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass
class _Due:
    """A model to look after: the messages that ask for it, its new alarms, and the wake."""

    messages: list[str] = field(default_factory=list)
    drifts: list[Signal] = field(default_factory=list)
    arrived_ms: int | None = None


def handle_signals(ports: Ports, messages: Sequence[tuple[str, str]]) -> Handled:
    """Handle messages, each with its id and body, in any order and number of repetitions."""
    handled = Handled()
    due: dict[str, _Due] = {}
    for message, body in messages:
        try:
            _take(ports, message, body, due, handled)
        except PerennialError as error:
            handled.failed.append(message)
            line = Line("message failed", words=_words(error), is_error=True)
            handled.lines.append(line)
    for model, wanted in due.items():
        try:
            done = open_run(ports, model, arrived_ms=wanted.arrived_ms)
            if wanted.drifts:
                _tell_drift(ports, wanted.drifts, done, handled)
        except PerennialError as error:
            handled.failed += wanted.messages
            line = Line("model failed", model, words=_words(error), is_error=True)
            handled.lines.append(line)
        else:
            _note_advance(done, handled)
    return handled


def _take(ports: Ports, message: str, body: str, due: dict[str, _Due], handled: Handled) -> None:
    """Understand one message and admit what it brings."""
    match parse_signal(body, ports.deployment.token):
        case Ignored(why):
            handled.lines.append(Line("message ignored", decision="ignored", words=why))
        case Wake(model, due_ms):
            wanted = due.setdefault(model, _Due())
            wanted.messages.append(message)
            wanted.arrived_ms = due_ms
        case Signal() as signal:
            admitted = admit_signal(ports, signal)
            if admitted.needs_look:
                wanted = due.setdefault(signal.model, _Due())
                wanted.messages.append(message)
                if admitted.signal.kind == DRIFT and admitted.decision == "new":
                    wanted.drifts.append(admitted.signal)
            _note_signal(admitted, handled)


def _tell_drift(ports: Ports, drifts: list[Signal], done: Advance, handled: Handled) -> None:
    from perennial.tell_drift import tell_drift  # noqa: PLC0415  # spares a cold start

    for words in tell_drift(ports, drifts, done):
        handled.lines.append(Line("drift", done.model, decision="told", words=words))


def _note_signal(admitted: Admitted, handled: Handled) -> None:
    signal = admitted.signal
    handled.counts[(COUNTED[admitted.decision], signal.model)] += 1
    handled.lines.append(
        Line("signal", signal.model, signal.id, admitted.decision, " ".join(signal.parts))
    )


def _note_advance(done: Advance, handled: Handled) -> None:
    """Tell what a look at a model did, or what it waits for."""
    for name, numbers in (("RunsOpened", done.opened), ("RunsStarted", done.started)):
        for number in numbers:
            handled.counts[(name, done.model)] += 1
            handled.lines.append(Line("run", done.model, decision=name, words=f"run {number}"))
    handled.counts.update({(name, done.model): n for name, n in ended_counts(done.ended).items()})
    if done.waiting is not None and done.waiting.holds:
        words = "; ".join(hold.words for hold in done.waiting.holds)
        handled.lines.append(Line("model waits", done.model, decision="held", words=words))


def ended_counts(ended: Sequence[RunRow]) -> dict[str, int]:
    """How many runs ended, in all and by outcome, and the objects that they refused."""
    found: Counter[str] = Counter()
    for run in ended:
        found["RunsEnded"] += 1
        found[f"Runs{(run.outcome or 'failed').title().replace('_', '')}"] += 1
        found["ObjectsQuarantined"] += _quarantined(run.check)
    return dict(found)


def _quarantined(check: Any) -> int:
    return int(check.get("objects", {}).get("quarantined", 0))


def _words(error: PerennialError) -> str:
    return f"{type(error).__name__}: {error}"
