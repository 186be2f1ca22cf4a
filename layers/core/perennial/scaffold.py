"""Starts a model project from a CSV file: guesses label, problem and facets, writes the files."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perennial.domain.naming import check_model_name
from perennial.guess_columns import GuessedColumn, GuessedFile, guess_file
from perennial.scaffold_model import model_source

LABEL_NAMES = (
    "label", "target", "class", "outcome", "y", "churn", "churned", "income", "default",
    "survived", "fraud", "is_fraud", "price", "species", "quality", "rings",
)  # fmt: skip
FACET_NAMES = (
    "sex", "gender", "age", "race", "ethnicity", "religion", "nationality", "disability",
    "native_country", "marital_status",
)  # fmt: skip
POSITIVE = ("1", "true", "yes", "y", "positive", "churned", "fraud", "bad")
MOST_FACET_GROUPS = 12
MOST_CLASSES = 20
MOST_NUMBER_CLASSES = 10
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]*[A-Za-z0-9_]|[A-Za-z_]")
YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
GATES = {
    "binary": ("auc: {min: 0.5}", "better than a coin"),
    "multiclass": ("accuracy: {min: %s}", "better than always naming the commonest class"),
    "regression": ("r2: {min: 0}", "better than always naming the mean"),
}


class CannotScaffold(ValueError):
    """No project can be started; the message says why and what to do."""


@dataclass(frozen=True)
class Scaffold:
    """A project that was started, and what was guessed: `columns` are (name, type, why)."""

    folder: Path
    files: list[str]
    columns: list[tuple[str, str, str]]
    label: str
    label_why: str
    problem: str
    facets: list[str]
    rows: int
    header: bool
    notices: list[str]


def scaffold(csv: Path, name: str, into: Path, *, label: str | None = None) -> Scaffold:
    """Write `<into>/<name>/{model.yaml,model.py}` from a look at a CSV file.

    Raises `CannotScaffold` when the folder exists or nothing can be guessed; nothing is written
    then.
    """
    folder = into / name
    if folder.exists():
        raise CannotScaffold(f"{folder} exists already; choose another name, or remove it")
    try:
        check_model_name(name)
        guessed = guess_file(csv)
    except ValueError as error:
        raise CannotScaffold(str(error)) from None
    chosen, why = _label(guessed, label)
    problem = _problem(chosen)
    facets = _facets(guessed, chosen)
    text = _settings(csv, guessed, chosen, problem, facets)
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(text, encoding="utf-8")
    (folder / "model.py").write_text(_code(guessed, chosen, problem), encoding="utf-8")
    return Scaffold(
        folder=folder,
        files=["model.yaml", "model.py"],
        columns=[(c.name, c.type, c.why) for c in guessed.columns],
        label=chosen.name,
        label_why=why,
        problem=problem,
        facets=[c.name for c in facets],
        rows=guessed.rows,
        header=guessed.header,
        notices=_notices(guessed, chosen),
    )


def _notices(guessed: GuessedFile, label: GuessedColumn) -> list[str]:
    notices = [f"header: {'yes' if guessed.header else 'no'}, {guessed.header_why}"]
    if label.absent:
        count = sum(label.absent.values())
        notices.append(f"{count:,} rows have no {label.name}; such rows count as bad")
    return [*notices, *guessed.notices]


def _label(guessed: GuessedFile, wanted: str | None) -> tuple[GuessedColumn, str]:
    columns = {column.name: column for column in guessed.columns}
    if wanted is not None:
        if wanted not in columns:
            raise CannotScaffold(f"there is no column {wanted!r}; known are {', '.join(columns)}")
        return _usable(columns[wanted]), "as you said"
    for name in LABEL_NAMES:
        for column in guessed.columns:
            if column.name.lower() == name:
                return _usable(column), f"its name, {column.name}, is that of a label"
    return _usable(guessed.columns[-1]), "it is the last column"


def _usable(label: GuessedColumn) -> GuessedColumn:
    """Make a label of a column: classes are a category whose levels are all known."""
    if label.type in ("string", "date", "timestamp"):
        raise CannotScaffold(
            f"column {label.name} cannot be a label: {label.why}. Name another with --label"
        )
    few = not label.many and label.distinct <= (
        MOST_NUMBER_CLASSES if label.type in ("int", "float") else MOST_CLASSES
    )
    if label.type in ("bool", "category") or (label.type == "int" and few):
        label.type, label.levels = "category", tuple(sorted(label.counts))
        if len(label.levels) < 2:
            raise CannotScaffold(f"column {label.name} has one value only; nothing to learn")
    label.required = True
    return label


def _problem(label: GuessedColumn) -> str:
    if label.type != "category":
        return "regression"
    return "binary" if len(label.levels) == 2 else "multiclass"


def _positive(label: GuessedColumn) -> str:
    """The level that counts as hit: one that says so, else the rarer one."""
    for level in label.levels:
        if level.lower() in POSITIVE:
            return level
    return min(label.levels, key=lambda level: (label.counts[level], level))


def _facets(guessed: GuessedFile, label: GuessedColumn) -> list[GuessedColumn]:
    return [
        column
        for column in guessed.columns
        if column.name.lower() in FACET_NAMES
        and column is not label
        and (
            column.type in ("int", "float", "bool")
            or (column.type == "category" and len(column.levels) <= MOST_FACET_GROUPS)
        )
    ]


def _edges(counts: Counter[str]) -> list[float]:
    """Bounds that cut a numeric column into about four equal groups."""
    pairs = sorted((float(text), n) for text, n in counts.items())
    total = sum(n for _, n in pairs)
    edges: list[float] = []
    seen = 0
    for value, n in pairs:
        if seen and seen >= total * (len(edges) + 1) / 4 and len(edges) < 3:
            edges.append(value)
        seen += n
    return edges or [pairs[-1][0]]


def _scalar(value: object) -> str:
    """A YAML scalar that reads back as the same text, whatever characters it has."""
    if not isinstance(value, str):
        return json.dumps(value)
    if PLAIN.fullmatch(value) and value.lower() not in YAML_WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _flow(values: Sequence[str]) -> str:
    return "[" + ", ".join(_scalar(value) for value in values) + "]"


def _column_line(column: GuessedColumn, label: GuessedColumn) -> str:
    parts = [f"type: {column.type}"]
    if column.levels:
        parts.append(f"levels: {_flow(column.levels)}")
        if column is not label:
            parts.append("open: true")
    if not column.required:
        parts.append("required: false")
    comment = column.why.replace("\n", " ")
    return f"    {_scalar(column.name)}: {{{', '.join(parts)}}}  # {comment}"


def _settings(
    csv: Path,
    guessed: GuessedFile,
    label: GuessedColumn,
    problem: str,
    facets: Sequence[GuessedColumn],
) -> str:
    """The text of model.yaml; what was guessed says why."""
    lines = [
        f"# Started by `perennial init` from {csv.name} ({guessed.rows:,} rows). Read it through:",
        "# what stands here was guessed, and every run checks its data against it.",
        f"problem: {problem}",
        f"label: {_scalar(label.name)}",
    ]
    if problem == "binary":
        lines.append(f"positive: {_scalar(_positive(label))}")
    if facets:
        lines += ["", "# Groups whose figures every evaluation shows apart.", "facets:"]
        lines += [_facet_line(column) for column in facets]
    lines += [
        "",
        "data:",
        "  format: csv",
        f"  header: {'true' if guessed.header else 'false'}  # {guessed.header_why}",
        f"  delimiter: {json.dumps(guessed.delimiter)}",
        *([f"  missing: {_flow(guessed.missing)}"] if guessed.missing else []),
        "  max_bad_rows: 0",
        f"  min_rows: {max(1, guessed.rows // 10)}",
        "  holdout: 0.2",
        "  columns:",
        *(_column_line(column, label) for column in guessed.columns),
    ]
    lines += ["", "train:", "  instance: ml.m5.large", "  max_seconds: 1h", "  hyperparameters:"]
    lines += ["    num_leaves: 31", "    learning_rate: 0.08", "    rounds: 300"]
    gate, why = GATES[problem]
    if problem == "multiclass":
        gate %= round(max(label.counts.values()) / max(1, sum(label.counts.values())), 3)
    lines += ["", "gates:", f"  {gate}  # {why}; raise it to what you need"]
    lines += ["", "release:", "  approval: person", "", "triggers:", "  quiet_period: 5m"]
    lines += ["  max_wait: 1h", "  cool_down: 1h", "  max_runs_per_day: 12"]
    return "\n".join(lines) + "\n"


def _facet_line(column: GuessedColumn) -> str:
    if column.type in ("int", "float"):
        edges = ", ".join(f"{edge:g}" for edge in _edges(column.counts))
        return f"  {_scalar(column.name)}: {{edges: [{edges}]}}"
    return f"  {_scalar(column.name)}: {{}}"


def _code(guessed: GuessedFile, label: GuessedColumn, problem: str) -> str:
    features = [column for column in guessed.columns if column is not label]
    return model_source(
        label=label.name,
        problem=problem,
        features=[column.name for column in features],
        unused=[column.name for column in features if column.type == "string"],
        moments=[column.name for column in features if column.type in ("date", "timestamp")],
    )
