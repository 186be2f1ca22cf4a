"""The checker finds what is planted: a check that cannot fail would prove nothing."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.functional.stack.faults.checker import violations
from tests.functional.stack.faults.evidence import Evidence, Execution, Landed, Package

MODEL, BUCKET, T = "census", "landing", 1_000_000
LIMITS = {"quiet_period": "10s", "max_wait": "1m", "cool_down": 30, "max_runs_per_day": 2}


def arn(number: int) -> str:
    """The execution of a run."""
    return f"arn:aws:states:eu-west-1:1:execution:retrain:perennial-census-{number}"


def signal(kind: str, parts: tuple[str, ...], state: str, **more: Any) -> dict[str, Any]:
    """A signal's row."""
    words = json.dumps([kind, *parts], separators=(",", ":"))
    found = hashlib.sha256(words.encode()).hexdigest()
    family = "open#" if state in ("pending", "held", "claimed") else "done#"
    row = {"model": MODEL, "pk": f"model#{MODEL}", "sk": family + found, "id": found}
    return {**row, "kind": kind, "parts": list(parts), "admitted_ms": T, "state": state, **more}


def data(key: str, state: str, **more: Any) -> dict[str, Any]:
    """The row of an object's first version."""
    return signal("data", (BUCKET, f"incoming/census/{key}", "v1"), state, **more)


def run(number: int, opened_ms: int, **more: Any) -> dict[str, Any]:
    """The row of a run that won."""
    ended = {"outcome": "won", "ended_ms": opened_ms + 5000, "ending": {"outcome": "won"}}
    row = {"model": MODEL, "pk": f"model#{MODEL}", "sk": f"run#{number:06d}", "number": number}
    facts = {"settings": 1, "opened_ms": opened_ms, "started_ms": opened_ms, "state": "ended"}
    return {**row, **facts, "execution": arn(number), **ended, **more}


def landed(key: str, version: str = "v1", **more: Any) -> Landed:
    """An entry of the listing."""
    facts = {"is_latest": True, "is_marker": False, "modified_ms": T, **more}
    return Landed(BUCKET, f"incoming/census/{key}", version, **facts)


def execution(number: int, claimed_ms: int, **more: Any) -> Execution:
    """An execution that succeeded in four seconds."""
    facts = {"status": "SUCCEEDED", "stopped_ms": claimed_ms + 4000, **more}
    return Execution(
        arn(number), MODEL, number, started_ms=claimed_ms, claimed_ms=claimed_ms, **facts
    )


def package(number: int, status: str = "PendingManualApproval", mark: str = "") -> Package:
    """The version that a run registered."""
    return Package(MODEL, f"package/{number}{mark}", number, arn(number), status)


def sound() -> Evidence:
    """A stack on which everything holds: two runs, every state a signal can have."""
    model = {"model": MODEL, "pk": f"model#{MODEL}", "sk": "model", "settings": 1, "last_run": 2}
    settings = {
        "model": MODEL,
        "pk": f"model#{MODEL}",
        "sk": "settings#000001",
        "version": 1,
        "settings": json.dumps({"data": {"select": ["*.csv"]}, "triggers": LIMITS}),
    }
    late = T + 50_000
    held = data("held.csv", "held", reason="rows: 5 of 10")
    waiting = data("waiting.csv", "pending")
    bad = data("bad.csv", "quarantined", run=1, reason="wrong", first_bad=["line 2"])
    found = Evidence("perennial", now_ms=T + 200_000)
    found.rows = [
        model,
        settings,
        signal("code", ("1",), "consumed", run=1),
        data("a.csv", "consumed", run=1),
        data("b.csv", "consumed", run=2, admitted_ms=late),
        data("old.csv", "superseded", run=1),
        signal("data", (BUCKET, "incoming/census/old.csv", "v2"), "consumed", run=1),
        data("gone.csv", "withdrawn", run=1),
        data("out.csv", "excluded", reason="excluded by ann"),
        bad,
        held,
        waiting,
        run(1, T + 10),
        run(2, late + 20_000),
    ]
    found.landed = [
        *(landed(f"{n}.csv") for n in ("a", "b", "out", "bad", "held", "waiting")),
        landed("old.csv", is_latest=False),
        landed("old.csv", "v2"),
        landed("gone.csv", is_latest=False),
        landed("gone.csv", "m", is_marker=True),
        landed("notes.txt"),
    ]
    read = {tuple(row["parts"]) for row in found.rows if row.get("kind") == "data"}
    found.manifests = {f"{MODEL}/1": read, f"{MODEL}/2": read}
    found.refused = {f"{MODEL}/1": {tuple(bad["parts"])}}
    found.executions = [execution(1, T + 20), execution(2, late + 20_010)]
    found.packages = [package(1), package(2)]
    found.jobs = {"perennial-census-1-train-0": "Completed"}
    found.dead_letters, found.alarms = {"SignalDeadLetters": 1}, {"SignalDeadLetters": "ALARM"}
    found.waits = {MODEL: {held["id"]: "rows: 5 of 10", waiting["id"]: "quiet period"}}
    found.freed = {MODEL: 2}
    found.told = [f"perennial/{MODEL}/1", f"perennial/{MODEL}/2", f"perennial/{MODEL}/2"]
    return found


def row_of(evidence: Evidence, part: str) -> dict[str, Any]:
    """The first row whose sort key or parts hold a text."""
    rows = evidence.rows
    return next(row for row in rows if part in row["sk"] or part in str(row.get("parts")))


def test_nothing_is_wrong_with_a_sound_stack() -> None:
    """Otherwise the planted violations below would prove nothing."""
    assert violations(sound()) == []


def _drop(evidence: Evidence, part: str) -> None:
    evidence.rows.remove(row_of(evidence, part))


