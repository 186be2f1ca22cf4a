"""Job definitions of Model Monitor: made once, never changed.

Of its four kinds of monitors the local cloud has data quality and model quality; operations of the
others are refused by name.
"""

import copy
import re
import threading
import time
from typing import Any

from botocore.model import ServiceModel

from local.cloud import Cloud
from local.sagemaker.errors import SageMakerError, in_use, invalid, unsupported
from local.sagemaker.family import Operation
from local.sagemaker.records import Listing, Record, listed, members, project
from local.sagemaker.runtime import JobRuntime
from local.sagemaker.tags import Tags

DATA_QUALITY, MODEL_QUALITY = "DataQuality", "ModelQuality"
#: ISO 8601 durations back from the time of an execution: whole days and hours.
OFFSET = re.compile(r"-P(?:(\d{1,3})D)?(?:T(\d{1,4})H)?")
NOT_DONE = ("ContainerEntrypoint", "ContainerArguments", "PostAnalyticsProcessorSourceUri")
LISTING = Listing("MonitoringJobDefinitionName", "JobDefinitionSummaries", order="Descending")


class Definitions:
    """The job definitions of one monitoring type."""

    def __init__(
        self, cloud: Cloud, model: ServiceModel, tags: Tags, runtime: JobRuntime, kind: str
    ) -> None:
        self.kind = kind
        self._prefix = (
            f"arn:aws:sagemaker:{cloud.region}:{cloud.account}:"
            f"{kind.replace('Q', '-q').lower()}-job-definition/"
        )
        self._tags = tags
        self._runtime = runtime
        self._describe = members(model, f"Describe{kind}JobDefinitionResponse")
        self._summary = members(model, "MonitoringJobDefinitionSummary")
        self._records: dict[str, Record] = {}
        self._lock = threading.Lock()

    def operations(self) -> dict[str, Operation]:
        """What this part answers."""
        return {
            f"Create{self.kind}JobDefinition": self.create,
            f"Describe{self.kind}JobDefinition": self.describe,
            f"List{self.kind}JobDefinitions": self.page,
            f"Delete{self.kind}JobDefinition": self.delete,
        }

    def find(self, name: str) -> Record:
        """A definition's record; AWS's error if there is none."""
        with self._lock:
            if name not in self._records:
                raise SageMakerError("ResourceNotFound", f"Could not find job definition {name}.")
            return copy.deepcopy(self._records[name])

    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Create…JobDefinition: refuses what an execution could not do."""
        name = parameters["JobDefinitionName"]
        arn = self._prefix + name
        self._check(parameters)
        record = {key: value for key, value in parameters.items() if key != "Tags"}
        record.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": 3600})
        record.update(JobDefinitionArn=arn, CreationTime=round(time.time(), 3))
        with self._lock:
            if name in self._records:
                raise in_use(f"A job definition with this name already exists ({arn})")
            self._tags.adopt(arn, parameters.get("Tags", ()))
            self._records[name] = record
        return {"JobDefinitionArn": arn}

    def _check(self, given: Record) -> None:
        source = given[f"{self.kind}JobInput"]
        if not source.get("EndpointInput"):
            raise unsupported("monitoring of batch transforms (BatchTransformInput)")
        if "Pipe" in source["EndpointInput"].values():
            raise unsupported("S3InputMode Pipe of a monitoring input")
        application = given[f"{self.kind}AppSpecification"]
        for member in NOT_DONE:
            if application.get(member):
                raise unsupported(f"{member} of a {self.kind} job definition")
        baseline = given.get(f"{self.kind}BaselineConfig", {})
        if baseline.get("BaseliningJobName"):
            raise unsupported("a baseline by the name of its job (BaseliningJobName)")
        if not baseline.get("ConstraintsResource"):
            raise unsupported(f"monitoring of {self.kind} without ConstraintsResource")
        (_check_data if self.kind == DATA_QUALITY else _check_quality)(given)
        if given["JobResources"]["ClusterConfig"]["InstanceCount"] != 1:
            raise unsupported("monitoring on more than one instance (InstanceCount)")
        self._runtime.check_image(application["ImageUri"])
        isolated = given.get("NetworkConfig", {}).get("EnableNetworkIsolation", False)
        self._runtime.check_isolation(isolated)
        self._runtime.check_role(given["RoleArn"])

    def describe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe…JobDefinition."""
        return project(self._describe, self.find(parameters["JobDefinitionName"]))

    def page(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """List…JobDefinitions."""
        with self._lock:
            records = [self._summed(record) for record in self._records.values()]
        wanted = parameters.get("EndpointName")
        extra = [lambda record: wanted in (None, record["EndpointName"])]
        entries, token = listed(LISTING, records, parameters, extra)
        found: dict[str, Any] = {
            LISTING.result: [project(self._summary, record) for record in entries]
        }
        return {**found, "NextToken": token} if token else found

    def _summed(self, record: Record) -> Record:
        return {
            "MonitoringJobDefinitionName": record["JobDefinitionName"],
            "MonitoringJobDefinitionArn": record["JobDefinitionArn"],
            "CreationTime": record["CreationTime"],
            "EndpointName": self.endpoint(record),
        }

    def endpoint(self, record: Record) -> str:
        """The endpoint that a definition monitors."""
        return str(record[f"{self.kind}JobInput"]["EndpointInput"]["EndpointName"])

    def delete(self, parameters: dict[str, Any]) -> None:
        """Delete…JobDefinition; executions that are under way go on."""
        name = parameters["JobDefinitionName"]
        with self._lock:
            if self._records.pop(name, None) is None:
                raise SageMakerError("ResourceNotFound", f"Could not find job definition {name}.")
        self._tags.drop(self._prefix + name)


def _check_data(given: Record) -> None:
    """What a data-quality execution could not do."""
    for offset in ("StartTimeOffset", "EndTimeOffset"):
        if offset in given["DataQualityJobInput"]["EndpointInput"]:
            raise unsupported(f"{offset} of a DataQuality job definition")
    if not given.get("DataQualityBaselineConfig", {}).get("StatisticsResource"):
        raise unsupported("monitoring of DataQuality without StatisticsResource")


def _check_quality(given: Record) -> None:
    """What a model-quality execution could not do."""
    read_offsets(given["ModelQualityJobInput"]["EndpointInput"])
    application = given["ModelQualityAppSpecification"]
    if application.get("RecordPreprocessorSourceUri"):
        raise unsupported("a record preprocessor of merged answers")
    if not application.get("ProblemType"):
        raise unsupported("monitoring of ModelQuality without ProblemType")


def read_offsets(source: Record) -> tuple[float, float]:
    """StartTimeOffset and EndTimeOffset of an EndpointInput in seconds back; both, or none."""
    given = [source.get(name) for name in ("StartTimeOffset", "EndTimeOffset")]
    if given == [None, None]:
        return 0.0, 0.0
    found = []
    for text in given:
        match = OFFSET.fullmatch(str(text))
        if match is None or not any(match.groups()):
            raise invalid(
                f"{text} is no offset like -PT2H or -P1D; StartTimeOffset and "
                "EndTimeOffset are needed together."
            )
        days, hours = (int(part or 0) for part in match.groups())
        found.append(days * 86400.0 + hours * 3600.0)
    begin, end = found
    if not end < begin:
        raise invalid(f"StartTimeOffset {given[0]} must lie before EndTimeOffset {given[1]}.")
    return begin, end


def check_inline(config: Record) -> None:
    """A schedule names a definition; one that is written into it is not done here."""
    if config.get("MonitoringJobDefinition"):
        raise unsupported("a schedule with a job definition inside (MonitoringJobDefinition)")
    if not (config.get("MonitoringJobDefinitionName") and config.get("MonitoringType")):
        raise invalid("MonitoringJobDefinitionName and MonitoringType are needed together.")
