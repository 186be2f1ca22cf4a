"""What orchestration adds to the jobs themselves: claim to registered ÷ the same jobs run bare.

    .venv/bin/python -m bench.orchestration

One judged run of census on the whole Adult training data, from the opening of its row to its end
(the second and later ones meet a champion), beside the same jobs started the same way (the local
cloud's container launcher, same inputs, the same ones side by side) without queue, ledger, machine,
registry or S3 in between; and beside one plain script that checks, trains and evaluates in one
process. Nothing is reused.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3

from bench.common import ROOT, fetch_csv, perennial, perennial_json, report, run, running_stack

MODEL = "census"
PARTS = 4
REPEATS = 3


def land(folder: Path) -> list[Path]:
    """Cut the training data into files and land them."""
    rows = fetch_csv(MODEL)
    files = []
    for part in range(PARTS):
        file = folder / f"adult-{part}.csv"
        file.write_text("\n".join([rows[0], *rows[1 + part :: PARTS]]) + "\n")
        files.append(file)
    perennial("land", MODEL, *map(str, files))
    return files


def follow(number: int) -> dict[str, Any]:
    """Wait for a run's end; what the ledger says of it."""
    while True:
        runs = perennial_json("runs", MODEL)
        for row in runs:
            if row["number"] == number and row["outcome"]:
                found: dict[str, Any] = perennial_json("run", "show", MODEL, str(number))
                return found
        time.sleep(0.3)


def job_seconds(prefix: str) -> float:
    """Seconds that the run's jobs took by SageMaker's own times, one after the other."""
    sagemaker = boto3.client("sagemaker")
    total = 0.0
    for summary in sagemaker.list_processing_jobs(NameContains=prefix)["ProcessingJobSummaries"]:
        job = sagemaker.describe_processing_job(ProcessingJobName=summary["ProcessingJobName"])
        total += (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds()
    for summary in sagemaker.list_training_jobs(NameContains=prefix)["TrainingJobSummaries"]:
        job = sagemaker.describe_training_job(TrainingJobName=summary["TrainingJobName"])
        total += (job["TrainingEndTime"] - job["TrainingStartTime"]).total_seconds()
    return total


def bare_seconds(prefix: str, image: Path) -> float:
    """Run the same jobs bare: same processes in the same containers, inputs already in place."""
    done = run(sys.executable, "-m", "bench.bare_jobs", str(image), prefix)
    return float(done.strip().splitlines()[-1])


def plain_seconds(jobs_python: Path, files: list[Path]) -> float:
    """Seconds of one plain script that reads, prepares, trains and evaluates the same data."""
    command = (str(jobs_python), "-m", "jobs.check_project", f"models/{MODEL}", *map(str, files))
    started = time.perf_counter()
    subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'layers/core'}", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return time.perf_counter() - started


def main() -> None:
    """Print the ratios of a few runs' medians."""
    whole, bare, by_service, plain = [], [], [], []
    with tempfile.TemporaryDirectory() as folder, running_stack():
        perennial(
            "push", str(ROOT / "models" / MODEL),
            "--set", "triggers.quiet_period=1s", "--set", "triggers.cool_down=0s",
            "--set", "triggers.max_runs_per_day=100", "--set", "reuse=0s",
        )  # fmt: skip
        files = land(Path(folder))
        jobs_python = next((ROOT / ".local" / "envs").glob("jobs-*/bin/python"))
        for number in range(1, REPEATS + 1):
            if number > 1:
                perennial("retrain", MODEL, "--because", "the benchmark repeats it")
            shown = follow(number)
            row = shown
            if number == 1:
                perennial("approve", MODEL, "1", "--because", "the others are to meet it")
            whole.append((row["ended_ms"] - row["opened_ms"]) / 1000)
            by_service.append(job_seconds(f"{MODEL}-{number}-"))
            bare.append(bare_seconds(f"perennial-{MODEL}-{number}", jobs_python.parents[1]))
            plain.append(plain_seconds(jobs_python, files))
    middle = statistics.median
    report("claim to registered", middle(whole), "the same jobs bare", middle(bare), aim=1.25)
    report("the same jobs bare", middle(bare), "one plain script", middle(plain))
    report("claim to registered", middle(whole), "the jobs' own times, summed", middle(by_service))


if __name__ == "__main__":
    main()
