"""End the run of an execution that is over: record how, settle its signals, free the model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from perennial.aws.machine import describe
from perennial.domain.ledger.rows import RunRow, run_key
from perennial.domain.ledger.store import read_run
from perennial.look_after import look_after, wake_now
from perennial.tell_people import tell_people

if TYPE_CHECKING:
    from perennial.wiring import Ports

Decision = Literal["ended", "at work", "stopping", "not ours", "over before"]


@dataclass(frozen=True)
class EndedRun:
    """What became of an execution's run: `run` is its row, if it has one.

    `at work`: the execution goes on. `stopping`: its jobs do, and the sweeper ends the run.
    `not ours`: no run of the ledger has this execution. `over before`: another ended it.
    """

    decision: Decision
    model: str = ""
    run: RunRow | None = None


def end_run(ports: Ports, execution: str, *, patience_s: float = 0) -> EndedRun:
    """End the run that an execution (an ARN) works for, if it is over; repeatable by anyone.

    `patience_s`: how long to wait for jobs that are stopping.
    """
    found = describe(execution)
    named = _named(found.input) if found is not None else None
    row = read_run(ports.ledger, run_key(*named)) if named else None
    if found is None or row is None or row.execution != execution:
        # Started by hand with another name: it holds no claim, and its first state ends it.
        return EndedRun("not ours")
    if not found.is_over:
        return EndedRun("at work", row.model, row)
    patience_s = patience_s if row.state != "ended" else 0
    done = look_after(ports, row.model, watch=True, may_open=False, patience_s=patience_s)
    after = read_run(ports.ledger, row.key)
    if after is not None and after.state != "ended":
        return EndedRun("stopping", row.model, after)
    # Also when another process freed the model: it may have died before it told anybody.
    tell_people(ports, row.model)
    wake_now(ports, row.model)
    is_first = any(each.number == row.number for each in done.ended)
    return EndedRun("ended" if is_first else "over before", row.model, after)


def _named(text: str) -> tuple[str, int] | None:
    """Model and run that an execution's input names."""
    try:
        document = json.loads(text)
        return str(document["model"]), int(document["run"])
    except (ValueError, KeyError, TypeError):
        return None
