"""From a labelled window to scores of earlier versions, and to what the retrain policy does."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from perennial import end_scores as scoring
from perennial import propose_version, score_earlier
from perennial.aws import functions, jobs, registry
from perennial.describe_model import read_settings
from perennial.describe_monitors import read_windows
from perennial.describe_production import describe_production
from perennial.domain.errors import NotFound
from perennial.domain.ledger.monitor_rows import MonitorRow, WindowRow, monitor_key
from perennial.domain.ledger.rows import Champion, Live, RunRow, Verdict, Version, Wanted
from perennial.domain.ledger.store import change, create, drop
from perennial.domain.naming import parse_earlier_job
from perennial.end_monitor import end_monitor
from perennial.explain_wait import explain_wait
from perennial.look_after_monitors import look_after_monitors
from perennial.start_monitor import start_monitor
from perennial.tell_proposal import tell_proposal
from perennial.wiring import now_ms

from tests.unit.usecases.test_monitors import capture, put, queued
from tests.unit.world import DOCUMENT, MODEL, World

HOUR = 3_600_000
KIND = "model-quality"
#: A run costs more than all errors: the policy never asks for one.
DEAR = {"error_usd": 0.0001, "earlier": 2}
MONITOR: dict[str, Any] = {KIND: {"every": "1h", "delay": "5m"}}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What functions were told; and each version as the registry has it."""
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(functions, "tell", lambda _arn, event: said.append(dict(event)))

    def describe(arn: str) -> Any:
        number = arn.rpartition(":")[2]
        container = {
            "ModelDataUrl": f"s3://artifacts/models/{number}.tar.gz",
            "Environment": {"PERENNIAL_CODE": f"s3://artifacts/code/{number}.tar.gz"},
        }
        return SimpleNamespace(
            arn=arn,
            raw={"InferenceSpecification": {"Containers": [container]}},
            status="Rejected" if number == "3" else "Approved",
            metadata={"perennial:artifact_digest": f"digest-{number}"},
        )

    monkeypatch.setattr(registry, "describe_version", describe)
    return said


@pytest.fixture
def watched(world: World, told: list[dict[str, Any]]) -> World:
    """Version 2 is live for some hours; 1 was live before it, and 3 lost."""
    assert told == []
    # S3 has a clock of its own, and what it wrote before a window began is not read for it.
    world.clock.now_ms = now_ms() // HOUR * HOUR - 12 * HOUR
    world.outputs |= {
        "JobImage": "image",
        "JobRoleArn": "arn:aws:iam::123456789012:role/job",
        "MonitorDueFunctionArn": "due",
        "MonitoringEndedFunctionArn": "ended",
    }
    settings(world)
    since = world.clock.now_ms - 4 * HOUR
    live = Live("perennial-live-census", "c", 4, 2, "arn:2", since, run=2)
    row = change(
        world.model(),
        live=live,
        champion=Champion(2, "arn:2", "d", 2, 1, since),
        has_data=True,
        last_run=3,
        last_release=4,
    )
    world.ledger.commit([row, *map(drop, world.signals())])
    for number, back in ((1, 9), (2, 6), (3, 4)):
        at = world.clock.now_ms - back * HOUR
        status = "Rejected" if number == 3 else "Approved"
        made = RunRow(MODEL, number, 1, at, "ended", claimed_ms=at)
        fields: Any = {
            "version": Version(number, f"arn:{number}", status),
            "verdict": Verdict("u", "d", number != 3, paired=json.dumps({"usd": 5.0})),
        }
        world.ledger.commit([create(change(made, **fields).row)])
    world.wakes()
    put("runs/census/2/baselines/model_quality/constraints.json")
    return world


