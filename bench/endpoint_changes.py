"""Requests that an endpoint loses while it changes, counted at the client, without retries.

    .venv/bin/python -m bench.endpoint_changes

Sixteen clients ask one endpoint of the local cloud again and again, each on new connections as
boto3 makes them, while it goes through a canary, a linear update, a rollback that its alarm on the
latency of a slow new fleet raises, a scale-out and a scale-in. Every refused, reset or wrong answer
counts as lost. Yardstick: the same load for as long on the endpoint at rest.
"""

from __future__ import annotations

import io
import json
import statistics
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bench.common import empty_cloud
from local.sagemaker.container.images import KNOWN

CLIENTS = 16
NAME = "bench"
TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
    },
}
MODULE = """
import json, pathlib, time

def model_fn(folder):
    return json.loads(pathlib.Path(folder, "model.json").read_text())

def transform_fn(model, body, content_type, accept):
    time.sleep(model["seconds"])
    return json.dumps({"word": model["word"]}), "application/json"
"""


@dataclass
class Load:
    """What the clients saw: a moment, the seconds and the model's word for each answer."""

    answers: list[tuple[float, float, str]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, runtime: Any) -> None:
        """Ask until it is over."""
        while not self.over.is_set():
            began = time.perf_counter()
            try:
                answer = runtime.invoke_endpoint(EndpointName=NAME, Body=b"1")
                word = json.loads(answer["Body"].read())["word"]
            except (BotoCoreError, ClientError, ValueError, KeyError) as error:
                self.lost.append(repr(error))
            else:
                self.answers.append((time.monotonic(), time.perf_counter() - began, word))


