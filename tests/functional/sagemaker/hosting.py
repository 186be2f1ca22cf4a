"""Endpoints for tests: tiny models whose answers name them, and waits for statuses."""

import contextlib
import io
import shutil
import tarfile
import textwrap
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.functional.conftest import REPOSITORY
from tests.functional.sagemaker.conftest import IMAGE, Jobs

# A model's answer is its word and what it was sent; the word lies in its artifact.
ECHO = """
    import json, os, pathlib

    def model_fn(folder):
        return pathlib.Path(folder, "word.txt").read_text()

    def transform_fn(model, body, content_type, accept):
        text = body if isinstance(body, str) else bytes(body).decode()
        return json.dumps({"word": model, "sent": text, "pid": os.getpid()}), "application/json"
"""
BAD_INPUT = """
    import os, time

    def model_fn(folder):
        return None

    def transform_fn(model, body, content_type, accept):
        text = body if isinstance(body, str) else bytes(body).decode()
        if text == "crash":
            os.kill(os.getppid(), 9)
            time.sleep(5)
        if text == "sleep":
            time.sleep(30)
        raise ValueError("cannot read " + text)
"""
NEVER_READY = """
    import time

    def model_fn(folder):
        time.sleep(600)

    def transform_fn(model, body, content_type, accept):
        return ""
"""
AT_REST = ("InService", "Failed", "UpdateRollbackFailed")


class Hosting(Jobs):
    """Shorthand for models, endpoints and invocations of one cloud."""

    def __init__(self, cloud: Any) -> None:
        super().__init__(cloud)
        self.runtime = cloud.client("sagemaker-runtime")
        self.patient = cloud.client(
            "sagemaker-runtime",
            config=Config(max_pool_connections=64, retries={"total_max_attempts": 1}),
        )

    def archive(self, files: dict[str, str]) -> bytes:
        """A model.tar.gz of these files."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, text in files.items():
                raw = textwrap.dedent(text).encode()
                member = tarfile.TarInfo(name)
                member.size = len(raw)
                tar.addfile(member, io.BytesIO(raw))
        return packed.getvalue()

    def container(self, word: str = "blue", script: str = ECHO, **environment: str) -> Any:
        """A container definition: its artifact holds the word, its code is the script."""
        artifact = self.put(
            f"models/{uuid.uuid4().hex}/model.tar.gz", self.archive({"word.txt": word})
        )
        code = self.code("", **{"inference.py": textwrap.dedent(script)})
        return {
            "Image": IMAGE,
            "ModelDataUrl": artifact,
            "Environment": {
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": code,
                "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
                **environment,
            },
        }

    def model(self, word: str = "blue", script: str = ECHO, **more: Any) -> str:
        """Create a model; its name."""
        name = self.name(f"model-{word}")
        container = more.pop("container", None) or self.container(word, script)
        self.sagemaker.create_model(
            ModelName=name, PrimaryContainer=container, ExecutionRoleArn=self.role, **more
        )
        return name

    def variant(self, model: str, name: str = "main", count: int = 1, **more: Any) -> Any:
        """A production variant."""
        return {
            "VariantName": name,
            "ModelName": model,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": count,
            **more,
        }

    def config(self, *variants: Any, **more: Any) -> str:
        """Create an endpoint configuration; its name."""
        name: str = more.pop("EndpointConfigName", None) or self.name("config")
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=list(variants), **more
        )
        return name

    def endpoint(self, config: str, *, wait: bool = True, **more: Any) -> str:
        """Create an endpoint and wait until it is in service; its name."""
        name = self.name("endpoint")
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, **more)
        if wait:
            found = self.settle(name)
            assert found["EndpointStatus"] == "InService", found.get("FailureReason")
        return name

    def serve(self, word: str = "blue", script: str = ECHO, count: int = 1, **more: Any) -> str:
        """A whole endpoint with one variant `main`; its name."""
        return self.endpoint(
            self.config(self.variant(self.model(word, script), count=count), **more)
        )

    def look(self, name: str) -> Any:
        """DescribeEndpoint."""
        return self.sagemaker.describe_endpoint(EndpointName=name)

    def settle(self, name: str, seconds: float = 60) -> Any:
        """Wait until nothing changes the endpoint; its description."""
        return self.until(
            lambda: self.look(name), lambda found: found["EndpointStatus"] in AT_REST, seconds
        )

    def until(self, ask: Any, good: Any, seconds: float = 30) -> Any:
        """Ask again and again until the answer is good."""
        end = time.monotonic() + seconds
        while True:
            found = ask()
            if good(found):
                return found
            assert time.monotonic() < end, f"after {seconds} s: {found}"
            time.sleep(0.02)

    def invoke(self, name: str, body: bytes | str = "1", **more: Any) -> Any:
        """InvokeEndpoint with a text."""
        more.setdefault("ContentType", "text/csv")
        return self.runtime.invoke_endpoint(EndpointName=name, Body=body, **more)

    def remove(self, name: str) -> None:
        """Delete an endpoint and wait until it is gone."""
        self.sagemaker.delete_endpoint(EndpointName=name)
        self.until(
            lambda: self.sagemaker.list_endpoints(NameContains=name)["Endpoints"],
            lambda found: not found,
        )

    def processes(self, name: str) -> list[int]:
        """The processes that serve this endpoint: those that were started in its folders."""
        return [pid for pid in _pids() if f"endpoint-{name}-" in _command(pid)]


def refused(call: Any, words: str, code: str = "ValidationException") -> None:
    """The call fails with this code and these words."""
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert words in error["Message"], error


@contextlib.contextmanager
def own_image(program: str) -> Iterator[str]:
    """The address of an image for which a folder with this program as `serve` stands in."""
    name = f"test-image-{uuid.uuid4().hex[:8]}"
    folder = REPOSITORY / ".local" / "images" / name
    folder.mkdir(parents=True)
    (folder / "serve").write_text(program)
    (folder / "serve").chmod(0o755)
    yield f"111122223333.dkr.ecr.eu-west-1.amazonaws.com/{name}:1"
    shutil.rmtree(folder)


def _pids() -> list[int]:
    import os

    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
