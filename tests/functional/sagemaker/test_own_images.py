"""Images beside the jobs' own: AWS's algorithms by their names, folders in the place of others."""

from __future__ import annotations

import json
import shutil
import tarfile
import uuid
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.sagemaker.conftest import Jobs

ROOT = Path(__file__).resolve().parents[3]
XGBOOST = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5"
LINEAR = "438346466558.dkr.ecr.eu-west-1.amazonaws.com/linear-learner:1"
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
TRAIN = """#!/usr/bin/env python3
import json, pathlib, sys
import numpy
ml = pathlib.Path("/opt/ml")
given = json.loads((ml / "input/config/hyperparameters.json").read_text())
rows = (ml / "input/data/train/rows.csv").read_text().splitlines()
if given.get("fail"):
    (ml / "output/failure").write_text("the rows are " + given["fail"])
    sys.exit(3)
print(f"loss={len(rows) / 10};")
(ml / "model/weights.json").write_text(json.dumps([sys.argv[1:], given, len(rows)]))
"""


@pytest.fixture
def stand_in() -> Iterator[str]:
    """A folder in the place of an own image; the image's address."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    folder = ROOT / ".local" / "images" / name
    folder.mkdir(parents=True)
    (folder / "train").write_text(TRAIN)
    (folder / "train").chmod(0o755)
    (folder / "requirements.txt").write_text("numpy==2.2.6\n")
    yield f"{REGISTRY}/{name}@sha256:{'a' * 64}"
    shutil.rmtree(folder)


def rows(jobs: Jobs, table: str) -> list[dict[str, Any]]:
    """A channel `train` with one table."""
    uri = jobs.put(f"tables/{uuid.uuid4().hex}/train/rows.csv", table)
    source = {"S3DataType": "S3Prefix", "S3Uri": uri.rpartition("/")[0] + "/"}
    return [
        {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}
    ]


def request(jobs: Jobs, image: str, given: dict[str, str], **more: Any) -> dict[str, Any]:
    """A training job's request on an image."""
    return {
        "TrainingJobName": jobs.name("image"),
        "RoleArn": jobs.role,
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            **more,
        },
        "ResourceConfig": {
            "InstanceType": "ml.m5.large",
            "InstanceCount": 1,
            "VolumeSizeInGB": 5,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": 120},
        "OutputDataConfig": {"S3OutputPath": jobs.uri("models")},
        "InputDataConfig": rows(jobs, "1,2,3\n0,1,4\n" * 40),
        "HyperParameters": given,
    }


def run(jobs: Jobs, wanted: dict[str, Any]) -> dict[str, Any]:
    """Train to the end."""
    jobs.sagemaker.create_training_job(**wanted)
    jobs.wait(wanted["TrainingJobName"], seconds=120)
    return jobs.describe(wanted["TrainingJobName"])


def test_a_folder_stands_in_for_an_own_image(jobs: Jobs, stand_in: str) -> None:
    """It is called as SageMaker calls an image, in an environment of its own packages."""
    metric = [{"Name": "loss", "Regex": "loss=([0-9.]+);"}]
    done = run(jobs, request(jobs, stand_in, {"depth": "3"}, MetricDefinitions=metric))
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert [m["Value"] for m in done["FinalMetricDataList"]] == [8.0]
    key = done["ModelArtifacts"]["S3ModelArtifacts"].split("/", 3)[3]
    with tarfile.open(fileobj=BytesIO(jobs.get(key))) as archive:
        member = archive.extractfile("weights.json")
        assert member is not None
        assert json.load(member) == [["train"], {"depth": "3"}, 80]


def test_what_an_own_image_says_of_its_failure_is_the_reason(jobs: Jobs, stand_in: str) -> None:
    """The failure file and the exit code, as for any container."""
    done = run(jobs, request(jobs, stand_in, {"fail": "upside down"}))
    assert done["TrainingJobStatus"] == "Failed"
    assert done["FailureReason"] == "AlgorithmError: the rows are upside down, exit code: 3"


def test_an_image_that_is_nowhere_is_refused_by_name(jobs: Jobs) -> None:
    """The text names the image, those that there are, and the folder that could stand in."""
    image = f"{REGISTRY}/nobody/made-this:1"
    with pytest.raises(ClientError) as refused:
        jobs.sagemaker.create_training_job(**request(jobs, image, {}))
    text = str(refused.value)
    assert image in text
    assert "sagemaker-xgboost:3.0-5" in text
    assert ".local/images/nobody/made-this" in text


@pytest.mark.parametrize(
    ("image", "given", "metric"),
    [
        (XGBOOST, {"num_round": "3", "objective": "binary:logistic", "eval_metric": "auc"},
         "train:auc"),
        (LINEAR, {"predictor_type": "binary_classifier", "mini_batch_size": "20", "epochs": "2"},
         "train:objective_loss:final"),
    ],
)  # fmt: skip
def test_awss_algorithms_report_their_own_metrics(
    jobs: Jobs, image: str, given: dict[str, str], metric: str
) -> None:
    """Nobody defines them: SageMaker does; and it refuses whoever tries."""
    done = run(jobs, request(jobs, image, given))
    assert done["TrainingJobStatus"] == "Completed", done.get("FailureReason")
    assert metric in {each["MetricName"] for each in done["FinalMetricDataList"]}
    with pytest.raises(ClientError, match="can't override the metric definitions"):
        jobs.sagemaker.create_training_job(
            **request(jobs, image, given, MetricDefinitions=[{"Name": "x", "Regex": "x=(.)"}])
        )


def test_awss_algorithms_say_whose_fault_a_failure_is(jobs: Jobs) -> None:
    """A bad hyperparameter is the client's, in AWS's words."""
    done = run(jobs, request(jobs, XGBOOST, {"num_round": "0"}))
    assert done["TrainingJobStatus"] == "Failed"
    assert done["FailureReason"].startswith("ClientError: Hyperparameter num_round: value 0 not in")
    assert done["FailureReason"].endswith(", exit code: 2")
