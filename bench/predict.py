"""What `predict` adds to a prediction: by the API and the function, beside invoke_endpoint alone.

    .venv/bin/python -m bench.predict

One endpoint, one client, one connection at a time, requests of all ways in turn, so that they
meet the same machine; once more for a model whose requests the function itself captures. The
endpoint's server answers from memory: a model's own time would only hide what is added. Then the
function's cold start, with what Powertools' idempotency in the place of our own rows would cost it.
"""

from __future__ import annotations

import io
import json
import statistics
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Callable
from typing import Any

import boto3
from perennial.aws.predictions_api import PredictionsApi
from perennial.domain.ledger.rows import Champion, Live
from perennial.domain.ledger.store import change, read_model
from perennial.domain.settings import parse_settings
from perennial.publish_settings import publish_settings
from perennial.wiring import connect

from bench.cold_start import Bench
from bench.common import ROOT, running_stack

MODEL, CAPTURED = "bench", "bench-captured"
ENDPOINT = f"perennial-live-{MODEL}"
REQUESTS, WARM = 600, 60
IMAGE = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3"
FEATURES = 14
SERVER = """
    import json

    def model_fn(folder):
        return None

    def transform_fn(model, body, content_type, accept):
        each = {"prediction": "a", "confidence": 0.75, "score": 0.75}
        answer = {"predictions": [each for _ in json.loads(body)["instances"]], "version": 1}
        return json.dumps(answer), "application/json"
"""
IMPORTS = {
    "the function as it is": "import perennial.predict",
    "the function with Powertools' idempotency": (
        "import perennial.predict\n"
        "from aws_lambda_powertools.utilities.idempotency import (\n"
        "    DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function)\n"
        "from perennial.aws.clients import client\n"
        "DynamoDBPersistenceLayer(table_name='x', boto3_client=client('dynamodb'))"
    ),
    "the function with its client of DynamoDB": (
        "import perennial.predict\nfrom perennial.aws.clients import client\nclient('dynamodb')"
    ),
}


def packed(name: str, text: str) -> bytes:
    """A tar of one file."""
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(text.encode())
        archive.addfile(member, io.BytesIO(text.encode()))
    return body.getvalue()


def serve(outputs: dict[str, str]) -> None:
    """Put the server on the live endpoint of a model, and say so in the ledger."""
    sagemaker, bucket = boto3.client("sagemaker"), outputs["ArtifactBucket"]
    files = {"bench/code.tar.gz": packed("inference.py", textwrap.dedent(SERVER))}
    files["bench/model.tar.gz"] = packed("word.txt", "")
    for key, body in files.items():
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    container = {
        "Image": IMAGE,
        "ModelDataUrl": f"s3://{bucket}/bench/model.tar.gz",
        "Environment": {
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": f"s3://{bucket}/bench/code.tar.gz",
        },
    }
    role = outputs["JobRoleArn"]
    sagemaker.create_model(ModelName=MODEL, PrimaryContainer=container, ExecutionRoleArn=role)
    variant: Any = {
        "VariantName": "main",
        "ModelName": MODEL,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=MODEL, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=MODEL)
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=ENDPOINT, WaiterConfig={"Delay": 1}
    )
    for model, captured in ((MODEL, 0), (CAPTURED, 100)):
        publish(outputs, model, captured)


def publish(outputs: dict[str, str], model: str, captured: int) -> None:
    """A model that the endpoint serves; `captured` percent of its requests are recorded by us."""
    ports = connect({**outputs, "StackName": "perennial"})
    columns: dict[str, Any] = {f"f{number}": {"type": "float"} for number in range(FEATURES)}
    columns["label"] = {"type": "category", "levels": ["a", "b"]}
    document = {
        "problem": "binary",
        "label": "label",
        "positive": "a",
        "data": {"columns": columns, "select": ["*"]},
        "gates": {"auc": {"min": 0.5}},
    }
    settings = json.dumps(parse_settings(document, project=model).to_json())
    publish_settings(ports, model, settings, "s3://none/code.tar.gz", "a" * 64, "bench")
    row, now = read_model(ports.ledger, model), ports.clock()
    if row is None:
        raise RuntimeError("the model was not published")
    champion = Champion(1, "arn:1", "d", 1, 1, now)
    live = Live(ENDPOINT, MODEL, 1, 1, "arn:1", now, settings=1, captured=captured)
    ports.ledger.commit([change(row, champion=champion, live=live)])


