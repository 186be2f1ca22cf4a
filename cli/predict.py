"""`predict`: ask a model's live version, and see what it takes."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from perennial.domain.errors import NotAllowed, NotFound
from perennial.domain.prediction_answer import NoEndpoint
from perennial.domain.text import lines_of
from rich.markup import escape

from cli import errors
from cli.names import one_model
from cli.output import count, table
from cli.session import Session, on_target

if TYPE_CHECKING:
    from perennial.ask_predictions import Predicted, Way

MOST_SHOWN, MOST_REASONS = 50, 4
TOKEN = "PERENNIAL_TOKEN"  # noqa: S105 - the name of a variable
LINES = (".jsonl", ".jsonlines", ".ndjson")


@click.command()
@click.argument("model", required=False)
@click.option("--row", "texts", multiple=True, metavar="JSON", help="A row as a JSON object.")
@click.option(
    "--file",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows as .csv with a header, .json or .jsonl.",
)
@click.option("--explain", is_flag=True, help="Also what each feature contributed.")
@click.option("--direct", is_flag=True, help="Ask the endpoint itself, past the API.")
@click.option("--token", help=f"A JWT for the API, where it wants one (default: ${TOKEN}).")
@on_target
def predict(  # noqa: PLR0913 - one argument an option
    session: Session,
    model: str | None,
    texts: tuple[str, ...],
    path: Path | None,
    token: str | None,
    *,
    explain: bool,
    direct: bool,
) -> None:
    """Ask a model's live version for predictions; without rows, what a request must hold.

    \b
    Examples:
      perennial predict census
      perennial predict census --row '{"age": 39, "workclass": "State-gov", …}' --explain
      perennial predict census --file rows.csv --json
    """
    name = one_model(session, model)
    if texts and path:
        raise errors.Usage("There are --row and --file.", "Give one of them.")
    if not texts and path is None:
        show_inputs(session, name, token)
        return
    rows = read_rows(path) if path is not None else [read_row(text) for text in texts]
    found = asked(session, name, rows, way_of(session, token, direct=direct), explain=explain)
    show(session, name, found, explain=explain)


def way_of(session: Session, token: str | None, *, direct: bool) -> Way:
    """By the target's API, or straight at the endpoint."""
    from perennial.ask_predictions import ByApi, Direct  # noqa: PLC0415 - boto3 costs 0.2 s

    if direct:
        return Direct(session.ports)
    return ByApi(api_of(session, token))


def api_of(session: Session, token: str | None) -> Any:
    """The target's API."""
    from perennial.aws.predictions_api import PredictionsApi  # noqa: PLC0415 - as above

    given = os.environ.get(TOKEN, "") if token is None else token
    return PredictionsApi(session.ports.deployment.predictions_url, given)


def asked(
    session: Session, model: str, rows: Sequence[Mapping[str, Any]], way: Way, *, explain: bool
) -> list[Predicted]:
    """Every row's prediction; errors in words with the exit code that they mean."""
    from perennial.ask_predictions import ask_predictions  # noqa: PLC0415 - as above

    try:
        return list(ask_predictions(way, model, rows, explain=explain))
    except NoEndpoint as error:
        raise errors.NotFound(str(error), f"See: perennial status {model}") from error
    except NotFound as error:
        raise errors.NotFound(str(error), "'perennial status' shows what there is.") from error
    except NotAllowed as error:
        hint = f"What a row must hold: perennial predict {model}"
        raise errors.Refused(str(error), hint) from error


def read_row(text: str) -> Mapping[str, Any]:
    """One row given on the command line."""
    try:
        row = json.loads(text)
    except ValueError as error:
        raise errors.Usage(
            f"--row is not JSON: {error}.", """For example: '{"age": 39}'"""
        ) from error
    if not isinstance(row, dict):
        raise errors.Usage("--row is no JSON object.", """For example: '{"age": 39}'""")
    return row