class Endpoint:
    """The endpoint and what it is made from."""

    def __init__(self) -> None:
        self.sagemaker: Any = boto3.client("sagemaker")
        self.runtime = boto3.client(
            "sagemaker-runtime",
            config=Config(max_pool_connections=CLIENTS, retries={"total_max_attempts": 1}),
        )
        self.s3 = boto3.client("s3")
        self.s3.create_bucket(
            Bucket="bench", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        role = boto3.client("iam").create_role(
            RoleName="bench", AssumeRolePolicyDocument=json.dumps(TRUST)
        )
        self.role = role["Role"]["Arn"]
        self.configs = {
            "blue": self.config("blue", 0.0),
            "green": self.config("green", 0.0),
            "slow": self.config("slow", 0.15),
        }
        self.sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName="blue")
        self.settle("blue")

    def store(self, key: str, name: str, text: str) -> str:
        """Store a tar.gz of one file; its URI."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
        self.s3.put_object(Bucket="bench", Key=key, Body=packed.getvalue())
        return f"s3://bench/{key}"

    def config(self, word: str, seconds: float) -> str:
        """A model and a configuration of two instances, both of this name."""
        artifact = json.dumps({"word": word, "seconds": seconds})
        container = {
            "Image": KNOWN,
            "ModelDataUrl": self.store(f"{word}/model.tar.gz", "model.json", artifact),
            "Environment": {
                "SAGEMAKER_PROGRAM": "module.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": self.store("code.tar.gz", "module.py", MODULE),
                "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            },
        }
        self.sagemaker.create_model(
            ModelName=word, PrimaryContainer=container, ExecutionRoleArn=self.role
        )
        variant = {
            "VariantName": "main",
            "ModelName": word,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 2,
        }
        self.sagemaker.create_endpoint_config(EndpointConfigName=word, ProductionVariants=[variant])
        return word

    def settle(self, config: str) -> None:
        """Wait until nothing changes; ends the benchmark if another configuration is live."""
        while True:
            found = self.sagemaker.describe_endpoint(EndpointName=NAME)
            if found["EndpointStatus"] not in ("Creating", "Updating", "RollingBack"):
                break
            time.sleep(0.05)
        if (found["EndpointStatus"], found["EndpointConfigName"]) != ("InService", config):
            sys.exit(f"the endpoint is not in service with {config}: {found}")

    def update(self, config: str, kind: str, size: str, alarm: str = "", live: str = "") -> None:
        """Update by canary or linear steps of half or a third, each baked for two minutes."""
        routing = {
            "Type": kind,
            "WaitIntervalInSeconds": 120,
            size: {"Type": "CAPACITY_PERCENT", "Value": 50 if kind == "CANARY" else 34},
        }
        policy = {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 60}
        deployment: dict[str, Any] = {"BlueGreenUpdatePolicy": policy}
        if alarm:
            deployment["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": alarm}]}
        self.sagemaker.update_endpoint(
            EndpointName=NAME, EndpointConfigName=config, DeploymentConfig=deployment
        )
        self.settle(live or config)

    def roll_back(self) -> None:
        """Try the slow model; its own latency raises the alarm."""
        boto3.client("cloudwatch").put_metric_alarm(
            AlarmName="slow",
            Namespace="AWS/SageMaker",
            MetricName="ModelLatency",
            Dimensions=[
                {"Name": "EndpointName", "Value": NAME},
                {"Name": "VariantName", "Value": "main"},
                {"Name": "EndpointConfigName", "Value": "slow"},
            ],
            Statistic="Average",
            Period=60,
            EvaluationPeriods=1,
            Threshold=140_000,
            ComparisonOperator="GreaterThanThreshold",
            TreatMissingData="notBreaching",
        )
        self.update("slow", "CANARY", "CanarySize", alarm="slow", live="blue")

    def scale(self, count: int) -> None:
        """Another number of instances."""
        self.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=NAME,
            DesiredWeightsAndCapacities=[{"VariantName": "main", "DesiredInstanceCount": count}],
        )
        self.settle("blue")


def under_load(endpoint: Endpoint, change: Callable[[], object]) -> tuple[Load, float]:
    """Carry out a change while all clients ask; what they saw, and the seconds it took."""
    load = Load()
    threads = [threading.Thread(target=load.run, args=(endpoint.runtime,)) for _ in range(CLIENTS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    change()
    seconds = time.monotonic() - began
    load.over.set()
    for thread in threads:
        thread.join()
    return load, seconds


def describe(what: str, load: Load, seconds: float, rest: Load, rest_seconds: float) -> None:
    """One line of figures beside the yardstick's."""
    quick = [taken for _, taken, word in load.answers if word != "slow"]
    p99, at_rest = (
        1000 * statistics.quantiles(times, n=100)[98]
        for times in (quick, [taken for _, taken, _ in rest.answers])
    )
    rate, rate_at_rest = len(load.answers) / seconds, len(rest.answers) / rest_seconds
    print(
        f"{what}: {len(load.lost)} of {len(load.answers) + len(load.lost)} requests lost in "
        f"{seconds:.1f} s (aim: 0); {rate:.0f} requests/s, p99 {p99:.0f} ms; at rest "
        f"{rate_at_rest:.0f} requests/s, p99 {at_rest:.0f} ms; ratios {rate / rate_at_rest:.2f}, "
        f"{p99 / at_rest:.2f}",
        flush=True,
    )
    for text in sorted(set(load.lost))[:3]:
        print(f"  {text}", flush=True)


def main() -> None:
    """Print one line a change; exit code 1 when any request was lost."""
    with empty_cloud("--clock", "60"):
        endpoint = Endpoint()
        rest, rest_seconds = under_load(endpoint, lambda: time.sleep(6))
        changes: list[tuple[str, Callable[[], object]]] = [
            ("canary", lambda: endpoint.update("green", "CANARY", "CanarySize")),
            ("linear", lambda: endpoint.update("blue", "LINEAR", "LinearStepSize")),
            ("rollback by its alarm", endpoint.roll_back),
            ("scale-out to 4", lambda: endpoint.scale(4)),
            ("scale-in to 1", lambda: endpoint.scale(1)),
        ]
        lost = len(rest.lost)
        for what, change in changes:
            load, seconds = under_load(endpoint, change)
            describe(what, load, seconds, rest, rest_seconds)
            lost += len(load.lost)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
