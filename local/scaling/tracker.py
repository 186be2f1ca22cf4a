"""What keeps the counts of registered variants: it looks at their alarms, and changes endpoints.

It changes an endpoint as Application Auto Scaling does, by UpdateEndpointWeightsAndCapacities.
"""

import logging
import math
import threading
import time
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from local.cloud import Cloud
from local.metrics.store import Point
from local.scaling import alarms, decide
from local.scaling.alarms import ALL, EACH, HIGH_PERIODS, LOW_PERIODS, NAMESPACE, PERIOD
from local.scaling.book import Activity, Place, Policy, ScalingBook, Target

log = logging.getLogger(__name__)
LOOK_SECONDS = 0.25  # real seconds between two looks
RETRY_SECONDS = 60.0  # service seconds after a change that failed
IN_SERVICE = "InService"
CHANGING = frozenset({"Creating", "Updating", "RollingBack", "SystemUpdating"})


@dataclass(frozen=True)
class Seen:
    """A variant as DescribeEndpoint shows it; `desired` is None while it has no such variant."""

    status: str
    born: float
    reason: str
    desired: int | None


class Tracker:
    """Looks at every target again and again, from the first registration on."""

    def __init__(self, cloud: Cloud, book: ScalingBook) -> None:
        self._cloud = cloud
        self._book = book
        self._started = threading.Event()

    def start(self) -> None:
        """Begin to look, once."""
        with self._book.lock:
            if self._started.is_set():
                return
            self._started.set()
        self._cloud.background("scaling", self._serve)

    def look_at(self, place: Place) -> Seen:
        """The variant now; ClientError when there is no such endpoint."""
        found = self._cloud.client("sagemaker").describe_endpoint(EndpointName=place.endpoint)
        counts = {
            variant["VariantName"]: int(variant["DesiredInstanceCount"])
            for variant in found.get("ProductionVariants", [])
        }
        return Seen(
            status=found["EndpointStatus"],
            born=found["CreationTime"].timestamp(),
            reason=found.get("FailureReason", ""),
            desired=counts.get(place.variant),
        )

    # --- alarms -----------------------------------------------------------------------------
    def put_alarms(self, place: Place, policy: Policy) -> None:
        """Make the policy's alarms as its configuration asks."""
        if not policy.can_shrink:
            self._cloud.alarms.drop([policy.low])
        for request in alarms.requests(place, policy):
            self._cloud.alarms.put(request)

    def drop_alarms(self, policy: Policy) -> None:
        """Delete the policy's alarms."""
        self._cloud.alarms.drop([policy.high, policy.low])

    # --- targets that go --------------------------------------------------------------------
    def forget(self, place: Place) -> None:
        """Deregister a target with its policies and alarms."""
        with self._book.lock:
            target = self._book.targets.pop(place, None)
        if target is None:
            return
        for policy in target.policies.values():
            self.drop_alarms(policy)
        activity = target.under_way
        if activity is not None:
            self._end(target, activity, "Unfulfilled", "The scalable target was deregistered.")

    def forget_deleted(self) -> None:
        """Deregister the targets whose endpoints are deleted, as Application Auto Scaling does."""
        for target in self._targets():
            self._see(target)

    def _targets(self) -> list[Target]:
        with self._book.lock:
            return list(self._book.targets.values())

    def _see(self, target: Target) -> Seen | None:
        """The target's variant; None, and forgotten, when its endpoint is gone or another one."""
        try:
            seen = self.look_at(target.place)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationException":
                raise
            seen = None
        if seen is None or seen.born != target.born or seen.status == "Deleting":
            self.forget(target.place)
            return None
        return seen

    # --- looking ----------------------------------------------------------------------------
    def _serve(self) -> None:
        counted = math.floor(self._cloud.clock.service_now() / PERIOD)
        while not self._cloud.stopping.wait(LOOK_SECONDS):
            period = math.floor(self._cloud.clock.service_now() / PERIOD)
            for target in self._targets():
                try:
                    if period != counted:
                        self._count_nothing(target.place)
                    self._look(target)
                except (ClientError, BotoCoreError):
                    # A fault on demand, or the end of the cloud: the next look comes soon.
                    log.exception("target %s", target.place.resource)
            counted = period

    def _count_nothing(self, place: Place) -> None:
        """A zero a minute, so that a variant without requests has data to be scaled in by."""
        point = Point(self._cloud.clock.now(), 0.0, 1.0, 0.0, 0.0, "None")
        self._cloud.metrics.put_point(NAMESPACE, EACH, alarms.dimensions(place), point)

    def _look(self, target: Target) -> None:
        """Take the next step of one target."""
        seen = self._see(target)
        if seen is None or seen.status in CHANGING:
            return
        is_quiet = self._cloud.clock.service_now() < target.quiet_until
        if target.under_way is not None:
            self._finish(target, target.under_way, seen)
        elif is_quiet or seen.status != IN_SERVICE or seen.desired is None:
            return
        elif target.is_new:
            self._keep_bounds(target, seen.desired)
        else:
            self._track(target, seen.desired)

    def _keep_bounds(self, target: Target, desired: int) -> None:
        """Bring a count into bounds that were just set."""
        with self._book.lock:
            target.is_new, least, most = False, target.least, target.most
        if desired < least:
            self._change(target, desired, least, f"minimum capacity was set to {least}")
        elif desired > most:
            self._change(target, desired, most, f"maximum capacity was set to {most}")

    def _track(self, target: Target, desired: int) -> None:
        """Do what the alarms of the target's policies ask for; more instances come first."""
        suspended = target.suspended
        for policy in list(target.policies.values()):
            if self._rings(policy.high) and not suspended["DynamicScalingOutSuspended"]:
                count = self._more(target, policy, desired)
                if count is not None:
                    cause = alarms.cause(policy, policy.high)
                    self._change(target, desired, count, cause, policy)
                    return
            elif self._rings(policy.low) and not suspended["DynamicScalingInSuspended"]:
                count = self._fewer(target, policy, desired)
                if count is not None:
                    cause = alarms.cause(policy, policy.low)
                    self._change(target, desired, count, cause, policy)
                    return

    def _rings(self, name: str) -> bool:
        alarm = self._cloud.alarms.alarms.get(name)
        return alarm is not None and alarm.state == "ALARM"

    def _more(self, target: Target, policy: Policy, desired: int) -> int | None:
        if self._cools(policy.last_out, policy.configuration["ScaleOutCooldown"]):
            each = self._sums(target.place, EACH, HIGH_PERIODS)
            return decide.more_in_cooldown(
                each, policy.before_out, policy.target, desired, target.most
            )
        loads = self._sums(target.place, ALL, HIGH_PERIODS)
        return decide.more(loads, policy.target, desired, target.most)

    def _fewer(self, target: Target, policy: Policy, desired: int) -> int | None:
        if self._cools(policy.last_in, policy.configuration["ScaleInCooldown"]):
            return None
        loads = self._sums(target.place, ALL, LOW_PERIODS)
        return decide.fewer(loads, policy.target, desired, target.least)

    def _cools(self, since: float | None, seconds: float) -> bool:
        return since is not None and self._cloud.clock.service_now() < since + seconds

    def _sums(self, place: Place, name: str, periods: int) -> list[float]:
        return self._cloud.alarms.sums(NAMESPACE, name, alarms.dimensions(place), PERIOD, periods)

    # --- changing ---------------------------------------------------------------------------
    def _change(
        self, target: Target, was: int, count: int, cause: str, policy: Policy | None = None
    ) -> None:
        place = target.place
        name = policy.name if policy else ""
        activity = Activity(place, count, was, cause, time.time(), name)
        activity.message = f"Successfully set desired instance count to {count}. Waiting for "
        activity.message += "change to be fulfilled by sagemaker."
        wanted = [{"VariantName": place.variant, "DesiredInstanceCount": count}]
        with self._book.lock:
            target.under_way = activity
        self._book.note(activity)
        self._cloud.journal.add("scaling", name=place.endpoint, count=count, was=was, cause=cause)
        try:
            self._cloud.client("sagemaker").update_endpoint_weights_and_capacities(
                EndpointName=place.endpoint, DesiredWeightsAndCapacities=wanted
            )
        except ClientError as error:
            self._fail(target, activity, error.response["Error"]["Message"])

    def _finish(self, target: Target, activity: Activity, seen: Seen) -> None:
        """The endpoint is at rest again: it did what it was asked for, or it did not."""
        if seen.status != IN_SERVICE or seen.desired != activity.count:
            reason = seen.reason or f"the endpoint is {seen.status} with {seen.desired} instances"
            self._fail(target, activity, reason)
            return
        policy = target.policies.get(activity.policy)
        now = self._cloud.clock.service_now()
        if policy is not None and activity.count > activity.was:
            policy.last_out, policy.before_out = now, activity.was
            policy.last_in = None  # a scale-out ends the cooldown of a scale-in
        elif policy is not None:
            policy.last_in = now
        text = f"Successfully set desired instance count to {activity.count}. "
        self._end(
            target, activity, "Successful", text + "Change successfully fulfilled by sagemaker."
        )

    def _fail(self, target: Target, activity: Activity, reason: str) -> None:
        target.quiet_until = self._cloud.clock.service_now() + RETRY_SECONDS
        target.is_new = target.is_new or not activity.policy  # bounds are still to be kept
        text = f"Failed to set desired instance count to {activity.count}. Reason: {reason}"
        self._end(target, activity, "Failed", text)

    def _end(self, target: Target, activity: Activity, status: str, message: str) -> None:
        with self._book.lock:
            activity.status, activity.message, activity.ended = status, message, time.time()
            target.under_way = None
