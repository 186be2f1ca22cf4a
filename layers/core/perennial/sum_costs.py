"""What runs cost: the billed seconds of every job that bears a run's name, by a dated price table.

Jobs are found by their names, so a failed attempt and a job after the verdict count as well. What
a verdict has noted of a job is taken from there; the others are asked for. A reused job was paid
by the run that started it. Endpoint hours are told by the ledger: each confirmed release served
until the next one did, on the machines that its settings ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws import transforms
from perennial.aws.job_use import job_use
from perennial.aws.jobs import jobs_of
from perennial.aws.objects import find_json
from perennial.describe_model import known_model, read_settings_of
from perennial.describe_monitors import read_windows
from perennial.domain import naming
from perennial.domain.endpoint_hours import Served, served
from perennial.domain.settings import STEPS
from perennial.domain.settings_monitor import MODEL_QUALITY
from perennial.gather_evidence import own_prices
from perennial.list_releases import list_releases
from perennial.list_runs import list_runs

if TYPE_CHECKING:
    from perennial.domain.ledger.rows import ModelRow, RunRow
    from perennial.domain.prices import Prices
    from perennial.wiring import Ports


#: The jobs that scored earlier versions on windows, beside those of the kinds of monitors.
EARLIER = "earlier versions"


@dataclass(frozen=True)
class JobCost:
    """One job of a run. `seconds` are billed ones of all its instances together.

    `seconds` is None while a job is not over or when SageMaker no longer knows it; `usd` is None
    as well when the price table does not have the instance.
    """

    step: str
    job: str
    kind: str
    instance: str
    seconds: float | None
    usd: float | None
    reused: bool = False


@dataclass(frozen=True)
class RunCost:
    """What one run cost, job by job; the sums leave out what is not known."""

    model: str
    run: int
    outcome: str
    opened_ms: int
    jobs: tuple[JobCost, ...]

    @property
    def seconds(self) -> float:
        """The billed seconds of the run's own jobs."""
        return sum(job.seconds or 0.0 for job in self.jobs if not job.reused)

    @property
    def usd(self) -> float:
        """What the jobs cost whose price is known."""
        return sum(job.usd or 0.0 for job in self.jobs)

    @property
    def unknown(self) -> int:
        """How many jobs have no cost: at work, forgotten by SageMaker, or without a price."""
        return sum(job.usd is None for job in self.jobs)


@dataclass(frozen=True)
class EndpointCost:
    """What one release cost while it was live, on `count` machines; `seconds` are of the clock.

    `seconds` is None when nobody noted how long; `usd` as well without a price, and where scaling
    has changed how many machines there were: it began with `count`.
    """

    release: int
    version: int
    instance: str
    count: int
    seconds: float | None
    usd: float | None


@dataclass(frozen=True)
class BatchCost:
    """What one batch of predictions cost: the billed seconds of all machines of its job.

    `seconds` is None while it is at work; `usd` as well without a price.
    """

    job: str
    status: str
    instance: str
    seconds: float | None
    usd: float | None


@dataclass(frozen=True)
class MonitorCost:
    """What the newest windows of one kind of monitor cost.

    `jobs` were started for them, of which `unknown` have no cost: at work, or without a price.
    """

    kind: str
    jobs: int
    seconds: float
    usd: float
    unknown: int


@dataclass(frozen=True)
class Costs:
    """What a model's newest runs cost, newest first, by the prices of the day `prices`.

    `endpoints`: what its newest releases cost while they were live, oldest first. `batches`: what
    its newest batches cost, newest first. `monitors`: what its newest windows cost, by kind.
    """

    model: str
    prices: str
    runs: tuple[RunCost, ...]
    endpoints: tuple[EndpointCost, ...] = ()
    batches: tuple[BatchCost, ...] = ()
    monitors: tuple[MonitorCost, ...] = ()


@dataclass(frozen=True)
class StepCost:
    """What one step cost over several runs; `jobs` were started, `reused` were not."""

    step: str
    kind: str
    jobs: int
    reused: int
    seconds: float
    usd: float


def sum_costs(ports: Ports, model: str, limit: int = 20) -> Costs:
    """What the newest `limit` runs of a model cost; raises `NotFound` for an unknown model."""
    prices = own_prices(ports.deployment.artifact_bucket)
    runs = tuple(cost_of_run(ports, run, prices) for run in list_runs(ports, model, limit))
    served_ones = costs_of_endpoint(ports, model, prices, limit)
    batches = costs_of_batches(ports.deployment.stack, model, prices, limit)
    monitors = costs_of_monitors(ports, model, prices, limit)
    return Costs(model, prices.date, runs, served_ones, batches, monitors)


def costs_of_monitors(
    ports: Ports, model: str, prices: Prices, limit: int
) -> tuple[MonitorCost, ...]:
    """What the newest `limit` windows of each monitor cost; one that looked at nothing is left out.

    A window without captured traffic had no job. What scored earlier versions on the windows of
    model quality is told apart (`EARLIER`).
    """
    started: dict[str, list[str]] = {}
    for kind in naming.MONITOR_KINDS:
        windows = read_windows(ports, model, kind)[-limit:]
        started[kind] = [each.job for each in windows if each.job]
        if kind == MODEL_QUALITY:
            started[EARLIER] = [
                naming.earlier_job(ports.deployment.stack, model, each.end_ms, other.version)
                for each in windows
                for other in each.earlier
            ]
    costs = (_monitor_cost(kind, jobs, prices) for kind, jobs in started.items())
    return tuple(each for each in costs if each.jobs)


