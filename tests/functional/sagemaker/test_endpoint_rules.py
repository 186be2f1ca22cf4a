"""What CreateModel, CreateEndpointConfig and CreateEndpoint take, show and refuse."""

from typing import Any

import pytest

from tests.functional.sagemaker.conftest import IMAGE
from tests.functional.sagemaker.hosting import Hosting, refused

XGBOOST = "141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-xgboost:3.0-5"
SERVERLESS = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}


@pytest.fixture(scope="module")
def container(hosting: Hosting) -> Any:
    """A good container definition."""
    return hosting.container()


@pytest.fixture(scope="module")
def model(hosting: Hosting, container: Any) -> str:
    """A good model."""
    return hosting.model(container=container)


def test_a_model_is_described_listed_and_deleted(hosting: Hosting, container: Any) -> None:
    """What was given comes back with AWS's defaults; a name is taken once; gone is gone."""
    tags = [{"Key": "perennial:stack", "Value": "one"}]
    name = hosting.model(container=container, Tags=tags)
    found = hosting.sagemaker.describe_model(ModelName=name)
    assert found["PrimaryContainer"] == {**container, "Mode": "SingleModel"}
    assert found["ExecutionRoleArn"] == hosting.role
    assert found["EnableNetworkIsolation"] is False
    assert found["ModelArn"] == f"arn:aws:sagemaker:eu-west-1:123456789012:model/{name}"
    assert hosting.sagemaker.list_tags(ResourceArn=found["ModelArn"])["Tags"] == tags
    (listed,) = hosting.sagemaker.list_models(NameContains=name)["Models"]
    assert listed["ModelArn"] == found["ModelArn"]
    taken = f'Cannot create already existing model "{found["ModelArn"]}".'
    create, remove = hosting.sagemaker.create_model, hosting.sagemaker.delete_model
    refused(lambda: create(ModelName=name, PrimaryContainer=container), taken)
    remove(ModelName=name)
    missing = f'Could not find model "{found["ModelArn"]}".'
    refused(lambda: remove(ModelName=name), missing)
    refused(lambda: hosting.sagemaker.describe_model(ModelName=name), missing)


def test_lists_are_paged_newest_first(hosting: Hosting, container: Any) -> None:
    """Each page holds what was asked for, and together they hold all."""
    hint = hosting.name("paged")
    names = [f"{hint}-{number}" for number in range(5)]
    for name in names:
        hosting.sagemaker.create_model(ModelName=name, PrimaryContainer=container)
    paginator = hosting.sagemaker.get_paginator("list_models")
    pages = list(paginator.paginate(NameContains=hint, PaginationConfig={"PageSize": 2}))
    assert [len(page["Models"]) for page in pages] == [2, 2, 1]
    found = [entry["ModelName"] for page in pages for entry in page["Models"]]
    assert found == names[::-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/none:1"}, "does not have the im"),
        ({"Image": XGBOOST}, "does not support serving models with the image"),
        ({"Image": None}, "Image must be provided"),
        ({"ModelDataUrl": "s3://no-such-bucket-1/x"}, "Could not find model data at s3://no-such"),
        ({"ImageConfig": {"RepositoryAccessMode": "Vpc"}}, "private registry (ImageConfig)"),
        ({"ModelPackageName": "some-group/1"}, "must not be given beside ModelPackageName"),
        ({"Environment": {"a b": "c"}}, "failed to satisfy constraint"),
    ],
)
def test_containers_that_cannot_be_are_refused(
    hosting: Hosting, container: Any, change: Any, words: str
) -> None:
    """By name, when the model is created."""
    changed = {**container, **change}
    changed = {key: value for key, value in changed.items() if value is not None}
    create = hosting.sagemaker.create_model
    refused(lambda: create(ModelName="refused", PrimaryContainer=changed), words)


def test_pipelines_and_wrong_roles_are_refused(hosting: Hosting, container: Any) -> None:
    """One container may come in the list; two are a pipeline; a role must trust SageMaker."""
    create = hosting.sagemaker.create_model
    name = hosting.name("model")
    create(ModelName=name, Containers=[container])
    assert len(hosting.sagemaker.describe_model(ModelName=name)["Containers"]) == 1
    pipeline = [container, container]
    refused(lambda: create(ModelName="two", Containers=pipeline), "support inference pipelines")
    both = {"PrimaryContainer": container, "Containers": [container]}
    refused(lambda: create(ModelName="two", **both), "only one can be")
    refused(lambda: create(ModelName="none"), "One of PrimaryContainer and Containers")
    role = "arn:aws:iam::123456789012:role/nobody"
    asked = {"PrimaryContainer": container, "ExecutionRoleArn": role}
    refused(lambda: create(ModelName="two", **asked), f"Could not assume role {role}")


def test_a_model_from_a_package_needs_its_approval(hosting: Hosting, container: Any) -> None:
    """An approved version brings image, artifact and environment; others are refused."""
    group = hosting.name("group")
    hosting.sagemaker.create_model_package_group(ModelPackageGroupName=group)
    package = hosting.sagemaker.create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )["ModelPackageArn"]
    create = hosting.sagemaker.create_model
    name = hosting.name("model")
    asked = {"ModelName": name, "PrimaryContainer": {"ModelPackageName": package}}
    refused(lambda: create(**asked), "has the approval status PendingManualApproval")
    hosting.sagemaker.update_model_package(ModelPackageArn=package, ModelApprovalStatus="Approved")
    create(**asked)
    config = hosting.config(hosting.variant(name))
    assert hosting.invoke(hosting.endpoint(config))["Body"].read()


