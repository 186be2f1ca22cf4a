"""Judging on all the evidence of a run, against moto's S3 and ledger."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import Any

import boto3
import pytest
from perennial import gather_evidence, judge_candidate
from perennial.aws import objects
from perennial.aws.job_use import JobUse
from perennial.domain.card import card_html
from perennial.domain.errors import Rejected
from perennial.domain.naming import code_key
from perennial.judge_candidate import Candidate, Judgement
from perennial.judge_candidate import judge_candidate as judge

from tests.unit.domain import verdict_builders as build
from tests.unit.domain.test_card import check as check_card
from tests.unit.usecases.test_judgement import CODE, CODE_SHA, put, stored
from tests.unit.world import MODEL, World

SCHEMA = {
    "version": 1,
    "problem": "binary",
    "label": "income",
    "positive": ">50K",
    "classes": ["<=50K", ">50K"],
    "missing": [""],
    "columns": [{"name": "age", "type": "int"}],
    "prepared": [],
}
JOBS = [
    {"step": "check_data", "job": "check-0", "kind": "processing", "reused": True},
    {"step": "train", "job": "train-0", "kind": "training", "reused": False},
]
CHAMPION = {
    "version": 1,
    "run": 9,
    "arn": build.CHAMPION["arn"],
    "words": "",
    "comparable": True,
    "schema": "s3://artifacts/runs/census/9/check/schema.json",
}


def put_json(key: str, document: Any) -> str:
    """Write a document and answer its URI."""
    return put(key, json.dumps(document).encode())


@pytest.fixture
def candidate(world: World, monkeypatch: pytest.MonkeyPatch) -> Candidate:
    """Run 1 of census with a champion of run 9, and everything that its jobs write."""
    world.push(code_sha=CODE_SHA, gates={"auc": {"min": 0.5}, "producer_share": {"max": 0.9}})
    world.deliver(world.land("a.csv"))
    world.wait(31)
    world.wake()
    given: dict[str, Any] = json.loads(world.run(1).input)
    put(code_key(MODEL, CODE_SHA), CODE)
    uses = {"check-0": JobUse("ml.m5.large", 100.0), "train-0": JobUse("ml.m5.large", 3600.0)}
    monkeypatch.setattr(gather_evidence, "job_use", lambda _kind, name: uses.get(name))
    settings = objects.get_json(given["settings_uri"])
    settings["train"]["hyperparameters"] = {"rounds": 7}
    put_json("runs/census/9/settings.json", settings)
    before = {"candidate": {"code_digest": "b" * 64}, "data": {"rows": {"training": 5}}}
    put_json("runs/census/9/verdict/verdict.json", before)
    put_json("runs/census/9/check/schema.json", SCHEMA)
    explanations = build.explanations()
    explanations["perennial"]["notes"] = ["attributions: sampled"]
    run = "runs/census/1"
    return Candidate(
        model=MODEL,
        run=1,
        base=given["base"],
        evaluation=put_json(f"{run}/evaluation/evaluation.json", build.evaluation()),
        manifest=given["manifest"],
        settings_uri=given["settings_uri"],
        code=given["code"],
        code_sha=given["code_sha"],
        artifact=put("models/census/1/job/output/model.tar.gz", b"model"),
        report=put_json(f"{run}/check/report.json", build.report()),
        schema=put_json(f"{run}/check/schema.json", SCHEMA),
        champion=CHAMPION,
        comparison=put_json(f"{run}/comparison/comparison.json", build.comparison()),
        bias=put_json(f"{run}/bias/analysis.json", build.bias()),
        explanations=put_json(f"{run}/explanations/analysis.json", explanations),
        failures={},
        jobs=JOBS,
    )


def verdict_of(judgement: Judgement) -> Any:
    """The verdict that was written."""
    return json.loads(stored(judgement.uri))


def test_a_verdict_rests_on_all_the_evidence(world: World, candidate: Candidate) -> None:
    """Gates, sections, digests, changes, cost: each from its document."""
    judgement = judge(world.ports, candidate)
    verdict = verdict_of(judgement)
    assert verdict["passed"]
    assert [gate["name"] for gate in verdict["gates"]] == [
        "auc.min",
        "champion.min",
        "schema.max",
        "producer_share.max",
    ]
    assert verdict["champion"]["figures"] == {"auc": 0.9228, "accuracy": 0.9228}
    assert verdict["compatibility"] == {"compatible": True, "words": []}
    assert verdict["comparison"]["lower"] == 0.0031
    for what, uri in (("bias", candidate.bias), ("champion's schema", CHAMPION["schema"])):
        digest = sha256(stored(str(uri))).hexdigest()
        assert verdict["evidence"][what] == {"uri": uri, "digest": digest}
    assert verdict["changes"][:3] == [
        f"code: {'b' * 12} → {CODE_SHA[:12]}",
        "hyperparameters.rounds: 7 → not set",
        "training rows: 5 → 39,069",
    ]
    assert verdict["cost"]["usd"] == pytest.approx(0.115)
    assert [job["usd"] for job in verdict["cost"]["jobs"]] == [0.0, pytest.approx(0.115)]
    assert verdict["notes"] == ["reused from an earlier run: check_data", "attributions: sampled"]
    page = stored(f"{candidate.base}/verdict/card.html").decode()
    assert 'data-path="/comparison/lower" value="0.0031"' in page
    assert page == card_html(verdict)
    check_card(verdict)
    assert "# census, run 1: passed" in stored(f"{candidate.base}/verdict/card.md").decode()


def test_reports_lie_beside_the_verdict(world: World, candidate: Candidate) -> None:
    """A job that takes the verdict's folder has bias and explanations, if there are any."""
    judge(world.ports, candidate)
    for uri, name in (
        (candidate.bias, "bias/analysis.json"),
        (candidate.explanations, "explanations/analysis.json"),
    ):
        assert stored(f"{candidate.base}/verdict/{name}") == stored(uri)


