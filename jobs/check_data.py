"""Reads everything a run may learn from, once: refuses bad objects, splits, prepares.

Two passes in bounded memory. The first checks object by object and spools good rows; the second
drops rows that a later one replaces, keeps the holdout raw, and prepares the rest for training.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from perennial.domain.holdout import bound
from perennial.domain.schema import BadHeader
from perennial.domain.settings import Settings
from perennial.domain.text import printable

from jobs.casting import ROW, Caster, TrainingSchema, describe_prepared
from jobs.contract import Project, project_folder
from jobs.entries import Entry, Fetched
from jobs.failures import ModelError, SettingsError
from jobs.paths import Paths
from jobs.readers import BadObject, BadRow, open_object, shown
from jobs.run_step import read_json
from jobs.spool import Spool

FIRST_BAD = 10
# Beyond so many more bad rows than allowed, nobody needs the exact count.
ENOUGH_BAD = 1000
PASS_ROWS = 50_000


@dataclass
class ObjectReport:
    """What became of one object."""

    entry: Entry
    rows: int = 0
    bad_rows: int = 0
    quarantined: bool = False
    gone: bool = False
    reason: str = ""
    first_bad: list[BadRow] = field(default_factory=list)
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object's entry in report.json."""
        return {
            "bucket": self.entry.bucket,
            "key": self.entry.key,
            "version_id": self.entry.version_id,
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "quarantined": self.quarantined,
            "gone": self.gone,
            "reason": self.reason,
            "first_bad": [row.to_json() for row in self.first_bad],
            "notices": list(self.notices),
        }


@dataclass
class CheckResult:
    """The whole check; `refused` when too little good data is left, with the reason."""

    objects: list[ObjectReport]
    read: int = 0
    replaced: int = 0
    training: int = 0
    holdout: int = 0
    refused: bool = False
    reason: str = ""

    @property
    def good(self) -> int:
        """Good rows of good objects, each row once."""
        return self.training + self.holdout

    def summary(self) -> dict[str, Any]:
        """The content of summary.json, which the state machine reads."""
        quarantined = sum(report.quarantined for report in self.objects)
        return {
            "refused": self.refused,
            "reason": self.reason,
            "rows": {
                "read": self.read,
                "good": self.good,
                "bad": sum(report.bad_rows for report in self.objects),
                "replaced": self.replaced,
                "training": self.training,
                "holdout": self.holdout,
            },
            "objects": {
                "read": len(self.objects),
                "good": len(self.objects) - quarantined,
                "quarantined": quarantined,
            },
        }

    def report(self) -> dict[str, Any]:
        """The content of report.json."""
        return {**self.summary(), "objects": [report.to_json() for report in self.objects]}

    @property
    def words(self) -> str:
        """The result in one line."""
        if self.refused:
            return f"refused: {self.reason}"
        quarantined = sum(report.quarantined for report in self.objects)
        return (
            f"{_counted(self.good, 'good row')} of "
            f"{_counted(len(self.objects) - quarantined, 'object')}: "
            f"{self.training:,} to train on, {self.holdout:,} held out; "
            f"{_counted(quarantined, 'object')} quarantined"
        )


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


@dataclass(frozen=True)
class Outputs:
    """The folders that a check writes."""

    check: Path
    training: Path
    holdout: Path


def run(paths: Paths, settings: Settings) -> str:
    """The job: the manifest's objects in, check, training and holdout out."""
    # Only the job reads S3; a project's check on a laptop starts without a client.
    from jobs.objects import fetch_all  # noqa: PLC0415

    entries = read_manifest(paths.input("manifest"))
    outputs = Outputs(paths.output("check"), paths.output("training"), paths.output("holdout"))
    project = Project(project_folder(), settings.project, settings.problem, settings.label)
    with tempfile.TemporaryDirectory(prefix="objects-") as folder:
        result = check(settings, project, fetch_all(entries, Path(folder)), outputs)
    print(f"rows_training={result.training};\nrows_holdout={result.holdout};")
    return result.words


def read_manifest(folder: Path) -> list[Entry]:
    """The manifest's objects, oldest first, so that a later row can replace an earlier one."""
    files = sorted(folder.glob("*.json"))
    if len(files) != 1:
        raise SettingsError(f"expected one manifest in {folder}, found {len(files)}")
    document = read_json(files[0])
    try:
        entries = [Entry.from_json(entry) for entry in document["objects"]]
    except (KeyError, TypeError) as error:
        raise SettingsError(f"{files[0].name} is no manifest: {error!r}") from None
    return sorted(entries, key=lambda e: (e.last_modified_ms, e.key, e.version_id))