def settings(world: World, retrain: dict[str, Any] | None = None, **release: Any) -> None:
    """Push the model with these settings, as if all its runs had been made by them."""
    sections = {"release": {"endpoint": {"count": 2}, **release}, "retrain": retrain or DEAR}
    version = world.push(
        hashlib.sha256(json.dumps(sections).encode()).hexdigest(),
        release=sections["release"],
        monitor={**MONITOR, "retrain": sections["retrain"]},
        triggers={**DOCUMENT["triggers"], "quiet_period": "0s"},
    )
    world.ledger.commit([*map(drop, world.signals())])
    world.wakes()
    row = world.model()
    if row.champion is None:
        return
    world.ledger.commit([change(row, champion=replace(row.champion, settings=version))])
    for number in (1, 2, 3):
        world.ledger.commit([change(world.run(number), settings=version)])


def judge(world: World, accuracy: float = 0.6, labelled: int = 400, back: int = 3) -> WindowRow:
    """The window that began so many hours ago is judged; 0: the oldest one that is due."""
    for each in (back,) if back else range(1, 24):
        capture(world, back=each)
    started = start_monitor(world.ports, MODEL, KIND)
    assert started.window is not None, started
    report = {
        "version": 1,
        "rows": 400,
        "labelled_rows": labelled,
        "violations": [],
        "metrics": [{"name": "accuracy", "value": accuracy}],
    }
    put(f"{started.window.place}/report/report.json", json.dumps(report))
    end_monitor(world.ports, MODEL, KIND, started.window.job)
    return started.window


def answer(window: WindowRow, version: int, gain: float) -> None:
    """The job of a version leaves what it found."""
    found = {"version": 1, "rows": 400, "gain": gain, "spread": 0.5}
    put(f"{window.place}/earlier/{version}/pair.json", json.dumps(found))


def scored(world: World, back: int = 3, **gains: float) -> str:
    """One whole scoring of a window, by version `v1`, `v3`; 0 hours back: of the oldest one due."""
    window = judge(world, back=back)
    assert len(score_earlier.start_scores(world.ports, MODEL)) == 2
    for name, gain in gains.items():
        answer(window, int(name[1:]), gain)
    return scoring.end_scores(world.ports, MODEL)


def code_uri(world: World) -> str:
    """The newest code."""
    row = world.model()
    return read_settings(world.ledger, row).code


def head(world: World) -> MonitorRow:
    """The monitor's row."""
    row = world.ledger.get(monitor_key(MODEL, KIND))
    assert isinstance(row, MonitorRow)
    return row


def test_earlier_versions_are_scored_on_the_window_s_rows(
    watched: World, told: list[dict[str, Any]]
) -> None:
    """Each by its own code and settings, in a job of its own, on rows that the monitor's job keeps;
    what they lost or gained stands on the window, and nothing is scored twice."""
    window = judge(watched)
    assert [(each.version, each.run) for each in window.earlier] == [(3, 3), (1, 1)]
    asked = jobs.describe_processing_job(window.job)
    (rows,) = [
        each["S3Output"]["S3Uri"]
        for each in asked["ProcessingOutputConfig"]["Outputs"]
        if each["OutputName"] == "rows"
    ]
    assert {"perennial": "earlier", "model": MODEL, "monitor": KIND} in told
    first, second = started = score_earlier.start_scores(watched.ports, MODEL)
    assert [parse_earlier_job(each, "perennial") for each in started] == [MODEL, MODEL]
    assert score_earlier.start_scores(watched.ports, MODEL) == ()
    for job, number in ((first, 3), (second, 1)):
        inputs = {
            each["InputName"]: each["S3Input"]["S3Uri"]
            for each in jobs.describe_processing_job(job)["ProcessingInputs"]
        }
        assert inputs == {
            "code": f"s3://artifacts/code/{number}.tar.gz",
            "newest": code_uri(watched),
            "settings": f"s3://artifacts/runs/census/{number}/settings.json",
            "check": "s3://artifacts/runs/census/2/check/",
            "model": f"s3://artifacts/models/{number}.tar.gz",
            "holdout": f"{rows}/",
        }
    answer(window, 3, -0.1)
    answer(window, 1, 0.01)
    assert scoring.end_scores(watched.ports, MODEL) == "scored"
    (kept,) = read_windows(watched.ports, MODEL, KIND)
    assert [(each.gain, each.spread) for each in kept.earlier] == [("-0.1", "0.5"), ("0.01", "0.5")]
    assert scoring.end_scores(watched.ports, MODEL) == "none"
    assert head(watched).proposal is None


