"""Application Auto Scaling of endpoints: real processes come under load and go after it."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.conftest import LocalCloud, start_local_cloud
from tests.functional.sagemaker.hosting import Hosting

DIMENSION = "sagemaker:variant:DesiredInstanceCount"
METRIC = "SageMakerVariantInvocationsPerInstance"
# A server names itself: process numbers may be the same in private namespaces.
NAMED = """
    import uuid

    def model_fn(folder):
        return uuid.uuid4().hex

    def transform_fn(model, body, content_type, accept):
        return model, "text/plain"
"""
FACTOR = "240"  # a minute passes in a quarter of a second


class Scaling:
    """Shorthand for targets and policies of one cloud."""

    def __init__(self, hosting: Hosting) -> None:
        self.hosting = hosting
        self.client = hosting.cloud.client("application-autoscaling")

    def place(self, endpoint: str, variant: str = "main") -> dict[str, str]:
        """The members that name a variant."""
        return {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{endpoint}/variant/{variant}",
            "ScalableDimension": DIMENSION,
        }

    def register(self, endpoint: str, least: int, most: int, **more: Any) -> Any:
        """RegisterScalableTarget."""
        return self.client.register_scalable_target(
            **self.place(endpoint), MinCapacity=least, MaxCapacity=most, **more
        )

    def track(self, endpoint: str, target: float, name: str = "track", **more: Any) -> Any:
        """PutScalingPolicy by invocations of an instance."""
        configuration = {
            "TargetValue": target,
            "PredefinedMetricSpecification": {"PredefinedMetricType": METRIC},
            "ScaleOutCooldown": 60,
            "ScaleInCooldown": 60,
            **more,
        }
        return self.client.put_scaling_policy(
            PolicyName=name,
            **self.place(endpoint),
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration=configuration,
        )

    def targets(self, endpoint: str) -> list[Any]:
        """The endpoint's targets."""
        place = self.place(endpoint)
        found: list[Any] = self.client.describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[place["ResourceId"]]
        )["ScalableTargets"]
        return found

    def activities(self, endpoint: str) -> list[Any]:
        """What was done, newest first."""
        place = self.place(endpoint)
        found: list[Any] = self.client.describe_scaling_activities(**place)["ScalingActivities"]
        return found

    def ended(self, endpoint: str, count: int) -> list[Any]:
        """Wait until so many activities are over."""
        found: list[Any] = self.hosting.until(
            lambda: self.activities(endpoint),
            lambda all_: sum("EndTime" in each for each in all_) >= count,
        )
        return found

    def counts(self, endpoint: str) -> tuple[int, int]:
        """Desired and current instances."""
        variant = self.hosting.look(endpoint)["ProductionVariants"][0]
        return variant["DesiredInstanceCount"], variant["CurrentInstanceCount"]

    def await_count(self, endpoint: str, count: int) -> None:
        """Wait until so many instances are asked for and in service."""
        self.hosting.until(
            lambda: self.counts(endpoint), lambda found: found == (count, count), seconds=45
        )

    def alarms(self, endpoint: str) -> dict[str, Any]:
        """The policy's alarms: `High` and `Low`."""
        prefix = f"TargetTracking-endpoint/{endpoint}/variant/main-Alarm"
        found = self.hosting.cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix=prefix)
        return {
            alarm["AlarmName"].removeprefix(prefix).partition("-")[0]: alarm
            for alarm in found["MetricAlarms"]
        }


