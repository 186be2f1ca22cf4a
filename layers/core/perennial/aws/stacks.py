"""CloudFormation stacks: outputs, deployment by change set with progress, deletion."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound, Rejected

CAPABILITIES: list[Any] = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]
NOTHING_TO_CHANGE = ("didn't contain changes", "No updates are to be performed")
# Polls begin fast (a small stack is ready in a second) and slow down to spare the API's rate.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 3.0
LONGEST_DEPLOYMENT_S = 1800
MOST_ATTEMPTS = 5
OVERTAKEN = (
    *("_IN_PROGRESS", "ChangeSetNotFound", "InvalidChangeSetStatus", "OBSOLETE"),
    "already exists and cannot be created",
)


@dataclass(frozen=True)
class Stack:
    """One stack that exists: its status in CloudFormation's words, outputs and parameters."""

    name: str
    status: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class StackEvent:
    """One step of a deployment: a resource's logical id, its new status, and why."""

    id: str
    resource: str
    type: str
    status: str
    reason: str


@dataclass
class Events:
    """A stack's events since a moment, each told once, oldest first."""

    stack: str
    seen: set[str] = field(default_factory=set)

    def fresh(self) -> list[StackEvent]:
        """The events that were not told before."""
        found = [event for event in _events(self.stack) if event.id not in self.seen]
        self.seen.update(event.id for event in found)
        return list(reversed(found))


Tell = Callable[[StackEvent], None]


def describe_stack(name: str) -> Stack | None:
    """The stack of this name, or None; one that is only under review does not exist yet."""
    try:
        with translated(f"describing stack {name}"):
            found: Any = client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    except NotFound:
        return None
    except Rejected as error:
        # CloudFormation's ValidationError is worded "Stack with id … does not exist".
        if "does not exist" in str(error):
            return None
        raise
    if found["StackStatus"] == "REVIEW_IN_PROGRESS":
        return None
    return Stack(
        name=name,
        status=found["StackStatus"],
        outputs={o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])},
        parameters={
            p["ParameterKey"]: p.get("ParameterValue", "") for p in found.get("Parameters", [])
        },
    )


def stack_resources(name: str) -> Mapping[str, tuple[str, str]]:
    """Each logical id of the stack with its resource type and physical id."""
    paginator: Any = client("cloudformation").get_paginator("list_stack_resources")
    with translated(f"listing the resources of stack {name}"):
        return {
            found["LogicalResourceId"]: (
                found["ResourceType"],
                found.get("PhysicalResourceId", ""),
            )
            for page in paginator.paginate(StackName=name)
            for found in page["StackResourceSummaries"]
        }


def deploy_stack(
    name: str,
    template: str,
    parameters: Mapping[str, str],
    tags: Mapping[str, str],
    tell: Tell,
) -> bool:
    """Create or update a stack by a change set; False when nothing was to change.

    Raises `Rejected` with the first failures' reasons when CloudFormation rolls back.
    """
    for attempt in range(MOST_ATTEMPTS):
        try:
            return _deploy_once(name, template, parameters, tags, tell)
        except (NotFound, Rejected) as error:
            # Somebody else began to change the stack in between, which takes our change set
            # away: theirs first, then ours anew.
            busy = any(sign in str(error) for sign in OVERTAKEN)
            if not busy or attempt == MOST_ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt returns or raises")


def _deploy_once(
    name: str, template: str, parameters: Mapping[str, str], tags: Mapping[str, str], tell: Tell
) -> bool:
    existing = _settled(name)
    if existing is not None and existing.status in {"ROLLBACK_COMPLETE", "DELETE_FAILED"}:
        # What failed to be created can only be deleted; it holds nothing.
        delete_stack(name, tell)
        existing = None
    events = Events(name)
    if existing is not None:
        events.fresh()
    change_set = f"perennial-{uuid.uuid4().hex[:12]}"
    with translated(f"deploying stack {name}"):
        client("cloudformation").create_change_set(
            StackName=name,
            ChangeSetName=change_set,
            ChangeSetType="CREATE" if existing is None else "UPDATE",
            TemplateBody=template,
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
            Capabilities=CAPABILITIES,
        )
    if not _change_set_is_ready(name, change_set):
        return False
    with translated(f"deploying stack {name}"):
        client("cloudformation").execute_change_set(StackName=name, ChangeSetName=change_set)
    _follow(name, events, tell, wanted=("CREATE_COMPLETE", "UPDATE_COMPLETE"))
    return True


