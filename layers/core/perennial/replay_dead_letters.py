"""Bring dead letters back: messages that were given up on are delivered once more.

Signals go back to the signal queue (known ids count once, so nothing doubles), and captured
requests to the capture queue. An end-of-run event is settled here and now, as the sweeper would do;
so are the end of a release and an approval. A sweep that failed needs no replay: the next one did
its work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws.signal_queue import Message, SignalQueue
from perennial.domain.errors import PerennialError
from perennial.end_release import end_release, look_after_releases
from perennial.end_run import end_run
from perennial.record_champion import record_approval

if TYPE_CHECKING:
    from perennial.wiring import Ports

SIGNALS, ENDED_RUNS, EVENTS = "signals", "ended runs", "approvals and sweeps"
ENDED_RELEASES, CAPTURES = "ended releases", "captured requests"
HIDDEN_S = 120


@dataclass(frozen=True)
class DeadLetter:
    """One message that nobody could deal with: its queue, its body, what became of it."""

    queue: str
    id: str
    body: str
    replayed: bool
    words: str


def list_dead_letters(ports: Ports) -> list[DeadLetter]:
    """The dead letters of all queues, left where they are."""
    return [
        DeadLetter(name, message.id, message.body, replayed=False, words="")
        for name, queue in _queues(ports)
        for message in _taken(queue, hidden_s=0)
    ]


def replay_dead_letters(ports: Ports) -> list[DeadLetter]:
    """Replay every dead letter; one that fails again stays, and its words say why."""
    return [
        _replayed(ports, name, queue, message)
        for name, queue in _queues(ports)
        for message in _taken(queue, hidden_s=HIDDEN_S)
    ]


def _queues(ports: Ports) -> tuple[tuple[str, SignalQueue], ...]:
    deployment = ports.deployment
    return (
        (SIGNALS, SignalQueue(deployment.signal_dead_letters_url)),
        (ENDED_RUNS, SignalQueue(deployment.run_ended_dead_letters_url)),
        (ENDED_RELEASES, SignalQueue(deployment.release_ended_dead_letters_url)),
        (EVENTS, SignalQueue(deployment.event_dead_letters_url)),
        (CAPTURES, SignalQueue(deployment.capture_dead_letters_url)),
    )


def _taken(queue: SignalQueue, *, hidden_s: int) -> Iterator[Message]:
    """Each message once; ends when a receive brings nothing that was not seen before."""
    seen: set[str] = set()
    while True:
        fresh = [message for message in queue.receive(hidden_s=hidden_s) if message.id not in seen]
        if not fresh:
            return
        seen.update(message.id for message in fresh)
        yield from fresh


def _replayed(ports: Ports, name: str, queue: SignalQueue, message: Message) -> DeadLetter:
    try:
        if name == SIGNALS:
            # Sent before it is deleted: a crash in between doubles a message, and loses none.
            ports.signals.send_text(message.body)
            words = "back on the signal queue"
        elif name == CAPTURES:
            SignalQueue(ports.deployment.capture_queue_url).send_text(message.body)
            words = "back on the capture queue"
        elif name in (ENDED_RUNS, ENDED_RELEASES):
            words = f"settled {_settle(ports, name, message.body)}"
        else:
            words = _repeat(ports, message.body)
    except (PerennialError, ValueError, KeyError, TypeError) as error:
        return DeadLetter(name, message.id, message.body, replayed=False, words=f"stays: {error}")
    queue.delete(message)
    return DeadLetter(name, message.id, message.body, replayed=True, words=words)


def _settle(ports: Ports, name: str, body: str) -> str:
    """Settle the run or release whose end the event tells."""
    event = _event(body)
    execution = str(event["detail"]["executionArn"])
    if name == ENDED_RELEASES:
        end_release(ports, execution)
    else:
        end_run(ports, execution)
    return execution.rsplit(":", 1)[-1]


def _repeat(ports: Ports, body: str) -> str:
    """Record the approval that the event tells; a sweep's event, or an alarm's, needs nothing."""
    event = _event(body)
    detail = event.get("detail")
    # What Scheduler itself sends, without an input of ours, has a text there.
    if not isinstance(detail, Mapping):
        return "a sweep; later ones did its work"
    if "ProcessingJobName" in detail:
        return f"the end of {detail['ProcessingJobName']}; later sweeps looked at its monitor"
    if "alarmName" in detail:
        return f"alarm {detail['alarmName']}; later sweeps looked at its A/B test"
    done = record_approval(ports, event)
    decision = done.decision
    look_after_releases(ports, done.model)
    return f"approval of {event['detail']['ModelPackageArn']}: {decision}"


def _event(body: str) -> Any:
    """The event of a dead letter; Lambda wraps it when it gives up on it."""
    event: Any = json.loads(body)
    return event.get("requestPayload", event)
