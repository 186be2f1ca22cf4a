"""A/B tests on real servers: the whole story by the command line, and a stock script of boto3."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from perennial.aws import registry
from perennial.aws.clients import forget_clients
from perennial.commit_change import commit_change
from perennial.describe_ab import AbDescription, describe_ab
from perennial.describe_endpoint import describe_endpoint
from perennial.describe_model import known_model
from perennial.domain.errors import NotAllowed
from perennial.domain.ledger.rows import Champion, Live, RunRow, Version
from perennial.domain.ledger.store import change, create
from perennial.domain.settings import parse_settings
from perennial.list_releases import list_releases
from perennial.publish_settings import publish_settings
from perennial.release_again import release_again
from perennial.rollback_release import rollback_release
from perennial.start_ab import start_test
from perennial.sweep import sweep_test
from perennial.wiring import Ports, connect

from cli.main import perennial
from tests.functional.conftest import start_local_cloud
from tests.functional.sagemaker.conftest import IMAGE
from tests.functional.sagemaker.hosting import Hosting

pytestmark = pytest.mark.timeout(300)

MODEL = "census"
LIVE = f"perennial-live-{MODEL}"
#: Version 1 says the same of everybody; version 2 and 3 know the relation.
SERVER = """
    import json, os

    VERSION = int(os.environ["PERENNIAL_VERSION"])

    def model_fn(folder):
        return None

    def transform_fn(model, body, content_type, accept):
        said = []
        for row in json.loads(body)["instances"]:
            rich = VERSION > 1 and row["age"] >= 50
            said.append({"prediction": ">50K" if rich else "<=50K", "score": 0.9 if rich else 0.1})
        return json.dumps({"predictions": said, "version": VERSION}), "application/json"
"""
DOCUMENT: dict[str, Any] = {
    "problem": "binary",
    "label": "income",
    "positive": ">50K",
    "data": {
        "columns": {
            "age": {"type": "int", "min": 0},
            "income": {"type": "category", "levels": ["<=50K", ">50K"]},
        },
        "select": ["*.csv"],
    },
    "gates": {"auc": {"min": 0.5}},
    "release": {
        "endpoint": {"instance": "ml.m5.large", "count": 2},
        "bake": "3m",
        "guard": {"errors": "5%", "latency_p99": "off", "period": "1m", "evaluations": 1},
    },
}
SCHEMA = {
    "problem": "binary",
    "label": "income",
    "positive": ">50K",
    "classes": ["<=50K", ">50K"],
    "missing": [],
    "columns": [
        {"name": "age", "type": "int", "min": 0},
        {"name": "income", "type": "category", "levels": ["<=50K", ">50K"]},
    ],
}
KEYS = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]
#: What of the main stack an A/B test needs; its own functions are not among it.
RESOURCES: dict[str, Any] = {
    "ArtifactBucket": {
        "Type": "AWS::S3::Bucket",
        "Properties": {"VersioningConfiguration": {"Status": "Enabled"}},
    },
    "LedgerTable": {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": KEYS,
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
        },
    },
    "SignalQueue": {"Type": "AWS::SQS::Queue"},
    "Inbox": {"Type": "AWS::SQS::Queue"},
    "NoticesTopic": {
        "Type": "AWS::SNS::Topic",
    },
}
MACHINE = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 900, "End": True}}}


@dataclass
class Stage:
    """A stack with version 1 live and 2 to 4 registered, and everything a test does to it."""

    hosting: Hosting
    ports: Ports
    bucket: str
    requests: list[tuple[str, str]] = field(default_factory=list)

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Run one command; it must end with this code."""
        result = CliRunner().invoke(perennial, list(arguments))
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    def ask(self, age: int) -> tuple[str, int]:
        """One request with an id of its own; variant and version that answered."""
        event = f"request-{uuid.uuid4().hex}"
        answer = self.hosting.patient.invoke_endpoint(
            EndpointName=LIVE,
            ContentType="application/json",
            Accept="application/json",
            Body=json.dumps({"instances": [{"age": age}]}),
            InferenceId=event,
        )
        self.requests.append((event, ">50K" if age >= 50 else "<=50K"))
        return answer["InvokedProductionVariant"], json.loads(answer["Body"].read())["version"]

    def label(self, part: int, of: int) -> None:
        """Let the truth land of one in `of` requests."""
        lines = [
            json.dumps(
                {
                    "groundTruthData": {"data": label, "encoding": "CSV"},
                    "eventMetadata": {"eventId": event},
                    "eventVersion": "0",
                }
            )
            for event, label in self.requests[part::of]
        ]
        key = f"labels/{MODEL}/2026/11/21/08/{uuid.uuid4().hex}.jsonl"
        body = "\n".join([*lines, "no json"]).encode()
        self.hosting.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def describe(self) -> AbDescription:
        """What `perennial ab status` shows."""
        return describe_ab(self.ports, MODEL)

    @property
    def weights(self) -> dict[str, float]:
        """What the endpoint says of its variants."""
        found = self.hosting.look(LIVE)["ProductionVariants"]
        return {each["VariantName"]: each["CurrentWeight"] for each in found}


