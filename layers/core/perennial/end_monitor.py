"""End the window of a monitor whose job is over, however it ended; then start what is missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws import functions, jobs, objects
from perennial.commit_change import commit_change
from perennial.convert_report import convert_report
from perennial.describe_model import read_settings_of
from perennial.domain import naming
from perennial.domain.errors import NotFound, Rejected
from perennial.domain.job_failure import reason_of
from perennial.domain.ledger.monitor_rows import WindowRow
from perennial.domain.ledger.monitors import Found, found_before, may_try_again, try_again
from perennial.domain.ledger.rows import ModelRow
from perennial.domain.ledger.store import Transaction, read_model
from perennial.domain.monitor_job import report_uri
from perennial.domain.monitor_report import Report, ReportInvalid, read_report
from perennial.domain.monitor_windows import due_ms
from perennial.domain.sagemaker_monitor import nothing_done
from perennial.domain.settings_monitor import Monitor
from perennial.domain.text import printable
from perennial.record_window import record_window
from perennial.start_monitor import judged_of, read_monitor_row, read_open

if TYPE_CHECKING:
    from perennial.wiring import Ports

AT_WORK = ("InProgress", "Stopping")
LONGEST_WORDS = 500


@dataclass(frozen=True)
class EndedWindow:
    """What became of a look at a monitor's open window.

    `decision`: `done`, `failed`, `again` (another attempt), `at work`, `lost` (there is no job: it
    is started again), or `none` (nothing is open, or by another job).
    """

    model: str
    kind: str
    decision: str
    window: WindowRow | None = None
    found: Found | None = None


def end_monitor(ports: Ports, model: str, kind: str, job: str = "") -> EndedWindow:
    """End the open window if its job is over; with `job`, only if that is the job."""
    window = read_open(ports.ledger, model, kind)
    if window is None or job not in ("", window.job):
        return EndedWindow(model, kind, "none")
    if window.state != "open":  # it was recorded, and not published
        return _finish(ports, window, found_before(window), _published(ports, window))
    if not window.job:  # SageMaker found nothing for a job of its own to do
        return _finish(ports, window, nothing_done(window.words), None)
    try:
        described = jobs.describe_processing_job(window.job)
    except NotFound:
        ask_for(ports, model, kind)
        return EndedWindow(model, kind, "lost", window)
    if described["ProcessingJobStatus"] in AT_WORK:
        return EndedWindow(model, kind, "at work", window)
    return _end(ports, window, described)


def _end(ports: Ports, window: WindowRow, described: Any) -> EndedWindow:
    """End a window by what its job, which is over, has found; or let another one try."""
    status = described["ProcessingJobStatus"]
    if status == "Completed":
        return _finish(ports, window, *_read(ports, window, described))
    found = _failed(described, status)
    is_ours = not window.schedule  # SageMaker looks again by itself
    if is_ours and may_try_again(window, found.words) and _try_again(ports, window):
        ask_for(ports, window.model, window.kind)
        return EndedWindow(window.model, window.kind, "again", window, found)
    return _finish(ports, window, found, None)


def _finish(ports: Ports, window: WindowRow, found: Found, report: Report | None) -> EndedWindow:
    record_window(ports, window, found, report)
    catch_up(ports, window.model, window.kind)
    return EndedWindow(window.model, window.kind, found.state, window, found)


def _published(ports: Ports, window: WindowRow) -> Report | None:
    """The report of a window that was recorded before; None of one that has none."""
    return _read(ports, window)[1] if window.state == "done" else None


def ask_for(ports: Ports, model: str, kind: str) -> None:
    """Let the function that may start jobs look at the monitor."""
    event = {"perennial": "monitor", "model": model, "monitor": kind}
    functions.tell(ports.deployment.monitor_due_arn, event)


def catch_up(ports: Ports, model: str, kind: str) -> bool:
    """Ask for the next window at once when it is due already."""
    row = read_model(ports.ledger, model)
    monitor = _monitor_of(ports, row, kind)
    if row is None or row.live is None or monitor is None:
        return False
    judged = judged_of(read_monitor_row(ports.ledger, model, kind))
    if judged.is_open or due_ms(monitor, judged, row.live.since_ms) > ports.clock():
        return False
    ask_for(ports, model, kind)
    return True


def _monitor_of(ports: Ports, row: ModelRow | None, kind: str) -> Monitor | None:
    return None if row is None else read_settings_of(ports.ledger, row).monitor.monitor(kind)


def _read(ports: Ports, window: WindowRow, described: Any = None) -> tuple[Found, Report | None]:
    """The job's report; a window whose report cannot be read has failed.

    Of a job of SageMaker's, as it is `described`, the report is made first.
    """
    row = read_model(ports.ledger, window.model)
    monitor = _monitor_of(ports, row, window.kind)
    uri = report_uri(ports.deployment.artifact_bucket, window)
    try:
        if window.schedule and described is not None:
            convert_report(ports, window, described)
        report = read_report(
            objects.get_json(uri), per_feature=monitor is not None and monitor.per_feature
        )
    except (NotFound, Rejected, ReportInvalid) as error:
        return Found("failed", words=f"{window.job} left no report: {error}"), None
    return report.found, report


def _failed(described: Any, status: str) -> Found:
    words = f"{described['ProcessingJobName']} {status.lower()}: {reason_of(described)}"
    return Found("failed", words=printable(words)[:LONGEST_WORDS])


def _try_again(ports: Ports, window: WindowRow) -> bool:
    name = naming.monitor_job(ports.deployment.stack, window.model, window.kind, ports.clock())

    def decide() -> Transaction:
        row = ports.ledger.get(window.key)
        is_same = isinstance(row, WindowRow) and row.job == window.job
        return try_again(row, name) if is_same and isinstance(row, WindowRow) else ()

    return commit_change(ports, decide)
