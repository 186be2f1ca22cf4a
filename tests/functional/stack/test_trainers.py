"""Models that other containers train, on the deployed stack: AWS's algorithms and an own image.

The linear learner trains the example `salary`, XGBoost searches on UCI Abalone, and a folder stands
in for an own image; each from landing to a judged, registered version.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from perennial.approve_version import approve_version
from perennial.aws.clients import forget_clients
from perennial.describe_model import describe_model
from perennial.describe_run import describe_run
from perennial.domain.ledger.rows import RunRow
from perennial.pack_project import pack_project
from perennial.push_project import Code, push_project
from perennial.request_retrain import request_retrain
from perennial.wiring import Ports, connect

from cli.datasets import fetch_dataset, synthetic_dataset
from cli.model_file import read_settings
from tests.functional.conftest import REPOSITORY
from tests.functional.stack.conftest import Checkout

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

SEARCH = {
    "algorithm": "xgboost",
    "validation": 0.2,
    "hyperparameters": {"num_round": 40, "subsample": 0.9},
    "tuning": {
        "jobs": 3,
        "parallel": 2,
        "objective": "rmse",
        "ranges": {"max_depth": {"min": 2, "max": 6}, "eta": {"min": 0.05, "max": 0.3}},
    },
}
# The mean of the label: an image that anybody could build.
OWN_TRAIN = """#!/usr/bin/env python3
import json, pathlib
ml = pathlib.Path("/opt/ml")
rows = (ml / "input/data/train/rows.csv").read_text().splitlines()
labels = [float(row.split(",")[0]) for row in rows]
schema = json.loads((ml / "input/data/check/schema.json").read_text())
names = [column["name"] for column in schema["encoding"]]
mean = sum(labels) / len(labels)
print(f"mean_label={mean};")
(ml / "model/mean.json").write_text(json.dumps({"mean": mean, "names": names}))
"""
OWN_MODEL = """
import json
from pathlib import Path


def load(folder):
    return json.loads((Path(folder) / "mean.json").read_text())


def predict(model, frame):
    return [model["mean"]] * len(frame)
"""


@pytest.fixture(scope="module")
def ports(checkout: Checkout) -> Iterator[Ports]:
    """The use cases, bound to the deployed stack."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in checkout.cloud.environment().items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        forget_clients()
        yield connect({**checkout.outputs, "StackName": "perennial"})
    forget_clients()


def abalone(place: Path, train: dict[str, Any]) -> Path:
    """A project on Abalone without any model.py."""
    document = yaml.safe_load((REPOSITORY / "models/abalone/model.yaml").read_text("utf-8"))
    place.mkdir()
    kept = {name: document[name] for name in ("problem", "label", "data")}
    text = yaml.safe_dump({**kept, "train": train, "gates": {"champion": "off"}})
    (place / "model.yaml").write_text(text, encoding="utf-8")
    return place


def push(ports: Ports, folder: Path) -> None:
    """Publish a project whose data are gathered at once."""
    settings = read_settings(folder, {"triggers.quiet_period": "0s", "triggers.cool_down": "0s"})
    train = settings.train
    packed = pack_project(folder, algorithm=train.algorithm, image=train.image)
    code = Code(packed.body, packed.sha256)
    push_project(ports, settings, code, pushed_by="a test", tell=lambda _: None)


def land(checkout: Checkout, model: str, text: str) -> None:
    """Land one object."""
    checkout.cloud.client("s3").put_object(
        Bucket=checkout.outputs["LandingBucket"],
        Key=f"incoming/{model}/rows.csv",
        Body=text.encode(),
    )


def ended(ports: Ports, model: str, number: int = 1) -> RunRow:
    """The run, once it has ended."""
    end = time.monotonic() + 200
    while time.monotonic() < end:
        row = describe_model(ports, model)
        if row.open_run is None and number <= row.last_run:
            return describe_run(ports, model, number)
        time.sleep(0.5)
    raise AssertionError(f"run {number} of {model} did not end")


def package(checkout: Checkout, run: RunRow) -> tuple[dict[str, Any], set[str]]:
    """The registered version's container, and the files of its model archive."""
    assert run.version is not None, run
    found = checkout.cloud.client("sagemaker").describe_model_package(
        ModelPackageName=run.version.arn
    )
    container = found["InferenceSpecification"]["Containers"][0]
    bucket, _, key = container["ModelDataUrl"].removeprefix("s3://").partition("/")
    body = checkout.cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        return container, set(archive.getnames())