def archive(name: str, text: str) -> bytes:
    """A tar.gz of one file."""
    packed = io.BytesIO()
    raw = textwrap.dedent(text).encode()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(raw)
        tar.addfile(member, io.BytesIO(raw))
    return packed.getvalue()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Version 1 on two machines, as a confirmed release leaves it; the clock goes sixty times."""
    cloud = start_local_cloud(tmp_path_factory.mktemp("ab") / "state", "--clock", "60")
    hosting = Hosting(cloud)
    machine = cloud.client("stepfunctions").create_state_machine(
        name="perennial-release", definition=json.dumps(MACHINE), roleArn=hosting.role
    )["stateMachineArn"]
    named = {"ArtifactBucket": "ArtifactBucket", "LedgerTable": "LedgerTable"}
    named |= {"SignalQueueUrl": "SignalQueue", "NoticesTopicArn": "NoticesTopic"}
    outputs: dict[str, Any] = {name: {"Value": {"Ref": ref}} for name, ref in named.items()}
    outputs |= {"ReleaseMachineArn": {"Value": machine}, "StackToken": {"Value": "perennial"}}
    formation = cloud.client("cloudformation")
    template = json.dumps({"Resources": RESOURCES, "Outputs": outputs})
    formation.create_stack(StackName="perennial", TemplateBody=template)
    formation.get_waiter("stack_create_complete").wait(
        StackName="perennial", WaiterConfig={"Delay": 1}
    )
    found = formation.describe_stacks(StackName="perennial")["Stacks"][0]["Outputs"]
    values = {each["OutputKey"]: each["OutputValue"] for each in found}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cloud.environment().items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        patch.setenv("PERENNIAL_STATE", str(cloud.state))
        patch.setenv("PERENNIAL_USER", "ann")
        forget_clients()
        ports = connect({**values, "StackName": "perennial"})
        made = Stage(hosting, ports, values["ArtifactBucket"])
        go_live(made)
        yield made
    forget_clients()
    cloud.stop()


def go_live(stage: Stage) -> None:
    """Register four versions, of which the fourth takes no request that the first takes."""
    ports, sagemaker = stage.ports, stage.hosting.sagemaker
    settings = json.dumps(parse_settings(DOCUMENT, project=MODEL).to_json())
    publish_settings(ports, MODEL, settings, "s3://nowhere/code.tar.gz", "a" * 64, "ann")
    group = f"perennial-{MODEL}"
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    arns = [register(stage, group, number) for number in (1, 2, 3, 4)]
    registry.update_approval(arns[0], registry.APPROVED, "good")
    registry.update_approval(arns[2], registry.REJECTED, "biased")
    variables = container(stage, 1)["Environment"]
    serving = {
        **container(stage, 1),
        "Environment": {
            **variables,
            "SAGEMAKER_PROGRAM": "serve.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": variables["PERENNIAL_CODE"],
            "PERENNIAL_VERSION": "1",
        },
    }
    name = f"perennial-{MODEL}-r1"
    sagemaker.create_model(
        ModelName=name, PrimaryContainer=serving, ExecutionRoleArn=stage.hosting.role
    )
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": f"s3://{stage.bucket}/capture/{MODEL}",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"JsonContentTypes": ["application/json"]},
    }
    variant = stage.hosting.variant(name, count=2)
    stage.hosting.config(variant, EndpointConfigName=name, DataCaptureConfig=capture)
    sagemaker.create_endpoint(EndpointName=LIVE, EndpointConfigName=name)
    assert stage.hosting.settle(LIVE)["EndpointStatus"] == "InService"
    now = ports.clock()
    released = {
        "champion": Champion(1, arns[0], "d", 1, 1, now),
        "live": Live(LIVE, name, 1, 1, arns[0], now, run=1, settings=1),
        "last_release": 1,
    }
    # On a deployed stack the model's wake may be noted at the same moment.
    commit_change(ports, lambda: (change(known_model(ports.ledger, MODEL), **released),))


def container(stage: Stage, number: int) -> dict[str, Any]:
    """The container that a version is registered with; its artifact is digested truly."""
    body, code = archive("word.txt", f"model {number}"), archive("serve.py", SERVER)
    s3 = stage.hosting.s3
    s3.put_object(Bucket=stage.bucket, Key=f"models/{number}/model.tar.gz", Body=body)
    s3.put_object(Bucket=stage.bucket, Key="code/code.tar.gz", Body=code)
    from perennial.aws.objects import stream_digest

    artifact = f"s3://{stage.bucket}/models/{number}/model.tar.gz"
    return {
        "Image": IMAGE,
        "ModelDataUrl": artifact,
        "Environment": {
            "PERENNIAL_CODE": f"s3://{stage.bucket}/code/code.tar.gz",
            "PERENNIAL_MODEL_SHA256": stream_digest(artifact),
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
        },
    }


def register(stage: Stage, group: str, number: int) -> str:
    """A version that waits for approval, with the run that made it; its ARN."""
    arn = registry.create_version(
        {
            "ModelPackageGroupName": group,
            "ModelApprovalStatus": registry.PENDING,
            "InferenceSpecification": {
                "Containers": [container(stage, number)],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        }
    )
    run = RunRow(
        MODEL,
        number,
        1,
        1,
        state="ended",
        outcome="won",
        version=Version(number, arn, registry.PENDING),
    )
    stage.ports.ledger.commit([create(run)])
    schema = json.loads(json.dumps(SCHEMA))
    if number == 4:
        schema["columns"].append({"name": "job", "type": "string"})
    stage.hosting.s3.put_object(
        Bucket=stage.bucket,
        Key=f"runs/{MODEL}/{number}/check/schema.json",
        Body=json.dumps(schema).encode(),
    )
    return arn


def test_the_story_of_an_ab_test(stage: Stage) -> None:
    """One story, for each part begins where the one before it ended."""
    what_cannot_be_tested_is_refused(stage)
    the_challenger_joins_and_gets_its_share(stage)
    releases_are_refused_meanwhile(stage)
    traffic_is_shifted_and_labels_tell_the_better_one(stage)
    an_alarm_takes_the_challengers_traffic_away(stage)
    the_winner_is_released_as_main(stage)


def what_cannot_be_tested_is_refused(stage: Stage) -> None:
    """By name, before anything is made; the exit code says so too."""
    because = ("--because", "x")
    for version, words in (
        ("1", "is live already, as main"),
        ("3", "is Rejected: biased"),
        ("4", "does not take every request that version 1 takes"),
        ("2", "never passed a release's smoke test, and there is no request to try it on"),
    ):
        said = stage.run("ab", "start", MODEL, "--version", version, *because, code=5).output
        assert words in said.replace("\n", " ")
    stage.run("ab", "start", MODEL, "--version", "9", *because, code=4)
    assert (
        "from 0% to 50%"
        in stage.run(
            "ab", "start", MODEL, "--version", "2", "--share", "60%", *because, code=2
        ).output
    )
    assert (
        "no A/B test of census is open" in stage.run("ab", "stop", MODEL, *because, code=5).output
    )
    assert "has had no A/B test" in stage.run("ab", "status", MODEL, code=4).output
    assert known_model(stage.ports.ledger, MODEL).ab is None


def the_challenger_joins_and_gets_its_share(stage: Stage) -> None:
    """By a plain update: main answers all the time, and keeps both of its machines.

    First it answers, at no weight, what main has answered lately.
    """
    stage.ask(60)
    stage.hosting.cloud.idle()
    failures: list[str] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            try:
                stage.ask(30)
            except Exception as error:
                failures.append(str(error))
            time.sleep(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        said = stage.run(
            *("ab", "start", MODEL, "--version", "2", "--share", "20%", "--instances", "1"),
            *("--because", "newer data"),
        ).output
    finally:
        is_over.set()
        thread.join()
    assert failures == []
    assert "the challenger gets 20% of the traffic" in said
    assert stage.weights == pytest.approx({"main": 0.8, "challenger": 0.2})
    row = known_model(stage.ports.ledger, MODEL)
    assert row.ab is not None
    assert row.ab.tried.endswith("requests that main has answered")
    assert (row.ab.state, row.ab.share, row.live.config) == ("running", 200, "perennial-census-r1")
    assert stage.hosting.look(LIVE)["EndpointConfigName"] == "perennial-census-ab1"
    alarms = stage.hosting.cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert [each["AlarmName"] for each in alarms] == ["perennial-guard-census-ab1-errors"]
    again = start_test(stage.ports, MODEL, 2, 200, because="again", by="bob")
    assert again.words == "the challenger gets 20% of the traffic"


def releases_are_refused_meanwhile(stage: Stage) -> None:
    """By name; and the endpoint's configuration is known to be ours."""
    with pytest.raises(NotAllowed, match=r"A/B test 1 of census is open \(main 1, challenger 2\)"):
        release_again(stage.ports, MODEL, 1, "x", "ann")
    with pytest.raises(NotAllowed, match="no earlier good configuration"):
        rollback_release(stage.ports, MODEL, "x", "ann")
    assert "A/B test 1 of census is open" in stage.run(
        "endpoint", MODEL, "--remove", code=5
    ).output.replace("\n", " ")
    seen = describe_endpoint(stage.ports, MODEL)
    assert (seen.words, seen.open_ab) == ("", 1)
    assert "A/B test 1 is open" in stage.run("endpoint", MODEL).output
    assert "runs; the challenger gets 20%" in stage.run("why", MODEL).output