@pytest.fixture(scope="module")
def fast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A cloud whose minutes are quarters of a second."""
    cloud = start_local_cloud(tmp_path_factory.mktemp("scaling") / "state", "--clock", FACTOR)
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def scaling(fast: LocalCloud) -> Scaling:
    """Targets, policies and endpoints of the fast cloud."""
    return Scaling(Hosting(fast))


@contextlib.contextmanager
def load(hosting: Hosting, endpoint: str, pause: float = 0.02) -> Iterator[list[str]]:
    """Requests one after another until the block ends; yields what failed."""
    over, failed = threading.Event(), []

    def ask() -> None:
        while not over.wait(pause):
            try:
                hosting.patient.invoke_endpoint(
                    EndpointName=endpoint, Body="1", ContentType="text/csv"
                )
            except ClientError as error:
                failed.append(str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield failed
    finally:
        over.set()
        thread.join()


def test_processes_come_under_load_and_go_after_it(scaling: Scaling) -> None:
    """The upper alarm brings as many processes as may be, each answers less; the lower takes
    them away again down to the least. No request fails while they come."""
    hosting = scaling.hosting
    endpoint = hosting.serve(script=NAMED)
    scaling.register(endpoint, 1, 3)
    made = scaling.track(endpoint, 1.0)
    alarms = scaling.alarms(endpoint)
    assert {alarm["AlarmName"] for alarm in made["Alarms"]} == {
        alarm["AlarmName"] for alarm in alarms.values()
    }
    assert alarms["High"]["Threshold"] == 1.0
    assert alarms["Low"]["Threshold"] == pytest.approx(0.9)
    assert [alarms[kind]["EvaluationPeriods"] for kind in ("High", "Low")] == [3, 15]
    with load(hosting, endpoint) as failed:
        scaling.await_count(endpoint, 3)
        hosting.until(lambda: len(set(servers(hosting, endpoint))), lambda found: found == 3)
    assert failed == []
    first = scaling.ended(endpoint, 1)[-1]
    assert first["StatusCode"] == "Successful"
    assert first["Description"] == "Setting desired instance count to 3."
    assert f"{alarms['High']['AlarmName']} in state ALARM triggered policy track" in first["Cause"]
    scaling.await_count(endpoint, 1)
    last = scaling.ended(endpoint, 2)[0]
    assert f"{alarms['Low']['AlarmName']} in state ALARM" in last["Cause"]
    hosting.until(lambda: set(servers(hosting, endpoint, 3)), lambda found: len(found) == 1)
    hosting.remove(endpoint)


def servers(hosting: Hosting, endpoint: str, requests: int = 30) -> list[str]:
    """The servers that answer some requests."""
    return [hosting.invoke(endpoint)["Body"].read().decode() for _ in range(requests)]


def test_requests_of_an_instance_fall_when_instances_come(scaling: Scaling) -> None:
    """Under the same load InvocationsPerInstance ends below what it was with one instance."""
    hosting = scaling.hosting
    endpoint = hosting.serve()
    scaling.register(endpoint, 1, 2)
    cloudwatch = hosting.cloud.client("cloudwatch")

    def share() -> float:
        """InvocationsPerInstance over Invocations, of the last seconds."""
        now = time.time()
        sums = []
        for name in ("InvocationsPerInstance", "Invocations"):
            points = cloudwatch.get_metric_statistics(
                Namespace="AWS/SageMaker",
                MetricName=name,
                Dimensions=[
                    {"Name": "EndpointName", "Value": endpoint},
                    {"Name": "VariantName", "Value": "main"},
                ],
                StartTime=now - 1,
                EndTime=now,
                Period=1,
                Statistics=["Sum"],
            )["Datapoints"]
            sums.append(sum(point["Sum"] for point in points))
        return sums[0] / sums[1] if sums[1] else 0.0

    with load(hosting, endpoint):
        hosting.until(share, lambda found: found == pytest.approx(1.0))
        scaling.track(endpoint, 1.0)
        scaling.await_count(endpoint, 2)
        hosting.until(share, lambda found: found == pytest.approx(0.5))
    hosting.remove(endpoint)


def test_bounds_that_are_set_are_kept_at_once(scaling: Scaling) -> None:
    """A least count above what there is adds instances, a lower most count takes them away."""
    endpoint = scaling.hosting.serve()
    arn = scaling.register(endpoint, 2, 3)["ScalableTargetARN"]
    scaling.await_count(endpoint, 2)
    assert scaling.ended(endpoint, 1)[0]["Cause"] == "minimum capacity was set to 2"
    assert scaling.register(endpoint, 1, 1)["ScalableTargetARN"] == arn
    scaling.await_count(endpoint, 1)
    assert scaling.ended(endpoint, 2)[0]["Cause"] == "maximum capacity was set to 1"
    (target,) = scaling.targets(endpoint)
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 1)
    scaling.hosting.remove(endpoint)


def test_a_scale_in_waits_for_the_cooldown_of_the_one_before(scaling: Scaling) -> None:
    """Two scale-ins of one policy lie at least its ScaleInCooldown apart."""
    endpoint = scaling.hosting.serve()
    cooldown = 1200
    scaling.register(endpoint, 2, 2)
    scaling.await_count(endpoint, 2)
    scaling.track(endpoint, 5.0, ScaleInCooldown=cooldown)
    scaling.register(endpoint, 1, 2)
    scaling.await_count(endpoint, 1)
    scaling.ended(endpoint, 2)
    scaling.register(endpoint, 2, 2)
    scaling.ended(endpoint, 3)
    scaling.register(endpoint, 1, 2)
    second, raised, first, _ = scaling.ended(endpoint, 4)
    assert raised["Cause"] == "minimum capacity was set to 2"
    for each in (first, second):
        assert "AlarmLow" in each["Cause"]
    passed = (second["StartTime"] - first["EndTime"]).total_seconds()
    assert passed >= 0.98 * cooldown / float(FACTOR)
    scaling.hosting.remove(endpoint)


def test_what_is_suspended_does_not_scale(scaling: Scaling) -> None:
    """Under a ringing alarm nothing is done; without the suspension it is."""
    hosting = scaling.hosting
    endpoint = hosting.serve()
    scaling.register(endpoint, 1, 2, SuspendedState={"DynamicScalingOutSuspended": True})
    (target,) = scaling.targets(endpoint)
    assert target["SuspendedState"] == {
        "DynamicScalingInSuspended": False,
        "DynamicScalingOutSuspended": True,
        "ScheduledScalingSuspended": False,
    }
    scaling.track(endpoint, 1.0)
    with load(hosting, endpoint):
        hosting.until(
            lambda: scaling.alarms(endpoint)["High"]["StateValue"], lambda state: state == "ALARM"
        )
        servers(hosting, endpoint, 100)  # longer than the pause between two looks
        assert scaling.activities(endpoint) == []
        scaling.register(endpoint, 1, 2, SuspendedState={"DynamicScalingOutSuspended": False})
        scaling.await_count(endpoint, 2)
    hosting.remove(endpoint)


def test_a_change_that_fails_says_why_and_is_tried_again(scaling: Scaling) -> None:
    """Without its artifact no second instance starts; once it is back, one does."""
    hosting = scaling.hosting
    container = hosting.container()
    key = container["ModelDataUrl"].removeprefix(f"s3://{hosting.bucket}/")
    body = hosting.get(key)
    model = hosting.model(container=container)
    endpoint = hosting.endpoint(hosting.config(hosting.variant(model)))
    hosting.s3.delete_object(Bucket=hosting.bucket, Key=key)
    scaling.register(endpoint, 2, 2)
    failed = scaling.ended(endpoint, 1)[-1]
    assert failed["StatusCode"] == "Failed"
    assert "Failed to set desired instance count to 2. Reason: " in failed["StatusMessage"]
    assert key in failed["StatusMessage"]
    assert hosting.settle(endpoint)["EndpointStatus"] == "InService"
    assert hosting.invoke(endpoint)["Body"].read()
    hosting.put(key, body)
    scaling.await_count(endpoint, 2)
    hosting.remove(endpoint)


def test_a_deployment_keeps_the_scaled_fleet_only_where_it_is_asked_to(scaling: Scaling) -> None:
    """RetainAllVariantProperties keeps the count that scaling chose; without it the count of the
    configuration comes back."""
    hosting = scaling.hosting
    endpoint = hosting.serve()
    scaling.register(endpoint, 2, 3)
    scaling.await_count(endpoint, 2)
    scaling.ended(endpoint, 1)
    green = hosting.config(hosting.variant(hosting.model("green")))
    hosting.sagemaker.update_endpoint(
        EndpointName=endpoint, EndpointConfigName=green, RetainAllVariantProperties=True
    )
    assert hosting.settle(endpoint)["EndpointConfigName"] == green
    assert scaling.counts(endpoint) == (2, 2)
    red = hosting.config(hosting.variant(hosting.model("red")))
    hosting.sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=red)
    assert hosting.settle(endpoint)["EndpointConfigName"] == red
    assert scaling.counts(endpoint) == (1, 1)
    hosting.remove(endpoint)


def test_a_deleted_endpoint_takes_its_target_its_policy_and_their_alarms(scaling: Scaling) -> None:
    """As AWS deregisters them itself; one made anew under the name is not scaled."""
    hosting = scaling.hosting
    config = hosting.config(hosting.variant(hosting.model()))
    endpoint = hosting.endpoint(config)
    scaling.register(endpoint, 1, 2)
    scaling.track(endpoint, 5.0)
    hosting.remove(endpoint)
    hosting.sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
    hosting.settle(endpoint)
    assert scaling.targets(endpoint) == []
    place = scaling.place(endpoint)
    assert scaling.client.describe_scaling_policies(**place)["ScalingPolicies"] == []
    assert scaling.alarms(endpoint) == {}
    with pytest.raises(scaling.client.exceptions.ObjectNotFoundException):
        scaling.track(endpoint, 5.0)
    hosting.remove(endpoint)


@pytest.fixture(scope="module")
def still(scaling: Scaling) -> Iterator[str]:
    """An endpoint that nobody asks anything."""
    endpoint = scaling.hosting.serve()
    yield endpoint
    scaling.hosting.remove(endpoint)


def test_a_policy_is_described_changed_and_deleted_with_its_alarms(
    scaling: Scaling, still: str
) -> None:
    """The same name is the same policy; without scale-in it has no lower alarm."""
    scaling.register(still, 1, 2)
    first = scaling.track(still, 70.0)
    second = scaling.track(still, 80.0, DisableScaleIn=True)
    assert second["PolicyARN"] == first["PolicyARN"]
    assert set(scaling.alarms(still)) == {"High"}
    assert scaling.alarms(still)["High"]["Threshold"] == 80.0
    place = scaling.place(still)
    (policy,) = scaling.client.describe_scaling_policies(**place)["ScalingPolicies"]
    assert policy["PolicyType"] == "TargetTrackingScaling"
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 80.0
    scaling.client.delete_scaling_policy(PolicyName="track", **place)
    assert scaling.alarms(still) == {}
    with pytest.raises(scaling.client.exceptions.ObjectNotFoundException):
        scaling.client.delete_scaling_policy(PolicyName="track", **place)
    scaling.client.deregister_scalable_target(**place)
    assert scaling.targets(still) == []
    with pytest.raises(scaling.client.exceptions.ObjectNotFoundException):
        scaling.client.deregister_scalable_target(**place)


REFUSED_TARGETS = [
    ({"MinCapacity": 3, "MaxCapacity": 2}, "cannot be less than minimum capacity"),
    ({"MinCapacity": 0, "MaxCapacity": 2}, "MinCapacity of 0"),
    ({"MinCapacity": -1, "MaxCapacity": 2}, "cannot be less than 0"),
    ({"MinCapacity": 1}, "MinCapacity and MaxCapacity are required"),
    ({"MinCapacity": 1, "MaxCapacity": 1001}, "cannot be greater than 1000"),
    ({"MinCapacity": 1, "MaxCapacity": 2, "Tags": {"a": "b"}}, "Tags of scalable targets"),
    ({"MinCapacity": 1, "MaxCapacity": 2, "ResourceId": "endpoint/none/variant/main"}, "find"),
    ({"MinCapacity": 1, "MaxCapacity": 2, "ResourceId": "endpoint/none"}, "endpoint/<endpoint>"),
    ({"MinCapacity": 1, "MaxCapacity": 2, "ServiceNamespace": "ecs"}, "ServiceNamespace ecs"),
    (
        {
            "MinCapacity": 1,
            "MaxCapacity": 2,
            "ScalableDimension": "sagemaker:variant:DesiredProvisionedConcurrency",
        },
        "DesiredProvisionedConcurrency",
    ),
]


@pytest.mark.parametrize(("given", "words"), REFUSED_TARGETS)
def test_bad_targets_are_refused(scaling: Scaling, still: str, given: Any, words: str) -> None:
    """Each mistake gets AWS's ValidationException, and nothing is registered."""
    with pytest.raises(scaling.client.exceptions.ValidationException, match=words):
        scaling.client.register_scalable_target(**{**scaling.place(still), **given})
    assert scaling.targets(still) == []