def _settled(name: str) -> Stack | None:
    """The stack once nobody changes it any more."""
    for _ in _pauses():
        stack = describe_stack(name)
        if stack is None or not stack.status.endswith("_IN_PROGRESS"):
            return stack
    raise Rejected(f"stack {name} was not settled in {LONGEST_DEPLOYMENT_S} s")


def delete_stack(name: str, tell: Tell) -> bool:
    """Delete a stack and wait; False when there was none. Raises `Rejected` when it fails."""
    stack = describe_stack(name)
    if stack is None:
        return False
    events = Events(name)
    events.fresh()
    with translated(f"deleting stack {name}"):
        client("cloudformation").delete_stack(StackName=name)
    _follow(name, events, tell, wanted=("DELETE_COMPLETE",))
    return True


def _change_set_is_ready(stack: str, change_set: str) -> bool:
    """Wait for the change set; False when it holds no change (it is removed then)."""
    for _ in _pauses():
        with translated(f"describing the change set of stack {stack}"):
            found = client("cloudformation").describe_change_set(
                StackName=stack, ChangeSetName=change_set
            )
        if found["Status"] == "CREATE_COMPLETE":
            return True
        if found["Status"] == "FAILED":
            reason = str(found.get("StatusReason", ""))
            with translated(f"removing the change set of stack {stack}"):
                client("cloudformation").delete_change_set(
                    StackName=stack, ChangeSetName=change_set
                )
            if any(words in reason for words in NOTHING_TO_CHANGE):
                return False
            raise Rejected(f"CloudFormation refuses the change of stack {stack}: {reason}")
    raise Rejected(f"the change set of stack {stack} was not ready in {LONGEST_DEPLOYMENT_S} s")


def _follow(name: str, events: Events, tell: Tell, *, wanted: tuple[str, ...]) -> None:
    """Tell a deployment's events until it is over; raise when it ends otherwise than wanted."""
    failures: list[str] = []
    for _ in _pauses():
        stack = describe_stack(name)
        # A deleted stack can no longer be asked for its events by name.
        for event in events.fresh() if stack is not None else []:
            tell(event)
            if event.status.endswith("_FAILED") and "cancelled" not in event.reason.lower():
                failures.append(f"{event.resource}: {event.reason or event.status}")
        status = "DELETE_COMPLETE" if stack is None else stack.status
        if status in wanted:
            return
        if not status.endswith("_IN_PROGRESS"):
            reasons = "; ".join(failures[:3]) or "CloudFormation gives no reason"
            raise Rejected(f"stack {name} ended as {status}: {reasons}")
    raise Rejected(f"stack {name} was not done in {LONGEST_DEPLOYMENT_S} s")


def _events(stack: str) -> list[StackEvent]:
    """All events of a stack, newest first; none when it is gone."""
    try:
        with translated(f"reading the events of stack {stack}"):
            found: Any = client("cloudformation").describe_stack_events(StackName=stack)
    except (NotFound, Rejected):
        return []
    return [
        StackEvent(
            id=event["EventId"],
            resource=event.get("LogicalResourceId", ""),
            type=event.get("ResourceType", ""),
            status=event.get("ResourceStatus", ""),
            reason=event.get("ResourceStatusReason", ""),
        )
        for event in found["StackEvents"]
    ]


def _pauses() -> Iterator[None]:
    """Yield at once, then after growing pauses, until a deployment's longest time is over."""
    pause, deadline = FIRST_PAUSE_S, time.monotonic() + LONGEST_DEPLOYMENT_S
    while time.monotonic() < deadline:
        yield
        time.sleep(pause)
        pause = min(LONGEST_PAUSE_S, pause * 1.3)
