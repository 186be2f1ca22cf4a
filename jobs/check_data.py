"""Reads everything a run may learn from, once: refuses bad objects, splits, prepares.

Two passes in bounded memory. The first checks object by object and spools good rows; the second
drops rows that a later one replaces and those outside the data window, keeps the holdout raw, and
prepares the rest for training.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from perennial.domain.schema import BadHeader
from perennial.domain.settings import Settings
from perennial.domain.sources import LABELLED_TRAFFIC, REVIEWS
from perennial.domain.text import printable
from perennial.domain.training_job import reads_tables

from jobs.casting import (
    LANDED,
    OBJECT,
    ORDER,
    PRODUCER,
    ROW,
    SOURCE,
    Caster,
    TrainingSchema,
    describe_prepared,
)
from jobs.check_report import CheckResult, ObjectReport, counted
from jobs.contract import SAMPLE_FILE, SAMPLE_ROWS, Project, project_folder
from jobs.entries import Entry, Fetched
from jobs.failures import ModelError, SettingsError
from jobs.kept import Kept
from jobs.leaks import LeakWatch
from jobs.paths import Paths
from jobs.readers import BadObject, Reading, open_object, shown
from jobs.reviews import read_reviews
from jobs.run_step import read_json
from jobs.spool import Spool
from jobs.tables import count_validation, write_tables
from jobs.traffic import Traffic

FIRST_BAD = 10
# Beyond so many more bad rows than allowed, nobody needs the exact count.
ENOUGH_BAD = 1000


@dataclass(frozen=True)
class Outputs:
    """The folders that a check writes; `channels` gets the tables, if a container trains."""

    check: Path
    training: Path
    holdout: Path
    channels: Path


def run(paths: Paths, settings: Settings) -> str:
    """The job: the manifest's objects in, check, training and holdout out."""
    # Only the job reads S3; a project's check on a laptop starts without a client.
    from jobs.objects import fetch_all  # noqa: PLC0415

    entries = read_manifest(paths.input("manifest"))
    outputs = Outputs(
        *map(paths.output, ("check", "training", "holdout", "channels")),
    )
    project = Project.of(settings, project_folder())
    with tempfile.TemporaryDirectory(prefix="objects-") as folder:
        result = check(settings, project, fetch_all(entries, Path(folder)), outputs)
    print(f"rows_training={result.training};\nrows_holdout={result.holdout};")
    return result.words


def read_manifest(folder: Path) -> list[Entry]:
    """The manifest's objects, oldest first, and labels before the requests they are for."""
    files = sorted(folder.glob("*.json"))
    if len(files) != 1:
        raise SettingsError(f"expected one manifest in {folder}, found {len(files)}")
    document = read_json(files[0])
    try:
        entries = [Entry.from_json(entry) for entry in document["objects"]]
    except (KeyError, TypeError) as error:
        raise SettingsError(f"{files[0].name} is no manifest: {error!r}") from None
    return sorted(entries, key=lambda entry: entry.turn)


def check(
    settings: Settings, project: Project, fetched: Iterable[Fetched], outputs: Outputs
) -> CheckResult:
    """Check every object and write what the later jobs read; nothing else decides.

    `fetched` come in the order of `read_manifest`.
    """
    with tempfile.TemporaryDirectory(prefix="spool-") as folder:
        intake = _Intake(settings, Path(folder))
        result = CheckResult([intake.take(item) for item in fetched])
        traffic = intake.close(result.objects)
        result.read = sum(report.rows + report.bad_rows for report in result.objects)
        schema = TrainingSchema.of(settings, intake.caster.levels)
        kept = Kept(intake.spool, settings)
        result.replaced, result.outside = kept.replaced, kept.outside
        for number, rows in kept.outside_by_object.items():
            result.objects[number].outside = rows
        found = _look(result, kept, settings, schema)
        result.findings = {**found, "conflicts": kept.conflicts, "traffic": traffic}
        if not result.refused:
            schema = _write_sets(kept, project, schema, settings, outputs)
            if reads_tables(settings.train):
                prepared = outputs.training / "rows.parquet"
                schema = write_tables(settings, schema, prepared, outputs.channels)
            write_json(outputs.check / "schema.json", schema.to_json())
    write_json(outputs.check / "report.json", result.report())
    write_json(outputs.check / "summary.json", result.summary())
    return result