def milliseconds(ways: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Times of each way, asked in turn; the first ones do not count."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(REQUESTS + WARM):
        for name, ask in ways.items():
            started = time.perf_counter()
            ask()
            if number >= WARM:
                found[name].append((time.perf_counter() - started) * 1000)
    return found


def share(values: list[float], percent: int) -> float:
    """A percentile."""
    return statistics.quantiles(values, n=100)[percent - 1]


def print_added(found: dict[str, list[float]], beside: str) -> None:
    """One line a way and percentile: milliseconds, what they add to the yardstick, the ratio."""
    for percent in (50, 99):
        yardstick = share(found[beside], percent)
        print(f"p{percent} {beside}: {yardstick:.2f} ms")
        for name, values in found.items():
            if name != beside:
                figure = share(values, percent)
                print(
                    f"p{percent} {name}: {figure:.2f} ms; added {figure - yardstick:.2f} ms; "
                    f"ratio {figure / yardstick:.2f}"
                )


def import_ms(code: str) -> float:
    """Median milliseconds of running the code in a fresh interpreter."""
    paths = [str(ROOT / "layers" / "core")]
    script = (
        f"import sys, time; sys.path[:0] = {paths!r}; s = time.perf_counter()\n{code}\n"
        "print((time.perf_counter() - s) * 1000)"
    )
    return statistics.median(
        float(subprocess.check_output([sys.executable, "-c", script], text=True).split()[-1])
        for _ in range(7)
    )


def main() -> None:
    """Print a line a figure."""
    with running_stack():
        stack = boto3.client("cloudformation").describe_stacks(StackName="perennial")["Stacks"][0]
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
        serve(outputs)
        row = {f"f{number}": number / 3 for number in range(FEATURES)}
        body = json.dumps({"instances": [row]}).encode()
        runtime, api = boto3.client("sagemaker-runtime"), PredictionsApi(outputs["PredictionsUrl"])
        functions, bench = boto3.client("lambda"), Bench()
        name = boto3.client("cloudformation").describe_stack_resource(
            StackName="perennial", LogicalResourceId="PredictFunction"
        )["StackResourceDetail"]["PhysicalResourceId"]
        event = {
            "headers": {"content-type": "application/json"},
            "pathParameters": {"model": MODEL},
            "requestContext": {"http": {"method": "POST"}},
            "body": json.dumps({"instances": [row]}),
        }

        captured = event | {"pathParameters": {"model": CAPTURED}}

        def by_endpoint() -> None:
            answer = runtime.invoke_endpoint(
                EndpointName=ENDPOINT, Body=body, ContentType="application/json"
            )
            answer["Body"].read()

        def by_function() -> None:
            answer = functions.invoke(FunctionName=name, Payload=json.dumps(event))
            said = json.loads(answer["Payload"].read())
            if said["statusCode"] != 200:
                raise RuntimeError(said)

        def by_capturing_function() -> None:
            answer = functions.invoke(FunctionName=name, Payload=json.dumps(captured))
            said = json.loads(answer["Payload"].read())
            if said["statusCode"] != 200:
                raise RuntimeError(said)

        def by_api() -> None:
            answer = api.predict(MODEL, {"instances": [row]}, explain=False)
            if answer.status != 200:
                raise RuntimeError(answer)

        ways = {
            "invoke_endpoint": by_endpoint,
            "the function, invoked": by_function,
            "the function, invoked, that captures": by_capturing_function,
            "the API": by_api,
        }
        print_added(milliseconds(ways), "invoke_endpoint")
        print(f"cold start of the function: {bench.cold(name, event) * 1000:.0f} ms")
        print(f"cold start, where it captures: {bench.cold(name, captured) * 1000:.0f} ms")
        for words, code in IMPORTS.items():
            print(f"import of {words}: {import_ms(code):.0f} ms")


if __name__ == "__main__":
    main()