def _monitor_cost(kind: str, jobs: Iterable[str], prices: Prices) -> MonitorCost:
    """What those of these jobs cost that there are."""
    used = [use for job in jobs if (use := job_use("processing", job)) is not None]
    costs = [
        None if use.seconds is None else prices.cost("processing", use.instance, use.seconds)
        for use in used
    ]
    return MonitorCost(
        kind=kind,
        jobs=len(used),
        seconds=sum(use.seconds or 0.0 for use in used),
        usd=sum(usd or 0.0 for usd in costs),
        unknown=costs.count(None),
    )


def costs_of_batches(stack: str, model: str, prices: Prices, limit: int) -> tuple[BatchCost, ...]:
    """What each of the newest `limit` batches cost, newest first, told by SageMaker's jobs.

    Their names begin with the time, so sorting them is sorting by age.
    """
    found = transforms.all_transforms(naming.batch_name(stack, model, "b"))
    ours = sorted(name for name in found if naming.is_batch_of(stack, model, name))
    return tuple(_batch_cost(name, prices) for name in reversed(ours[-limit:]))


def _batch_cost(name: str, prices: Prices) -> BatchCost:
    job = transforms.describe_transform(name)
    seconds = job.seconds if job.is_over else None
    usd = None if seconds is None else prices.cost("transform", job.instance, seconds)
    return BatchCost(name, job.status, job.instance, seconds, usd)


def costs_of_endpoint(
    ports: Ports, model: str, prices: Prices, limit: int
) -> tuple[EndpointCost, ...]:
    """What each of the newest `limit` releases cost while it was live, oldest first."""
    row = known_model(ports.ledger, model)
    found = served(list_releases(ports, model, limit), row.live, ports.clock())
    return tuple(_endpoint_cost(ports, row, each, prices) for each in found)


def _endpoint_cost(ports: Ports, row: ModelRow, each: Served, prices: Prices) -> EndpointCost:
    """An adopted endpoint has the machines that somebody else gave it, and no known price.

    Nor has a serverless one, which is paid by the second of each request.
    """
    release = each.release
    asked = read_settings_of(ports.ledger, row, release.settings).release.endpoint
    is_priced = release.kind != "adopt" and release.endpoint_kind == "instances"
    endpoint = asked if is_priced else None
    usd = None
    is_fixed = endpoint is not None and endpoint.scaling is None
    if endpoint is not None and is_fixed and each.seconds is not None:
        usd = prices.cost("endpoint", endpoint.instance, each.seconds * endpoint.count)
    return EndpointCost(
        release=release.number,
        version=release.version,
        instance=endpoint.instance if endpoint else "",
        count=endpoint.count if endpoint else 0,
        seconds=each.seconds,
        usd=usd,
    )


def cost_of_run(ports: Ports, run: RunRow, prices: Prices) -> RunCost:
    """What one run cost, as far as its jobs are over."""
    base = f"s3://{ports.deployment.artifact_bucket}/{naming.run_base(run.model, run.number)}"
    noted = _noted(find_json(f"{base}/verdict/verdict.json") or {})
    found = {**dict(_named(ports.deployment.stack, run)), **noted}
    jobs = [_priced(name, job, prices) for name, job in found.items()]
    return RunCost(
        model=run.model,
        run=run.number,
        outcome=str(run.outcome or run.state),
        opened_ms=run.opened_ms,
        jobs=tuple(sorted(jobs, key=_order)),
    )


def _order(job: JobCost) -> tuple[int, str]:
    return (STEPS.index(job.step) if job.step in STEPS else len(STEPS), job.job)


def _noted(verdict: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The jobs that a verdict names, by name; one of an older form names none."""
    cost = verdict.get("cost") or {}
    return {str(job["job"]): job for job in cost.get("jobs") or () if job.get("job")}


def _named(stack: str, run: RunRow) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The jobs that SageMaker knows under the run's names."""
    prefix = naming.run_prefix(stack, run.model, run.number)
    for job in jobs_of(prefix, naming.tuning_prefix(stack, run.model, run.number)):
        step = job.name.removeprefix(f"{prefix}-").rpartition("-")[0].replace("-", "_")
        yield job.name, {"step": "train" if job.kind == "tuning" else step, "kind": job.kind}


def _priced(name: str, job: Mapping[str, Any], prices: Prices) -> JobCost:
    """A job with its cost; one that a verdict saw at its end need not be asked for again."""
    kind, reused = str(job["kind"]), bool(job.get("reused"))
    instance, seconds = str(job.get("instance") or ""), job.get("seconds")
    if seconds is None and not reused:
        used = job_use(kind, name)
        instance = instance if used is None else used.instance
        seconds = None if used is None else used.seconds
    usd = None if seconds is None else prices.cost(kind, instance, seconds)
    return JobCost(
        step=str(job["step"]),
        job=name,
        kind=kind,
        instance=instance,
        seconds=seconds,
        usd=0.0 if reused else usd,
        reused=reused,
    )


def by_step(runs: Iterable[RunCost]) -> tuple[StepCost, ...]:
    """The jobs of several runs summed by step and kind, the dearest first; pure."""
    sums: dict[tuple[str, str], list[JobCost]] = {}
    for run in runs:
        for job in run.jobs:
            sums.setdefault((job.step, job.kind), []).append(job)
    found = (
        StepCost(
            step=step,
            kind=kind,
            jobs=sum(not job.reused for job in jobs),
            reused=sum(job.reused for job in jobs),
            seconds=sum(job.seconds or 0.0 for job in jobs if not job.reused),
            usd=sum(job.usd or 0.0 for job in jobs),
        )
        for (step, kind), jobs in sums.items()
    )
    return tuple(sorted(found, key=lambda each: (-each.usd, -each.seconds, each.step)))
