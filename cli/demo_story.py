"""The story that the demo tells: three landings, three runs, one approval, one damaged file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table as RichTable

from cli.data import land_files
from cli.datasets import Dataset
from cli.errors import CommandError
from cli.follow import follow_run
from cli.live import Progress
from cli.model_file import read_settings
from cli.output import Styled, count, duration, plain, table, until
from cli.project import push_folder
from cli.see import short_words
from cli.session import Session

if TYPE_CHECKING:
    from perennial.domain.ledger.rows import RunRow
    from perennial.read_report import Report

# The shortened waits; everything else is as models/census says.
QUICK = {"triggers.quiet_period": "4s", "triggers.cool_down": "0s"}
FIRST_ROWS, FILES, ROWS_PER_FILE, DAMAGED_ROWS = 10_000, 3, 2_000, 400
POLL_S, LONGEST_WAIT_S = 0.25, 120
REASON = "reaches every gate on rows it never saw"


@dataclass
class Summary:
    """What happened, as read back from the stack."""

    model: str
    source: str
    genuine: bool
    runs: list[tuple[RunRow, Report]] = field(default_factory=list)
    champion: int | None = None
    approved_by: str = ""
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    champion_digest_kept: bool = False

    @property
    def went_well(self) -> bool:
        """Say whether each run reached its verdict and the damaged file harmed only itself."""
        judged = all(run.outcome in {"won", "lost"} for run, _ in self.runs)
        return judged and len(self.runs) == 3 and len(self.quarantined) == 1

    def document(self) -> dict[str, Any]:
        """The summary for scripts and tests."""
        return {
            "model": self.model,
            "source": self.source,
            "genuine": self.genuine,
            "champion": self.champion,
            "approved_by": self.approved_by,
            "champion_digest_kept": self.champion_digest_kept,
            "quarantined": self.quarantined,
            "went_well": self.went_well,
            "runs": [{**plain(run), "gates": report.gates} for run, report in self.runs],
        }

    def table(self) -> RichTable:
        """One line a run."""
        columns = ("run", "outcome", "rows read", "quarantined", "figures", "version", "took")
        return table(
            columns, [self._row(run, report) for run, report in self.runs], right=(2, 3, 6)
        )

    def _row(self, run: RunRow, report: Report) -> tuple[str, ...]:
        colour = "green" if run.outcome == "won" else "yellow" if run.outcome == "lost" else "red"
        rows = report.check.get("rows", {})
        figures = ", ".join(
            f"{gate.get('metric')} {float(gate['value']):.3f}"
            for gate in report.gates
            if gate.get("value") is not None
        )
        took = ((run.ended_ms or 0) - run.opened_ms) / 1000
        return (
            str(run.number),
            Styled(f"[{colour}]{run.outcome}[/]"),
            f"{rows.get('read', 0):,}",
            str(len(report.quarantined)),
            figures or "-",
            f"{run.version.number} · {run.version.status}" if run.version else "-",
            duration(took),
        )

    def next_commands(self) -> list[tuple[str, str]]:
        """What to try now, with the names of this demo."""
        model, last = self.model, self.runs[-1][0] if self.runs else None
        version = last.version.number if last and last.version else None
        commands = [("perennial status", "every model on one screen")]
        if last:
            commands.append((f"perennial run show {model} {last.number}", "the last run whole"))
        if version and last and last.outcome == "won":
            words = "approve it: it becomes the champion"
            commands.append((f'perennial approve {model} {version} --because "…"', words))
        if version:
            commands.append((f"perennial lineage {model} {version}", "everything it came from"))
        commands += [
            (f"perennial why {model}", "what it waits for"),
            (f'perennial retrain {model} --because "…"', "ask for a run"),
            ('eval "$(perennial env)"; sam logs', "any AWS client works: sam, aws, boto3"),
            ("perennial down", "stop the local cloud; nothing stays"),
        ]
        return commands


class Story:
    """Tells the demo; every line is read from the stack after it happened."""

    def __init__(
        self, session: Session, progress: Progress, dataset: Dataset, sets: tuple[str, ...]
    ) -> None:
        self.session = session
        self.progress = progress
        self.dataset = dataset
        self.sets = sets
        self.model = ""
        self.summary = Summary("", dataset.source, dataset.genuine)

    def tell(self, project_copy: Callable[[str], Path]) -> Summary:
        """Push, land three times, follow three runs, approve the first winner."""
        self.model = self.summary.model = free_name(self.session)
        self.push(project_copy(self.model))
        train, test = self.dataset.tables[0], self.dataset.tables[-1]
        first = [("adult-1.csv", train.text(0, FIRST_ROWS))]
        self.chapter("The first file lands: what the push has waited for", first)
        second = [
            (f"adult-{i + 2}.csv", test.text(i * ROWS_PER_FILE, (i + 1) * ROWS_PER_FILE))
            for i in range(FILES)
        ]
        self.chapter(f"A second batch of {count(FILES, 'file')}: their signals gather", second)
        before = self.champion_digest()
        damaged = damage(train.text(FIRST_ROWS, FIRST_ROWS + DAMAGED_ROWS))
        self.chapter("A damaged file lands", [("damaged.csv", damaged)])
        self.tell_damage(before)
        self.read_again()
        return self.summary

    def read_again(self) -> None:
        """Take the runs as they stand now: an approval came after its run's end."""
        from perennial.describe_run import describe_run  # noqa: PLC0415 - boto3 costs 0.2 s

        self.summary.runs = [
            (describe_run(self.session.ports, self.model, run.number), report)
            for run, report in self.summary.runs
        ]

    def push(self, folder: Path) -> None:
        """Publish the model with shortened waits, and say what was shortened."""
        self.progress.say(f"\n[bold]The model[/] [dim]models/census, pushed as {self.model}[/]")
        usual = read_settings(folder).triggers
        quick = tuple(f"{key}={value}" for key, value in QUICK.items())
        before = time.monotonic()
        pushed = push_folder(self.session, folder, (*quick, *self.sets))
        spent = duration(time.monotonic() - before)
        self.progress.say(
            f"  [green]✓[/] {'pushed':<18} {spent:>8}  settings {pushed.version}"
            f" · code {pushed.code_sha[:12]} · stack {pushed.stack}"
        )
        self.progress.say(
            "    [dim]for the demo only: quiet period 4 s instead of"
            f" {duration(usual.quiet_period)},"
            f" cool-down 0 s instead of {duration(usual.cool_down)}[/]"
        )
        for pair in self.sets:
            self.progress.say(f"    [yellow]as you asked: {escape(pair)}[/]")

    def chapter(self, title: str, pieces: list[tuple[str, str]]) -> None:
        """Land some files, wait for the run that they open, follow it and tell its end."""
        from perennial.describe_model import describe_model  # noqa: PLC0415 - boto3 costs 0.2 s

        self.progress.say(f"\n[bold]{title}[/]")
        last = describe_model(self.session.ports, self.model).last_run
        self.land(pieces)
        number = self.gather(last)
        run = follow_run(self.session, self.model, number, self.progress)
        self.tell_end(run)

    def land(self, pieces: list[tuple[str, str]]) -> None:
        """Put the files into the landing bucket."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in pieces:
                path = Path(folder) / name
                path.write_text(text, encoding="utf-8")
                (landed,) = land_files(self.session, self.model, (path,))
                self.progress.say(
                    f"  [cyan]↓[/] {name:<18} {text.count(chr(10)) - 1:>8,} rows"
                    f"  [dim]version {escape(landed.version_id)}[/]"
                )

    def gather(self, last_run: int) -> int:
        """Show how signals gather until a run opens; its number."""
        from perennial.describe_model import describe_model  # noqa: PLC0415 - as above
        from perennial.describe_run import describe_run  # noqa: PLC0415 - boto3 costs 0.2 s
        from perennial.explain_wait import explain_wait  # noqa: PLC0415 - as above

        told: set[str] = set()
        deadline = time.monotonic() + LONGEST_WAIT_S
        while time.monotonic() < deadline:
            wait = explain_wait(self.session.ports, self.model)
            for signal in wait.signals:
                if signal.id not in told and signal.state != "claimed":
                    told.add(signal.id)
                    words = short_words(signal.words, self.model)
                    why = f" · {signal.reason}" if signal.reason else ""
                    self.progress.say(f"    [dim]signal   {escape(words + why)}[/]")
            number = describe_model(self.session.ports, self.model).last_run
            if number > last_run:
                run = describe_run(self.session.ports, self.model, number)
                reasons = "; ".join(short_words(line, self.model) for line in run.because)
                self.progress.say(f"  [bold]→ run {number}[/]  [dim]because {escape(reasons)}[/]")
                return number
            moment = f", opens {until(wait.opens_ms)}" if wait.opens_ms else ""
            self.progress.now(f"{count(len(told), 'signal')} gathered{moment}")
            time.sleep(POLL_S)
        raise CommandError(
            f"No run of {self.model} opened within {LONGEST_WAIT_S} s.",
            f"Look at: perennial why {self.model}; perennial logs on_signal",
        )

    def tell_end(self, run: RunRow) -> None:
        """The data, the gates, the verdict and the version; approve the first that won."""
        from perennial.read_report import read_report  # noqa: PLC0415 - boto3 costs 0.2 s

        report = read_report(self.session.ports, self.model, run.number)
        rows = report.check.get("rows", {})
        if rows:
            self.progress.say(
                f"    data     {rows.get('good', 0):,} good rows of {rows.get('read', 0):,}:"
                f" {rows.get('training', 0):,} for training, {rows.get('holdout', 0):,} held out"
            )
        colour = "green" if run.outcome == "won" else "yellow" if run.outcome == "lost" else "red"
        words = str(report.verdict.get("words") or (run.ending.words if run.ending else run.error))
        head, _, figures = words.partition(": ")
        self.progress.say(f"    verdict  [{colour}]{run.outcome}[/]: {escape(head)}")
        if figures:
            self.progress.say(f"             {escape(figures)}")
        if run.version is not None:
            self.progress.say(
                f"    version  [bold]{self.model} {run.version.number}[/] · {run.version.status}"
            )
        self.summary.runs.append((run, report))
        if run.outcome == "won" and run.version is not None and self.summary.champion is None:
            self.approve(run.version.number)

    def approve(self, version: int) -> None:
        """Approve a version as the person who runs the demo, and wait until it is recorded."""
        from perennial.approve_version import approve_version  # noqa: PLC0415 - boto3 costs 0.2 s
        from perennial.describe_model import describe_model  # noqa: PLC0415 - as above

        who = self.session.who
        approve_version(self.session.ports, self.model, version, REASON, who)
        deadline = time.monotonic() + LONGEST_WAIT_S
        while time.monotonic() < deadline:
            champion = describe_model(self.session.ports, self.model).champion
            if champion is not None and champion.version == version:
                self.summary.champion, self.summary.approved_by = version, who
                self.progress.say(
                    f"    approved by {escape(who)} (who runs this demo): {REASON};"
                    f" [bold]{self.model} {version} is the champion[/]"
                )
                return
            self.progress.now(f"version {version} is approved, being recorded as champion")
            time.sleep(POLL_S)
        raise CommandError(
            f"Version {version} of {self.model} is approved but was not recorded as champion.",
            "Look at: perennial logs on_version_approved",
        )

    def champion_digest(self) -> str:
        """The digest of the champion's artifact; nothing without a champion."""
        from perennial.describe_model import describe_model  # noqa: PLC0415 - boto3 costs 0.2 s

        champion = describe_model(self.session.ports, self.model).champion
        return champion.digest if champion else ""

    def tell_damage(self, digest_before: str) -> None:
        """Show the quarantined file with its first bad lines, and that nothing else suffered."""
        _, report = self.summary.runs[-1]
        for found in report.quarantined:
            name = str(found["key"]).rsplit("/", 1)[-1]
            self.progress.say(
                f"    [bold]{escape(name)} is quarantined[/]: {escape(str(found['reason']))}"
            )
            for bad in found.get("first_bad", [])[:3]:
                self.progress.say(
                    f"      line {bad.get('line')}: {escape(str(bad.get('why')))}"
                    f"  [dim]{escape(str(bad.get('text', ''))[:70])}[/]"
                )
        self.summary.quarantined = [plain(found) for found in report.quarantined]
        self.summary.champion_digest_kept = self.champion_digest() == digest_before
        good = report.check.get("objects", {})
        if isinstance(good, list):
            good = {"good": sum(not found.get("quarantined") for found in good)}
        kept = "the champion is unchanged" if digest_before else "no champion was there to harm"
        if not self.summary.champion_digest_kept:
            kept = "[red]the champion has changed[/]"
        self.progress.say(
            f"    the other {count(int(good.get('good', 0)), 'object')} went on without it; {kept}"
        )


def free_name(session: Session) -> str:
    """`census`, or `census-2` … where a model of that name is there already."""
    from perennial.list_models import list_models  # noqa: PLC0415 - boto3 costs 0.2 s

    taken = set(list_models(session.ports))
    names = ["census", *(f"census-{number}" for number in range(2, 100))]
    return next(name for name in names if name not in taken)


def damage(text: str) -> str:
    """A good file with three damaged lines: a word for a number, a field too few, hours below 0."""
    lines = text.splitlines()
    fields = lines[7].split(",")
    lines[7] = ",".join(["thirty-nine", *fields[1:]])
    lines[42] = ",".join(lines[42].split(",")[:-1])
    lines[99] = ",".join([*lines[99].split(",")[:-3], "-400", *lines[99].split(",")[-2:]])
    return "\n".join(lines) + "\n"
