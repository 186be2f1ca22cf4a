"""Judging a candidate and registering it, against moto's S3, ledger and registry."""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import asdict, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.validate import ParamValidator
from perennial.domain.errors import NotClaimed, Rejected
from perennial.domain.file_digests import CODE_LISTING
from perennial.domain.naming import code_key
from perennial.end_run import end_run
from perennial.judge_candidate import Candidate, Judgement, judge_candidate
from perennial.register_version import Registration, create_request, register_version

from tests.unit.world import MODEL, World

ROOT = Path(__file__).resolve().parents[3]
CODE = b"code"
CODE_SHA = sha256(CODE).hexdigest()
GROUP = "perennial-census"
IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"


def put(key: str, body: bytes) -> str:
    """Write an artifact and answer its URI."""
    boto3.client("s3").put_object(Bucket="artifacts", Key=key, Body=body)
    return f"s3://artifacts/{key}"


FILES = {"model_files": "a1" * 32, "code_files": "b2" * 32}


def evaluation(**metrics: float | None) -> bytes:
    """An evaluation with these figures."""
    section = {
        name: {"value": value, "standard_deviation": 0.001} for name, value in metrics.items()
    }
    ours = {"rows": 6501, "problem": "binary", "metrics": metrics, "threshold": 0.5, **FILES}
    return json.dumps({"binary_classification_metrics": section, "perennial": ours}).encode()


@pytest.fixture
def candidate(world: World) -> Candidate:
    """Run 1 of census, whose jobs are done: AUC 0.93."""
    world.push(code_sha=CODE_SHA)
    world.deliver(world.land("a.csv"))
    world.wait(31)
    world.wake()
    row = world.run(1)
    given: dict[str, Any] = json.loads(row.input)
    put(code_key(MODEL, CODE_SHA), CODE)
    boto3.client("sagemaker").create_model_package_group(
        ModelPackageGroupName=GROUP, ModelPackageGroupDescription="census"
    )
    return Candidate(
        model=MODEL,
        run=1,
        base=given["base"],
        evaluation=put(
            "runs/census/1/evaluation/evaluation.json", evaluation(auc=0.93, f1=0.7, accuracy=0.87)
        ),
        manifest=given["manifest"],
        settings_uri=given["settings_uri"],
        code=given["code"],
        code_sha=given["code_sha"],
        artifact=put("models/census/1/perennial-census-1-train-0/output/model.tar.gz", b"model"),
    )


def registration(world: World, candidate: Candidate, judgement: Judgement) -> Registration:
    """What the machine hands to RegisterVersion."""
    return Registration(
        model=MODEL,
        run=1,
        execution=world.run(1).execution,
        group=GROUP,
        verdict=asdict(judgement),
        artifact=candidate.artifact,
        code=candidate.code,
        code_sha=candidate.code_sha,
        image=IMAGE,
        manifest=candidate.manifest,
        training_job="perennial-census-1-train-0",
        check_job="perennial-census-1-check-data-0",
        evaluate_job="perennial-census-1-evaluate-0",
    )


def stored(uri: str) -> bytes:
    """An artifact's bytes."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    body: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return body


def test_verdict_rests_on_digests_of_what_was_read(world: World, candidate: Candidate) -> None:
    """verdict.json holds every digest, the run's row points at it, and the card is readable."""
    judgement = judge_candidate(world.ports, candidate)
    body = stored(judgement.uri)
    verdict = json.loads(body)
    assert judgement.digest == sha256(body).hexdigest()
    assert verdict["candidate"]["artifact_digest"] == sha256(b"model").hexdigest()
    assert verdict["candidate"]["code_digest"] == CODE_SHA
    assert verdict["manifest"]["digest"] == sha256(stored(candidate.manifest)).hexdigest()
    assert verdict["passed"]
    row = world.run(1).verdict
    assert row is not None
    assert (row.digest, row.passed) == (judgement.digest, True)
    assert json.loads(row.figures) == {"accuracy": 0.87, "auc": 0.93, "f1": 0.7}
    card = stored(f"{candidate.base}/verdict/card.md").decode()
    assert card.startswith("# census, run 1: passed")
    assert "| auc | 0.93 | 0.001 |" in card
    page = stored(f"{candidate.base}/verdict/card.html").decode()
    assert page.startswith("<!doctype html>")
    assert 'data-path="/figures/auc" value="0.93">0.93</data>' in page


def test_judging_again_gives_the_same_verdict(world: World, candidate: Candidate) -> None:
    """A second attempt, an hour later, changes neither bytes nor row."""
    first = judge_candidate(world.ports, candidate)
    rev = world.run(1).rev
    world.wait(3600)
    assert judge_candidate(world.ports, candidate) == first
    assert world.run(1).rev == rev


def test_a_lost_gate_is_told(world: World, candidate: Candidate) -> None:
    """The words name the figure and the bound."""
    put("runs/census/1/evaluation/evaluation.json", evaluation(auc=0.4))
    judgement = judge_candidate(world.ports, candidate)
    assert not judgement.passed
    assert "auc 0.4 is not at least 0.5" in judgement.words


