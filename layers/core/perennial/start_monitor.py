"""Start the monitor that is due: open its next window, and a job that judges it.

Repeatable at every point: whoever finds a window open without a job starts the job. Nothing is
started for a window in which nothing was captured; it is recorded as empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.aws import jobs, objects
from perennial.commit_change import commit_change
from perennial.describe_model import known_model, read_settings, read_settings_of
from perennial.domain import monitor_job, naming
from perennial.domain.errors import NotFound, Rejected
from perennial.domain.ledger.monitor_rows import MonitorRow, WindowRow, monitor_key, window_key
from perennial.domain.ledger.monitors import Found, open_window
from perennial.domain.ledger.rows import Live, ModelRow, run_key
from perennial.domain.ledger.store import Store, Transaction, read_run
from perennial.domain.monitor_windows import Judged, hour_folders, next_window, words
from perennial.domain.settings import Settings
from perennial.domain.settings_monitor import ATTRIBUTION, LABELLED, MODEL_QUALITY, Monitor
from perennial.domain.sources import capture_prefix, labels_prefix
from perennial.domain.step_keys import place_of
from perennial.record_window import publish_cleared, record_window
from perennial.score_earlier import code_and_model, place_of_jobs, versions_to_score

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: How far the clocks of a server and of S3 may be apart.
CLOCK_MARGIN_MS = 5 * 60 * 1000


@dataclass(frozen=True)
class Started:
    """What became of a look at a monitor: its open window, if any, in words.

    `decision`: `started` a job, `resumed` one that was lost, `open` (at work), `empty`, `failed`,
    `kept` (SageMaker's schedule stands), or `none` (nothing to judge now). `schedule`: SageMaker's,
    that looks once.
    """

    model: str
    kind: str
    decision: str
    words: str
    window: WindowRow | None = None
    schedule: str = ""


def start_monitor(ports: Ports, model: str, kind: str, *, by: str = "") -> Started:
    """Judge the window of a monitor that is due; with `by`, a person's, what there is up to now.

    Raises `NotFound` for an unknown model.
    """
    row = known_model(ports.ledger, model)
    settings = read_settings_of(ports.ledger, row)
    monitor = settings.monitor.monitor(kind)
    if _is_watched(ports, settings, model, kind):
        from perennial.keep_watch import keep_watch  # noqa: PLC0415  # it builds on this module

        kept = keep_watch(ports, row, settings, kind, by)
        if settings.monitor.is_managed:
            return kept
    if monitor is None:
        return Started(model, kind, "none", f"the settings of {model} ask for no {kind} monitor")
    opened = _open(ports, row.model, monitor, by)
    window = read_open(ports.ledger, model, kind)
    if window is None:
        return Started(model, kind, "none", _why_none(row, monitor))
    if not opened and _is_at_work(window):
        span = words(window.start_ms, window.end_ms)
        return Started(model, kind, "open", f"{window.job} judges {span}", window)
    return _start_job(ports, row, settings, window, resumed=not opened)


def _is_watched(ports: Ports, settings: Settings, model: str, kind: str) -> bool:
    """Whether SageMaker's schedules judge a monitor's windows, or did until the last push."""
    head = read_monitor_row(ports.ledger, model, kind)
    is_placed = head is not None and bool(head.watch or head.watch_now)
    return settings.monitor.is_managed or is_placed


def read_monitor_row(store: Store, model: str, kind: str) -> MonitorRow | None:
    """The row of one kind; None before its first window."""
    row = store.get(monitor_key(model, kind))
    return row if isinstance(row, MonitorRow) else None


def read_open(store: Store, model: str, kind: str) -> WindowRow | None:
    """The open window of a monitor."""
    row = read_monitor_row(store, model, kind)
    if row is None or row.open_ms is None:
        return None
    window = store.get(window_key(model, kind, row.open_ms))
    return window if isinstance(window, WindowRow) else None


def judged_of(row: MonitorRow | None) -> Judged:
    """How far a monitor has come."""
    return Judged() if row is None else Judged(row.until_ms, row.open_ms is not None)


def _open(ports: Ports, name: str, monitor: Monitor, by: str) -> bool:
    """Open the next window; False when none is due, or another one opened it."""
    is_new_release = False

    def decide() -> Transaction:
        nonlocal is_new_release
        model = known_model(ports.ledger, name)
        row = read_monitor_row(ports.ledger, name, monitor.kind)
        if model.live is None:
            return ()
        now_ms = ports.clock()
        due = next_window(monitor, judged_of(row), model.live.since_ms, now_ms, by_hand=bool(by))
        if due is None:
            return ()
        is_new_release = row is not None and row.release != model.live.release
        settings = read_settings_of(ports.ledger, model)
        is_scored = monitor.kind == MODEL_QUALITY
        earlier = versions_to_score(ports, model, settings, due) if is_scored else ()
        hour = hour_folders(due.end_ms - 1, due.end_ms)[0]
        window = WindowRow(
            name,
            monitor.kind,
            due.start_ms,
            due.end_ms,
            model.live.release,
            model.live.version,
            model.live.run,
            model.settings,
            now_ms,
            endpoint=model.live.endpoint,
            is_whole=due.is_whole,
            by=by,
            job=naming.monitor_job(ports.deployment.stack, name, monitor.kind, now_ms),
            place=naming.monitoring_base(name, monitor.kind, hour, due.end_ms),
            earlier=earlier,
        )
        return open_window(row, window)

    opened = commit_change(ports, decide)
    if opened and is_new_release:
        publish_cleared(ports, name, monitor.kind)
    return opened


def _why_none(row: ModelRow, monitor: Monitor) -> str:
    if row.live is None:
        return f"no version of {row.model} is live, so there is no traffic to judge"
    return f"no window of {row.model}'s {monitor.kind} monitor is due"


def _is_at_work(window: WindowRow) -> bool:
    try:
        jobs.describe_processing_job(window.job)
    except NotFound:
        return False
    return True


def _start_job(
    ports: Ports, row: ModelRow, settings: Settings, window: WindowRow, *, resumed: bool
) -> Started:
    """Write what the job reads, and start it; a window without traffic or baseline ends here."""
    monitor = settings.monitor.monitor(window.kind)
    if monitor is None:
        raise NotFound(f"the settings of {row.model} ask for no {window.kind} monitor any more")
    span = words(window.start_ms, window.end_ms)
    captured = _captured(ports, window)
    if not captured:
        return _end(ports, window, "empty", f"nothing was captured in {span}")
    try:
        subject = _subject(ports, row, window)
    except (NotFound, Rejected) as error:
        return _end(ports, window, "failed", str(error))
    labels = _labels(ports, window) if window.kind in LABELLED else []
    bucket, root = ports.deployment.artifact_bucket, f"s3://{ports.deployment.artifact_bucket}"
    config = monitor_job.config(
        window, monitor, settings.monitor, now_ms=ports.clock(), is_labelled=bool(labels)
    )
    files = {
        "monitor": config,
        "capture": monitor_job.manifest(f"{root}/{capture_prefix(row.model)}", captured),
        **(
            {"labels": monitor_job.manifest(f"{root}/{labels_prefix(row.model)}", labels)}
            if labels
            else {}
        ),
    }
    for name, document in files.items():
        objects.put_json(bucket, f"{window.place}/config/{name}.json", document)
    place = place_of_jobs(ports, settings)
    try:
        jobs.start_processing_job(
            monitor_job.request(window, settings.monitor, subject, place, is_labelled=bool(labels))
        )
    except Rejected as error:
        return _end(ports, window, "failed", str(error))
    decision = "resumed" if resumed else "started"
    return Started(row.model, window.kind, decision, f"{window.job} judges {span}", window)


def _end(ports: Ports, window: WindowRow, state: str, why: str) -> Started:
    found = Found("empty" if state == "empty" else "failed", words=why)
    record_window(ports, window, found)
    return Started(window.model, window.kind, state, why, window)


def _captured(ports: Ports, window: WindowRow) -> list[str]:
    """The capture files of the endpoint that may hold requests of the window."""
    prefix = capture_prefix(window.model)
    served = f"{window.endpoint}/{monitor_job.VARIANT}/"
    folders = hour_folders(window.start_ms, window.end_ms)
    found = objects.list_between(
        ports.deployment.artifact_bucket, prefix + served, folders[0], folders[-1]
    )
    # A file that was written before the window began holds no request of it.
    margin_ms = min(CLOCK_MARGIN_MS, window.end_ms - window.start_ms)
    return [served + name for name, at_ms in found if at_ms >= window.start_ms - margin_ms]


def _labels(ports: Ports, window: WindowRow) -> list[str]:
    """The ground truth that was collected from the window's beginning until now."""
    folders = hour_folders(window.start_ms, max(ports.clock(), window.end_ms))
    found = objects.list_between(
        ports.deployment.artifact_bucket, labels_prefix(window.model), folders[0], folders[-1]
    )
    return [name for name, _ in found]


def _subject(ports: Ports, row: ModelRow, window: WindowRow) -> monitor_job.Subject:
    """The live version's code, model and baseline; raises `NotFound` when one is missing."""
    live = _live_of(row, window)
    root = f"s3://{ports.deployment.artifact_bucket}"
    base = f"{root}/{naming.run_base(row.model, window.run)}"
    run = read_run(ports.ledger, run_key(row.model, window.run))
    folder = monitor_job.baseline_folder(window.kind)
    baseline = f"{place_of(run, 'baseline', base)}/baselines/{folder}"
    if not objects.exists(f"{baseline}/constraints.json"):
        raise NotFound(
            f"version {window.version} of {row.model} has no {window.kind} baseline; train and "
            f"release again: perennial retrain {row.model}"
        )
    code, model = code_and_model(live.arn, f"version {window.version} of {row.model}")
    # The newest code brings the newest engine; explanations are the version's own.
    newest = read_settings(ports.ledger, row).code
    return monitor_job.Subject(
        code=code if window.kind == ATTRIBUTION else newest,
        settings=f"{base}/settings.json",
        check=f"{place_of(run, 'check_data', base)}/check",
        model=model,
        baseline=baseline,
    )


def _live_of(row: ModelRow, window: WindowRow) -> Live:
    for live in (row.live, row.previous):
        if live is not None and live.release == window.release:
            return live
    raise NotFound(
        f"release {window.release} of {row.model} is not live any more; its traffic to "
        f"{words(window.start_ms, window.end_ms)} was not judged"
    )
