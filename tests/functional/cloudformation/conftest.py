"""Stacks on the running cloud, made and awaited without long polls."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.functional.conftest import LocalCloud

_numbers = itertools.count(1)
CAPABILITIES = ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


@dataclass
class Stacks:
    """Makes stacks of unique names and waits for them."""

    cloud: LocalCloud

    @property
    def client(self) -> Any:
        """The CloudFormation client."""
        return self.cloud.client("cloudformation")

    def name(self) -> str:
        """A name that no stack of this session has."""
        return f"t{next(_numbers)}"

    def create(self, resources: Mapping[str, Any], **more: Any) -> Any:
        """Create a stack of these resources; returns its final description."""
        request = dict(more)
        outputs = request.pop("outputs", None)
        body = request.pop("body", None) or {"Resources": resources}
        if outputs:
            body = {**body, "Outputs": outputs}
        request.setdefault("StackName", self.name())
        request.setdefault("Capabilities", CAPABILITIES)
        answer = self.client.create_stack(TemplateBody=json.dumps(body), **request)
        return self.settled(answer["StackId"])

    def update(self, stack: str, resources: Mapping[str, Any], **more: Any) -> Any:
        """Update a stack to these resources; returns its final description."""
        request = dict(more)
        outputs = request.pop("outputs", None)
        body: dict[str, Any] = request.pop("body", None) or {"Resources": resources}
        if outputs:
            body = {**body, "Outputs": outputs}
        request.setdefault("Capabilities", CAPABILITIES)
        self.client.update_stack(StackName=stack, TemplateBody=json.dumps(body), **request)
        return self.settled(stack)

    def delete(self, stack: str) -> Any:
        """Delete a stack (by id); returns its final description."""
        self.client.delete_stack(StackName=stack)
        return self.settled(stack)

    def settled(self, stack: str, seconds: float = 60) -> Any:
        """Wait until nothing is under way."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.client.describe_stacks(StackName=stack)["Stacks"][0]
            if not found["StackStatus"].endswith("_IN_PROGRESS"):
                return found
            assert time.monotonic() < deadline, f"{stack} is still {found['StackStatus']}"
            time.sleep(0.02)

    def events(self, stack: str) -> list[dict[str, Any]]:
        """A stack's events, the oldest first."""
        pages = self.client.get_paginator("describe_stack_events").paginate(StackName=stack)
        return [event for page in pages for event in page["StackEvents"]][::-1]

    def reasons(self, stack: str) -> list[str]:
        """Why resources failed, the first failure first."""
        return [
            event["ResourceStatusReason"]
            for event in self.events(stack)
            if event["ResourceStatus"].endswith("_FAILED")
        ]

    def physical(self, stack: str, logical: str) -> str:
        """A resource's physical id."""
        answer = self.client.describe_stack_resource(StackName=stack, LogicalResourceId=logical)
        return str(answer["StackResourceDetail"]["PhysicalResourceId"])

    def statuses(self, stack: str) -> list[tuple[str, str]]:
        """(logical id, status) of every event, the oldest first."""
        return [(e["LogicalResourceId"], e["ResourceStatus"]) for e in self.events(stack)]


@pytest.fixture(scope="session")
def stacks(local_cloud: LocalCloud) -> Stacks:
    """Stacks on the session's cloud."""
    return Stacks(local_cloud)
