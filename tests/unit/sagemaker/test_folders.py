"""Names from S3 and from requests stay inside the folder that they are meant for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.objects import DataError, Objects


class OneObject:
    """An S3 with one object, whose key its owner chose."""

    def __init__(self, key: str) -> None:
        self.key = key

    def get_paginator(self, _name: str) -> Any:
        """Answer itself, for its `paginate`."""
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        """One page with the object."""
        return [{"Contents": [{"Key": self.key}]}]

    def get_object(self, **_: Any) -> dict[str, Any]:
        """The object's body."""
        return {"Body": io.BytesIO(b"x")}


@pytest.mark.parametrize("name", ["../../x", "../training-code/entry.py", "a/../../../x"])
def test_no_key_leaves_the_channels_folder(tmp_path: Path, name: str) -> None:
    """Nor does it reach a folder whose name begins like the channel's."""
    target = tmp_path / "data" / "training"
    target.mkdir(parents=True)
    with pytest.raises(DataError, match="leaves the job's folder"):
        Objects(OneObject(f"runs/{name}")).fetch("s3://b/runs/", "S3Prefix", target)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_key_inside_is_fetched(tmp_path: Path) -> None:
    """Folders in a key become folders."""
    assert Objects(OneObject("runs/a/b.csv")).fetch("s3://b/runs/", "S3Prefix", tmp_path) == 1
    assert (tmp_path / "a" / "b.csv").read_bytes() == b"x"


def test_no_path_of_a_request_leaves_the_jobs_folder(tmp_path: Path) -> None:
    """`ml-other` begins like `ml`, and is not in it."""
    folder = JobFolder(tmp_path / "job", private=True)
    with pytest.raises(ValueError, match="leaves /opt/ml"):
        folder.real("/opt/ml/../ml-other/x")
    assert folder.real("/opt/ml/input/x") == tmp_path / "job" / "ml" / "input" / "x"
