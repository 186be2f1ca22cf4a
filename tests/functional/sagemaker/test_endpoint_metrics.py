"""An endpoint's figures in CloudWatch, and faults of its servers on demand."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.sagemaker.hosting import Hosting

PICKY = """
    import time

    def model_fn(folder):
        return None

    def transform_fn(model, body, content_type, accept):
        text = body if isinstance(body, str) else bytes(body).decode()
        time.sleep(0.05)
        return str(1 / float(text)), "text/plain"
"""


class Figures:
    """Statistics of one variant."""

    def __init__(self, hosting: Hosting, endpoint: str, config: str = "") -> None:
        self._cloudwatch = hosting.cloud.client("cloudwatch")
        self._dimensions = {"EndpointName": endpoint, "VariantName": "main"}
        if config:
            self._dimensions["EndpointConfigName"] = config

    def __call__(self, name: str, statistic: str, namespace: str = "AWS/SageMaker") -> float | None:
        now = datetime.now(UTC)
        found = self._cloudwatch.get_metric_statistics(
            Namespace=namespace,
            MetricName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in self._dimensions.items()],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=86_400,
            Statistics=[statistic],
        )["Datapoints"]
        return sum(point[statistic] for point in found) if found else None


@pytest.fixture(scope="module")
def picky(hosting: Hosting) -> str:
    """An endpoint of two instances that takes 50 ms and cannot divide by zero."""
    return hosting.serve(script=PICKY, count=2)


@pytest.fixture
def no_faults_after(hosting: Hosting) -> Iterator[None]:
    """Faults end with their test."""
    yield
    hosting.cloud.faults()


def test_requests_and_errors_are_counted_by_variant_and_configuration(
    hosting: Hosting, picky: str
) -> None:
    """Six requests, two of them errors of the model, over two instances; latency in us."""
    for body in ("1", "2", "4", "5"):
        hosting.invoke(picky, body)
    for _ in range(2):
        with pytest.raises(hosting.runtime.exceptions.ModelError):
            hosting.invoke(picky, "0")
    config = hosting.look(picky)["EndpointConfigName"]
    for figures in (Figures(hosting, picky), Figures(hosting, picky, config)):
        assert hosting.until(lambda f=figures: f("Invocations", "Sum"), lambda sum_: sum_ == 6)
        assert figures("InvocationsPerInstance", "Sum") == pytest.approx(3)
        assert figures("Invocation5XXErrors", "Sum") == 2
        assert figures("Invocation5XXErrors", "Average") == pytest.approx(2 / 6)
        assert figures("Invocation4XXErrors", "Sum") == 0
        assert figures("Invocation4XXErrors", "SampleCount") == 6
        assert figures("ModelLatency", "SampleCount") == 6
        latency = figures("ModelLatency", "Minimum")
        assert latency is not None
        assert latency >= 50_000
        overhead = figures("OverheadLatency", "Average")
        assert overhead is not None
        assert 0 < overhead < latency


def test_processes_are_measured(hosting: Hosting, picky: str) -> None:
    """CPU, memory and disk of the servers, in percent."""
    figures = Figures(hosting, picky)
    place = "/aws/sagemaker/Endpoints"
    cpu = hosting.until(
        lambda: figures("CPUUtilization", "Maximum", place), lambda found: found is not None
    )
    memory, disk = (figures(f"{name}Utilization", "Maximum", place) for name in ("Memory", "Disk"))
    assert 0 <= cpu <= 10_000
    assert memory is not None
    assert 0 < memory < 100
    assert disk is not None
    assert 0 < disk <= 100


@pytest.mark.usefixtures("no_faults_after")
def test_servers_can_be_slow_or_fail_on_demand(hosting: Hosting, picky: str) -> None:
    """A delay counts as the model's latency; a status comes in place of the answer, so often."""
    config = hosting.look(picky)["EndpointConfigName"]
    hosting.cloud.faults(
        serve=[
            {"endpoint": picky, "config": config, "delay_ms": 300, "status": 502, "times": 1},
            {"endpoint": "another-*", "status": 500},
        ]
    )
    with pytest.raises(hosting.runtime.exceptions.ModelError) as caught:
        hosting.invoke(picky, "1")
    assert caught.value.response["OriginalStatusCode"] == 502
    assert hosting.invoke(picky, "1")["Body"].read() == b"1.0"
    figures = Figures(hosting, picky)
    hosting.until(
        lambda: figures("ModelLatency", "Maximum"), lambda found: found and found >= 300_000
    )


@pytest.mark.usefixtures("no_faults_after")
def test_a_server_can_be_killed_on_demand(hosting: Hosting) -> None:
    """The request fails with it; another server takes its place."""
    name = hosting.serve()
    hosting.cloud.faults(serve={"endpoint": name, "crash": True, "times": 1})
    before = hosting.processes(name)
    with pytest.raises(ClientError):
        hosting.invoke(name)

    def answered() -> bool:
        try:
            return bool(json.loads(hosting.invoke(name)["Body"].read()))
        except hosting.runtime.exceptions.ServiceUnavailable:
            return False

    hosting.until(answered, bool)
    assert not set(before) & set(hosting.processes(name))


@pytest.mark.usefixtures("no_faults_after")
def test_invocations_can_be_throttled(hosting: Hosting, picky: str) -> None:
    """By their own name, so that the control plane goes on."""
    hosting.cloud.faults(throttle={"sagemaker.InvokeEndpoint": 1.0})
    with pytest.raises(ClientError) as caught:
        hosting.invoke(picky)
    assert caught.value.response["Error"]["Code"] == "ThrottlingException"
    assert hosting.look(picky)["EndpointStatus"] == "InService"


@pytest.mark.parametrize(
    "fault", [{"rate": 2}, {"delay_ms": -1}, {"status": 200}, {"endpoints": "x"}]
)
def test_faults_that_cannot_be_are_refused(hosting: Hosting, fault: Any) -> None:
    """A rate above one, a negative delay, a status that is no error, an unknown word."""
    with pytest.raises(AssertionError, match="400"):
        hosting.cloud.faults(serve=fault)