def test_what_is_scored_is_what_the_policy_learns_from(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision is taken once the scores are known, by the others' errors beside the live
    one's; before that, none is."""
    seen: list[Any] = []
    real = scoring.weigh_training
    monkeypatch.setattr("perennial.record_window.weigh_training", lambda *_: seen.append("early"))

    def weigh(*given: Any) -> Any:
        decision = real(*given)
        seen.append(decision.code)
        return decision

    monkeypatch.setattr(scoring, "weigh_training", weigh)
    assert scored(watched, v3=0.2, v1=-0.1) == "proposed"
    assert seen == ["not-yet"]
    row = watched.model()
    found = propose_version.history_of(
        watched.ports,
        row,
        propose_version.read_settings_of(watched.ledger, row),
        propose_version.runs_of(watched.ports, row),
    )
    assert found is not None
    (window,) = found.windows
    at = {number: watched.run(number).claimed_ms for number in (1, 2, 3)}
    errors = {number: window.error_of(at[number] or 0) for number in at}
    assert errors == {1: pytest.approx(0.5), 2: pytest.approx(0.4), 3: pytest.approx(0.2)}


def test_people_are_told_of_a_version_that_does_better(watched: World) -> None:
    """With the evidence and the commands; once, and `why` says so too. One that no gate let pass
    is approved by a person first."""
    assert scored(watched, v3=0.2, v1=0.1) == "proposed"
    found = head(watched).proposal
    assert found is not None
    assert (found.version, found.release) == (3, 4)
    assert found.words.startswith("version 3 errs 0.2 less than version 2, which is live, on 400")
    assert watched.model().waiting is None
    assert tell_proposal(watched.ports, watched.model())
    assert not tell_proposal(watched.ports, watched.model())
    (notice,) = watched.inbox()
    assert notice["Subject"] == "census: version 3 does better than the live one"
    assert "a person decides: version 3 is Rejected, not Approved" in notice["Message"]
    assert "perennial approve census 3" in notice["Message"]
    assert "perennial release census --version 3" in notice["Message"]
    told = explain_wait(watched.ports, MODEL).releases
    assert told == describe_production(watched.ports, MODEL).waits
    assert told[0].startswith(found.words)


@pytest.mark.parametrize(
    ("release", "objection"),
    [
        ({"approval": "policy"}, ""),
        ({"approval": "person"}, "release.approval is person"),
    ],
)
def test_a_release_is_asked_for_where_nobody_has_to_decide(
    watched: World, release: dict[str, Any], objection: str
) -> None:
    """The wish is that of a person's `perennial release`, by the policy's name, with the
    evidence; the sweeper opens it under the usual guards."""
    settings(watched, **release)
    assert scored(watched, v3=-0.1, v1=0.2) == "proposed"
    found = head(watched).proposal
    assert found is not None
    assert (found.version, found.objection) == (1, objection)
    waiting = watched.model().waiting
    if objection:
        assert waiting is None
        return
    assert waiting == Wanted(
        kind="again",
        version=1,
        arn="arn:1",
        decided_ms=watched.clock.now_ms,
        run=1,
        settings=watched.run(1).settings,
        digest="digest-1",
        by="the retrain policy",
        because=found.words,
    )
    assert describe_production(watched.ports, MODEL).waits[-1].endswith("by the retrain policy")


def test_other_code_is_left_to_a_person(watched: World) -> None:
    """As for a candidate: unless the settings say that the policy may approve changes of code."""
    settings(watched, approval="policy")
    run = watched.run(1)
    watched.ledger.commit([change(run, settings=run.settings - 1)])
    assert scored(watched, v3=-0.1, v1=0.2) == "proposed"
    found = head(watched).proposal
    assert found is not None
    assert "its code (settings 1) is not the champion's (settings 2)" in found.objection


def test_a_relation_that_goes_and_comes_back(watched: World) -> None:
    """Hour by hour: the old version becomes the better one and is asked for; once it is live
    nothing flaps on what brought it there; when the relation turns, the other one is."""
    settings(watched, approval="policy")

    def hour(said: str, **gains: float) -> None:
        watched.clock.now_ms += HOUR
        assert scored(watched, back=0, **gains) == said

    def release(number: int, version: int) -> None:
        """What was asked for went live an hour ago."""
        row = watched.model()
        assert row.waiting is not None
        assert row.waiting.version == version
        since = watched.clock.now_ms - HOUR
        live = Live("perennial-live-census", "c", number, version, f"arn:{version}", since, version)
        watched.ledger.commit([change(row, waiting=None, live=live, last_release=number)])
        put(f"runs/census/{version}/baselines/model_quality/constraints.json")

    hour("scored", v3=-0.1, v1=-0.2)  # what is live does best
    hour("scored", v3=-0.1, v1=0.05)  # better once, and by chance
    hour("proposed", v3=-0.1, v1=0.25)
    hour("scored", v3=-0.1, v1=0.25)  # its release is on its way
    release(5, version=1)
    hour("scored", v3=-0.3, v2=-0.25)
    hour("scored", v3=-0.3, v2=-0.25)
    hour("scored", v3=-0.3, v2=0.1)
    hour("proposed", v3=-0.1, v2=0.3)
    assert describe_production(watched.ports, MODEL).waits[-1].startswith("version 2 errs")
    release(6, version=2)
    hour("scored", v3=-0.1, v1=-0.3)


def test_what_newer_windows_do_not_say_is_dropped(watched: World) -> None:
    """A proposal to people rests on the newest windows; a difference by chance is none."""
    assert scored(watched, v3=0.2, v1=0.1) == "proposed"
    window = judge(watched, back=2)
    score_earlier.start_scores(watched.ports, MODEL)
    for version in (1, 3):
        answer(window, version, -0.3)
    assert scoring.end_scores(watched.ports, MODEL) == "scored"
    assert head(watched).proposal is None


def test_a_job_that_failed_is_a_note_on_its_window(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The monitor has not failed for it, and the other version's score counts."""
    window = judge(watched)
    first, _second = score_earlier.start_scores(watched.ports, MODEL)
    answer(window, 1, 0.01)
    real = jobs.describe_processing_job

    def failed(name: str) -> Any:
        reason = {"ProcessingJobStatus": "Failed", "FailureReason": "OtherSchema: it needs x"}
        return {**real(name), **(reason if name == first else {})}

    monkeypatch.setattr(jobs, "describe_processing_job", failed)
    assert scoring.end_scores(watched.ports, MODEL) == "scored"
    (kept,) = read_windows(watched.ports, MODEL, KIND)
    assert kept.state == "done"
    assert kept.earlier[0].words == f"{first} failed: OtherSchema: it needs x"
    assert kept.earlier[1].gain == "0.01"


@pytest.mark.parametrize("left", ["[]", '{"gain": null, "spread": 1}', "{"])
def test_figures_that_are_none_are_a_note_too(watched: World, left: str) -> None:
    """A job that ended well and left nonsense has found nothing."""
    window = judge(watched)
    score_earlier.start_scores(watched.ports, MODEL)
    for version in (1, 3):
        put(f"{window.place}/earlier/{version}/pair.json", left)
    assert scoring.end_scores(watched.ports, MODEL) == "scored"
    (kept,) = read_windows(watched.ports, MODEL, KIND)
    assert all("left no figures" in each.words for each in kept.earlier)


def test_a_version_that_is_gone_is_noted_and_the_rest_goes_on(
    watched: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deleted it from the registry; nothing waits for it."""
    window = judge(watched)
    real = registry.describe_version

    def gone(arn: str) -> Any:
        if arn == "arn:3":
            raise NotFound("no such package")
        return real(arn)

    monkeypatch.setattr(registry, "describe_version", gone)
    assert len(score_earlier.start_scores(watched.ports, MODEL)) == 1
    answer(window, 1, 0.0)
    assert scoring.end_scores(watched.ports, MODEL) == "scored"
    (kept,) = read_windows(watched.ports, MODEL, KIND)
    assert kept.earlier[0].words == "it cannot be scored: no such package"


@pytest.mark.parametrize("at", ["tell", "start", "note", "weigh", "finish"])
def test_whoever_dies_is_made_up_for(
    watched: World, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """Wherever a function dies, the sweeper's next look takes the scoring to its end, once."""
    places = {
        "tell": (functions, "tell"),
        "start": (jobs, "start_processing_job"),
        "note": (score_earlier.earlier, "note_scores"),
        "weigh": (scoring, "weigh_training"),
        "finish": (scoring, "finish_scoring"),
    }

    module, name = places[at]
    window = start_of(watched)
    with monkeypatch.context() as broken:
        broken.setattr(module, name, lambda *_given, **_named: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            go_on(watched, window.job)
    asked = look_after_monitors(watched.ports, watched.model())
    assert KIND in asked
    for _ in range(3):
        go_on(watched)
    assert head(watched).scoring_ms is None
    assert head(watched).proposal is not None
    (kept,) = read_windows(watched.ports, MODEL, KIND)
    assert [each.gain for each in kept.earlier] == ["0.2", "0.1"]


def go_on(world: World, job: str = "") -> None:
    """What the functions do that are asked after a monitor's job, or by the sweeper."""
    end_monitor(world.ports, MODEL, KIND, job)
    score_earlier.start_scores(world.ports, MODEL)
    scoring.end_scores(world.ports, MODEL)


def start_of(world: World) -> WindowRow:
    """A window whose job is over, with the scores that are to be."""
    capture(world, back=3)
    started = start_monitor(world.ports, MODEL, KIND)
    assert started.window is not None
    figures = [{"name": "accuracy", "value": 0.6}]
    report = {"version": 1, "rows": 400, "labelled_rows": 400, "violations": [], "metrics": figures}
    put(f"{started.window.place}/report/report.json", json.dumps(report))
    answer(started.window, 3, 0.2)
    answer(started.window, 1, 0.1)
    return started.window


def test_by_default_one_version_has_its_turn(watched: World) -> None:
    """Another one on the next window, unless the first did better: then it is looked at again."""
    settings(watched, {"error_usd": 0.0001})
    seen = []
    for back, gain in ((4, -0.1), (3, 0.01), (2, 0.01)):
        window = judge(watched, back=back)
        (each,) = window.earlier
        seen.append(each.version)
        score_earlier.start_scores(watched.ports, MODEL)
        answer(window, each.version, gain)
        assert scoring.end_scores(watched.ports, MODEL) == "scored"
    first, second, third = seen
    assert first != second == third


def test_off_is_off(watched: World) -> None:
    """With `earlier: 0` no rows are kept, no job is started, and the policy decides at once."""
    settings(watched, {"earlier": 0})
    window = judge(watched)
    assert window.earlier == ()
    assert head(watched).scoring_ms is None
    assert score_earlier.start_scores(watched.ports, MODEL) == ()
    assert [each["schedule"] for each in queued(watched) if "schedule" in each] == []


def test_without_labels_there_is_nothing_to_score(watched: World) -> None:
    """The window is closed, and the next one is not kept waiting."""
    judge(watched, labelled=0)
    assert head(watched).scoring_ms is None


def test_versions_that_answer_another_question_are_left_out(watched: World) -> None:
    """With another positive class there are no figures that could be compared; nor with settings
    that are gone."""
    other = "<=50K" if DOCUMENT.get("positive") != "<=50K" else ">50K"
    version = watched.push("c" * 64, positive=other)
    watched.ledger.commit([*map(drop, watched.signals())])
    settings(watched)
    watched.ledger.commit([change(watched.run(3), settings=version)])
    assert [each.version for each in judge(watched).earlier] == [1]
    watched.ledger.commit([change(watched.run(1), settings=99)])
    assert judge(watched, back=2).earlier == ()
