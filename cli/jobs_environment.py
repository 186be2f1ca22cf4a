"""The environment of the jobs on this machine: exactly jobs/requirements.txt, made once.

It is the one that the local cloud uses too (`.local/envs/jobs-<digest of the requirements>`), so
that `perennial check` runs what a job runs; whoever needs it first makes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cli.errors import CommandError
from cli.local_cloud import ROOT

ENVIRONMENTS = ROOT / ".local" / "envs"


def jobs_python(project: Path, tell: Callable[[str], None]) -> Path:
    """The interpreter of the jobs' environment, with the project's own requirements over it."""
    base = (ROOT / "jobs" / "requirements.txt").read_text(encoding="utf-8")
    own = project / "requirements.txt"
    extra = own.read_text(encoding="utf-8") if own.is_file() else ""
    adds = not _lines(extra) <= _lines(base)
    wanted = f"{base}\n# the job's own\n{extra}" if adds else base
    place = ENVIRONMENTS / f"jobs-{hashlib.sha256(wanted.encode()).hexdigest()[:16]}"
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a local cloud may be making it at this moment
        if not _is_ready(place):
            tell("making the environment of the jobs (once)")
            _make(place, [base, extra] if adds else [base])
    return place / "bin" / "python"


def _make(place: Path, requirements: Sequence[str]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    uv = _uv()
    python = str(place / "bin" / "python")
    if uv:
        _run([uv, "venv", "--quiet", "--seed", "--python", sys.executable, str(place)])
    else:
        _run([sys.executable, "-m", "venv", str(place)])
    for text in requirements:
        file = place / "requirements.txt"
        file.write_text(text, encoding="utf-8")
        if uv:
            options = ["pip", "install", "--quiet", "--compile-bytecode", "--python", python]
            _run([uv, *options, "-r", str(file)])
        else:
            _run([python, "-m", "pip", "install", "--quiet", "-r", str(file)])
        file.unlink()
    (place / ".done").write_text(_version(), encoding="utf-8")


def _uv() -> str | None:
    own = ROOT / ".tools" / "uv" / "bin" / "uv"
    return str(own) if own.exists() else shutil.which("uv")


def _run(arguments: Sequence[str]) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in {"PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV"}
    }
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip()[-800:]
        raise CommandError(
            f"The environment of the jobs could not be made: {tail}",
            "It needs a Python package index; try again with a network.",
        )


def _is_ready(place: Path) -> bool:
    done = place / ".done"
    return done.is_file() and done.read_text(encoding="utf-8").strip() == _version()


def _version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _lines(text: str) -> set[str]:
    stripped = (line.split("#")[0].strip().rstrip("\\").strip() for line in text.splitlines())
    return {line for line in stripped if line and not line.startswith("--hash")}
