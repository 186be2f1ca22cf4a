"""Ask the retrain policy after a monitor's window; if a training pays, say so to the ledger.

What alarms call for goes its own way (`admit_signal`); this is for what no alarm says: a period
that is over, and errors that add up to a run's price. The signal is one of a schedule by the name
of `retrain_history.SCHEDULE`, so that quiet period, cool-down and budget hold it like others.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, cast

from perennial.describe_model import read_settings_of
from perennial.domain.ledger.monitor_rows import WINDOW_SK, WindowRow
from perennial.domain.ledger.rows import OPEN_SK, ModelRow, RunRow, model_pk, run_key
from perennial.domain.ledger.store import read_model, read_run, read_signals
from perennial.domain.retrain_history import (
    SCHEDULE,
    cost_of_newest,
    labelled_of,
    last_training_ms,
    trained_ms,
    trials_of,
)
from perennial.domain.retrain_policy import HEARS_ALARMS, Decision, History, decide, price
from perennial.domain.settings_monitor import MODEL_QUALITY
from perennial.domain.signals import policy_body
from perennial.list_runs import list_runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perennial.domain.settings import Settings
    from perennial.wiring import Ports

#: How far back the policy reads: a rule that learns has forgotten what is older.
MOST_RUNS = 40


def weigh_training(ports: Ports, model: str, kind: str, violations: int = 0) -> Decision | None:
    """Decide after a window of a kind; None when there is nothing to decide.

    Nothing is decided while a run is open or a newer version waits for its release, without a
    live version, for windows that the policy does not look at, or where the window's violations
    raise an alarm that the policy hears. A training that pays is asked for once: the signal bears
    the time of the evidence.
    """
    row = read_model(ports.ledger, model)
    if row is None or row.live is None or not _is_at_rest(row) or _is_asked(ports, model):
        return None
    settings = read_settings_of(ports.ledger, row)
    retrain = settings.monitor.retrain
    if retrain.policy == "any-alarm" and not retrain.every:
        return None
    if retrain.policy != "fixed" and kind != MODEL_QUALITY:
        return None
    if violations and retrain.policy in HEARS_ALARMS:
        return None
    runs = runs_of(ports, row)
    history = history_of(ports, row, settings, runs)
    if history is None:
        return None
    newest = history.windows[-1] if history.windows else None
    cost = price(
        cost_of_newest(runs),
        retrain.error_usd,
        0 if newest is None else newest.rows,
    )
    decision = decide(retrain, history, cost, ports.clock())
    if decision.train:
        evidence_ms = newest.end_ms if decision.code == "pays" and newest else history.last_ms()
        ports.signals.send_text(policy_body(model, SCHEDULE, _iso(evidence_ms), decision.words))
    return decision


def runs_of(ports: Ports, row: ModelRow) -> list[RunRow]:
    """The newest runs of a model, and the one that made its live version, however old."""
    runs = list(list_runs(ports, row.model, MOST_RUNS))
    if row.live is not None and all(run.number != row.live.run for run in runs):
        live = read_run(ports.ledger, run_key(row.model, row.live.run))
        runs += [live] if live is not None else []
    return runs


def history_of(
    ports: Ports, row: ModelRow, settings: Settings, runs: list[RunRow]
) -> History | None:
    """The model's past as the policies read it; None when the live version's run is not in it."""
    live = next((run for run in runs if row.live and run.number == row.live.run), None)
    if live is None:
        return None
    monitor = settings.monitor.monitor(MODEL_QUALITY)
    return History(
        trained_ms=trained_ms(live),
        window_ms=(monitor.window if monitor else 86_400) * 1000,
        windows=labelled_of(settings.problem, windows_of(ports, row.model), runs),
        trials=trials_of(runs),
        judged_ms=last_training_ms(runs),
    )


def windows_of(ports: Ports, model: str) -> Iterable[WindowRow]:
    """The model quality monitor's windows, the oldest first."""
    rows = ports.ledger.query(model_pk(model), f"{WINDOW_SK}{MODEL_QUALITY}#")
    return cast("Iterable[WindowRow]", rows)


def _is_at_rest(row: ModelRow) -> bool:
    """No run is open, and what was decided to be live is live."""
    champion, live = row.champion, row.live
    settled = champion is None or live is None or champion.version == live.version
    return row.open_run is None and row.paused is None and settled


def _is_asked(ports: Ports, model: str) -> bool:
    """Whether a signal of the policy waits already."""
    waiting = read_signals(ports.ledger, model, OPEN_SK)
    return any(each.kind == "schedule" and each.parts[0] == SCHEDULE for each in waiting)


def _iso(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms / 1000, tz=timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
