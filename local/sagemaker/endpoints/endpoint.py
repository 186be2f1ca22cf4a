"""One endpoint: what Describe shows, who answers its requests, and the events of its changes."""

import copy
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.cloud import Cloud
from local.sagemaker.endpoints.fleet import Fleet, FleetError, stop_all
from local.sagemaker.endpoints.routes import Routes, settled
from local.sagemaker.records import Record
from local.sagemaker.tags import Tags

log = logging.getLogger(__name__)
TEXT_LIMIT = 1024
CREATING, UPDATING, ROLLING_BACK = "Creating", "Updating", "RollingBack"
IN_SERVICE, FAILED, DELETING = "InService", "Failed", "Deleting"
ROLLBACK_FAILED = "UpdateRollbackFailed"
SERVING = frozenset({UPDATING, ROLLING_BACK, IN_SERVICE, ROLLBACK_FAILED})
AT_REST = frozenset({IN_SERVICE, FAILED, ROLLBACK_FAILED})


@dataclass
class Pending:
    """A deployment under way: the fleet to come, and how far it is.

    `parts` are the parts of each variant's traffic that it answers; `status` is the variants'.
    """

    fleet: Fleet
    started: float
    parts: Mapping[str, float] = field(default_factory=dict)
    status: Record = field(default_factory=dict)


class Endpoint:
    """`routes` is read without a lock by every request; all else is changed under `lock`."""

    def __init__(self, cloud: Cloud, tags: Tags, record: Record) -> None:
        self.cloud = cloud
        self._tags = tags
        self.record = record
        self.name: str = record["EndpointName"]
        self.lock = threading.RLock()
        self.routes: Routes | None = None
        self.fleet: Fleet | None = None
        self.pending: Pending | None = None
        self.parts: Mapping[str, float] = {}
        self.working = 0

    # --- what is shown ----------------------------------------------------------------------
    @property
    def status(self) -> str:
        """EndpointStatus."""
        return str(self.record["EndpointStatus"])

    def snapshot(self) -> Record:
        """What Describe shows now."""
        with self.lock:
            shown = copy.deepcopy(self.record)
            if self.fleet is not None:
                gone = self.pending.parts if self.pending else {}
                shown["ProductionVariants"] = _variants(self.fleet, gone, leaving=True)
                if self.pending is not None:
                    _say_updating(shown["ProductionVariants"], self.pending)
            if self.pending is not None:
                pending = self.pending
                variants = _variants(pending.fleet, pending.parts, leaving=False)
                for variant in variants:
                    variant["VariantStatus"] = [pending.status] if pending.status else []
                shown["PendingDeploymentSummary"] = {
                    "EndpointConfigName": pending.fleet.name,
                    "StartTime": pending.started,
                    "ProductionVariants": variants,
                }
            return shown

    # --- changes ----------------------------------------------------------------------------
    def move(self, status: str, reason: str | None = None) -> None:
        """A new status, with its event; a reason stays until the next success."""
        with self.lock:
            self.record["EndpointStatus"] = status
            self.record["LastModifiedTime"] = round(time.time(), 3)
            if reason is not None:
                self.record["FailureReason"] = reason[:TEXT_LIMIT]
            detail = state_event(self.snapshot(), self._tags.of(self.record["EndpointArn"]))
        self._publish("SageMaker Endpoint State Change", detail)
        self.cloud.journal.add("endpoint", name=self.name, status=status)

    def progress(self, status: str, message: str) -> None:
        """A deployment's next step, with its event."""
        with self.lock:
            if self.pending is None:
                return
            moment = round(time.time(), 3)
            self.pending.status = {
                "Status": status,
                "StatusMessage": message[:TEXT_LIMIT],
                "StartTime": moment,
            }
            detail = deployment_event(self.snapshot())
        self._publish("SageMaker Endpoint Deployment State Change", detail)
        config = detail["PendingDeploymentSummary"]["EndpointConfigName"]
        self.cloud.journal.add("deployment", name=self.name, config=config, status=message)

    def _publish(self, kind: str, detail: Record) -> None:
        self.cloud.publish_event("aws.sagemaker", kind, detail, [self.record["EndpointArn"]])

    def work(self, body: Callable[[], None]) -> None:
        """Run a change in the background; its last step is a status at rest, or the end."""
        with self.lock:
            self.working += 1

        def run() -> None:
            try:
                body()
            except Exception as error:
                log.exception("endpoint %s", self.name)
                text = f"InternalServerError: the local cloud failed: {error}"
                self.move(FAILED if self.routes is None else IN_SERVICE, text)
            finally:
                with self.lock:
                    self.working -= 1

        self.cloud.background(f"endpoint {self.name}", run)

    def adopt(self, fleet: Fleet) -> None:
        """All traffic to this fleet; it is the endpoint's own from now on."""
        with self.lock:
            self.fleet = fleet
            self.routes = settled(fleet)
            self.pending = None
            self.record["EndpointConfigName"] = fleet.name
            self.record["DataCaptureConfig"] = capture_summary(fleet.config)
            self.record.pop("FailureReason", None)

    def create(self, fleet: Fleet, counts: Mapping[str, int]) -> None:
        """From nothing to InService, or Failed."""
        with self.lock:
            self.pending = Pending(fleet, round(time.time(), 3))
        self.progress(CREATING, f"Creating {sum(counts.values())} instance(s).")
        try:
            fleet.grow(counts)
            fleet.wait()
        except Exception as error:
            text = str(error)
            if not isinstance(error, FleetError):
                log.exception("endpoint %s", self.name)
                text = f"InternalServerError: the local cloud failed: {error}"
            fleet.retire()
            with self.lock:
                self.pending = None
            self.move(FAILED, text)
            return
        self.adopt(fleet)
        self.move(IN_SERVICE)

    def rescale(self, counts: Mapping[str, int], weights: Mapping[str, float]) -> None:
        """Other counts and weights within the fleet that there is."""
        fleet = self.fleet
        if fleet is None:
            raise RuntimeError(f"endpoint {self.name} has no fleet")
        before = {name: len(fleet.variants[name].instances) for name in counts}
        reason = None
        try:
            fleet.grow(counts)
            fleet.wait()
        except FleetError as error:
            reason = str(error)
            counts = before
        with self.lock:
            for name, count in counts.items():
                fleet.variants[name].desired = count
            if reason is None:
                fleet.weights.update(weights)
                self.record.pop("FailureReason", None)
            gone = [
                one for name, count in counts.items() for one in fleet.variants[name].shrink(count)
            ]
            self.routes = settled(fleet)
        stop_all(gone)
        self.move(IN_SERVICE, reason)

    def remove(self) -> None:
        """No more requests; returns when every process is gone."""
        with self.lock:
            self.routes = None
            fleet = self.fleet
        if fleet is not None:
            fleet.retire()


