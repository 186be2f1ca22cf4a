"""Tags of every SageMaker resource, by ARN."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.cloud import Cloud
from local.sagemaker.errors import invalid
from local.sagemaker.records import paged

LIMIT = 50


class Tags:
    """AddTags, ListTags, DeleteTags, and the tags that Create operations bring."""

    def __init__(self, cloud: Cloud) -> None:
        self._prefix = f"arn:aws:sagemaker:{cloud.region}:{cloud.account}:"
        self._tags: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()

    def operations(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]]:
        """What this part answers."""
        return {"AddTags": self.add, "ListTags": self.page, "DeleteTags": self.delete}

    def adopt(self, arn: str, tags: Sequence[Mapping[str, str]]) -> None:
        """A new resource with its first tags."""
        with self._lock:
            self._tags[arn] = merged({}, tags)

    def drop(self, arn: str) -> None:
        """The resource is gone."""
        with self._lock:
            self._tags.pop(arn, None)

    def of(self, arn: str) -> dict[str, str]:
        """The tags of a resource, for its events."""
        with self._lock:
            return dict(self._tags.get(arn, {}))

    def add(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """AddTags: the new ones replace those of the same key."""
        arn = parameters["ResourceArn"]
        with self._lock:
            self._tags[arn] = merged(self._known(arn), parameters["Tags"])
            return {"Tags": as_list(self._tags[arn])}

    def page(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """ListTags, paged."""
        with self._lock:
            found = as_list(self._known(parameters["ResourceArn"]))
        entries, token = paged(found, {"MaxResults": LIMIT, **parameters})
        return {"Tags": entries, **({"NextToken": token} if token else {})}

    def delete(self, parameters: dict[str, Any]) -> None:
        """DeleteTags: unknown keys are no error."""
        with self._lock:
            known = self._known(parameters["ResourceArn"])
            for key in parameters["TagKeys"]:
                known.pop(key, None)

    def _known(self, arn: str) -> dict[str, str]:
        if arn not in self._tags:
            raise invalid(f"Could not find resource {arn}.")
        return self._tags[arn]


def merged(known: Mapping[str, str], tags: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Known tags with new ones over them; refuses doubles, AWS's own prefix and too many."""
    keys = [tag["Key"] for tag in tags]
    if len(keys) != len(set(keys)):
        raise invalid("Tag keys must be unique: the request names one more than once.")
    for key in keys:
        if key.lower().startswith("aws:"):
            raise invalid(f"The tag key {key} is reserved: keys must not begin with 'aws:'.")
    found = {**known, **{tag["Key"]: tag["Value"] for tag in tags}}
    if len(found) > LIMIT:
        raise invalid(f"A resource can have at most {LIMIT} tags; this would be {len(found)}.")
    return found


def as_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """The wire form."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
