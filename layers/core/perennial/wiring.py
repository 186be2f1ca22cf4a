"""Joins the use cases with AWS: the adapters of one deployment, each made at its first use."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

from perennial.aws.ledger_table import LedgerTable
from perennial.aws.machine import Machine
from perennial.aws.notices import Notices
from perennial.aws.signal_queue import SignalQueue
from perennial.settings_env import Deployment, from_environment


def now_ms() -> int:
    """The time in milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Ports:
    """What a use case needs of the world: one deployment's resources, and a clock."""

    deployment: Deployment
    clock: Callable[[], int] = now_ms

    @cached_property
    def ledger(self) -> LedgerTable:
        """The ledger: every signal, run and decision."""
        return LedgerTable(self.deployment.ledger_table)

    @cached_property
    def signals(self) -> SignalQueue:
        """The queue that every signal and wake arrives by."""
        return SignalQueue(self.deployment.signal_queue_url)

    @cached_property
    def machine(self) -> Machine:
        """The retrain machine."""
        return Machine(self.deployment.machine_arn)

    @cached_property
    def release_machine(self) -> Machine:
        """The release machine."""
        return Machine(self.deployment.release_machine_arn)

    @cached_property
    def notices(self) -> Notices:
        """The topic that people subscribe to."""
        return Notices(self.deployment.notices_topic_arn)


def connect(outputs: Mapping[str, str]) -> Ports:
    """The ports of a deployment, by its main stack's outputs and `StackName`."""
    return Ports(Deployment(dict(outputs)))


@cache
def ports() -> Ports:
    """The ports of the function that runs, by its environment; made once a process."""
    return Ports(from_environment())
