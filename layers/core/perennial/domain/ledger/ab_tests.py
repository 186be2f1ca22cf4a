"""A/B tests: a challenger beside the live version, never beside a release.

As with releases, a caller loops: read the model's row, look at the endpoint and at the
challenger's alarms, ask :func:`next_ab_step`, carry it out, again. Each step may be repeated by
anyone after a crash: what is wanted stands in the row, and only the endpoint says what is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from perennial.domain.errors import NotAllowed
from perennial.domain.ledger.ab_rows import AbOutcome, AbShare, AbStop, AbTest
from perennial.domain.ledger.rows import ModelRow, Wanted
from perennial.domain.ledger.single_flight import refuse_during_release, refuse_during_test
from perennial.domain.ledger.store import Transaction, change
from perennial.domain.release_truth import CHANGING, GRACE_MS, IN_SERVICE, SeenEndpoint

MAIN, CHALLENGER = "main", "challenger"
WHOLE = 1000
#: More than half of the traffic is what a release is for: it has guards that roll back.
MOST = 500
KEPT = 20  # tests that ended
MOST_SHARES = 200
#: Who acts when nobody does.
ITSELF = "Perennial"


def open_test(model: ModelRow, asked: AbTest) -> Transaction:
    """Take the model for a test (single flight: by compare-and-swap); raises ``NotAllowed``.

    ``asked.number`` must be the model's next one. Empty if that very test is open already.
    """
    test, live = model.ab, model.live
    if test is not None and test.stop is None and test.arn == asked.arn:
        return ()
    refuse_during_test(model, "another test")
    refuse_during_release(model)
    if live is None:
        raise NotAllowed(
            f"nothing of {model.model} is live, so there is nothing to test against; "
            f"`perennial release {model.model} --version <n>` brings a version into production"
        )
    if live.arn == asked.arn:
        raise NotAllowed(f"{model.model} {asked.challenger} is live already, as main")
    check_share(asked.permille)
    if asked.number != model.last_ab + 1 or asked.main_config != live.config:
        raise NotAllowed(f"what is live of {model.model} changed meanwhile; ask again")
    return (change(model, last_ab=asked.number, ab=asked),)


def check_share(permille: int) -> None:
    """Raise ``NotAllowed`` for a share that a challenger may not have."""
    if not 0 <= permille <= MOST:
        raise NotAllowed(
            f"a share of {permille / 10:g}% is not from 0% to {MOST / 10:g}%; more than half of "
            "the traffic goes to a challenger by a release, which has guards: perennial ab stop "
            "<model> --winner challenger"
        )


def shift(model: ModelRow, permille: int, by: str, because: str, now_ms: int) -> Transaction:
    """Give the challenger another share; empty if it has it. Raises ``NotAllowed``."""
    test = open_one(model)
    check_share(permille)
    if test.stop is not None:
        raise NotAllowed(f"{_name(model, test)} is being stopped: {test.stop.because}")
    if test.state == "starting":
        return () if test.permille == permille else _changed(model, permille=permille)
    return () if test.share == permille else _share(model, permille, by, because, now_ms)


def request_stop(model: ModelRow, outcome: AbOutcome, by: str, because: str) -> Transaction:
    """Ask the test to end; empty if it was asked before, with the same outcome.

    Raises ``NotAllowed`` without an open test, or when it ends with another outcome already.
    """
    test = open_one(model)
    if test.stop is not None:
        if test.stop.outcome == outcome:
            return ()
        raise NotAllowed(
            f"{_name(model, test)} is being stopped already, as {test.stop.outcome}: "
            f"{test.stop.because}"
        )
    if outcome == "challenger" and test.state == "starting":
        raise NotAllowed(f"the challenger of {_name(model, test)} has not served yet")
    return _changed(model, state="stopping", stop=AbStop(outcome, by, because))


def open_one(model: ModelRow) -> AbTest:
    """The open test; raises ``NotAllowed`` when there is none."""
    if model.ab is None:
        raise NotAllowed(
            f"no A/B test of {model.model} is open; `perennial ab start {model.model} --version "
            '<n> --because "..."` starts one'
        )
    return model.ab


def _name(model: ModelRow, test: AbTest) -> str:
    return f"A/B test {test.number} of {model.model}"


@dataclass(frozen=True)
class SeenFleet:
    """The endpoint, and the weights that its variants have, or are about to have, by variant."""

    endpoint: SeenEndpoint
    weights: Mapping[str, float]

    @property
    def permille(self) -> int:
        """The challenger's share of the weights; SageMaker keeps those in single precision."""
        whole = sum(self.weights.values())
        return round(WHOLE * self.weights.get(CHALLENGER, 0.0) / whole) if whole else 0


