"""The story that the demo tells: a first champion, a winner, a loser, and a damaged file."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from cli.data import land_files
from cli.datasets import Dataset
from cli.demo_summary import Summary, colour
from cli.errors import CommandError
from cli.follow import follow_run
from cli.judgement import comparison_lines, cost_words
from cli.live import Progress
from cli.model_file import parse_sets, read_settings
from cli.output import count, duration, plain, until
from cli.project import push_folder
from cli.see import short_words
from cli.session import Session

if TYPE_CHECKING:
    from perennial.domain.ledger.rows import RunRow
    from perennial.read_report import Report

# The shortened waits and fewer rows explained; everything else is as models/census says.
QUIET_S, EXPLAINED = 3, 500
QUICK = {
    "triggers.quiet_period": f"{QUIET_S}s",
    "triggers.cool_down": "0s",
    "explain.rows": str(EXPLAINED),
}
FILES, ROWS_PER_FILE, DAMAGED_ROWS = 3, 4_000, 400
POOR_WHY = "would a simpler model do?"
POLL_S, LONGEST_WAIT_S = 0.25, 120
FIRST_REASON = "reaches every gate on rows it never saw"
REASON = "better than the champion on the same rows"


@dataclass(frozen=True)
class Plot:
    """How many rows come first, and the setting of the run that is asked for in the end.

    The first rows keep the gates and leave so much to learn that the second batch wins clearly;
    the poor setting keeps the gates of the settings too, and loses to the champion. The same rows
    give the same figures every time.
    """

    first_rows: int
    poor: str


# On the genuine data the winner's AUC is better by 0.008, 0.005 of it for sure, and the loser's
# worse by 0.008. Synthetic rows follow a simple rule, which a model soon knows.
GENUINE = Plot(7_000, "train.hyperparameters.rounds=20")
SYNTHETIC = Plot(2_500, "train.hyperparameters.num_leaves=2")


class Story:
    """Tells the demo; every line is read from the stack after it happened."""

    def __init__(
        self,
        session: Session,
        progress: Progress,
        dataset: Dataset,
        sets: tuple[str, ...],
        *,
        cards: Path,
    ) -> None:
        self.session = session
        self.progress = progress
        self.dataset = dataset
        self.plot = GENUINE if dataset.genuine else SYNTHETIC
        self.sets = sets
        self.cards = cards
        self.model = ""
        self.summary = Summary("", dataset.source, dataset.genuine)

    def tell(self, project_copy: Callable[[str], Path]) -> Summary:
        """Push; land twice and approve who wins; then ask for a run that should lose."""
        self.model = self.summary.model = free_name(self.session)
        self.push(project_copy(self.model))
        train, test = self.dataset.tables[0], self.dataset.tables[-1]
        rows = self.plot.first_rows
        damaged = damage(train.text(rows, rows + DAMAGED_ROWS))
        first = [("adult-1.csv", train.text(0, rows)), ("damaged.csv", damaged)]
        self.land_chapter("What the push has waited for lands, and a damaged file with it", first)
        second = [
            (f"adult-{i + 2}.csv", test.text(i * ROWS_PER_FILE, (i + 1) * ROWS_PER_FILE))
            for i in range(FILES)
        ]
        self.land_chapter(f"A second batch of {count(FILES, 'file')}: their signals gather", second)
        self.poor_chapter()
        self.read_again()
        self.keep_cards()
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
        self.progress.say(f"\n[bold]The model[/] · [dim]models/census, pushed as {self.model}[/]")
        settings = read_settings(folder)
        usual = settings.triggers
        quick = tuple(f"{key}={value}" for key, value in QUICK.items())
        before = time.monotonic()
        pushed = push_folder(self.session, folder, (*quick, *self.sets))
        spent = duration(time.monotonic() - before)
        self.progress.say(
            f"  [green]✓[/] {'pushed':<18} {spent:>8}  settings {pushed.version}"
            f" · code {pushed.code_sha[:12]} · stack {pushed.stack}"
        )
        self.progress.say(
            f"    [dim]for the demo only: quiet period {QUIET_S} s instead of"
            f" {duration(usual.quiet_period)},"
            f" cool-down 0 s instead of {duration(usual.cool_down)},"
            f" {EXPLAINED:,} rows explained instead of {settings.explain.rows:,}[/]"
        )
        for pair in self.sets:
            self.progress.say(f"    [yellow]as you asked: {escape(pair)}[/]")

    def land_chapter(self, title: str, pieces: list[tuple[str, str]]) -> None:
        """Land some files, follow the run that they open, and approve its candidate if it won."""
        self.progress.say(f"\n[bold]{title}[/]")
        before = self.champion_digest()
        run, report = self.follow(lambda: self.land(pieces))
        self.tell_quarantine(report)
        self.check_champion(before)
        if run.outcome == "won" and run.version is not None:
            beaten = report.verdict.get("comparison")
            self.approve(run.version.number, REASON if beaten else FIRST_REASON)

    def poor_chapter(self) -> None:
        """Ask by hand for a run with a poor setting; the champion stays whoever it was."""
        before = self.champion_digest()
        words = f'perennial retrain {self.model} --set {self.plot.poor} --because "{POOR_WHY}"'
        self.progress.say("\n[bold]Somebody asks for a run with a poor setting[/]")
        self.progress.say(f"  [cyan]$[/] {escape(words)}")
        run, _ = self.follow(self.ask)
        self.check_champion(before)
        if run.outcome == "won" and run.version is not None:
            self.progress.say("    it won all the same, and is left for a person")
        elif self.summary.champion is not None:
            kept = f"{self.model} {self.summary.champion} is the champion as before"
            self.progress.say(f"    [bold]{kept}[/]")

    def ask(self) -> None:
        """What `perennial retrain` does."""
        from perennial.request_retrain import request_retrain  # noqa: PLC0415 - boto3 costs 0.2 s

        overrides, token = parse_sets((self.plot.poor,)), uuid.uuid4().hex
        who = self.session.who
        request_retrain(self.session.ports, self.model, POOR_WHY, overrides, token, who)

    def follow(self, act: Callable[[], None]) -> tuple[RunRow, Report]:
        """Do what opens a run, follow the run and tell its end."""
        from perennial.describe_model import describe_model  # noqa: PLC0415 - boto3 costs 0.2 s
        from perennial.read_report import read_report  # noqa: PLC0415 - as above

        last = describe_model(self.session.ports, self.model).last_run
        act()
        number = self.gather(last)
        run = follow_run(self.session, self.model, number, self.progress)
        report = read_report(self.session.ports, self.model, run.number)
        self.tell_end(run, report)
        self.summary.runs.append((run, report))
        return run, report

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

    def tell_end(self, run: RunRow, report: Report) -> None:
        """The data, the gates with their figures, the verdict, the cost and the version."""
        say, verdict = self.progress.say, report.verdict
        rows = report.check.get("rows", {})
        if rows:
            say(
                f"    data     {rows.get('good', 0):,} good rows of {rows.get('read', 0):,}:"
                f" {rows.get('training', 0):,} for training, {rows.get('holdout', 0):,} held out"
            )
        words = str(verdict.get("words") or (run.ending.words if run.ending else run.error))
        head, _, rest = words.partition(": ")
        say(f"    verdict  [{colour(run)}]{run.outcome}[/]: {escape(head)}")
        for gate in report.gates:
            mark = "[green]✓[/]" if gate.get("passed") else "[red]✗[/]"
            say(f"             {mark} {escape(str(gate.get('words')))}")
        if rest and not report.gates:
            say(f"             {escape(rest)}")
        for index, line in enumerate(comparison_lines(verdict)):
            say(f"    {'champion' if index == 0 else '':<8} [dim]{escape(line)}[/]")
        for line in verdict.get("notes") or ():
            say(f"    note     {escape(str(line))}")
        if cost := cost_words(verdict):
            say(f"    cost     {escape(cost)}")
        if run.version is not None:
            say(f"    version  [bold]{self.model} {run.version.number}[/] · {run.version.status}")

    def approve(self, version: int, reason: str) -> None:
        """Approve a version as the person who runs the demo, and wait until it is recorded."""
        from perennial.approve_version import approve_version  # noqa: PLC0415 - boto3 costs 0.2 s
        from perennial.describe_model import describe_model  # noqa: PLC0415 - as above

        who = self.session.who
        approve_version(self.session.ports, self.model, version, reason, who)
        deadline = time.monotonic() + LONGEST_WAIT_S
        while time.monotonic() < deadline:
            champion = describe_model(self.session.ports, self.model).champion
            if champion is not None and champion.version == version:
                self.summary.champion, self.summary.approved_by = version, who
                self.progress.say(
                    f"    approved by {escape(who)} (who runs this demo): {reason};"
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

    def check_champion(self, digest_before: str) -> None:
        """Only an approval changes the champion: neither a run nor a damaged file does."""
        if self.champion_digest() != digest_before:
            self.summary.kept = False
            self.progress.say("    [red]the champion has changed without an approval[/]")

    def tell_quarantine(self, report: Report) -> None:
        """Show each quarantined file with its first bad lines, and that the others were read."""
        if not report.quarantined:
            return
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
        self.summary.quarantined += [plain(found) for found in report.quarantined]
        good = sum(not found.get("quarantined") for found in report.check.get("objects", []))
        others = f"{good:,} objects" if good != 1 else "object"
        self.progress.say(f"    the run went on with the other {others}")

    def keep_cards(self) -> None:
        """Write the cards of the last two judged runs to a folder, as `run card --to` does."""
        from perennial.read_card import read_card  # noqa: PLC0415 - boto3 costs 0.2 s

        self.cards.mkdir(parents=True, exist_ok=True)
        self.progress.say("\n[bold]The cards[/] · [dim]one printable page each[/]")
        judged = [run for run, report in self.summary.runs if report.verdict]
        for run in judged[-2:]:
            card = read_card(self.session.ports, self.model, run.number)
            path = self.cards / f"{self.model}-{run.number}-{run.outcome}.html"
            path.write_bytes(card.body)
            self.summary.cards.append(
                {"run": run.number, "outcome": run.outcome, "file": str(path), "card": card.uri}
            )
            self.progress.say(
                f"  [{colour(run)}]{run.outcome:<5}[/] {escape(str(path))}"
                f"  [dim]perennial run card {self.model} {run.number} --to …[/]"
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
