"""The story of `demo-release`: a first version, a better one by canary, a slow one rolled back."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from perennial.domain.settings_release import milliseconds
from perennial.domain.settings_release import percent as show_percent
from rich.markup import escape

from cli.datasets import Dataset
from cli.demo_load import Load, endpoint_client, figures
from cli.demo_release_summary import Canary, ReleaseSummary, Told, gate_words, percent
from cli.demo_story import LONGEST_WAIT_S, POLL_S, Story
from cli.errors import CommandError, Refused
from cli.live import Progress
from cli.model_file import parse_sets, read_settings
from cli.output import count, duration, plain
from cli.project import push_folder
from cli.session import Session

if TYPE_CHECKING:
    from perennial.aws.alarms import SeenAlarm
    from perennial.aws.history import Visit
    from perennial.domain.ledger.rows import ReleaseRow, RunRow
    from perennial.domain.settings import Settings
    from perennial.watch_deployment import DeploymentView

PER_SECOND = 20
# The local cloud's clock goes so many times as fast while the story is told.
FACTOR = 30
SETTINGS = {
    "triggers.quiet_period": "0s",
    "triggers.cool_down": "0s",
    "explain": "off",
    "gates.champion.margin": "0.002",
    "release.approval": "policy",
    "release.endpoint.count": "2",
    "release.strategy": "canary",
    "release.share": "50%",
    "release.bake": "2m",
    "release.guard.latency_p99": "500ms",
    "release.guard.period": "1m",
    "release.guard.evaluations": "1",
    "release.smoke_test.latency_p99": "500ms",
    "release.smoke_test.rows": "20",
    "release.smoke_test.requests": "10",
}
LATER_ROWS = 5_000
SLOW_S = 0.15
SLOW_CODE = f"""

# Each answer that is served goes to the auditors' log first. Its one connection takes one line
# at a time, and {1000 * SLOW_S:.0f} ms for each.
import multiprocessing
import os
import time

CONNECTION = multiprocessing.Lock()
unaudited = predict_row


def predict_row(model, row):
    if "PERENNIAL_VERSION" in os.environ:  # it serves; a training tells the auditors nothing
        with CONNECTION:
            time.sleep({SLOW_S})
    return unaudited(model, row)
