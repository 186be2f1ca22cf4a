"""Cold start of each handler to its first answer, beside boto3 with the same clients alone.

    .venv/bin/python -m bench.cold_start

Both run as Lambda functions of the local cloud: the yardstick is a function of the same settings
that imports boto3 and makes the clients that the handler made, then answers. A configuration
change before each call makes the environment new. Calls that the handler makes to AWS while it
answers count against it.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import boto3

from bench.common import ROOT, running_stack

REPEATS = 9
YARDSTICK = """
import boto3

CLIENTS = [boto3.client(name) for name in {services!r}]


def handler(event, context):
    return {{}}
"""
#: What a state hands to its function; every path below the run's base, of a model nobody knows.
DONE = {"job": "nobody-1-0", "artifact": "s3://nobody/x"}
EVALUATIONS = ("evaluate", "evaluate_champion")
EXAMINATIONS = ("compare", "measure_bias", "explain")
STEPS = ("check_data", "train", *EVALUATIONS, *EXAMINATIONS)
PLAN = {
    "places": dict.fromkeys(STEPS, "s3://nobody/x"),
    "done": dict.fromkeys(STEPS, DONE),
    "champion": {"version": 0},
}
STATE = dict.fromkeys(
    ("arn", "artifact", "base", "check_job", "clarify_image", "code", "code_sha", "evaluate_job",
     "evaluation", "execution", "gpu_image", "group", "image", "manifest", "settings_uri",
     "training_job"), "s3://nobody/x",
) | {"model": "nobody", "run": 1, "verdict": {"uri": "s3://nobody/x", "digest": ""}} | {
    "plan": PLAN,
    "algorithm_images": {},
    "evaluations": dict.fromkeys(EVALUATIONS, DONE),
    "examinations": dict.fromkeys(EXAMINATIONS, DONE),
}  # fmt: skip
STATES = {
    "CheckClaimFunction": ("model", "run", "execution"),
    "PlanRunFunction": (
        "model", "run", "execution", "image", "clarify_image", "gpu_image", "algorithm_images",
    ),
    "JudgeCandidateFunction": (
        "model", "run", "base", "manifest", "settings_uri", "code", "code_sha", "plan",
        "evaluations", "examinations",
    ),
    "RegisterVersionFunction": (
        "model", "run", "execution", "group", "verdict", "artifact", "code", "code_sha", "image",
        "manifest", "check_job", "training_job", "evaluate_job", "plan",
    ),
    "ApproveCandidateFunction": ("model", "run", "arn"),
}  # fmt: skip


def golden(name: str) -> dict[str, Any]:
    """One of the events that the tests keep."""
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


def events() -> dict[str, dict[str, Any]]:
    """One event a function, about a model that nobody knows: each is looked up in the ledger."""
    landed = json.dumps(golden("s3_object_created"))
    return {
        "OnSignalFunction": {"Records": [{"messageId": "1", "body": landed}]},
        "OnSweepDueFunction": {},
        "PredictFunction": {
            "headers": {"content-type": "application/json"},
            "pathParameters": {"model": "nobody"},
            "requestContext": {"http": {"method": "POST"}},
            "body": '{"age": 39}',
        },
        "OnPredictionCapturedFunction": {
            "Records": [{"messageId": "1", "body": json.dumps(golden("captured_prediction"))}]
        },
        "OnRunEndedFunction": golden("step_functions_execution_status_change"),
        "OnVersionApprovedFunction": golden("sagemaker_model_package_state_change"),
        **{name: {key: STATE[key] for key in keys} for name, keys in STATES.items()},
    }


def journal(since: int) -> list[dict[str, Any]]:
    """Entries of the local cloud's journal after a running number."""
    record = json.loads((Path(os.environ["PERENNIAL_STATE"]) / "cloud.json").read_text())
    request = urllib.request.Request(
        f"{record['endpoint']}/_local/journal?since={since}",
        headers={"X-Perennial-Token": record["token"]},
    )
    with urllib.request.urlopen(request) as answer:
        entries: list[dict[str, Any]] = json.load(answer)["entries"]
    return entries


class Bench:
    """Invokes functions cold."""

    def __init__(self) -> None:
        self.functions = boto3.client("lambda")

    def cold(self, name: str, event: dict[str, Any]) -> float:
        """Median seconds of a first call in a new environment."""
        config = self.functions.get_function_configuration(FunctionName=name)
        variables = config.get("Environment", {}).get("Variables", {})
        seconds = []
        for number in range(REPEATS):
            self.functions.update_function_configuration(
                FunctionName=name, Environment={"Variables": {**variables, "COLD": str(number)}}
            )
            time.sleep(0.05)
            started = time.perf_counter()
            self.functions.invoke(FunctionName=name, Payload=json.dumps(event))["Payload"].read()
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds)

    def yardstick(self, name: str, like: dict[str, Any], services: list[str]) -> float:
        """Median cold seconds of a function that only makes the clients."""
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as archive:
            archive.writestr("app.py", YARDSTICK.format(services=services))
        self.functions.create_function(
            FunctionName=name, Runtime=like["Runtime"], Role=like["Role"], Handler="app.handler",
            Code={"ZipFile": body.getvalue()}, Timeout=60, MemorySize=like["MemorySize"],
        )  # fmt: skip
        return self.cold(name, {})


def services_called(since: int, function: str) -> list[str]:
    """The services that the function called, by the journal."""
    return sorted(
        {
            str(entry["service"])
            for entry in journal(since)
            if entry["kind"] == "call" and entry.get("function") == function
        }
    )


def main() -> None:
    """Print a line a function."""
    with running_stack():
        bench = Bench()
        resources = boto3.client("cloudformation").describe_stack_resources(StackName="perennial")
        physical = {
            r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources["StackResources"]
        }
        for number, (logical, event) in enumerate(events().items()):
            name = physical[logical]
            last = max((e["n"] for e in journal(0)), default=0)
            seconds = bench.cold(name, event)
            services = services_called(last, name) or ["dynamodb"]
            like = bench.functions.get_function_configuration(FunctionName=name)
            beside = bench.yardstick(f"yardstick-{number}", like, services)
            ratio = seconds / beside
            print(
                f"{logical:<28} {seconds * 1000:6.0f} ms; boto3 with {'+'.join(services)}: "
                f"{beside * 1000:6.0f} ms; ratio {ratio:.2f} "
                f"(aim: at most 1.3: {'met' if ratio <= 1.3 else 'MISSED'})"
            )


if __name__ == "__main__":
    main()
