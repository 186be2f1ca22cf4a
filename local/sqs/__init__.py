"""SQS: moto's queues, with long polling, scaled waits and pollers for functions."""

from typing import TYPE_CHECKING

from local.sqs.gauges import QueueGauges
from local.sqs.moto import queue_patches
from local.sqs.pollers import Pollers
from local.sqs.receive import receive_application

if TYPE_CHECKING:
    from local.cloud import Cloud
    from local.patches import Patch


def install(cloud: "Cloud") -> None:
    """Serve SQS, and poll queues for functions."""
    cloud.pollers = Pollers(cloud)
    QueueGauges(cloud)
    cloud.register("sqs", receive_application(cloud))


def patches(cloud: "Cloud") -> "list[Patch]":
    """Replacements in moto's SQS."""
    return queue_patches(cloud)
