"""Take over what SageMaker's monitoring schedules found: windows like those of our own jobs.

A processing job's end is only the word to look: which executions there were, and how they ended,
SageMaker's own list says. Each that is over becomes a window of the ledger, oldest first, which
ends as every window does. Repeatable by anyone: a window is opened once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perennial.aws import jobs
from perennial.aws import monitoring_schedules as schedules
from perennial.commit_change import commit_change
from perennial.describe_model import read_settings_of
from perennial.domain import naming
from perennial.domain.errors import NotFound
from perennial.domain.ledger.monitor_rows import MonitorRow, WindowRow
from perennial.domain.ledger.monitors import open_window
from perennial.domain.ledger.rows import Live, ModelRow
from perennial.domain.ledger.store import Transaction, change, read_model
from perennial.domain.monitor_windows import Judged, hour_folders, window_start
from perennial.domain.sagemaker_monitor import Execution, judged_span, window_of
from perennial.domain.settings_monitor import SECOND_MS, Monitor
from perennial.end_monitor import EndedWindow, ask_for, end_monitor
from perennial.start_monitor import judged_of, read_monitor_row

if TYPE_CHECKING:
    from perennial.wiring import Ports


def take_executions(ports: Ports, model: str, kind: str) -> list[EndedWindow]:
    """Record the executions of a monitor that are over; the windows that they became."""
    row = read_model(ports.ledger, model)
    head = read_monitor_row(ports.ledger, model, kind)
    if row is None or row.live is None or head is None or head.watch_release != row.live.release:
        return []
    monitor = read_settings_of(ports.ledger, row).monitor.monitor(kind)
    if monitor is None:
        return []
    taken: list[EndedWindow] = []
    if head.watch_now:
        taken += _taken_by_hand(ports, row, monitor, head)
    for execution in _listed(_live(row), head):
        if not execution.is_over:
            break  # windows follow each other
        given = window_of(execution, monitor, _environment(execution))
        taken += _take(ports, row, monitor, execution, given)
    if taken:  # what a person changed in the baseline's constraints counts from now on
        ask_for(ports, model, kind)
    return taken


def _listed(live: Live, head: MonitorRow) -> Sequence[Execution]:
    """The executions whose windows end after the last one that was judged."""
    after_ms = window_start(judged_of(head), live.since_ms)
    return schedules.list_executions(head.watch, after_ms) if head.watch else ()


def _taken_by_hand(
    ports: Ports, row: ModelRow, monitor: Monitor, head: MonitorRow
) -> list[EndedWindow]:
    """The one execution of a look by hand; its schedule goes once it is over."""
    name, since_ms = head.watch_now, window_start(judged_of(head), _live(row).since_ms)
    found = schedules.list_executions(name, since_ms)
    if not found or not found[-1].is_over:
        return []
    execution = found[-1]
    asked = (since_ms, execution.scheduled_ms)  # where no job was told its times
    given = window_of(execution, monitor, _environment(execution), asked)
    taken = _take(ports, row, monitor, execution, given)
    schedules.delete_schedule(name)

    def decide() -> Transaction:
        now = read_monitor_row(ports.ledger, row.model, monitor.kind)
        return () if now is None or now.watch_now != name else (change(now, watch_now=""),)

    commit_change(ports, decide)
    return taken


def _take(
    ports: Ports, row: ModelRow, monitor: Monitor, execution: Execution, given: tuple[int, int]
) -> list[EndedWindow]:
    """Open the execution's window and end it; nothing where that was done before, or where the
    version before answered in it."""
    live, kind = _live(row), monitor.kind
    since_ms = window_start(Judged(), live.since_ms)  # as the first window of a version begins

    def decide() -> Transaction:
        head = read_monitor_row(ports.ledger, row.model, kind)
        span = judged_span(given, kind, since_ms, judged_of(head).until_ms)
        if span is None:
            return ()
        start_ms, end_ms = span
        hour = hour_folders(end_ms - 1, end_ms)[0]
        window = WindowRow(
            row.model,
            kind,
            start_ms,
            end_ms,
            live.release,
            live.version,
            live.run,
            row.settings,
            ports.clock(),
            endpoint=live.endpoint,
            is_whole=end_ms - start_ms == monitor.window * SECOND_MS,
            job=execution.job,
            place=naming.monitoring_base(row.model, kind, hour, end_ms),
            schedule=execution.schedule,
            words="" if execution.job else execution.reason or execution.status,
        )
        return open_window(head, window)

    if not commit_change(ports, decide):
        return []
    return [end_monitor(ports, row.model, kind)]


def _live(row: ModelRow) -> Live:
    if row.live is None:
        raise NotFound(f"no version of {row.model} is live")
    return row.live


def _environment(execution: Execution) -> Any:
    """What the execution's job was told; empty without a job."""
    if not execution.job:
        return {}
    try:
        return jobs.describe_processing_job(execution.job).get("Environment") or {}
    except NotFound:
        return {}
