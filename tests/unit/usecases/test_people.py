"""What people ask for: each takes effect once, and refuses in words what makes no sense now."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from perennial.approve_candidate import approve_candidate
from perennial.approve_version import approve_version
from perennial.aws import registry
from perennial.describe_model import describe_model
from perennial.domain.errors import NotAllowed, NotClaimed, NotFound
from perennial.domain.ledger.rows import Verdict, Version
from perennial.domain.settings import SettingsInvalid
from perennial.end_run import end_run
from perennial.exclude_object import exclude_object
from perennial.explain_wait import explain_object
from perennial.forget_model import forget_model
from perennial.include_object import include_object
from perennial.list_models import list_models
from perennial.pause_model import pause_model
from perennial.record_champion import record_champion
from perennial.record_verdict import record_verdict
from perennial.record_version import record_version
from perennial.reject_version import reject_version
from perennial.replay_dead_letters import replay_dead_letters
from perennial.request_retrain import request_retrain
from perennial.resume_model import resume_model
from perennial.retry_run import retry_run
from perennial.stop_run import stop_run

from tests.unit.world import MODEL, World

GROUP = f"perennial-{MODEL}"


def started(world: World, **settings: Any) -> int:
    """Push, land, and let the run of the push begin; its number."""
    world.push(**settings)
    world.deliver(world.land("1.csv"))
    number = world.model().open_run
    assert number is not None
    return number


def registered(world: World, number: int, *, passed: bool = True, **more: Any) -> str:
    """Let a run at work record its verdict and register a version; the version's ARN.

    `more` is added to the registry's request.
    """
    execution = world.run(number).execution
    verdict = Verdict("s3://artifacts/v.json", "d" * 64, passed, "keeps every gate")
    record_verdict(world.ports, MODEL, number, execution, verdict)
    status = registry.PENDING if passed else registry.REJECTED
    arn = registry.create_version(
        {
            "ModelPackageGroupName": GROUP,
            "ModelApprovalStatus": status,
            "ClientToken": registry.client_token(MODEL, str(number)),
            "CustomerMetadataProperties": {
                "run": str(number),
                "settings": str(world.run(number).settings),
                "perennial:artifact_digest": "e" * 64,
            },
            **more,
        }
    )
    version = Version(int(arn.rsplit("/", 1)[1]), arn, status)
    record_version(world.ports, MODEL, number, execution, version)
    record_version(world.ports, MODEL, number, execution, version)
    return arn


def test_pushing_the_same_publishes_nothing_and_a_b_a_publishes_three(world: World) -> None:
    """A version for each change, none for a repetition, and the old code again is a change."""
    a, b = "a" * 64, "b" * 64
    assert [world.push(each) for each in (a, a, b, a, a)] == [1, 1, 2, 3, 3]
    kinds = [row.parts for row in world.signals()]
    assert sorted(kinds) == [("1",), ("2",), ("3",)]


def test_a_new_ledger_counts_on_from_the_jobs_of_an_earlier_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SageMaker never forgets a job's name: a stack deleted and made again must not reuse one."""
    names = [
        "perennial-census-9-check-data-0",
        "perennial-census-12-check-data-1",
        "perennial-census-2-99-check-data-0",  # model census-2
        "perennial-census-77-mine",
        "my-perennial-census-88-check-data-0",
        "perennial-census-r5-smoke-test-0",
        "perennial-census-2-r8-smoke-test-0",
    ]
    monkeypatch.setattr("perennial.publish_settings.newest_processing_jobs", lambda _part: names)
    started_number = started(world)
    assert started_number == 13
    assert world.push("b" * 64) == 2
    assert (world.model().last_run, world.model().last_release) == (13, 5)


