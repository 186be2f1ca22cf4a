"""Run the jobs of a finished run again, bare: their processes and nothing around them.

The same launcher, environment, thread caps and inputs as the local cloud gives them; no queue, no
ledger, no machine, no uploads. Inputs are fetched before the clock starts. Used by
`orchestration.py`.
"""

from __future__ import annotations

import json
import marshal
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.images import base_environment
from local.sagemaker.container.process import LAUNCHER


def fetch(uri: str, folder: Path) -> None:
    """Copy an object, or everything below a prefix, into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = urlsplit(uri)
    s3, prefix = boto3.client("s3"), parts.path.lstrip("/")
    for item in s3.list_objects_v2(Bucket=parts.netloc, Prefix=prefix).get("Contents", []):
        name = item["Key"][len(prefix) :].lstrip("/") or Path(item["Key"]).name
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(parts.netloc, item["Key"], str(target))


def run_bare(folder: JobFolder, argv: list[str], env: dict[str, str], image: Path) -> float:
    """Start the job as the local cloud does and wait; its seconds."""
    spec = {
        "isolation": "mount", "parent": os.getpid(), "opt_ml": str(folder.ml),
        "stage": str(folder.root / "stage"), "layer": str(folder.root / "layer"),
        "image": str(image), "network": True, "argv": argv, "cwd": "/opt/ml",
        "env": {**base_environment(image, folder.scratch), **env},
    }  # fmt: skip
    path = folder.root / "launch.spec"
    path.write_bytes(marshal.dumps(spec))
    command = (os.path.realpath(sys.executable), "-I", "-S", str(LAUNCHER), str(path))
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"the bare job failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return seconds


def aws_environment() -> dict[str, str]:
    """What lets check_data read the landed objects, and the job's fair share of the cores."""
    cores = str(len(os.sched_getaffinity(0)))
    passed = {n: v for n, v in os.environ.items() if n.startswith("AWS_")}
    return {**passed, "SM_NUM_CPUS": cores, "OMP_NUM_THREADS": cores}


def processing(job: dict[str, Any], image: Path, place: Path) -> float:
    """Run a processing job bare."""
    folder = JobFolder(place, private=True)
    folder.make("/opt/ml/output")
    for entry in job["ProcessingInputs"]:
        fetch(entry["S3Input"]["S3Uri"], folder.make(entry["S3Input"]["LocalPath"]))
    for output in job["ProcessingOutputConfig"]["Outputs"]:
        folder.make(output["S3Output"]["LocalPath"])
    spec = job["AppSpecification"]
    argv = [*spec["ContainerEntrypoint"], *spec.get("ContainerArguments", [])]
    return run_bare(folder, argv, {**aws_environment(), **job.get("Environment", {})}, image)


def training(job: dict[str, Any], image: Path, place: Path) -> float:
    """Run a training job bare, in script mode."""
    folder = JobFolder(place, private=True)
    for name in ("model", "output/data", "input/config", "code"):
        folder.make(f"/opt/ml/{name}")
    for channel in job["InputDataConfig"]:
        source = channel["DataSource"]["S3DataSource"]["S3Uri"]
        fetch(source, folder.make(f"/opt/ml/input/data/{channel['ChannelName']}"))
    raw = job["HyperParameters"]
    (folder.ml / "input/config/hyperparameters.json").write_text(json.dumps(raw))
    fetch(json.loads(raw["sagemaker_submit_directory"]), place / "source")
    with tarfile.open(next((place / "source").iterdir())) as archive:
        archive.extractall(folder.ml / "code", filter="data")
    argv = ["python3", "/opt/ml/code/entry.py", "--step", "train"]
    env = {**aws_environment(), **job.get("Environment", {}), "SM_MODEL_DIR": "/opt/ml/model"}
    return run_bare(folder, argv, env, image)


#: The steps of a run: one after the other, those of one line side by side, as the machine has them.
PHASES = (
    ("check-data",),
    ("train",),
    ("evaluate", "evaluate-champion"),
    ("compare", "measure-bias", "explain"),
    ("baseline",),
)


def described(prefix: str, step: str) -> dict[str, Any] | None:
    """A job of the run as SageMaker describes it; None if the run had no such job."""
    sagemaker, name = boto3.client("sagemaker"), f"{prefix}-{step}-0"
    try:
        if step == "train":
            return sagemaker.describe_training_job(TrainingJobName=name)
        return sagemaker.describe_processing_job(ProcessingJobName=name)
    except sagemaker.exceptions.ClientError as error:
        if "Could not find" in str(error) or "not found" in str(error).lower():
            return None
        raise


def main(image: Path, prefix: str) -> None:
    """Print each phase's bare seconds, and their sum last."""
    seconds = []
    for phase in PHASES:
        jobs = {step: job for step in phase if (job := described(prefix, step)) is not None}
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(3) as pool:

            def one(step: str, root: Path = Path(folder), jobs: Any = jobs) -> float:
                run = training if step == "train" else processing
                return run(jobs[step], image, root / step)

            # Inputs are fetched before a job's clock starts, so the slowest one is the phase.
            seconds.append(max(pool.map(one, jobs), default=0.0))
    for each in (*seconds, sum(seconds)):
        print(f"{each:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
