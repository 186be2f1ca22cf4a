"""Keep SageMaker's monitoring schedule of one monitor as live version and settings ask for it.

The ledger names the schedule before it is made, so that none is forgotten, and says what it was
made for when it stands, so that whoever died in between is made up for. Repeatable by anyone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from perennial.aws import monitoring_schedules as schedules
from perennial.aws import objects
from perennial.aws.monitor_metrics import Metric, publish
from perennial.commit_change import commit_change
from perennial.describe_model import read_settings_of
from perennial.domain import monitor_job, naming, sagemaker_monitor
from perennial.domain.errors import Denied, NotFound, PerennialError, Rejected
from perennial.domain.ledger.monitor_rows import MonitorRow
from perennial.domain.ledger.rows import Live, ModelRow, run_key
from perennial.domain.ledger.store import Transaction, change, create, read_run
from perennial.domain.monitor_windows import window_start, words
from perennial.domain.sagemaker_monitor import Watch
from perennial.domain.settings import Settings
from perennial.domain.settings_monitor import Monitor
from perennial.domain.sources import labels_prefix
from perennial.domain.step_keys import place_of
from perennial.record_window import publish_cleared
from perennial.start_monitor import Started, judged_of, read_monitor_row
from perennial.write_manifest import network_of

if TYPE_CHECKING:
    from perennial.wiring import Ports


def keep_watch(ports: Ports, row: ModelRow, settings: Settings, kind: str, by: str) -> Started:
    """Put, replace or remove the schedule of a kind; with `by`, a person's, also look now.

    `decision`: `kept`, `started` (a look by hand), `open` (one is under way), `none` or `failed`.
    """
    model = row.model
    monitor = settings.monitor.monitor(kind) if settings.monitor.is_managed else None
    head = read_monitor_row(ports.ledger, model, kind)
    if monitor is None or row.live is None:
        remove_watch(ports, model, kind)
        why = (
            f"the settings of {model} ask for no {kind} monitor of SageMaker's"
            if monitor is None
            else f"no version of {model} is live, so there is no traffic to judge"
        )
        return Started(model, kind, "none", why)
    try:
        wanted = _wanted(ports, row, row.live, settings, monitor)
    except (NotFound, Rejected) as error:
        remove_watch(ports, model, kind)
        return _blind(ports, model, kind, error)
    if head is not None and head.watch not in ("", wanted.name):
        schedules.delete_watch(kind, head.watch)
    if head is not None and head.watch_release not in (0, row.live.release):
        publish_cleared(ports, model, kind)
    if head is None or head.watch != wanted.name:
        _note(ports, model, kind, wanted.name, 0, 0)  # made for no release as long as it may fail
    try:
        _put(ports, wanted)
    except (Rejected, Denied) as error:  # as an account is answered that Model Monitor is closed to
        return _blind(ports, model, kind, error)
    _note(ports, model, kind, wanted.name, row.live.release, row.settings)
    if by:
        return _look_now(ports, row.live, model, monitor, wanted)
    return Started(model, kind, "kept", f"{wanted.name} watches {model} {row.live.version}")


def _blind(ports: Ports, model: str, kind: str, error: PerennialError) -> Started:
    """Let the alarm of monitors that see nothing tell people; the sweeper asks again."""
    publish(naming.token(ports.deployment.stack), model, kind, [Metric("blind", 1.0)])
    return Started(model, kind, "failed", str(error))


def remove_watch(ports: Ports, model: str, kind: str) -> bool:
    """Remove a kind's schedules and definition, if the ledger knows any."""
    head = read_monitor_row(ports.ledger, model, kind)
    if head is None or not (head.watch or head.watch_now):
        return False
    if head.watch_now:
        schedules.delete_schedule(head.watch_now)
    if head.watch:
        schedules.delete_watch(kind, head.watch)
    _note(ports, model, kind, "", 0, 0, watch_now="")
    return True


def jobs_at_work(ports: Ports, model: str) -> list[str]:
    """The jobs of executions of a model's schedules that are under way."""
    heads = [read_monitor_row(ports.ledger, model, kind) for kind in naming.MONITOR_KINDS]
    names = [name for head in heads if head for name in (head.watch, head.watch_now) if name]
    since_ms = ports.clock() - sagemaker_monitor.DAY_MS
    return [
        each.job
        for name in names
        for each in schedules.list_executions(name, since_ms)
        if each.job and not each.is_over
    ]


def remove_watches(ports: Ports, model: str) -> list[str]:
    """Remove the schedules of all kinds of a model; which kinds had one."""
    return [kind for kind in naming.MONITOR_KINDS if remove_watch(ports, model, kind)]


