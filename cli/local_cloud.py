"""Start, find and stop the local cloud, which is a process of its own: `python -m local`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cli.errors import CommandError, Refused

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_PORT = 4747
PORT = click.IntRange(1, 65_535)


def port_option(words: str) -> Callable[[Any], Any]:
    """The option `--port` of a command that may start the local cloud; `words` are its help."""
    return click.option(
        "--port",
        default=DEFAULT_PORT,
        type=PORT,
        envvar="PERENNIAL_PORT",
        show_envvar=True,
        show_default=True,
        help=words,
    )


READY_SECONDS = 180  # the first start makes the environments of jobs and functions
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class RunningCloud:
    """A local cloud that answers: its endpoint, process and control token."""

    endpoint: str
    pid: int
    token: str
    region: str
    python: str = ""


@dataclass(frozen=True)
class StaleCloud:
    """What a local cloud that died (for instance by `kill -9`) left behind."""

    pid: int


def state_folder() -> Path:
    """Where the local cloud keeps what it writes; PERENNIAL_STATE moves it (tests run several)."""
    return Path(os.environ.get("PERENNIAL_STATE") or ROOT / ".local" / "state").resolve()


def start_log() -> Path:
    """What the local cloud says while it starts; beside its state, which it empties itself."""
    folder = state_folder()
    return folder.with_name(f"{folder.name}.start.log")


def read_record() -> dict[str, Any] | None:
    """The last local cloud's own description, if one was started and not stopped cleanly."""
    try:
        record = json.loads((state_folder() / "cloud.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return record if isinstance(record, dict) and "endpoint" in record else None


def answers(endpoint: str, token: str, timeout: float = 5.0) -> bool:
    """Ask the local cloud for its health; False when nobody answers, or somebody else does."""
    request = urllib.request.Request(  # noqa: S310 - the endpoint is our own, always http
        f"{endpoint}/_local/health", headers={"X-Perennial-Token": token}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 - as above
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def read_clock(cloud: RunningCloud) -> float:
    """How many times as fast as time itself the cloud's clock goes."""
    return float(_control(cloud, "/_local/health")["factor"])


def set_clock(cloud: RunningCloud, factor: float) -> None:
    """Let the cloud's clock go so many times as fast from now on."""
    _control(cloud, "/_local/clock", {"factor": factor})


def _control(cloud: RunningCloud, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - the endpoint is our own, always http
        f"{cloud.endpoint}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"X-Perennial-Token": cloud.token},
    )
    try:
        with urllib.request.urlopen(request, timeout=5.0) as answer:  # noqa: S310 - as above
            found: dict[str, Any] = json.load(answer)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise CommandError(
            f"The local cloud at {cloud.endpoint} did not answer {path}: {error}.",
            "Look at it: perennial status",
        ) from error
    return found


def find_cloud() -> RunningCloud | None:
    """The local cloud that runs and answers, else None."""
    record = read_record()
    if record is None or not is_local_cloud(int(record["pid"])):
        return None
    endpoint, token = str(record["endpoint"]), str(record.get("token", ""))
    if not answers(endpoint, token):
        return None
    return RunningCloud(
        endpoint=endpoint,
        pid=int(record["pid"]),
        token=token,
        region=str(record.get("region", "eu-west-1")),
        python=str(record.get("python", "")),
    )


def is_local_cloud(pid: int) -> bool:
    """Say whether this process lives and is a local cloud (a number can be used again)."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return _lives(pid) if not Path("/proc/self").exists() else False
    except PermissionError:
        return False
    return b"local" in command


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def start_cloud(
    port: int, clock: float, on_wait: Callable[[float, str], None]
) -> tuple[RunningCloud, StaleCloud | None]:
    """Start an empty local cloud and wait until it answers; `on_wait(seconds, last log line)`."""
    running = find_cloud()
    if running is not None:
        raise Refused(
            f"A local cloud already runs at {running.endpoint} (process {running.pid}).",
            "Use it as it is, or stop it with 'perennial down': all it holds goes with it.",
        )
    stale = clear_stale()
    require_free_port(port)
    output = start_log()
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as log:
        process = subprocess.Popen(
            launch_arguments(port, clock),
            cwd=ROOT,
            env=launch_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    wait_until_ready(process, output, on_wait)
    cloud = find_cloud()
    if cloud is None:
        raise CommandError(
            "The local cloud said that it is ready but does not answer.", f"Read {output}."
        )
    return cloud, stale


def launch_arguments(port: int, clock: float) -> list[str]:
    """The command line of the local cloud; the clock factor only when it is not 1."""
    arguments = [sys.executable, "-m", "local", "--port", str(port), "--state", str(state_folder())]
    return arguments if clock == 1 else [*arguments, "--clock", f"{clock:g}"]


def launch_environment() -> dict[str, str]:
    """The caller's environment without AWS settings: the local cloud can reach no account."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    kept["PYTHONUNBUFFERED"] = "1"
    return kept


def clear_stale() -> StaleCloud | None:
    """Remove the record of a local cloud that died without saying so."""
    record = read_record()
    if record is None:
        return None
    (state_folder() / "cloud.json").unlink(missing_ok=True)
    return StaleCloud(pid=int(record.get("pid", 0)))


def require_free_port(port: int) -> None:
    """Refuse early, with the port's number, when another program listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise CommandError(
                f"Port {port} of 127.0.0.1 cannot be used: {error.strerror}.",
                f"Another program listens there; choose another: perennial up --port {port + 1}"
                f"   or: PERENNIAL_PORT={port + 1} make up",
            ) from error


def wait_until_ready(
    process: subprocess.Popen[bytes], output: Path, on_wait: Callable[[float, str], None]
) -> None:
    """Wait for the one line of JSON that says ready; fail with the log's end if it dies first."""
    started = time.monotonic()
    while True:
        lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
        if any(line.startswith("{") and '"ready"' in line for line in lines):
            return
        code = process.poll()
        if code is not None:
            tail = "\n".join(lines[-8:]) or "it wrote nothing"
            raise CommandError(
                f"The local cloud ended while it started (exit code {code}):\n{tail}",
                f"The whole log is in {output}.",
            )
        waited = time.monotonic() - started
        if waited > READY_SECONDS:
            os.killpg(process.pid, signal.SIGTERM)
            raise CommandError(
                f"The local cloud was not ready after {READY_SECONDS} s and was stopped.",
                f"Read {output}.",
            )
        on_wait(waited, lines[-1] if lines else "")
        time.sleep(0.05)


def stop_cloud() -> RunningCloud | StaleCloud | None:
    """Stop the local cloud with all its children; tells what was there."""
    record = read_record()
    if record is None:
        return None
    pid = int(record["pid"])
    if not is_local_cloud(pid):
        return clear_stale()
    cloud = RunningCloud(
        endpoint=str(record["endpoint"]),
        pid=pid,
        token=str(record.get("token", "")),
        region=str(record.get("region", "eu-west-1")),
    )
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while is_local_cloud(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    if is_local_cloud(pid):
        # Its children die with it: the kernel tells them (PR_SET_PDEATHSIG).
        os.kill(pid, signal.SIGKILL)
    clear_stale()
    return cloud
