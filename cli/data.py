"""`fetch-data`, `land`, `data exclude|include`: data on its way into a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
from perennial.domain import naming
from rich.markup import escape

from cli.datasets import DATASETS, fetch_dataset, write_tables
from cli.errors import CommandError, NotFound, Usage
from cli.output import Screen, count, size, table
from cli.session import Session, on_target

LONGEST_KEY = 1024  # bytes of UTF-8, S3's limit


@dataclass(frozen=True)
class Landed:
    """One file in the landing bucket: where it is now, and which version it became."""

    file: str
    bucket: str
    key: str
    version_id: str
    size: int
    checksum: str


@click.command()
@click.argument("name", type=click.Choice(sorted(DATASETS)))
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    default=Path("data"),
    show_default=True,
    help="Folder to write to.",
)
@click.option(
    "--synthetic", is_flag=True, help="Make rows of the same schema instead; needs no network."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def fetch_data(name: str, to: Path, *, synthetic: bool, as_json: bool) -> None:
    """Get the data of an example model as plain CSV files, checked against known sums.

    From the folder named by PERENNIAL_DATA_MIRROR if set, else downloaded from the publisher
    (once), else, without a network, synthetic rows of the same schema: it says which.

    \b
    Examples:
      perennial fetch-data census --to data
      perennial fetch-data abalone --synthetic
    """
    screen = Screen(as_json=as_json)
    dataset = fetch_dataset(name, synthetic=synthetic)
    written = write_tables(dataset.tables, to)
    if as_json:
        files = [{"path": str(path), "rows": rows} for path, rows in written]
        screen.document({"source": dataset.source, "genuine": dataset.genuine, "files": files})
        return
    screen.line(
        f"source: {escape(dataset.source)}"
        if dataset.genuine
        else f"[bold yellow]{dataset.source}[/]"
    )
    for path, rows in written:
        screen.line(f"  {escape(str(path))}  {count(rows, 'row')}")
    screen.line(f"[dim]next:[/]  perennial land {name} {escape(str(written[0][0]))}")


@click.command()
@click.argument("model")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--as", "key", metavar="KEY", help="The object's key below incoming/<model>/ (one file only)."
)
@on_target
def land(session: Session, model: str, files: tuple[Path, ...], key: str | None) -> None:
    """Put files into the landing bucket, under incoming/<model>/, with a checksum.

    This is what a producer does; any S3 client can do the same.

    \b
    Examples:
      perennial land census data/adult-train.csv
      perennial land census monday.csv --as 2026/11/20/monday.csv
    """
    from perennial.list_models import list_models  # noqa: PLC0415 - boto3 costs 0.2 s

    landed = land_files(session, model, files, key)
    screen = session.screen
    if screen.as_json:
        screen.document(landed)
        return
    screen.out.print(
        table(
            ("file", "object", "version", "size"),
            [
                (item.file, f"s3://{item.bucket}/{item.key}", item.version_id, size(item.size))
                for item in landed
            ],
            right=(3,),
        )
    )
    if model in list_models(session.ports):
        screen.line(f"[dim]next:[/]  perennial why {model}")
        return
    screen.line(
        f"[yellow]There is no model {model} yet:[/] what was landed waits until it is pushed."
    )
    screen.line(f"[dim]next:[/]  perennial push <folder of {model}>")


def land_files(
    session: Session, model: str, files: tuple[Path, ...], key: str | None = None
) -> list[Landed]:
    """Upload the files; nothing is uploaded when one of them cannot be."""
    from perennial.aws.uploads import upload_file  # noqa: PLC0415 - boto3 costs 0.2 s

    if key is not None and len(files) != 1:
        raise Usage("--as names one object, so it takes one file.")
    try:
        prefix = naming.landing_prefix(naming.check_model_name(model))
    except ValueError as error:
        raise Usage(f"{error}.") from error
    planned = [(path, f"{prefix}{key or path.name}") for path in files]
    for path, full in planned:
        if not path.is_file():
            raise NotFound(f"There is no file {path}.", "Nothing was landed.")
        if len(full.encode()) > LONGEST_KEY:
            raise CommandError(f"The key of {path} has more than {LONGEST_KEY} bytes.", "Use --as.")
    names = [full for _, full in planned]
    for full in names:
        if names.count(full) > 1:
            raise Usage(
                f"Two of the files would both become {full}.", "Land them one by one, with --as."
            )
    bucket = session.ports.deployment.landing_bucket
    with session.screen.people.status(f"landing {count(len(files), 'file')}"):
        uploads = [(path, upload_file(bucket, full, path)) for path, full in planned]
    return [
        Landed(str(path), up.bucket, up.key, up.version_id, up.size, up.checksum)
        for path, up in uploads
    ]


@click.group("data")
def data_group() -> None:
    """Keep an object out of every later run, or let it in again."""


@data_group.command()
@click.argument("model")
@click.argument("key")
@click.option("--because", required=True, help="Why; kept in the ledger.")
@on_target
def exclude(session: Session, model: str, key: str, because: str) -> None:
    """Keep an object out of every later run of a model.

    \b
    Examples:
      perennial data exclude census adult-3.csv --because "counted twice by the producer"
    """
    from perennial.exclude_object import exclude_object  # noqa: PLC0415 - boto3 costs 0.2 s

    full = full_key(model, key)
    exclude_object(session.ports, model, full, because, session.who)
    say(
        session,
        model,
        full,
        f"[bold]{escape(full)}[/] is kept out of every later run of {model}.",
        "excluded",
    )


@data_group.command()
@click.argument("model")
@click.argument("key")
@click.option("--because", required=True, help="Why; kept in the ledger.")
@on_target
def include(session: Session, model: str, key: str, because: str) -> None:
    """Let an excluded or quarantined object into the next run again.

    \b
    Examples:
      perennial data include census adult-3.csv --because "the producer was right"
    """
    from perennial.include_object import include_object  # noqa: PLC0415 - boto3 costs 0.2 s

    full = full_key(model, key)
    include_object(session.ports, model, full, because, session.who)
    say(
        session,
        model,
        full,
        f"[bold]{escape(full)}[/] takes part in the next run of {model} again.",
        "included",
    )


def full_key(model: str, key: str) -> str:
    """The whole key of an object; below incoming/<model>/ it may be named without that prefix."""
    prefix = naming.landing_prefix(model)
    return key if key.startswith(prefix) else prefix + key


def say(session: Session, model: str, key: str, words: str, state: str) -> None:
    """Report one object's new state."""
    if session.screen.as_json:
        session.screen.document({"model": model, "key": key, "state": state})
    else:
        session.screen.line(words)
