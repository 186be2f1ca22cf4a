"""`perennial batch` on a small stack: a registered version, real servers, manifests, refusals."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from perennial import finish_batch, remove_model
from perennial.aws.clients import forget_clients
from perennial.domain import naming
from perennial.domain.errors import Rejected
from perennial.domain.ledger.rows import Champion
from perennial.domain.ledger.store import change, read_model
from perennial.domain.settings import parse_settings
from perennial.publish_settings import publish_settings
from perennial.remove_endpoint import remove_served
from perennial.start_batch import Asked, start_batch
from perennial.wiring import Ports, connect

from cli.main import perennial
from tests.functional.sagemaker.conftest import IMAGE, TRUST
from tests.functional.sagemaker.hosting import Hosting

MODEL = "census"
# Answers a line a row as our own server does, and says which version it is.
SERVER = """
    import csv, json, os, time

    def model_fn(folder):
        return None

    def transform_fn(model, body, content_type, accept):
        version = os.environ["PERENNIAL_VERSION"]
        text = body if isinstance(body, str) else bytes(body).decode()
        if content_type == "text/csv":
            ages = [int(row[0]) for row in csv.reader(text.splitlines())]
        else:
            ages = [json.loads(line)["age"] for line in text.splitlines()]
        if 13 in ages:
            from sagemaker_containers.beta.framework import worker
            said = json.dumps({"error": "row 1, age: 13 is unlucky"})
            return worker.Response(response=said, status=400, mimetype="application/json")
        if 99 in ages:
            time.sleep(60)
        if accept == "text/csv":
            return "".join(f"v{version},{age / 100}\\n" for age in ages), accept
        return "".join(json.dumps({"score": age / 100}) + "\\n" for age in ages), accept
