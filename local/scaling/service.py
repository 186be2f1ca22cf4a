"""Application Auto Scaling's API: register, put, describe, delete."""

import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from local.cloud import Cloud
from local.jsonapi.errors import ApiError, invalid, unsupported
from local.jsonapi.service import JsonService
from local.sagemaker.errors import SageMakerError
from local.sagemaker.records import paged
from local.scaling import alarms, rules
from local.scaling.book import NAMESPACE, Place, Policy, Record, ScalingBook, Target
from local.scaling.tracker import Seen, Tracker

MOST_RESULTS = 50
ROLE = (
    "arn:aws:iam::{account}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)


class ScalingService(JsonService):
    """WSGI application for `application-autoscaling`."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__("application-autoscaling")
        self._cloud = cloud
        self._book = ScalingBook()
        self._tracker = Tracker(cloud, self._book)
        cloud.add_idle_probe("scaling", self._book.working)
        self.operations = {
            "RegisterScalableTarget": self.register,
            "DescribeScalableTargets": self.targets,
            "DeregisterScalableTarget": self.deregister,
            "PutScalingPolicy": self.put_policy,
            "DescribeScalingPolicies": self.policies,
            "DeleteScalingPolicy": self.delete_policy,
            "DescribeScalingActivities": self.activities,
        }

    # --- targets ----------------------------------------------------------------------------
    def register(self, parameters: Record) -> Record:
        """RegisterScalableTarget: a new one, or other bounds of a known one."""
        place = rules.place_of(parameters)
        if parameters.get("Tags"):
            raise unsupported("Tags of scalable targets")
        seen = self._variant(place)
        with self._book.lock:
            known = self._book.targets.get(place)
            least, most = rules.bounds_of(parameters, known)
            suspended = rules.suspended(parameters, known)
            if known is None:
                known = Target(place, least, most, self._arn(), seen.born, _now(), suspended)
                self._book.targets[place] = known
            known.least, known.most, known.suspended = least, most, suspended
            known.is_new = True
        self._tracker.start()
        return {"ScalableTargetARN": known.arn}

    def targets(self, parameters: Record) -> Record:
        """DescribeScalableTargets."""
        rules.check_namespace(parameters)
        self._tracker.forget_deleted()
        wanted = parameters.get("ResourceIds")
        with self._book.lock:
            found = [
                {
                    **target.place.members,
                    "MinCapacity": target.least,
                    "MaxCapacity": target.most,
                    "RoleARN": ROLE.format(account=self._cloud.account),
                    "CreationTime": round(target.created, 3),
                    "SuspendedState": dict(target.suspended),
                    "ScalableTargetARN": target.arn,
                }
                for target in self._book.targets.values()
                if not wanted or target.place.resource in wanted
            ]
        return _page("ScalableTargets", found, parameters)

    def deregister(self, parameters: Record) -> None:
        """DeregisterScalableTarget: its policies and their alarms go, too."""
        place = rules.place_of(parameters)
        self._target(place)
        self._tracker.forget(place)

    # --- policies ---------------------------------------------------------------------------
    def put_policy(self, parameters: Record) -> Record:
        """PutScalingPolicy: a new one, or another configuration of a known one."""
        place, name = rules.place_of(parameters), parameters["PolicyName"]
        target = self._target(place)
        with self._book.lock:
            known = target.policies.get(name)
            made = rules.tracking_of(parameters, known)
            rules.check_only_one(target, name)
            if known is None:
                high, low = alarms.names(place)
                known = Policy(name, self._policy_arn(place, name), made, high, low, _now())
                target.policies[name] = known
            known.configuration = made
        self._tracker.put_alarms(place, known)
        return {"PolicyARN": known.arn, "Alarms": self._alarms(known)}

    def policies(self, parameters: Record) -> Record:
        """DescribeScalingPolicies."""
        rules.check_namespace(parameters)
        self._tracker.forget_deleted()
        names, resource = parameters.get("PolicyNames"), parameters.get("ResourceId")
        with self._book.lock:
            found = [
                {
                    "PolicyARN": policy.arn,
                    "PolicyName": policy.name,
                    **target.place.members,
                    "PolicyType": "TargetTrackingScaling",
                    "TargetTrackingScalingPolicyConfiguration": policy.configuration,
                    "Alarms": self._alarms(policy),
                    "CreationTime": round(policy.created, 3),
                }
                for target in self._book.targets.values()
                for policy in target.policies.values()
                if resource in (None, target.place.resource) and (not names or policy.name in names)
            ]
        return _page("ScalingPolicies", found, parameters)

    def delete_policy(self, parameters: Record) -> None:
        """DeleteScalingPolicy: its alarms go, too."""
        place, name = rules.place_of(parameters), parameters["PolicyName"]
        target = self._target(place)
        with self._book.lock:
            policy = target.policies.pop(name, None)
        if policy is None:
            raise rules.no_policy(place, name)
        self._tracker.drop_alarms(policy)

    def activities(self, parameters: Record) -> Record:
        """DescribeScalingActivities, newest first; they outlive their target."""
        rules.check_namespace(parameters)
        if parameters.get("IncludeNotScaledActivities"):
            raise unsupported("IncludeNotScaledActivities")
        resource = parameters.get("ResourceId")
        with self._book.lock:
            found = [
                activity.shown()
                for activity in reversed(self._book.activities)
                if resource in (None, activity.place.resource)
            ]
        return _page("ScalingActivities", found, parameters)

    # --- helpers ----------------------------------------------------------------------------
    def _target(self, place: Place) -> Target:
        self._tracker.forget_deleted()
        with self._book.lock:
            target = self._book.targets.get(place)
        if target is None:
            raise rules.no_target(place)
        return target

    def _variant(self, place: Place) -> Seen:
        """The variant as its endpoint shows it; AWS's error if there is none."""
        self._tracker.forget_deleted()
        try:
            seen = self._tracker.look_at(place)
        except ClientError as error:
            raise invalid(error.response["Error"]["Message"]) from error
        if seen.status == "Failed":
            raise invalid(f'Endpoint "{place.endpoint}" is in status Failed.')
        if seen.desired is None:
            raise invalid(
                f'Could not find variant "{place.variant}" in service of endpoint '
                f'"{place.endpoint}" (status {seen.status}).'
            )
        return seen

    def _alarms(self, policy: Policy) -> list[Record]:
        prefix = f"arn:aws:cloudwatch:{self._cloud.region}:{self._cloud.account}:alarm:"
        return [{"AlarmName": name, "AlarmARN": prefix + name} for name in policy.alarms()]

    def _arn(self) -> str:
        where = f"{self._cloud.region}:{self._cloud.account}"
        return f"arn:aws:application-autoscaling:{where}:scalable-target/{uuid.uuid4().hex[:30]}"

    def _policy_arn(self, place: Place, name: str) -> str:
        where = f"{self._cloud.region}:{self._cloud.account}"
        return (
            f"arn:aws:autoscaling:{where}:scalingPolicy:{uuid.uuid4()}:resource/{NAMESPACE}/"
            f"{place.resource}:policyName/{name}"
        )


def _now() -> float:
    return time.time()


def _page(result: str, found: Iterable[Record], parameters: Mapping[str, Any]) -> Record:
    size = parameters.get("MaxResults", MOST_RESULTS)
    if not 1 <= size <= MOST_RESULTS:
        raise invalid(f"MaxResults must be between 1 and {MOST_RESULTS}")
    try:
        entries, token = paged(list(found), {**parameters, "MaxResults": size})
    except SageMakerError as error:
        raise ApiError("InvalidNextTokenException", str(error)) from error
    return {result: entries, "NextToken": token} if token else {result: entries}