@pytest.mark.parametrize(
    "body", [b"", b"no json", b"[]", b'{"perennial": 1}', b'{"perennial": {"metrics": {"a": "x"}}}']
)
def test_what_is_no_evaluation_is_refused(world: World, candidate: Candidate, body: bytes) -> None:
    """A damaged file never becomes a verdict."""
    put("runs/census/1/evaluation/evaluation.json", body)
    with pytest.raises(Rejected, match="is no evaluation"):
        judge_candidate(world.ports, candidate)
    assert world.run(1).verdict is None


def test_the_code_that_is_registered_is_the_one_that_a_server_must_see(
    world: World, candidate: Candidate
) -> None:
    """Another push of settings alone takes the evaluation over, whose code lay in another archive.

    Where the archive of the model holds that code, it stays the one that is served.
    """
    lines = f"{'a' * 64}  entry.py\n"
    body = packed({"entry.py": b"", CODE_LISTING: lines.encode(), "jobs/x.py": b""})
    code_sha = sha256(body).hexdigest()
    code = put(code_key(MODEL, code_sha), body)
    pushed = replace(candidate, code=code, code_sha=code_sha)
    told = json.loads(stored(judge_candidate(world.ports, pushed).uri))["candidate"]
    assert told["code_digest"] == code_sha
    assert told["code_files_digest"] == sha256(lines.encode()).hexdigest()
    whole = replace(pushed, run=1, base=f"{candidate.base}-2", packs_code=True)
    told = json.loads(stored(judge_candidate(world.ports, whole).uri))["candidate"]
    assert told["code_files_digest"] == FILES["code_files"]


def packed(files: dict[str, bytes]) -> bytes:
    """A tar.gz as a push makes it."""
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w:gz") as made:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            made.addfile(member, io.BytesIO(body))
    return found.getvalue()


def test_changed_code_is_refused(world: World, candidate: Candidate) -> None:
    """Code that is not what its name says was not what the settings were pushed with."""
    put(code_key(MODEL, CODE_SHA), b"other")
    with pytest.raises(Rejected, match="is not what was pushed"):
        judge_candidate(world.ports, candidate)


def test_a_run_that_is_over_is_not_judged(world: World, candidate: Candidate) -> None:
    """The verdict of a run that ended would come too late."""
    end_run(world.ports, world.finish(1, "ABORTED"))
    with pytest.raises(NotClaimed):
        judge_candidate(world.ports, candidate)


def test_a_winner_waits_for_approval(world: World, candidate: Candidate) -> None:
    """Registered as pending, with what lineage needs, and noted on the run."""
    asked = registration(world, candidate, judge_candidate(world.ports, candidate))
    version = register_version(world.ports, asked)
    assert (version.number, version.status) == (1, "PendingManualApproval")
    assert world.run(1).version == version
    package = boto3.client("sagemaker").describe_model_package(ModelPackageName=version.arn)
    assert package["ModelPackageDescription"].startswith("Run 1 of census passes 1 gate")
    metadata = package["CustomerMetadataProperties"]
    assert metadata["perennial:manifest"] == candidate.manifest
    assert metadata["perennial:code_digest"] == CODE_SHA
    assert metadata["perennial:auc"] == "0.93"
    assert metadata["perennial:training_job"] == "perennial-census-1-train-0"


def test_a_server_learns_which_files_were_judged(world: World, candidate: Candidate) -> None:
    """The digests of the evaluation's unpacked model and code reach the container's variables."""
    asked = registration(world, candidate, judge_candidate(world.ports, candidate))
    version = register_version(world.ports, asked)
    package = boto3.client("sagemaker").describe_model_package(ModelPackageName=version.arn)
    specification = package["InferenceSpecification"]
    variables = specification["Containers"][0]["Environment"]
    assert variables["PERENNIAL_MODEL_FILES_SHA256"] == FILES["model_files"]
    assert variables["PERENNIAL_CODE_FILES_SHA256"] == FILES["code_files"]
    assert "application/jsonlines" in specification["SupportedContentTypes"]


@pytest.mark.parametrize("packs", ["yes", "no"])
def test_a_server_learns_whether_its_code_lies_in_the_archive(
    world: World, candidate: Candidate, packs: str
) -> None:
    """As the run's plan says, by which the evaluation has packed it."""
    asked = registration(world, candidate, judge_candidate(world.ports, candidate))
    version = register_version(
        world.ports, replace(asked, plan={"training": {"packs_code": packs}})
    )
    package = boto3.client("sagemaker").describe_model_package(ModelPackageName=version.arn)
    variables = package["InferenceSpecification"]["Containers"][0]["Environment"]
    assert variables.get("PERENNIAL_CODE_IN_MODEL") == {"yes": "yes", "no": None}[packs]


