"""Blue/green updates: shares, rollback by a real alarm, no lost requests, what is refused."""

import contextlib
import json
import math
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.alarms import put_alarm
from tests.functional.sagemaker.hosting import Hosting

SLOW = """
    import json, pathlib, time

    def model_fn(folder):
        return pathlib.Path(folder, "word.txt").read_text()

    def transform_fn(model, body, content_type, accept):
        time.sleep(0.3)
        return json.dumps({"word": model}), "application/json"
"""


class Load:
    """Threads that invoke without retries and note every answer and every failure."""

    def __init__(self, hosting: Hosting, endpoint: str, threads: int = 3) -> None:
        self.words: list[tuple[float, str]] = []
        self.failures: list[str] = []
        self._hosting = hosting
        self._endpoint = endpoint
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        call = self._hosting.patient.invoke_endpoint
        while not self._over.is_set():
            try:
                answer = call(EndpointName=self._endpoint, Body=b"1", ContentType="text/csv")
                word = json.loads(answer["Body"].read())["word"]
                self.words.append((time.monotonic(), word))
            except (ClientError, BotoCoreError, ValueError) as error:
                self.failures.append(repr(error))

    def answers(self, more: int) -> None:
        """Wait for so many more answers."""
        wanted = len(self.words) + more
        self._hosting.until(lambda: len(self.words), lambda count: count >= wanted)

    def share(self, since: float, until: float, word: str) -> tuple[int, int]:
        """How many of how many answers in a span of time were of this model."""
        seen = Counter(found for moment, found in list(self.words) if since <= moment <= until)
        return seen[word], seen.total()


def policy(kind: str, wait: int = 0, termination: int = 0, **more: Any) -> dict[str, Any]:
    """A DeploymentConfig."""
    size = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(kind)
    step = more.pop("step", ("CAPACITY_PERCENT", 20))
    routing: dict[str, Any] = {"Type": kind, "WaitIntervalInSeconds": wait}
    if size:
        routing[size] = {"Type": step[0], "Value": step[1]}
    alarms = more.pop("alarms", None)
    found: dict[str, Any] = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing,
            "TerminationWaitInSeconds": termination,
            **more,
        }
    }
    if alarms:
        found["AutoRollbackConfiguration"] = {"Alarms": [{"AlarmName": name} for name in alarms]}
    return found


def update(hosting: Hosting, endpoint: str, config: str, **more: Any) -> None:
    """UpdateEndpoint."""
    hosting.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, **more)


@contextlib.contextmanager
def clock(hosting: Hosting, factor: float) -> Iterator[None]:
    """Let the cloud's waits pass so many times faster meanwhile."""
    hosting.cloud.control("POST", "/_local/clock", {"factor": factor})
    try:
        yield
    finally:
        hosting.cloud.control("POST", "/_local/clock", {"factor": 60})


def baking(hosting: Hosting, endpoint: str, part: float) -> None:
    """Wait until a deployment bakes with this part of the traffic on the new fleet."""

    def is_there(found: Any) -> bool:
        pending = found.get("PendingDeploymentSummary", {}).get("ProductionVariants", [{}])[0]
        status = (pending.get("VariantStatus") or [{}])[0].get("Status")
        return status == "Baking" and math.isclose(pending["CurrentWeight"], part)

    hosting.until(lambda: hosting.look(endpoint), is_there)


