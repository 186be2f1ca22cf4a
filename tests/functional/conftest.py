"""A real local cloud, as a process, for tests to talk to."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

REPOSITORY = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class LocalCloud:
    """One running `python -m local`."""

    process: subprocess.Popen[str]
    endpoint: str
    token: str
    state: Path
    seconds_to_ready: float
    _clients: dict[str, Any] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """What `perennial env` would export, on top of this process's own environment."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        return {
            **kept,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "AKIALOCALTESTLOCALTE",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_REGION": "eu-west-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
        }

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client onto this cloud (cached, unless options are given)."""
        if service not in self._clients or options:
            session: Any = boto3.session.Session(
                aws_access_key_id="AKIALOCALTESTLOCALTE",
                aws_secret_access_key="local",
                region_name="eu-west-1",
            )
            config = Config(
                retries={"total_max_attempts": 1}, inject_host_prefix=False, read_timeout=120
            ).merge(options.pop("config", Config()))
            made = session.client(service, endpoint_url=self.endpoint, config=config, **options)
            if options:
                return made
            self._clients[service] = made
        return self._clients[service]

    def control(self, method: str, path: str, body: Any = None, timeout: float = 90) -> Any:
        """One call of the control API, e.g. `control("POST", "/_local/faults", {...})`."""
        request = urllib.request.Request(
            self.endpoint + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-Perennial-Token": self.token, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{method} {path}: {error.code} {error.read()!r}") from None

    def faults(self, **plan: Any) -> None:
        """Put a fault plan in force; without arguments, switch all faults off."""
        self.control("POST", "/_local/faults", plan)

    def journal(self, kind: str | None = None, since: int = 0) -> list[dict[str, Any]]:
        """The cloud's journal, or one kind of its entries."""
        query = f"?since={since}" + (f"&kind={kind}" if kind else "")
        entries: list[dict[str, Any]] = self.control("GET", f"/_local/journal{query}")["entries"]
        return entries

    def idle(self, timeout: float = 60, ignore: tuple[str, ...] = ()) -> None:
        """Wait until nothing is under way; fails with what still is."""
        answer = self.control(
            "POST", "/_local/idle", {"timeout": timeout, "ignore": list(ignore)}, timeout + 10
        )
        assert answer["idle"], f"still busy after {timeout} s: {answer['busy']}"

    def stop(self, how: int = signal.SIGTERM) -> int:
        """Stop the process; returns its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        try:
            status = self.process.wait(timeout=20)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            for client in self._clients.values():
                client.close()
            if self.process.stdout:
                self.process.stdout.close()
        return status


StartCloud = Callable[..., LocalCloud]


def start_local_cloud(state: Path, *arguments: str, port: int | None = None) -> LocalCloud:
    """Start a cloud with this state folder and wait until it answers."""
    port = port or free_port()
    started = time.monotonic()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        [sys.executable, "-m", "local", "--port", str(port), "--state", str(state), *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    while line and not line.startswith("{"):  # e.g. which Python stands in for Lambda's
        line = process.stdout.readline()
    if not line:
        process.wait()
        process.stdout.close()
        log = state / "cloud.log"
        tail = log.read_text()[-4000:] if log.exists() else ""
        raise AssertionError(f"the local cloud did not start (exit {process.returncode})\n{tail}")
    ready = json.loads(line)
    token = json.loads((state / "cloud.json").read_text())["token"]
    return LocalCloud(process, ready["endpoint"], token, state, time.monotonic() - started)


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """One local cloud for the whole session; tests choose names of their own in it."""
    cloud = start_local_cloud(tmp_path_factory.mktemp("cloud") / "state")
    yield cloud
    cloud.stop()


@pytest.fixture
def start_cloud(tmp_path: Path) -> Iterator[StartCloud]:
    """Starts clouds of a test's own, and stops them after it."""
    started: list[LocalCloud] = []

    def start(*arguments: str, port: int | None = None, state: Path | None = None) -> LocalCloud:
        folder = state or tmp_path / f"state-{len(started)}"
        started.append(start_local_cloud(folder, *arguments, port=port))
        return started[-1]

    yield start
    for cloud in started:
        if cloud.process.poll() is None:
            cloud.stop()
