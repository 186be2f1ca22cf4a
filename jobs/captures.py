"""The captured requests of a window: rows of texts, block by block, in bounded memory.

Two ways read the same lines. Blocks in which every request is one plain line of CSV, the form that
most traffic has, are parsed as tables (a million lines in seconds); every other block line by line,
by the functions that read labelled traffic for training. A test holds them to the same rows.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
from perennial.domain.captured import BadLine, document_of, moment_of, served_version, side_of
from perennial.domain.schema import text_of

from jobs.monitor_config import MonitorConfig
from jobs.places import Found, objects
from jobs.readers import GZIP_MAGIC, LONGEST_LINE, BadObject
from jobs.traffic import BadWidth, rows_of_request
from jobs.watched import table_of

BLOCK = 8 << 20
# Lines read one by one are handed on in tables of so many rows.
SLOW_ROWS = 20_000
MOST_NOTES = 20
SIDE = pa.struct(
    [("observedContentType", pa.string()), ("data", pa.string()), ("encoding", pa.string())]
)
LINE = pa.schema(
    [
        ("captureData", pa.struct([("endpointInput", SIDE), ("endpointOutput", SIDE)])),
        ("eventMetadata", pa.struct([("inferenceTime", pa.string())])),
    ]
)
VERSION_AT_END = r'"version": ?(?P<version>\d+)\}\s*$'


@dataclass
class Damage:
    """Lines and objects that could not be read: how many, and the first few in words."""

    broken_lines: int = 0
    notes: list[str] = field(default_factory=list)

    def break_line(self, why: str) -> None:
        """Count a broken line; the first few are told."""
        self.broken_lines += 1
        self.note(why)

    def note(self, words: str) -> None:
        """Tell something about the input; not for ever."""
        if len(self.notes) < MOST_NOTES:
            self.notes.append(words)

    def blocks(self, found: Found) -> Iterator[bytes]:
        """Whole lines of an object, some megabytes at a time; of a damaged one those before the
        damage, which counts as a broken line."""
        try:
            yield from blocks_of(found.path)
        except BadObject as error:
            self.break_line(f"{found.name}: {error}")


@dataclass
class Tally(Damage):
    """What was read beside the rows: broken lines, and lines that are not of the window."""

    requests: int = 0
    outside_window: int = 0
    other_endpoints: int = 0
    other_versions: int = 0
    left_out: int = 0
    narrow: int = 0
    wide: int = 0
    absent: Counter[str] = field(default_factory=Counter)
    foreign: Counter[str] = field(default_factory=Counter)


class Captures:
    """The captured requests of a window, and the tally of what was read."""

    def __init__(self, config: MonitorConfig, features: Sequence[str], folder: Path) -> None:
        self.config = config
        self.features = list(features)
        self.folder = folder
        self.tally = Tally()

    def tables(self) -> Iterator[pa.Table]:
        """The rows as texts, a table at a time."""
        pool = pa.default_memory_pool()
        for name, block in self.blocks():
            table = self._at_once(block)
            if table is None:
                yield from self._one_by_one(name, block)
            elif table.num_rows:
                yield table
            # Else what a block needed stays with Arrow, and more with every block.
            del table, block
            pool.release_unused()

    def preprocessed(self, hook: Callable[[dict[str, str]], Any]) -> Iterator[pa.Table]:
        """The rows as the project's hook makes them, one by one; None leaves a row out."""
        rows: list[dict[str, str]] = []
        for name, document in self.lines():
            for row in self.rows_of(name, document):
                found = hook(row)
                if found is None:
                    self.tally.left_out += 1
                    continue
                rows.append({str(key): text_of(value) for key, value in found.items()})
            if len(rows) >= SLOW_ROWS:
                yield table_of(rows, self.features)
                rows = []
        if rows:
            yield table_of(rows, self.features)

    def blocks(self) -> Iterator[tuple[str, bytes]]:
        """Whole lines of the window's objects, some megabytes at a time."""
        config = self.config
        for found in objects(config.capture, config.start_ms, config.end_ms, self.folder):
            if self._is_ours(found):
                for block in self.tally.blocks(found):
                    yield found.name, block

    def lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each line of the window as a document, with its object's name."""
        for name, block in self.blocks():
            for line in block.splitlines():
                document = self._document(name, line)
                if document is not None:
                    yield name, document

    def _is_ours(self, found: Found) -> bool:
        """Whether an object is of the endpoint and variant that are monitored; where its place
        names none, it is."""
        wanted = (self.config.endpoint, self.config.variant)
        if found.owner is None or not wanted[0]:
            return True
        if found.owner[0] == wanted[0] and wanted[1] in ("", found.owner[1]):
            return True
        self.tally.other_endpoints += 1
        return False

    def _at_once(self, block: bytes) -> pa.Table | None:
        """The rows of a block of plain lines; None when it is another one."""
        try:
            lines = pa_json.read_json(
                pa.BufferReader(block),
                read_options=pa_json.ReadOptions(block_size=len(block) + 1, use_threads=False),
                parse_options=pa_json.ParseOptions(
                    explicit_schema=LINE, unexpected_field_behavior="ignore"
                ),
            )
            data, moments, answers = _sides(lines)
        except (pa.ArrowInvalid, KeyError):
            return None
        if data is None or moments is None or lines.num_rows != _line_count(block):
            return None
        table = _split(data, self.features)
        if table is None:
            return None
        inside = _within(moments, self.config.start_ms, self.config.end_ms)
        count = pc.sum(inside).as_py() or 0
        self.tally.outside_window += table.num_rows - count
        inside, others = self._of_version(inside, answers)
        self.tally.other_versions += others
        self.tally.requests += count - others
        return table if count - others == table.num_rows else table.filter(inside)

    def _of_version(self, inside: Any, answers: Any) -> tuple[Any, int]:
        """The mask without answers that another version gave, and how many of those there are.

        An answer that tells no version counts.
        """
        if self.config.model_version is None:
            return inside, 0
        told = pc.struct_field(pc.extract_regex(answers, VERSION_AT_END), "version")
        wrong = pc.and_(
            inside, pc.fill_null(pc.not_equal(told, str(self.config.model_version)), False)
        )  # fmt: skip
        others = pc.sum(wrong).as_py() or 0
        return (pc.and_not(inside, wrong), others) if others else (inside, 0)

    def _one_by_one(self, name: str, block: bytes) -> Iterator[pa.Table]:
        rows: list[dict[str, str]] = []
        for line in block.splitlines():
            document = self._document(name, line)
            if document is None:
                continue
            rows += self.rows_of(name, document)
            if len(rows) >= SLOW_ROWS:
                yield table_of(rows, self.features)
                rows = []
        if rows:
            yield table_of(rows, self.features)

    def _document(self, name: str, line: bytes) -> dict[str, Any] | None:
        """The document of a line of the window, of the version that is monitored."""
        if not line.strip():
            return None
        try:
            document = document_of(line.decode("utf-8"))
            moment = moment_of(document)
            version = served_version(document)
        except (BadLine, UnicodeDecodeError) as error:
            # Not the line: what people sent has no place in a log.
            self.tally.break_line(f"{name}: {error}")
            return None
        if not self.config.start_ms <= moment < self.config.end_ms:
            self.tally.outside_window += 1
            return None
        if (
            None not in (version, self.config.model_version)
            and version != self.config.model_version
        ):
            self.tally.other_versions += 1
            return None
        self.tally.requests += 1
        return cast("dict[str, Any]", document)

    def rows_of(self, name: str, document: dict[str, Any]) -> list[dict[str, str]]:
        """The rows of a captured request as it was sent; [] for a broken one, which is counted."""
        tally = self.tally
        try:
            rows = rows_of_request(side_of(document, "endpointInput"), self.features, as_sent=True)
        except BadWidth as error:
            tally.narrow += error.width < len(self.features)
            tally.wide += error.width > len(self.features)
            tally.break_line(f"{name}: {error}")
            return []
        except BadLine as error:
            tally.break_line(f"{name}: {error}")
            return []
        for row in rows:
            if len(row) == len(self.features) and all(name in row for name in self.features):
                continue
            tally.absent.update(each for each in self.features if each not in row)
            tally.foreign.update(each for each in row if each not in self.features)
        return rows


