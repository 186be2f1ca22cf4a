"""Transform jobs with real model servers: requests as asked for, whole outputs, honest ends."""

import gzip
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.sagemaker.hosting import ECHO, Hosting, _command, _pids

# Answers a line a record with what arrived; parameters and refusals come by the record.
LINES = """
    import json, os, time

    SEEN = []

    def model_fn(folder):
        return None

    def transform_fn(model, body, content_type, accept):
        text = body if isinstance(body, str) else bytes(body).decode()
        rows = text.split("\\n")
        if rows[0].startswith("sleep"):
            time.sleep(30)
        if rows[0].startswith("crash"):
            os.kill(os.getppid(), 9)
            time.sleep(5)
        if rows[0].startswith("raise"):
            raise ValueError("cannot read " + rows[0])
        if rows[0].startswith("flaky") and not SEEN:
            SEEN.append(rows[0])
            raise ValueError("not the first time")
        if rows[0].startswith("refuse"):
            from sagemaker_containers.beta.framework import worker
            return worker.Response(response="row 1 is wrong", status=400, mimetype="text/plain")
        if accept == "application/jsonlines":
            out = [json.dumps({"n": len(rows), "row": row}) for row in rows]
        elif accept == "text/csv":
            out = [f"{len(rows)},{row.split(',')[-1]}" for row in rows]
        else:
            told = {k: v for k, v in os.environ.items() if k[:10] in ("SAGEMAKER_", "MARK")}
            out = [json.dumps({"told": told, "type": content_type, "accept": accept})]
        return "\\n".join(out) + "\\n", accept or "application/json"
"""
TELLS = (
    LINES
    + """
    def execution_parameters_fn():
        from sagemaker_containers.beta.framework import worker
        told = {"MaxConcurrentTransforms": 3, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 2}
        return worker.Response(response=json.dumps(told), status=200, mimetype="application/json")
"""
)
ENDED = ("Completed", "Failed", "Stopped")


class Transforms(Hosting):
    """Shorthand for transform jobs of one cloud."""

    def run(self, model: str, source: Any, *, wait: bool = True, **more: Any) -> Any:
        """Start a job on what lies at a key or prefix; its description when it has ended."""
        name = self.name("transform")
        uri = source if source.startswith("s3://") else self.uri(source)
        given = {"ContentType": "text/csv", "SplitType": "Line", **more.pop("input", {})}
        kind = given.pop("S3DataType", "S3Prefix")
        place = {"S3DataSource": {"S3DataType": kind, "S3Uri": uri}}
        count = more.pop("count", 1)
        target = {"Accept": "text/csv", "AssembleWith": "Line", **more.pop("output", {})}
        self.sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName=model,
            TransformInput={"DataSource": place, **{k: v for k, v in given.items() if v}},
            TransformOutput={
                "S3OutputPath": self.uri(f"out/{name}"),
                **{k: v for k, v in target.items() if v},
            },
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": count},
            **more,
        )
        return self.ended(name) if wait else name

    def ended(self, name: str) -> Any:
        """The description of a job that has ended."""
        return self.until(
            lambda: self.sagemaker.describe_transform_job(TransformJobName=name),
            lambda found: found["TransformJobStatus"] in ENDED,
        )

    def out(self, found: Any, name: str) -> str:
        """An output object's text."""
        return self.get(f"out/{found['TransformJobName']}/{name}.out").decode()

    def outputs(self, found: Any) -> list[str]:
        """The names of a job's output objects."""
        prefix = f"out/{found['TransformJobName']}/"
        return [key.removeprefix(prefix) for key in self.keys(prefix)]

    def told(self, found: Any) -> str:
        """Everything that the platform wrote into the job's data logs."""
        logs = self.cloud.client("logs")
        group = "/aws/sagemaker/TransformJobs"
        streams = logs.describe_log_streams(
            logGroupName=group, logStreamNamePrefix=found["TransformJobName"] + "/"
        )["logStreams"]
        return "\n".join(
            event["message"]
            for stream in streams
            if stream["logStreamName"].endswith("/data-log")
            for event in logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"]
            )["events"]
        )


