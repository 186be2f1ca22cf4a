"""`init`, `check`, `push`, `remove`: a model project from the first CSV to its removal."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml
from perennial.domain.project import ProjectInvalid
from rich.markup import escape

from cli.check import run_check
from cli.errors import CommandError, NotFound, Refused, Usage
from cli.model_file import parse_sets, read_settings
from cli.output import Screen, count, table
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.aws.stacks import StackEvent
    from perennial.domain.settings import Settings
    from perennial.push_project import Code, Pushed
    from perennial.scaffold import Scaffold

FOLDER = click.argument("folder", type=click.Path(path_type=Path))


@click.command()
@click.argument("name")
@click.option(
    "--csv", "csv", type=click.Path(path_type=Path), required=True, help="A sample of the data."
)
@click.option("--label", help="The column to predict (default: guessed, and shown).")
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    default=Path("models"),
    show_default=True,
    help="Folder of projects.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def init(name: str, csv: Path, label: str | None, into: Path, *, as_json: bool) -> None:
    """Write a model project from a CSV file: columns, label, problem and facets are guessed.

    Every guess is shown with its reason; model.yaml is yours to correct.

    \b
    Examples:
      perennial init churn --csv customers.csv
      perennial init churn --csv customers.csv --label left
    """
    from perennial.domain.errors import PerennialError  # noqa: PLC0415 - only this command needs it
    from perennial.scaffold import scaffold  # noqa: PLC0415 - as above

    screen = Screen(as_json=as_json)
    if not csv.is_file():
        raise NotFound(f"There is no file {csv}.")
    if (into / name).exists():
        raise Refused(f"{into / name} is there already.", "Choose another name, or remove it.")
    try:
        made = scaffold(csv, name, into, label=label)
    except (ValueError, PerennialError) as error:
        raise CommandError(str(error), "Nothing was written.") from error
    if as_json:
        screen.document(made)
        return
    show_scaffold(screen, made, csv)


def show_scaffold(screen: Screen, made: Scaffold, csv: Path) -> None:
    """Print what was guessed, and why, and what to do with it."""
    folder = escape(str(made.folder))
    screen.line(f"[bold]{folder}[/] made from {count(made.rows, 'row')} of {escape(str(csv))}")
    screen.out.print(table(("column", "type", "why"), made.columns))
    screen.line(f"label    [bold]{escape(made.label)}[/]  [dim]{escape(made.label_why)}[/]")
    screen.line(f"problem  [bold]{escape(made.problem)}[/]")
    facets = escape(", ".join(made.facets) or "none")
    screen.line(f"facets   [bold]{facets}[/]  [dim]groups that are judged apart[/]")
    for notice in made.notices:
        screen.line(f"[yellow]notice[/]   {escape(notice)}")
    screen.line(
        f"[dim]next:[/]    read {folder}/model.yaml, then:"
        f" perennial check {folder} {escape(str(csv))}"
    )


@click.command()
@FOLDER
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override a setting for this check."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def check(folder: Path, files: tuple[Path, ...], sets: tuple[str, ...], *, as_json: bool) -> None:
    """Try a model project on files of data: check, train, evaluate and judge, without a cloud.

    It runs the code of the jobs, in the environment of the jobs, as one process.

    \b
    Examples:
      perennial check models/census data/adult-train.csv
      perennial check models/churn customers.csv --set train.hyperparameters.num_leaves=15
    """
    screen = Screen(as_json=as_json)
    settings = read_settings(folder, parse_sets(sets))
    for file in files:
        if not file.is_file():
            raise NotFound(f"There is no file {file}.")
    screen.line(f"[bold]{settings.project}[/] on {', '.join(escape(str(file)) for file in files)}")
    passed = run_check(screen, folder, files, sets, settings)
    if passed:
        screen.line(f"[dim]next:[/]  perennial push {escape(str(folder))}")
    sys.exit(0 if passed else 1)


@click.command()
@FOLDER
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting of model.yaml for this push.",
)
@on_target
def push(session: Session, folder: Path, sets: tuple[str, ...]) -> None:
    """Publish a model project: its code, its settings, and the small stack that it owns.

    Everything is validated before anything is changed. A push is a reason to retrain; pushing
    unchanged content publishes nothing.

    \b
    Examples:
      perennial push models/census
      perennial push models/census --set gates.auc.min=0.9
      perennial push models/census --target aws:work/eu-west-1/prod-perennial
    """
    pushed = push_folder(session, folder, sets)
    screen = session.screen
    if screen.as_json:
        screen.document(pushed)
        return
    if not pushed.changed:
        screen.line(
            f"[bold]{pushed.model}[/] is unchanged: settings {pushed.version} stay,"
            " nothing was published."
        )
        return
    screen.line(
        f"[bold]{pushed.model}[/]: settings {pushed.version} published"
        f" · code {pushed.code_sha[:12]}"
        f" · stack {pushed.stack} {'deployed' if pushed.stack_changed else 'unchanged'}"
    )
    screen.line(
        f"[dim]next:[/]  perennial land {pushed.model} <file>…   or: perennial why {pushed.model}"
    )


def push_folder(session: Session, folder: Path, sets: tuple[str, ...]) -> Pushed:
    """Validate, pack and publish a project folder, with the stack's progress on a terminal."""
    from perennial.push_project import push_project  # noqa: PLC0415 - boto3 costs 0.2 s
    from perennial.write_manifest import network_of  # noqa: PLC0415 - boto3 costs 0.2 s

    screen = session.screen
    settings = read_settings(folder, parse_sets(sets))
    is_isolated = network_of(session.ports.deployment).isolated
    code = pack(folder, settings, changed=bool(sets), is_isolated=is_isolated)
    with screen.people.status(f"pushing {settings.project}") as status:

        def tell(event: StackEvent) -> None:
            status.update(f"pushing {settings.project} · {event.resource} {event.status}")

        return push_project(session.ports, settings, code, pushed_by=session.who, tell=tell)


