"""The one entry point of every job: `entry.py --step check_data|train|evaluate`.

It runs the step in a process of its own and watches it, because a project's code may do
anything: raise, hang in C code, end the process, be killed for its memory, print without end.
Whatever happens, /opt/ml/output/failure says what, and what to do. Standard library only, on
Python 3.10, since it also installs what the step needs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from pathlib import Path
from types import FrameType
from typing import IO

ROOT = Path(__file__).resolve().parent
if (ROOT / "paths.py").exists():
    ROOT = ROOT.parent  # run as jobs/entry.py, from a checkout
sys.path.insert(0, str(ROOT))

from jobs import environment  # noqa: E402
from jobs.failures import JobError, failure_text, read_failure  # noqa: E402
from jobs.paths import STEPS, Paths  # noqa: E402

LOG_LIMIT = 1 << 20
LAST_LINES = 30
METRIC = re.compile(rb"([A-Za-z_][\w.:=<>+-]*=[0-9.einf+-]+; ?)+")
#: Steps whose limits stand in a section of their own in the settings.
OWN_SECTIONS = ("train", "monitor")
KILL_AFTER = 20.0
STACK_WAIT = 2.0


class Watched:
    """The child process of a step: its output, its time limit, its end."""

    def __init__(self, step: str, paths: Paths, packages: Path | None, workspace: Path) -> None:
        self.step = step
        self.workspace = workspace
        self.stopped = False
        self.timed_out = False
        self.limit = time_limit(paths.settings(step), step)
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "jobs.run_step", step],
            cwd=workspace,
            env=child_environment(packages, workspace),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self) -> int:
        """Pass the output on until the child ends, and return its exit code."""
        timer = threading.Timer(self.limit, self.expire) if self.limit else None
        if timer:
            timer.daemon = True
            timer.start()
        signal.signal(signal.SIGTERM, self.stop)
        if self.process.stdout is not None:
            forward(self.process.stdout, sys.stdout.buffer)
        code = self.process.wait()
        if timer:
            timer.cancel()
        return code

    def stop(self, _signal: int, _frame: FrameType | None) -> None:
        """The platform asks the job to end: hand it on, and insist after a while."""
        self.stopped = True
        self.send(signal.SIGTERM)
        insist = threading.Timer(KILL_AFTER, self.send, [signal.SIGKILL])
        insist.daemon = True
        insist.start()

    def expire(self) -> None:
        """The time is up: ask where the child is, then end it."""
        self.timed_out = True
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.kill(self.process.pid, signal.SIGUSR1)
            self.process.wait(STACK_WAIT)
        self.send(signal.SIGKILL)

    def send(self, number: int) -> None:
        """Signal the child and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def reason(self, code: int) -> str:
        """Why the child failed, in words."""
        doing = _read(self.workspace / "doing") or f"step {self.step}"
        if self.timed_out:
            place = last_place(_read(self.workspace / "stack"))
            return failure_text(
                "ModelError" if "model.py" in doing else "TimeLimit",
                f"{doing} did not end within its time limit ({self.limit:.0f} s){place}. "
                f"Make it faster, or raise {limit_key(self.step)} in model.yaml.",
            )
        if self.stopped:
            return failure_text("Stopped", f"the job was stopped during {doing}.")
        left = read_failure(self.workspace / "failure")
        if left:
            return left
        if code == -signal.SIGKILL:
            return failure_text(
                "ModelError" if "model.py" in doing else "OutOfMemory",
                f"the process was killed during {doing}, most likely for its memory. "
                "Use a larger instance, or less data at a time.",
            )
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return failure_text(
            "ModelError",
            f"{doing} ended the process itself ({how}) instead of returning. "
            "Take os._exit and the like out of the project's code; the log has its last lines.",
        )


