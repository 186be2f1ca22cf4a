"""CloudWatch's embedded metric format: metrics inside log lines (`_aws` documents).

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local.cloud import Cloud

log = logging.getLogger(__name__)


def record_embedded_metrics(cloud: "Cloud", lines: Sequence[str]) -> None:
    """Turn every valid `_aws` document among the lines into data points."""
    for line in lines:
        if not (line.startswith("{") and '"_aws"' in line):
            continue
        try:
            document = json.loads(line)
            _record(cloud, document)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            # As on AWS: an invalid document stays a log line and yields no metric.
            log.warning("a log line with _aws is no valid metric document: %s", error)


def _record(cloud: "Cloud", document: dict[str, Any]) -> None:
    header = document["_aws"]
    moment = header["Timestamp"] / 1000
    for directive in header["CloudWatchMetrics"]:
        for definition in directive["Metrics"]:
            values = document[definition["Name"]]
            for names in directive["Dimensions"]:
                dimensions = {name: str(document[name]) for name in names}
                for value in values if isinstance(values, list) else [values]:
                    cloud.put_metric(
                        directive["Namespace"],
                        definition["Name"],
                        float(value),
                        dimensions,
                        definition.get("Unit", "None"),
                        moment,
                    )
