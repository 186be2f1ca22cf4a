"""`up`, `down` and `env` as a user types them, on a local cloud of their own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.local_cloud import ROOT, is_local_cloud
from tests.functional.conftest import free_port

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Run]:
    """Runs `perennial …` with a state folder of its own, and stops what was started."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "PERENNIAL_T"))
    }
    environment["PERENNIAL_STATE"] = str(tmp_path / "state")

    def run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT,
            env={**environment, **extra},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    yield run
    run("down")


def started(shell: Run) -> dict[str, str]:
    """Start a local cloud and return what `up --json` tells."""
    result = shell("up", "--port", str(free_port()), "--json")
    assert result.returncode == 0, result.stderr
    document: dict[str, str] = json.loads(result.stdout)
    return document


def test_up_says_that_it_is_empty_and_what_comes_next(shell: Run) -> None:
    """The endpoint, emptiness and the next command; `down` says what it stopped."""
    port = free_port()
    result = shell("up", "--port", str(port))
    assert result.returncode == 0, result.stderr
    assert f"runs at http://127.0.0.1:{port} and is empty" in result.stdout
    assert "sam build && sam deploy" in result.stdout
    stopped = shell("down")
    assert stopped.returncode == 0
    assert f"http://127.0.0.1:{port}" in stopped.stdout
    assert "is stopped" in stopped.stdout
    assert "No local cloud is running" in shell("down").stdout


def test_down_leaves_no_process_behind(shell: Run) -> None:
    """The server is gone when `down` returns, and its port is free."""
    cloud = started(shell)
    shell("down")
    assert not is_local_cloud(int(cloud["pid"]))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(cloud["endpoint"].rsplit(":", 1)[1])))


def test_up_refuses_while_one_runs_and_keeps_it_when_asked(shell: Run) -> None:
    """A second `up` would throw away what the first holds; `--keep` uses it."""
    cloud = started(shell)
    again = shell("up")
    assert again.returncode == 5
    assert f"already runs at {cloud['endpoint']}" in again.stderr
    kept = shell("up", "--keep", "--json")
    assert kept.returncode == 0
    assert json.loads(kept.stdout)["pid"] == cloud["pid"]


def test_up_on_a_port_in_use_names_the_port(shell: Run) -> None:
    """Another program's port: exit code 1, the port, and another one to try; nothing is started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = shell("up", "--port", str(port))
    assert result.returncode == 1
    assert f"Port {port}" in result.stderr
    assert f"--port {port + 1}" in result.stderr
    assert "Traceback" not in result.stderr
    assert shell("env").returncode == 3


def test_up_after_kill_9_starts_empty_and_says_so(shell: Run) -> None:
    """The stale record is recognised, by `env` and by `up`."""
    cloud = started(shell)
    os.kill(int(cloud["pid"]), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_local_cloud(int(cloud["pid"])) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert shell("env").returncode == 3
    result = shell("up", "--port", str(free_port()))
    assert result.returncode == 0, result.stderr
    assert f"(process {cloud['pid']}) had died" in result.stdout
    assert "is empty" in result.stdout


def test_env_makes_any_client_talk_to_the_local_cloud_only(shell: Run, tmp_path: Path) -> None:
    """A shell that evaluates it reaches it by boto3; profile and endpoint of before are gone."""
    cloud = started(shell)
    script = (
        'eval "$(python -m cli.main env)" && python -c "'
        "import boto3; s3 = boto3.client('s3'); print(s3.meta.endpoint_url);"
        "print(boto3.client('sts').get_caller_identity()['Account'])"
        '"; echo "profile=$AWS_PROFILE s3=$AWS_ENDPOINT_URL_S3"; '
        'eval "$(python -m cli.main env --unset)"; echo "endpoint=$AWS_ENDPOINT_URL"'
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "PERENNIAL_STATE": str(tmp_path / "state"),
        "AWS_PROFILE": "work",
        "AWS_ENDPOINT_URL_S3": "https://s3.eu-west-1.amazonaws.com",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    result = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.split("\n")[:4] == [
        cloud["endpoint"],
        "123456789012",
        "profile= s3=",
        "endpoint=",
    ], result.stderr


def test_env_as_json_and_without_a_cloud(shell: Run) -> None:
    """Scripts get a document; without a local cloud the exit code is 3 and stdout stays empty."""
    missing = shell("env")
    assert (missing.returncode, missing.stdout) == (3, "")
    cloud = started(shell)
    document = json.loads(shell("env", "--json").stdout)
    assert document["AWS_ENDPOINT_URL"] == cloud["endpoint"]
    assert document["AWS_CONFIG_FILE"] == os.devnull


def test_a_cloud_without_a_stack_is_told_apart_from_no_cloud(shell: Run) -> None:
    """Exit code 3 both times, with the command that mends it."""
    nothing = shell("status")
    assert nothing.returncode == 3
    assert "perennial up" in nothing.stderr
    started(shell)
    empty = shell("status")
    assert empty.returncode == 3
    assert "no stack 'perennial'" in empty.stderr
    assert "make up" in empty.stderr


def test_the_foreground_cloud_ends_with_its_signal(shell: Run, tmp_path: Path) -> None:
    """`up --foreground` is the server itself: Ctrl-C ends it."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "up", "--foreground", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "PERENNIAL_STATE": str(tmp_path / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = next(line for line in process.stdout if line.startswith("{"))
        assert json.loads(ready)["ready"] is True
        assert shell("env").returncode == 0
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert shell("env").returncode == 3
