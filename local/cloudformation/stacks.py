"""Stacks, their resources, events and change sets, in memory."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from local.cloudformation.errors import ChangeSetNotFoundError, TemplateError
from local.cloudformation.parameters import ParameterValue
from local.cloudformation.template import Template

STACK_TYPE = "AWS::CloudFormation::Stack"


@dataclass
class StackResource:
    """One resource of a stack as it is now."""

    logical_id: str
    type_name: str
    status: str
    updated: datetime
    physical_id: str | None = None
    reason: str | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"
    metadata: Any = None
    needs: frozenset[str] = frozenset()
    secrets: tuple[str, ...] = ()
    """Values that a custom resource asked not to be shown."""


@dataclass(frozen=True)
class Event:
    """One line of a stack's history."""

    event_id: str
    logical_id: str
    physical_id: str
    type_name: str
    status: str
    timestamp: datetime
    reason: str | None = None
    properties: str | None = None
    token: str | None = None


@dataclass
class Plan:
    """What a stack shall become."""

    body: str
    document: Mapping[str, Any]
    template: Template
    parameters: Mapping[str, ParameterValue]
    tags: dict[str, str]
    capabilities: list[str]
    token: str | None = None
    disable_rollback: bool = False
    on_failure: str = "ROLLBACK"


@dataclass
class ChangeSet:
    """A proposed change of a stack, with what it would do."""

    name: str
    id: str
    kind: str
    created: datetime
    description: str | None
    status: str = "CREATE_COMPLETE"
    execution_status: str = "AVAILABLE"
    reason: str | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)
    plan: Plan | None = None
    request: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Stack:
    """One stack. `lock` guards every field that an operation changes."""

    name: str
    id: str
    created: datetime
    status: str
    reason: str | None = None
    updated: datetime | None = None
    deleted: datetime | None = None
    plan: Plan | None = None
    """What the stack is; during an update, still the former one."""
    pending: Plan | None = None
    """What an update under way is making of it."""
    resources: dict[str, StackResource] = field(default_factory=dict)
    outputs: list[dict[str, str]] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    events: list[Event] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    termination_protection: bool = False
    role_arn: str | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def exports(self) -> dict[str, str]:
        """Exported names and values."""
        return {
            out["ExportName"]: out["OutputValue"] for out in self.outputs if "ExportName" in out
        }

    @property
    def busy(self) -> bool:
        """Whether an operation is under way."""
        return self.status.endswith("_IN_PROGRESS") and self.status != "REVIEW_IN_PROGRESS"


class Store:
    """All stacks, the deleted ones included."""

    def __init__(self, region: str, account: str) -> None:
        self.region, self.account = region, account
        self.lock = threading.RLock()
        self._stacks: dict[str, Stack] = {}
        self._clock = datetime.fromtimestamp(0, UTC)

    def now(self) -> datetime:
        """Return a time to the millisecond that is later than every one before: sam tells events
        apart by it."""
        with self.lock:
            now = datetime.now(UTC)
            now = now.replace(microsecond=now.microsecond // 1000 * 1000)
            self._clock = max(now, self._clock + timedelta(milliseconds=1))
            return self._clock

    def add(self, name: str, status: str) -> Stack:
        """Make a stack of this name."""
        arn = f"arn:aws:cloudformation:{self.region}:{self.account}:stack/{name}/{uuid.uuid4()}"
        with self.lock:
            self._stacks[arn] = Stack(name, arn, self.now(), status)
            return self._stacks[arn]

    def find(self, name_or_id: str) -> Stack | None:
        """Return a stack: by name only one that is not deleted, by id any."""
        with self.lock:
            if name_or_id in self._stacks:
                return self._stacks[name_or_id]
            for stack in self._stacks.values():
                if stack.name == name_or_id and stack.status != "DELETE_COMPLETE":
                    return stack
        return None

    def get(self, name_or_id: str) -> Stack:
        """Return a stack, or refuse as AWS does."""
        stack = self.find(name_or_id)
        if stack is None:
            raise TemplateError(f"Stack with id {name_or_id} does not exist")
        return stack

    def forget(self, stack: Stack) -> None:
        """Remove a stack without trace (one that was only ever under review)."""
        with self.lock:
            self._stacks.pop(stack.id, None)

    def all(self) -> list[Stack]:
        """Return every stack, the youngest first."""
        with self.lock:
            return sorted(self._stacks.values(), key=lambda stack: stack.created, reverse=True)

    def live(self) -> Iterator[Stack]:
        """Yield the stacks that are not deleted."""
        return (stack for stack in self.all() if stack.status != "DELETE_COMPLETE")

    def change_set(self, name: str, stack_name: str | None) -> tuple[Stack, ChangeSet]:
        """Return a change set by name and stack, or by its ARN."""
        stacks = [self.get(stack_name)] if stack_name else self.all()
        for stack in stacks:
            for change_set in stack.change_sets.values():
                if name in (change_set.id, change_set.name):
                    return stack, change_set
        raise ChangeSetNotFoundError(f"ChangeSet [{name}] does not exist")

    def export(self, name: str) -> tuple[Stack, str] | None:
        """Return who exports a name, and its value."""
        for stack in self.live():
            if name in stack.exports:
                return stack, stack.exports[name]
        return None

    def importers(self, name: str) -> list[str]:
        """Return the names of the stacks that import an export."""
        return sorted(stack.name for stack in self.live() if name in stack.imports)

    def record(
        self,
        stack: Stack,
        resource: StackResource | None,
        status: str,
        reason: str | None = None,
        token: str | None = None,
    ) -> None:
        """Set the status of a resource, or of the stack itself, and write it to the history."""
        with stack.lock:
            moment = self.now()
            shown = None
            if resource is None:
                stack.status, stack.reason = status, reason
                if status != "REVIEW_IN_PROGRESS" and not status.startswith("CREATE"):
                    stack.updated = moment
                if status == "DELETE_COMPLETE":
                    stack.deleted = moment
            else:
                resource.status, resource.reason, resource.updated = status, reason, moment
                shown = masked(stack, json.dumps(resource.properties, default=str))
            stack.events.append(
                Event(
                    event_id=f"{resource.logical_id}-{uuid.uuid4()}"
                    if resource
                    else str(uuid.uuid4()),
                    logical_id=resource.logical_id if resource else stack.name,
                    physical_id=(resource.physical_id or "") if resource else stack.id,
                    type_name=resource.type_name if resource else STACK_TYPE,
                    status=status,
                    timestamp=moment,
                    reason=reason,
                    properties=shown,
                    token=token,
                )
            )


def masked(stack: Stack, text: str) -> str:
    """Return the text without the values of NoEcho parameters and NoEcho custom resources."""
    secrets: list[str] = []
    for plan in (stack.plan, stack.pending):
        if plan is not None:
            secrets += [item.text for item in plan.parameters.values() if item.no_echo]
    for resource in stack.resources.values():
        secrets += resource.secrets
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(json.dumps(secret)[1:-1], "****")
    return text