@pytest.fixture(scope="module")
def transforms(hosting: Hosting) -> Transforms:
    """Jobs on the endpoints' cloud."""
    return Transforms(hosting.cloud)


@pytest.fixture(scope="module")
def lines(transforms: Transforms) -> str:
    """A model that answers line by line and tells nothing about how it wants to be asked."""
    return transforms.model(script=LINES)


@pytest.fixture(scope="module")
def tells(transforms: Transforms) -> str:
    """The same with GET /execution-parameters."""
    return transforms.model(script=TELLS)


def rows(text: str) -> list[str]:
    """The lines of an output, of which each ends."""
    assert text.endswith("\n")
    return text.splitlines()


def test_every_object_of_a_prefix_becomes_an_output_by_two_servers(
    transforms: Transforms, lines: str
) -> None:
    """Names keep their folders and gain .out, rows their order; each instance is a server."""
    for number in range(4):
        body = "".join(f"{number},{row}\n" for row in range(100))
        transforms.put(f"many/in/part/{number}.csv", body)
    transforms.put("many/in/empty.csv", "")
    transforms.put("many/in//a b+ü.csv", "1\n")
    found = transforms.run(lines, "many/in/", count=2)
    assert found["TransformJobStatus"] == "Completed", found
    assert transforms.outputs(found) == [
        "/a b+ü.csv.out",
        "empty.csv.out",
        *(f"part/{number}.csv.out" for number in range(4)),
    ]
    for number in range(4):
        assert rows(transforms.out(found, f"part/{number}.csv")) == [
            f"100,{row}" for row in range(100)
        ]
    told = transforms.told(found)
    assert (
        told.count("MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD") == 2
    )
    assert found["CreationTime"] <= found["TransformStartTime"] <= found["TransformEndTime"]
    mark = found["TransformJobName"]
    assert not [pid for pid in _pids() if mark in _command(pid)]


def test_a_container_says_how_it_wants_to_be_asked_and_the_request_overrules_it(
    transforms: Transforms, tells: str
) -> None:
    """/execution-parameters gives strategy and concurrency; what the request names counts more."""
    uri = transforms.put("told/a.csv", "a\nb\nc\n")
    found = transforms.run(tells, uri)
    assert rows(transforms.out(found, "a.csv")) == ["1,a", "1,b", "1,c"]
    words = "MaxConcurrentTransforms=3, MaxPayloadInMB=2, BatchStrategy=SINGLE_RECORD"
    assert words in transforms.told(found)
    found = transforms.run(tells, uri, BatchStrategy="MultiRecord", MaxConcurrentTransforms=1)
    assert rows(transforms.out(found, "a.csv")) == ["3,a", "3,b", "3,c"]