def blocks_of(path: Path) -> Iterator[bytes]:
    """The lines of a file (gzip or plain), some megabytes at a time; raises `BadObject` for a
    damaged file and for a line that is too long."""
    with path.open("rb") as plain:
        zipped = plain.read(2) == GZIP_MAGIC
        plain.seek(0)
        source = gzip.GzipFile(fileobj=plain) if zipped else plain
        rest = b""
        while part := _read(source):
            whole = rest + part
            end = whole.rfind(b"\n") + 1
            rest = whole[end:]
            if len(rest) > LONGEST_LINE:
                raise BadObject(f"a line is longer than {LONGEST_LINE >> 20} MiB")
            if end:
                yield whole[:end]
        if rest.strip():
            yield rest


def _read(source: IO[bytes] | gzip.GzipFile) -> bytes:
    try:
        return source.read(BLOCK)
    except EOFError:
        raise BadObject("the gzip file ends too early; it was cut off") from None
    except (OSError, zlib.error) as error:
        raise BadObject(f"the gzip file is damaged: {error}") from None


def _line_count(block: bytes) -> int:
    return block.count(b"\n") + (not block.endswith(b"\n"))


def _sides(lines: pa.Table) -> tuple[Any, Any, Any]:
    """Requests that are CSV, times and answers of a block's lines; None for others."""
    whole = lines.combine_chunks()
    captured = whole.column("captureData").combine_chunks()
    given, answered = captured.field("endpointInput"), captured.field("endpointOutput")
    encodings = pc.unique(given.field("encoding")).to_pylist()
    if encodings != ["CSV"] or given.field("data").null_count:
        return None, None, None
    moments = whole.column("eventMetadata").combine_chunks().field("inferenceTime")
    if moments.null_count:
        return None, None, None
    return given.field("data"), pc.cast(moments, pa.timestamp("ms", "UTC")), answered.field("data")


def _split(data: Any, features: Sequence[str]) -> pa.Table | None:
    """The cells of requests of one plain line each; None for others."""
    texts = pc.utf8_rtrim(data, characters="\r\n")
    if pc.any(pc.match_substring_regex(texts, r'["\r\n]|^\s*$')).as_py():
        return None
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), "\n")[0]
    try:
        table = pa_csv.read_csv(
            pa.BufferReader(joined.as_buffer()),
            read_options=pa_csv.ReadOptions(
                column_names=list(features),
                use_threads=False,
                block_size=max(joined.as_buffer().size, 1),
            ),
            parse_options=pa_csv.ParseOptions(quote_char=False),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(features, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        return None
    # A header above the row would have made two lines of it.
    return table if table.num_rows == len(texts) else None


def _within(moments: Any, start_ms: int, end_ms: int) -> Any:
    numbers = pc.cast(moments, pa.int64())
    return pc.and_(pc.greater_equal(numbers, start_ms), pc.less(numbers, end_ms))
