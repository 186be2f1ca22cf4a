"""Functions from source text, and short waits."""

import contextlib
import io
import itertools
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.functional.conftest import LocalCloud, start_local_cloud

ROLE = "arn:aws:iam::123456789012:role/any"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
_numbers = itertools.count(1)


def archive(files: Mapping[str, str]) -> bytes:
    """A zip archive with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        for name, text in files.items():
            bundle.writestr(name, text)
    return buffer.getvalue()


def eventually(check: Callable[[], Any], timeout: float = 15.0) -> Any:
    """The first true value of `check`; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        value = check()
        if value:
            return value
        time.sleep(0.03)
    raise AssertionError(f"{check} was not true within {timeout} s")


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{next(_numbers)}"


def ensure_role(cloud: LocalCloud) -> None:
    """The role that functions of tests name; Lambda wants it to exist."""
    iam = cloud.client("iam")
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_role(RoleName="any", AssumeRolePolicyDocument=TRUST)


MakeFunction = Callable[..., str]


def function_maker(cloud: LocalCloud, made: list[str]) -> MakeFunction:
    """Creates functions in one cloud and remembers their names."""

    def make(
        source: str, name: str = "", files: Mapping[str, str] | None = None, **options: Any
    ) -> str:
        name = name or unique("function")
        ensure_role(cloud)
        cloud.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": archive({"app.py": source, **(files or {})})},
            **{"Timeout": 10, **options},
        )
        made.append(name)
        return name

    return make


@pytest.fixture(scope="session")
def fast_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A cloud whose services' waits last a sixtieth; tests choose names of their own in it."""
    cloud = start_local_cloud(tmp_path_factory.mktemp("fast") / "state", "--clock", "60")
    yield cloud
    cloud.stop()


@pytest.fixture
def make_function(local_cloud: LocalCloud) -> Iterator[MakeFunction]:
    """`make_function(source, Timeout=…)` → name; deleted after the test."""
    made: list[str] = []
    yield function_maker(local_cloud, made)
    client = local_cloud.client("lambda")
    for mapping in client.list_event_source_mappings()["EventSourceMappings"]:
        if mapping["FunctionArn"].rpartition(":")[2] in made:
            client.delete_event_source_mapping(UUID=mapping["UUID"])
    for name in made:
        local_cloud.client("lambda").delete_function(FunctionName=name)