def test_a_batch_is_told_to_the_container_and_sent_whole_without_a_split(
    transforms: Transforms, lines: str
) -> None:
    """SplitType None: one request an object; variables, content type and accept arrive."""
    uri = transforms.put("whole/a.csv", "a\nb\n")
    found = transforms.run(
        lines,
        uri,
        input={"SplitType": None},
        output={"Accept": "application/json", "AssembleWith": None},
        Environment={"MARK": "here"},
        MaxPayloadInMB=3,
        MaxConcurrentTransforms=2,
        BatchStrategy="SingleRecord",
    )
    said = json.loads(transforms.out(found, "a.csv"))
    assert (said["type"], said["accept"]) == ("text/csv", "application/json")
    told = said["told"]
    assert told["MARK"] == "here"
    assert told["SAGEMAKER_BATCH"] == "true"
    assert told["SAGEMAKER_MAX_PAYLOAD_IN_MB"] == "3"
    assert told["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] == "2"
    assert told["SAGEMAKER_BATCH_STRATEGY"] == "SINGLE_RECORD"


def test_a_payload_is_filled_and_never_exceeded(transforms: Transforms, lines: str) -> None:
    """Records of 0.4 MB go two to a request of 1 MB; one above the limit fails its object alone."""
    record = "x" * 400_000
    transforms.put("big/a.csv", f"{record}\n" * 5)
    transforms.put("big/b.csv", "y" * 1_100_000)
    found = transforms.run(lines, "big/", MaxPayloadInMB=1)
    assert found["TransformJobStatus"] == "Failed"
    assert found["FailureReason"] == "ClientError: See job logs for more information"
    assert transforms.outputs(found) == ["a.csv.out"]
    counts = [line.split(",")[0] for line in rows(transforms.out(found, "a.csv"))]
    assert counts == ["2", "2", "2", "2", "1"]
    assert "/big/b.csv: ClientError: Too much data for max payload size" in transforms.told(found)


def test_gzip_and_manifests_are_read(transforms: Transforms, lines: str) -> None:
    """CompressionType Gzip unpacks; a manifest names its objects."""
    transforms.put("zip/a.csv.gz", gzip.compress(b"1\n2\n"))
    manifest = json.dumps([{"prefix": transforms.uri("zip/")}, "a.csv.gz"])
    uri = transforms.put("zip.manifest", manifest)
    given = {"CompressionType": "Gzip", "S3DataType": "ManifestFile"}
    found = transforms.run(lines, uri, input=given)
    assert rows(transforms.out(found, "a.csv.gz")) == ["2,1", "2,2"]


def test_filters_and_join_shape_csv(transforms: Transforms, lines: str) -> None:
    """InputFilter drops the id, JoinSource puts the row before its answer, OutputFilter picks."""
    uri = transforms.put("join/a.csv", 'id1,"a,b",7\nid2,c,8\n')
    found = transforms.run(
        lines,
        uri,
        DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,1,-1]"},
    )
    assert rows(transforms.out(found, "a.csv")) == ['id1,"a,b",7', "id2,c,8"]


def test_json_lines_are_joined_under_sagemakers_keys(transforms: Transforms, lines: str) -> None:
    """An object gains SageMakerOutput; another value becomes SageMakerInput beside it."""
    uri = transforms.put("jsonl/a.jsonl", '{"id": 1, "f": [5, 6]}\n')
    shape: dict[str, Any] = {"input": {"ContentType": "application/jsonlines"}}
    shape["output"] = {"Accept": "application/jsonlines"}
    found = transforms.run(
        lines, uri, DataProcessing={"InputFilter": "$.f", "JoinSource": "Input"}, **shape
    )
    (line,) = rows(transforms.out(found, "a.jsonl"))
    answer = {"n": 1, "row": "[5,6]"}
    assert json.loads(line) == {"id": 1, "f": [5, 6], "SageMakerOutput": answer}
    picked = {"JoinSource": "Input", "OutputFilter": "$['id','SageMakerOutput']"}
    found = transforms.run(lines, uri, DataProcessing=picked, **shape)
    assert set(json.loads(rows(transforms.out(found, "a.jsonl"))[0])) == {"id", "SageMakerOutput"}


@pytest.mark.parametrize(
    ("first", "reason", "told"),
    [
        ("refuse", "ClientError: See job logs for more information", "row 1 is wrong"),
        ("raise", "AlgorithmError: See job logs for more information", "AlgorithmError: 500"),
        ("crash", "AlgorithmError: See job logs for more information", "no answer"),
    ],
)
def test_a_failed_object_leaves_no_part_of_it(
    transforms: Transforms, lines: str, first: str, reason: str, told: str
) -> None:
    """What the server answered stands in the data log; the object's good part is not stored."""
    uri = transforms.put(f"bad/{first}/a.csv", f"good\n{first}\n")
    retries = {"InvocationsMaxRetries": 1, "InvocationsTimeoutInSeconds": 20}
    found = transforms.run(lines, uri, BatchStrategy="SingleRecord", ModelClientConfig=retries)
    assert (found["TransformJobStatus"], found["FailureReason"]) == ("Failed", reason)
    assert transforms.outputs(found) == []
    assert told in transforms.told(found)


@pytest.mark.parametrize(("retries", "status"), [(1, "Completed"), (0, "Failed")])
def test_a_server_error_is_tried_again_as_often_as_asked(
    transforms: Transforms, lines: str, retries: int, status: str
) -> None:
    """InvocationsMaxRetries: a request that fails once and then succeeds."""
    uri = transforms.put("flaky/a.csv", "flaky\n")
    found = transforms.run(lines, uri, ModelClientConfig={"InvocationsMaxRetries": retries})
    assert found["TransformJobStatus"] == status