@dataclass(frozen=True)
class AskFor:
    """Ask the endpoint to serve ``config``: commit ``changes`` first.

    The one with both variants is made first, with the challenger's model and alarms.
    """

    test: AbTest
    config: str
    changes: Transaction


@dataclass(frozen=True)
class Try:
    """The challenger serves, at no weight: try it, then commit :func:`tried` or :func:`give_up`."""

    test: AbTest


@dataclass(frozen=True)
class SetWeights:
    """Ask for these weights, by variant."""

    test: AbTest
    weights: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """Commit ``changes``; ``notice``, where there is one, is for people, and goes first."""

    changes: Transaction
    notice: str = ""


@dataclass(frozen=True)
class Finish:
    """Remove the challenger's configuration, model and alarms, then commit :func:`finished`."""

    test: AbTest


@dataclass(frozen=True)
class Wait:
    """Something is under way, as ``words`` say: look again."""

    words: str


@dataclass(frozen=True)
class AtRest:
    """All is as it is wanted; ``words`` tell how."""

    words: str


AbStep: TypeAlias = AskFor | Try | SetWeights | Record | Finish | Wait | AtRest


def next_ab_step(
    model: ModelRow, seen: SeenFleet | None, sounding: tuple[str, ...], now_ms: int
) -> AbStep:
    """What to do next. ``seen`` None: no endpoint. ``sounding``: the challenger's alarms."""
    test = model.ab
    if test is None:
        return AtRest("no A/B test is open")
    if seen is None:
        return _lost(model, test, f"endpoint {test.endpoint} was deleted by someone")
    endpoint = seen.endpoint
    if endpoint.status in CHANGING:
        return Wait(f"endpoint {test.endpoint} is {endpoint.status}")
    if endpoint.config not in (test.main_config, test.config) or endpoint.status == "Failed":
        words = f"{test.endpoint} was changed by someone else to {endpoint.config}"
        return _lost(model, test, words)
    if _is_under_way(test, endpoint, now_ms):
        return Wait(f"endpoint {test.endpoint} is asked to serve {test.asked_config}")
    return _at_rest(model, test, seen, sounding, now_ms)


def _at_rest(
    model: ModelRow, test: AbTest, seen: SeenFleet, sounding: tuple[str, ...], now_ms: int
) -> AbStep:
    """What to do next about an endpoint that is the test's and does not change."""
    endpoint = seen.endpoint
    if test.stop is not None:
        return _leave(model, test, endpoint, now_ms)
    if endpoint.status != IN_SERVICE:
        return _give_up(model, f"{test.endpoint} is {endpoint.status}: {endpoint.reason}")
    if test.state == "starting":
        return _begin(model, test, endpoint, now_ms)
    return _run(model, test, seen, sounding, now_ms)


def _is_under_way(test: AbTest, endpoint: SeenEndpoint, now_ms: int) -> bool:
    """Whether an update was asked for that the endpoint does not show yet."""
    is_touched = endpoint.modified_ms > test.touched_ms
    is_there = endpoint.config == test.asked_config
    return not is_there and not is_touched and now_ms - test.asked_ms < GRACE_MS


def _begin(model: ModelRow, test: AbTest, endpoint: SeenEndpoint, now_ms: int) -> AbStep:
    if endpoint.config == test.config and not test.tried:
        return Try(test)
    if endpoint.config == test.config:
        share = AbShare(now_ms, test.permille, test.by, "the test begins")
        return Record(_changed(model, state="running", shares=(share,)))
    if test.asked_config and endpoint.modified_ms > test.touched_ms:
        why = endpoint.reason or "the endpoint went back to main alone"
        return _give_up(model, f"the challenger did not come up: {why}")
    return _ask(model, test, test.config, endpoint, now_ms)