def check(
    settings: Settings, project: Project, fetched: Iterable[Fetched], outputs: Outputs
) -> CheckResult:
    """Check every object and write what the later jobs read; nothing else decides."""
    caster = Caster(settings)
    with tempfile.TemporaryDirectory(prefix="spool-") as folder:
        spool = Spool(Path(folder))
        result = CheckResult([_check_object(item, settings, caster, spool) for item in fetched])
        result.read = sum(report.rows + report.bad_rows for report in result.objects)
        schema = TrainingSchema.of(settings, caster.levels)
        kept = _Kept(spool, settings)
        result.replaced = kept.replaced
        _count(result, kept, settings, schema)
        if not result.refused:
            schema = _write_sets(kept, project, schema, outputs)
            write_json(outputs.check / "schema.json", schema.to_json())
    write_json(outputs.check / "report.json", result.report())
    write_json(outputs.check / "summary.json", result.summary())
    return result


def write_json(path: Path, document: Any) -> None:
    """Write compact JSON with sorted keys: equal content gives equal bytes."""
    text = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")


def _check_object(item: Fetched, settings: Settings, caster: Caster, spool: Spool) -> ObjectReport:
    report = ObjectReport(item.entry)
    if item.path is None:
        return replace(report, quarantined=True, gone=True, reason=item.gone)
    try:
        _read_object(item.path, settings, caster, spool, report)
    except (BadObject, BadHeader) as error:
        report.quarantined, report.reason = True, printable(str(error))
    finally:
        item.path.unlink()
    if report.quarantined:
        spool.drop()
        caster.drop()
        print(f"quarantined {item.entry.key!r}: {report.reason}")
    else:
        spool.keep()
        caster.keep()
    return report


def _read_object(
    path: Path, settings: Settings, caster: Caster, spool: Spool, report: ObjectReport
) -> None:
    """Read one object to its end, or until more rows are bad than could ever be allowed."""
    allowed = settings.data.max_bad_rows
    reading = open_object(path, settings.data)
    for chunk in reading.chunks:
        table, bad = caster.cast(chunk)
        report.rows += len(table)
        report.bad_rows += len(bad)
        report.first_bad += bad[: FIRST_BAD - len(report.first_bad)]
        spool.add(table)
        if report.bad_rows > allowed + ENOUGH_BAD:
            break
    report.notices = reading.notices
    if report.bad_rows > allowed:
        report.quarantined = True
        report.reason = _bad_rows_words(report, settings)
    elif not report.rows:
        raise BadObject(
            "the file holds a header and no rows" if settings.data.header else "no good rows"
        )


def _bad_rows_words(report: ObjectReport, settings: Settings) -> str:
    first = report.first_bad[0]
    where = f"line {first.line}" + (f", {first.column}" if first.column else "")
    hint = ""
    names = [column.name for column in settings.data.columns]
    if (
        not settings.data.header
        and first.line == 1
        and first.text.split(settings.data.delimiter)[:2] == names[:2]
    ):
        hint = "; the first line is a header: set data.header: true"
    count = _counted(report.bad_rows, "bad row")
    return f"{count}, {settings.data.max_bad_rows:,} allowed; first {where}: {first.why}{hint}"


