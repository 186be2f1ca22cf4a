"""CloudWatch: metrics, alarms, dashboards."""

from typing import TYPE_CHECKING

from local.metrics.alarms import AlarmBook
from local.metrics.responses import metrics_response
from local.metrics.store import MetricStore
from local.services import serve

if TYPE_CHECKING:
    from local.cloud import Cloud


def install(cloud: "Cloud") -> None:
    """Serve CloudWatch."""
    cloud.metrics = MetricStore()
    cloud.dashboards = {}
    cloud.alarms = AlarmBook(cloud)
    cloud.register("monitoring", serve(metrics_response(cloud)))