def _two_places(evidence: Evidence) -> None:
    twin = copy.deepcopy(row_of(evidence, "waiting.csv"))
    evidence.rows.append({**twin, "sk": twin["sk"].replace("open#", "done#"), "state": "consumed"})


def _claimed_by_ended(evidence: Evidence) -> None:
    row_of(evidence, "waiting.csv").update(state="claimed", run=1)


def _second_open_run(evidence: Evidence) -> None:
    row_of(evidence, "run#000001").update(state="started")


def _overlap(evidence: Evidence) -> None:
    evidence.executions[0] = execution(1, T + 20, stopped_ms=T + 90_000)


def _third_run(evidence: Evidence, opened_ms: int) -> None:
    evidence.rows.append(run(3, opened_ms))
    evidence.executions.append(execution(3, opened_ms + 10))
    evidence.packages.append(package(3))
    evidence.told.append(f"perennial/{MODEL}/3")
    evidence.freed[MODEL] = 3


def _champion(evidence: Evidence) -> None:
    evidence.packages[0] = package(1, "Approved")


def _old_pending(evidence: Evidence) -> None:
    row = row_of(evidence, "gone.csv")
    row.update(state="pending", sk=row["sk"].replace("done#", "open#"))


def _set(part: str, **facts: Any) -> Callable[[Evidence], None]:
    return lambda evidence: row_of(evidence, part).update(facts)


PLANTED: dict[str, tuple[Callable[[Evidence], Any], str]] = {
    "object lost": (lambda e: _drop(e, "a.csv"), "1: incoming/census/a.csv version v1 of census"),
    "consumed unread": (lambda e: e.manifests[f"{MODEL}/1"].clear(), "whose manifest lacks it"),
    "consumed without verdict": (
        _set("run#000001", outcome="failed"),
        "consumed by a run without verdict (census/1)",
    ),
    "consumed by nobody": (_set("a.csv", run=7), "consumed by a run without verdict"),
    "quarantined unread": (lambda e: e.refused.clear(), "the check of run census/1 did not say so"),
    "quarantined mute": (_set("bad.csv", reason=""), "without reason or first bad lines"),
    "current superseded": (_set("a.csv", state="superseded"), "is superseded, but is the current"),
    "old one pending": (_old_pending, "is pending, but was overwritten or deleted"),
    "held mute": (_set("held.csv", reason=""), "is held without a reason"),
    "claimed by nobody": (_claimed_by_ended, "which is not the model's open run"),
    "unknown state": (_set("out.csv", reason=""), "is 'excluded' (no reason)"),
    "wrong family": (_set("held.csv", sk="done#x"), "is held, but lies in done#"),
    "two runs": (_second_open_run, "2: runs [1] of census have not ended"),
    "missing run": (_set("run#000002", number=3), "2: the runs of census are not numbered one"),
    "executions overlap": (_overlap, "2: executions of runs 1 and 2 of census worked"),
    "execution twice": (
        lambda e: e.executions.append(execution(2, T + 150_000)),
        "2: run 2 of census had 2 executions at work",
    ),
    "stranger registers": (
        lambda e: e.packages.append(Package(MODEL, "x", 9, "arn:stranger", "Rejected")),
        "2: a version of census was registered by a stranger of run 9",
    ),
    "too early": (_set("b.csv", admitted_ms=T + 65_000), "3: run 2 of census opened 5000 ms too"),
    "cool-down": (_set("run#000001", ended_ms=T + 60_000), "4: run 2 of census opened 20000 ms"),
    "budget": (lambda e: _third_run(e, T + 190_000), "4: run 3 of census is run 3 within 24"),
    "waits for nothing": (lambda e: e.waits.clear(), "nobody can say what it waits for"),
    "counted twice": (_two_places, "of census lies in 2 places"),
    "foreign id": (_set("a.csv", parts=[BUCKET, "incoming/census/a.csv", "v0"]), "foreign id"),
    "lost push": (lambda e: _drop(e, "'1'"), "5: census has settings [1], signals []"),
    "registered twice": (
        lambda e: e.packages.append(package(1, mark="b")),
        "registered 2 versions",
    ),
    "no alarm": (lambda e: e.alarms.update(SignalDeadLetters="OK"), "6: SignalDeadLetters holds 1"),
    "freed twice": (lambda e: e.freed.update({MODEL: 3}), "7: 3 runs of census were counted"),
    "still claimed": (_claimed_by_ended, "of census is still claimed by run 1, ended"),
    "no outcome": (_set("run#000002", outcome=None), "7: run 2 of census ended without outcome"),
    "execution runs": (
        lambda e: e.executions.__setitem__(1, execution(2, T + 70_010, status="RUNNING")),
        "7: run 2 of census has ended, but its execution runs",
    ),
    "wrong outcome": (_set("run#000002", outcome="refused"), "is refused, its execution SUCCEEDED"),
    "job at work": (
        lambda e: e.jobs.update({"perennial-census-1-train-0": "InProgress"}),
        "its job perennial-census-1-train-0 is InProgress",
    ),
    "nobody told": (lambda e: e.told.remove(f"perennial/{MODEL}/1"), "7: nobody was told of run 1"),
    "unregistered": (lambda e: e.packages.pop(), "1: run 2 of census won, but registered nothing"),
    "no champion": (_champion, "7: census has an approved version, but no champion"),
    "champion not approved": (
        _set("model", champion={"arn": "package/2"}),
        "7: the champion of census is not approved",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found(name: str) -> None:
    """Each kind of violation is named, with its model, run or object."""
    plant, words = PLANTED[name]
    evidence = sound()
    plant(evidence)
    found = violations(evidence)
    assert any(words in each for each in found), found
