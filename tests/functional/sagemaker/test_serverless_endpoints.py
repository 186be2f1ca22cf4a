"""Serverless endpoints: servers that start with a request, end without one, and are limited."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.sagemaker.hosting import Hosting, refused

# Its endpoint fails only in its own time; the module before has begun it, if all run.
pytestmark = pytest.mark.usefixtures("broken")

SIZE = {"MemorySizeInMB": 2048, "MaxConcurrency": 2}
# Holds its request until the file of that name is there.
HOLDS = """
    import json, pathlib, time, uuid

    SERVER = uuid.uuid4().hex  # loaded once, before the workers

    def model_fn(folder):
        return pathlib.Path(folder, "word.txt").read_text()

    def transform_fn(model, body, content_type, accept):
        text = body if isinstance(body, str) else bytes(body).decode()
        if text.startswith("/"):
            pathlib.Path(text + "-" + SERVER).touch()
            while not pathlib.Path(text).exists():
                time.sleep(0.01)
        return json.dumps({"word": model, "server": SERVER}), "application/json"
"""


def variant(model: str, **more: Any) -> Any:
    """A serverless production variant."""
    return {"VariantName": "main", "ModelName": model, "ServerlessConfig": {**SIZE, **more}}


def answer(found: Any) -> Any:
    """The document of an invocation's answer."""
    return json.loads(found["Body"].read())


@pytest.fixture(scope="module")
def holding(hosting: Hosting) -> str:
    """A serverless endpoint for two requests at once."""
    return hosting.endpoint(hosting.config(variant(hosting.model("cold", HOLDS))))


def figures(hosting: Hosting, endpoint: str, name: str) -> Any:
    """How many points a metric of the variant has, and their sum."""
    now = time.time()
    found = hosting.cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=name,
        Dimensions=[
            {"Name": "EndpointName", "Value": endpoint},
            {"Name": "VariantName", "Value": "main"},
        ],
        StartTime=now - 3600,
        EndTime=now + 60,
        Period=60,
        Statistics=["SampleCount", "Sum"],
    )["Datapoints"]
    return sum(p["SampleCount"] for p in found), sum(p["Sum"] for p in found)


def test_a_server_starts_with_the_first_request_and_ends_without_one(
    hosting: Hosting, holding: str
) -> None:
    """None after the creation; one for many requests one by one; none again after five minutes."""
    found = hosting.look(holding)
    (shown,) = found["ProductionVariants"]
    assert shown["CurrentServerlessConfig"] == shown["DesiredServerlessConfig"] == SIZE
    assert shown["CurrentInstanceCount"] == 0
    assert not hosting.processes(holding)
    first = answer(hosting.invoke(holding))
    assert first["word"] == "cold"
    assert {answer(hosting.invoke(holding))["server"] for _ in range(5)} == {first["server"]}
    assert hosting.processes(holding)
    setups = hosting.until(
        lambda: figures(hosting, holding, "ModelSetupTime"), lambda points: points[0]
    )
    assert setups[0] == 1
    assert setups[1] > 10_000, "a server's start in microseconds"
    hosting.until(lambda: hosting.processes(holding), lambda pids: not pids)
    assert answer(hosting.invoke(holding))["server"] != first["server"]
    hosting.until(
        lambda: figures(hosting, holding, "ModelSetupTime"), lambda points: points[0] == 2
    )


def test_more_requests_than_max_concurrency_are_throttled(
    hosting: Hosting, holding: str, tmp_path: Any
) -> None:
    """Each request under way has a server; one more is refused at once, and none is lost."""
    gate = tmp_path / "gate"
    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(hosting.patient.invoke_endpoint, EndpointName=holding, Body=str(gate))
            for _ in range(2)
        ]
        hosting.until(lambda: list(tmp_path.glob("gate-*")), lambda begun: len(begun) == 2)
        with pytest.raises(ClientError) as caught:
            hosting.patient.invoke_endpoint(EndpointName=holding, Body="1")
        assert caught.value.response["Error"]["Code"] == "ThrottlingException"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        gate.touch()
        servers = Counter(answer(future.result())["server"] for future in asked)
    assert len(servers) == 2, "two requests at once, two servers"
    assert answer(hosting.patient.invoke_endpoint(EndpointName=holding, Body="1"))["word"] == "cold"
    errors = hosting.until(
        lambda: figures(hosting, holding, "Invocation4XXErrors"), lambda points: points[1]
    )
    assert errors[1] == 1


