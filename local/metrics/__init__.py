"""CloudWatch: metrics, alarms, dashboards."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.cloud import Cloud


def install(cloud: "Cloud") -> None:
    """Serve CloudWatch."""
    from local.metrics.alarms import AlarmBook
    from local.metrics.responses import metrics_response
    from local.metrics.store import MetricStore
    from local.services import serve

    cloud.metrics = MetricStore()
    cloud.dashboards = {}
    cloud.alarms = AlarmBook(cloud)
    cloud.register("monitoring", serve(metrics_response(cloud)))