def traffic_is_shifted_and_labels_tell_the_better_one(stage: Stage) -> None:
    """Shares within binomial bounds; the verdict changes from nothing to the challenger."""
    early = stage.run("ab", "status", MODEL).output
    assert "quality: too little data yet" in early
    stage.run("ab", "shift", MODEL, "--share", "50%", "--because", "no errors")
    stage.requests.clear()
    seen = Counter(stage.ask(20 + 60 * (number // 2 % 2)) for number in range(400))
    assert set(seen) == {("main", 1), ("challenger", 2)}
    assert abs(seen["challenger", 2] - 200) < 4 * math.sqrt(400 * 0.25)
    stage.hosting.cloud.idle()
    stage.label(0, 2)
    found = stage.describe()
    main, challenger = found.report.variants
    assert (main.version, challenger.version) == (1, 2)
    assert main.labelled + challenger.labelled == 200
    assert (challenger.quality, found.skipped, found.part) == (1.0, 1, 1.0)
    assert main.quality is not None
    assert 0.3 < main.quality < 0.7
    assert challenger.requests >= seen["challenger", 2]
    assert main.requests >= seen["main", 1]
    assert (main.errors, challenger.errors) == (0, 0)
    assert challenger.latency_ms is not None
    assert found.report.quality.finding == "higher"
    assert found.report.winner == "challenger"
    said = stage.run("ab", "status", MODEL).output
    assert "the challenger answers better: perennial ab stop census" in said.replace("\n", " ")
    document = json.loads(stage.run("ab", "status", MODEL, "--json").stdout)
    assert document["report"]["winner"] == "challenger"
    assert [share["permille"] for share in document["test"]["shares"]] == [200, 500]


def an_alarm_takes_the_challengers_traffic_away(stage: Stage) -> None:
    """Raised by metrics of servers that fail; whoever looks next sets the weight to 0."""
    cloud = stage.hosting.cloud
    config = "perennial-census-ab1"
    cloud.faults(
        serve=[
            {
                "endpoint": LIVE,
                "config": config,
                "variant": "challenger",
                "status": 503,
                "times": 1_000_000,
            }
        ]
    )
    name = "perennial-guard-census-ab1-errors"
    client = cloud.client("cloudwatch")

    def sounds() -> bool:
        for _ in range(10):
            try:
                stage.ask(30)
            except Exception:
                continue
        found = client.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        return bool(found[0]["StateValue"] == "ALARM")

    stage.hosting.until(sounds, bool, 60)
    refused = stage.run("ab", "shift", MODEL, "--share", "30%", "--because", "x", code=5).output
    assert "sounds, so the challenger of census gets nothing" in refused.replace("\n", " ")
    swept = sweep_test(stage.ports, MODEL)
    cloud.faults()
    assert swept.ab == "the challenger gets 0% of the traffic"
    assert stage.weights == {"main": 1.0, "challenger": 0.0}
    row = known_model(stage.ports.ledger, MODEL)
    assert row.ab is not None
    last = row.ab.shares[-1]
    words = f"{name} sounds: the challenger gets nothing any more"
    assert (last.permille, last.by, last.because) == (0, "Perennial", words)
    assert {stage.ask(30) for _ in range(20)} == {("main", 1)}
    assert stage.describe().report.variants[1].errors > 0


def the_winner_is_released_as_main(stage: Stage) -> None:
    """Back to main alone, nothing of the test is left, and a guarded release is opened."""
    said = stage.run(
        "ab", "stop", MODEL, "--winner", "challenger", "--because", "twice as good"
    ).output
    assert "A/B test 1 of census has ended." in said
    assert "Release 2 of census is opened." in said
    row = known_model(stage.ports.ledger, MODEL)
    assert (row.ab, row.open_release) == (None, 2)
    (test,) = row.ended_abs
    assert (test.outcome, test.words) == ("challenger", "challenger, by ann: twice as good")
    (release,) = list_releases(stage.ports, MODEL)
    assert (release.kind, release.version, release.state) == ("again", 2, "started")
    assert release.because == "it won A/B test 1: twice as good"
    assert release.before == row.live
    version = registry.find_version(f"perennial-{MODEL}", 2)
    assert version.status == registry.APPROVED
    found = stage.hosting.look(LIVE)
    assert found["EndpointConfigName"] == "perennial-census-r1"
    (variant,) = found["ProductionVariants"]
    assert (variant["VariantName"], variant["DesiredInstanceCount"]) == ("main", 2)
    sagemaker = stage.hosting.sagemaker
    assert sagemaker.list_endpoint_configs(NameContains="-ab")["EndpointConfigs"] == []
    assert sagemaker.list_models(NameContains="-ab")["Models"] == []
    alarms = stage.hosting.cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]
    assert alarms == []
    with pytest.raises(NotAllowed, match="release 2 of census is at work"):
        start_test(stage.ports, MODEL, 2, 100, because="x", by="ann")
    assert "the test is over: challenger, by ann" in stage.run("ab", "status", MODEL).output


#: As anybody writes it for AWS: nothing in it is ours, and no address is named.
STOCK_SCRIPT = """
import json
import sys
import time
from collections import Counter

import boto3

role, image, model_a, model_b, code = sys.argv[1:]
sm = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")
endpoint = "ab-demo"

for name, data in (("model-a", model_a), ("model-b", model_b)):
    sm.create_model(
        ModelName=name,
        ExecutionRoleArn=role,
        PrimaryContainer={
            "Image": image,
            "ModelDataUrl": data,
            "Environment": {
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": code,
            },
        },
    )

variants = [
    {
        "VariantName": variant,
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        "InitialVariantWeight": 0.5,
    }
    for variant, model in (("VariantA", "model-a"), ("VariantB", "model-b"))
]
sm.create_endpoint_config(EndpointConfigName="ab-demo-config", ProductionVariants=variants)
sm.create_endpoint(EndpointName=endpoint, EndpointConfigName="ab-demo-config")
sm.get_waiter("endpoint_in_service").wait(
    EndpointName=endpoint, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
)


def ask(times, **target):
    seen = Counter()
    for _ in range(times):
        answer = runtime.invoke_endpoint(
            EndpointName=endpoint, ContentType="text/csv", Body="1,2,3", **target
        )
        answer["Body"].read()
        seen[answer["InvokedProductionVariant"]] += 1
    return seen


def weights():
    found = sm.describe_endpoint(EndpointName=endpoint)["ProductionVariants"]
    return {each["VariantName"]: each["CurrentWeight"] for each in found}


def shift(a, b):
    sm.update_endpoint_weights_and_capacities(
        EndpointName=endpoint,
        DesiredWeightsAndCapacities=[
            {"VariantName": "VariantA", "DesiredWeight": a},
            {"VariantName": "VariantB", "DesiredWeight": b},
        ],
    )
    time.sleep(0.5)
    sm.get_waiter("endpoint_in_service").wait(
        EndpointName=endpoint, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )


told = {"half": ask(400), "only_b": ask(20, TargetVariant="VariantB")}
shift(0.25, 0.75)
told["quarter"] = ask(400)
told["weights"] = weights()
shift(0, 1)
told["all_b"] = ask(50)
told["only_a"] = ask(20, TargetVariant="VariantA")
sm.delete_endpoint(EndpointName=endpoint)
sm.get_waiter("endpoint_deleted").wait(
    EndpointName=endpoint, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
)
sm.delete_endpoint_config(EndpointConfigName="ab-demo-config")
for name in ("model-a", "model-b"):
    sm.delete_model(ModelName=name)
print(json.dumps(told))
"""


def test_a_stock_script_of_boto3_runs_unmodified(hosting: Hosting, tmp_path: Path) -> None:
    """Two models at 0.5/0.5, both seen within binomial bounds; weights shifted; TargetVariant."""
    script = tmp_path / "ab_demo.py"
    script.write_text(STOCK_SCRIPT)
    first, second = hosting.container("a"), hosting.container("b")
    done = subprocess.run(
        [
            *(sys.executable, str(script), hosting.role, IMAGE),
            *(first["ModelDataUrl"], second["ModelDataUrl"]),
            first["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"],
        ],
        env=hosting.cloud.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for name, share in (("half", 0.5), ("quarter", 0.75)):
        seen = told[name]
        assert sum(seen.values()) == 400
        assert set(seen) == {"VariantA", "VariantB"}
        assert abs(seen["VariantB"] - 400 * share) < 5 * math.sqrt(400 * share * (1 - share))
    assert told["weights"] == {"VariantA": 0.25, "VariantB": 0.75}
    assert (told["only_b"], told["only_a"]) == ({"VariantB": 20}, {"VariantA": 20})
    assert told["all_b"] == {"VariantB": 50}
