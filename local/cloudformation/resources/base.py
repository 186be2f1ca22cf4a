"""What a resource type is: how it is made, changed and removed by calls to ourselves."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.exceptions import ClientError

from local.cloudformation.errors import ResourceError

if TYPE_CHECKING:
    from local.cloud import Cloud

Properties = Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """A resource that exists: what Ref returns, and what Fn::GetAtt may ask for."""

    physical_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Context:
    """One resource's surroundings while something is done to it."""

    cloud: Cloud
    stack_name: str
    stack_id: str
    logical_id: str
    resource_type: str
    stack_tags: Mapping[str, str]
    claimed: str | None = None

    def client(self, service: str) -> Any:
        """Return a boto3 client onto the local cloud."""
        return self.cloud.client(service)

    def claim(self, physical_id: str) -> str:
        """Note that the resource exists from now on, so that a failure after this removes it."""
        self.claimed = physical_id
        return physical_id

    def name(self, given: str | None, limit: int = 64, *, lower: bool = False) -> str:
        """Return the given name, or a unique one made of stack and logical id."""
        if given:
            return given
        alphabet = string.ascii_uppercase + string.digits
        suffix = "".join(secrets.choice(alphabet) for _ in range(12))
        room = (limit - len(suffix) - 2) // 2
        name = f"{self.stack_name[:room]}-{self.logical_id[:room]}-{suffix}"
        return name.lower() if lower else name

    def tags(self, own: Iterable[Mapping[str, str]] | Mapping[str, str] | None) -> dict[str, str]:
        """Return the stack's tags and the resource's own, which win."""
        merged = dict(self.stack_tags)
        if isinstance(own, Mapping):
            merged.update({key: str(value) for key, value in own.items()})
        else:
            merged.update({tag["Key"]: str(tag["Value"]) for tag in own or ()})
        return merged

    def arn(self, service: str, rest: str) -> str:
        """Return an ARN of this account and Region."""
        return f"arn:aws:{service}:{self.cloud.region}:{self.cloud.account}:{rest}"


class ResourceType:
    """A type of resource. Subclasses are stateless; one instance serves all stacks."""

    type_name: ClassVar[str]
    carried_out: ClassVar[frozenset[str]]
    """Top-level properties that have an effect here; others are refused by name."""
    attributes: ClassVar[frozenset[str]] = frozenset()
    """What Fn::GetAtt may name."""
    custom_name: ClassVar[str | None] = None
    """The property that gives the resource a fixed name."""
    tagged: ClassVar[bool] = True
    """Whether the stack's tags reach it."""

    def problems(self, properties: Properties) -> list[str]:
        """Return the documented rules that the properties break, beyond the schema."""
        del properties
        return []

    def replaces(self, old: Properties, new: Properties) -> bool:
        """Tell whether a change needs replacement though the schema lets it depend."""
        del old, new
        return False

    def create(self, context: Context, properties: Properties) -> Made:
        """Make the resource."""
        raise ResourceError(f"{self.type_name} cannot be created")

    def update(
        self, context: Context, made: Made, old: Properties, new: Properties
    ) -> Mapping[str, Any] | Made:
        """Change the resource in place; return its attributes, or what replaced it."""
        del old, new
        raise ResourceError(
            f"{context.resource_type} {made.physical_id} cannot be changed in place"
        )

    def delete(self, context: Context, made: Made, properties: Properties) -> None:
        """Remove the resource; its absence is success."""
        raise ResourceError(f"{context.resource_type} {made.physical_id} cannot be deleted")


def words(names: str) -> frozenset[str]:
    """Return the set of names in a text."""
    return frozenset(names.split())


def pick(properties: Properties, *names: str) -> dict[str, Any]:
    """Return the named properties that are present."""
    return {name: properties[name] for name in names if name in properties}


def only(where: str, value: Mapping[str, Any], allowed: str) -> None:
    """Refuse, by name, members that the local cloud does not carry out."""
    for name in value:
        if name not in allowed.split():
            raise ResourceError(f"Property {where}.{name} is not supported by the local cloud")


def key_values(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags in the list form that most services want."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def tag_changes(context: Context, old: Any, new: Any) -> tuple[dict[str, str], list[str]]:
    """Return the tags to set, and the keys to remove, when the own tags change."""
    wanted = context.tags(new)
    gone = [key for key in context.tags(old) if key not in wanted]
    return wanted, gone


def policy_text(document: Any) -> str:
    """Return a policy document as text, with a version: moto, unlike AWS, wants one."""
    if isinstance(document, str):
        document = json.loads(document)
    return json.dumps({"Version": "2012-10-17", **document})


def json_text(value: Any) -> str:
    """Return JSON text for a property that may be given as text or as an object."""
    return value if isinstance(value, str) else json.dumps(value)


class absent_is_done:  # noqa: N801 - reads as a statement: with absent_is_done("NoSuchBucket")
    """Swallow exactly the errors that say: there is nothing left to delete."""

    def __init__(self, *codes: str) -> None:
        self._codes = codes

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        return isinstance(error, ClientError) and error.response["Error"]["Code"] in self._codes
