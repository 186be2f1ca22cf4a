"""What all kinds of jobs share in the API: create once, describe, list, stop, delete."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from botocore.model import ServiceModel

from local.cloud import Cloud
from local.sagemaker.errors import SageMakerError, in_use, invalid
from local.sagemaker.records import Listing, Record, listed, members, project
from local.sagemaker.runtime import JobRuntime
from local.sagemaker.tags import Tags

Operation = Callable[[dict[str, Any]], dict[str, Any] | None]
TERMINAL = ("Completed", "Failed", "Stopped")


class Living(Protocol):
    """A job as its family sees it."""

    record: Record
    lock: threading.RLock

    def start(self) -> None:
        """Begin; returns at once."""

    def snapshot(self) -> Record:
        """What Describe shows now."""

    def stop(self) -> None:
        """Ask for the end."""

    def stopping(self) -> None:
        """Say, once, that the end was asked for."""


J = TypeVar("J", bound=Living)


class JobFamily(ABC, Generic[J]):
    """The operations of `kind` (`Training`, `Processing` or `HyperParameterTuning`) jobs."""

    kind: str
    path: str  # in ARNs
    words: str  # in AWS's messages
    missing: str  # AWS's words for an unknown name; {name} is filled in
    taken: str  # AWS's words for a name that exists; {arn} and {name} are filled in

    def __init__(self, cloud: Cloud, model: ServiceModel, tags: Tags, runtime: JobRuntime) -> None:
        self.cloud = cloud
        self.tags = tags
        self.runtime = runtime
        self._jobs: dict[str, J] = {}
        self._lock = threading.Lock()
        self._name = f"{self.kind}JobName"
        self._status = f"{self.kind}JobStatus"
        self._describe = members(model, f"Describe{self.kind}JobResponse")
        self._summary = members(model, f"{self.kind}JobSummary")
        self._listing = Listing(self._name, f"{self.kind}JobSummaries", self._status)

    def operations(self) -> dict[str, Operation]:
        """What this part answers."""
        return {
            f"Create{self.kind}Job": self.create,
            f"Describe{self.kind}Job": self.describe,
            f"List{self.kind}Jobs": self.page,
            f"Stop{self.kind}Job": self.stop,
            f"Delete{self.kind}Job": self.delete,
        }

    def arn(self, name: str) -> str:
        """The ARN of a job."""
        return f"arn:aws:sagemaker:{self.cloud.region}:{self.cloud.account}:{self.path}/{name}"

    @abstractmethod
    def accept(self, parameters: Record, arn: str) -> Record:
        """Check what this kind asks for and fill in AWS's defaults: what Describe will show."""

    @abstractmethod
    def build(self, name: str, record: Record) -> J:
        """The job itself; says InProgress by event at once."""

    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Create…Job: the name is taken for good, then the job starts."""
        self.admit(parameters).start()
        return {f"{self.kind}JobArn": self.arn(parameters[self._name])}

    def admit(self, parameters: dict[str, Any]) -> J:
        """The new job, on the books and not yet begun."""
        name = parameters[self._name]
        arn = self.arn(name)
        self._refuse_taken(name, arn)
        record = self.accept(parameters, arn)
        with self._lock:
            self._refuse_taken(name, arn)
            self.tags.adopt(arn, parameters.get("Tags", ()))
            job = self._jobs[name] = self.build(name, record)
        return job

    def _refuse_taken(self, name: str, arn: str) -> None:
        if name in self._jobs:
            raise in_use(self.taken.format(arn=arn, name=name))

    def find(self, name: str) -> J:
        """The job of that name."""
        job = self._jobs.get(name)
        if job is None:
            raise invalid(self.missing.format(name=name))
        return job

    def describe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe…Job."""
        return project(self._describe, self.find(parameters[self._name]).snapshot())

    def page(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """List…Jobs, filtered, sorted, paged."""
        # A copy of every job there ever was would cost more than all the rest of a request.
        part = parameters.get("NameContains") or ""
        records = [job.snapshot() for name, job in list(self._jobs.items()) if part in name]
        entries, token = listed(self._listing, records, parameters)
        found: dict[str, Any] = {
            self._listing.result: [project(self._summary, record) for record in entries]
        }
        return {**found, "NextToken": token} if token else found

    def stop(self, parameters: dict[str, Any]) -> None:
        """Stop…Job: the job's own thread ends it; a second request changes nothing."""
        job = self.find(parameters[self._name])
        with job.lock:
            status = job.record[self._status]
            if status in TERMINAL:
                raise invalid(
                    f"The request was rejected because the {self.words} is in status {status}."
                )
            job.stop()
            job.stopping()

    def delete(self, parameters: dict[str, Any]) -> None:
        """Delete…Job: only at rest; its name may be used again."""
        name = parameters[self._name]
        status = self._jobs[name].record[self._status] if name in self._jobs else None
        if status is None:
            text = self.missing.format(name=name)
            raise SageMakerError("ResourceNotFound", text)
        if status not in TERMINAL:
            raise in_use(f"The {self.words} {name} is in status {status}.")
        with self._lock:
            del self._jobs[name]
        self.tags.drop(self.arn(name))