def time_limit(settings: Path, step: str) -> float:
    """Seconds that the step may take: a little less than the job, to tell why it ended; 0: none.

    Settings that cannot be read give no limit; the step itself then says what is wrong.
    """
    try:
        document = json.loads(settings.read_text())
        section = document[step] if step in OWN_SECTIONS else document["jobs"][step]
        seconds = float(section["max_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0
    return max(seconds - max(STACK_WAIT + 1, min(seconds * 0.05, 30)), seconds * 0.5)


def limit_key(step: str) -> str:
    """The key in model.yaml that holds a step's time limit."""
    return f"{step}.max_seconds" if step in OWN_SECTIONS else f"jobs.{step}.max_seconds"


def child_environment(packages: Path | None, workspace: Path) -> dict[str, str]:
    """The environment of the step: our packages first, hashes of text the same every time."""
    path = [str(packages)] if packages else []
    path += [str(ROOT), os.environ.get("PYTHONPATH", "")]
    if (ROOT / "layers" / "core").is_dir():
        path.append(str(ROOT / "layers" / "core"))  # a checkout keeps perennial there
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(part for part in path if part),
        "PYTHONHASHSEED": "0",
        "PERENNIAL_CODE_ROOT": str(ROOT),
        "PERENNIAL_WORKSPACE": str(workspace),
    }


def forward(source: IO[bytes], sink: IO[bytes]) -> None:
    """Copy the output line by line; beyond 1 MiB only figures, and the last lines at the end."""
    written = dropped = 0
    last: deque[bytes] = deque(maxlen=LAST_LINES)
    # A limit per line bounds memory when somebody prints megabytes without a line's end.
    while line := source.readline(1 << 16):
        if written < LOG_LIMIT or METRIC.fullmatch(line.strip()):
            sink.write(line)
            written += len(line)
        else:
            if not dropped:
                sink.write(
                    b"\nperennial: more than 1 MiB of output; from here on only figures and the "
                    b"last lines are logged\n"
                )
            dropped += len(line)
            last.append(line[:1000])
        sink.flush()
    if dropped:
        sink.write(f"perennial: left out {dropped:,} bytes; the last lines were:\n".encode())
        sink.writelines(line if line.endswith(b"\n") else line + b"\n" for line in last)
        sink.flush()


def last_place(stack: str) -> str:
    """The innermost line of the project's own code in a dump of faulthandler, in words."""
    for line in stack.splitlines():
        match = re.search(r'File ".*/project/([^"]+)", line (\d+) in (\S+)', line)
        if match:
            return f"; it was at {match[1]} line {match[2]}, in {match[3]}"
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def report(paths: Paths, text: str, *, failed: bool) -> None:
    """Leave the job's last words where SageMaker looks for them."""
    paths.message.parent.mkdir(parents=True, exist_ok=True)
    words = text.encode()[:1000].decode(errors="ignore")
    paths.message.write_text(words, encoding="utf-8")
    if failed:
        paths.failure.write_text(words, encoding="utf-8")
        print(words, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run one step; the exit code is the job's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", choices=STEPS, required=True)
    step = parser.parse_known_args(arguments)[0].step
    paths = Paths.of_environment()
    with tempfile.TemporaryDirectory(prefix="perennial-") as folder:
        workspace = Path(folder)
        try:
            packages = environment.ensure(requirements_root())
        except JobError as error:
            report(paths, failure_text(type(error).__name__, str(error)), failed=True)
            return 1
        watched = Watched(step, paths, packages, workspace)
        code = watched.run()
        message = _read(workspace / "message")
        # Without the message the step did not come to its end, whatever the exit code says.
        if code == 0 and message:
            report(paths, message, failed=False)
            return 0
        report(paths, watched.reason(code), failed=True)
        return 1


def requirements_root() -> Path:
    """The folder of requirements.txt: the packed archive's root, or jobs/ of a checkout."""
    return ROOT if (ROOT / "requirements.txt").exists() else ROOT / "jobs"


if __name__ == "__main__":
    sys.exit(main())
