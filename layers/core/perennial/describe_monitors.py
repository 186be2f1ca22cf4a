"""How a model's monitors stand: what each saw last, its alarm, and when it looks again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from perennial.aws.alarms import alarm_states
from perennial.aws.objects import find_json
from perennial.describe_model import known_model, read_settings_of
from perennial.domain import naming
from perennial.domain.errors import NotFound
from perennial.domain.ledger.monitor_rows import WINDOW_SK, WindowRow
from perennial.domain.ledger.rows import model_pk
from perennial.domain.monitor_job import report_uri
from perennial.domain.monitor_windows import due_ms
from perennial.domain.settings_monitor import Monitor
from perennial.start_monitor import judged_of, read_monitor_row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from perennial.wiring import Ports

UNKNOWN = "NONE"


@dataclass(frozen=True)
class MonitorDescription:
    """One monitor. `windows`: its last ones, the newest last; `due_ms`: None with nothing live.

    `alarm` and `blind` are the states of its two alarms, NONE for one that is not there.
    """

    kind: str
    every: int
    alarm: str
    blind: str
    due_ms: int | None
    windows: tuple[WindowRow, ...] = ()

    @property
    def last(self) -> WindowRow | None:
        """The newest window."""
        return self.windows[-1] if self.windows else None

    @property
    def last_seen(self) -> WindowRow | None:
        """The newest window in which there was something to see."""
        return next((each for each in reversed(self.windows) if each.state == "done"), None)


@dataclass(frozen=True)
class Watching:
    """A model's monitors; `version` is the live one that they watch, None without."""

    model: str
    version: int | None
    since_ms: int | None
    at_least: int
    monitors: tuple[MonitorDescription, ...] = field(default_factory=tuple)


def describe_monitors(ports: Ports, model: str, *, most: int = 200) -> Watching:
    """The model's monitors, each with up to `most` windows; raises `NotFound`."""
    row = known_model(ports.ledger, model)
    monitoring = read_settings_of(ports.ledger, row).monitor
    stack = ports.deployment.stack
    names = {
        make(stack, model, each.kind)
        for each in monitoring.monitors
        for make in (naming.monitor_alarm, naming.blind_alarm)
    }
    states = alarm_states(sorted(names))

    def described(monitor: Monitor) -> MonitorDescription:
        judged = judged_of(read_monitor_row(ports.ledger, model, monitor.kind))
        return MonitorDescription(
            kind=monitor.kind,
            every=monitor.every,
            alarm=states.get(naming.monitor_alarm(stack, model, monitor.kind), UNKNOWN),
            blind=states.get(naming.blind_alarm(stack, model, monitor.kind), UNKNOWN),
            due_ms=None if row.live is None else due_ms(monitor, judged, row.live.since_ms),
            windows=read_windows(ports, model, monitor.kind)[-most:],
        )

    return Watching(
        model=model,
        version=None if row.live is None else row.live.version,
        since_ms=None if row.live is None else row.live.since_ms,
        at_least=monitoring.retrain.at_least,
        monitors=tuple(described(each) for each in monitoring.monitors),
    )


def read_windows(ports: Ports, model: str, kind: str) -> tuple[WindowRow, ...]:
    """Every window of a monitor that is remembered, the oldest first."""
    rows = ports.ledger.query(model_pk(model), f"{WINDOW_SK}{kind}#")
    return tuple(cast("Iterable[WindowRow]", rows))


def find_window(ports: Ports, model: str, kind: str, end_ms: int | None = None) -> WindowRow:
    """A window by its end, else the newest that saw something, else the newest.

    Raises `NotFound`.
    """
    windows = read_windows(ports, model, kind)
    wanted = [each for each in windows if end_ms in (None, each.end_ms)]
    seen = [each for each in wanted if each.state == "done"]
    if not wanted:
        which = "has judged no window yet" if end_ms is None else f"judged no window to {end_ms}"
        raise NotFound(f"the {kind} monitor of {model} {which}")
    return (seen or wanted)[-1]


def window_by_schedule(ports: Ports, model: str, kind: str, schedule: str) -> WindowRow | None:
    """The newest window that a schedule of SageMaker's judged; None before there is one."""
    found = [each for each in read_windows(ports, model, kind) if each.schedule == schedule]
    return found[-1] if found else None


def read_report_of(ports: Ports, window: WindowRow) -> Mapping[str, Any]:
    """The whole report of a window; empty when it has none."""
    found = find_json(report_uri(ports.deployment.artifact_bucket, window))
    return found if isinstance(found, Mapping) else {}


def figures_of(window: WindowRow) -> Mapping[str, float]:
    """The figures that a window's row keeps, by name."""
    found = json.loads(window.figures).get("figures")
    return found if isinstance(found, Mapping) else {}
