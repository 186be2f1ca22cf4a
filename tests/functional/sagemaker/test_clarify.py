"""Processing jobs on Clarify's image: its stand-in runs by its own entry point."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.sagemaker.container.images import CLARIFY, KNOWN
from tests.functional.sagemaker.test_processing import INPUT, OUTPUT, target

CONFIG: dict[str, Any] = {
    "dataset_type": "application/x-parquet",
    "headers": ["y", "predicted", "sex"],
    "label": "y",
    "predicted_label": "predicted",
    "label_values_or_threshold": [1],
    "facet": [{"name_or_index": "sex"}],
    "methods": {"pre_training_bias": {"methods": ["CI", "DPL"]}},
}


def source(name: str, uri: str, folder: str) -> dict[str, Any]:
    """An input where Clarify looks for it."""
    s3 = {"S3Uri": uri, "LocalPath": f"{INPUT}/{folder}", "S3DataType": "S3Prefix"}
    return {"InputName": name, "S3Input": {**s3, "S3InputMode": "File"}}


def start(jobs: Any, config: Any, *, isolated: bool = False) -> str:
    """A job as the retrain machine starts it; its name."""
    uri = jobs.put("base/clarify/analysis_config.json", json.dumps(config))
    place = {"S3Uri": jobs.uri("place/bias"), "LocalPath": OUTPUT, "S3UploadMode": "EndOfJob"}
    name: str = jobs.process(
        [],
        AppSpecification={"ImageUri": CLARIFY},
        ProcessingInputs=[
            source("analysis_config", uri, "config"),
            source("dataset", jobs.uri("place/evaluation/clarify"), "data"),
        ],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "analysis_result", "S3Output": place}]},
        NetworkConfig={"EnableNetworkIsolation": isolated},
    )
    return name


@pytest.fixture(scope="module", autouse=True)
def dataset(jobs: Any) -> None:
    """Four rows, written where an evaluation writes them, by a job that has the library for it."""
    rows = {"y": [1, 1, 0, 1], "predicted": [1, 0, 0, 1], "sex": ["F", "F", "M", "M"]}
    script = "import pyarrow, pyarrow.parquet as parquet; "
    script += f"parquet.write_table(pyarrow.table({rows}), '{OUTPUT}/data/dataset.parquet')"
    output = target("data", jobs.uri("place/evaluation/clarify"))
    name = jobs.process(["python3", "-c", script], ProcessingOutputConfig={"Outputs": [output]})
    assert jobs.wait(name)["Status"] == "Completed"


@pytest.mark.parametrize("isolated", [False, True])
def test_clarify_runs_by_itself(jobs: Any, isolated: bool) -> None:
    """No entry point is named; its analysis goes to S3, from an isolated network as well."""
    found = jobs.wait(start(jobs, CONFIG, isolated=isolated))
    assert found["Status"] == "Completed", found
    analysis = json.loads(jobs.get("place/bias/analysis.json"))
    (women, _) = analysis["pre_training_bias_metrics"]["facets"]["sex"]
    assert women["value_or_threshold"] == "F"
    assert {m["name"]: m["value"] for m in women["metrics"]} == {"CI": 0, "DPL": -0.5}


def test_what_it_does_not_do_fails_the_job_by_name(jobs: Any) -> None:
    """Its words are the job's ExitMessage, which a verdict quotes."""
    methods = {**CONFIG["methods"], "shap": {"num_samples": 10}}
    found = jobs.wait(start(jobs, {**CONFIG, "methods": methods}))
    assert found["Status"] == "Failed"
    assert "the local cloud's Clarify does not do shap" in found["ExitMessage"]


def test_other_images_have_no_entry_point(jobs: Any) -> None:
    """The image of our jobs runs what a job names, and nothing by itself."""
    with pytest.raises(ClientError, match="own entry point"):
        jobs.process([], AppSpecification={"ImageUri": KNOWN})