def test_a_request_is_at_most_four_megabytes(hosting: Hosting, holding: str) -> None:
    """And a byte more is refused."""
    with pytest.raises(ClientError) as caught:
        hosting.invoke(holding, b"x" * (4 * 1024 * 1024 + 1))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_an_update_moves_all_requests_and_leaves_no_server(hosting: Hosting) -> None:
    """Serverless to serverless, with a request before and after; then its end."""
    name = hosting.endpoint(hosting.config(variant(hosting.model("one", HOLDS))))
    old = answer(hosting.invoke(name))
    config = hosting.config(variant(hosting.model("two", HOLDS), MaxConcurrency=1))
    hosting.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    found = hosting.settle(name)
    assert found["EndpointConfigName"] == config
    assert not hosting.processes(name)
    new = answer(hosting.invoke(name))
    assert (old["word"], new["word"]) == ("one", "two")
    hosting.remove(name)
    assert not hosting.processes(name)


def test_what_aws_excludes_is_refused(hosting: Hosting, holding: str) -> None:
    """Networks, isolation, capture, further variants, guarded updates, and becoming serverless."""
    model = hosting.model("free", HOLDS)
    isolated = hosting.model("shut", HOLDS, EnableNetworkIsolation=True)
    refused(
        lambda: hosting.config(variant(isolated)),
        f"EnableNetworkIsolation of the model {isolated} is not supported for serverless endpoints",
    )
    two = [variant(model), {**variant(model), "VariantName": "other"}]
    refused(lambda: hosting.config(*two), "can have only one production variant")
    network = {"SecurityGroupIds": ["sg-12345678"], "Subnets": ["subnet-12345678"]}
    refused(
        lambda: hosting.config(variant(model), VpcConfig=network),
        "VpcConfig is not supported for serverless endpoints",
    )
    refused(
        lambda: hosting.config(variant(model, ProvisionedConcurrency=1)),
        "does not support ProvisionedConcurrency",
    )
    config = hosting.config(variant(model))
    policy = {"TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}}
    update = hosting.sagemaker.update_endpoint
    refused(
        lambda: update(
            EndpointName=holding,
            EndpointConfigName=config,
            DeploymentConfig={"BlueGreenUpdatePolicy": policy},
        ),
        "DeploymentConfig is not supported for serverless endpoints",
    )
    refused(
        lambda: hosting.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=holding,
            DesiredWeightsAndCapacities=[{"VariantName": "main", "DesiredWeight": 2}],
        ),
        "another concurrency of a serverless variant (main)",
    )


def test_an_endpoint_becomes_one_of_instances_but_never_serverless(hosting: Hosting) -> None:
    """The way to instances is open; the way back is refused, and the endpoint stays as it is."""
    model = hosting.model("both", HOLDS)
    serverless, instances = hosting.config(variant(model)), hosting.config(hosting.variant(model))
    name = hosting.endpoint(serverless)
    update = hosting.sagemaker.update_endpoint
    update(EndpointName=name, EndpointConfigName=instances, RetainAllVariantProperties=True)
    (shown,) = hosting.settle(name)["ProductionVariants"]
    assert shown["CurrentInstanceCount"] == 1
    assert "CurrentServerlessConfig" not in shown
    refused(
        lambda: update(EndpointName=name, EndpointConfigName=serverless),
        "cannot be converted to a serverless endpoint",
    )
    assert answer(hosting.invoke(name))["word"] == "both"


def test_a_model_that_cannot_stand_up_fails_the_endpoint(hosting: Hosting, broken: str) -> None:
    """One server is started for proof; without a good ping the endpoint is Failed."""
    found = hosting.settle(broken)
    assert found["EndpointStatus"] == "Failed"
    assert "Unable to successfully stand up your model" in found["FailureReason"]
    assert not hosting.processes(broken)
