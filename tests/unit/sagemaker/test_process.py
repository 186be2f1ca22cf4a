"""The launcher holds a job together: exit codes, signals, paths, and its death."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.processes import ProcessKeeper
from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.process import Command, JobProcess, probe_isolation

PLAIN = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Any]:
    """What a job process needs of a cloud."""
    keeper = ProcessKeeper()
    state = tmp_path / "state"
    state.mkdir()
    yield SimpleNamespace(processes=keeper, spawn=keeper.spawn, state_dir=state)
    keeper.close()


@pytest.fixture(params=[True, False], ids=["mount", "paths"])
def folder(request: Any, cloud: Any, tmp_path: Path) -> JobFolder:
    """A job's folder, with a private /opt/ml and without."""
    private: bool = request.param
    if private and not probe_isolation(cloud).mounts:
        pytest.fail("this machine gives unprivileged users no namespaces")
    return JobFolder(tmp_path / "job", private=private)


def run(cloud: Any, folder: JobFolder, *argv: str, **environment: str) -> tuple[int, str]:
    """Run a job; exit code and output."""
    process = JobProcess(cloud, folder, Command(argv, {**PLAIN, **environment}, "/opt/ml"))
    output = process.output.read().decode()
    code = process.wait()
    process.forget()
    return code, output


def test_a_job_finds_its_files_where_it_is_told(cloud: Any, folder: JobFolder) -> None:
    """/opt/ml in arguments, environment and working folder leads to the job's own files."""
    (folder.ml / "mark").write_text("mine")
    script = 'cat /opt/ml/mark; echo; cat "$FILE"; echo; pwd'
    code, output = run(cloud, folder, "bash", "-c", script, FILE="/opt/ml/mark")
    seen = "/opt/ml" if folder.private else str(folder.ml)
    assert (code, output.splitlines()) == (0, ["mine", "mine", seen])


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
def test_exit_codes_are_the_jobs_own(cloud: Any, folder: JobFolder, script: str, code: int) -> None:
    """Also those of signals, spelled as a shell does."""
    assert run(cloud, folder, "bash", "-c", script)[0] == code


def test_a_program_that_is_missing_is_named(cloud: Any, folder: JobFolder) -> None:
    """Exit code 127 and the reason in the output."""
    code, output = run(cloud, folder, "/no/such")
    assert code == 127
    assert "cannot run '/no/such'" in output


def test_the_stop_signal_reaches_the_job(cloud: Any, folder: JobFolder) -> None:
    """SIGTERM is passed on, and the job may end in its own way."""
    script = 'trap "echo saved; exit 5" TERM; echo ready; while :; do sleep 0.05; done'
    process = JobProcess(cloud, folder, Command(["bash", "-c", script], PLAIN, "/opt/ml"))
    assert process.output.readline() == b"ready\n"
    process.terminate()
    assert process.output.readline() == b"saved\n"
    assert process.wait(5) == 5
    process.forget()


def alive(mark: str) -> int:
    """How many processes carry the mark."""
    listing = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True, check=True)
    return sum(line.startswith(f"sleep {mark}") for line in listing.stdout.splitlines())


def settles(mark: str, count: int) -> bool:
    """Whether so many carry it soon: a shell says `up` before its child has become `sleep`."""
    end = time.monotonic() + 5
    while alive(mark) != count and time.monotonic() < end:
        time.sleep(0.02)
    return alive(mark) == count


def test_killing_a_job_kills_what_it_started(cloud: Any, folder: JobFolder) -> None:
    """Background children go with it."""
    mark = f"600.{os.getpid()}{int(folder.private)}"
    script = f"sleep {mark} & echo up; wait"
    process = JobProcess(cloud, folder, Command(["bash", "-c", script], PLAIN, "/opt/ml"))
    assert process.output.readline() == b"up\n"
    assert settles(mark, 1)
    process.kill()
    assert settles(mark, 0)


def test_a_job_dies_when_its_launcher_is_killed(cloud: Any, folder: JobFolder) -> None:
    """The launcher alone gets SIGKILL: the job does not outlive it."""
    mark = f"601.{os.getpid()}{int(folder.private)}"
    script = f"echo up; exec sleep {mark}"
    process = JobProcess(cloud, folder, Command(["bash", "-c", script], PLAIN, "/opt/ml"))
    assert process.output.readline() == b"up\n"
    assert settles(mark, 1)
    os.kill(process._child.pid, signal.SIGKILL)
    assert settles(mark, 0)
    process.forget()


def test_files_without_permissions_are_removed_too(tmp_path: Path) -> None:
    """A job may leave folders that nobody may enter."""
    folder = JobFolder(tmp_path / "job", private=True)
    locked = folder.make("/opt/ml/locked/inner")
    (locked / "file").write_text("x")
    locked.chmod(0)
    folder.real("/opt/ml/locked").chmod(0)
    folder.remove()
    assert not folder.root.exists()


def test_paths_cannot_leave_the_folder(tmp_path: Path) -> None:
    """`..` and foreign paths are refused."""
    folder = JobFolder(tmp_path / "job", private=True)
    for path in ("/opt/ml/../x", "/etc/passwd", "/opt/mlx"):
        with pytest.raises(ValueError, match="/opt/ml"):
            folder.real(path)
