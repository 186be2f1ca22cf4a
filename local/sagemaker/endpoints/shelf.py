"""What models and endpoint configurations share: created whole, never changed, listed, deleted."""

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.model import ServiceModel

from local.cloud import Cloud
from local.sagemaker.errors import SageMakerError, invalid
from local.sagemaker.records import Listing, Record, listed, members, project
from local.sagemaker.tags import Tags

Operation = Callable[[dict[str, Any]], dict[str, Any] | None]


@dataclass(frozen=True)
class Kind:
    """How a resource is called in the API, in ARNs and in AWS's messages."""

    name: str  # in operations and members: `Model`
    path: str  # in ARNs
    words: str  # in messages

    def arn(self, cloud: Cloud, name: str) -> str:
        """The ARN of one of them."""
        return f"arn:aws:sagemaker:{cloud.region}:{cloud.account}:{self.path}/{name}"

    def missing(self, cloud: Cloud, name: str) -> SageMakerError:
        """AWS's words for a name that nobody has."""
        return invalid(f'Could not find {self.words} "{self.arn(cloud, name)}".')

    def taken(self, cloud: Cloud, name: str) -> SageMakerError:
        """AWS's words for a name that exists."""
        return invalid(f'Cannot create already existing {self.words} "{self.arn(cloud, name)}".')


MODEL = Kind("Model", "model", "model")
CONFIG = Kind("EndpointConfig", "endpoint-config", "endpoint configuration")
ENDPOINT = Kind("Endpoint", "endpoint", "endpoint")


class Shelf:
    """Resources of one kind, by name. `check` refuses a request or fills in AWS's defaults."""

    def __init__(
        self,
        cloud: Cloud,
        model: ServiceModel,
        tags: Tags,
        kind: Kind,
        check: Callable[[Record], Record],
    ) -> None:
        self._cloud = cloud
        self._tags = tags
        self._kind = kind
        self._check = check
        self._name = f"{kind.name}Name"
        self._describe = members(model, f"Describe{kind.name}Output")
        self._summary = members(model, f"{kind.name}Summary")
        # The documented default order is Descending for both kinds.
        self._listing = Listing(self._name, f"{kind.name}s", order="Descending")
        self._records: dict[str, Record] = {}
        self._lock = threading.Lock()

    def operations(self) -> dict[str, Operation]:
        """What this part answers."""
        kind = self._kind.name
        return {
            f"Create{kind}": self.create,
            f"Describe{kind}": self.describe,
            f"List{kind}s": self.page,
            f"Delete{kind}": self.delete,
        }

    def create(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Create…: checked against all that it names."""
        name = parameters[self._name]
        arn = self._kind.arn(self._cloud, name)
        if name in self._records:
            raise self._kind.taken(self._cloud, name)
        given = copy.deepcopy({key: value for key, value in parameters.items() if key != "Tags"})
        record = self._check(given)
        record |= {f"{self._kind.name}Arn": arn, "CreationTime": round(time.time(), 3)}
        with self._lock:
            if name in self._records:
                raise self._kind.taken(self._cloud, name)
            self._tags.adopt(arn, parameters.get("Tags", ()))
            self._records[name] = record
        return {f"{self._kind.name}Arn": arn}

    def find(self, name: str) -> Record:
        """A copy of the record of that name; AWS's error if there is none."""
        record = self._records.get(name)
        if record is None:
            raise self._kind.missing(self._cloud, name)
        return copy.deepcopy(record)

    def describe(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Describe…."""
        return project(self._describe, self.find(parameters[self._name]))

    def page(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """List…s, filtered, sorted, paged."""
        entries, token = listed(self._listing, list(self._records.values()), parameters)
        found: dict[str, Any] = {
            self._listing.result: [project(self._summary, record) for record in entries]
        }
        return {**found, "NextToken": token} if token else found

    def delete(self, parameters: dict[str, Any]) -> None:
        """Delete…: what runs already keeps what it was made from."""
        name = parameters[self._name]
        with self._lock:
            if self._records.pop(name, None) is None:
                raise self._kind.missing(self._cloud, name)
        self._tags.drop(self._kind.arn(self._cloud, name))
