"""`runs`, `runs compare`: what happened, run below run or run beside run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click
from perennial.domain.gates import LOWER_IS_BETTER
from perennial.domain.gates import figure as short_figure
from rich.markup import escape

from cli.errors import Usage
from cli.names import one_model
from cli.output import Styled, ago, clock, count, duration, plain, table
from cli.see import short_words
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.compare_runs import ComparedRun
    from perennial.domain.ledger.rows import RunRow

COLOURS = {"won": "green", "lost": "yellow", "refused": "yellow", "stopped": "yellow"}
NOTHING = "-"
MOST_COMPARED = 8
SMALLER_IS_BETTER = (*LOWER_IS_BETTER, "latency_p99_ms", "model_mb")


class RunsGroup(click.Group):
    """Lists runs unless a command is named, so that `runs census` is `runs list census`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` before what is no command of the group."""
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("runs", cls=RunsGroup)
def runs_group() -> None:
    """List a model's runs, or lay some of them side by side.

    \b
    Examples:
      perennial runs census
      perennial runs compare 3 5 8
    """


@runs_group.command("list")
@click.argument("model", required=False)
@click.option("-n", "--limit", default=20, show_default=True, help="How many, newest first.")
@on_target
def list_them(session: Session, model: str | None, limit: int) -> None:
    """List a model's runs, newest first: why each began and how it ended.

    \b
    Examples:
      perennial runs census
      perennial runs list census -n 5
      perennial runs --json
    """
    from perennial.list_runs import list_runs  # noqa: PLC0415 - boto3 costs 0.2 s

    name = one_model(session, model)
    found = list_runs(session.ports, name, limit)
    screen = session.screen
    if screen.as_json:
        screen.document(found)
        return
    if not found:
        screen.line(f"{name} has had no run yet.")
        screen.line(f"[dim]next:[/]  perennial why {name}")
        return
    columns = ("run", "outcome", "version", "opened", "took", "because")
    screen.out.print(table(columns, [run_row(run) for run in found], right=(0, 4)))


def run_row(run: RunRow) -> tuple[str, ...]:
    """One run as a row of the table."""
    state = str(run.outcome or run.state)
    colour = COLOURS.get(state, "red" if run.outcome else "cyan")
    end = run.ended_ms or int(time.time() * 1000)
    because = short_words(run.because[0], run.model) if run.because else "-"
    more = f" (and {len(run.because) - 1} more)" if len(run.because) > 1 else ""
    return (
        str(run.number),
        Styled(f"[{colour}]{state}[/]"),
        str(run.version.number) if run.version else "-",
        ago(run.opened_ms),
        duration((end - run.opened_ms) / 1000),
        because + more,
    )


@runs_group.command()
@click.argument("which", nargs=-1, required=True, metavar="[MODEL] RUN...")
@click.option("--model", help="The model, if there are several.")
@on_target
def compare(session: Session, which: tuple[str, ...], model: str | None) -> None:
    """Lay runs side by side: hyperparameters, data, figures, duration, cost.

    What differs is marked with *; the best of each figure is green. Every run was judged on a
    holdout of its own: a run's verdict is what compares two models on the same rows.

    \b
    Examples:
      perennial runs compare 3 5 8
      perennial runs compare census 3 5 --json
    """
    from perennial.compare_runs import compare_runs  # noqa: PLC0415 - boto3 costs 0.2 s

    name, numbers = model_and_numbers(session, which, model)
    found = compare_runs(session.ports, name, numbers)
    screen = session.screen
    if screen.as_json:
        screen.document({"model": name, "runs": [compared_document(run) for run in found]})
        return
    screen.line(f"[bold]{escape(name)}[/]")
    columns = ("", *(f"run {run.run}" for run in found))
    screen.out.print(table(columns, compared_rows(found), right=range(1, len(columns))))


def model_and_numbers(
    session: Session, which: tuple[str, ...], model: str | None
) -> tuple[str, list[int]]:
    """Read `[MODEL] RUN...`: the model may be left out where there is only one."""
    named = which[0] if not which[0].isdigit() else None
    words = which[1:] if named else which
    if (named and model) or not words or not all(word.isdigit() for word in words):
        raise Usage(f"'{' '.join(which)}' is not [model] run run ...", "For example: census 3 5 8.")
    numbers = list(dict.fromkeys(int(word) for word in words))
    if not 2 <= len(numbers) <= MOST_COMPARED:
        raise Usage(f"{count(len(numbers), 'run')}: from 2 to {MOST_COMPARED} can be compared.")
    return one_model(session, named or model), numbers


def compared_document(run: ComparedRun) -> dict[str, Any]:
    """A run for scripts, with the sums of its cost."""
    document: dict[str, Any] = plain(run)
    document["cost"] |= {
        "seconds": run.cost.seconds,
        "usd": run.cost.usd,
        "unknown": run.cost.unknown,
    }
    return document


def compared_rows(runs: Sequence[ComparedRun]) -> list[tuple[str, ...]]:
    """One row a fact, in groups: the run, hyperparameters, data, figures, gates, time and cost."""
    rows = [
        row(name, [run.words[name] for run in runs], str)
        for name in runs[0].words
        if any(run.words[name] is not None for run in runs)
    ]
    rows += group("hyperparameters", runs, lambda run: run.hyperparameters, shown)
    rows += group("data", runs, lambda run: run.data, shown_data)
    rows += group("figures of its own holdout", runs, lambda run: run.metrics, None)
    rows += group("gates", runs, lambda run: run.gates, lambda kept: "pass" if kept else "FAIL")
    rows += [
        ("",) * (len(runs) + 1),
        row("opened", [run.opened_ms for run in runs], clock, mark=False),
        row("took", [run.seconds for run in runs], duration, mark=False),
        row("billed", [run.cost.seconds for run in runs], duration, mark=False),
        row("cost", [cost_words(run) for run in runs], str, mark=False),
    ]
    return rows


def group(
    title: str,
    runs: Sequence[ComparedRun],
    values: Callable[[ComparedRun], Any],
    words: Callable[[Any], str] | None,
) -> list[tuple[str, ...]]:
    """The rows of one group below its title; without `words` they are figures."""
    names = dict.fromkeys(name for run in runs for name in values(run))
    if not names:
        return []
    rows: list[tuple[str, ...]] = [
        ("",) * (len(runs) + 1),
        (Styled(f"[bold]{escape(title)}[/]"), *("" for _ in runs)),
    ]
    for name in names:
        given = [values(run).get(name) for run in runs]
        rows.append(figure_row(name, given) if words is None else row(name, given, words))
    return rows


def row(
    name: str, values: Sequence[Any], words: Callable[[Any], str], *, mark: bool = True
) -> tuple[str, ...]:
    """One fact of every run; a * says that they are not all the same."""
    texts = [NOTHING if value is None else words(value) for value in values]
    return (f"{name} *" if mark and len(set(texts)) > 1 else name, *texts)


def figure_row(name: str, values: Sequence[float | None]) -> tuple[str, ...]:
    """One figure of every run, the best of it in green."""
    known = [value for value in values if value is not None]
    best: float | None = None
    if name != "rows" and len(set(known)) > 1:
        best = min(known) if name in SMALLER_IS_BETTER else max(known)
    texts = [NOTHING if value is None else short_figure(value) for value in values]
    cells = (
        Styled(f"[green]{text}[/]") if best is not None and value == best else text
        for text, value in zip(texts, values, strict=True)
    )
    return (f"{name} *" if len(set(texts)) > 1 else name, *cells)


def shown(value: Any) -> str:
    """A hyperparameter as one writes it in model.yaml."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return listed(value) if isinstance(value, list) else str(value)


def listed(values: Iterable[Any]) -> str:
    """A list in one cell."""
    return ", ".join(str(value) for value in values) or "none"


def shown_data(value: int) -> str:
    """A count with its thousands apart."""
    return f"{value:,}"


def cost_words(run: ComparedRun) -> str:
    """What a run cost, and whether that is all of it."""
    words = f"${run.cost.usd:.4f}"
    return words + (f" and {count(run.cost.unknown, 'job')} unknown" if run.cost.unknown else "")