def edits(candidate: Candidate) -> dict[str, bytes]:
    """What lies beside the verdict for the baseline job, by its path."""
    bucket, prefix = objects.split_uri(f"{candidate.base}/verdict/edits/")
    listed = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    return {
        entry["Key"].removeprefix(prefix): stored(f"s3://{bucket}/{entry['Key']}")
        for entry in listed
    }


def test_what_a_person_edited_is_laid_beside_the_verdict(
    world: World, candidate: Candidate
) -> None:
    """The constraints of the champion's run as they are and as they were, byte for byte."""
    base = "runs/census/9/baselines"
    put_json(f"{base}/data_quality/original.json", {"features": [{"name": "age"}]})
    put(f"{base}/data_quality/constraints.json", b'{"features": [],\n  "edited": true}')
    put_json(f"{base}/bias/constraints.json", {"version": 0.0})
    put_json(f"{base}/bias/statistics.json", {"not": "a constraint"})
    put_json("runs/census/8/baselines/attribution/constraints.json", {"of": "another run"})
    judge(world.ports, candidate)
    assert edits(candidate) == {
        "data_quality/original.json": b'{"features": [{"name": "age"}]}',
        "data_quality/constraints.json": b'{"features": [],\n  "edited": true}',
        "bias/constraints.json": b'{"version": 0.0}',
    }


def test_edits_are_those_of_the_moment_of_the_verdict(world: World, candidate: Candidate) -> None:
    """A second attempt takes what was edited meanwhile."""
    path = "runs/census/9/baselines/bias/constraints.json"
    put(path, b"first")
    judge(world.ports, candidate)
    put(path, b"second")
    judge(world.ports, candidate)
    assert edits(candidate) == {"bias/constraints.json": b"second"}


def test_without_edits_none_are_laid(world: World, candidate: Candidate) -> None:
    """Neither for a champion without baselines, nor for the first run of all."""
    judge(world.ports, candidate)
    assert edits(candidate) == {}
    put_json("runs/census/None/baselines/bias/constraints.json", {})
    judge(world.ports, replace(candidate, champion=None, comparison=""))
    assert edits(candidate) == {}


def test_the_champions_stored_figures_change_no_gate(world: World, candidate: Candidate) -> None:
    """It was scored again: whoever rewrites its old verdict moves no figure of this one."""
    first = verdict_of(judge(world.ports, candidate))
    lie = {
        "candidate": {"code_digest": "b" * 64},
        "figures": {"auc": 0.01},
        "metrics": {"auc": 0.01},
    }
    put_json("runs/census/9/verdict/verdict.json", lie)
    second = verdict_of(judge(world.ports, candidate))
    assert second["gates"] == first["gates"]
    assert second["champion"] == first["champion"]


