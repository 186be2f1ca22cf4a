"""What the endpoint that models share asks of SageMaker."""

from __future__ import annotations

from dataclasses import replace

import pytest
from perennial.domain.run_input import Network
from perennial.domain.shared_plan import Shared, variables_of

from tests.statemachines.aws_api import mistakes

SHARED = Shared(
    stack="perennial",
    bucket="artifacts",
    image="141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.4-2-cpu-py3",
    server=f"s3://artifacts/server/{'a' * 64}.tar.gz",
    instance="ml.m5.large",
    count=1,
    role="arn:aws:iam::123456789012:role/perennial-endpoint",
    network=Network(),
)
IN_VPC = replace(
    SHARED,
    stack="a-stack-with-a-long-name",
    network=Network(("subnet-0a", "subnet-0b"), ("sg-0a",), isolated=True),
    key="arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
)


@pytest.mark.parametrize("shared", [SHARED, IN_VPC])
def test_aws_takes_every_request(shared: Shared) -> None:
    """Members, patterns and lengths are those of the API's own model."""
    for operation, request in (
        ("createModel", shared.model_request()),
        ("createEndpointConfig", shared.config_request()),
        ("createEndpoint", shared.endpoint_request()),
    ):
        assert mistakes("sagemaker", operation, request) == [], operation


def test_the_container_is_told_nothing_of_any_model() -> None:
    """What differs between models lies in their archives, below one prefix."""
    container = SHARED.model_request()["PrimaryContainer"]
    assert container["Mode"] == "MultiModel"
    assert container["ModelDataUrl"] == "s3://artifacts/shared/"
    assert container["Environment"] == {
        "SAGEMAKER_PROGRAM": "serve.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": SHARED.server,
    }
    assert "DataCaptureConfig" not in SHARED.config_request()
    assert SHARED.endpoint == "perennial-shared"


@pytest.mark.parametrize(
    "other",
    [
        replace(SHARED, image=f"{SHARED.image}-next"),
        replace(SHARED, server=f"s3://artifacts/server/{'b' * 64}.tar.gz"),
        replace(SHARED, instance="ml.m5.xlarge"),
        replace(SHARED, count=2),
        replace(SHARED, role=f"{SHARED.role}-2"),
        replace(SHARED, network=Network(isolated=True)),
        replace(SHARED, network=Network(("subnet-0a",), ("sg-0a",))),
    ],
)
def test_another_size_is_another_name(other: Shared) -> None:
    """So that a look at the endpoint tells whether it is what the stack asks for."""
    assert SHARED.config == replace(SHARED).config
    assert other.config != SHARED.config
    assert other.config.startswith("perennial-shared-")
    assert other.model_request()["ModelName"] == other.config_request()["EndpointConfigName"]


def test_an_archive_is_told_what_its_own_container_would_be() -> None:
    """All of it that is ours; what the image reads is the same for all models."""
    ours = {"PERENNIAL_VERSION": "7", "PERENNIAL_MODEL_NAME": "census"}
    image = {"SAGEMAKER_PROGRAM": "serve.py", "PIP_NO_INDEX": "1"}
    assert variables_of({"Environment": {**ours, **image}}) == ours
