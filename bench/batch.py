"""Rows a second of a transform job of the local cloud, beside bare requests to a bare server.

    .venv/bin/python -m bench.batch

The same rows go through three ways: the census model in a transform job; a module that answers a
line a row from memory in a transform job; and that module's server asked by hand with the same
bodies on as many connections. The second over the third is what the job itself costs (reading from
S3, cutting into requests, storing), the first over the second what the model costs. A job of one
row shows what is paid before the first prediction.
"""

from __future__ import annotations

import http.client
import io
import json
import statistics
import tarfile
import tempfile
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3

from bench.common import ROOT, empty_cloud, fetch_csv
from bench.endpoint_changes import TRUST
from bench.serving import WORKERS, serving, train
from local.sagemaker.container.images import KNOWN, Images

ROWS, OBJECTS, TURNS = 240_000, 4, 3
BODY_LIMIT = 6 * 1024 * 1024
CSV = "text/csv"
BARE = f"""
def model_fn(folder):
    return None

def transform_fn(model, body, content_type, accept):
    return "<=50K,0.5\\n" * len(body.split("\\n")), "text/csv"

def execution_parameters_fn():
    from sagemaker_containers.beta.framework import worker
    told = '{{"MaxConcurrentTransforms": {WORKERS}}}'
    return worker.Response(response=told, status=200, mimetype="application/json")
"""


def main() -> None:
    """Print rows a second of each way, and their ratios."""
    python = Images(ROOT).environment(KNOWN) / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as temporary:
        place = Path(temporary)
        train(python, place)
        objects = rows_of_census()
        for folder in ("model", "code"):
            (place / "bare" / folder).mkdir(parents=True)
        (place / "bare" / "code" / "serve.py").write_text(BARE)
        with empty_cloud():
            jobs = Jobs(objects)
            kept = {"PERENNIAL_UNVERIFIED": "yes"}
            census = jobs.model(place / "kept" / "model", place / "kept" / "code", kept)
            bare = jobs.model(place / "bare" / "model", place / "bare" / "code", {})
            with serving(place / "bare", place / "bare" / "code", python, {}) as port:
                tell(jobs, census, bare, port)


def tell(jobs: Jobs, census: str, bare: str, port: int) -> None:
    """The three ways in turns, for a shared machine is not the same for a minute."""
    turns = [
        (jobs.rate(census), jobs.rate(bare), by_hand(port, jobs.objects)) for _ in range(TURNS)
    ]
    ours, empty, hand = (statistics.median(column) for column in zip(*turns, strict=True))
    print(f"requests by hand to a bare server: {hand:,.0f} rows/s")
    print(
        f"transform job of that server: {empty:,.0f} rows/s; ratio "
        f"{statistics.median(job / direct for _, job, direct in turns):.2f}"
    )
    print(
        f"transform job of the census model: {ours:,.0f} rows/s; ratio to the bare job "
        f"{statistics.median(model / job for model, job, _ in turns):.2f}"
    )
    print(f"a job of one row of the census model, asked for to completed: {jobs.one(census):.1f} s")


def rows_of_census() -> list[bytes]:
    """The rows of the census table without the label, as objects of CSV without a header."""
    header, *lines = fetch_csv("census")
    label = header.split(",").index("income")
    rows = [",".join(c for i, c in enumerate(line.split(",")) if i != label) for line in lines]
    many = [rows[number % len(rows)] for number in range(ROWS)]
    size = ROWS // OBJECTS
    return ["\n".join(many[i : i + size]).encode() + b"\n" for i in range(0, ROWS, size)]


def by_hand(port: int, objects: list[bytes]) -> float:
    """Rows a second of the same bodies, posted by as many clients as the server has workers."""
    bodies = [body for each in objects for body in cut(each)]
    began = time.perf_counter()
    with ThreadPoolExecutor(int(WORKERS)) as pool:
        found = sum(pool.map(lambda body: post(port, body), bodies))
    if found != ROWS:
        raise SystemExit(f"{found} answers to {ROWS} rows")
    return ROWS / (time.perf_counter() - began)