def test_a_verdict_that_was_interrupted_is_the_same_again(
    world: World, candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that dies after its first write: the next gives its bytes, time and cards."""

    def die(_verdict: Any) -> str:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(judge_candidate, "card_html", die)
        with pytest.raises(MemoryError):
            judge(world.ports, candidate)
    first = stored(f"{candidate.base}/verdict/verdict.json")
    assert world.run(1).verdict is None
    world.wait(600)
    judgement = judge(world.ports, candidate)
    assert stored(judgement.uri) == first
    assert judgement.digest == sha256(first).hexdigest()
    recorded = world.run(1).verdict
    assert recorded is not None
    assert recorded.digest == judgement.digest
    assert stored(f"{candidate.base}/verdict/card.html").startswith(b"<!doctype html>")


def test_other_evidence_makes_another_verdict(world: World, candidate: Candidate) -> None:
    """A comparison that changed is judged anew."""
    first = judge(world.ports, candidate)
    put_json("runs/census/1/comparison/comparison.json", build.comparison(lower=-0.5))
    second = judge(world.ports, candidate)
    assert (first.passed, second.passed) == (True, False)
    assert first.digest != second.digest


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"metric": 5}', b"\xff"])
@pytest.mark.parametrize("what", ["comparison", "schema", "report"])
def test_documents_that_are_none_fail_their_gate(
    world: World, candidate: Candidate, what: str, body: bytes
) -> None:
    """Half-written files stop no verdict: their gate fails by name, and a note says why."""
    put(getattr(candidate, what).removeprefix("s3://artifacts/"), body)
    verdict = verdict_of(judge(world.ports, candidate))
    failed = [gate["metric"] for gate in verdict["gates"] if not gate["passed"]]
    assert failed == [{"comparison": "champion", "report": "producer_share"}.get(what, what)]


def test_steps_that_failed_are_told(world: World, candidate: Candidate) -> None:
    """What failed is in the notes and in the words of its gate; a person may overrule.

    Of a failed job, Step Functions gives the whole description; its own last words are told.
    """
    job = {
        "ProcessingJobName": "perennial-census-1-evaluate-champion-0",
        "FailureReason": "AlgorithmError: See job logs for more information",
        "ExitMessage": "its code raised KeyError",
    }
    failed = replace(
        candidate,
        comparison="",
        explanations="",
        failures={
            "evaluate_champion": "States.TaskFailed: " + json.dumps(job),
            "explain": "States.Timeout: out of time",
        },
    )
    verdict = verdict_of(judge(world.ports, failed))
    assert not verdict["passed"]
    assert "census 1 could not be scored beside the candidate: its code raised" in verdict["words"]
    assert verdict["notes"][:2] == [
        "evaluate_champion failed: its code raised KeyError",
        "explain failed: States.Timeout: out of time",
    ]


def test_a_champion_of_another_schema_says_why_it_was_not_scored(
    world: World, candidate: Candidate
) -> None:
    """The plan's words are the reason that the gate gives."""
    champion = {**CHAMPION, "comparable": False, "words": "it predicts another label", "schema": ""}
    verdict = verdict_of(judge(world.ports, replace(candidate, champion=champion, comparison="")))
    words = [gate["words"] for gate in verdict["gates"] if not gate["passed"]]
    assert words == [
        "census 1 could not be scored beside the candidate: it predicts another label",
        "what census 1 accepts is unknown, for its schema is not there",
    ]
    assert "the champion was not scored: it predicts another label" in verdict["notes"]


def test_own_prices_are_taken(world: World, candidate: Candidate) -> None:
    """The owner's table comes with its own date, and a bad one is named."""
    put_json("code/prices.json", {"date": "2026-01-01", "usd_per_hour": {"ml.m5.large": 2.0}})
    cost = verdict_of(judge(world.ports, candidate))["cost"]
    assert (cost["usd"], cost["prices"]) == (2.0, "2026-01-01")
    put_json("code/prices.json", {"date": "2026-01-01"})
    with pytest.raises(Rejected, match=r"code/prices\.json: usd_per_hour is no object"):
        judge(world.ports, candidate)


def test_an_unknown_job_makes_the_sum_unknown(world: World, candidate: Candidate) -> None:
    """A cost that is not known is not zero, and tuned values are shown as they were chosen."""
    jobs = [*JOBS, {"step": "evaluate", "job": "gone", "kind": "processing", "reused": False}]
    cost = verdict_of(judge(world.ports, replace(candidate, jobs=jobs)))["cost"]
    assert cost["usd"] is None
    assert cost["jobs"][2]["usd"] is None


def test_a_first_run_says_that_there_is_no_champion(world: World, candidate: Candidate) -> None:
    """Neither champion nor baseline: both are noted, and no gate asks for them."""
    first = replace(candidate, champion=None, comparison="")
    verdict = verdict_of(judge(world.ports, first))
    assert verdict["passed"]
    assert verdict["notes"][:2] == ["there is no champion yet", "there is no baseline yet"]
    assert verdict["words"].endswith("There is no champion yet.")
    assert [gate["name"] for gate in verdict["gates"]] == ["auc.min", "producer_share.max"]