def test_a_retrain_with_overrides_is_for_that_run_only(world: World) -> None:
    """The run of `--set` has settings of its own; asking twice with one token is asking once."""
    end_run(world.ports, world.win(started(world)))
    overrides = {"gates.auc.min": "0.9"}
    for _ in range(2):
        request_retrain(world.ports, MODEL, "to see", overrides, "token-1", "ann")
    world.wake()
    run = world.run(2)
    assert run.overrides == overrides
    assert run.because == ("asked by ann with gates.auc.min=0.9: to see",)
    settings = world.ports.deployment.artifact_bucket
    body = boto3.client("s3").get_object(Bucket=settings, Key=f"runs/{MODEL}/2/settings.json")
    assert b'"min":0.9' in body["Body"].read().replace(b" ", b"")
    end_run(world.ports, world.win(2))
    world.wait(3600)
    world.wake()
    assert world.model().open_run is None


def test_overrides_that_the_settings_cannot_take_are_refused_at_once(world: World) -> None:
    """The mistake is named before anything is admitted."""
    started(world)
    with pytest.raises(SettingsInvalid, match="nonsense"):
        request_retrain(world.ports, MODEL, "x", {"train.nonsense.here": "1"}, "t", "ann")
    assert "t" not in world.states()


def test_a_failed_run_is_retried_with_its_signals_and_settings(world: World) -> None:
    """A retry has a new number; a run with a verdict, or one at work, has none."""
    number = started(world)
    with pytest.raises(NotAllowed, match="has not ended"):
        retry_run(world.ports, MODEL, number, "again", "ann")
    end_run(world.ports, world.finish(number, "FAILED", error="TrainFailed", cause="KeyError"))
    world.push("b" * 64)
    pause_model(world.ports, MODEL, "so that the retry goes first", "ann")
    for _ in range(2):
        retry_run(world.ports, MODEL, number, "again", "ann")
    resume_model(world.ports, MODEL, "ann")
    world.wake()
    run = world.run(2)
    assert (run.retry_of, run.settings) == (1, 1)
    end_run(world.ports, world.win(2))
    with pytest.raises(NotAllowed, match="reached its verdict"):
        retry_run(world.ports, MODEL, 2, "again", "ann")
    with pytest.raises(NotFound, match="no run 9 of census"):
        retry_run(world.ports, MODEL, 9, "again", "ann")


def test_a_stopped_run_ends_as_stopped_and_holds_its_signals(world: World) -> None:
    """The execution is stopped; its event ends the run with who and why."""
    number = started(world)
    stop_run(world.ports, MODEL, number, "wrong data", "ann")
    stop_run(world.ports, MODEL, number, "wrong data", "ann")
    end_run(world.ports, world.run(number).execution)
    run = world.run(number)
    assert run.outcome == "stopped"
    assert run.ending is not None
    assert run.ending.words == "stopped by ann: wrong data"
    assert describe_model(world.ports, MODEL).held == {"stopped by ann: wrong data": 2}
    with pytest.raises(NotAllowed, match="has ended"):
        stop_run(world.ports, MODEL, number, "again", "ann")


def test_a_paused_model_opens_nothing_until_it_is_resumed(world: World) -> None:
    """Signals are admitted meanwhile, and why says who paused it."""
    world.push()
    pause_model(world.ports, MODEL, "holidays", "ann")
    handled = world.deliver(world.land("1.csv"))
    assert world.model().open_run is None
    assert any("paused by ann: holidays" in line.words for line in handled.lines)
    assert resume_model(world.ports, MODEL, "ann")
    assert not resume_model(world.ports, MODEL, "ann")
    world.wake()
    assert world.model().open_run == 1


