"""Each handler with its golden event, and its failing path."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from perennial import wiring
from perennial.aws import registry
from perennial.domain.errors import NotClaimed, NotFound, Rejected, SettingMissing
from perennial.domain.ledger.rows import Live, Verdict, Version
from perennial.domain.ledger.store import change
from perennial.list_releases import known_release
from perennial.record_verdict import record_verdict
from perennial.record_version import record_version

from tests.unit.domain import verdict_builders as build
from tests.unit.usecases.test_ab_tests import ALARM, run_test, sound, weights
from tests.unit.world import DOCUMENT, MODEL, World, new_world

ROOT = Path(__file__).resolve().parents[3]
HANDLERS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
VARIABLES = {
    "STACK_NAME": "StackName",
    "STACK_TOKEN": "StackToken",
    "LEDGER_TABLE": "LedgerTable",
    "LANDING_BUCKET": "LandingBucket",
    "ARTIFACT_BUCKET": "ArtifactBucket",
    "SIGNAL_QUEUE_URL": "SignalQueueUrl",
    "RETRAIN_MACHINE_ARN": "RetrainMachineArn",
    "NOTICES_TOPIC_ARN": "NoticesTopicArn",
    "RELEASE_MACHINE_ARN": "ReleaseMachineArn",
}

# The functions read the real clock: nothing waits for the quiet period here.
AT_ONCE = {**DOCUMENT["triggers"], "quiet_period": "0s"}


def golden(name: str) -> dict[str, Any]:
    """One committed payload."""
    found: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text("utf-8"))
    return found


def batch(*bodies: str) -> dict[str, Any]:
    """What Lambda hands over from a queue."""
    return {
        "Records": [
            {"messageId": f"m{number}", "body": body, "eventSource": "aws:sqs"}
            for number, body in enumerate(bodies)
        ]
    }


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A stack whose names are in the environment, as template.yaml puts them there."""
    with new_world() as made:
        for variable, output in VARIABLES.items():
            monkeypatch.setenv(variable, made.outputs[output])
        monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Perennial")
        monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "perennial")
        made.clock.now_ms = wiring.now_ms()
        yield made


def metrics(printed: str) -> dict[str, float]:
    """The counts in what a handler printed, each under {stack} and {stack, model}."""
    found: dict[str, float] = {}
    for line in printed.splitlines():
        document = json.loads(line) if line.startswith("{") else {}
        if "_aws" in document:
            (directive,) = document["_aws"]["CloudWatchMetrics"]
            assert directive["Namespace"] == "Perennial"
            assert directive["Dimensions"] == [["stack"], ["stack", "model"]]
            (metric,) = directive["Metrics"]
            found[metric["Name"]] = found.get(metric["Name"], 0) + document[metric["Name"]][0]
    return found


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The log lines of a handler with their fields."""
    return [{**vars(record), "message": record.getMessage()} for record in caplog.records]


@pytest.fixture(autouse=True)
def _every_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


def test_the_handlers_import_without_any_setting() -> None:
    """The environment is read by the first event, so a missing name is an error that is logged."""
    path = [str(ROOT), str(ROOT / "layers" / "core")]
    code = f"import sys, importlib; sys.path[:0] = {path!r}\n" + "\n".join(
        f"assert callable(importlib.import_module('functions.{name}.app').handler)"
        for name in HANDLERS
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env={},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(HANDLERS) >= 7


@pytest.mark.parametrize("name", ["on_signal", "on_sweep_due", "check_claim"])
def test_a_missing_setting_is_named(
    name: str, handler: Callable[[str], Any], context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which variable, and where it should come from."""
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    event = {"check_claim": golden("check_claim"), "on_signal": batch(json.dumps(golden("wake")))}
    with pytest.raises(SettingMissing, match="is not set"):
        handler(name)(event.get(name, {}), context)


