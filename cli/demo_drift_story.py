"""The story of `demo-drift`: other people come, then the relation changes; the model follows."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.markup import escape

from cli.datasets import Dataset
from cli.demo_drift_stream import (
    FIRST_ROWS,
    LONGEST_WAIT_S,
    OLD,
    SCHOOLED,
    FirstChampion,
    Phase,
    phases,
)
from cli.demo_frame import DemoSummary
from cli.demo_release_story import leave_out_facets
from cli.demo_release_summary import gate_words
from cli.errors import CommandError
from cli.live import Progress
from cli.model_file import parse_sets, read_settings
from cli.output import duration
from cli.project import push_folder
from cli.session import Session

if TYPE_CHECKING:
    from perennial.aws.alarms import SeenAlarm
    from perennial.domain.ledger.monitor_rows import WindowRow
    from perennial.domain.ledger.rows import ModelRow, RunRow
    from perennial.domain.settings import Settings

T = TypeVar("T")

# The local cloud's clock goes so many times as fast while the story is told.
FACTOR = 60
WINDOW_S = 4
SETTINGS = {
    "triggers.quiet_period": "0s",
    "triggers.cool_down": "0s",
    "explain": "off",
    "data.sources": '{"landed": 1, "labelled-traffic": 1}',
    "data.window": '{"rows": 6000}',
    "gates": '{"auc": {"min": 0.7}, "champion": {"margin": 0.002}}',
    "release.approval": "policy",
    "release.endpoint.count": "1",
    "release.strategy": "all-at-once",
    "release.bake": "2m",
    "release.guard.period": "1m",
    "release.guard.evaluations": "1",
    "release.guard.latency_p99": "off",
    "release.smoke_test.latency_p99": "off",
    "release.smoke_test.rows": "20",
    "release.smoke_test.requests": "0",
    "monitor.data-quality.every": "1m",
    "monitor.data-quality.window": f"{WINDOW_S}s",
    "monitor.data-quality.delay": "2s",
    "monitor.model-quality.every": "1m",
    "monitor.model-quality.window": f"{WINDOW_S}s",
    "monitor.model-quality.delay": "3s",
    "monitor.model-quality.bounds": '{"accuracy": {"min": 0.7}}',
    # Windows of seconds would also add up to a run's price, and earlier versions be scored on
    # each; here only alarms are to call.
    "monitor.retrain.policy": "any-alarm",
    "monitor.retrain.earlier": "0",
}
PER_REQUEST = 200
POLL_S = 0.2
REASON = "reaches every gate on rows it never saw"


@dataclass
class DriftSummary(DemoSummary):
    """What was seen: the phases, the alarms that sounded by themselves, and runs with reasons."""

    phases: list[Phase] = field(default_factory=list)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)

    @property
    def objections(self) -> list[str]:
        """What was not as the story says."""
        found = []
        seen = [each["monitor"] for each in self.alarms]
        if seen != ["data-quality", "model-quality"]:
            found.append(f"the alarms that sounded were {seen}")
        if len(self.runs) != len(seen):
            found.append(f"there are {len(self.runs)} runs by {len(seen)} alarms")
        for run in self.runs:
            if not any("drift: " in line for line in run["because"]):
                found.append(f"run {run['number']} was not opened by a drift")
            if run["outcome"] != "won":
                found.append(f"run {run['number']} ended {run['outcome']}")
        if self.cleared != seen:
            found.append(f"the alarms that went back to OK were {self.cleared}")
        if self.phases and self.phases[-1].accuracy <= self.phases[-1].first_accuracy:
            found.append("in the end the first champion would have answered as well")
        return found

    def facts(self) -> dict[str, Any]:
        """The phases with their shares of right answers, the alarms and the runs."""
        return {
            "phases": [
                {
                    "name": each.name,
                    "rows": len(each.rows),
                    "versions": each.versions,
                    "accuracy": round(each.accuracy, 4),
                    "first_champion": round(each.first_accuracy, 4),
                }
                for each in self.phases
            ],
            "alarms": self.alarms,
            "runs": self.runs,
            "cleared": self.cleared,
        }


class DriftStory:
    """Tells it; every line is read from the stack's APIs, or counted at the client."""

    def __init__(
        self, session: Session, progress: Progress, dataset: Dataset, sets: tuple[str, ...]
    ) -> None:
        self.session = session
        self.progress = progress
        self.dataset = dataset
        self.sets = sets
        self.model = ""
        self.summary = DriftSummary("", dataset.source, dataset.genuine)
        self.first: FirstChampion | None = None
        self.settings: Settings | None = None

    def tell(self, name: str, project_copy: Callable[[str], Path]) -> DriftSummary:
        """Release a first version, let its traffic drift twice, and count."""
        self.model = self.summary.model = name
        self.push(project_copy(name))
        plan = phases(self.dataset, self.settings_now())
        self.first_champion()
        self.first = FirstChampion(self.session, self.model, plan)
        self.first.start()
        usual, drift, settled, changed, last = plan
        self.progress.say("\n[bold]Clients ask as ever[/]")
        self.send(usual, labelled=False)
        self.feature_chapter(drift, settled)
        self.relation_chapter(changed)
        self.last_chapter(last)
        self.first.finish()
        self.summary.phases = list(plan)
        return self.summary

    def push(self, folder: Path) -> None:
        """Publish the model with the demo's settings."""
        self.progress.say(f"\n[bold]The model[/] · [dim]models/census, pushed as {self.model}[/]")
        before = time.monotonic()
        leave_out_facets(folder)
        given = {pair.partition("=")[0] for pair in self.sets}
        ours = (f"{key}={value}" for key, value in SETTINGS.items() if key not in given)
        pairs = (*ours, *self.sets)
        pushed = push_folder(self.session, folder, pairs)
        self.settings = read_settings(folder, parse_sets(pairs))
        self.line("pushed", before, f"settings {pushed.version}, two monitors with their alarms")
        for words in (
            f"monitors data-quality and model-quality look at windows of {WINDOW_S} s",
            "runs learn from what landed and from labelled traffic, the newest 6,000 rows",
            f"[dim]for the demo only: the clock goes {FACTOR} times as fast, no quiet period,[/]",
            "[dim]one server, no explanations, no bias figures; only alarms ask for runs[/]",
        ):
            self.progress.say(f"    {words}")

    def settings_now(self) -> Settings:
        """The settings as pushed."""
        if self.settings is None:
            raise CommandError("The demo's model was not pushed.")
        return self.settings

    def first_champion(self) -> None:
        """Land the first rows, follow the run, approve its version, wait until it is live."""
        self.progress.say("\n[bold]A first version[/]")
        before = time.monotonic()
        from perennial.aws.objects import put_bytes  # noqa: PLC0415 - boto3 costs 0.2 s
        from perennial.domain.naming import landing_prefix  # noqa: PLC0415 - as above

        text = self.dataset.tables[0].text(0, FIRST_ROWS)
        bucket = self.session.ports.deployment.landing_bucket
        put_bytes(bucket, f"{landing_prefix(self.model)}adult-1.csv", text.encode())
        run = self.follow_run(0, before, f" with {FIRST_ROWS:,} landed rows")
        self.approve(run)
        self.until_live(1)

    def feature_chapter(self, phase: Phase, after: Phase) -> None:
        """Other people come, and nobody knows yet what is right: data quality notices."""
        self.progress.say(
            f"\n[bold]Only people of {OLD} and more ask now[/] · [dim]genuine rows; what is right"
            " becomes known later[/]"
        )
        ids = self.send(phase, labelled=False)
        self.until_alarm("data-quality")
        before = time.monotonic()
        self.until_captured(ids)
        self.label(ids, phase)
        self.line("labels", before, f"{len(phase.rows):,}, by perennial label: something to learn")
        self.retrained(before)
        self.send(after, labelled=False)
        self.until_cleared("data-quality", after)

    def relation_chapter(self, phase: Phase) -> None:
        """The same people, but what they earn follows another rule: model quality notices."""
        self.progress.say(
            f"\n[bold]The relation itself changes[/] · [dim]the same kind of people; the label of"
            f" those with {SCHOOLED} and more years of school is the other one[/]"
        )
        self.send(phase)
        self.until_alarm("model-quality")
        self.retrained(time.monotonic())

    def last_chapter(self, phase: Phase) -> None:
        """The new champion answers; the alarm goes back to OK by what the monitor sees."""
        self.progress.say("\n[bold]The new champion answers[/]")
        self.send(phase)
        self.until_cleared("model-quality", phase)

    def send(self, phase: Phase, *, labelled: bool = True) -> list[str]:
        """Ask for every row of a phase, count the right answers, and send the labels at once."""
        from perennial.aws.clients import client  # noqa: PLC0415 - boto3 costs 0.2 s

        before, runtime = time.monotonic(), client("sagemaker-runtime")
        endpoint, ids, versions = self.live_endpoint(), [], set()
        for start in range(0, len(phase.rows), PER_REQUEST):
            part = phase.rows[start : start + PER_REQUEST]
            ids.append(str(uuid.uuid4()))
            answer = runtime.invoke_endpoint(
                EndpointName=endpoint,
                ContentType="application/json",
                Body=json.dumps({"instances": [row.features for row in part]}),
                InferenceId=ids[-1],
            )
            document = json.loads(answer["Body"].read())
            versions.add(int(document["version"]))
            for row, each in zip(part, document["predictions"], strict=True):
                phase.answered += 1
                phase.right += each["prediction"] == row.label
            self.progress.now(f"{phase.answered:,} of {len(phase.rows):,} rows answered")
        phase.versions = sorted(versions)
        self.progress.quiet()
        who = ", ".join(map(str, phase.versions))
        self.line(
            "answered",
            before,
            f"{phase.answered:,} rows by version {who}: {phase.accuracy:.1%} right",
        )
        if labelled:
            self.label(ids, phase)
        return ids

    def label(self, ids: Sequence[str], phase: Phase) -> None:
        """Send what was right, as `perennial label` does."""
        from perennial.send_labels import send_labels  # noqa: PLC0415 - boto3 costs 0.2 s

        labels = [
            (name, tuple(row.label for row in phase.rows[start : start + PER_REQUEST]))
            for name, start in zip(ids, range(0, len(phase.rows), PER_REQUEST), strict=True)
        ]
        send_labels(self.session.ports, self.model, labels)

    def until_captured(self, ids: Sequence[str]) -> None:
        """Wait for the capture of all requests: a run that opens before learns from a part."""
        from perennial.aws.clients import client  # noqa: PLC0415 - boto3 costs 0.2 s
        from perennial.domain.sources import capture_prefix  # noqa: PLC0415 - goes with it

        s3, bucket = client("s3"), self.session.ports.deployment.artifact_bucket

        def captured() -> bool | None:
            listed = s3.list_objects_v2(Bucket=bucket, Prefix=capture_prefix(self.model))
            written = b"".join(
                s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
                for each in listed.get("Contents", ())
            )
            return all(name.encode() in written for name in ids) or None

        self.wait("the capture of all requests", captured)

    def until_alarm(self, kind: str) -> None:
        """Wait until a monitor's alarm sounds, and say what its monitor found."""
        from perennial.drift_evidence import last_finding  # noqa: PLC0415 - boto3 costs 0.2 s

        before = time.monotonic()
        seen = self.wait(f"the {kind} monitor looks", lambda: self.alarm(kind, "ALARM"))
        window = last_finding(self.session.ports, self.model, kind)
        found = window.words if window else ""
        self.progress.say(
            f"  [bold red]![/] [red]{escape(seen.name)} is in ALARM[/] · {escape(found)}"
        )
        # What follows says how many points such a change takes.
        self.progress.say(f"    [dim]CloudWatch: {escape(seen.reason.partition(' (min')[0])}[/]")
        self.line("noticed", before, "by its own metric; no other monitor's alarm sounds")
        others = [each for each in ("data-quality", "model-quality") if each != kind]
        sounding = [each for each in others if self.alarm(each, "ALARM") is not None]
        self.summary.alarms.append({"monitor": kind, "found": found, "reason": seen.reason})
        self.summary.alarms += [{"monitor": each, "found": "", "reason": ""} for each in sounding]

    def until_cleared(self, kind: str, phase: Phase) -> None:
        """Wait until a monitor has seen the version of a phase at work, and its alarm is OK."""
        from perennial.drift_evidence import last_finding  # noqa: PLC0415 - boto3 costs 0.2 s

        before, version = time.monotonic(), phase.versions[-1]

        def seen_well() -> WindowRow | None:
            window = last_finding(self.session.ports, self.model, kind)
            if window is None or window.version != version or window.violations:
                return None
            return window if self.alarm(kind, "OK") is not None else None

        window = self.wait(f"the {kind} monitor looks at version {version}", seen_well)
        self.summary.cleared.append(kind)
        self.line("back to OK", before, f"{window.rows:,} rows of version {version} broke no bound")

    def alarm(self, kind: str, state: str) -> SeenAlarm | None:
        """A monitor's alarm, if it is in this state."""
        from perennial.aws.alarms import see_alarms  # noqa: PLC0415 - boto3 costs 0.2 s
        from perennial.domain.naming import monitor_alarm  # noqa: PLC0415 - as above

        name = monitor_alarm(self.session.ports.deployment.stack, self.model, kind)
        return next((each for each in see_alarms([name]) if each.state == state), None)

    def retrained(self, before: float) -> None:
        """Follow the run that the alarm opens, and wait until its version is live."""
        last = len(self.summary.runs) + 1
        run = self.follow_run(last, before, "")
        self.summary.runs.append(
            {"number": run.number, "outcome": run.outcome, "because": list(run.because)}
        )
        if run.outcome == "won" and run.version is not None:
            self.until_live(run.version.number)

    def follow_run(self, last: int, before: float, words: str) -> RunRow:
        """Wait for the verdict of the run after `last`, and tell why it began and how it ended."""
        from perennial.describe_run import describe_run  # noqa: PLC0415 - boto3 costs 0.2 s
        from perennial.read_report import read_report  # noqa: PLC0415 - as above

        self.wait("a run opens", lambda: self.row().last_run > last or None)
        number = last + 1
        opened = describe_run(self.session.ports, self.model, number)
        for line in opened.because if last else ():
            self.progress.say(f"    run {number}, because of {escape(line)}")
        run = self.wait(
            f"run {number} trains and judges",
            lambda: (
                found
                if (found := describe_run(self.session.ports, self.model, number)).state == "ended"
                else None
            ),
        )
        if run.outcome != "won":
            why = run.ending.words if run.ending else run.error
            raise CommandError(
                f"Run {number} of {self.model} should have won, but {run.outcome}: {why}",
                f"Look at: perennial run show {self.model} {number}",
            )
        said = gate_words(read_report(self.session.ports, self.model, number))
        self.line("trained, judged", before, f"run {number} {run.outcome}{words}: {said}")
        return run

    def approve(self, run: RunRow) -> None:
        """New code needs a person, even by this policy: whoever runs the demo."""
        from perennial.approve_version import approve_version  # noqa: PLC0415 - boto3 costs 0.2 s

        if run.version is not None and run.version.status != "Approved":
            approve_version(
                self.session.ports, self.model, run.version.number, REASON, self.session.who
            )

    def until_live(self, version: int) -> None:
        """Wait until a version serves."""
        before = time.monotonic()

        def is_live() -> bool | None:
            live = self.row().live
            return True if live is not None and live.version == version else None

        self.wait(f"version {version} goes to production", is_live)
        self.line("live", before, f"{self.model} {version}, after its smoke test")

    def live_endpoint(self) -> str:
        """The endpoint that clients ask."""
        live = self.row().live
        if live is None:
            raise CommandError(f"No version of {self.model} is live.")
        return live.endpoint

    def row(self) -> ModelRow:
        """The model as the ledger knows it now."""
        from perennial.describe_model import known_model  # noqa: PLC0415 - boto3 costs 0.2 s

        return known_model(self.session.ports.ledger, self.model)

    def wait(self, words: str, look: Callable[[], T | None]) -> T:
        """Look until there is something."""
        began = time.monotonic()
        while (found := look()) is None:
            spent = time.monotonic() - began
            if spent > LONGEST_WAIT_S:
                raise CommandError(
                    f"Waited {LONGEST_WAIT_S} s in vain: {words}.",
                    f"Look at: perennial monitor list {self.model}; perennial why {self.model}",
                )
            self.progress.now(f"{words} {duration(spent)}")
            time.sleep(POLL_S)
        self.progress.quiet()
        return found

    def line(self, what: str, since: float, words: str = "") -> None:
        """One step that is done, with the time it took."""
        spent = duration(time.monotonic() - since)
        self.progress.say(f"  [green]✓[/] {what:<18} {spent:>8}  {escape(words)}")
