"""Several models in one container, as Multi Model Server has them: a process for each model.

Models are loaded and dropped by SageMaker: POST, GET and DELETE below /models. Each model's
process is this same program's server of one model on a socket file; what comes for it is handed on.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from local.images.model_server.http import JSON, Answer, Limits, Loop, Request
from local.images.model_server.toolkit import Application, UserModule, guarded

PROGRAM = Path(__file__).with_name("__main__.py")
LOAD_SECONDS = 240.0
LOOK_SECONDS = 0.02
END_SECONDS = 5.0
PASSED_ON = ("content-type", "accept", "x-amzn-sagemaker-custom-attributes")


class LoadError(Exception):
    """A model that cannot be served; `status` is the answer's."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


@contextlib.contextmanager
def short(path: Path) -> Iterator[str]:
    """The same file by a name that fits a socket's 107 bytes, however deep its folder lies."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class SocketFile(http.client.HTTPConnection):
    """HTTP over a socket file."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("model", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the file."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        with short(self._path) as path:
            self.sock.connect(path)


@dataclass
class Loaded:
    """One model and its process."""

    name: str
    url: str
    path: Path
    process: subprocess.Popen[bytes]
    idle: list[SocketFile] = field(default_factory=list)


class Models:
    """The models that are loaded."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds
        self._loaded: dict[str, Loaded] = {}
        self._loading: set[str] = set()
        self._lock = threading.Lock()
        self._count = 0

    def load(self, name: str, url: str) -> None:
        """Start a model's process and wait until it answers; raises `LoadError`."""
        with self._lock:
            if name in self._loaded or name in self._loading:
                raise LoadError(409, f"model {name} is loaded already")
            self._loading.add(name)
            self._count += 1
            path = self._folder / f"{self._count}.sock"
        try:
            place = Path(urlsplit(url).path) if url.startswith("file:") else Path(url)
            if not place.is_dir():
                raise LoadError(404, f"model {name} has no folder {url}")
            argv = [sys.executable, str(PROGRAM), str(place), str(path)]
            process = subprocess.Popen(argv, env=model_environment(place), stdin=subprocess.DEVNULL)
            self._await(name, process, path)
            with self._lock:
                self._loaded[name] = Loaded(name, url, path, process)
        finally:
            with self._lock:
                self._loading.discard(name)

    def _await(self, name: str, process: subprocess.Popen[bytes], path: Path) -> None:
        deadline = time.monotonic() + LOAD_SECONDS
        while process.poll() is None:
            if path.exists():
                return
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise LoadError(500, f"model {name} did not load within {LOAD_SECONDS:g} s")
            time.sleep(LOOK_SECONDS)
        if process.returncode == -signal.SIGKILL:
            raise LoadError(507, f"model {name} was killed while it loaded: not enough memory")
        raise LoadError(500, f"model {name} cannot be loaded; see the log")

    def listed(self) -> list[dict[str, str]]:
        """Names and places, as SageMaker asks for them."""
        with self._lock:
            return [{"modelName": m.name, "modelUrl": m.url} for m in self._loaded.values()]

    def described(self, name: str) -> dict[str, str]:
        """One of them; raises `LoadError`."""
        found = self._find(name)
        return {"modelName": found.name, "modelUrl": found.url}

    def unload(self, name: str) -> None:
        """End a model's process once its requests are answered; raises `LoadError`."""
        with self._lock:
            found = self._loaded.pop(name, None)
        if found is None:
            raise LoadError(404, f"model {name} is not loaded")
        found.process.terminate()
        found.process.wait()
        found.path.unlink(missing_ok=True)

    def invoke(self, name: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Hand a request on to the model's process; raises `LoadError`."""
        found = self._find(name)
        with self._lock:
            kept = found.idle.pop() if found.idle else None
        try:
            try:
                return self._ask(
                    found, kept or SocketFile(found.path, self._seconds), body, headers
                )
            except (OSError, http.client.HTTPException) as error:
                if kept is None or isinstance(error, TimeoutError):
                    raise
                # The process hangs up on connections that nobody used for a while.
                return self._ask(found, SocketFile(found.path, self._seconds), body, headers)
        except TimeoutError:
            raise LoadError(504, f"model {name} did not answer") from None
        except (OSError, http.client.HTTPException):
            self._bury(found)
            raise LoadError(500, f"the process of model {name} has ended; see the log") from None

    def _ask(
        self, found: Loaded, connection: SocketFile, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        """One request on a connection, which is kept if it was answered."""
        try:
            connection.request("POST", "/invocations", body, dict(headers))
            response = connection.getresponse()
            answer = Answer(response.status, response.read(), response.headers.get_content_type())
        except BaseException:
            connection.close()
            raise
        with self._lock:
            found.idle.append(connection)
        return answer

    def _bury(self, found: Loaded) -> None:
        """Drop a model whose process hung up: it has ended, or is about to."""
        with self._lock:
            self._loaded.pop(found.name, None)
        try:
            found.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            found.process.kill()
            found.process.wait()

    def end(self) -> None:
        """Unload everything."""
        for entry in self.listed():
            self.unload(entry["modelName"])

    def _find(self, name: str) -> Loaded:
        with self._lock:
            found = self._loaded.get(name)
        if found is None:
            raise LoadError(404, f"model {name} is not loaded")
        return found


def model_environment(place: Path) -> dict[str, str]:
    """The variables of a model's process: its own `code` folder, if it has one, comes first."""
    own = place / "code"
    path = [str(own)] if own.is_dir() else []
    path += [os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in path if part)}


class Front(BaseHTTPRequestHandler):
    """The routes of a server of several models."""

    protocol_version = "HTTP/1.1"
    models: Models
    bounds: Limits

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Requests are not logged."""

    def do_GET(self) -> None:
        """/ping, /models and one model."""
        self._route("GET")

    def do_POST(self) -> None:
        """Load a model, or ask one."""
        self._route("POST")

    def do_DELETE(self) -> None:
        """Unload a model."""
        self._route("DELETE")

    def _route(self, method: str) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > self.bounds.body:
            self.close_connection = True
            self._say(_told(413 if length.isdigit() else 400, "the body is too large, or unsized"))
            return
        body = self.rfile.read(int(length))
        parts = [unquote(part) for part in self.path.partition("?")[0].split("/")[1:]]
        try:
            self._say(self._answer(method, parts, body))
        except LoadError as error:
            self._say(_told(error.status, str(error)))

    def _answer(self, method: str, parts: list[str], body: bytes) -> Answer:
        answer = _told(404, "there is nothing at this path")
        match (method, *parts):
            case ("GET", "ping"):
                answer = Answer(200)
            case ("GET", "models"):
                answer = _json({"models": self.models.listed()})
            case ("POST", "models"):
                answer = self._load(body)
            case ("GET", "models", name):
                answer = _json(self.models.described(name))
            case ("DELETE", "models", name):
                self.models.unload(name)
                answer = _json({"status": f'Model "{name}" unregistered'})
            case ("POST", "models", name, "invoke"):
                headers = {key: self.headers[key] for key in PASSED_ON if key in self.headers}
                answer = self.models.invoke(name, body, headers)
        return answer

    def _load(self, body: bytes) -> Answer:
        try:
            document = json.loads(body)
            name, url = str(document["model_name"]), str(document["url"])
        except (ValueError, KeyError, TypeError):
            return _told(400, "the body must be JSON with model_name and url")
        self.models.load(name, url)
        return _json({"status": f'Model "{name}" registered'})

    def _say(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)


def _json(document: object) -> Answer:
    return Answer(200, json.dumps(document).encode(), JSON)


def _told(status: int, words: str) -> Answer:
    return Answer(status, json.dumps({"error": words}).encode(), JSON)


def serve_models(listener: socket.socket, bounds: Limits) -> int:
    """Serve several models until SIGTERM."""
    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        models = Models(Path(folder), bounds.seconds)
        handler = type("BoundFront", (Front,), {"models": models, "bounds": bounds})
        handler.timeout = bounds.seconds  # type: ignore[attr-defined]
        server = ThreadingHTTPServer(listener.getsockname(), handler, bind_and_activate=False)
        server.socket.close()
        listener.setblocking(True)
        server.socket = listener
        server.daemon_threads = True
        # shutdown() waits for serve_forever(), which this thread is in.
        signal.signal(
            signal.SIGTERM,
            lambda *_: threading.Thread(target=server.shutdown, daemon=True).start(),
        )
        server.serve_forever(poll_interval=0.05)
        models.end()
    return 0


def serve_one(folder: Path, path: Path, bounds: Limits) -> int:
    """The process of one model: load, then answer on a socket file until SIGTERM."""
    user = UserModule(folder, multi_model=True)
    application = Application(user)

    def answer(request: Request) -> Answer:
        return guarded(application, request)

    with socket.socket(socket.AF_UNIX) as listener:
        making = path.with_suffix(".new")
        with short(making) as name:
            listener.bind(name)
        listener.listen()
        listener.setblocking(False)
        loop = Loop(listener, answer, bounds)
        signal.signal(signal.SIGTERM, lambda *_: loop.stop())
        making.rename(path)  # whoever sees it may connect
        loop.run()
    return 0