def read_rows(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a file, by the end of its name; a mistake names the line."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.Usage(f"{path} is not UTF-8: {error.reason} at byte {error.start}.") from error
    if path.suffix.lower() in LINES:
        rows = [_line(path, n, line) for n, line in enumerate(lines_of(text), 1) if line.strip()]
    elif path.suffix.lower() == ".json":
        rows = _document(path, text)
    elif path.suffix.lower() == ".csv":
        rows = _table(path, text)
    else:
        raise errors.Usage(
            f"{path} ends neither in .csv nor in .json or .jsonl.", "Name it by what it holds."
        )
    if not rows:
        raise errors.Usage(f"{path} holds no row.")
    return rows


def _line(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise errors.Usage(f"{path}, line {number} is not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise errors.Usage(f"{path}, line {number} is no JSON object.")
    return row


def _document(path: Path, text: str) -> list[Mapping[str, Any]]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise errors.Usage(f"{path} is not JSON: {error}.") from error
    if isinstance(document, dict):
        document = document.get("instances", [document])
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise errors.Usage(f"{path} holds no list of JSON objects.")
    return document


def _table(path: Path, text: str) -> list[Mapping[str, Any]]:
    """Cells stay texts: the version's columns decide what they mean."""
    try:
        lines = [cells for cells in csv.reader(io.StringIO(text, newline=""), strict=True) if cells]
    except csv.Error as error:
        raise errors.Usage(f"{path} is not CSV: {error}.") from error
    names = [name.strip() for name in lines[0]] if lines else []
    if len(set(names)) < len(names):
        raise errors.Usage(f"{path} names a column twice in its first line.")
    for number, cells in enumerate(lines[1:], 2):
        if len(cells) != len(names):
            raise errors.Usage(
                f"{path}, line {number} has {len(cells)} values; its first line names "
                f"{len(names)} columns."
            )
    return [dict(zip(names, cells, strict=True)) for cells in lines[1:]]


def show(session: Session, model: str, found: Sequence[Predicted], *, explain: bool) -> None:
    """A table of answers, or all of them as JSON."""
    if session.screen.as_json:
        session.screen.document(
            [
                {"row": each.row, **each.document, "model": model, "version": each.version,
                 "variant": each.variant, "request_id": each.request_id}
                for each in found
            ]
        )  # fmt: skip
        return
    columns = ["row", "prediction", "confidence", "version", "variant"]
    if explain:
        columns.append("because")
    rows = [_cells(each, explain=explain) for each in found[:MOST_SHOWN]]
    session.screen.out.print(table(columns, rows, right=(0, 2, 3)))
    if len(found) > MOST_SHOWN:
        left = count(len(found) - MOST_SHOWN, "further row")
        session.screen.line(f"[dim]and {left}; --json prints all[/]")


def _cells(each: Predicted, *, explain: bool) -> list[str]:
    confidence = each.document.get("confidence")
    cells = [
        str(each.row),
        _figure(each.document.get("prediction")),
        "-" if confidence is None else f"{confidence:.3f}",
        str(each.version),
        each.variant or "-",
    ]
    return [*cells, _because(each.document)] if explain else cells


def _figure(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _because(document: Mapping[str, Any]) -> str:
    """The features that moved the prediction most, with what they added."""
    given = document.get("contributions") or {}
    most = sorted(given.items(), key=lambda item: -abs(item[1]))[:MOST_REASONS]
    return ", ".join(f"{name} {value:+.3g}" for name, value in most) or "-"


def show_inputs(session: Session, model: str, token: str | None) -> None:
    """What is live, and what each column of a request must be."""
    from perennial.ask_predictions import error_of  # noqa: PLC0415 - boto3 costs 0.2 s

    answer = api_of(session, token).describe(model)
    if answer.status != 200:
        error = error_of(answer)
        if isinstance(error, NotFound | NoEndpoint):
            raise errors.NotFound(str(error), "'perennial status' shows what there is.")
        raise error
    told = answer.document
    if session.screen.as_json:
        session.screen.document(told)
        return
    session.screen.line(
        f"[bold]{escape(model)} {told['version']}[/] is live and predicts "
        f"{escape(str(told['predicts']))}. A row must hold:"
    )
    rows = [(each["name"], each["expected"]) for each in told["inputs"]]
    session.screen.out.print(table(("column", "value"), rows))