def test_a_variant_that_is_not_there_cannot_be_registered(scaling: Scaling, still: str) -> None:
    """The error names the variant and the endpoint."""
    with pytest.raises(scaling.client.exceptions.ValidationException, match="other"):
        scaling.client.register_scalable_target(
            **scaling.place(still, "other"), MinCapacity=1, MaxCapacity=2
        )


PREDEFINED = {"PredefinedMetricType": METRIC}
REFUSED_POLICIES = [
    ({"PolicyType": "StepScaling"}, "PolicyType StepScaling"),
    ({"TargetTrackingScalingPolicyConfiguration": None}, "Configuration is required"),
    ({"TargetValue": 0}, "greater than 0"),
    ({"ScaleOutCooldown": -1}, "between 0 and 3600"),
    ({"PredefinedMetricSpecification": None}, "PredefinedMetricSpecification is required"),
    (
        {
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "ECSServiceAverageCPUUtilization"
            }
        },
        "ECSServiceAverageCPUUtilization",
    ),
    (
        {"PredefinedMetricSpecification": {**PREDEFINED, "ResourceLabel": "x"}},
        "ResourceLabel",
    ),
    (
        {
            "PredefinedMetricSpecification": None,
            "CustomizedMetricSpecification": {
                "MetricName": "a",
                "Namespace": "b",
                "Statistic": "Sum",
            },
        },
        "CustomizedMetricSpecification",
    ),
]


