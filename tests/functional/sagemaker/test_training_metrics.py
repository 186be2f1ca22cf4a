"""What a training job prints is a metric while it runs."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.sagemaker.conftest import IMAGE

COUNTING = [{"Name": "round", "Regex": "round=([0-9]+);"}]
CURVE = """
    import time
    for number in range(1, 5):
        print(f"auc={number / 10};", flush=True)
        time.sleep(0.4)
    print("auc=nan;")
"""


def points(jobs: Any, name: str, metric: str, statistic: str = "Maximum") -> list[float]:
    """A metric's figures of each second, by time."""
    client = jobs.cloud.client("cloudwatch")
    created = jobs.describe(name)["CreationTime"].timestamp()
    answer = client.get_metric_data(
        MetricDataQueries=[
            {
                "Id": "m",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "/aws/sagemaker/TrainingJobs",
                        "MetricName": metric,
                        "Dimensions": [{"Name": "TrainingJobName", "Value": name}],
                    },
                    "Period": 1,
                    "Stat": statistic,
                },
            }
        ],
        StartTime=created - 5,
        EndTime=created + 120,
        ScanBy="TimestampAscending",
    )
    found: list[float] = answer["MetricDataResults"][0]["Values"]
    return found


def test_metrics_are_in_cloudwatch_while_the_job_runs(jobs: Any) -> None:
    """A follower sees the curve grow; the last number of each metric is the final one."""
    name = jobs.train(
        CURVE,
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "auc", "Regex": "auc=([a-z0-9.]+);"}],
        },
    )
    jobs.wait_for_log(name, "auc=0.2;")
    early = points(jobs, name, "auc")
    assert jobs.describe(name)["Status"] == "InProgress"
    assert early
    found = jobs.wait(name)
    curve = points(jobs, name, "auc")
    assert len(curve) >= 2
    assert curve == sorted(curve)
    assert curve[-1] == pytest.approx(0.4)
    assert sum(points(jobs, name, "auc", "SampleCount")) == 4
    assert found["FinalMetricDataList"][0]["Value"] == pytest.approx(0.4)


def test_a_hundred_thousand_metric_lines_are_no_burden(jobs: Any) -> None:
    """Every line counts, and the last one is the final value."""
    name = jobs.train(
        "import sys; sys.stdout.writelines(f'round={n};\\n' for n in range(100_000))",
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": COUNTING,
        },
    )
    found = jobs.wait(name)
    assert found["FinalMetricDataList"][0]["Value"] == 99_999
    assert sum(points(jobs, name, "round", "SampleCount")) == 100_000
    assert max(points(jobs, name, "round")) == 99_999
    assert min(points(jobs, name, "round", "Minimum")) == 0


def test_a_metric_needs_a_regular_expression(jobs: Any) -> None:
    """A broken one is refused by name when the job is created."""
    with pytest.raises(ClientError, match="of the metric broken"):
        jobs.train(
            "print(1)",
            AlgorithmSpecification={
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "broken", "Regex": "a=([0-9"}],
            },
        )
