"""Make up for lost events of a model's monitors: jobs that ended unheard, windows never started."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from perennial.aws import functions
from perennial.describe_model import read_settings_of
from perennial.domain.ledger.monitor_rows import MONITOR_SK, MonitorRow
from perennial.domain.ledger.rows import ModelRow, model_pk
from perennial.domain.monitor_windows import is_missed
from perennial.domain.naming import MONITOR_KINDS
from perennial.domain.settings_monitor import Monitoring
from perennial.end_monitor import ask_for
from perennial.start_monitor import judged_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perennial.wiring import Ports


def look_after_monitors(ports: Ports, row: ModelRow) -> tuple[str, ...]:
    """Ask the functions that may do it to end open windows and start missed ones; which ones."""
    found = cast("Iterable[MonitorRow]", ports.ledger.query(model_pk(row.model), MONITOR_SK))
    rows = {each.kind: each for each in found}
    asked = []
    for kind, each in rows.items():
        if each.open_ms is not None or each.scoring_ms is not None or each.watch_now:
            _look_at_end(ports, row.model, kind)
            asked.append(kind)
    monitoring = read_settings_of(ports.ledger, row).monitor
    for kind in MONITOR_KINDS:
        if is_watch_due(row, monitoring, kind, rows.get(kind)):
            ask_for(ports, row.model, kind)
            asked.append(kind)
    if row.live is None:
        return tuple(asked)
    now_ms = ports.clock()
    for monitor in monitoring.monitors:
        judged = judged_of(rows.get(monitor.kind))
        if monitor.kind not in asked and is_missed(monitor, judged, row.live.since_ms, now_ms):
            look = _look_at_end if monitoring.is_managed else ask_for
            look(ports, row.model, monitor.kind)
            asked.append(monitor.kind)
    return tuple(asked)


def is_watch_due(row: ModelRow, monitoring: Monitoring, kind: str, head: MonitorRow | None) -> bool:
    """Whether SageMaker's schedule of a kind is not what live version and settings ask for."""
    placed = (head.watch_release, head.watch_settings) if head is not None and head.watch else None
    is_wanted = monitoring.is_managed and monitoring.monitor(kind) is not None
    if row.live is None or not is_wanted:
        return placed is not None
    return placed != (row.live.release, row.settings)


def _look_at_end(ports: Ports, model: str, kind: str) -> None:
    """Let the function that hears of jobs' ends look at the monitor."""
    event = {"perennial": "monitoring-ended", "model": model, "monitor": kind}
    functions.tell(ports.deployment.monitoring_ended_arn, event)
