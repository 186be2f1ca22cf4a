"""`perennial batch` before it asks AWS for anything: places, files, the stack's parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from perennial.aws.registry import Version
from perennial.domain.errors import NotFound, Rejected
from perennial.start_batch import Asked, registered_container, start_batch
from perennial.write_manifest import network_of

from cli import errors
from cli.batch import empty_folder, given_source
from cli.output import Screen
from cli.session import Session
from cli.target import parse_aws
from tests.unit.cli.conftest import Cloud


def test_a_source_is_an_uri_or_a_file_that_is_there(tmp_path: Path) -> None:
    """A folder and a missing file are told apart."""
    file = tmp_path / "rows.csv"
    file.write_text("1\n")
    assert given_source("s3://b/k") == "s3://b/k"
    assert given_source(str(file)) == file
    with pytest.raises(errors.Usage, match="is a folder"):
        given_source(str(tmp_path))
    with pytest.raises(errors.NotFound, match="There is no file"):
        given_source(str(tmp_path / "none.csv"))


def test_a_folder_for_predictions_holds_nothing_yet(tmp_path: Path) -> None:
    """A new or an empty one; never a file, nor one with files."""
    assert empty_folder(tmp_path) == tmp_path
    assert empty_folder(tmp_path / "new") == tmp_path / "new"
    (tmp_path / "old").write_text("")
    for full in (tmp_path, tmp_path / "old"):
        with pytest.raises(errors.Refused, match="not empty"):
            empty_folder(full)


@pytest.mark.parametrize("count", [0, 2])
def test_a_pipeline_of_containers_is_refused_by_name(count: int) -> None:
    """A version of several containers cannot predict a batch, nor one of none."""
    raw: dict[str, Any] = {"InferenceSpecification": {"Containers": [{"Image": "i"}] * count}}
    version = Version("g", 3, "arn", "Approved", "", "", {}, 0, raw)
    with pytest.raises(Rejected, match=rf"census 3 has {count} containers.*inference pipelines"):
        registered_container("census", version)


def isolated(cloud: Cloud) -> Session:
    """A session on a stack that isolates its containers, with a key and a network."""
    texts = {
        "NetworkIsolation": "yes",
        "KmsKeyArn": "arn:key",
        "VpcSubnetIds": "subnet-1,subnet-2",
        "VpcSecurityGroupIds": "sg-1",
    }
    outputs = {name: {"Value": value} for name, value in cloud.outputs.items()}
    template = {
        "Parameters": {name: {"Type": "String", "Default": text} for name, text in texts.items()},
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {**outputs, "BatchRoleArn": {"Value": "arn:aws:iam::123456789012:role/batch"}},
    }
    boto3.client("cloudformation").create_stack(
        StackName="isolated",
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in texts.items()],
    )
    return Session(target=parse_aws("aws:-/eu-west-1/isolated"), screen=Screen())


def test_a_command_knows_the_stacks_network_and_key(cloud: Cloud) -> None:
    """They are parameters of the stack, as a function has them in its environment."""
    deployment = isolated(cloud).ports.deployment
    network = network_of(deployment)
    assert network.subnets == ("subnet-1", "subnet-2")
    assert network.security_groups == ("sg-1",)
    assert network.isolated
    assert deployment.optional("KMS_KEY_ARN") == "arn:key"


def test_a_model_that_nobody_pushed_is_not_found(cloud: Cloud) -> None:
    """Before anything is asked of SageMaker."""
    with pytest.raises(NotFound, match="there is no model 'none'"):
        start_batch(isolated(cloud).ports, Asked("none", "s3://b/k"))
