"""The Python environment of Lambda workers: what AWS's runtime brings, and nothing else."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

log = logging.getLogger(__name__)
WANTED = (3, 13)


class EnvironmentBuildError(RuntimeError):
    """The worker environment could not be installed."""


def _version(python: str) -> tuple[int, int, int] | None:
    """The version of an interpreter that really runs; None for a shim that fails."""
    try:
        answer = subprocess.run(
            [python, "-I", "-c", "import sys; print(*sys.version_info[:3])"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout.split()
        major, minor, micro = (int(part) for part in answer)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return major, minor, micro


def choose_python() -> tuple[str, str]:
    """The interpreter for workers and its version: python3.13 where one runs, else our own."""
    found = shutil.which("python3.13")
    if found:
        version = _version(found)
        if version is not None and version[:2] == WANTED:
            return found, ".".join(map(str, version))
    base = getattr(sys, "_base_executable", None) or sys.executable
    return base, ".".join(map(str, sys.version_info[:3]))


def find_uv(repository: Path) -> str | None:
    """uv, from the project's tools or from PATH."""
    own = repository / ".tools" / "uv" / "bin" / "uv"
    return str(own) if own.exists() else shutil.which("uv")


class WorkerEnvironment:
    """A venv made once per content of the requirements and interpreter; kept between starts."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._requirements = repository / "local" / "lambda-requirements.txt"
        self.base, self.version = choose_python()
        material = self._requirements.read_bytes() + f"{self.base} {self.version}".encode()
        digest = hashlib.sha256(material).hexdigest()[:16]
        self.folder = repository / ".local" / "envs" / f"lambda-{digest}"
        self._lock = threading.Lock()
        self._error = ""

    @property
    def stands_in(self) -> bool:
        """Whether another Python stands in for python3.13."""
        return not self.version.startswith("3.13.")

    def python(self) -> Path:
        """The worker interpreter; builds the environment at the first call.

        Raises `EnvironmentBuildError` with the installer's own words if it cannot be built.
        """
        with self._lock:
            if self._error:
                raise EnvironmentBuildError(self._error)
            if not (self.folder / ".done").exists():
                try:
                    self._build()
                except (OSError, subprocess.CalledProcessError) as error:
                    words = getattr(error, "stderr", "") or str(error)
                    self._error = f"the environment of Lambda workers cannot be built: {words}"
                    raise EnvironmentBuildError(self._error) from error
        return self.folder / "bin" / "python"

    def _build(self) -> None:
        draft = self.folder.with_name(f"{self.folder.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.parent.mkdir(parents=True, exist_ok=True)
        uv = find_uv(self._repository)
        python = draft / "bin" / "python"
        if uv:
            self._run([uv, "venv", "--quiet", "--python", self.base, str(draft)])
            install = [
                uv,
                "pip",
                "install",
                "--quiet",
                "--compile-bytecode",
                "--python",
                str(python),
            ]
        else:
            self._run([self.base, "-m", "venv", str(draft)])
            install = [str(python), "-m", "pip", "install", "--quiet"]
        self._run([*install, "-r", str(self._requirements)])
        (draft / ".done").touch()
        try:
            draft.rename(self.folder)
        except OSError:
            if not (self.folder / ".done").exists():  # half built by one that was killed
                shutil.rmtree(self.folder, ignore_errors=True)
                draft.rename(self.folder)
            else:  # another cloud was faster
                shutil.rmtree(draft, ignore_errors=True)

    def _run(self, command: list[str]) -> None:
        kept = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
        environment = {**kept, "UV_PYTHON_DOWNLOADS": "never"}
        log.info("running %s", " ".join(command))
        subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