"""
DOCUMENT: dict[str, Any] = {
    "problem": "binary",
    "label": "income",
    "positive": "rich",
    "data": {
        "columns": {
            "age": {"type": "int", "min": 0},
            "job": {"type": "category", "levels": ["nurse", "clerk"], "open": True},
            "income": {"type": "category", "levels": ["poor", "rich"]},
        },
        "select": ["*.csv"],
    },
    "gates": {"auc": {"min": 0.5}},
}
BUCKET = {
    "Type": "AWS::S3::Bucket",
    "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
}
KEYS = [("pk", "HASH"), ("sk", "RANGE")]
RESOURCES: dict[str, Any] = {
    "LandingBucket": BUCKET,
    "ArtifactBucket": BUCKET,
    "LedgerTable": {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": k, "AttributeType": "S"} for k, _ in KEYS],
            "KeySchema": [{"AttributeName": k, "KeyType": kind} for k, kind in KEYS],
        },
    },
    "SignalQueue": {"Type": "AWS::SQS::Queue"},
    "BatchRole": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}},
}
OUTPUTS: dict[str, Any] = {
    **{name: {"Ref": name} for name in ("LandingBucket", "ArtifactBucket", "LedgerTable")},
    "SignalQueueUrl": {"Ref": "SignalQueue"},
    "BatchRoleArn": {"Fn::GetAtt": ["BatchRole", "Arn"]},
    "StackToken": "batches",
}


@dataclass
class Stack:
    """A small stack `batches` with the model pushed and two versions; runs commands on it."""

    hosting: Hosting
    ports: Ports

    def run(self, *arguments: str) -> Result:
        """One command on the local cloud."""
        return CliRunner().invoke(perennial, ["--target", "local/batches", "batch", *arguments])

    def json(self, *arguments: str) -> Any:
        """The manifest of a batch that goes well."""
        result = self.run(MODEL, *arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def text(self, uri: str) -> str:
        """An object's text."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        body: bytes = self.hosting.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return body.decode()

    def models(self) -> list[str]:
        """The SageMaker Models of batches that are there now."""
        found = self.hosting.sagemaker.list_models(NameContains="batches-census")["Models"]
        return [each["ModelName"] for each in found]

    def version(self, status: str = "Approved", *, packed: bool = False) -> str:
        """Register a version whose server is SERVER, `packed` in its archive or not; its ARN."""
        hosting = self.hosting
        container = hosting.container("x", textwrap.dedent(SERVER))
        if packed:
            archive = hosting.archive({"word.txt": "x", "code/serve.py": SERVER})
            container["ModelDataUrl"] = hosting.put("models/packed/model.tar.gz", archive)
        key = container["ModelDataUrl"].partition(f"{hosting.bucket}/")[2]
        digest = hashlib.sha256(hosting.get(key)).hexdigest()
        given = container["Environment"]
        code = hosting.code("", **{"serve.py": textwrap.dedent(SERVER)})
        variables = {"PERENNIAL_CODE": code, "PERENNIAL_MODEL_SHA256": digest}
        if packed:
            variables |= {"PERENNIAL_CODE": "s3://no/code.tar.gz", "PERENNIAL_CODE_IN_MODEL": "yes"}
        workers = "SAGEMAKER_MODEL_SERVER_WORKERS"
        made = {
            "Image": IMAGE,
            "ModelDataUrl": container["ModelDataUrl"],
            "Environment": {**variables, workers: given[workers]},
        }
        arn: str = hosting.sagemaker.create_model_package(
            ModelPackageGroupName="batches-census",
            ModelApprovalStatus=status,
            InferenceSpecification={
                "Containers": [made],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        )["ModelPackageArn"]
        return arn


@pytest.fixture(scope="module")
def stack(hosting: Hosting) -> Iterator[Stack]:
    """The stack, with version 1 as champion and version 2 waiting for approval."""
    cloud = hosting.cloud
    formation = cloud.client("cloudformation")
    template = {"Resources": RESOURCES, "Outputs": {k: {"Value": v} for k, v in OUTPUTS.items()}}
    formation.create_stack(
        StackName="batches",
        TemplateBody=json.dumps(template),
        Capabilities=["CAPABILITY_IAM"],
    )
    formation.get_waiter("stack_create_complete").wait(
        StackName="batches", WaiterConfig={"Delay": 1}
    )
    found = formation.describe_stacks(StackName="batches")["Stacks"][0]["Outputs"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found}
    hosting.sagemaker.create_model_package_group(ModelPackageGroupName="batches-census")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", {**cloud.environment(), "PERENNIAL_STATE": str(cloud.state)})
        forget_clients()
        made = Stack(hosting, connect({**outputs, "StackName": "batches"}))
        settings = json.dumps(parse_settings(DOCUMENT, project=MODEL).to_json())
        publish_settings(made.ports, MODEL, settings, "s3://no/code.tar.gz", "a" * 64, "ann")
        arn = made.version()
        made.version("PendingManualApproval")
        row = read_model(made.ports.ledger, MODEL)
        assert row is not None
        champion = Champion(1, arn, "d", 1, 1, made.ports.clock())
        made.ports.ledger.commit([change(row, champion=champion)])
        yield made
    forget_clients()


def ended(stack: Stack, name: str) -> Any:
    """The transform job of that name, once it is over."""
    describe = stack.hosting.sagemaker.describe_transform_job
    end = time.monotonic() + 30
    while (found := describe(TransformJobName=name))["TransformJobStatus"] == "InProgress":
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def file(folder: Path, name: str, text: str) -> str:
    """A local file."""
    path = folder / name
    path.write_text(text, "utf-8")
    return str(path)


def test_a_local_file_becomes_predictions_in_a_folder(stack: Stack, tmp_path: Path) -> None:
    """Header read by name, one prediction a row in order, manifest beside them, no Model left."""
    rows = file(tmp_path, "rows.csv", "job,age,income\nnurse,39,rich\npilot,40,poor\n")
    out = tmp_path / "predictions"
    found = stack.json("--input", rows, "--output", str(out))
    assert (out / "rows.csv.out").read_text() == "v1,0.39\nv1,0.4\n"
    assert json.loads((out / "manifest.json").read_text())["job"] == found["job"]
    assert (found["rows_in"], found["rows_out"], found["problems"]) == (2, 2, [])
    assert (found["version"], found["status"]) == (1, "Completed")
    assert found["seconds"] > 0
    assert found["usd"] == pytest.approx(found["seconds"] * 0.115 / 3600)
    (given,) = found["inputs"]
    assert stack.text(given["uri"]) == "39,nurse\n40,pilot\n"
    assert given["version_id"] not in ("", "null")
    assert json.loads(stack.text(found["manifest"]))["digest"] == found["digest"]
    assert stack.models() == []


def test_objects_in_s3_are_predicted_where_they_are_asked_for(stack: Stack) -> None:
    """Gzip, a prefix, a named place; --join puts the row before its prediction, --follow tells."""
    hosting = stack.hosting
    hosting.put("gz/a.csv.gz", gzip.compress(b"1,nurse\n2,clerk\n"))
    hosting.put("gz/sub/b.csv.gz", gzip.compress(b"3,nurse\n"))
    result = stack.run(
        MODEL, "--input", hosting.uri("gz/"), "--output", hosting.uri("got"), "--join", "--follow"
    )
    assert result.exit_code == 0, result.output
    assert "census 1 (champion)" in result.output
    assert "gz/sub/b.csv.gz" in result.output
    assert "3 predictions" in result.output
    assert hosting.get("got/a.csv.gz.out").decode() == "1,nurse,v1,0.01\n2,clerk,v1,0.02\n"
    manifest = json.loads(hosting.get("got/manifest.json"))
    assert [entry["rows"] for entry in manifest["outputs"]] == [2, 1]
    again = stack.run(MODEL, "--input", hosting.uri("gz/"), "--output", hosting.uri("got"))
    assert (again.exit_code, "is not empty" in again.output) == (5, True)


def test_json_lines_are_answered_as_json_lines(stack: Stack, tmp_path: Path) -> None:
    """The answer's kind is the input's."""
    rows = file(tmp_path, "rows.jsonl", '{"age": 7, "job": "nurse", "more": 1}\n')
    found = stack.json("--input", rows)
    assert json.loads(stack.text(found["outputs"][0]["uri"])) == {"score": 0.07}
    assert found["content_type"] == "application/jsonlines"


def test_what_the_server_refuses_is_told_and_nothing_is_left(stack: Stack) -> None:
    """The good object has predictions, the bad one none; words, manifest, exit code 1."""
    hosting = stack.hosting
    hosting.put("bad/a.csv", "1,nurse\n")
    hosting.put("bad/b.csv", "1,nurse\n13,nurse\n")
    result = stack.run(MODEL, "--input", hosting.uri("bad/"), "--output", hosting.uri("worse"))
    assert result.exit_code == 1, result.output
    assert "row 1, age: 13 is unlucky" in result.output
    manifest = json.loads(hosting.get("worse/manifest.json"))
    assert [entry["of"] for entry in manifest["outputs"]] == [hosting.uri("bad/a.csv")]
    assert f"{hosting.uri('bad/b.csv')} has no predictions" in manifest["problems"]
    assert stack.models() == []


def test_an_input_that_changes_while_the_job_runs_is_told(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows what the job read of it: the manifest says so, and the command fails."""
    hosting = stack.hosting
    hosting.put("moving/a.csv", "1,nurse\n")
    real = finish_batch.forget_model

    def and_change(started: Any) -> None:
        real(started)
        hosting.put("moving/a.csv", "2,nurse\n")

    monkeypatch.setattr(finish_batch, "forget_model", and_change)
    result = stack.run(MODEL, "--input", hosting.uri("moving/"))
    assert result.exit_code == 1
    assert "a.csv was replaced while the job ran" in result.output


def test_ctrl_c_stops_the_job_and_removes_the_model(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look is interrupted as by a person."""
    hosting = stack.hosting
    hosting.put("slow/a.csv", "99,nurse\n")
    real, looks = finish_batch.look_at, []

    def interrupted(started: Any) -> Any:
        looks.append(started.order.name)
        if len(looks) == 1:
            raise KeyboardInterrupt
        return real(started)

    monkeypatch.setattr(finish_batch, "look_at", interrupted)
    result = stack.run(MODEL, "--input", hosting.uri("slow/"))
    assert result.exit_code == 1
    assert "was stopped" in result.output
    found = hosting.sagemaker.describe_transform_job(TransformJobName=looks[0])
    assert found["TransformJobStatus"] == "Stopped"
    assert stack.models() == []


REFUSED: list[tuple[str, str, tuple[str, ...], int, str]] = [
    ("a.csv", "age,job\n1,nurse\n", (), 5, "begins with a header"),
    ("a.csv", "1\n", (), 5, "the first line has 1 values; expected 2: age, job"),
    ("a.jsonl", "age\n", (), 5, "the first line is not JSON"),
    ("a.csv.gz", "1,nurse\n", (), 1, "is not gzip"),
    ("a.txt", "1,nurse\n", (), 5, "ends in none of"),
    ("a.csv", "1,nurse\n", ("--version", "2"), 5, "is PendingManualApproval"),
    ("a.csv", "1,nurse\n", ("--version", "9"), 4, "has no version 9"),
    ("a.csv", "1,nurse\n", ("--instance", "ml.none.large"), 1, "ml.none.large"),
]


@pytest.mark.parametrize("case", REFUSED, ids=[words for *_, words in REFUSED])
def test_what_cannot_be_is_refused_before_it_costs(
    stack: Stack, case: tuple[str, str, tuple[str, ...], int, str]
) -> None:
    """No job and no Model, the words and the exit code of the reason."""
    name, body, more, code, words = case
    place = f"refused/{REFUSED.index(case)}"
    stack.hosting.put(f"{place}/{name}", body)
    before = stack.hosting.sagemaker.list_transform_jobs(MaxResults=100)["TransformJobSummaries"]
    result = stack.run(MODEL, "--input", stack.hosting.uri(f"{place}/"), *more)
    assert result.exit_code == code, result.output
    assert words in result.output
    after = stack.hosting.sagemaker.list_transform_jobs(MaxResults=100)["TransformJobSummaries"]
    assert len(after) == len(before)
    assert stack.models() == []


def test_places_and_files_that_do_not_fit_are_refused(stack: Stack, tmp_path: Path) -> None:
    """A missing file, a folder, an empty prefix, a full folder, an output below the input."""
    rows = file(tmp_path, "rows.csv", "1,nurse\n")
    bad = file(tmp_path, "bad.csv", "1,nurse\n-1,nurse\n")
    uri = stack.hosting.uri("nothing-here/")
    for arguments, code, words in (
        ((MODEL, "--input", str(tmp_path / "no.csv")), 4, "There is no file"),
        ((MODEL, "--input", str(tmp_path)), 2, "is a folder"),
        ((MODEL, "--input", uri), 4, "there is no object at"),
        ((MODEL, "--input", rows, "--output", str(tmp_path)), 5, "not empty"),
        ((MODEL, "--input", uri, "--output", f"{uri}out"), 5, "lies below the input"),
        ((MODEL, "--input", bad), 5, "line 2, age: -1 is below"),
        (("nobody", "--input", rows), 4, "there is no model 'nobody'"),
    ):
        result = stack.run(*arguments)
        assert result.exit_code == code, (arguments, result.output)
        assert words in result.output, (arguments, result.output)


def test_without_a_network_the_code_comes_with_the_model(stack: Stack, tmp_path: Path) -> None:
    """A version that lacks it is refused by name before anything is made; another one predicts."""
    closed = connect({**stack.ports.deployment.values, "NETWORK_ISOLATION": "yes"})
    with pytest.raises(Rejected, match=r"census 1 was .* archive lacks the server's code"):
        start_batch(closed, Asked(MODEL, "s3://b/k"))
    number = int(stack.version(packed=True).rpartition("/")[2])
    rows = tmp_path / "rows.csv"
    rows.write_text("1,nurse\n")
    name = start_batch(closed, Asked(MODEL, rows, version=number)).order.name
    sagemaker = stack.hosting.sagemaker
    assert sagemaker.describe_model(ModelName=name)["EnableNetworkIsolation"]
    job = ended(stack, name)
    assert job["TransformJobStatus"] == "Completed", job
    place = job["TransformOutput"]["S3OutputPath"]
    assert stack.text(f"{place}/rows.csv.out") == f"v{number},0.01\n"
    sagemaker.delete_model(ModelName=name)


def test_a_model_that_nobody_followed_is_removed_by_the_next_batch(
    stack: Stack, tmp_path: Path
) -> None:
    """What a killed command left: a Model whose job is over."""
    rows = tmp_path / "rows.csv"
    rows.write_text("1,nurse\n")
    left = start_batch(stack.ports, Asked(MODEL, rows)).order.name
    ended(stack, left)
    assert stack.models() == [left]
    stack.json("--input", str(rows))
    assert stack.models() == []


def test_removing_a_model_stops_its_batches(stack: Stack) -> None:
    """A job that somebody else follows is stopped before its files are removed."""
    stack.hosting.put("under-way/a.csv", "99,nurse\n")
    place = stack.hosting.uri("under-way/")
    name = start_batch(stack.ports, Asked(MODEL, place)).order.name
    remove_model._stop_batches("batches", MODEL)
    describe = stack.hosting.sagemaker.describe_transform_job
    assert describe(TransformJobName=name)["TransformJobStatus"] == "Stopped"
    stack.hosting.sagemaker.delete_model(ModelName=name)


def test_removing_a_model_removes_what_its_batches_left(stack: Stack, tmp_path: Path) -> None:
    """By name, and only of exactly this model."""
    container = stack.hosting.container()
    mine = naming.batch_name("batches", MODEL, "b20261121-080000-0a1b")
    other = naming.batch_name("batches", f"{MODEL}-b", "b20261121-080000-0a1b")
    for name in (mine, other):
        stack.hosting.sagemaker.create_model(
            ModelName=name, PrimaryContainer=container, ExecutionRoleArn=stack.hosting.role
        )
    remove_served("batches", "", MODEL, time.monotonic() + 60)
    assert stack.models() == [other]
    stack.hosting.sagemaker.delete_model(ModelName=other)