"""
EDGE_S = 0.1  # a request is routed a moment after it was due
LONGEST_RELEASE_S = 180
FIRST_REASON = "reaches every gate on rows it never saw"
SLOW_REASON = "as good as the champion, and the auditors want it"


class ReleaseStory:
    """Tells it; every line is read from the stack's APIs, or counted at the client."""

    def __init__(
        self, session: Session, progress: Progress, dataset: Dataset, sets: tuple[str, ...]
    ) -> None:
        self.session = session
        self.progress = progress
        self.story = Story(session, progress, dataset, sets, cards=Path())
        self.dataset = dataset
        self.sets = sets
        self.model = ""
        self.folder = Path()
        self.load: Load | None = None
        self.summary = ReleaseSummary("", dataset.source, dataset.genuine, FACTOR, PER_SECOND)

    def tell(self, name: str, project_copy: Callable[[str], Path]) -> ReleaseSummary:
        """Push, release three versions under load, and count."""
        self.model = self.summary.model = self.story.model = name
        self.folder = project_copy(name)
        leave_out_facets(self.folder)
        self.push("The model")
        self.first_chapter()
        settings = read_settings(self.folder)
        ask = endpoint_client(self.live_endpoint(), client_rows(self.dataset, settings))
        with Load(ask, PER_SECOND) as load:
            self.load = load
            self.progress.say(
                f"\n[bold]Clients begin to ask[/] · [dim]{PER_SECOND} calls of invoke_endpoint"
                " a second, each counted, none tried again; they do not stop until the end[/]"
            )
            self.canary_chapter()
            self.slow_chapter()
        self.conclude(load)
        return self.summary

    def push(self, title: str) -> None:
        """Publish the model with the demo's settings, and say which they are."""
        self.progress.say(f"\n[bold]{title}[/] · [dim]models/census, pushed as {self.model}[/]")
        before = time.monotonic()
        given = {pair.partition("=")[0] for pair in self.sets}
        ours = (f"{key}={value}" for key, value in SETTINGS.items() if key not in given)
        pairs = (*ours, *self.sets)
        pushed = push_folder(self.session, self.folder, pairs)
        self.line("pushed", before, f"settings {pushed.version} · code {pushed.code_sha[:12]}")
        if pushed.version == 1:
            self.say_settings(read_settings(self.folder, parse_sets(pairs)))

    def say_settings(self, settings: Settings) -> None:
        """How versions go out by these settings, and what is so for the demo only."""
        release = settings.release
        if release.endpoint is None:
            raise Refused("Without release.endpoint nothing is released.", "Leave it as it is.")
        guard, bake = release.guard, duration(release.bake)
        bounds = [
            f"{what} above {bound}"
            for what, bound, is_on in (
                ("errors", show_percent(guard.errors), guard.errors is not None),
                ("p99", milliseconds(guard.latency_p99), guard.latency_p99 is not None),
            )
            if is_on
        ]
        for words in (
            (
                f"endpoint of {count(release.endpoint.count, 'server')} · approval by"
                f" {release.approval}, new code by a person"
            ),
            (
                f"{release.strategy} of {show_percent(release.share)}, bake {bake} after each step"
                f" · rolled back by alarms: {' or '.join(bounds)}"
            ),
            (
                f"[dim]for the demo only: the cloud's clock goes {FACTOR} times as fast, so a bake"
                f" lasts {duration(release.bake / FACTOR)}; no quiet[/]"
            ),
            (
                "[dim]period, no cool-down; no explanations, no bias figures (make demo shows"
                f" them); {settings.release.smoke_test.rows} rows in the[/]"
            ),
            "[dim]smoke test; a candidate as good as the champion passes, too[/]",
        ):
            self.progress.say(f"    {words}")
        for pair in self.sets:
            self.progress.say(f"    [yellow]as you asked: {escape(pair)}[/]")

    def first_chapter(self) -> None:
        """The first version is approved by a person and goes live."""
        rows = self.story.plot.first_rows
        self.progress.say("\n[bold]Release 1: the first version[/]")
        text = self.dataset.tables[0].text(0, rows)
        run = self.follow_run(lambda: self.story.land([("adult-1.csv", text)]))
        self.approve(run, FIRST_REASON)
        self.follow_release(1)

    def canary_chapter(self) -> None:
        """A candidate of more data is approved by the policy and takes over step by step."""
        self.progress.say("\n[bold]Release 2: a better version, by canary[/]")
        text = self.dataset.tables[-1].text(0, LATER_ROWS)
        self.follow_run(lambda: self.story.land([("adult-2.csv", text)]))
        self.follow_release(2)

    def slow_chapter(self) -> None:
        """New code is slow where many ask at once: its own alarm ends its release."""
        self.progress.say("\n[bold]Release 3: a version that is slow in production[/]")
        self.progress.say(
            "    somebody adds to models/census/model.py that each served answer goes to an audit"
            f" log,\n    one at a time, {1000 * SLOW_S:.0f} ms each (here it sleeps)."
            " Nobody notices while one asks at a time."
        )
        path = self.folder / "model.py"
        path.write_text(path.read_text("utf-8") + SLOW_CODE, encoding="utf-8")
        run = self.follow_run(lambda: self.push("The new code"))
        self.approve(run, SLOW_REASON)
        self.follow_release(3)

    def line(self, what: str, since: float, words: str = "") -> None:
        """One step that is done, with the time it took."""
        spent = duration(time.monotonic() - since)
        self.progress.say(f"  [green]✓[/] {what:<18} {spent:>8}  {escape(words)}")

    def counted(self) -> str:
        """What the client has counted so far, in a few words; nothing before it began."""
        if self.load is None:
            return ""
        now = figures(self.load.asked)
        return f" · {now.sent:,} predictions, {now.failed} failed, p99 {now.p99_ms:,.0f} ms"

    def follow_run(self, act: Callable[[], None]) -> RunRow:
        """Do what opens a run, wait for its verdict and tell it in three lines."""
        from perennial.describe_model import describe_model  # noqa: PLC0415 - boto3 costs 0.2 s
        from perennial.describe_run import describe_run  # noqa: PLC0415 - as above
        from perennial.read_report import read_report  # noqa: PLC0415 - as above

        before = time.monotonic()
        last = describe_model(self.session.ports, self.model).last_run
        act()
        number = self.story.gather(last)
        deadline = before + LONGEST_WAIT_S
        while (run := describe_run(self.session.ports, self.model, number)).state != "ended":
            if time.monotonic() > deadline:
                raise CommandError(
                    f"Run {number} of {self.model} did not end within {LONGEST_WAIT_S} s.",
                    f"Look at: perennial run show {self.model} {number}",
                )
            spent = duration(time.monotonic() - before)
            self.progress.now(f"run {number} · {run.state} {spent}{self.counted()}")
            time.sleep(POLL_S)
        self.progress.quiet()
        if run.version is None or run.outcome != "won":
            raise CommandError(
                f"Run {number} of {self.model} should have won, but {run.outcome}: "
                f"{run.ending.words if run.ending else run.error}",
                f"Look at: perennial run show {self.model} {number}",
            )
        report = read_report(self.session.ports, self.model, number)
        self.line("trained, judged", before, f"run {number} {run.outcome}: {gate_words(report)}")
        name, words = f"[bold]{self.model} {run.version.number}[/]", run.version.words
        decided = words.partition(": ")[0] if words else "left for a person by the policy"
        self.progress.say(f"    version  {name} · {escape(decided)}")
        return run

    def approve(self, run: RunRow, reason: str) -> None:
        """Approve what the policy left for a person, as whoever runs the demo."""
        from perennial.approve_version import approve_version  # noqa: PLC0415 - as above

        if run.version is None:
            return
        who = self.session.who
        approve_version(self.session.ports, self.model, run.version.number, reason, who)
        self.progress.say(f"    approved by {escape(who)} (who runs this demo): {reason}")

    def live_endpoint(self) -> str:
        """The name of the endpoint that clients ask."""
        from perennial.describe_endpoint import describe_endpoint  # noqa: PLC0415 - as above

        found = describe_endpoint(self.session.ports, self.model)
        return found.endpoint

    def follow_release(self, number: int) -> None:
        """Tell a release from its approval to its end, and keep what was seen."""
        from perennial.describe_endpoint import describe_endpoint  # noqa: PLC0415 - as above
        from perennial.describe_model import describe_model  # noqa: PLC0415 - as above

        teller = ReleaseTeller(self, number)
        deadline = time.monotonic() + LONGEST_RELEASE_S
        while (row := teller.look()) is None or row.state != "ended":
            if time.monotonic() > deadline:
                raise CommandError(
                    f"Release {number} of {self.model} did not end within {LONGEST_RELEASE_S} s.",
                    f"Look at: perennial why {self.model}; perennial releases {self.model}",
                )
            time.sleep(POLL_S)
        self.progress.quiet()
        told = teller.end(row)
        self.summary.releases.append(told)
        champion = describe_model(self.session.ports, self.model).champion
        self.summary.champion = champion.version if champion else None
        endpoint = describe_endpoint(self.session.ports, self.model)
        self.summary.live = endpoint.version
        servers = ", ".join(f"{each.count} of {each.wanted} servers" for each in endpoint.fleets)
        where = f"{endpoint.endpoint} is {endpoint.status}: {servers}, version {endpoint.version}"
        self.line("production", teller.began, where)
        colour = {"released": "green", "rolled_back": "yellow"}.get(str(row.outcome), "red")
        state = str(row.outcome).replace("_", " ")
        words = row.words.partition(": ")[2]
        self.progress.say(
            f"  [bold {colour}]{state}[/]: {escape(words)}",
        )
        self.progress.say(f"    [bold]{self.model} {self.summary.champion} is the champion[/]")

    def conclude(self, load: Load) -> None:
        """What the client saw from the first request to the last."""
        self.summary.load = found = figures(load.asked)
        self.progress.say("\n[bold]What the clients saw[/]")
        self.progress.say(
            f"  {count(found.sent, 'prediction')} asked, [bold]{found.failed} failed[/]"
            f" · p50 {found.p50_ms:,.1f} ms, p99 {found.p99_ms:,.1f} ms"
        )
        for version, seen in found.by_version.items():
            self.progress.say(
                f"    version {version} answered {seen.answers:,}: p50 {seen.p50_ms:,.1f} ms,"
                f" p99 {seen.p99_ms:,.1f} ms"
            )
        for error, times in found.errors.items():
            self.progress.say(f"  [red]{times} times: {escape(error[:200])}[/]")


