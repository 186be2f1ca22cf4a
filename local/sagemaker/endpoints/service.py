"""The API of endpoints: create, update, describe, list, delete, weights and capacities."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.model import ServiceModel

from local.cloud import Cloud
from local.sagemaker.endpoints.capture import CapturePlan, CaptureWriter
from local.sagemaker.endpoints.config_rules import ConfigRules
from local.sagemaker.endpoints.connections import Ports
from local.sagemaker.endpoints.deployment import Deployment, alarm_names, missing_alarms
from local.sagemaker.endpoints.deployment_rules import check_guarded, check_policy
from local.sagemaker.endpoints.endpoint import (
    AT_REST,
    CREATING,
    DELETING,
    FAILED,
    SERVING,
    UPDATING,
    Endpoint,
)
from local.sagemaker.endpoints.fleet import Fleet, Variant, VariantFleet
from local.sagemaker.endpoints.instance import IN_SERVICE
from local.sagemaker.endpoints.meters import Machine, MachineMeter, RequestMeter
from local.sagemaker.endpoints.models import ModelRules
from local.sagemaker.endpoints.serverless import ServerlessFleet, check_change
from local.sagemaker.endpoints.shelf import CONFIG, ENDPOINT, MODEL, Operation, Shelf
from local.sagemaker.errors import SageMakerError, invalid, unsupported
from local.sagemaker.packages import Packages
from local.sagemaker.records import Listing, Record, listed, members, project
from local.sagemaker.runtime import JobRuntime
from local.sagemaker.tags import Tags

LISTING = Listing("EndpointName", "Endpoints", "EndpointStatus", order="Descending")
COUNT, WEIGHT, CAPTURE = "DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"


class Endpoints:
    """All endpoints of the cloud, with the models and configurations that they are made from."""

    def __init__(
        self,
        cloud: Cloud,
        model: ServiceModel,
        tags: Tags,
        runtime: JobRuntime,
        packages: Packages,
    ) -> None:
        self._cloud = cloud
        self._tags = tags
        self._runtime = runtime
        self.ports = Ports()
        self.models = Shelf(cloud, model, tags, MODEL, ModelRules(runtime, packages).check)
        rules = ConfigRules(runtime, self.models.find)
        self.configs = Shelf(cloud, model, tags, CONFIG, rules.check)
        self.requests = RequestMeter(cloud)
        self.capture = CaptureWriter(cloud, runtime)
        self._machines = MachineMeter(cloud, self.machines)
        self._watched = False
        self._describe = members(model, "DescribeEndpointOutput")
        self._summary = members(model, "EndpointSummary")
        self._endpoints: dict[str, Endpoint] = {}
        self._lock = threading.Lock()
        cloud.add_idle_probe("endpoints", self.working)

    def operations(self) -> dict[str, Operation]:
        """What this part answers."""
        return {
            **self.models.operations(),
            **self.configs.operations(),
            "CreateEndpoint": self.create,
            "UpdateEndpoint": self.update,
            "UpdateEndpointWeightsAndCapacities": self.rescale,
            "DescribeEndpoint": self.describe,
            "ListEndpoints": self.page,
            "DeleteEndpoint": self.delete,
        }

    # --- looking ----------------------------------------------------------------------------
    def find(self, name: str) -> Endpoint:
        """The endpoint of that name; AWS's error if there is none."""
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            raise ENDPOINT.missing(self._cloud, name)
        return endpoint

    def serving(self, name: str) -> Endpoint | None:
        """The endpoint, if it takes requests."""
        endpoint = self._endpoints.get(name)
        return endpoint if endpoint is not None and endpoint.status in SERVING else None

    def working(self) -> int:
        """How many endpoints are being changed."""
        return sum(endpoint.working for endpoint in list(self._endpoints.values()))

    def machines(self) -> list[Machine]:
        """Every server process in service."""
        found = []
        for endpoint in list(self._endpoints.values()):
            pending = endpoint.pending
            for fleet in (endpoint.fleet, pending.fleet if pending else None):
                for variant in fleet.variants.values() if fleet else ():
                    found += _machines(endpoint.name, variant)
        return found

    def describe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """DescribeEndpoint."""
        return project(self._describe, self.find(parameters["EndpointName"]).snapshot())

    def page(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListEndpoints."""
        records = [endpoint.snapshot() for endpoint in list(self._endpoints.values())]
        entries, token = listed(LISTING, records, parameters)
        found: dict[str, Any] = {
            LISTING.result: [project(self._summary, record) for record in entries]
        }
        return {**found, "NextToken": token} if token else found

    # --- changing ---------------------------------------------------------------------------
    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """CreateEndpoint."""
        name = parameters["EndpointName"]
        arn = ENDPOINT.arn(self._cloud, name)
        if name in self._endpoints:
            raise ENDPOINT.taken(self._cloud, name)
        deployment = parameters.get("DeploymentConfig")
        if deployment:
            self._check_deployment(deployment)
        config = self.configs.find(parameters["EndpointConfigName"])
        counts = {v["VariantName"]: v.get("InitialInstanceCount", 0) for v in _variants(config)}
        fleet = self._fleet(name, config, counts, _weights(config))
        now = round(time.time(), 3)
        record = {
            "EndpointName": name,
            "EndpointArn": arn,
            "EndpointConfigName": fleet.name,
            "CreationTime": now,
            "LastModifiedTime": now,
            "EndpointStatus": CREATING,
        }
        if deployment:
            record["LastDeploymentConfig"] = deployment
        with self._lock:
            if name in self._endpoints:
                raise ENDPOINT.taken(self._cloud, name)
            self._tags.adopt(arn, parameters.get("Tags", ()))
            endpoint = self._endpoints[name] = Endpoint(self._cloud, self._tags, record)
            if not self._watched:
                self._watched = True
                self._cloud.background("endpoint machines", self._machines.serve)
        endpoint.move(CREATING)
        endpoint.work(lambda: endpoint.create(fleet, counts))
        return {"EndpointArn": arn}

    def update(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """UpdateEndpoint: blue/green to another configuration."""
        with self._changing(parameters["EndpointName"]) as endpoint:
            config = self.configs.find(parameters["EndpointConfigName"])
            given = parameters.get("DeploymentConfig")
            if given is None and parameters.get("RetainDeploymentConfig"):
                given = endpoint.record.get("LastDeploymentConfig")
            counts, weights = self._wanted(endpoint, config, parameters)
            check_change(endpoint.name, endpoint.fleet, config, guarded=bool(given))
            if given:
                self._check_deployment(given)
                check_guarded(given, _desired(endpoint.fleet), counts)
            fleet = self._fleet(endpoint.name, config, counts, weights)
            if given:
                endpoint.record["LastDeploymentConfig"] = given
            deployment = Deployment(endpoint, fleet, given)
            endpoint.move(UPDATING)
            endpoint.work(deployment.run)
        return {"EndpointArn": endpoint.record["EndpointArn"]}

    def rescale(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """UpdateEndpointWeightsAndCapacities: the same fleet with other weights and counts."""
        with self._changing(parameters["EndpointName"]) as endpoint:
            fleet = endpoint.fleet
            counts = _desired(fleet)
            weights = dict(fleet.weights) if fleet else {}
            for entry in parameters["DesiredWeightsAndCapacities"]:
                name = entry["VariantName"]
                if name not in counts:
                    raise invalid(
                        f'The variant name "{name}" was not found in endpoint "{endpoint.name}"; '
                        f"it has {', '.join(sorted(counts))}."
                    )
                if fleet and isinstance(fleet.variants[name], ServerlessFleet):
                    raise unsupported(
                        f"another concurrency of a serverless variant ({name}) by "
                        "UpdateEndpointWeightsAndCapacities; update the endpoint to another "
                        "configuration"
                    )
                counts[name] = entry.get("DesiredInstanceCount", counts[name])
                weights[name] = entry.get("DesiredWeight", weights[name])
                if counts[name] < 1:
                    raise unsupported(f"a DesiredInstanceCount of 0 (variant {name})")
            if not any(weights.values()):
                raise invalid("At least one variant must have a DesiredWeight above 0.")
            endpoint.move(UPDATING)
            endpoint.work(lambda: endpoint.rescale(counts, weights))
        return {"EndpointArn": endpoint.record["EndpointArn"]}

    def delete(self, parameters: dict[str, Any]) -> None:
        """DeleteEndpoint: its processes answer what they have and end."""
        name = parameters["EndpointName"]
        endpoint = self.find(name)
        with endpoint.lock:
            if endpoint.status not in AT_REST:
                raise self._in_progress(endpoint)
            endpoint.move(DELETING)

        def remove() -> None:
            endpoint.remove()
            # Whoever sees the endpoint gone may clear its files away.
            self.capture.flush()
            with self._lock:
                del self._endpoints[name]
            self._tags.drop(endpoint.record["EndpointArn"])

        endpoint.work(remove)

    @contextlib.contextmanager
    def _changing(self, name: str) -> Iterator[Endpoint]:
        """The endpoint under its lock, refused unless it is at rest and serves."""
        endpoint = self.find(name)
        with endpoint.lock:
            if endpoint.status == FAILED:
                raise invalid(
                    f'Cannot update endpoint "{endpoint.record["EndpointArn"]}" in status Failed; '
                    "it can only be deleted."
                )
            if endpoint.status not in AT_REST:
                raise self._in_progress(endpoint)
            yield endpoint

    def _in_progress(self, endpoint: Endpoint) -> SageMakerError:
        return invalid(f'Cannot update in-progress endpoint "{endpoint.record["EndpointArn"]}".')

    def _check_deployment(self, config: Mapping[str, Any]) -> None:
        check_policy(config)
        lost = missing_alarms(self._cloud, alarm_names(config))
        if lost:
            raise invalid(
                f"AutoRollbackConfiguration names alarms that do not exist: {', '.join(lost)}."
            )

    def _wanted(
        self, endpoint: Endpoint, config: Record, parameters: Mapping[str, Any]
    ) -> tuple[dict[str, int], dict[str, float]]:
        """Instance counts and weights of the new fleet: the configuration's, or what was kept."""
        counts = {v["VariantName"]: v.get("InitialInstanceCount", 0) for v in _variants(config)}
        weights = _weights(config)
        excluded = {
            entry["VariantPropertyType"]
            for entry in parameters.get("ExcludeRetainedVariantProperties", [])
        }
        if CAPTURE in excluded:
            raise unsupported("VariantPropertyType DataCaptureConfig, nor does AWS")
        if not parameters.get("RetainAllVariantProperties"):
            return counts, weights
        fleet = endpoint.fleet
        for name, variant in (fleet.variants if fleet else {}).items():
            was_counted = not isinstance(variant, ServerlessFleet)
            if name in counts and was_counted and COUNT not in excluded:
                counts[name] = variant.desired
            if fleet and name in weights and WEIGHT not in excluded:
                weights[name] = fleet.weights[name]
        return counts, weights

    def _fleet(
        self,
        endpoint: str,
        config: Record,
        counts: Mapping[str, int],
        weights: Mapping[str, float],
    ) -> Fleet:
        """A fleet without instances yet; AWS's error when a model has been deleted."""
        made: list[VariantFleet] = []
        capture = config.get("DataCaptureConfig")
        plan = CapturePlan(capture) if capture and capture.get("EnableCapture") else None
        for settings in _variants(config):
            name = settings["VariantName"]
            model = self.models.find(settings["ModelName"])
            isolated = config["EnableNetworkIsolation"] or model["EnableNetworkIsolation"]
            variant = Variant(
                endpoint, config["EndpointConfigName"], settings, model, isolated, plan
            )
            if settings.get("ServerlessConfig"):
                made.append(ServerlessFleet(self._runtime, self.ports, variant))
            else:
                made.append(VariantFleet(self._runtime, self.ports, variant, counts[name]))
        return Fleet(config, made, weights)


def _machines(endpoint: str, variant: VariantFleet) -> list[Machine]:
    """A variant's server processes in service."""
    found = []
    for one in variant.instances:
        session, cache = one.pid, one.cache
        if session is not None and one.state == IN_SERVICE:
            models = None if cache is None else cache.loaded()
            found.append(
                Machine(endpoint, one.post.variant, one.id, session, variant.memory, models)
            )
    return found


def _variants(config: Record) -> list[Record]:
    found: list[Record] = config["ProductionVariants"]
    return found


def _weights(config: Record) -> dict[str, float]:
    return {v["VariantName"]: float(v["InitialVariantWeight"]) for v in _variants(config)}


def _desired(fleet: Fleet | None) -> dict[str, int]:
    return {name: one.desired for name, one in fleet.variants.items()} if fleet else {}
