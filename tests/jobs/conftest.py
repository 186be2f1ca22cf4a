"""Runs the jobs as SageMaker would: packed code, /opt/ml below a folder, S3 in a thread."""

from __future__ import annotations

import atexit
import functools
import gzip
import io
import json
import os
import select
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer
from perennial.domain.settings import Settings, apply_overrides, parse_settings
from perennial.pack_project import pack_project

from local.sagemaker.container.images import KNOWN, Images

ROOT = Path(__file__).resolve().parents[2]
BUCKET = "landing"
LIMIT_S = 120
ADULT = (
    "age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,"
    "sex,capital_gain,capital_loss,hours_per_week,native_country,income"
)
ABALONE = "sex,length,diameter,height,whole_weight,shucked_weight,viscera_weight,shell_weight,rings"


@dataclass(frozen=True)
class Done:
    """A job that has ended."""

    code: int
    log: str
    base: Path

    @property
    def failure(self) -> str:
        """What SageMaker would show as FailureReason or ExitMessage."""
        return (self.base / "output" / "failure").read_text(encoding="utf-8")

    @property
    def message(self) -> str:
        """The exit message."""
        return (self.base / "output" / "message").read_text(encoding="utf-8")

    def output(self, name: str) -> Path:
        """A processing output's folder."""
        return self.base / "processing" / "output" / name

    def json(self, name: str) -> Any:
        """A JSON file below the outputs, like check/summary.json."""
        return json.loads((self.base / "processing/output" / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def jobs_python() -> Path:
    """The Python of an environment made from exactly jobs/requirements.txt."""
    return Images(ROOT).environment(KNOWN) / "bin" / "python"


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder with the genuine data."""
    folder = os.environ.get("PERENNIAL_DATA_MIRROR")
    assert folder, "set PERENNIAL_DATA_MIRROR to a folder with adult-train.csv.gz and the rest"
    return Path(folder)


@pytest.fixture(scope="session")
def adult(mirror: Path) -> str:
    """UCI Adult's training part with a header, its blanks and question marks as published."""
    return f"{ADULT}\n" + gzip.open(mirror / "adult-train.csv.gz", "rt").read()


@pytest.fixture(scope="session")
def abalone(mirror: Path) -> str:
    """UCI Abalone with a header."""
    return f"{ABALONE}\n" + (mirror / "abalone.csv").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def s3() -> Iterator[Any]:
    """A client of an S3 with one versioned bucket; its endpoint is in the environment."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
    client = boto3.client("s3", region_name="eu-west-1")
    client.create_bucket(
        Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield client
    server.stop()
    del os.environ["AWS_ENDPOINT_URL"]


def example(name: str) -> Path:
    """A project that model.py trains: an example, or for salary the least squares of the tests."""
    kept = ROOT / "tests/jobs/least_squares" / name
    return kept if kept.exists() else ROOT / "models" / name


def project_settings(folder: Path, **overrides: Any) -> Settings:
    """The settings of a project's model.yaml; `a__b` in a key stands for `a.b`."""
    document = yaml.safe_load((folder / "model.yaml").read_text(encoding="utf-8"))
    settings = parse_settings(document, project=folder.name)
    paths = {key.replace("__", "."): value for key, value in overrides.items()}
    return apply_overrides(settings, paths, scope="push")


class Warm:
    """A Python that has the jobs' libraries in memory, and forks each job: see `warm.py`."""

    def __init__(self, python: Path) -> None:
        self.process = subprocess.Popen(
            [python, str(ROOT / "tests/jobs/warm.py")],
            # As jobs/__init__.py says before a job imports LightGBM: here it is imported earlier.
            env={**os.environ, "PYTHONHASHSEED": "0", "OMP_WAIT_POLICY": "passive"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
        """Run one job; its exit code and its log."""
        with tempfile.NamedTemporaryFile() as output:
            job = {"argv": list(argv), "environment": dict(environment), "output": output.name}
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            print(json.dumps(job), file=self.process.stdin, flush=True)
            ready, _, _ = select.select([self.process.stdout], [], [], LIMIT_S)
            assert ready, f"the job did not end within {LIMIT_S} s: {argv}"
            answer = self.process.stdout.readline()
            return int(answer), output.read().decode(errors="replace")

    def end(self) -> None:
        """No further job; the process ends with its input."""
        self.process.communicate()


@functools.cache
def warm(python: Path) -> Warm:
    """The one warm Python of an environment."""
    found = Warm(python)
    atexit.register(found.end)
    return found


@dataclass(frozen=True)
class Workbench:
    """Makes and runs jobs of one project; those that are not warm start a Python of their own."""

    python: Path
    s3: Any
    folder: Path
    project: Path
    is_warm: bool = True

    def unpacked(self) -> Path:
        """The project's packed code, unpacked as a job finds it in /opt/ml/code."""
        train = project_settings(self.project).train
        packed = pack_project(self.project, algorithm=train.algorithm, image=train.image)
        code = self.folder / f"code-{packed.sha256[:16]}"
        if not code.exists():
            with tarfile.open(fileobj=io.BytesIO(packed.body)) as archive:
                archive.extractall(code, filter="data")
        return code

    def land(self, key: str, body: bytes) -> dict[str, Any]:
        """Put an object and answer its entry in a manifest."""
        answer = self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        return {
            "bucket": BUCKET,
            "key": key,
            "version_id": answer["VersionId"],
            "etag": answer["ETag"],
            "size": len(body),
            "last_modified_ms": time.time_ns() // 1_000_000,
        }

    def check(
        self, settings: Settings, entries: Sequence[Mapping[str, Any]], name: str = "check"
    ) -> Done:
        """Run a check_data job over some objects."""
        base = self._base(name, settings, "processing/input/settings")
        manifest = base / "processing/input/manifest"
        manifest.mkdir(parents=True)
        document = {"version": 1, "objects": list(entries)}
        (manifest / "manifest-0.json").write_text(json.dumps(document), encoding="utf-8")
        return self.run("check_data", base)

    def train(
        self,
        settings: Settings,
        checked: Done,
        name: str = "train",
        prepare: Callable[[], None] = lambda: None,
        **hyperparameters: str,
    ) -> Done:
        """Run a training job on what a check wrote; `prepare()` may add to its folder first."""
        base = self._base(name, settings, "input/data/settings")
        shutil.copytree(checked.output("training"), base / "input/data/training")
        shutil.copytree(checked.output("check"), base / "input/data/check")
        config = base / "input/config"
        config.mkdir(parents=True)
        given = {"step": '"train"', "sagemaker_program": '"entry.py"', **hyperparameters}
        (config / "hyperparameters.json").write_text(json.dumps(given), encoding="utf-8")
        prepare()
        return self.run("train", base)

    def evaluate(
        self, settings: Settings, checked: Done, trained: Done, name: str = "evaluate"
    ) -> Done:
        """Run an evaluation of a trained model on a check's holdout."""
        base = self._base(name, settings, "processing/input/settings")
        shutil.copytree(checked.output("holdout"), base / "processing/input/holdout")
        shutil.copytree(checked.output("check"), base / "processing/input/check")
        model = base / "processing/input/model"
        model.mkdir()
        with tarfile.open(model / "model.tar.gz", "w:gz") as archive:
            for path in sorted((trained.base / "model").iterdir()):
                archive.add(path, path.name)
        return self.run("evaluate", base)

    def run(self, step: str, base: Path, **environment: str) -> Done:
        """Run one step as its container would."""
        command = [str(self.unpacked() / "entry.py"), "--step", step]
        given = {**os.environ, "SAGEMAKER_BASE_DIR": str(base), **environment}
        if self.is_warm:
            return Done(*warm(self.python).run(command, given), base)
        found = subprocess.run(
            [self.python, *command],
            env=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
            check=False,
        )
        return Done(found.returncode, found.stdout.decode(errors="replace"), base)

    def _base(self, name: str, settings: Settings, place: str) -> Path:
        base = self.folder / name
        if base.exists():
            shutil.rmtree(base)
        (base / place).mkdir(parents=True)
        (base / place / "settings.json").write_text(
            json.dumps(settings.to_json(), sort_keys=True), encoding="utf-8"
        )
        return base


@pytest.fixture(scope="session")
def census(jobs_python: Path, s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """Jobs of the census model."""
    return Workbench(jobs_python, s3, tmp_path_factory.mktemp("census"), ROOT / "models/census")