@pytest.mark.parametrize("files", [{}, {"model_files": None, "code_files": "no digest"}])
def test_an_evaluation_without_digests_names_none(
    world: World, candidate: Candidate, files: dict[str, Any]
) -> None:
    """Then the server, which finds no variable, refuses; nothing is made up."""
    document = json.loads(evaluation(auc=0.93, f1=0.7, accuracy=0.87))
    for name in FILES:
        del document["perennial"][name]
    document["perennial"] |= files
    put("runs/census/1/evaluation/evaluation.json", json.dumps(document).encode())
    asked = registration(world, candidate, judge_candidate(world.ports, candidate))
    version = register_version(world.ports, asked)
    package = boto3.client("sagemaker").describe_model_package(ModelPackageName=version.arn)
    variables = package["InferenceSpecification"]["Containers"][0]["Environment"]
    assert not [name for name in variables if name.endswith("_FILES_SHA256")]


def test_a_loser_is_rejected(world: World, candidate: Candidate) -> None:
    """It is registered all the same, so that people can look and overrule."""
    put("runs/census/1/evaluation/evaluation.json", evaluation(auc=0.4))
    asked = registration(world, candidate, judge_candidate(world.ports, candidate))
    assert register_version(world.ports, asked).status == "Rejected"


def test_registering_again_makes_no_second_version(world: World, candidate: Candidate) -> None:
    """The run's row answers a repetition."""
    asked = registration(world, candidate, judge_candidate(world.ports, candidate))
    first = register_version(world.ports, asked)
    assert register_version(world.ports, asked) == first
    listed = boto3.client("sagemaker").list_model_packages(ModelPackageGroupName=GROUP)
    assert len(listed["ModelPackageSummaryList"]) == 1


def test_an_attempt_that_died_repeats_the_same_request(world: World, candidate: Candidate) -> None:
    """SageMaker answers an equal request with an equal token by the version it made."""
    judgement = judge_candidate(world.ports, candidate)
    asked = registration(world, candidate, judgement)
    verdict = json.loads(stored(judgement.uri))
    one = create_request(asked, world.run(1), verdict)
    world.wait(600)
    assert create_request(asked, world.run(1), verdict) == one
    other = create_request(replace(asked, execution=asked.execution + "x"), world.run(1), verdict)
    assert other["ClientToken"] != one["ClientToken"]


@pytest.mark.parametrize("what", ["artifact", "code", "verdict"])
def test_what_changed_after_the_verdict_is_refused(
    world: World, candidate: Candidate, what: str
) -> None:
    """Nobody slips another model under a good verdict."""
    asked = registration(world, candidate, judge_candidate(world.ports, candidate))
    uri = {
        "artifact": asked.artifact,
        "code": asked.code,
        "verdict": asked.verdict["uri"],
    }[what]
    put(uri.removeprefix("s3://artifacts/"), b'{"candidate": {}}')
    with pytest.raises(Rejected, match="changed after run 1 of census was judged"):
        register_version(world.ports, asked)


def test_another_execution_cannot_register(world: World, candidate: Candidate) -> None:
    """An execution that somebody started by hand holds no claim."""
    asked = registration(world, candidate, judge_candidate(world.ports, candidate))
    with pytest.raises(NotClaimed):
        register_version(world.ports, replace(asked, execution=asked.execution + "-again"))


def test_request_is_what_the_api_takes(world: World, candidate: Candidate) -> None:
    """Types, required members, lengths and patterns of botocore's model, also of the metadata."""
    judgement = judge_candidate(world.ports, candidate)
    asked = registration(world, candidate, judgement)
    request = create_request(asked, world.run(1), json.loads(stored(judgement.uri)))
    shape = (
        botocore.session.get_session()
        .get_service_model("sagemaker")
        .operation_model("CreateModelPackage")
        .input_shape
    )
    assert shape is not None
    report = ParamValidator().validate(request, shape)
    assert not report.has_errors(), report.generate_report()
    assert len(request["ClientToken"]) <= 36
    metadata = request["CustomerMetadataProperties"]
    assert len(metadata) <= 50
    for text in (*metadata, *metadata.values()):
        assert re.fullmatch(r"[\w .:/=+\-@]{1,256}", text), text


def test_the_machine_sends_exactly_what_is_asked_for() -> None:
    """The members of the state's payload are the fields that the function reads."""
    machine = json.loads((ROOT / "statemachines" / "retrain.asl.json").read_text())
    sent = machine["States"]["RegisterVersion"]["Parameters"]
    assert {name.removesuffix(".$") for name in sent} == {f.name for f in fields(Registration)}


def test_metadata_that_does_not_fit_is_left_out(world: World, candidate: Candidate) -> None:
    """Half a URI leads nowhere: the verdict has the whole one."""
    judgement = judge_candidate(world.ports, candidate)
    asked = replace(registration(world, candidate, judgement), image="x" * 257)
    request = create_request(asked, world.run(1), json.loads(stored(judgement.uri)))
    assert "perennial:image" not in request["CustomerMetadataProperties"]
