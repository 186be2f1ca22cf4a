"""Score earlier versions on a window's labelled rows, each by its own code in a job of its own.

The monitor's job keeps the rows (`jobs/window_rows.py`). When its window has ended, the function
that may start jobs starts one for each version, and the one that hears of their ends notes what
they found; then the retrain policy is asked. Every step is repeatable: the jobs' names follow from
window and version, and the monitor's row says which window is being scored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from perennial.aws import functions, jobs, objects, registry
from perennial.commit_change import commit_change
from perennial.describe_model import known_model, read_settings, read_settings_of
from perennial.domain import monitor_job, naming
from perennial.domain.errors import NotFound, Rejected
from perennial.domain.job_failure import reason_of
from perennial.domain.ledger import earlier
from perennial.domain.ledger.monitor_rows import (
    Earlier,
    MonitorRow,
    WindowRow,
    monitor_key,
    window_key,
)
from perennial.domain.ledger.rows import ModelRow, run_key
from perennial.domain.ledger.store import Store, Transaction, read_run
from perennial.domain.monitor_windows import Window
from perennial.domain.retrain_history import choose_earlier
from perennial.domain.settings import Settings, SettingsInvalid
from perennial.domain.settings_monitor import MODEL_QUALITY
from perennial.domain.step_keys import place_of
from perennial.domain.text import printable
from perennial.list_runs import list_runs
from perennial.write_manifest import network_of

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: How far back versions are looked for; the retrain policy reads as far.
MOST_RUNS = 40
LONGEST_WORDS = 300
AT_WORK = ("InProgress", "Stopping")


@dataclass(frozen=True)
class Scoring:
    """The window whose rows are being scored, and its monitor's row."""

    row: MonitorRow
    window: WindowRow


def read_scoring(store: Store, model: str) -> Scoring | None:
    """What is being scored; None if nothing is."""
    row = store.get(monitor_key(model, MODEL_QUALITY))
    if not isinstance(row, MonitorRow) or row.scoring_ms is None:
        return None
    window = store.get(window_key(model, MODEL_QUALITY, row.scoring_ms))
    return Scoring(row, window) if isinstance(window, WindowRow) else None


def versions_to_score(
    ports: Ports, row: ModelRow, settings: Settings, window: Window
) -> tuple[Earlier, ...]:
    """The versions to score on a window of the live one."""
    if row.live is None or not settings.monitor.retrain.earlier:
        return ()
    runs = list_runs(ports, row.model, MOST_RUNS)
    live = read_run(ports.ledger, run_key(row.model, row.live.run))
    if live is None:
        return ()
    asked = cache(lambda version: _question(ports, row, version))
    question = asked(live.settings)
    same = [run for run in runs if question is not None and asked(run.settings) == question]
    most, last = settings.monitor.retrain.earlier, _last_of(ports, row.model)
    return choose_earlier(same, live, window, most, last)


def _last_of(ports: Ports, model: str) -> WindowRow | None:
    """The last window that the model quality monitor has opened."""
    head = ports.ledger.get(monitor_key(model, MODEL_QUALITY))
    if not isinstance(head, MonitorRow):
        return None
    window = ports.ledger.get(window_key(model, MODEL_QUALITY, head.until_ms))
    return window if isinstance(window, WindowRow) else None


def _question(ports: Ports, row: ModelRow, version: int) -> tuple[str, str, str] | None:
    """What is predicted by these settings: only answers to the same question can be compared.

    None for settings that cannot be read any more: no monitor shall fail for an old version.
    """
    try:
        settings = read_settings_of(ports.ledger, row, version)
    except (NotFound, SettingsInvalid):
        return None
    return settings.problem, settings.label, settings.positive


def ask_to_score(ports: Ports, model: str) -> None:
    """Let the function that may start jobs look at what is to be scored."""
    event = {"perennial": "earlier", "model": model, "monitor": MODEL_QUALITY}
    functions.tell(ports.deployment.monitor_due_arn, event)


def start_scores(ports: Ports, model: str) -> tuple[str, ...]:
    """Start the jobs that are missing; their names. Raises `NotFound` for an unknown model.

    A version that cannot be scored any more is noted as such.
    """
    row = known_model(ports.ledger, model)
    scoring = read_scoring(ports.ledger, model)
    if scoring is None:
        return ()
    started, failed = [], {}
    for each in earlier.left(scoring.window):
        name = _job_of(ports, scoring.window, each)
        try:
            if _status(name) is None:
                jobs.start_processing_job(_request(ports, row, scoring.window, each))
                started.append(name)
        except (NotFound, Rejected) as error:
            failed[each.version] = replace(each, words=_short(f"it cannot be scored: {error}"))
    _note(ports, scoring.window, failed)
    return tuple(started)


