"""Run jobs by forking a Python that has the jobs' libraries in memory already.

A job's own work is small in these tests; importing pandas, pyarrow and LightGBM takes a second of
each. Started by the jobs' Python, this reads one line of JSON per job from its input, `argv`,
`environment` and the file for the `output`, and answers its exit code in a line. The job is what a
container starts, `entry.py` and the step that it watches in a process of its own; only both are
forked instead of started. Standard library only, but for what is preloaded.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import json
import os
import py_compile
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import IO, Any

PRELOADED = (
    *("numpy", "pandas", "pyarrow", "pyarrow.parquet", "lightgbm", "boto3", "yaml"),
    *("sklearn.linear_model", "sklearn.metrics", "sklearn.pipeline", "json", "tarfile", "zlib"),
)
STEP = ["-u", "-m", "jobs.run_step"]
#: Bytecode by source, of what every project is packed with.
COMPILED: dict[bytes, bytes] = {}
installed = functools.cache(metadata.version)
RealPopen = subprocess.Popen


class ForkedStep:
    """What `entry` needs of `subprocess.Popen`, for the step that it starts."""

    def __init__(self, args: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        reader, writer = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(reader)
            os.setsid()
            os.chdir(cwd)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            become(lambda: run_module(args[len(STEP) + 1 :], cwd), writer, env)
        os.close(writer)
        self.stdout: IO[bytes] = os.fdopen(reader, "rb")
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, -N for signal N; raises `TimeoutExpired` after `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            done, status = os.waitpid(self.pid, 0 if end is None else os.WNOHANG)
            if done:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("the step", timeout or 0.0)
            else:
                time.sleep(0.02)
        return self.returncode


def popen(args: Any, **options: Any) -> Any:
    """Fork what runs a step; start anything else."""
    if isinstance(args, list) and args[1 : len(STEP) + 1] == STEP:
        return ForkedStep(args, options["cwd"], options["env"])
    return RealPopen(args, **options)


def become(work: Callable[[], None], output: int, environment: Mapping[str, str]) -> None:
    """In a fork: be a fresh process that does this work, writes there, and ends."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(write_through=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(environment)
    code = 1
    try:
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # as the interpreter does with what nobody caught
        traceback.print_exc()
    finally:
        with contextlib.suppress(ValueError, OSError):
            sys.stdout.flush()
        os._exit(code)


def run_module(arguments: Sequence[str], folder: Path) -> None:
    """`python -m jobs.run_step`: the folder and PYTHONPATH come first on the path."""
    path = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    for name in [name for name in sys.modules if name.split(".")[0] in {"jobs", "perennial"}]:
        del sys.modules[name]
    sys.path[:0] = [str(folder), *path]
    sys.argv = ["run_step", *arguments]
    runpy.run_module("jobs.run_step", run_name="__main__", alter_sys=True)


def run_entry(argv: Sequence[str]) -> None:
    """`python entry.py --step train`."""
    subprocess.Popen = popen  # type: ignore[misc,assignment]
    metadata.version = installed
    sys.argv = list(argv)
    sys.path.insert(0, str(Path(argv[0]).parent))
    runpy.run_path(argv[0], run_name="__main__")


def warm_up() -> None:
    """Import the libraries, and find out once what each job would find out again."""
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from botocore import hooks, loaders, session

    hooks.accepts_kwargs = functools.cache(hooks.accepts_kwargs)
    read = loaders.JSONFileLoader.load_file
    read_once = functools.cache(lambda path: read(loaders.JSONFileLoader(), path))
    loaders.JSONFileLoader.load_file = lambda _, path: read_once(path)
    session.get_session().create_client("s3", region_name="eu-west-1")
    for distribution in metadata.distributions():
        installed(distribution.metadata["Name"])


def leave_bytecode(code: Path) -> None:
    """Compile what the project is packed with, or take what an earlier project left."""
    for source in (path for part in ("jobs", "perennial") for path in (code / part).rglob("*.py")):
        target, text = Path(importlib.util.cache_from_source(str(source))), source.read_bytes()
        if target.exists():
            continue
        if text not in COMPILED:
            mode = py_compile.PycInvalidationMode.CHECKED_HASH
            py_compile.compile(str(source), str(target), doraise=True, invalidation_mode=mode)
            COMPILED[text] = target.read_bytes()
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(COMPILED[text])


def main() -> None:
    """Fork a job for each line until there are no more."""
    sys.path.pop(0)
    warm_up()
    for line in sys.stdin:
        job = json.loads(line)
        leave_bytecode(Path(job["argv"][0]).parent)
        pid = os.fork()
        if not pid:
            output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            become(lambda: run_entry(job["argv"]), output, job["environment"])  # noqa: B023
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