@pytest.fixture(scope="module")
def events(hosting: Hosting) -> Any:
    """All of SageMaker's endpoint events of this module, collected by a queue."""
    sqs, bus = hosting.cloud.client("sqs"), hosting.cloud.client("events")
    url = sqs.create_queue(QueueName="endpoint-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    kinds = ["SageMaker Endpoint State Change", "SageMaker Endpoint Deployment State Change"]
    pattern = {"source": ["aws.sagemaker"], "detail-type": kinds}
    bus.put_rule(Name="endpoint-events", EventPattern=json.dumps(pattern))
    bus.put_targets(Rule="endpoint-events", Targets=[{"Id": "q", "Arn": arn["QueueArn"]}])
    found: list[dict[str, Any]] = []

    def read() -> list[dict[str, Any]]:
        while True:
            messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
            if not messages:
                return found
            for message in messages:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    return read


@pytest.fixture(scope="module", autouse=True)
def ruined(hosting: Hosting) -> tuple[str, str]:
    """An endpoint under rollback to a fleet that cannot start again; its code's key.

    Begun first, for the old fleet has its time to come back.
    """
    container = hosting.container("blue")
    key = container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"].split("/", 3)[3]
    name = hosting.endpoint(
        hosting.config(hosting.variant(hosting.model(container=container), count=2))
    )
    alarm = f"watch-{name}"
    cloudwatch = hosting.cloud.client("cloudwatch")
    put_alarm(cloudwatch, alarm, TreatMissingData="notBreaching")
    old = set(hosting.processes(name))
    green = hosting.config(hosting.variant(hosting.model("green"), count=2))
    canary = policy("CANARY", 3600, alarms=[alarm], step=("CAPACITY_PERCENT", 50))
    update(hosting, name, green, DeploymentConfig=canary)
    baking(hosting, name, 0.5)
    hosting.s3.delete_object(Bucket=hosting.bucket, Key=key)
    for pid in old:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cloudwatch.delete_alarms(AlarmNames=[alarm])
    return name, key


def test_a_canary_gets_its_share_and_no_request_fails(hosting: Hosting) -> None:
    """Each step's share lies within binomial bounds; from blue to green nobody is turned away."""
    name = hosting.serve("blue", count=2)
    green = hosting.config(hosting.variant(hosting.model("green"), count=2))
    with Load(hosting, name) as load:
        update(hosting, name, green, DeploymentConfig=policy("CANARY", 3600, 30))
        baking(hosting, name, 0.2)
        began = time.monotonic()
        load.answers(250)
        ended = time.monotonic()
        with clock(hosting, 20_000):
            found = hosting.settle(name)
        after = time.monotonic()
        load.answers(60)
    assert load.failures == []
    hits, count = load.share(began, ended, "green")
    spread = 4.5 * math.sqrt(0.2 * 0.8 / count)
    assert abs(hits / count - 0.2) < spread, (hits, count)
    hits, count = load.share(after, time.monotonic(), "green")
    assert hits == count >= 50
    assert found["EndpointStatus"] == "InService"
    assert found["EndpointConfigName"] == green
    assert found["LastDeploymentConfig"]["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] == 30
    assert "FailureReason" not in found


def test_a_linear_update_raises_the_share_step_by_step(hosting: Hosting, events: Any) -> None:
    """40%, 80%, all; the events tell each step, and at last the new configuration."""
    name = hosting.serve("blue", count=2)
    green = hosting.config(hosting.variant(hosting.model("green"), count=2))
    with Load(hosting, name, threads=2) as load:
        linear = policy("LINEAR", 20, 0, step=("CAPACITY_PERCENT", 40))
        update(hosting, name, green, DeploymentConfig=linear)
        found = hosting.settle(name)
    assert load.failures == []
    assert found["EndpointConfigName"] == green
    hosting.cloud.idle(ignore=("endpoints",))
    mine = [event["detail"] for event in events() if event["detail"]["EndpointName"] == name]
    baked = [
        event["PendingDeploymentSummary"]["ProductionVariants"][0]
        for event in mine
        if "PendingDeploymentSummary" in event and event["EndpointStatus"] == "UPDATING"
    ]
    shares = [
        variant["CurrentWeight"]
        for variant in baked
        if variant["VariantStatus"][0]["Status"] == "Baking"
    ]
    assert shares == [0.4, 0.8, 1.0]
    changes = [event for event in mine if "PendingDeploymentSummary" not in event]
    assert [event["EndpointStatus"] for event in changes] == [
        "CREATING",
        "IN_SERVICE",
        "UPDATING",
        "IN_SERVICE",
    ]
    last = changes[-1]
    assert last["EndpointConfigName"] == green
    assert last["ProductionVariants"] == [{"DesiredWeight": 1.0, "DesiredInstanceCount": 2}]
    assert last["CreationTime"] / 1000 == pytest.approx(found["CreationTime"].timestamp(), abs=0.01)
    assert last["Tags"] == {}


def test_a_slow_model_is_rolled_back_by_its_alarm(hosting: Hosting, events: Any) -> None:
    """The alarm on the new fleet's own latency brings all traffic back; nobody is turned away."""
    name = hosting.serve("blue", count=2)
    blue = hosting.look(name)["EndpointConfigName"]
    green = hosting.config(hosting.variant(hosting.model("green", SLOW), count=2))
    dimensions = {"EndpointName": name, "VariantName": "main", "EndpointConfigName": green}
    alarm = f"slow-{name}"
    hosting.cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=alarm,
        Namespace="AWS/SageMaker",
        MetricName="ModelLatency",
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=200_000,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    canary = policy("CANARY", 1800, 0, step=("INSTANCE_COUNT", 1), alarms=[alarm])
    with Load(hosting, name) as load:
        update(hosting, name, green, DeploymentConfig=canary)
        found = hosting.settle(name)
        # As long as the alarm stands, the same deployment does not even begin.
        update(hosting, name, green, RetainDeploymentConfig=True)
        again = hosting.settle(name)
    assert load.failures == []
    assert "green" in {word for _, word in load.words}
    for one in (found, again):
        assert one["EndpointStatus"] == "InService"
        assert one["EndpointConfigName"] == blue
        assert f"alarm in state ALARM: {alarm}" in one["FailureReason"]
        assert one["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert load.share(0, math.inf, "green")[0] < len(load.words) / 2 + 50
    hosting.cloud.idle(ignore=("endpoints",))
    mine = [event["detail"] for event in events() if event["detail"]["EndpointName"] == name]
    seen = [event["EndpointStatus"] for event in mine if "PendingDeploymentSummary" not in event]
    # Delivery has no order, and the second deployment began and ended within a moment.
    thrice = {"CREATING": 1, "IN_SERVICE": 3, "UPDATING": 2, "ROLLING_BACK": 2}
    assert Counter(seen) == thrice
    assert {event["EndpointConfigName"] for event in mine} == {blue}
    assert {json.loads(hosting.invoke(name)["Body"].read())["word"] for _ in range(9)} == {"blue"}


def test_a_new_fleet_that_cannot_start_changes_nothing(hosting: Hosting) -> None:
    """The old one goes on; the reason is told; another update may follow at once."""
    name = hosting.serve("blue")
    blue = hosting.look(name)["EndpointConfigName"]
    container = hosting.container()
    container["ModelDataUrl"] = hosting.put("models/broken/model.tar.gz", b"no archive")
    broken = hosting.config(hosting.variant(hosting.model(container=container)))
    update(hosting, name, broken)
    found = hosting.settle(name)
    assert found["EndpointStatus"] == "InService"
    assert found["EndpointConfigName"] == blue
    assert found["FailureReason"].startswith("Failed to extract model data archive")
    assert json.loads(hosting.invoke(name)["Body"].read())["word"] == "blue"
    update(hosting, name, hosting.config(hosting.variant(hosting.model("green"))))
    assert "FailureReason" not in hosting.settle(name)
    assert json.loads(hosting.invoke(name)["Body"].read())["word"] == "green"


def test_a_deployment_that_takes_too_long_is_rolled_back(hosting: Hosting) -> None:
    """MaximumExecutionTimeoutInSeconds ends it; the waits alone fit, the work does not."""
    name = hosting.serve("blue")
    blue = hosting.look(name)["EndpointConfigName"]
    green = hosting.config(hosting.variant(hosting.model("green")))
    limit = {"MaximumExecutionTimeoutInSeconds": 600}
    with clock(hosting, 6000):
        update(hosting, name, green, DeploymentConfig=policy("ALL_AT_ONCE", 0, 590, **limit))
        found = hosting.settle(name)
    assert found["EndpointConfigName"] == blue
    assert "longer than MaximumExecutionTimeoutInSeconds (600)" in found["FailureReason"]


def test_retained_properties_survive_an_update_and_others_do_not(hosting: Hosting) -> None:
    """Scaled to two and weighed 3: kept when asked for, and except what is excluded."""
    name = hosting.serve("blue")
    first = hosting.look(name)["EndpointConfigName"]
    wanted = [{"VariantName": "main", "DesiredInstanceCount": 2, "DesiredWeight": 3.0}]
    hosting.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=wanted
    )
    hosting.settle(name)

    def updated(**more: Any) -> tuple[int, float]:
        update(hosting, name, first, **more)
        found = hosting.settle(name)
        assert found["EndpointStatus"] == "InService", found
        variant = found["ProductionVariants"][0]
        return variant["CurrentInstanceCount"], variant["CurrentWeight"]

    with Load(hosting, name, threads=2) as load:
        assert updated(RetainAllVariantProperties=True) == (2, 3.0)
        weight = [{"VariantPropertyType": "DesiredWeight"}]
        kept = updated(RetainAllVariantProperties=True, ExcludeRetainedVariantProperties=weight)
        assert kept == (2, 1.0)
        assert updated() == (1, 1.0)
        for count in (3, 1):
            wanted = [{"VariantName": "main", "DesiredInstanceCount": count}]
            hosting.sagemaker.update_endpoint_weights_and_capacities(
                EndpointName=name, DesiredWeightsAndCapacities=wanted
            )
            hosting.settle(name)
    assert load.failures == []
    assert len(load.words) > 50


def test_a_challenger_joins_and_leaves_by_plain_updates(hosting: Hosting) -> None:
    """At weight 0 it answers only by name; a later update without it removes its processes."""
    main = hosting.variant(hosting.model("blue"))
    challenger = hosting.variant(hosting.model("green"), "challenger", InitialVariantWeight=0.0)
    name = hosting.endpoint(hosting.config(main))
    update(hosting, name, hosting.config(main, challenger), RetainAllVariantProperties=True)
    assert len(hosting.settle(name)["ProductionVariants"]) == 2
    words = {json.loads(hosting.invoke(name)["Body"].read())["word"] for _ in range(10)}
    assert words == {"blue"}
    named = hosting.invoke(name, TargetVariant="challenger")
    assert json.loads(named["Body"].read())["word"] == "green"
    guarded = policy("ALL_AT_ONCE")
    with pytest.raises(ClientError, match="needs the same variant names"):
        update(hosting, name, hosting.config(main), DeploymentConfig=guarded)
    update(hosting, name, hosting.config(main), RetainAllVariantProperties=True)
    assert len(hosting.settle(name)["ProductionVariants"]) == 1
    with pytest.raises(ClientError, match="Variant challenger of endpoint"):
        hosting.invoke(name, TargetVariant="challenger")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (policy("CANARY", step=("INSTANCE_COUNT", 1)), "CanarySize must be at most 50%"),
        (policy("CANARY", step=("CAPACITY_PERCENT", 60)), "CanarySize must be at most 50%"),
        (policy("LINEAR", step=("CAPACITY_PERCENT", 5)), "LinearStepSize must be 10-50%"),
        (policy("CANARY", alarms=["nobody"]), "alarms that do not exist: nobody"),
        (
            {
                "BlueGreenUpdatePolicy": {
                    "TrafficRoutingConfiguration": {"Type": "CANARY", "WaitIntervalInSeconds": 0}
                }
            },
            "CanarySize must be given",
        ),
        (
            policy("ALL_AT_ONCE", 0, 700, MaximumExecutionTimeoutInSeconds=600),
            "must be larger than the waiting times",
        ),
        (
            {
                "RollingUpdatePolicy": {
                    "MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1},
                    "WaitIntervalInSeconds": 0,
                }
            },
            "does not support rolling deployments",
        ),
    ],
)
def test_deployments_that_cannot_be_are_refused(
    hosting: Hosting, single: str, config: Any, words: str
) -> None:
    """Before anything starts, with what is wrong; the endpoint stays as it is."""
    before = hosting.look(single)
    with pytest.raises(ClientError, match=words):
        update(hosting, single, before["EndpointConfigName"], DeploymentConfig=config)
    assert hosting.look(single)["LastModifiedTime"] == before["LastModifiedTime"]


