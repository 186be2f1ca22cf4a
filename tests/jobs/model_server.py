"""A model server as a process of its own: the program, a code folder, a model."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.sagemaker.container.serving import program_command

SECONDS = 60.0


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    kind: str
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class ModelServer:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Said:
        """One request on a connection of its own; `content_type` stands for Content-Type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body.encode() if isinstance(body, str) else body
        connection.request(method, path, data, names)
        answer = connection.getresponse()
        said = Said(answer.status, answer.headers.get_content_type(), answer.read())
        connection.close()
        return said

    def invoke(self, body: bytes | str, kind: str = "application/json", **headers: str) -> Said:
        """POST /invocations."""
        return self.ask("POST", "/invocations", body, content_type=kind, **headers)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=SECONDS)

    def text(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace")

    def await_ping(self, status: int = 200) -> None:
        """Wait until /ping answers so."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.text()
            try:
                if self.ask("GET", "/ping").status == status:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError(f"/ping never was {status}:\n{self.text()}")

    def end(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def serving(
    place: Path,
    code: Path,
    *,
    python: Path | None = None,
    awaits: int = 200,
    variables: Mapping[str, str] | None = None,
) -> Iterator[ModelServer]:
    """A server of `place`/model with the module serve.py in `code`; ended afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(code),
        "SAGEMAKER_BASE_DIR": str(place),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_PROGRAM": "serve.py",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
        **(variables or {}),
    }
    log = place / f"server-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            program_command(python), cwd=code, env=environment, stdout=output, stderr=output
        )
    server = ModelServer(port, process, log)
    try:
        server.await_ping(awaits)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(SECONDS)
