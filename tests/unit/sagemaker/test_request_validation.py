"""Requests are held against botocore's model as the service does."""

from typing import Any

import botocore.session
import pytest
from botocore.model import Shape, StructureShape

from local.jsonapi.errors import ApiError
from local.jsonapi.validation import compile_pattern, validate


@pytest.fixture(scope="module")
def model() -> Any:
    """botocore's model of SageMaker."""
    return botocore.session.get_session().get_service_model("sagemaker")


def walk(shape: Shape, seen: set[str]) -> Any:
    """Every shape below one."""
    if shape.name in seen:
        return
    seen.add(shape.name)
    yield shape
    parts = (
        list(getattr(shape, "members", {}).values()) if isinstance(shape, StructureShape) else []
    )
    parts += [getattr(shape, name) for name in ("member", "key", "value") if hasattr(shape, name)]
    for part in parts:
        yield from walk(part, seen)


@pytest.mark.parametrize(
    "operation",
    ["CreateTrainingJob", "CreateProcessingJob", "CreateModelPackage", "CreateModelPackageGroup",
     "UpdateModelPackage", "ListTrainingJobs", "ListModelPackages", "AddTags"],
)  # fmt: skip
def test_every_pattern_of_a_supported_operation_compiles(model: Any, operation: str) -> None:
    """Java's regular expressions of the model are understood by Python."""
    found = [
        compile_pattern(shape.metadata["pattern"])
        for shape in walk(model.operation_model(operation).input_shape, set())
        if "pattern" in shape.metadata
        and not shape.name.startswith(("Athena", "Catalog"))
        and shape.name not in ("Database", "TableName")
    ]
    assert found


def fault(model: Any, operation: str, value: dict[str, Any]) -> str:
    """The error's text for a request."""
    with pytest.raises(ApiError) as caught:
        validate(model.operation_model(operation).input_shape, value)
    return f"{caught.value.code}: {caught.value.message}"


def test_texts_are_awss(model: Any) -> None:
    """Missing, pattern, length, enum and range faults, and their count."""
    operation = "ListTrainingJobs"
    assert fault(model, operation, {"MaxResults": 101}) == (
        "ValidationException: 1 validation error detected: Value '101' at 'maxResults' failed to "
        "satisfy constraint: Member must have value less than or equal to 100"
    )
    assert "2 validation errors detected" in fault(
        model, operation, {"MaxResults": 0, "SortOrder": "Up"}
    )
    assert "enum value set: [Ascending, Descending]" in fault(model, operation, {"SortOrder": "Up"})
    assert "Value null at 'modelPackageGroupName'" in fault(model, "CreateModelPackageGroup", {})
    assert "at 'tags.2.member.value'" in fault(
        model,
        "AddTags",
        {
            "ResourceArn": "arn:aws:sagemaker:eu-west-1:123456789012:training-job/a",
            "Tags": [{"Key": "a", "Value": "b"}, {"Key": "b"}],
        },
    )
    assert "Unknown member 'maxresults'" in fault(model, operation, {"Maxresults": 3})
    assert fault(model, operation, {"MaxResults": "3"}).startswith("SerializationException")
    assert fault(model, operation, {"NameContains": 3}).startswith("SerializationException")


@pytest.mark.parametrize(
    ("text", "fits"),
    [("größe 2", True), ("weiß/schwarz", True), ("tab\t", False), ("\U0001f600", True)],
)
def test_unicode_classes_mean_letters_of_any_script(text: str, fits: bool) -> None:
    r"""`\p{L}` and its like become their characters."""
    pattern = compile_pattern(r"([\p{L}\p{Z}\p{N}_.:\/=+\-@]*)${1,128}")
    assert (pattern.fullmatch(text) is not None) is fits