def test_on_signal_admits_a_batch_and_opens_one_run(
    world: World,
    handler: Callable[[str], Any],
    context: Any,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The golden object event beside real ones; what it did is logged and counted."""
    world.push(triggers=AT_ONCE)
    event = batch(world.land("a+b %41.csv"), world.land("2.csv"), json.dumps(golden("wake")))
    assert handler("on_signal")(event, context) == {"batchItemFailures": []}
    printed = capsys.readouterr().out
    assert metrics(printed) == {"SignalsAdmitted": 2, "RunsOpened": 1, "RunsStarted": 1}
    told = [line for line in lines(caplog) if line["message"] == "signal"]
    assert [(line["model"], line["decision"]) for line in told] == [(MODEL, "new")] * 2
    assert all(len(line["signal"]) == 64 for line in told)
    assert world.executions() == ["perennial-census-1"]


@pytest.mark.parametrize(
    "name", ["s3_object_created", "schedule", "manual", "alarm_state_change", "review", "code"]
)
def test_on_signal_takes_every_golden_signal(
    name: str, world: World, handler: Callable[[str], Any], context: Any
) -> None:
    """Every shape is acknowledged, twice, and counts at most once."""
    world.push(triggers=AT_ONCE)
    body = json.dumps(golden(name))
    handle = handler("on_signal")
    assert handle(batch(body, body), context) == {"batchItemFailures": []}
    before = len(world.signals())
    assert handle(batch(body), context) == {"batchItemFailures": []}
    assert len(world.signals()) == before


def test_the_golden_object_is_selected_by_the_census_models_own_settings(
    world: World, handler: Callable[[str], Any], context: Any
) -> None:
    """Patterns fit the key below incoming/<model>/, as model.yaml means them."""
    document = yaml.safe_load((ROOT / "models" / "census" / "model.yaml").read_text("utf-8"))
    world.push(**document)
    body = json.dumps(golden("s3_object_created"))
    assert handler("on_signal")(batch(body), context) == {"batchItemFailures": []}
    admitted = [row for row in world.signals() if row.kind == "data"]
    key = golden("s3_object_created")["detail"]["object"]["key"]
    assert [row.parts[1] for row in admitted] == [key]


def test_on_signal_fails_poison_alone(
    world: World, handler: Callable[[str], Any], context: Any
) -> None:
    """The good ones beside it are done; poison comes back until its dead-letter queue takes it."""
    world.push(triggers=AT_ONCE)
    poison = ["{", "[]", '{"perennial":"nonsense"}', '{"source":"aws.s3"}']
    failed = handler("on_signal")(batch(*poison, world.land("1.csv")), context)
    assert [each["itemIdentifier"] for each in failed["batchItemFailures"]] == [
        "m0",
        "m1",
        "m2",
        "m3",
    ]
    assert world.executions() == ["perennial-census-1"]


def test_on_prediction_captured_writes_a_batch_and_fails_poison_alone(
    world: World, handler: Callable[[str], Any], context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The golden message twice is one file of two lines; what it did is counted."""
    world.push()
    body = json.dumps(golden("captured_prediction"))
    failed = handler("on_prediction_captured")(batch(body, "{", body), context)
    assert failed == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert metrics(capsys.readouterr().out) == {"CapturesWritten": 2}
    listed = boto3.client("s3").list_objects_v2(Bucket="artifacts", Prefix="capture/")
    assert len(listed["Contents"]) == 1


def test_on_signal_fails_the_messages_of_a_model_it_could_not_look_after(
    world: World, handler: Callable[[str], Any], context: Any
) -> None:
    """They come back, and then the run opens: admission counts them once."""
    world.push(triggers=AT_ONCE)
    bodies = [world.land("1.csv"), world.land("2.csv", model="unknown")]
    boto3.client("s3").put_bucket_versioning(
        Bucket="artifacts", VersioningConfiguration={"Status": "Enabled"}
    )
    machine = world.outputs["RetrainMachineArn"]
    wiring.ports.cache_clear()
    handle = handler("on_signal")
    broken = wiring.ports()
    object.__setattr__(broken.machine, "arn", machine + "-gone")
    failed = handle(batch(*bodies), context)
    assert [each["itemIdentifier"] for each in failed["batchItemFailures"]] == ["m0"]
    object.__setattr__(broken.machine, "arn", machine)
    assert handle(batch(*bodies), context) == {"batchItemFailures": []}
    assert world.executions() == ["perennial-census-1"]


def ended_event(world: World, arn: str) -> dict[str, Any]:
    """The golden status event, of a run of this world."""
    event = golden("step_functions_execution_status_change")
    event["detail"]["executionArn"] = arn
    return event


def test_on_run_ended_settles_and_counts(
    world: World, handler: Callable[[str], Any], context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, although the event comes twice."""
    world.push(triggers=AT_ONCE)
    world.deliver(world.land("1.csv"))
    event = ended_event(world, world.win(1))
    handle = handler("on_run_ended")
    handle(event, context)
    assert metrics(capsys.readouterr().out) == {"RunsEnded": 1, "RunsWon": 1}
    handle(event, context)
    assert metrics(capsys.readouterr().out) == {}
    assert world.model().open_run is None


def test_on_run_ended_leaves_what_is_not_ours(
    world: World, handler: Callable[[str], Any], context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The golden execution of another account is logged, and nothing else."""
    handler("on_run_ended")(golden("step_functions_execution_status_change"), context)
    (line,) = lines(caplog)
    assert line["decision"] == "not ours"


def test_on_sweep_due_tells_what_it_did(
    world: World,
    handler: Callable[[str], Any],
    context: Any,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line a model, and the same counts as if the events had come."""
    world.land("1.csv")
    world.push(triggers=AT_ONCE)
    handler("on_sweep_due")({}, context)
    printed = capsys.readouterr().out
    assert metrics(printed) == {"SignalsAdmitted": 1, "RunsOpened": 1, "RunsStarted": 1}
    (line,) = lines(caplog)
    assert (line["model"], line["admitted"], line["finished"]) == (MODEL, 1, True)


@pytest.mark.parametrize(
    "event",
    [
        golden("sweep"),
        # What Scheduler sends where nobody gave it an input: its detail is a text.
        {"detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}"},
    ],
    ids=["our input", "Scheduler's own"],
)
def test_on_sweep_due_sweeps_at_what_the_scheduler_sends(
    event: dict[str, Any],
    world: World,
    handler: Callable[[str], Any],
    context: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The pass itself, whichever of the two comes."""
    world.land("1.csv")
    world.push(triggers=AT_ONCE)
    handler("on_sweep_due")(event, context)
    assert metrics(capsys.readouterr().out)["SignalsAdmitted"] == 1


def test_on_sweep_due_counts_a_model_that_failed(
    world: World, handler: Callable[[str], Any], context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model whose bucket is gone is logged as an error and counted for the alarm."""
    world.push(triggers=AT_ONCE)
    boto3.client("s3").delete_bucket(Bucket="landing")
    handler("on_sweep_due")({}, context)
    assert metrics(capsys.readouterr().out) == {"SweepsFailed": 1}


def test_on_sweep_due_heeds_a_challengers_alarm(
    world: World, handler: Callable[[str], Any], context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """By its event at once; alarms that guard a release, or of another stack, change nothing."""
    run_test(world)
    sound()
    event = golden("alarm_state_change")
    handle = handler("on_sweep_due")
    for name in (f"perennial-guard-{MODEL}-r1-errors", f"other-guard-{MODEL}-ab1-errors"):
        event["detail"]["alarmName"] = name
        handle(event, context)
        assert weights() == {"main": 0.8, "challenger": 0.2}
    event["detail"]["alarmName"] = ALARM
    caplog.clear()
    handle(event, context)
    assert weights() == {"main": 1.0, "challenger": 0.0}
    (line,) = lines(caplog)
    assert (line["model"], line["ab"]) == (MODEL, "the challenger gets 0% of the traffic")


def test_check_claim_lets_only_the_runs_execution_pass(
    world: World, handler: Callable[[str], Any], context: Any
) -> None:
    """The error's class is what the machine's Catch names."""
    world.push(triggers=AT_ONCE)
    world.deliver(world.land("1.csv"))
    event = {**golden("check_claim"), "execution": world.run(1).execution}
    assert handler("check_claim")(event, context) == {}
    with pytest.raises(NotClaimed):
        handler("check_claim")({**event, "execution": event["execution"] + "-again"}, context)


def of_first_run(name: str, world: World) -> dict[str, Any]:
    """A golden event of run 12, told of the first run of this world: its names and its input."""
    text = (
        json.dumps(golden(name)).replace("census/12", "census/1").replace("census-12", "census-1")
    )
    row = world.run(1)
    given = json.loads(row.input)
    of_row = {key: given[key] for key in ("manifest", "settings_uri", "code", "code_sha", "base")}
    event = {**json.loads(text), "run": 1, "execution": row.execution, **of_row}
    return {key: event[key] for key in golden(name)}


def packed(name: str) -> bytes:
    """An archive with one empty file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


def put_artifact(uri: str, body: bytes) -> None:
    """Write what a golden event says lies there."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body)


def test_plan_run_answers_what_the_machine_asks_for(
    world: World, handler: Callable[[str], Any], context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A first run does every step but the comparison; a second attempt answers the same."""
    world.push(triggers=AT_ONCE)
    world.deliver(world.land("1.csv"))
    event = of_first_run("plan_run", world)
    put_artifact(json.loads(world.run(1).input)["code"], packed("project/model.py"))
    answer = handler("plan_run")(event, context)
    assert json.loads(json.dumps(answer)) == answer
    assert set(answer) == set(golden("judge_candidate")["plan"])
    assert answer["champion"]["words"] == "there is no champion yet"
    assert set(answer["champion"]) >= set(golden("judge_candidate")["plan"]["champion"])
    assert [step for step, wanted in answer["do"].items() if not wanted] == [
        "evaluate_champion",
        "compare",
        "measure_bias",
    ]
    assert answer["training"]["algorithm"]["TrainingImage"] == event["image"]
    assert handler("plan_run")(event, context) == answer
    (line, _) = (line for line in lines(caplog) if line["message"] == "planned")
    assert (line["model"], line["run"], line["reused"]) == (MODEL, 1, [])
    with pytest.raises(NotClaimed):
        handler("plan_run")({**event, "execution": event["execution"] + "-again"}, context)


def test_judge_candidate_judges_what_the_jobs_left(
    world: World, handler: Callable[[str], Any], context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The golden event, its files in S3: a verdict that the next states can use."""
    world.push(triggers=AT_ONCE, code_sha=hashlib.sha256(b"code").hexdigest(), explain="off")
    world.deliver(world.land("1.csv"))
    event = of_first_run("judge_candidate", world)
    put_artifact(event["code"], b"code")
    put_artifact(event["plan"]["done"]["train"]["artifact"], b"model")
    for path, document in (
        ("evaluation/evaluation.json", build.evaluation()),
        ("comparison/comparison.json", build.comparison()),
        ("bias/analysis.json", build.bias()),
        ("explanations/analysis.json", build.explanations()),
        ("check/report.json", build.report()),
    ):
        put_artifact(f"{event['base']}/{path}", json.dumps(document).encode())
    answer = handler("judge_candidate")(event, context)
    assert set(answer) == {"passed", "uri", "digest", "words", "artifact"}
    assert answer["uri"] == f"{event['base']}/verdict/verdict.json"
    assert answer["artifact"] == event["plan"]["done"]["train"]["artifact"]
    row = world.run(1).verdict
    assert row is not None
    assert (row.uri, row.digest, row.passed) == (answer["uri"], answer["digest"], answer["passed"])
    (line,) = (line for line in lines(caplog) if line["message"] == "judged")
    assert line["verdict"] == answer["words"]
    assert handler("judge_candidate")(event, context) == answer


def test_judge_candidate_refuses_what_is_no_evaluation(
    world: World, handler: Callable[[str], Any], context: Any
) -> None:
    """The error's class is what the machine tells a person; no verdict is recorded."""
    world.push(triggers=AT_ONCE, code_sha=hashlib.sha256(b"code").hexdigest())
    world.deliver(world.land("1.csv"))
    event = of_first_run("judge_candidate", world)
    put_artifact(event["code"], b"code")
    put_artifact(f"{event['base']}/evaluation/evaluation.json", b"{")
    with pytest.raises(Rejected, match="is no evaluation"):
        handler("judge_candidate")(event, context)
    assert world.run(1).verdict is None


def test_approve_candidate_and_on_version_approved_make_a_champion(
    world: World, handler: Callable[[str], Any], context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The machine's step approves; the registry's event records."""
    world.push(release={"approval": "policy", "approve_code_changes": True})
    world.deliver(world.land("1.csv"))
    arn = registry.create_version(
        {
            "ModelPackageGroupName": f"perennial-{MODEL}",
            "ModelApprovalStatus": registry.PENDING,
        }
    )
    record_verdict(world.ports, MODEL, 1, None, Verdict("s3://a/b", "d", True, "words"))
    record_version(world.ports, MODEL, 1, None, Version(1, arn, "PendingManualApproval"))
    answer = handler("approve_candidate")({**golden("approve_candidate"), "arn": arn}, context)
    assert answer == {"approved": True, "words": "approved by policy: words"}
    capsys.readouterr()
    event = golden("sagemaker_model_package_state_change")
    for expected in ({"ChampionsRecorded": 1.0}, {}):
        handler("on_version_approved")(event, context)
        assert metrics(capsys.readouterr().out) == expected
    champion = world.model().champion
    assert champion is not None
    assert (champion.version, champion.since_ms) == (1, 1_795_171_529_000)


def approved_for_release(
    world: World, handler: Callable[[str], Any], context: Any, **endpoint: Any
) -> str:
    """Let the golden approval be of a model that is served; the execution that it starts."""
    world.push(release={"endpoint": endpoint})
    world.deliver(world.land("1.csv"))
    container = {
        "Image": "image",
        "ModelDataUrl": "s3://artifacts/models/model.tar.gz",
        "Environment": {
            "PERENNIAL_CODE": "s3://artifacts/code/c.tar.gz",
            "PERENNIAL_MODEL_SHA256": hashlib.sha256(b"a model").hexdigest(),
        },
    }
    arn = registry.create_version(
        {
            "ModelPackageGroupName": f"perennial-{MODEL}",
            "ModelApprovalStatus": registry.APPROVED,
            "InferenceSpecification": {
                "Containers": [container],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        }
    )
    record_version(world.ports, MODEL, 1, None, Version(1, arn, registry.APPROVED))
    handler("on_version_approved")(golden("sagemaker_model_package_state_change"), context)
    return str(known_release(world.ports, MODEL, 1).execution)


def test_on_version_approved_opens_a_release_of_a_served_model(
    world: World, handler: Callable[[str], Any], context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once; nobody is champion until production says so."""
    approved_for_release(world, handler, context)
    assert metrics(capsys.readouterr().out) == {"ReleasesOpened": 1, "ReleasesStarted": 1}
    handler("on_version_approved")(golden("sagemaker_model_package_state_change"), context)
    assert metrics(capsys.readouterr().out) == {}
    assert (world.model().open_release, world.model().champion) == (1, None)


def test_on_release_ended_settles_and_counts(
    world: World, handler: Callable[[str], Any], context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, although the event comes twice; an execution that goes on is left alone."""
    execution = approved_for_release(world, handler, context)
    event = golden("step_functions_execution_status_change")
    event["detail"]["executionArn"] = execution
    capsys.readouterr()
    handle = handler("on_release_ended")
    handle(event, context)
    assert metrics(capsys.readouterr().out) == {}
    assert known_release(world.ports, MODEL, 1).state == "started"
    boto3.client("stepfunctions").stop_execution(executionArn=execution)
    handle(event, context)
    assert metrics(capsys.readouterr().out) == {"ReleasesEnded": 1, "ReleasesStopped": 1}
    handle(event, context)
    assert metrics(capsys.readouterr().out) == {}
    assert world.model().open_release is None


def test_on_release_ended_leaves_what_is_not_ours(
    world: World, handler: Callable[[str], Any], context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """An execution that no release of the ledger has is logged, and nothing else."""
    handler("on_release_ended")(golden("step_functions_execution_status_change"), context)
    (line,) = lines(caplog)
    assert line["decision"] == "not ours"


def test_the_sweeper_ends_a_release_whose_event_was_lost(
    world: World, handler: Callable[[str], Any], context: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the same counts as if it had come."""
    execution = approved_for_release(world, handler, context)
    boto3.client("stepfunctions").stop_execution(executionArn=execution)
    capsys.readouterr()
    handler("on_sweep_due")({}, context)
    found = metrics(capsys.readouterr().out)
    assert {name: found[name] for name in found if name.startswith("Release")} == {
        "ReleasesEnded": 1,
        "ReleasesStopped": 1,
    }
    assert world.model().open_release is None


def test_approve_candidate_of_a_version_that_is_gone_fails(
    world: World, handler: Callable[[str], Any], context: Any
) -> None:
    """The machine catches it, and the version is left for a person."""
    world.push(triggers=AT_ONCE)
    world.deliver(world.land("1.csv"))
    with pytest.raises(NotFound):
        handler("approve_candidate")(golden("approve_candidate"), context)


def test_on_version_approved_leaves_other_stacks_alone(
    world: World, handler: Callable[[str], Any], context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A group that begins with another token is not ours, whatever the rule let through."""
    event = golden("sagemaker_model_package_state_change")
    event["detail"]["ModelPackageGroupName"] = "perennial2-census"
    handler("on_version_approved")(event, context)
    (line,) = lines(caplog)
    assert line["decision"] == "not ours"


def test_every_functions_makefile_is_the_same() -> None:
    """One rule builds them all, so none is built differently."""
    texts = {path.read_text("utf-8") for path in (ROOT / "functions").glob("*/Makefile")}
    assert len(texts) == 1
    assert len(list((ROOT / "functions").glob("*/Makefile"))) == len(HANDLERS)


def test_predict_answers_the_golden_request(
    world: World,
    handler: Callable[[str], Any],
    context: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The response has the API's form; the id is the invocation's; the body is not logged."""
    world.push()
    row = world.model()
    live = Live("perennial-live-census", "config", 1, 7, "arn:7", 1, settings=1)
    world.ledger.commit([change(row, live=live)])
    answer = handler("predict")(golden("http_api_request"), context)
    assert (answer["statusCode"], answer["headers"]) == (400, {"content-type": "application/json"})
    said = json.loads(answer["body"])
    assert said["message"].startswith('row 1, age: "old" is not a whole number')
    assert said["request_id"] == context.aws_request_id
    (line,) = lines(caplog)
    assert (line["model"], line["status"], line["refused"]) == (MODEL, 400, "RequestRefused")
    assert "old" not in repr([line.get("args"), line["message"], line["refused"]])


def test_predict_without_its_table_fails_as_ours(
    handler: Callable[[str], Any], context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing setting is the function's error, not an answer to the client."""
    monkeypatch.delenv("LEDGER_TABLE", raising=False)
    with pytest.raises(SettingMissing, match="LEDGER_TABLE is not set"):
        handler("predict")(golden("http_api_request"), context)


STEPS_OF_A_RELEASE = ("plan_release", "judge_release", "guard_endpoint", "check_release",
                      "shift_traffic", "watch_traffic", "await_approval",
                      "confirm_release")  # fmt: skip


def step_event(name: str, execution: str) -> dict[str, Any]:
    """The golden event of a state of the release machine, from the release's own execution."""
    event = golden("await_approval" if name == "await_approval" else "plan_release")
    traffic = {"step": 0, "looks": 0} if name in ("shift_traffic", "watch_traffic") else {}
    # moto's account and machine are not those of the golden file.
    return {**event, **traffic, "execution": execution}


def test_the_release_machines_functions_answer_what_it_reads(
    world: World, handler: Callable[[str], Any], context: Any
) -> None:
    """The members that the definition's paths name are in each answer."""
    execution = approved_for_release(world, handler, context)
    boto3.client("s3").put_object(Bucket="artifacts", Key="models/model.tar.gz", Body=b"a model")

    def answer(name: str) -> Any:
        return handler(name)(step_event(name, execution), context)

    definition = (ROOT / "statemachines" / "release.asl.json").read_text("utf-8")
    read = set(re.findall(r"\$\.plan\.(\w+)", definition)) - {"network"}
    plan = answer("plan_release")
    assert read <= set(plan)
    assert {"isolated", "check_data", "other_jobs"} <= set(plan["network"])
    assert answer("await_approval") == {}
    alarms = [f"perennial-guard-{MODEL}-r1-{kind}" for kind in ("errors", "latency")]
    assert answer("guard_endpoint") == {"alarms": alarms}
    assert answer("check_release") == {"exists": False, "keeps_counts": False}
    comparison = {
        "metric": "auc", "rows": 500, "candidate": 0.93, "champion": 0.92, "difference": 0.01,
        "lower": 0.001, "confidence": 0.95, "incompatible": [],
    }  # fmt: skip
    boto3.client("s3").put_object(
        Bucket="artifacts",
        Key=f"releases/{MODEL}/1/comparison/comparison.json",
        Body=json.dumps(comparison),
    )
    assert set(answer("judge_release")) == {"words"}
    assert set(answer("confirm_release")) == {"outcome", "words"}


def test_the_functions_of_a_move_answer_what_the_machine_reads(
    world: World, handler: Callable[[str], Any], context: Any
) -> None:
    """The paths below `$.plan.traffic` are members of both answers."""
    execution = approved_for_release(world, handler, context, kind="serverless")

    def answer(name: str) -> Any:
        return handler(name)(step_event(name, execution), context)

    answer("check_release")
    definition = (ROOT / "statemachines" / "release.asl.json").read_text("utf-8")
    read = set(re.findall(r"\$\.plan\.traffic\.(\w+)", definition))
    assert read == {"step", "looks", "next"}
    assert answer("shift_traffic") == {"permille": 1000, "step": 1, "looks": 0}
    watched = answer("watch_traffic")  # the endpoint was never made
    assert read <= set(watched)
    assert watched["next"] == "back"


@pytest.mark.parametrize("name", STEPS_OF_A_RELEASE)
def test_a_foreign_execution_may_not_act_for_a_release(
    name: str, world: World, handler: Callable[[str], Any], context: Any
) -> None:
    """Each of the machine's functions asks first; the error's name is what the machine catches."""
    approved_for_release(world, handler, context)
    with pytest.raises(NotClaimed):
        handler(name)(step_event(name, "arn:aws:states:eu-west-1:1:execution:m:by-hand"), context)