def pack(folder: Path, settings: Settings, *, changed: bool, is_isolated: bool = False) -> Code:
    """The packed project; `changed` by `--set`, its model.yaml is the one that holds after them.

    So the archive's digest tells everything that was published: the same code with another
    setting is another version.
    """
    from perennial.pack_project import pack_project  # noqa: PLC0415 - only push packs
    from perennial.push_project import Code  # noqa: PLC0415 - boto3 costs 0.2 s

    with tempfile.TemporaryDirectory() as scratch:
        if changed:
            copy = Path(scratch) / folder.resolve().name
            shutil.copytree(folder, copy, symlinks=True)
            (copy / "model.yaml").write_text(
                yaml.safe_dump(settings.to_json(), sort_keys=False), encoding="utf-8"
            )
            folder = copy
        try:
            train = settings.train
            endpoint = settings.release.endpoint
            packed = pack_project(
                folder,
                algorithm=train.algorithm,
                image=train.image,
                is_shared=endpoint is not None and endpoint.kind == "multi-model",
                is_isolated=is_isolated,
            )
        except ProjectInvalid as error:
            raise CommandError(str(error), "Nothing was changed.") from error
    return Code(packed.body, packed.sha256)


@click.command()
@click.argument("model")
@click.option(
    "--data", "with_data", is_flag=True, help="Also delete what was landed under incoming/<model>/."
)
@click.option("--yes", is_flag=True, help="Do not ask (AWS asks; the local cloud never does).")
@on_target
def remove(session: Session, model: str, *, with_data: bool, yes: bool) -> None:
    """Remove a model: its run, versions, stack, files and history.

    What producers landed is theirs and stays, unless you say --data.

    \b
    Examples:
      perennial remove census
      perennial remove census --data
    """
    from perennial.remove_model import remove_model  # noqa: PLC0415 - boto3 costs 0.2 s

    if "/" in model:
        raise Usage(f"'{model}' is no model's name.", f"Did you mean '{Path(model).name}'?")
    also = " and everything that was landed for it" if with_data else ""
    session.confirm(
        f"Remove {model} with all its versions and history{also} from {session.target}?", yes=yes
    )
    screen = session.screen
    with screen.people.status(f"removing {model}") as status:

        def tell(event: StackEvent) -> None:
            status.update(f"removing {model} · {event.resource} {event.status}")

        removed = remove_model(session.ports, model, by=session.who, with_data=with_data, tell=tell)
    if screen.as_json:
        screen.document(removed)
        return
    if removed.stopped_run is not None:
        screen.line(f"run {removed.stopped_run} was stopped")
    gone = count(removed.artifacts, "file version")
    screen.line(
        f"[bold]{model}[/] is removed: {gone} of code, runs and models"
        + (
            f", {count(removed.landed, 'landed object version')}"
            if with_data
            else "; landed data stay"
        )
    )