@pytest.mark.parametrize(("given", "words"), REFUSED_POLICIES)
def test_bad_policies_are_refused(scaling: Scaling, still: str, given: Any, words: str) -> None:
    """Each mistake gets AWS's ValidationException, and no alarm is made."""
    scaling.register(still, 1, 2)
    tracking = {"TargetValue": 1.0, "PredefinedMetricSpecification": PREDEFINED}
    whole = {"PolicyType", "TargetTrackingScalingPolicyConfiguration"}
    tracking |= {name: value for name, value in given.items() if name not in whole}
    request = {
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            name: value for name, value in tracking.items() if value is not None
        },
        **{name: value for name, value in given.items() if name in whole},
    }
    request = {name: value for name, value in request.items() if value is not None}
    with pytest.raises(scaling.client.exceptions.ValidationException, match=words):
        scaling.client.put_scaling_policy(PolicyName="p", **scaling.place(still), **request)
    assert scaling.alarms(still) == {}
    scaling.client.deregister_scalable_target(**scaling.place(still))


def test_a_second_policy_for_the_same_metric_is_refused(scaling: Scaling, still: str) -> None:
    """AWS takes one target tracking policy a metric."""
    scaling.register(still, 1, 2)
    scaling.track(still, 70.0)
    with pytest.raises(scaling.client.exceptions.ValidationException, match="Only one"):
        scaling.track(still, 80.0, name="second")
    scaling.client.deregister_scalable_target(**scaling.place(still))


def test_activities_that_did_not_scale_are_refused_by_name(scaling: Scaling) -> None:
    """IncludeNotScaledActivities is not imitated, and says so."""
    with pytest.raises(ClientError, match="IncludeNotScaledActivities"):
        scaling.client.describe_scaling_activities(
            ServiceNamespace="sagemaker", IncludeNotScaledActivities=True
        )


def test_pages_are_cut_and_a_foreign_token_is_refused(scaling: Scaling, still: str) -> None:
    """MaxResults from 1 to 50; a token belongs to its own request."""
    scaling.register(still, 1, 2)
    exceptions = scaling.client.exceptions
    for size in (0, 51):
        with pytest.raises(exceptions.ValidationException, match="MaxResults"):
            scaling.client.describe_scalable_targets(ServiceNamespace="sagemaker", MaxResults=size)
    with pytest.raises(exceptions.InvalidNextTokenException):
        scaling.client.describe_scalable_targets(ServiceNamespace="sagemaker", NextToken="x")
    scaling.client.deregister_scalable_target(**scaling.place(still))
