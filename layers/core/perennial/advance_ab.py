"""Carry out what the rules of A/B tests ask for, step by step, until all is as it is wanted.

The command line runs it after each wish. The sweeper runs it too, also when a challenger's alarm
sounds: it takes traffic away, records and tidies up, but changes no configuration.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from perennial.aws import alarms, endpoints, variants
from perennial.commit_change import commit_change
from perennial.domain import ab_plan
from perennial.domain.errors import Terminal
from perennial.domain.ledger import ab_tests
from perennial.domain.ledger.ab_rows import AbTest
from perennial.domain.ledger.rows import ModelRow
from perennial.domain.ledger.store import Transaction, read_model
from perennial.repeat_steps import repeat_steps

if TYPE_CHECKING:
    from perennial.wiring import Ports

MOST_STEPS = 4000  # most are waits of a pause each
PAUSE_S = 1.0


@dataclass(frozen=True)
class AbAdvance:
    """Where a test stands after a pass: `ended` is the test that the pass ended, if it did.

    `is_at_rest`: all is as it is wanted; else `words` say what is under way. `told`: what the test
    did by itself, as people are told.
    """

    model: str
    is_at_rest: bool = False
    words: str = ""
    ended: AbTest | None = None
    told: tuple[str, ...] = ()


#: Makes the challenger's Model, configuration and alarms; again is harmless.
Make = Callable[[ModelRow, AbTest], None]
#: Tries the challenger at no weight, and says how it did; raises what speaks against it.
Trial = Callable[[ModelRow, AbTest], str]


def advance_ab(  # noqa: PLR0913  # each is a choice of its own
    ports: Ports,
    model: str,
    *,
    make: Make | None = None,
    trial: Trial | None = None,
    may_deploy: bool = True,
    patience_s: float = 0,
    tell: Callable[[str], None] = lambda _words: None,
) -> AbAdvance:
    """Repeat the next step of the model's A/B test until there is none now.

    `make` brings the challenger about, `trial` tries it before it gets traffic; without them a
    test that is not begun stays so.
    `may_deploy`: also ask the endpoint for another configuration. `patience_s`: how long to wait
    for what comes to rest by itself. `tell` hears what is waited for.
    """
    now = _Pass(ports, model, make, trial, may_deploy, time.monotonic() + patience_s, tell)
    repeat_steps(lambda: _step(now), f"the A/B test of {model}", MOST_STEPS)
    return now.done


@dataclass
class _Pass:
    """One pass under way, with what `advance_ab` was given."""

    ports: Ports
    model: str
    make: Make | None
    trial: Trial | None
    may_deploy: bool
    until: float
    tell: Callable[[str], None]
    done: AbAdvance = field(init=False)

    def __post_init__(self) -> None:
        self.done = AbAdvance(self.model)


def _step(now: _Pass) -> bool:
    """Take one step; True when there is nothing more to do now."""
    row = read_model(now.ports.ledger, now.model)
    if row is None or row.ab is None:
        now.done = replace(now.done, is_at_rest=True)
        return True
    step = _next(now.ports, row, row.ab)
    if isinstance(step, ab_tests.AtRest):
        now.done = replace(now.done, is_at_rest=True, words=step.words)
        return True
    if isinstance(step, ab_tests.Wait):
        return _wait(now, step.words)
    if isinstance(step, ab_tests.AskFor) and not _may_ask(now, step):
        now.done = replace(now.done, words=f"{row.ab.endpoint} is to serve {step.config}")
        return True
    if isinstance(step, ab_tests.Try) and now.trial is None:
        words = "the challenger is not tried yet; repeat perennial ab start"
        now.done = replace(now.done, words=words)
        return True
    _take(now, row, step)
    return False


def _wait(now: _Pass, words: str) -> bool:
    """Give what is under way some time; True when there is none left."""
    now.done = replace(now.done, words=words)
    if time.monotonic() >= now.until:
        return True
    now.tell(words)
    time.sleep(PAUSE_S)
    return False


def _next(ports: Ports, row: ModelRow, test: AbTest) -> ab_tests.AbStep:
    names = ab_plan.alarm_names(ports.deployment.stack, row.model, test.number)
    states = alarms.alarm_states(names) if test.share else {}
    sounding = tuple(name for name, state in states.items() if state == alarms.ALARM)
    return ab_tests.next_ab_step(row, variants.see_fleet(test.endpoint), sounding, ports.clock())


def _may_ask(now: _Pass, step: ab_tests.AskFor) -> bool:
    return now.may_deploy and (step.config != step.test.config or now.make is not None)


def _take(now: _Pass, row: ModelRow, step: ab_tests.AbStep) -> None:
    """Carry one step out."""
    ports = now.ports
    match step:
        case ab_tests.Record(changes, notice):
            if notice:
                tell_ab(ports, row, notice)
                now.done = replace(now.done, told=(*now.done.told, notice))
            ports.ledger.commit(changes)
        case ab_tests.AskFor():
            _ask(now, row, step)
        case ab_tests.Try(test):
            _try(now, row, test)
        case ab_tests.SetWeights(test, weights):
            variants.set_weights(test.endpoint, weights)
        case ab_tests.Finish(test):
            _remove_challenger(ports, row.model, test)
            ports.ledger.commit(ab_tests.finished(row, ports.clock()))
            now.done = replace(now.done, ended=_ended(ports, row.model, test))


def _ask(now: _Pass, row: ModelRow, step: ab_tests.AskFor) -> None:
    """Ask for a configuration; a challenger that SageMaker refuses ends the test, in its words."""
    test, ports = step.test, now.ports
    is_begin = step.config == test.config
    try:
        if is_begin and now.make is not None:
            now.make(row, test)
        ports.ledger.commit(step.changes)
        variants.ask_for_config(test.endpoint, step.config)
    except Terminal as error:
        if not is_begin:
            raise
        _give_up(ports, row.model, str(error))


def _try(now: _Pass, row: ModelRow, test: AbTest) -> None:
    """Try the challenger at no weight; one that fails ends the test."""
    if now.trial is None:
        return
    now.tell("the challenger is tried on requests that main has answered")
    try:
        words = now.trial(row, test)
    except Terminal as error:
        _give_up(now.ports, row.model, str(error))
        return
    now.ports.ledger.commit(ab_tests.tried(row, words))


def _give_up(ports: Ports, model: str, words: str) -> None:
    """End the test as failed, if it is still open."""

    def decide() -> Transaction:
        found = read_model(ports.ledger, model)
        return () if found is None or found.ab is None else ab_tests.give_up(found, words)

    commit_change(ports, decide)


def _remove_challenger(ports: Ports, model: str, test: AbTest) -> None:
    alarms.delete_alarms(ab_plan.alarm_names(ports.deployment.stack, model, test.number))
    endpoints.delete_config(test.config)
    endpoints.delete_model(test.config)


def _ended(ports: Ports, model: str, test: AbTest) -> AbTest | None:
    row = read_model(ports.ledger, model)
    found = [each for each in row.ended_abs if each.number == test.number] if row else []
    return found[-1] if found else None


def tell_ab(ports: Ports, row: ModelRow, words: str) -> None:
    """Tell people what a test did by itself; its id tells repetitions."""
    test = ab_tests.open_one(row)
    stack = ports.deployment.stack
    subject = f"{row.model}: A/B test {test.number}: {words}"
    lines = [
        f"{row.model}: A/B test {test.number} (stack {stack}): {words}.",
        "",
        f"Main is version {test.main}, the challenger version {test.challenger}.",
        f"Details: perennial ab status {row.model}",
    ]
    attributes = {
        "id": f"{stack}/{row.model}/ab{test.number}/{len(test.shares)}",
        "model": row.model,
        "version": str(test.challenger),
        "outcome": "ab",
    }
    ports.notices.publish(subject, "\n".join(lines), attributes)