def test_an_excluded_object_stays_out_until_it_is_included(world: World) -> None:
    """Only its current version; a run that reads it must end first."""
    number = started(world)
    key = f"incoming/{MODEL}/1.csv"
    with pytest.raises(NotAllowed, match="is reading"):
        exclude_object(world.ports, MODEL, key, "wrong", "ann")
    end_run(world.ports, world.win(number))
    exclude_object(world.ports, MODEL, key, "wrong", "ann")
    exclude_object(world.ports, MODEL, key, "wrong", "ann")
    assert explain_object(world.ports, MODEL, key)[0].reason == "excluded by ann: wrong"
    world.deliver(world.land("2.csv"))
    world.wait(3600)
    world.wake()
    assert [each["key"] for each in world.manifest(2)] == [f"incoming/{MODEL}/2.csv"]
    end_run(world.ports, world.win(2))
    for _ in range(2):
        include_object(world.ports, MODEL, key, "right after all", "ann")
    world.wait(3600)
    world.wake()
    assert len(world.manifest(3)) == 2
    with pytest.raises(NotFound, match="no object"):
        exclude_object(world.ports, MODEL, f"incoming/{MODEL}/none.csv", "x", "ann")


def test_an_approved_version_becomes_champion_and_newer_approvals_win(world: World) -> None:
    """Whatever the order in which approvals are heard of; the run's row follows."""
    arns = []
    for number in (1, 2):
        if number == 1:
            started(world)
        else:
            world.push("b" * 64)
            world.wait(3600)
            world.wake()
        arns.append(registered(world, number))
        end_run(world.ports, world.win(number))
    for number in (2, 1):
        approve_version(world.ports, MODEL, number, "good", "ann")
    assert record_champion(world.ports, GROUP, arns[1], 2000).decision == "recorded"
    assert record_champion(world.ports, GROUP, arns[1], 2000).decision == "known"
    assert record_champion(world.ports, GROUP, arns[0], 1000).decision == "known"
    champion = world.model().champion
    assert champion is not None
    assert (champion.version, champion.run, champion.settings) == (2, 2, 2)
    version = world.run(2).version
    assert version is not None
    assert version.status == "Approved"
    with pytest.raises(NotAllowed, match="approved already"):
        approve_version(world.ports, MODEL, 2, "again", "ann")
    with pytest.raises(NotAllowed, match="is the champion"):
        reject_version(world.ports, MODEL, 2, "bad", "ann")


def dead_letter_queues(world: World, sqs: Any) -> dict[str, str]:
    """Make every queue that a replay looks into; their URLs by the stack's outputs."""
    kinds = ("Signal", "RunEnded", "ReleaseEnded", "Event", "Capture")
    names = ["CaptureQueueUrl", *(f"{kind}DeadLettersUrl" for kind in kinds)]
    urls = {name: str(sqs.create_queue(QueueName=name)["QueueUrl"]) for name in names}
    world.outputs.update(urls)
    return urls


def test_dead_captures_go_back_to_their_queue(world: World) -> None:
    """As they were; nothing of them is lost, and nothing left behind."""
    sqs = boto3.client("sqs", "eu-west-1")
    urls = dead_letter_queues(world, sqs)
    sqs.send_message(QueueUrl=urls["CaptureDeadLettersUrl"], MessageBody='{"capture": 1}')
    (letter,) = replay_dead_letters(world.ports)
    assert (letter.queue, letter.words) == ("captured requests", "back on the capture queue")
    (back,) = sqs.receive_message(QueueUrl=urls["CaptureQueueUrl"])["Messages"]
    assert back["Body"] == '{"capture": 1}'
    assert replay_dead_letters(world.ports) == []