def test_an_uncompressed_model_is_served(hosting: Hosting, container: Any) -> None:
    """A folder of S3 objects comes to /opt/ml/model as it lies."""
    place = hosting.name("folder")
    hosting.put(f"{place}/word.txt", "plain")
    source = {
        "S3Uri": hosting.uri(f"{place}/"),
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }
    plain = {key: value for key, value in container.items() if key != "ModelDataUrl"}
    plain["ModelDataSource"] = {"S3DataSource": source}
    config = hosting.config(hosting.variant(hosting.model(container=plain)))
    assert b'"plain"' in hosting.invoke(hosting.endpoint(config))["Body"].read()


def test_a_configuration_is_described_listed_and_deleted(hosting: Hosting, model: str) -> None:
    """With AWS's default weight; endpoints made from it stay when it goes."""
    name = hosting.config(hosting.variant(model, count=2), KmsKeyId="alias/ml")
    find, remove = (
        hosting.sagemaker.describe_endpoint_config,
        hosting.sagemaker.delete_endpoint_config,
    )
    found = find(EndpointConfigName=name)
    assert found["ProductionVariants"] == [
        {**hosting.variant(model, count=2), "InitialVariantWeight": 1.0}
    ]
    assert found["KmsKeyId"] == "alias/ml"
    (listed,) = hosting.sagemaker.list_endpoint_configs(NameContains=name)["EndpointConfigs"]
    assert listed["EndpointConfigArn"] == found["EndpointConfigArn"]
    endpoint = hosting.endpoint(name)
    remove(EndpointConfigName=name)
    missing = f'Could not find endpoint configuration "{found["EndpointConfigArn"]}".'
    refused(lambda: find(EndpointConfigName=name), missing)
    refused(lambda: remove(EndpointConfigName=name), missing)
    assert hosting.invoke(endpoint)["Body"].read()
    asked = {"EndpointName": hosting.name("endpoint"), "EndpointConfigName": name}
    refused(lambda: hosting.sagemaker.create_endpoint(**asked), missing)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ModelName": "nothing"}, "Could not find model"),
        ({"ModelName": None}, "inference components: a variant without ModelName"),
        ({"InstanceType": None}, "Variant main needs InstanceType"),
        ({"InitialInstanceCount": None}, "Variant main needs InitialInstanceCount"),
        ({"InstanceType": "ml.huge"}, "failed to satisfy constraint"),
        ({"ServerlessConfig": SERVERLESS}, "InstanceType and ServerlessConfig exclude each other"),
        ({"InitialVariantWeight": 0.0}, "At least one variant must have"),
        ({"AcceleratorType": "ml.eia2.medium"}, "does not support AcceleratorType (variant main)"),
        ({"ManagedInstanceScaling": {"Status": "ENABLED"}}, "support ManagedInstanceScaling"),
        (
            {"RoutingConfig": {"RoutingStrategy": "PREFIX_AWARE"}},
            "does not support RoutingStrategy PREFIX_AWARE",
        ),
    ],
)
def test_variants_that_cannot_be_are_refused(
    hosting: Hosting, model: str, change: Any, words: str
) -> None:
    """By name, when the configuration is created."""
    variant = {**hosting.variant(model), **change}
    variant = {key: value for key, value in variant.items() if value is not None}
    refused(lambda: hosting.config(variant), words)


def test_configurations_that_cannot_be_are_refused(hosting: Hosting, model: str) -> None:
    """Doubles, shadows, asynchronous inference, serverless beside what it excludes."""
    variant = hosting.variant(model)
    refused(lambda: hosting.config(variant, variant), "must be unique; these are not: main")
    shadow = [hosting.variant(model, "shadow")]
    refused(lambda: hosting.config(variant, ShadowProductionVariants=shadow), "shadow variants")
    later = {"OutputConfig": {"S3OutputPath": hosting.uri("async")}}
    refused(lambda: hosting.config(variant, AsyncInferenceConfig=later), "asynchronous inference")
    serverless = {"VariantName": "main", "ModelName": model, "ServerlessConfig": SERVERLESS}
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": hosting.uri("capture"),
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    words = "DataCaptureConfig is not supported for serverless endpoints"
    refused(lambda: hosting.config(serverless, DataCaptureConfig=capture), words)
    odd = {**serverless, "ServerlessConfig": {**SERVERLESS, "MemorySizeInMB": 1500}}
    refused(lambda: hosting.config(odd), "MemorySizeInMB is 1500; it must be one of 1024")
    elsewhere = {**capture, "DestinationS3Uri": "https://bucket/x"}
    refused(lambda: hosting.config(variant, DataCaptureConfig=elsewhere), "is not an S3 URI")
    assert IMAGE in hosting.sagemaker.describe_model(ModelName=model)["PrimaryContainer"]["Image"]