def verdict(checkout: Checkout, run: RunRow) -> dict[str, Any]:
    """The run's verdict.json."""
    assert run.verdict is not None, run
    bucket, _, key = run.verdict.uri.removeprefix("s3://").partition("/")
    body = checkout.cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    document: dict[str, Any] = json.loads(body)
    return document


def test_the_linear_learner_trains_salary(checkout: Checkout, ports: Ports) -> None:
    """It passes its gates, is explained by its weights, and its package can be served alone."""
    push(ports, REPOSITORY / "models" / "salary")
    (table,) = synthetic_dataset("salary").tables
    land(checkout, "salary", table.text())
    run = ended(ports, "salary")
    judged = verdict(checkout, run)
    assert judged["passed"], judged["words"]
    assert judged["explanations"]["method"] == "linear"
    assert set(judged["explanations"]["global"]) == {"management_years", "site"}
    container, names = package(checkout, run)
    assert container["ModelDataUrl"].endswith("/package/model.tar.gz")
    assert {"model_algo-1", "schema.json", "settings.json", "background.parquet"} <= names
    jobs = checkout.cloud.client("sagemaker").list_training_jobs(NameContains="salary")
    (job,) = jobs["TrainingJobSummaries"]
    described = checkout.cloud.client("sagemaker").describe_training_job(
        TrainingJobName=job["TrainingJobName"]
    )
    assert described["AlgorithmSpecification"]["TrainingImage"].endswith("/linear-learner:1")
    names = {metric["MetricName"] for metric in described["FinalMetricDataList"]}
    assert {"validation:mse", "train:objective_loss:final"} <= names


def test_a_search_with_xgboost_meets_its_champion(
    checkout: Checkout, ports: Ports, tmp_path: Path
) -> None:
    """The best trial goes on; the next run scores the champion again, by its own package."""
    push(ports, abalone(tmp_path / "rings", SEARCH))
    (table, *_) = fetch_dataset("abalone").tables
    land(checkout, "rings", table.text())
    first = ended(ports, "rings")
    judged = verdict(checkout, first)
    assert judged["passed"], judged["words"]
    assert judged["explanations"]["method"] == "tree"
    assert judged["metrics"]["rmse"] < 2.4
    assert "xgboost-model" in package(checkout, first)[1]
    approve_version(ports, "rings", 1, "the first of its kind", "a test")
    deadline = time.monotonic() + 60
    while describe_model(ports, "rings").champion is None and time.monotonic() < deadline:
        time.sleep(0.5)
    overrides = {"gates.champion": '{"margin": 5}', "train.hyperparameters.num_round": "20"}
    request_retrain(ports, "rings", "to compare", overrides, "token-1")
    second = verdict(checkout, ended(ports, "rings", 2))
    assert second["passed"], second["words"]
    assert second["champion"]["version"] == 1
    assert second["comparison"]["champion"] == pytest.approx(judged["metrics"]["rmse"], rel=1e-6)


def test_an_own_image_trains_and_model_py_scores(
    checkout: Checkout, ports: Ports, tmp_path: Path
) -> None:
    """A folder stands in for the image; load and predict of model.py do the rest."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    image = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{name}@sha256:{'a' * 64}"
    train = {"image": image, "metrics": {"mean_label": "mean_label=([0-9.]+);"}}
    project = abalone(tmp_path / "own", train)
    (project / "model.py").write_text(OWN_MODEL, encoding="utf-8")
    folder = REPOSITORY / ".local" / "images" / name
    folder.mkdir(parents=True)
    try:
        (folder / "train").write_text(OWN_TRAIN)
        (folder / "train").chmod(0o755)
        push(ports, project)
        (table, *_) = fetch_dataset("abalone").tables
        land(checkout, "own", table.text())
        run = ended(ports, "own")
    finally:
        shutil.rmtree(folder)
    judged = verdict(checkout, run)
    assert judged["passed"], judged["words"]
    assert judged["metrics"]["rmse"] == pytest.approx(3.2, abs=0.3)
    assert {"mean.json", "schema.json", "settings.json"} <= package(checkout, run)[1]