def test_answers_that_do_not_match_their_records_fail_a_join(transforms: Transforms) -> None:
    """A model that answers once for many rows cannot be joined, and nothing is guessed."""
    uri = transforms.put("mismatch/a.csv", "1\n2\n")
    found = transforms.run(
        transforms.model(script=ECHO), uri, DataProcessing={"JoinSource": "Input"}
    )
    assert found["FailureReason"] == "ClientError: See job logs for more information"
    assert "2 records were sent, and the answer has 1" in transforms.told(found)


def test_a_timeout_fails_and_a_stop_stops(transforms: Transforms, lines: str) -> None:
    """No answer within InvocationsTimeoutInSeconds ends as failed; StopTransformJob as Stopped."""
    uri = transforms.put("slow/a.csv", "sleep\n")
    limits = {"InvocationsTimeoutInSeconds": 1, "InvocationsMaxRetries": 0}
    found = transforms.run(lines, uri, ModelClientConfig=limits)
    assert found["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert "no answer within 1 seconds" in transforms.told(found)
    name = transforms.run(lines, uri, wait=False)
    describe = transforms.sagemaker.describe_transform_job
    transforms.until(
        lambda: describe(TransformJobName=name), lambda found: "TransformStartTime" in found
    )
    transforms.sagemaker.stop_transform_job(TransformJobName=name)
    found = transforms.ended(name)
    assert found["TransformJobStatus"] == "Stopped"
    assert transforms.outputs(found) == []
    with pytest.raises(ClientError, match="is in status Stopped"):
        transforms.sagemaker.stop_transform_job(TransformJobName=name)


def test_input_that_is_not_there_and_a_server_that_cannot_start_fail_in_words(
    transforms: Transforms, lines: str
) -> None:
    """No object below the prefix; a model whose module does not import."""
    found = transforms.run(lines, "nothing/here/")
    assert found["FailureReason"].startswith('ClientError: No S3 objects found under S3 URL "s3://')
    broken = transforms.model(script="raise SystemExit(3)")
    found = transforms.run(broken, transforms.put("one/a.csv", "1\n"))
    assert found["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert "ended by itself with exit code 3" in transforms.told(found)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"input": {"SplitType": "RecordIO"}}, "SplitType RecordIO"),
    ({"input": {"SplitType": "TFRecord"}}, "SplitType TFRecord"),
    ({"input": {"S3DataType": "AugmentedManifestFile"}}, "S3DataType AugmentedManifestFile"),
    ({"DataCaptureConfig": {"DestinationS3Uri": "s3://b/c"}}, "DataCaptureConfig"),
    ({"ExperimentConfig": {"ExperimentName": "e"}}, "ExperimentConfig"),
    ({"MaxConcurrentTransforms": 11, "MaxPayloadInMB": 10}, "must not exceed 100 MB"),
    ({"input": {"SplitType": None}, "BatchStrategy": "MultiRecord"}, "SplitType other than None"),
    ({"DataProcessing": {"InputFilter": "$..a"}}, "InputFilter is no JSONPath"),
    ({"DataProcessing": {"JoinSource": "Input"}, "output": {"Accept": None, "AssembleWith": None}},
     "AssembleWith and SplitType to be the same"),
    ({"DataProcessing": {"OutputFilter": "$[0]"}, "output": {"Accept": "application/json"}},
     "Accept like its ContentType"),
    ({"DataProcessing": {"OutputFilter": "$[0]"}, "input": {"ContentType": "image/png"}},
     "needs a ContentType of"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_is_not_done_is_refused_by_name(
    transforms: Transforms, lines: str, more: dict[str, Any], words: str
) -> None:
    """No job of the name is left behind."""
    with pytest.raises(ClientError, match=r"(?s).*") as caught:
        transforms.run(lines, "x", **more)
    assert words in str(caught.value)


def test_a_model_of_several_models_is_refused(transforms: Transforms) -> None:
    """Nobody says which of them a batch would mean."""
    transforms.put("several/a.tar.gz", transforms.archive({"word.txt": "a"}))
    container = transforms.container() | {
        "Mode": "MultiModel",
        "ModelDataUrl": transforms.uri("several/"),
    }
    model = transforms.model(container=container)
    with pytest.raises(ClientError, match="does not take a multi-model container"):
        transforms.run(model, "x")


def test_names_are_taken_once_and_unknown_ones_are_told(transforms: Transforms, lines: str) -> None:
    """A second job of a name, a job and a model that nobody made; lists are filtered."""
    uri = transforms.put("one/a.csv", "1\n")
    found = transforms.run(lines, uri)
    request = {
        name: found[name]
        for name in ("TransformJobName", "ModelName", "TransformInput", "TransformOutput")
    }
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 1}
    create = transforms.sagemaker.create_transform_job
    with pytest.raises(ClientError, match="must be unique within an AWS account and region"):
        create(**request, TransformResources=resources)
    with pytest.raises(ClientError, match="Could not find model"):
        create(**request | {"ModelName": "nobody", "TransformJobName": "new"},
               TransformResources=resources)  # fmt: skip
    with pytest.raises(ClientError, match="Could not find requested job with name: new"):
        transforms.sagemaker.describe_transform_job(TransformJobName="new")
    (summary,) = transforms.sagemaker.list_transform_jobs(
        NameContains=found["TransformJobName"], StatusEquals="Completed"
    )["TransformJobSummaries"]
    assert summary["TransformJobArn"] == found["TransformJobArn"]


def test_a_state_machine_waits_for_a_transform_job_and_events_tell_of_it(
    transforms: Transforms, lines: str
) -> None:
    """createTransformJob.sync answers the description; an event of each status reaches a queue."""
    cloud = transforms.cloud
    queue = cloud.client("sqs").create_queue(QueueName=transforms.name("events"))["QueueUrl"]
    events, rule = cloud.client("events"), transforms.name("rule")
    kind = "SageMaker Transform Job State Change"
    events.put_rule(
        Name=rule, EventPattern=json.dumps({"source": ["aws.sagemaker"], "detail-type": [kind]})
    )
    arn = cloud.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    events.put_targets(Rule=rule, Targets=[{"Id": "q", "Arn": arn["Attributes"]["QueueArn"]}])
    name = transforms.name("transform")
    uri = transforms.put("sync/a.csv", "1\n")
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sagemaker:createTransformJob.sync",
        "Parameters": {
            "TransformJobName": name,
            "ModelName": lines,
            "TransformInput": {
                "ContentType": "text/csv",
                "SplitType": "Line",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}},
            },
            "TransformOutput": {"S3OutputPath": transforms.uri(f"out/{name}")},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        },
        "End": True,
    }
    states = cloud.client("stepfunctions")
    machine = states.create_state_machine(
        name=transforms.name("machine"),
        definition=json.dumps({"StartAt": "T", "States": {"T": task}}),
        roleArn=transforms.role,
    )["stateMachineArn"]
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    ended = transforms.until(
        lambda: states.describe_execution(executionArn=execution),
        lambda found: found["status"] != "RUNNING",
    )
    assert ended["status"] == "SUCCEEDED", ended
    output = json.loads(ended["output"])
    assert (output["TransformJobName"], output["TransformJobStatus"]) == (name, "Completed")
    seen: list[Any] = []
    end = time.monotonic() + 20
    while [one["TransformJobStatus"] for one in seen] != ["InProgress", "Completed"]:
        assert time.monotonic() < end, seen
        got = cloud.client("sqs").receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        for message in got.get("Messages", []):
            detail = json.loads(message["Body"])["detail"]
            if detail["TransformJobName"] == name:
                seen.append(detail)
        seen.sort(key=lambda one: "TransformEndTime" in one)
    assert seen[1]["TransformEndTime"].endswith("Z")
    assert seen[1]["Tags"]["MANAGED_BY_AWS"] == "STARTED_BY_STEP_FUNCTIONS"