def _run(
    model: ModelRow, test: AbTest, seen: SeenFleet, sounding: tuple[str, ...], now_ms: int
) -> AbStep:
    if seen.endpoint.config != test.config:
        return _lost(model, test, f"{test.endpoint} was put back to main alone by someone else")
    if sounding and test.share:
        words = f"{' and '.join(sorted(sounding))} sounds: the challenger gets nothing any more"
        return Record(_share(model, 0, ITSELF, words, now_ms), notice=words)
    wanted = test.share / WHOLE
    if seen.permille != test.share:
        return SetWeights(test, {MAIN: 1 - wanted, CHALLENGER: wanted})
    return AtRest(f"the challenger gets {percent(test.share)} of the traffic")


def _leave(model: ModelRow, test: AbTest, endpoint: SeenEndpoint, now_ms: int) -> AbStep:
    """Back to main alone, then the end."""
    if endpoint.config == test.main_config and endpoint.status == IN_SERVICE:
        return Finish(test)
    return _ask(model, test, test.main_config, endpoint, now_ms)


def _ask(model: ModelRow, test: AbTest, config: str, endpoint: SeenEndpoint, now_ms: int) -> AskFor:
    asked = {"asked_config": config, "asked_ms": now_ms, "touched_ms": endpoint.modified_ms}
    return AskFor(test, config, _changed(model, **asked))


def _give_up(model: ModelRow, words: str) -> Record:
    return Record(give_up(model, words), notice=words)


def tried(model: ModelRow, words: str) -> Transaction:
    """Note how the challenger did at no weight; empty if that was noted before."""
    return () if open_one(model).tried else _changed(model, tried=words)


def give_up(model: ModelRow, words: str) -> Transaction:
    """End a test that cannot go on; empty if its end is asked for already."""
    test = open_one(model)
    if test.stop is not None and test.stop.outcome == "failed":
        return ()
    return _changed(model, state="stopping", stop=AbStop("failed", ITSELF, words))


def _lost(model: ModelRow, test: AbTest, words: str) -> AbStep:
    """The endpoint is not the test's any more: what it serves now is not touched."""
    if test.stop is not None and test.stop.outcome == "failed":
        return Finish(test)
    return _give_up(model, words)


def finished(model: ModelRow, now_ms: int) -> Transaction:
    """End the test and free the model, in one transaction with the wish to release the winner."""
    test = open_one(model)
    stop = test.stop
    if stop is None:
        raise NotAllowed(f"{_name(model, test)} is not to be stopped")
    ended = replace(
        test,
        state="ended",
        ended_ms=now_ms,
        outcome=stop.outcome,
        words=f"{stop.outcome}, by {stop.by}: {stop.because}",
    )
    changes: dict[str, Any] = {"ab": None, "ended_abs": (*model.ended_abs, ended)[-KEPT:]}
    if stop.outcome == "challenger":
        # The newest decision wins: an approval that waited for the test's end is superseded.
        wanted = Wanted(
            kind="again",
            version=test.challenger,
            arn=test.arn,
            decided_ms=now_ms,
            run=test.run,
            settings=test.settings,
            digest=test.digest,
            by=stop.by,
            because=f"it won A/B test {test.number}: {stop.because}",
        )
        order = max((model.decided_ms, model.decided_version), (now_ms, wanted.version))
        changes |= {"waiting": wanted, "decided_ms": order[0], "decided_version": order[1]}
    return (change(model, **changes),)


def _share(model: ModelRow, permille: int, by: str, because: str, now_ms: int) -> Transaction:
    test = open_one(model)
    shares = (*test.shares, AbShare(now_ms, permille, by, because))[-MOST_SHARES:]
    return _changed(model, shares=shares, permille=permille)


def _changed(model: ModelRow, **fields: Any) -> Transaction:
    return (change(model, ab=replace(open_one(model), **fields)),)


def percent(permille: int) -> str:
    """A share as people write it."""
    return f"{permille / 10:g}%"


def ab_words(model: ModelRow) -> tuple[str, ...]:
    """A line on the open test, for ``perennial why``; empty without one."""
    test = model.ab
    if test is None:
        return ()
    name = f"{_name(model, test)} (main {test.main}, challenger {test.challenger})"
    if test.stop is not None:
        return (f"{name} is being stopped: {test.stop.because}",)
    if test.state == "starting":
        again = f'perennial ab start {model.model} --version {test.challenger} --because "..."'
        return (f"{name} is being started; should nothing happen: {again}",)
    return (f"{name} runs; the challenger gets {percent(test.share)} of the traffic",)