def _wanted(ports: Ports, row: ModelRow, live: Live, settings: Settings, monitor: Monitor) -> Watch:
    """What should be there; raises `NotFound` without a baseline or an image of the Region."""
    deployment = ports.deployment
    image = deployment.optional("MONITOR_IMAGE")
    if not image:
        raise NotFound(
            f"providers.monitor of {row.model} is sagemaker, and Model Monitor has no image in "
            "this Region; take it out of model.yaml"
        )
    root = f"s3://{deployment.artifact_bucket}"
    run = read_run(ports.ledger, run_key(row.model, live.run))
    base = f"{root}/{naming.run_base(row.model, live.run)}"
    baseline = (
        f"{place_of(run, 'baseline', base)}/baselines/{monitor_job.baseline_folder(monitor.kind)}"
    )
    if not objects.exists(f"{baseline}/constraints.json"):
        raise NotFound(
            f"version {live.version} of {row.model} has no {monitor.kind} baseline; train and "
            f"release again: perennial retrain {row.model}"
        )
    trained = read_settings_of(ports.ledger, row, run.settings) if run else settings
    subject = sagemaker_monitor.Subject(
        model=row.model,
        release=live.release,
        version=live.version,
        endpoint=live.endpoint,
        baseline=baseline,
        features=tuple(column.name for column in trained.features),
        missing=tuple(trained.data.missing),
        problem=trained.problem,
        labels=f"{root}/{labels_prefix(row.model)}",
    )
    place = monitor_job.Place(
        stack=deployment.stack,
        bucket=deployment.artifact_bucket,
        image=image,
        role=deployment.job_role_arn,
        kms_key=deployment.optional("KMS_KEY_ARN"),
        network=network_of(deployment),
        tags={
            **dict(settings.tags),
            "perennial:stack": deployment.stack,
            "perennial:model": row.model,
            "perennial:monitor": monitor.kind,
        },
    )
    constraints = objects.get_json(f"{baseline}/constraints.json")
    return sagemaker_monitor.watch(subject, settings.monitor, monitor, place, constraints)


def _put(ports: Ports, wanted: Watch) -> None:
    bucket = ports.deployment.artifact_bucket
    for key, text in wanted.files.items():
        objects.put_bytes(bucket, key, text.encode())
    schedules.put_definition(wanted.kind, wanted.definition)
    schedules.put_schedule(wanted.schedule)


def _look_now(ports: Ports, live: Live, model: str, monitor: Monitor, wanted: Watch) -> Started:
    """A schedule that runs once, over what came since the last window."""
    kind, now_ms = monitor.kind, ports.clock()
    head = read_monitor_row(ports.ledger, model, kind)
    if head is not None and head.watch_now:
        return Started(
            model, kind, "open", f"{head.watch_now} looks already", schedule=head.watch_now
        )
    start_ms = max(window_start(judged_of(head), live.since_ms), now_ms - sagemaker_monitor.DAY_MS)
    if now_ms - start_ms < sagemaker_monitor.SHORTEST_MS:
        return Started(model, kind, "none", f"{model} was judged a moment ago")
    name = naming.watch_name(ports.deployment.stack, model, kind, f"now{now_ms // 1000:x}")
    _note(ports, model, kind, wanted.name, live.release, None, watch_now=name)
    request = {
        **wanted.schedule,
        "MonitoringScheduleName": name,
        "MonitoringScheduleConfig": {
            **wanted.schedule["MonitoringScheduleConfig"],
            "ScheduleConfig": sagemaker_monitor.now_schedule(start_ms, now_ms),
        },
    }
    schedules.put_schedule(request)
    return Started(
        model, kind, "started", f"{name} judges {words(start_ms, now_ms)}", schedule=name
    )


def _note(  # noqa: PLR0913, PLR0917  # each is a field of the row
    ports: Ports,
    model: str,
    kind: str,
    watch: str,
    release: int,
    settings: int | None,
    watch_now: str | None = None,
) -> None:
    """Note which schedule there is to be; None leaves a field as it is."""

    def decide() -> Transaction:
        head = read_monitor_row(ports.ledger, model, kind)
        before = head or MonitorRow(model, kind)
        fields: dict[str, Any] = {
            "watch": watch,
            "watch_release": release,
            "watch_settings": before.watch_settings if settings is None else settings,
            "watch_now": before.watch_now if watch_now is None else watch_now,
        }
        if all(getattr(before, name) == value for name, value in fields.items()):
            return ()
        return (create(replace(before, **fields)) if head is None else change(head, **fields),)

    commit_change(ports, decide)
