"""The Lambda Runtime API for one execution environment, on a loopback port of its own.

Four routes, as AWS's runtime client (awslambdaric) calls them: next, response, error, init/error.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

_NEXT = "/2018-06-01/runtime/invocation/next"
_INVOCATION = "/2018-06-01/runtime/invocation/"
_INIT_ERROR = "/2018-06-01/runtime/init/error"
_ACCEPTED = b'{"status":"OK"}'


@dataclass(frozen=True)
class Invocation:
    """One event on its way into the environment."""

    request_id: str
    arn: str
    deadline_ms: int
    payload: bytes
    trace_id: str
    client_context: str = ""


@dataclass(frozen=True)
class Report:
    """What the runtime said about an invocation, or about its own start."""

    kind: str  # "next", "response", "error" or "init-error"
    request_id: str = ""
    body: bytes = b""


@dataclass
class _Request:
    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class RuntimeApi:
    """Listens for one runtime; `listen` tells each thing it says, `hand` gives it an event."""

    def __init__(self, listen: Callable[[Report], None]) -> None:
        self._listen = listen
        self._events: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="runtime-api", daemon=True).start()

    def hand(self, invocation: Invocation) -> None:
        """Answer the runtime's pending or coming `next` with this event."""
        self._events.put(invocation)

    def close(self) -> None:
        """Close the port and every connection."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._events.put(None)
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)
        try:
            with connection, connection.makefile("rb") as stream:
                while (request := _read(stream)) is not None:
                    answer = self._answer(request)
                    if answer is None:
                        return
                    connection.sendall(answer)
        except OSError:
            return  # the runtime went away; whoever waits for it watches the process
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _answer(self, request: _Request) -> bytes | None:
        if request.path == _NEXT:
            self._listen(Report("next"))
            invocation = self._events.get()
            return None if invocation is None else _next_reply(invocation)
        if request.path == _INIT_ERROR:
            self._listen(Report("init-error", "", request.body))
            return _reply(202, _ACCEPTED)
        if request.path.startswith(_INVOCATION):
            request_id, _, kind = request.path.removeprefix(_INVOCATION).partition("/")
            if kind in ("response", "error"):
                self._listen(Report(kind, request_id, request.body))
                return _reply(202, _ACCEPTED)
        return _reply(404, b'{"errorMessage":"no such route"}')


def _read(stream: IO[bytes]) -> _Request | None:
    line = stream.readline().decode("latin-1").split()
    if len(line) < 2:
        return None
    request = _Request(line[0], line[1])
    while (header := stream.readline().decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        request.headers[name.strip().lower()] = value.strip()
    if request.headers.get("transfer-encoding", "").lower() == "chunked":
        request.body = _read_chunks(stream)
    else:
        request.body = stream.read(int(request.headers.get("content-length", "0")))
    return request


def _read_chunks(stream: IO[bytes]) -> bytes:
    body = b""
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return body


def _next_reply(invocation: Invocation) -> bytes:
    # Without Content-Type the native runtime client dies of a segmentation fault.
    headers = {
        "Content-Type": "application/json",
        "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
        "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
        "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
        "Lambda-Runtime-Trace-Id": invocation.trace_id,
    }
    if invocation.client_context:
        headers["Lambda-Runtime-Client-Context"] = invocation.client_context
    return _reply(200, invocation.payload, headers)


def _reply(status: int, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    reason = {200: "OK", 202: "Accepted", 404: "Not Found"}[status]
    lines = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}"]
    for name, value in (headers or {"Content-Type": "application/json"}).items():
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