def _say_updating(variants: list[Record], pending: Pending) -> None:
    for variant in variants:
        variant["VariantStatus"] = [
            {
                "Status": UPDATING,
                "StatusMessage": f"Updating to {pending.fleet.name}.",
                "StartTime": pending.started,
            }
        ]


def _variants(fleet: Fleet, parts: Mapping[str, float], *, leaving: bool) -> list[Record]:
    """Summaries of a fleet that loses (or gains) parts of the traffic."""
    most = max(parts.values(), default=0.0)
    shown = []
    for name, variant in fleet.variants.items():
        weight = fleet.weights[name]
        part = parts.get(name, most)
        share = weight * (1 - part if leaving else part)
        shown.append(variant.summary(round(share, 9), weight))
    return shown


def capture_summary(config: Mapping[str, Any]) -> Record | None:
    """DataCaptureConfig as DescribeEndpoint shows it."""
    capture = config.get("DataCaptureConfig")
    if not capture:
        return None
    enabled = bool(capture.get("EnableCapture"))
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
        "DestinationS3Uri": capture["DestinationS3Uri"],
        "KmsKeyId": capture.get("KmsKeyId", ""),
    }


def spelled(status: str) -> str:
    """`InService` as events spell it: `IN_SERVICE`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", status).upper()


def state_event(shown: Record, tags: Mapping[str, str]) -> Record:
    """The detail of "SageMaker Endpoint State Change": times as epoch milliseconds."""
    variants = shown.get("ProductionVariants") or (
        shown.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
    )
    return {
        "EndpointName": shown["EndpointName"],
        "EndpointArn": shown["EndpointArn"],
        "EndpointConfigName": shown["EndpointConfigName"],
        "ProductionVariants": [
            {name: variant[name] for name in ("DesiredWeight", "DesiredInstanceCount")}
            for variant in variants
        ],
        "EndpointStatus": spelled(shown["EndpointStatus"]),
        "CreationTime": shown["CreationTime"] * 1000,
        "LastModifiedTime": shown["LastModifiedTime"] * 1000,
        "Tags": dict(tags),
    }


def deployment_event(shown: Record) -> Record:
    """The detail of "SageMaker Endpoint Deployment State Change"."""
    members = (
        "VariantName",
        "CurrentWeight",
        "DesiredWeight",
        "CurrentInstanceCount",
        "DesiredInstanceCount",
        "VariantStatus",
    )

    def brief(variants: list[Record]) -> list[Record]:
        kept = [{name: one[name] for name in members if name in one} for one in variants]
        for one in kept:
            if "VariantStatus" in one:
                one["VariantStatus"] = [
                    {**status, "StartTime": _stamp(status["StartTime"])}
                    for status in one["VariantStatus"]
                ]
        return kept

    pending = shown["PendingDeploymentSummary"]
    return {
        "EndpointName": shown["EndpointName"],
        "EndpointArn": shown["EndpointArn"],
        "EndpointConfigName": shown["EndpointConfigName"],
        "EndpointStatus": spelled(shown["EndpointStatus"]),
        "ProductionVariants": brief(shown.get("ProductionVariants", [])),
        "PendingDeploymentSummary": {
            "EndpointConfigName": pending["EndpointConfigName"],
            "StartTime": _stamp(pending["StartTime"]),
            "ProductionVariants": brief(pending["ProductionVariants"]),
        },
    }


def _stamp(moment: float) -> str:
    at = datetime.fromtimestamp(moment, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
