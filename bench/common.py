"""What every benchmark shares: timing, printing a figure beside its yardstick, a running stack."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / ".venv" / "bin"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def timed(work: Callable[[], Any], repeats: int = 1) -> float:
    """Return the median seconds that the work takes."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def report(
    what: str, figure: float, yardstick: str, beside: float, *, aim: float | None = None
) -> None:
    """Print one line: the figure, its yardstick, their ratio, and the aim where there is one."""
    ratio = figure / beside if beside else float("nan")
    aimed = "" if aim is None else f"  (aim: at most {aim}: {'met' if ratio <= aim else 'MISSED'})"
    print(
        f"{what}: {figure:.3f} s; {yardstick}: {beside:.3f} s; ratio {ratio:.2f}{aimed}", flush=True
    )


def run(*command: str, env: dict[str, str] | None = None, **more: Any) -> str:
    """Run a command, return what it printed, and end the benchmark with its output if it fails."""
    whole = {**os.environ, **(env or {})}
    done = subprocess.run(
        command, env=whole, text=True, capture_output=True, cwd=ROOT, check=False, **more
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout


def perennial(*arguments: str) -> str:
    """Call the command line as a user would."""
    return run(str(BIN / "perennial"), *arguments)


def perennial_json(*arguments: str) -> Any:
    """Call the command line and parse its JSON answer."""
    return json.loads(perennial(*arguments, "--json"))


@contextmanager
def empty_cloud(*options: str) -> Iterator[dict[str, str]]:
    """Start an empty local cloud for this process and its children; stop it at the end.

    It keeps its state apart and takes a port of its own, so that one in use goes on undisturbed.
    """
    with tempfile.TemporaryDirectory(prefix="perennial-bench-") as folder:
        port = os.environ.get("PERENNIAL_BENCH_PORT", "4799")
        os.environ["PERENNIAL_STATE"] = str(Path(folder) / "state")
        perennial("up", "--port", port, *options)
        try:
            os.environ.update(perennial_json("env"))
            yield dict(os.environ)
        finally:
            perennial("down")


@contextmanager
def running_stack() -> Iterator[dict[str, str]]:
    """Start a local cloud with the real template deployed; stop it at the end."""
    with empty_cloud("--deploy") as environment:
        yield environment


def control(method: str, path: str, body: object = None) -> Any:
    """Ask the local cloud's control API (faults, journal)."""
    record = json.loads((Path(os.environ["PERENNIAL_STATE"]) / "cloud.json").read_text())
    request = urllib.request.Request(
        f"{record['endpoint']}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Perennial-Token": record["token"]},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def fetch_csv(dataset: str) -> list[str]:
    """Lines of the dataset's first table, header first, as `perennial fetch-data` writes it."""
    with tempfile.TemporaryDirectory() as folder:
        perennial("fetch-data", dataset, "--to", folder)
        files = sorted(Path(folder).glob("*.csv"), key=lambda f: ("train" not in f.name, f.name))
        return files[0].read_text().splitlines()
