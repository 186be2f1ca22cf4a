"""Start, watch and end one job's process."""

import marshal
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from local.cloud import Cloud
from local.sagemaker.container.folders import JobFolder

LAUNCHER = Path(__file__).with_name("launcher.py")
LAUNCHER_FAILED = 125


@dataclass(frozen=True)
class Isolation:
    """What this machine lets an unprivileged process do; `why_not` explains a refusal."""

    mounts: bool
    why_not: str = ""


@dataclass(frozen=True)
class Command:
    """What to run: arguments, environment and working folder, with paths as the job sees them."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    cwd: str
    image: Path | None = None
    network: bool = True


class JobProcess:
    """A running job. `output` carries its standard output and error as one stream."""

    def __init__(self, cloud: Cloud, folder: JobFolder, command: Command) -> None:
        self._cloud = cloud
        spec = {
            "isolation": "mount" if folder.private else "paths",
            "parent": os.getpid(),
            "opt_ml": str(folder.ml),
            "stage": str(folder.root / "stage"),
            "layer": str(folder.root / "layer"),
            "image": str(command.image) if command.image else "",
            "network": command.network,
            "argv": [folder.as_seen(text) for text in command.argv],
            "env": {name: folder.as_seen(text) for name, text in command.environment.items()},
            "cwd": folder.as_seen(command.cwd),
        }
        path = folder.root / "launch.spec"
        path.write_bytes(marshal.dumps(spec))
        path.chmod(0o600)
        # The interpreter itself, not the environment's link to it: -I -S needs no site at all.
        python = os.path.realpath(sys.executable)
        self._child = cloud.spawn(
            [python, "-I", "-S", str(LAUNCHER), str(path)],
            env={"PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if self._child.stdout is None:
            raise RuntimeError("the job has no output stream")
        self.output: IO[bytes] = self._child.stdout

    @property
    def pid(self) -> int:
        """The launcher's process; the job is in its session."""
        return self._child.pid

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; raises `subprocess.TimeoutExpired` when it takes longer (real seconds)."""
        return self._child.wait(timeout)

    def terminate(self) -> None:
        """Ask the job to end (SIGTERM)."""
        self._child.terminate()

    def kill(self) -> None:
        """End the job and all that it started, now."""
        self._cloud.processes.kill(self._child)

    def forget(self) -> None:
        """The job has ended: sweep up and drop it from the books."""
        self._cloud.processes.forget(self._child)
        self.output.close()


def probe_isolation(cloud: Cloud) -> Isolation:
    """Run one tiny job in namespaces and see whether it finds its own `/opt/ml`."""
    with tempfile.TemporaryDirectory(dir=cloud.state_dir, prefix="probe-") as place:
        folder = JobFolder(Path(place) / "job", private=True)
        (folder.ml / "mark").write_text("here\n", encoding="utf-8")
        command = Command(["/bin/cat", "/opt/ml/mark"], {"PATH": "/usr/bin:/bin"}, "/opt/ml")
        process = JobProcess(cloud, folder, command)
        output = process.output.read().decode("utf-8", "replace").strip()
        code = process.wait()
        process.forget()
        folder.remove()
    if code == 0 and output.endswith("here"):
        return Isolation(mounts=True)
    return Isolation(mounts=False, why_not=output.removeprefix("[local cloud] ") or f"exit {code}")
