"""`batch`: predictions for many rows at once, by a transform job."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from perennial.domain.errors import NotAllowed, Retryable
from rich.markup import escape

from cli import errors
from cli.live import Progress
from cli.names import one_model
from cli.output import count, duration
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.finish_batch import Look
    from perennial.start_batch import Batch

LOCAL_POLL_S, AWS_POLL_S = 0.5, 10.0
MOST_LOST = 30  # looks in a row that AWS does not answer
S3 = "s3://"


@click.command()
@click.argument("model", required=False)
@click.option(
    "--input",
    "source",
    required=True,
    metavar="S3-URI|FILE",
    help="Rows: an object, a prefix, or a local file (.csv, .jsonl, also .gz).",
)
@click.option(
    "--output",
    metavar="S3-URI|FOLDER",
    help="Where predictions go (default: the stack's bucket, below batch/).",
)
@click.option(
    "--version", type=click.IntRange(min=1), help="An approved version (default: the champion)."
)
@click.option("--instance", default="", help="The machine (default: that of the evaluation).")
@click.option("--join", is_flag=True, help="Put each row before its prediction.")
@click.option("--follow", is_flag=True, help="Say each object as it is done.")
@on_target
def batch(  # noqa: PLR0913, PLR0917 - one argument an option
    session: Session,
    model: str | None,
    source: str,
    output: str | None,
    version: int | None,
    instance: str,
    *,
    join: bool,
    follow: bool,
) -> None:
    """Predict many rows at once: a transform job, one prediction a row, and a manifest.

    Rows are text/csv in the order of data.columns without the label, or JSON objects, a line
    each. A local CSV file may have a header, which is read by name and left out; objects in S3
    may not. Predictions keep the rows' order, in `<object>.out`. The command waits for the end;
    Ctrl-C stops the job.

    \b
    Examples:
      perennial batch census --input rows.csv --output predictions/
      perennial batch census --input s3://my-bucket/rows/ --version 7 --instance ml.m5.xlarge
    """
    from perennial.start_batch import Asked, start_batch  # noqa: PLC0415 - boto3 costs 0.2 s

    name = one_model(session, model)
    folder = None if output is None or output.startswith(S3) else empty_folder(Path(output))
    asked = Asked(
        model=name,
        source=given_source(source),
        target=output if output is not None and folder is None else "",
        version=version or 0,
        instance=instance,
        join=join,
    )
    try:
        started = start_batch(session.ports, asked)
    except NotAllowed as error:
        raise errors.Refused(
            str(error), f"What a row must hold: perennial predict {name}"
        ) from error
    introduce(session, started)
    look = followed(session, started, follow=follow)
    report(session, started, look, folder)


def given_source(text: str) -> str | Path:
    """An S3 URI, or a file that is there."""
    if text.startswith(S3):
        return text
    path = Path(text)
    if path.is_dir():
        raise errors.Usage(
            f"{path} is a folder.", "Give one file, or upload it and give its S3 URI."
        )
    if not path.is_file():
        raise errors.NotFound(f"There is no file {path}.")
    return path


def empty_folder(path: Path) -> Path:
    """A folder for predictions that holds nothing yet; it need not be there."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise errors.Refused(f"{path} is there and not empty.", "Name a new folder with --output.")
    return path


def introduce(session: Session, started: Batch) -> None:
    """What predicts what."""
    known = [rows for rows in started.rows if rows is not None]
    amount = f"{count(sum(known), 'row')} in " if known else ""
    who = f"{started.model} {started.version.number}"
    screen = session.screen
    screen.line(
        f"[bold]{escape(who)}[/]{' (champion)' if started.is_champion else ''} · {amount}"
        f"{count(len(started.inputs), 'object')} · {escape(started.order.instance)}"
    )
    screen.line(f"[dim]job {escape(started.order.name)}[/]")
    for notice in started.notices:
        screen.line(f"[yellow]note:[/] {escape(notice)}")


def followed(session: Session, started: Batch, *, follow: bool) -> Look:
    """The batch when it is over; its Model is removed. Ctrl-C stops the job and waits on."""
    from perennial.aws.transforms import stop_transform  # noqa: PLC0415 - boto3 costs 0.2 s
    from perennial.finish_batch import forget_model  # noqa: PLC0415 - as above

    with Progress(session.screen.people) as progress:
        try:
            look = _to_the_end(session, started, progress, follow=follow)
        except KeyboardInterrupt:
            stop_transform(started.order.name)
            progress.say("[yellow]stopping the job[/]")
            look = _to_the_end(session, started, progress, follow=follow)
    forget_model(started)
    return look


def _to_the_end(session: Session, started: Batch, progress: Progress, *, follow: bool) -> Look:
    from perennial.finish_batch import look_at  # noqa: PLC0415 - boto3 costs 0.2 s

    told: set[str] = set()
    began = time.monotonic()
    lost = 0
    while True:
        try:
            look = look_at(started)
        except Retryable as error:
            lost += 1
            if lost > MOST_LOST:
                raise errors.CommandError(
                    f"{error}. The job {started.order.name} goes on; nobody follows it.",
                    f"Its predictions: {started.order.target}",
                ) from error
            time.sleep(AWS_POLL_S if session.target.is_aws else LOCAL_POLL_S)
            continue
        lost = 0
        if follow:
            for key in sorted(look.outputs.keys() - told):
                progress.say(f"  [green]✓[/] {escape(key)}{_rows_of(started, {key})}")
            told |= look.outputs.keys()
        done = f"{len(look.outputs)} of {count(len(started.inputs), 'object')}"
        words = f"{look.job.status} · {done}{_rows_of(started, set(look.outputs))}"
        progress.now(f"{words} · {duration(time.monotonic() - began)}")
        if look.job.is_over:
            return look
        time.sleep(AWS_POLL_S if session.target.is_aws else LOCAL_POLL_S)


def _rows_of(started: Batch, keys: set[str]) -> str:
    """The rows of these inputs, where they are known."""
    pairs = zip(started.inputs, started.rows, strict=True)
    known = [rows for each, rows in pairs if each.key in keys and rows is not None]
    return f" · {count(sum(known), 'row')}" if known else ""


def report(session: Session, started: Batch, look: Look, folder: Path | None) -> None:
    """Count, write the manifest, fetch what was asked for, and say what came of it."""
    from perennial.finish_batch import fetch_results, finish_batch  # noqa: PLC0415 - as above

    found = finish_batch(session.ports, started, look, session.who)
    if folder is not None:
        fetch_results(started, look, found, folder)
    if session.screen.as_json:
        session.screen.document(found)
    else:
        tell(session, found, folder)
    if found["problems"]:
        first, *more = found["problems"]
        further = f" ({count(len(more), 'further line')} in the manifest)" if more else ""
        words = f"{first}." if not more else "\n".join([f"{first}:", *more[:6]])
        raise errors.CommandError(words, f"All of it: {found['manifest']}{further}")


def tell(session: Session, found: dict[str, Any], folder: Path | None) -> None:
    """Rows, time, money, and where the results are."""
    cost = "at no known price" if found["usd"] is None else f"${found['usd']:.4f}"
    rows, seconds = count(found["rows_out"], "prediction"), duration(found["seconds"])
    session.screen.line(f"{rows} · {seconds} of {escape(found['instance'])} · {cost}")
    session.screen.line(f"  {escape(str(folder) if folder else found['target'])}")
    session.screen.line(f"[dim]  manifest {escape(found['manifest'])}[/]")
