"""Tell people of an alarm of a monitor: what drifted, and which run has started, or why none has.

A notice goes out when an alarm begins, and again when one that stayed in ALARM has opened a run;
not with every window in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.advance import Advance
from perennial.domain import naming
from perennial.domain.signals import Signal

if TYPE_CHECKING:
    from perennial.wiring import Ports


def tell_drift(ports: Ports, signals: list[Signal], done: Advance) -> list[str]:
    """Send the notices that these newly admitted drift signals of one model call for."""
    told = []
    for signal in signals:
        if signal.evidence.get("again") and not done.started:
            continue
        subject, text = words_of(signal, done, ports.deployment.stack)
        attributes = {
            "id": f"{ports.deployment.stack}/{signal.model}/drift/{signal.id[:16]}",
            "model": signal.model,
            "monitor": str(signal.evidence.get("monitor", "")),
        }
        ports.notices.publish(subject, text, attributes)
        told.append(text.splitlines()[0])
    return told


def words_of(signal: Signal, done: Advance, stack: str) -> tuple[str, str]:
    """Subject and text: the finding, and what follows from it."""
    evidence, model = signal.evidence, signal.model
    found = str(evidence.get("found") or evidence.get("reason") or "an alarm sounds")
    span = f" in {evidence['window']}" if evidence.get("window") else ""
    kind = evidence.get("monitor", "")
    lines = [
        f"{found}{span}; {what_follows(done, model, stack)}",
        "",
        f"Monitor {kind} of {model} (stack {stack}), alarm {signal.parts[0]}.",
        f"What drifted: perennial drift {model}",
    ]
    if not done.started:
        lines.append(f"What a run waits for: perennial why {model}")
    return f"{model}: {kind} drifted", "\n".join(lines)


def what_follows(done: Advance, model: str, stack: str) -> str:
    """Which run has started, or why none has."""
    if done.started:
        return f"run {naming.run_prefix(stack, model, done.started[-1])} has started"
    if done.watching is not None:
        return f"run {done.watching} is at work already, so none has started"
    holds = done.waiting.holds if done.waiting is not None else ()
    if holds:
        return f"no run has started: {'; '.join(dict.fromkeys(hold.words for hold in holds))}"
    return "no run has started yet"
