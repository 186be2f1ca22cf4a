"""Names, arguments and variables of script mode are the toolkit's."""

from typing import Any

import pytest

from local.sagemaker.container.images import _adds_to
from local.sagemaker.container.objects import DataError, relative_name, split_uri
from local.sagemaker.container.script_mode import (
    arguments,
    decode_hyperparameters,
    find_script,
    user_hyperparameters,
)


def test_hyperparameters_are_decoded_where_they_are_json() -> None:
    """JSON text becomes its value, other text stays; reserved names never reach the script."""
    raw = {"a": "1", "b": '"x"', "c": "plain", "sagemaker_program": '"p.py"', "sagemaker_own": "2"}
    decoded = decode_hyperparameters(raw)
    assert decoded == {
        "a": 1,
        "b": "x",
        "c": "plain",
        "sagemaker_program": "p.py",
        "sagemaker_own": 2,
    }
    assert user_hyperparameters(decoded) == {"a": 1, "b": "x", "c": "plain"}


def test_arguments_are_sorted_and_spelled_as_the_toolkit_does() -> None:
    """One letter gets one dash, None is empty, maps are key=value."""
    given: dict[str, Any] = {"b": None, "long": True, "a-b": {"y": 2, "x": 1}}
    assert arguments(given) == ["--a-b", "x=1,y=2", "-b", "", "--long", "True"]


def test_a_job_without_a_script_says_what_is_missing() -> None:
    """Neither hyperparameter nor variable: an error that names both."""
    with pytest.raises(ValueError, match="sagemaker_program"):
        find_script({}, {})
    found = find_script({}, {"SAGEMAKER_PROGRAM": "a.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/x"})
    assert (found.program, found.submit_directory) == ("a.py", "/x")


@pytest.mark.parametrize(
    ("prefix", "key", "name"),
    [
        ("data/train", "data/train/a/b.csv", "a/b.csv"),
        ("data/train/", "data/train/a.csv", "a.csv"),
        ("data/tr", "data/train/a.csv", "train/a.csv"),
        ("data/a.csv", "data/a.csv", "a.csv"),
        ("data/a.csv", "data/a.csv.bak", "a.csv.bak"),
        ("", "a/b", "a/b"),
    ],
)
def test_names_below_a_prefix(prefix: str, key: str, name: str) -> None:
    """A prefix is a plain string prefix; names keep what follows its last boundary."""
    assert relative_name(prefix, key) == name


def test_keys_keep_what_looks_like_a_fragment() -> None:
    """`#` and `?` belong to the key of an S3 URI."""
    assert split_uri("s3://b/a#1?x=2") == ("b", "a#1?x=2")
    with pytest.raises(DataError):
        split_uri("https://b/a")


@pytest.mark.parametrize(
    ("extra", "adds"),
    [("", False), ("numpy==2.2.6\n", False), ("# only words\n", False), ("toolz==1.0.0\n", True)],
)
def test_a_requirement_that_the_image_has_needs_no_new_environment(extra: str, adds: bool) -> None:
    """Only lines that the image's own lock does not hold make a layer."""
    assert _adds_to("# lock\nnumpy==2.2.6\npandas==2.3.3\n", extra) is adds
