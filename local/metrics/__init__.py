"""CloudWatch: metrics, alarms, dashboards."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.cloud import Cloud


def install(cloud: "Cloud") -> None:
    """Serve CloudWatch."""
    from local.metrics.store import MetricStore

    cloud.metrics = MetricStore()
