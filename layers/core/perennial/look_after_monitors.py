"""Make up for lost events of a model's monitors: jobs that ended unheard, windows never started."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from perennial.aws import functions
from perennial.describe_model import read_settings_of
from perennial.domain.ledger.monitor_rows import MONITOR_SK, MonitorRow
from perennial.domain.ledger.rows import ModelRow, model_pk
from perennial.domain.monitor_windows import is_missed
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
        if each.open_ms is not None or each.scoring_ms is not None:
            event = {"perennial": "monitoring-ended", "model": row.model, "monitor": kind}
            functions.tell(ports.deployment.monitoring_ended_arn, event)
            asked.append(kind)
    if row.live is None:
        return tuple(asked)
    now_ms = ports.clock()
    for monitor in read_settings_of(ports.ledger, row).monitor.monitors:
        judged = judged_of(rows.get(monitor.kind))
        if is_missed(monitor, judged, row.live.since_ms, now_ms):
            ask_for(ports, row.model, monitor.kind)
            asked.append(monitor.kind)
    return tuple(asked)