def test_a_dead_approval_is_replayed_and_a_dead_sweep_is_let_go(world: World) -> None:
    """An approval that the function gave up on records the champion; a sweep repeats itself."""
    sqs = boto3.client("sqs", "eu-west-1")
    dead = dead_letter_queues(world, sqs)["EventDeadLettersUrl"]
    arn = registered(world, started(world))
    end_run(world.ports, world.win(1))
    approve_version(world.ports, MODEL, 1, "good", "ann")
    event = {
        "time": "2026-11-20T10:45:30Z",
        "detail": {"ModelPackageGroupName": GROUP, "ModelPackageArn": arn},
    }
    alarm = {"detail": {"alarmName": "perennial-guard-census-ab1-errors"}}
    scheduled = {"detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}"}
    for body in ({"requestPayload": event}, {}, {"requestPayload": scheduled}, alarm):
        sqs.send_message(QueueUrl=dead, MessageBody=json.dumps(body))
    letters = replay_dead_letters(world.ports)
    assert sorted(letter.words for letter in letters) == [
        "a sweep; later ones did its work",
        "a sweep; later ones did its work",
        "alarm perennial-guard-census-ab1-errors; later sweeps looked at its A/B test",
        f"approval of {arn}: recorded",
    ]
    champion = world.model().champion
    assert champion is not None
    assert champion.version == 1
    assert replay_dead_letters(world.ports) == []


def test_approvals_of_others_are_not_ours(world: World) -> None:
    """Another stack's group, an unknown model, a version that no run registered."""
    started(world)
    stranger = registry.create_version(
        {
            "ModelPackageGroupName": GROUP,
            "ModelApprovalStatus": "Approved",
            "CustomerMetadataProperties": {"run": "1"},
        }
    )
    assert record_champion(world.ports, GROUP, stranger, 1).decision == "not ours"
    assert record_champion(world.ports, "other-census", stranger, 1).decision == "not ours"
    assert record_champion(world.ports, "perennial-none", stranger, 1).decision == "not ours"
    assert record_champion(world.ports, GROUP, stranger + "9", 1).decision == "gone"
    assert world.model().champion is None


def test_a_rejected_version_may_be_overruled_with_a_reason(world: World) -> None:
    """Registry and run keep both decisions in words; the overruled candidate is champion."""
    number = started(world)
    arn = registered(world, number, passed=False)
    end_run(world.ports, world.win(number))
    with pytest.raises(NotAllowed, match="rejected already"):
        reject_version(world.ports, MODEL, 1, "worse", "ann")
    approve_version(world.ports, MODEL, 1, "the gate is wrong", "bob")
    words = registry.describe_version(arn).approval_words
    assert words.startswith("approved by bob: the gate is wrong (overrules: ")
    assert world.run(1).version == Version(1, arn, "Approved", words)
    before = world.run(1)
    assert record_champion(world.ports, GROUP, arn, 1000).decision == "recorded"
    assert world.run(1) == before
    champion = world.model().champion
    assert champion is not None
    assert (champion.version, champion.run) == (1, 1)
    with pytest.raises(NotFound, match="has no version 9"):
        approve_version(world.ports, MODEL, 9, "x", "bob")


POLICY = {"approval": "policy"}
ANY_CODE = {"approval": "policy", "approve_code_changes": True}


def test_a_rejection_by_a_person_is_on_the_runs_row(world: World) -> None:
    """No event tells of it; overruled again, the row follows. Long reasons are cut as in AWS."""
    arn = registered(world, started(world))
    end_run(world.ports, world.win(1))
    reject_version(world.ports, MODEL, 1, "worse for women over 60", "ann")
    said = "rejected by ann: worse for women over 60"
    assert world.run(1).version == Version(1, arn, "Rejected", said)
    approve_version(world.ports, MODEL, 1, "x" * 2000, "bob")
    version = world.run(1).version
    assert version is not None
    assert version.words == registry.describe_version(arn).approval_words
    assert len(version.words) == 1024


@pytest.mark.parametrize(
    ("release", "passed", "approved", "words"),
    [
        ({"approval": "person"}, True, False, "release.approval is person"),
        (POLICY, True, False, "there is no champion yet"),
        (ANY_CODE, True, True, "approved by policy: keeps every gate"),
        (ANY_CODE, False, False, "no verdict that passed"),
    ],
)
def test_the_policy_decides_on_a_first_candidate(
    world: World, release: dict[str, Any], passed: bool, approved: bool, words: str
) -> None:
    """What the caller claims is not looked at: the ledger knows verdict, version and settings."""
    number = started(world, release=release)
    arn = registered(world, number, passed=passed)
    approval = approve_candidate(world.ports, MODEL, number, arn)
    assert (approval.approved, words in approval.words) == (approved, True)
    is_approved = registry.describe_version(arn).status == registry.APPROVED
    assert is_approved == approved
    assert approve_candidate(world.ports, MODEL, number, arn).approved == approved