def write_json(path: Path, document: Any) -> None:
    """Write compact JSON with sorted keys: equal content gives equal bytes."""
    text = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")


class _Intake:
    """The first pass: each object is read, judged, and its good rows are spooled or forgotten."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.caster = Caster(settings)
        self.spool = Spool(folder)
        self.traffic = Traffic(settings, folder)
        self.number = -1

    def take(self, item: Fetched) -> ObjectReport:
        """Judge one object, and delete its file."""
        report = ObjectReport(item.entry)
        self.number += 1
        if item.path is None:
            return replace(report, quarantined=True, gone=True, reason=item.gone)
        is_traffic = item.entry.source == LABELLED_TRAFFIC
        try:
            reading = self._open(item.path, item.entry)
            self._read(reading, report)
        except (BadObject, BadHeader) as error:
            report.quarantined, report.reason = True, printable(str(error))
        finally:
            item.path.unlink()
        if report.quarantined:
            self.spool.drop()
            self.caster.drop()
            if is_traffic:
                self.traffic.drop()
            print(f"quarantined {item.entry.key!r}: {report.reason}")
        else:
            self.spool.keep()
            self.caster.keep()
            if is_traffic:
                report.notices += self.traffic.keep()
        return report

    def close(self, reports: Sequence[ObjectReport]) -> dict[str, int]:
        """The figures of the labelled traffic; label objects are told what nobody asked for."""
        figures, notices = self.traffic.close()
        for report in reports:
            if report.entry in notices:
                report.notices += (notices[report.entry],)
        return figures

    def _open(self, path: Path, entry: Entry) -> Reading:
        if entry.source == LABELLED_TRAFFIC:
            return self.traffic.read(path, entry)
        if entry.source == REVIEWS:
            return read_reviews(path, self.settings, entry)
        return open_object(path, self.settings.data)

    def _read(self, reading: Reading, report: ObjectReport) -> None:
        """Read one object to its end, or until more rows are bad than could ever be allowed."""
        allowed = self.settings.data.max_bad_rows
        for chunk in reading.chunks:
            table, bad = self.caster.cast(chunk)
            report.rows += len(table)
            report.bad_rows += len(bad)
            report.first_bad += bad[: FIRST_BAD - len(report.first_bad)]
            self.spool.add(stamped(table, report.entry, self.settings.project, self.number))
            if report.bad_rows > allowed + ENOUGH_BAD:
                break
        report.notices = reading.notices
        if report.bad_rows > allowed:
            report.quarantined = True
            report.reason = _bad_rows_words(report, self.settings)
        elif not report.rows and report.entry.source != LABELLED_TRAFFIC:
            is_headed = self.settings.data.header and report.entry.source != REVIEWS
            raise BadObject("the file holds a header and no rows" if is_headed else "no good rows")


def stamped(table: pa.Table, entry: Entry, model: str, number: int) -> pa.Table:
    """Rows with the time their object (or their label) landed, their source and producer.

    `number` is the object's place among all that are read.
    """
    count = len(table)
    constant = {
        LANDED: pa.scalar(entry.last_modified_ms, pa.int64()),
        ORDER: pa.scalar(entry.last_modified_ms, pa.int64()),
        SOURCE: pa.scalar(entry.source),
        PRODUCER: pa.scalar(printable(entry.producer(model))),
        OBJECT: pa.scalar(number, pa.int32()),
    }
    names = list(table.column_names)
    for name, value in constant.items():
        if name not in names:
            table = table.append_column(name, pa.repeat(value, count))
    plain = [name for name in names if name not in constant]
    return table.select([*plain, *constant])


def _bad_rows_words(report: ObjectReport, settings: Settings) -> str:
    first = report.first_bad[0]
    where = f"line {first.line}" + (f", {first.column}" if first.column else "")
    hint = ""
    landed = report.entry.source not in (LABELLED_TRAFFIC, REVIEWS)
    names = [column.name for column in settings.data.columns]
    if (
        landed
        and not settings.data.header
        and first.line == 1
        and first.text.split(settings.data.delimiter)[:2] == names[:2]
    ):
        hint = "; the first line is a header: set data.header: true"
    count = counted(report.bad_rows, "bad row")
    return f"{count}, {settings.data.max_bad_rows:,} allowed; first {where}: {first.why}{hint}"


def _look(
    result: CheckResult, kept: Kept, settings: Settings, schema: TrainingSchema
) -> dict[str, Any]:
    """Count both sets, look for what is odd, and refuse what nothing can be learned from."""
    classes: list[set[str]] = [set(), set()]
    counts: dict[str, Counter[str]] = {PRODUCER: Counter(), SOURCE: Counter()}
    watch = LeakWatch([column.name for column in schema.features], settings.label)
    oldest, newest = [], []
    watched, share = 0, settings.train.validation
    for sets in kept.sets():
        watched = watched or count_validation(sets[0].column(ROW).to_pylist(), share)
        for i, table in enumerate(sets):
            classes[i] |= set(pc.unique(table.column(settings.label)).to_pylist())
        both = pa.concat_tables(sets)
        for name, counter in counts.items():
            for entry in pc.value_counts(both.column(name)).to_pylist():
                counter[entry["values"]] += entry["counts"]
        if len(both):
            times = pc.min_max(both.column(LANDED)).as_py()
            oldest.append(times["min"])
            newest.append(times["max"])
        watch.add(both)
        result.training += len(sets[0])
        result.holdout += len(sets[1])
    _refuse(result, classes, settings, schema)
    if not (result.refused or watched) and reads_tables(settings.train) and share:
        result.refused = True
        result.reason = (
            f"rows: none of {result.training:,} to train on falls into train.validation, a share "
            f"of {share:g}; bring more rows, or set it to 0"
        )
    window = settings.data.window
    return {
        "producers": dict(counts[PRODUCER]),
        "sources": dict(counts[SOURCE]),
        "leaks": [leak.to_json() for leak in watch.find()],
        "labels": {
            "oldest_ms": min(oldest, default=None),
            "newest_ms": max(newest, default=None),
        },
        "window": {"kind": window.kind, "rows": window.rows, "seconds": window.seconds},
    }


def _refuse(
    result: CheckResult, classes: Sequence[set[str]], settings: Settings, schema: TrainingSchema
) -> None:
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
    kept: Kept, project: Project, schema: TrainingSchema, settings: Settings, outputs: Outputs
) -> TrainingSchema:
    """Write holdout rows raw and training rows prepared; answer the schema with what was made."""
    holdout: pq.ParquetWriter | None = None
    facets: pq.ParquetWriter | None = None
    training: pq.ParquetWriter | None = None
    try:
        for train, held in kept.sets():
            holdout = holdout or pq.ParquetWriter(outputs.holdout / "rows.parquet", held.schema)
            holdout.write_table(held)
            if not len(train):
                continue
            raw = facets_of(train, settings)
            facets = facets or pq.ParquetWriter(outputs.training / "facets.parquet", raw.schema)
            facets.write_table(raw)
            if training is None:
                write_sample(train, schema, outputs.training / SAMPLE_FILE)
            table, described = _prepared(train, project, schema, first=training is None)
            if training is None:
                schema = replace(schema, prepared=described)
                training = pq.ParquetWriter(outputs.training / "rows.parquet", table.schema)
            elif described != schema.prepared:
                raise _changing_types(project, schema, described)
            training.write_table(table)
    finally:
        for writer in (holdout, facets, training):
            if writer is not None:
                writer.close()
    return schema


def write_sample(train: pa.Table, schema: TrainingSchema, path: Path) -> None:
    """Some rows as they were landed: training compares predict_row and predict on them."""
    names = [column.name for column in schema.features]
    pq.write_table(train.select(names).slice(0, SAMPLE_ROWS), path)


def facets_of(train: pa.Table, settings: Settings) -> pa.Table:
    """What a bias job needs of the training rows, which `prepare` may have taken away.

    Identity, label as text, facets and the conditional group raw, time and source.
    """
    names = [*(facet.column for facet in settings.facets), settings.bias.group]
    raw = [name for name in dict.fromkeys(names) if name and name != settings.label]
    table = train.select([ROW, settings.label, *raw, LANDED, SOURCE])
    text = pc.cast(train.column(settings.label), pa.string())
    return table.set_column(1, settings.label, text)


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
    for name in (ROW, SOURCE):
        table = table.append_column(name, train.column(name))
    return table, described


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
