"""SageMaker's runtime as a server of a test's own: it answers as the test says, and remembers."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One answer of the runtime; `close`: hang up without any, once."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    close: bool = False


def model_error(status: int, words: str) -> Reply:
    """What AWS answers when the model's server did with `status`."""
    body = {"Message": "Received server error", "OriginalStatusCode": status,
            "OriginalMessage": words, "LogStreamArn": "arn:aws:logs:x"}  # fmt: skip
    return failure(424, "ModelError", **body)


def failure(status: int, code: str, **body: Any) -> Reply:
    """An error of the runtime itself."""
    body.setdefault("Message", f"{code} happened")
    return Reply(status, json.dumps(body).encode(), {"x-amzn-ErrorType": code})


@dataclass
class Runtime:
    """The runtime: `reply` decides what it answers; `requests` are path, headers and body."""

    reply: Callable[[dict[str, Any]], Reply]
    url: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


def predicting(document: dict[str, Any]) -> Reply:
    """What our own model server answers: a prediction a row."""
    rows = document["instances"]
    each: dict[str, Any] = {"prediction": ">50K", "confidence": 0.75, "score": 0.75}
    if document.get("explain"):
        each |= {"contributions": {"age": 0.5}, "expected": -1.0, "units": "log-odds"}
    body = json.dumps({"predictions": [each] * len(rows), "model": "census", "version": 7})
    return Reply(200, body.encode(), {"x-Amzn-Invoked-Production-Variant": "main"})


@contextmanager
def serve_runtime() -> Iterator[Runtime]:
    """Serve on a port of its own until the end of the block."""
    runtime = Runtime(predicting)

    class Handler(BaseHTTPRequestHandler):
        """One request."""

        protocol_version = "HTTP/1.1"
        # Headers and body are two writes: the second would wait 40 ms for the first's receipt.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            """InvokeEndpoint."""
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            runtime.requests.append((self.path, headers, body))
            reply = runtime.reply(json.loads(body))
            time.sleep(reply.seconds)
            if reply.close:
                self.close_connection = True
                return
            with contextlib.suppress(BrokenPipeError):  # a client that hung up
                self._send(reply)

        def _send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in {**reply.headers, "content-type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    runtime.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield runtime
    finally:
        server.shutdown()
        server.server_close()