def test_the_policy_approves_the_champions_code_and_refuses_other_code(world: World) -> None:
    """New data with known code passes by itself; new code waits for a person."""
    number = started(world, release=POLICY)
    first = registered(world, number)
    end_run(world.ports, world.win(number))
    approve_version(world.ports, MODEL, 1, "looked at the code", "ann")
    assert record_champion(world.ports, GROUP, first, 1).decision == "recorded"
    request_retrain(world.ports, MODEL, "new data", {}, "t", "ann")
    world.wake()
    assert approve_candidate(world.ports, MODEL, 2, registered(world, 2)).approved
    end_run(world.ports, world.win(2))
    world.push("b" * 64, release=POLICY)
    world.wait(3600)
    world.wake()
    other = approve_candidate(world.ports, MODEL, 3, registered(world, 3))
    assert not other.approved
    assert "its code (settings 2) is not the champion's (settings 1)" in other.words
    with pytest.raises(NotFound):
        approve_candidate(world.ports, MODEL, 3, first + "0")


@pytest.mark.parametrize(
    ("overrides", "approved"),
    [
        ({"gates.auc.min": "0.1"}, False),
        ({"gates.champion": "off"}, False),
        ({"bias.methods": "all"}, False),
        ({"jobs.evaluate.instance": "ml.m5.24xlarge"}, False),
        ({"train.algorithm": "linear-learner", "train.hyperparameters": "{}"}, False),
        ({"train.hyperparameters.rounds": "9"}, True),
        ({"jobs.explain.instance": "ml.m5.xlarge", "reuse": "0s"}, True),
    ],
)
def test_the_policy_approves_nothing_by_gates_of_one_run(
    world: World, overrides: dict[str, str], approved: bool
) -> None:
    """Who may ask for a run could else set the gates aside, and the policy would approve."""
    number = started(world, release=ANY_CODE)
    registered(world, number)
    end_run(world.ports, world.win(number))
    request_retrain(world.ports, MODEL, "to see", overrides, "token-1", "mallory")
    world.wake()
    arn = registered(world, 2)
    found = approve_candidate(world.ports, MODEL, 2, arn)
    assert found.approved is approved
    if not approved:
        first = min(overrides)
        assert f"given for this run only ({first})" in found.words


def test_only_the_claims_holder_records(world: World) -> None:
    """An execution restarted by hand can neither record a verdict nor a version."""
    number = started(world)
    verdict = Verdict("s3://a/b", "d", passed=True)
    with pytest.raises(NotClaimed):
        record_verdict(world.ports, MODEL, number, "arn:other", verdict)
    with pytest.raises(NotClaimed):
        record_version(world.ports, MODEL, number, "arn:other", Version(1, "arn", "Approved"))
    assert (world.run(number).verdict, world.run(number).version) == (None, None)


def test_a_model_is_forgotten_when_no_run_is_open_and_counts_on_afterwards(world: World) -> None:
    """Names of executions may not come twice, so a model pushed again goes on counting."""
    number = started(world)
    with pytest.raises(NotAllowed, match="run 1 of census is at work"):
        forget_model(world.ports, MODEL)
    end_run(world.ports, world.win(number))
    assert forget_model(world.ports, MODEL) == 4  # data, code, run and settings
    assert forget_model(world.ports, MODEL) == 0
    assert list_models(world.ports) == []
    with pytest.raises(NotFound):
        describe_model(world.ports, MODEL)
    assert world.push() == 2
    world.deliver(world.land("1.csv"))
    assert world.model().open_run == 2
