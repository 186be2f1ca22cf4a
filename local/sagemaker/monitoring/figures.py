"""What a monitoring container leaves for CloudWatch: JSON lines, which SageMaker publishes.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-cloudwatch.html
"""

import json
import time
from pathlib import Path
from typing import Any

from local.cloud import Cloud
from local.metrics.store import Point

PLACE = "/opt/ml/output/metrics/cloudwatch"


def publish_figures(cloud: Cloud, folder: Path, namespace: str) -> list[str]:
    """Publish every line of the files in a folder; in words those that are no figures."""
    wrong = []
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else ():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                _publish(cloud, json.loads(line), namespace)
            except (ValueError, KeyError, TypeError) as error:
                wrong.append(f"{path.name}, line {number} is no metric: {error!r}")
    return wrong


def _publish(cloud: Cloud, given: Any, namespace: str) -> None:
    found = given.get("StatisticValues") or {
        "SampleCount": 1.0,
        **dict.fromkeys(("Sum", "Minimum", "Maximum"), given.get("Value")),
    }
    point = Point(
        time.time(),
        float(found["Sum"]),
        float(found["SampleCount"]),
        float(found["Minimum"]),
        float(found["Maximum"]),
        str(given.get("Unit", "None")),
    )
    dimensions = {each["Name"]: each["Value"] for each in given["Dimensions"]}
    cloud.metrics.put_point(namespace, given["MetricName"], dimensions, point)
