"""Runs one step in the process that `entry` watches: `python -m jobs.run_step train`."""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from perennial.domain.settings import Settings, SettingsInvalid, parse_settings

from jobs.failures import JobError, SettingsError, write_failure
from jobs.paths import Paths

PR_SET_PDEATHSIG = 1


def main() -> int:
    """Run the step named on the command line; 0 when it is done."""
    _die_with_parent()
    step = sys.argv[1]
    workspace = Path(os.environ["PERENNIAL_WORKSPACE"])
    with (workspace / "stack").open("w") as stack:
        faulthandler.register(signal.SIGUSR1, stack)
        try:
            settings = read_settings(Paths.of_environment().settings(step))
            words = importlib.import_module(f"jobs.{step}").run(Paths.of_environment(), settings)
        except JobError as error:
            write_failure(workspace / "failure", type(error).__name__, str(error))
            return 1
        except Exception as error:
            traceback.print_exc()
            write_failure(
                workspace / "failure",
                "JobFault",
                f"{step} failed of a fault of its own: {type(error).__name__}: {error}",
            )
            return 1
    (workspace / "message").write_text(words)
    return 0


def _die_with_parent() -> None:
    """Ask Linux to end this process with the one that watches it, however that one dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def read_json(path: Path) -> Any:
    """A JSON input of the job; raises `SettingsError` when it is missing or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise SettingsError(f"the job has no input {path.name} at {path}") from None
    except ValueError as error:
        raise SettingsError(f"the input {path.name} is no JSON: {error}") from None


def read_settings(path: Path) -> Settings:
    """The run's effective settings; they name their model themselves."""
    document = read_json(path)
    project = str(document.get("project", "model")) if isinstance(document, dict) else "model"
    try:
        return parse_settings(document, project=project, file="settings.json")
    except SettingsInvalid as error:
        raise SettingsError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