def cut(content: bytes) -> list[bytes]:
    """Bodies of whole lines below the limit."""
    found = []
    while content:
        end = len(content) if len(content) <= BODY_LIMIT else content.rindex(b"\n", 0, BODY_LIMIT)
        found.append(content[:end].rstrip(b"\n"))
        content = content[end:].lstrip(b"\n")
    return found


def post(port: int, body: bytes) -> int:
    """Ask once; the lines of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/invocations", body, {"Content-Type": CSV, "Accept": CSV})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{answer.status}: {text[:500]!r}")
    return text.count(b"\n")


class Jobs:
    """Models and transform jobs of the local cloud."""

    def __init__(self, objects: list[bytes]) -> None:
        self.objects = objects
        self._sagemaker: Any = boto3.client("sagemaker")
        self._s3 = boto3.client("s3")
        place: Any = {"LocationConstraint": "eu-west-1"}
        self._s3.create_bucket(Bucket="bench", CreateBucketConfiguration=place)
        role = boto3.client("iam").create_role(
            RoleName="bench", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
        self._role = role["Role"]["Arn"]
        for number, content in enumerate(objects):
            self._s3.put_object(Bucket="bench", Key=f"rows/{number}.csv", Body=content)
        first = objects[0].partition(b"\n")[0]
        self._s3.put_object(Bucket="bench", Key="one/a.csv", Body=first + b"\n")

    def model(self, model: Path, code: Path, variables: Mapping[str, str]) -> str:
        """A SageMaker Model of both folders; its name."""
        name = f"m-{uuid.uuid4().hex[:8]}"
        container = {
            "Image": KNOWN,
            "ModelDataUrl": self._packed(f"{name}/model.tar.gz", model),
            "Environment": {
                "SAGEMAKER_PROGRAM": "serve.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": self._packed(f"{name}/code.tar.gz", code),
                "SAGEMAKER_MODEL_SERVER_WORKERS": WORKERS,
                **variables,
            },
        }
        self._sagemaker.create_model(
            ModelName=name, PrimaryContainer=container, ExecutionRoleArn=self._role
        )
        return name

    def _packed(self, key: str, folder: Path) -> str:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for path in sorted(folder.iterdir()):
                tar.add(path, arcname=path.name)
        self._s3.put_object(Bucket="bench", Key=key, Body=packed.getvalue())
        return f"s3://bench/{key}"

    def rate(self, model: str) -> float:
        """Rows a second of a job on all rows, from its servers' start to its end."""
        found = self._run(model, "s3://bench/rows/", ROWS)
        seconds = (found["TransformEndTime"] - found["TransformStartTime"]).total_seconds()
        return ROWS / float(seconds)

    def one(self, model: str) -> float:
        """Seconds of a job on one row, from its creation to its end."""
        found = self._run(model, "s3://bench/one/", 1)
        return float((found["TransformEndTime"] - found["CreationTime"]).total_seconds())

    def _checked(self, found: Any, rows: int) -> Any:
        """The job, whose outputs hold a line a row."""
        outputs = self._s3.list_objects_v2(Bucket="bench", Prefix=f"{found['TransformJobName']}/")
        bodies = [
            self._s3.get_object(Bucket="bench", Key=each["Key"])["Body"].read()
            for each in outputs["Contents"]
        ]
        if sum(body.count(b"\n") for body in bodies) != rows:
            raise SystemExit(f"{found['TransformJobName']} has not {rows} predictions")
        return found

    def _run(self, model: str, source: str, rows: int) -> Any:
        name = f"t-{uuid.uuid4().hex[:8]}"
        place = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source}}
        self._sagemaker.create_transform_job(
            TransformJobName=name,
            ModelName=model,
            BatchStrategy="MultiRecord",
            TransformInput={"DataSource": place, "ContentType": CSV, "SplitType": "Line"},
            TransformOutput={
                "S3OutputPath": f"s3://bench/{name}",
                "Accept": CSV,
                "AssembleWith": "Line",
            },
            TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
        )
        while True:
            found = self._sagemaker.describe_transform_job(TransformJobName=name)
            if found["TransformJobStatus"] == "Completed":
                return self._checked(found, rows)
            if found["TransformJobStatus"] != "InProgress":
                raise SystemExit(f"{found['TransformJobStatus']}: {found.get('FailureReason')}")
            time.sleep(0.05)


if __name__ == "__main__":
    main()