class _Kept:
    """The spooled rows without those that a later row of the same identity replaces.

    Which rows stay and which are held out is decided once, on 16 bytes a row.
    """

    def __init__(self, spool: Spool, settings: Settings) -> None:
        self.spool = spool
        identities = self._identities()
        self.mask = np.ones(len(identities), dtype=bool)
        if settings.data.identity:
            self.mask = last_of_each(identities)
        self.replaced = int((~self.mask).sum())
        self.held = identities[:, 0] < np.uint64(bound(settings.data.holdout))

    def _identities(self) -> np.ndarray[Any, Any]:
        """The first 64 bits and the last 64 bits of every row's identity."""
        parts = [np.empty((0, 2), dtype=np.uint64)]
        for table in self.spool.tables(PASS_ROWS, [ROW]):
            raw = bytes.fromhex("".join(table.column(ROW).to_pylist()))
            parts.append(np.frombuffer(raw, dtype=">u8").reshape(-1, 2).astype(np.uint64))
        return np.concatenate(parts)

    def sets(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """Training and holdout rows, table by table."""
        position = 0
        for table in self.spool.tables(PASS_ROWS):
            rows = slice(position, position + len(table))
            position = rows.stop
            mask, held = self.mask[rows], self.held[rows]
            yield table.filter(pa.array(mask & ~held)), table.filter(pa.array(mask & held))


def last_of_each(identities: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A mask of the rows that no later row of the same identity follows; 24 bytes a row."""
    order = np.lexsort((np.arange(len(identities)), identities[:, 1], identities[:, 0]))
    ordered = identities[order]
    last = np.ones(len(identities), dtype=bool)
    if len(identities) > 1:
        last[:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
    mask = np.zeros(len(identities), dtype=bool)
    mask[order[last]] = True
    return mask


def _count(result: CheckResult, kept: _Kept, settings: Settings, schema: TrainingSchema) -> None:
    """Count both sets and their classes, and refuse what nothing can be learned from."""
    classes: list[set[str]] = [set(), set()]
    for sets in kept.sets():
        for i, table in enumerate(sets):
            classes[i] |= set(pc.unique(table.column(settings.label)).to_pylist())
        result.training += len(sets[0])
        result.holdout += len(sets[1])
    reason = ""
    if result.good < settings.data.min_rows:
        reason = f"rows: {result.good:,} of {settings.data.min_rows:,}"
    elif not result.training or not result.holdout:
        reason = (
            f"rows: {result.training:,} to train on, {result.holdout:,} held out; both need some"
        )
    elif settings.problem != "regression":
        reason = _class_words(classes, settings, schema)
    # Levels of an open label come from the data, and the state machine carries the words.
    result.refused, result.reason = bool(reason), shown(reason)


def _class_words(classes: Sequence[set[str]], settings: Settings, schema: TrainingSchema) -> str:
    for name, seen in zip(("training", "holdout"), classes, strict=True):
        if len(seen) < 2:
            return f"one class only: every {name} row has {settings.label} {''.join(sorted(seen))}"
        lacking = [level for level in schema.classes if level not in seen]
        if name == "training" and lacking:
            return f"no training row has {settings.label} {', '.join(lacking)}"
    return ""


def _write_sets(
    kept: _Kept, project: Project, schema: TrainingSchema, outputs: Outputs
) -> TrainingSchema:
    """Write holdout rows raw and training rows prepared; answer the schema with what was made."""
    holdout: pq.ParquetWriter | None = None
    training: pq.ParquetWriter | None = None
    try:
        for train, held in kept.sets():
            holdout = holdout or pq.ParquetWriter(outputs.holdout / "rows.parquet", held.schema)
            holdout.write_table(held)
            if not len(train):
                continue
            table, described = _prepared(train, project, schema, first=training is None)
            if training is None:
                schema = replace(schema, prepared=described)
                training = pq.ParquetWriter(outputs.training / "rows.parquet", table.schema)
            elif described != schema.prepared:
                raise _changing_types(project, schema, described)
            training.write_table(table)
    finally:
        for writer in (holdout, training):
            if writer is not None:
                writer.close()
    return schema


def _prepared(
    train: pa.Table, project: Project, schema: TrainingSchema, *, first: bool
) -> tuple[pa.Table, tuple[tuple[str, str, tuple[str, ...]], ...]]:
    frame = schema.frame(train)
    if first:
        project.check_row_by_row(frame)
    prepared = project.prepare(frame)
    described = describe_prepared(prepared)
    table = pa.Table.from_pandas(prepared, preserve_index=False)
    # Levels are kept in schema.json; as plain text the column is the same in every chunk.
    for i, (name, dtype, _levels) in enumerate(described):
        if dtype == "category":
            table = table.set_column(i, name, pc.cast(table.column(i), pa.string()))
    table = table.append_column(schema.label, pa.array(schema.labels(train)))
    return table.append_column(ROW, train.column(ROW)), described


def _changing_types(
    project: Project, schema: TrainingSchema, described: Sequence[Any]
) -> ModelError:
    before = {made[0]: made[1:] for made in schema.prepared}
    now = {made[0]: made[1:] for made in described}
    name = next(n for n in {**before, **now} if before.get(n) != now.get(n))
    return ModelError(
        f"prepare() in model.py of {project.name} makes column {name} as {before.get(name)} of "
        f"some rows and {now.get(name)} of others; cast it explicitly."
    )


def copy_local(files: Sequence[Path], folder: Path) -> Iterator[Fetched]:
    """Local files in the place of fetched objects, for a check without a cloud."""
    for number, source in enumerate(files):
        path = folder / f"object-{number}"
        shutil.copyfile(source, path)
        entry = Entry(bucket="", key=str(source), version_id="", size=source.stat().st_size)
        yield Fetched(entry, path)
