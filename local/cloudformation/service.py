"""The parts of the service, put together once for one cloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.cloudformation.custom import PREFIX, Answers, CustomResource
from local.cloudformation.engine import Engine
from local.cloudformation.errors import TemplateError
from local.cloudformation.kinds import Kinds
from local.cloudformation.planning import Planner
from local.cloudformation.stacks import Stack, Store

if TYPE_CHECKING:
    from local.cloud import Cloud


class Service:
    """Store, planner and engine of one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        answers = Answers(cloud.endpoint)
        cloud.register_path(PREFIX, answers)
        self.cloud = cloud
        self.store = Store(cloud.region, cloud.account)
        self.kinds = Kinds(CustomResource(answers))
        self.planner = Planner(cloud, self.kinds)
        self.engine = Engine(cloud, self.store, self.kinds)
        cloud.add_idle_probe("stacks", self.engine.running)

    def owner_of(self, physical_id: str) -> Stack:
        """Return the stack that a physical id belongs to."""
        for stack in self.store.live():
            if any(item.physical_id == physical_id for item in stack.resources.values()):
                return stack
        raise TemplateError(f"Stack for {physical_id} does not exist")