@pytest.fixture(scope="module")
def single(hosting: Hosting) -> str:
    """An endpoint with one instance."""
    return hosting.serve()


def test_one_change_at_a_time(hosting: Hosting, single: str) -> None:
    """A second update, a new weight and a deletion are refused while an update runs."""
    config = hosting.look(single)["EndpointConfigName"]
    update(hosting, single, config, DeploymentConfig=policy("ALL_AT_ONCE", 0, 120))
    busy = "Cannot update in-progress endpoint"
    with pytest.raises(ClientError, match=busy):
        update(hosting, single, config)
    with pytest.raises(ClientError, match=busy):
        hosting.sagemaker.delete_endpoint(EndpointName=single)
    with pytest.raises(ClientError, match=busy):
        hosting.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=single, DesiredWeightsAndCapacities=[{"VariantName": "main"}]
        )
    assert hosting.settle(single)["EndpointStatus"] == "InService"
    with pytest.raises(ClientError, match='variant name "other" was not found'):
        hosting.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=single, DesiredWeightsAndCapacities=[{"VariantName": "other"}]
        )
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        update(hosting, single, "nothing")


def test_a_rollback_to_a_fleet_that_is_gone_has_failed(
    hosting: Hosting, ruined: tuple[str, str]
) -> None:
    """UpdateRollbackFailed says both reasons; another update repairs the endpoint."""
    name, key = ruined
    found = hosting.settle(name)
    assert found["EndpointStatus"] == "UpdateRollbackFailed"
    assert f"the alarm watch-{name} does not exist any more" in found["FailureReason"]
    assert "The old fleet is not in service" in found["FailureReason"]
    with pytest.raises(hosting.runtime.exceptions.ServiceUnavailable):
        hosting.invoke(name)
    lines = hosting.cloud.client("logs").filter_log_events(
        logGroupName=f"/aws/sagemaker/Endpoints/{name}",
        filterPattern='"cannot be started again yet"',
    )["events"]
    assert key in lines[0]["message"]
    update(hosting, name, hosting.config(hosting.variant(hosting.model("green"))))
    repaired = hosting.settle(name)
    assert repaired["EndpointStatus"] == "InService"
    assert "FailureReason" not in repaired
    assert json.loads(hosting.invoke(name)["Body"].read())["word"] == "green"