class ReleaseTeller:
    """Tells one release: each look asks the ledger, the execution, SageMaker and CloudWatch."""

    def __init__(self, story: ReleaseStory, number: int) -> None:
        self.story = story
        self.number = number
        self.began = time.monotonic()
        self.told: set[str] = set()
        self.smoke: dict[str, Any] = {}
        self.canary: tuple[float, float, float] | None = None
        self.alarm: dict[str, Any] = {}

    def look(self) -> ReleaseRow | None:
        """Look once and say what is new; the release's row, None before it is opened."""
        from perennial.aws.history import visits  # noqa: PLC0415 - boto3 costs 0.2 s
        from perennial.domain.errors import NotFound  # noqa: PLC0415 - as above
        from perennial.list_releases import known_release  # noqa: PLC0415 - as above
        from perennial.watch_deployment import watch_deployment  # noqa: PLC0415 - as above

        story = self.story
        try:
            row = known_release(story.session.ports, story.model, self.number)
        except NotFound:
            return None
        if row.updating_ms is not None and row.state != "ended":
            before = time.monotonic()
            self.deployment(watch_deployment(story.session.ports, story.model, self.number), before)
        elif row.execution:
            self.states(visits(row.execution))
        return row

    def once(self, what: str) -> bool:
        """Whether this is said for the first time."""
        is_new = what not in self.told
        self.told.add(what)
        return is_new

    def states(self, path: Sequence[Visit]) -> None:
        """The states of the machine that mean something to a newcomer."""
        story = self.story
        last = path[-1].state if path else "begins"
        story.progress.now(f"release {self.number} · {last}{story.counted()}")
        if any(each.state == "SmokeTest" for each in path) and self.once("staging"):
            story.line("staging endpoint", self.began, "one server that nobody else asks")
            self.began = time.monotonic()
        if any(each.state == "ReadSmokeTest" and each.left_ms for each in path):
            self.smoke_test()

    def smoke_test(self) -> None:
        """Its checks with their figures, as it wrote them; said once, nothing before it ended."""
        from perennial.read_smoke_test import read_smoke_test  # noqa: PLC0415 - as above

        story = self.story
        if self.smoke:
            return
        self.smoke = dict(read_smoke_test(story.session.ports, story.model, self.number))
        if not self.smoke:
            return
        story.line("smoke test", self.began, f"{self.smoke['model']} {self.smoke['model_version']}")
        for check in self.smoke["checks"]:
            mark = "[green]✓[/]" if check["passed"] else "[red]✗[/]"
            story.progress.say(f"      {mark} {escape(check['words'])}")
        self.began = time.monotonic()

    def deployment(self, view: DeploymentView, before: float) -> None:
        """How production moves: stages, the share of answers, the alarms."""
        story, found, now = self.story, view.deployment, time.monotonic()
        self.smoke_test()
        if found is not None and found.stage == "Baking" and found.share < 1:
            # Inside both looks SageMaker said so: a stage can only be longer than it was seen.
            since = self.canary[1] if self.canary else now
            self.canary = (found.share, since, before)
            self.watch_share(found.share, since, before)
        elif found is not None and found.stage:
            what = f"{found.stage}, {percent(found.share)} of traffic"
            story.progress.now(f"production · {escape(what)}{story.counted()}")
        if found is None and view.alarms and self.once("asked"):
            story.progress.now(f"production · two servers start{story.counted()}")
        if found is not None and found.stage == "Baking" and self.once(f"share {found.share}"):
            story.line(
                f"{percent(found.share)} of traffic",
                self.began,
                "goes to the new version; SageMaker watches the alarms",
            )
            self.began = time.monotonic()
        for alarm in view.alarms:
            if alarm.state == "ALARM" and self.once(alarm.name):
                self.sounding(alarm)

    def sounding(self, alarm: SeenAlarm) -> None:
        """An alarm that guards the release went off: what it saw, in words and in CloudWatch's."""
        say = self.story.progress.say
        self.alarm = plain(alarm)
        say(f"  [bold red]![/] [red]{escape(alarm.name)} is in ALARM[/]")
        if alarm.name.endswith("-latency") and alarm.values:
            say(
                f"    p99 of the new servers: {alarm.values[-1] / 1000:,.0f} ms; "
                f"{alarm.threshold / 1000:,.0f} ms are allowed"
            )
        say(f"    [dim]CloudWatch: {escape(alarm.reason)}[/]")

    def watch_share(self, wanted: float, since: float, until: float) -> None:
        """Show the new version's share of the answers so far."""
        story = self.story
        if story.load is None:
            return
        share = story.load.share(self.number, wanted, since, until - EDGE_S)
        story.progress.now(
            f"canary · version {self.number} gave {share.hits} of {share.answers} answers"
            f" ({percent(share.measured)}){story.counted()}"
        )

    def end(self, row: ReleaseRow) -> Told:
        """What is kept of the release, its measured share told."""
        self.smoke_test()
        canary = None
        if self.canary is not None and self.story.load is not None:
            wanted, since, until = self.canary
            share = self.story.load.share(row.version, wanted, since, until - EDGE_S)
            canary = Canary.of(share)
            mark = "[green]✓[/]" if share.is_within else "[red]✗[/]"
            low, high = share.bounds
            self.story.progress.say(
                f"    {mark} while it got {percent(wanted)} of the traffic, version {row.version}"
                f" gave {share.hits} of {count(share.answers, 'answer')}:"
                f" {percent(share.measured)}, by chance {percent(low)} to {percent(high)}"
            )
        return Told(row, self.smoke, canary, self.alarm)


def leave_out_facets(folder: Path) -> None:
    """Without groups of people no bias is measured, which is another demo's matter."""
    path = folder / "model.yaml"
    document = yaml.safe_load(path.read_text("utf-8"))
    document.pop("facets", None)
    path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")


def client_rows(dataset: Dataset, settings: Settings) -> list[dict[str, Any]]:
    """Rows as clients send them: numbers as numbers, what is missing as nothing, no label."""
    table = dataset.tables[-1]
    names, rows = table.header.split(","), []
    for line in table.rows[LATER_ROWS : LATER_ROWS + 500] or table.rows[:500]:
        row: dict[str, Any] = {}
        for name, text in zip(names, line.split(","), strict=True):
            if name != settings.label:
                is_int = settings.data.column(name).type == "int"
                row[name] = None if text in settings.data.missing else int(text) if is_int else text
        rows.append(row)
    return rows