def look_at_scores(ports: Ports, model: str) -> WindowRow | None:
    """Note the ends of jobs; the window once all its versions are scored or could not be.

    None while jobs are at work, and if nothing is being scored. A job that is not there is asked
    for again.
    """
    scoring = read_scoring(ports.ledger, model)
    if scoring is None:
        return None
    found, is_lost = {}, False
    for each in earlier.left(scoring.window):
        described = _status(_job_of(ports, scoring.window, each))
        if described is None:
            is_lost = True
        elif described["ProcessingJobStatus"] not in AT_WORK:
            found[each.version] = _found(ports, scoring.window, each, described)
    window = _note(ports, scoring.window, found)
    if is_lost:
        ask_to_score(ports, model)
    return None if earlier.left(window) else window


def finish_scoring(ports: Ports, window: WindowRow) -> bool:
    """Let the next window be scored; False when somebody did before."""

    def decide() -> Transaction:
        row = ports.ledger.get(monitor_key(window.model, window.kind))
        return earlier.end_scoring(row if isinstance(row, MonitorRow) else None, window)

    return commit_change(ports, decide)


def _note(ports: Ports, window: WindowRow, found: dict[int, Earlier]) -> WindowRow:
    """Record scores; the window as it is then."""

    def decide() -> Transaction:
        row = ports.ledger.get(window.key)
        return earlier.note_scores(row, found) if isinstance(row, WindowRow) else ()

    commit_change(ports, decide)
    row = ports.ledger.get(window.key)
    return row if isinstance(row, WindowRow) else window


def _job_of(ports: Ports, window: WindowRow, each: Earlier) -> str:
    return naming.earlier_job(ports.deployment.stack, window.model, window.end_ms, each.version)


def _status(job: str) -> Any:
    """A job as SageMaker describes it; None for none."""
    try:
        return jobs.describe_processing_job(job)
    except NotFound:
        return None


def _found(ports: Ports, window: WindowRow, each: Earlier, described: Any) -> Earlier:
    """What a job that is over found, or why it found nothing."""
    if described["ProcessingJobStatus"] != "Completed":
        reason = reason_of(described)
        status = described["ProcessingJobStatus"].lower()
        return replace(each, words=_short(f"{described['ProcessingJobName']} {status}: {reason}"))
    uri = monitor_job.pair_uri(ports.deployment.artifact_bucket, window, each.version)
    try:
        document = objects.get_json(uri)
        gain, spread = float(document["gain"]), float(document["spread"])
    except (NotFound, Rejected, KeyError, TypeError, ValueError) as error:
        words = f"{described['ProcessingJobName']} left no figures: {error!r}"
        return replace(each, words=_short(words))
    return replace(each, gain=repr(gain), spread=repr(spread))


def _short(words: str) -> str:
    return printable(words)[:LONGEST_WORDS]


def _request(ports: Ports, row: ModelRow, window: WindowRow, each: Earlier) -> dict[str, Any]:
    """What SageMaker is asked for one version; raises `NotFound` or `Rejected`."""
    settings = read_settings_of(ports.ledger, row)
    live, run = (read_run(ports.ledger, run_key(row.model, n)) for n in (window.run, each.run))
    if run is None or run.version is None:
        raise NotFound(f"the ledger knows no version of run {each.run} of {row.model} any more")
    code, model = code_and_model(run.version.arn, f"version {each.version} of {row.model}")
    root = f"s3://{ports.deployment.artifact_bucket}"
    checked = f"{root}/{naming.run_base(row.model, window.run)}"
    return monitor_job.earlier_request(
        window,
        each.version,
        _job_of(ports, window, each),
        settings.monitor,
        monitor_job.Subject(
            code=code,
            settings=f"{root}/{naming.settings_key(row.model, each.run)}",
            check=f"{place_of(live, 'check_data', checked)}/check",
            model=model,
            baseline="",
        ),
        read_settings(ports.ledger, row).code,
        place_of_jobs(ports, settings),
    )


def code_and_model(arn: str, name: str) -> tuple[str, str]:
    """The code and the model of a version, S3 URIs; raises `Rejected` when it names none."""
    containers = registry.describe_version(arn).raw.get("InferenceSpecification", {})
    container = (containers.get("Containers") or [{}])[0]
    code = container.get("Environment", {}).get("PERENNIAL_CODE")
    model = container.get("ModelDataUrl")
    if not code or not model:
        raise Rejected(f"{name} names no code or no model")
    return code, model


def place_of_jobs(ports: Ports, settings: Settings) -> monitor_job.Place:
    """Where the jobs of monitors run, and as whom."""
    deployment = ports.deployment
    return monitor_job.Place(
        stack=deployment.stack,
        bucket=deployment.artifact_bucket,
        image=deployment.job_image,
        role=deployment.job_role_arn,
        kms_key=deployment.optional("KMS_KEY_ARN"),
        network=network_of(deployment),
        tags=dict(settings.tags),
    )
