"""`cost`: what runs cost, by step, by run and by model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from cli.output import ago, count, duration, plain, table
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.sum_costs import Costs

LATER = (
    "Endpoint hours are those of what was live, without a deployment's second fleet and staging; "
    "requests, storage and transfer are not counted. What an endpoint that scales cost is not "
    "known."
)


@click.command()
@click.argument("model", required=False)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many runs of a model.",
)
@on_target
def cost(session: Session, model: str | None, limit: int) -> None:
    """Add up what runs and endpoints cost: billed seconds of jobs, hours live, by dated prices.

    A step that was reused from an earlier run costs nothing again. Prices of your own Region or
    agreement go into the artifact bucket as code/prices.json.

    \b
    Examples:
      perennial cost
      perennial cost census -n 5
      perennial cost census --json
    """
    from perennial.list_models import list_models  # noqa: PLC0415 - boto3 costs 0.2 s
    from perennial.sum_costs import sum_costs  # noqa: PLC0415 - as above

    names = [model] if model else list_models(session.ports)
    found = [sum_costs(session.ports, name, limit) for name in names]
    screen = session.screen
    if screen.as_json:
        documents = [cost_document(costs) for costs in found]
        screen.document(documents[0] if model else documents)
        return
    if not found:
        screen.line("There are no models here yet.")
        screen.line("[dim]next:[/]  perennial push models/census")
        return
    if model:
        show_model(session, found[0], limit)
    else:
        rows = [
            (
                *(costs.model, str(len(costs.runs)), billed(costs), dollars(costs)),
                *(served(costs), batched(costs), watched(costs)),
            )
            for costs in found
        ]
        heads = ("model", "runs", "billed", "cost", "endpoint", "batches", "monitors")
        screen.out.print(table(heads, rows, right=(1, 2, 3, 4, 5, 6)))
    screen.line()
    screen.line(f"[dim]by on-demand prices of {found[0].prices}. {LATER}[/]")


def show_model(session: Session, costs: Costs, limit: int) -> None:
    """One model: by step, then by run; `limit` is how many runs were looked at at most."""
    from perennial.sum_costs import by_step  # noqa: PLC0415 - boto3 costs 0.2 s

    screen = session.screen
    if not costs.runs:
        screen.line(f"{costs.model} has had no run yet, so it has cost nothing.")
        return
    show_endpoint(session, costs)
    show_batches(session, costs)
    show_monitors(session, costs)
    steps = [
        (
            each.step,
            each.kind,
            str(each.jobs),
            str(each.reused) if each.reused else "-",
            duration(each.seconds),
            f"${each.usd:.4f}",
        )
        for each in by_step(costs.runs)
    ]
    heads = ("step", "kind", "jobs", "reused", "billed", "cost")
    screen.out.print(table(heads, steps, right=(2, 3, 4, 5)))
    screen.line()
    runs = [
        (
            str(run.run),
            run.outcome,
            ago(run.opened_ms),
            str(sum(not job.reused for job in run.jobs)),
            duration(run.seconds),
            f"${run.usd:.4f}",
            f"{count(run.unknown, 'job')} unknown" if run.unknown else "",
        )
        for run in costs.runs
    ]
    columns = ("run", "outcome", "opened", "jobs", "billed", "cost", "")
    screen.out.print(table(columns, runs, right=(0, 3, 4, 5)))
    screen.line()
    full = len(costs.runs) == limit
    screen.line(
        f"[bold]{costs.model}[/]: {count(len(costs.runs), 'run')}, {billed(costs)} billed,"
        f" {dollars(costs)}"
        + ("; older runs are left out, see -n" if costs.runs[-1].run > 1 and full else "")
    )


def show_endpoint(session: Session, costs: Costs) -> None:
    """What the endpoint cost, release by release."""
    if not costs.endpoints:
        return
    rows = [
        (
            str(each.release),
            str(each.version),
            f"{each.count} x {each.instance}" if each.instance else "not ours",
            "unknown" if each.seconds is None else duration(each.seconds),
            "unknown" if each.usd is None else f"${each.usd:.4f}",
        )
        for each in costs.endpoints
    ]
    columns = ("release", "version", "machines", "live", "cost")
    session.screen.out.print(table(columns, rows, right=(0, 1, 3, 4)))
    session.screen.line()


def show_batches(session: Session, costs: Costs) -> None:
    """What the batches of predictions cost, one by one."""
    if not costs.batches:
        return
    rows = [
        (
            *(each.job, each.status, each.instance),
            "unknown" if each.seconds is None else duration(each.seconds),
            "unknown" if each.usd is None else f"${each.usd:.4f}",
        )
        for each in costs.batches
    ]
    columns = ("batch", "status", "machine", "billed", "cost")
    session.screen.out.print(table(columns, rows, right=(3, 4)))
    session.screen.line()


def show_monitors(session: Session, costs: Costs) -> None:
    """What the newest windows of the monitors cost, kind by kind."""
    if not costs.monitors:
        return
    rows = [
        (
            *(each.kind, str(each.jobs), duration(each.seconds), f"${each.usd:.4f}"),
            f"{count(each.unknown, 'job')} unknown" if each.unknown else "",
        )
        for each in costs.monitors
    ]
    columns = ("monitor", "jobs", "billed", "cost", "")
    session.screen.out.print(table(columns, rows, right=(1, 2, 3)))
    session.screen.line()


def watched(costs: Costs) -> str:
    """What the monitors cost, as far as it is known."""
    unknown = sum(each.unknown for each in costs.monitors)
    return in_sum((each.usd for each in costs.monitors), unknown, "job")


def batched(costs: Costs) -> str:
    """What the batches cost, as far as it is known."""
    unknown = sum(each.usd is None for each in costs.batches)
    return in_sum((each.usd for each in costs.batches), unknown, "batch", "batches")


def served(costs: Costs) -> str:
    """What the endpoint cost, as far as it is known."""
    unknown = sum(each.usd is None for each in costs.endpoints)
    return in_sum((each.usd for each in costs.endpoints), unknown, "release")


def billed(costs: Costs) -> str:
    """The billed time of all runs."""
    return duration(sum(run.seconds for run in costs.runs))


def dollars(costs: Costs) -> str:
    """What all runs cost, and whether that is all of it."""
    unknown = sum(run.unknown for run in costs.runs)
    return in_sum((run.usd for run in costs.runs), unknown, "job")


def in_sum(prices: Iterable[float | None], unknown: int, *noun: str) -> str:
    """What is known of some prices, and of how many `noun`s it is unknown; "-" for no prices."""
    found = list(prices)
    if not found:
        return "-"
    words = f"${sum(each or 0.0 for each in found):.4f}"
    return words + (f" and {count(unknown, *noun)} unknown" if unknown else "")


def cost_document(costs: Costs) -> dict[str, Any]:
    """A model's cost for scripts: the runs with their jobs, and every sum."""
    from perennial.sum_costs import by_step  # noqa: PLC0415 - boto3 costs 0.2 s

    return {
        "model": costs.model,
        "prices": costs.prices,
        "seconds": sum(run.seconds for run in costs.runs),
        "usd": sum(run.usd for run in costs.runs),
        "unknown": sum(run.unknown for run in costs.runs),
        "by_step": plain(by_step(costs.runs)),
        "runs": [
            {**plain(run), "seconds": run.seconds, "usd": run.usd, "unknown": run.unknown}
            for run in costs.runs
        ],
        "endpoints": plain(costs.endpoints),
        "endpoint_usd": sum(each.usd or 0.0 for each in costs.endpoints),
        "batches": plain(costs.batches),
        "batch_usd": sum(each.usd or 0.0 for each in costs.batches),
        "monitors": plain(costs.monitors),
        "monitor_usd": sum(each.usd for each in costs.monitors),
        "not_counted": [
            *("requests", "second fleets of deployments", "staging endpoints"),
            *("storage", "transfer"),
        ],
    }
