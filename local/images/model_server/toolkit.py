"""What stands between HTTP and the user's module, as Amazon's serving toolkits do it.

One model: sagemaker-containers 2.8.6 (`_transformer.py`, `_worker.py`) under
sagemaker-scikit-learn-container (`serving.py`). Several models: sagemaker-inference
(`transformer.py`), whose functions may take a context. The sources are on GitHub, aws/<name>.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local.images.model_server.http import JSON, Answer, Request

CSV = "text/csv"
ANY = "*/*"
UTF8 = (JSON, CSV)
FUNCTIONS = ("input_fn", "predict_fn", "output_fn")
ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"
SERVER_ERROR = (
    b"<!DOCTYPE HTML PUBLIC '-//W3C//DTD HTML 3.2 Final//EN'>\n<title>500 Internal Server Error"
    b"</title>\n<h1>Internal Server Error</h1>\n<p>The model's code raised; its log says where.</p>"
)


class Response:
    """`sagemaker_containers.beta.framework.worker.Response`: an answer with a status."""

    def __init__(
        self,
        response: str | bytes | None = None,
        accept: str | None = None,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        mimetype: str | None = None,
    ) -> None:
        self.data = response.encode() if isinstance(response, str) else response or b""
        self.status_code = int(status)
        self.mimetype = mimetype or accept or JSON
        self.headers = dict(headers or {})


class Context:
    """What a function with a context parameter is given: it may set the answer's status."""

    def __init__(self, folder: str) -> None:
        self.system_properties = {"model_dir": folder}
        self.status = 200

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Answer with another status."""
        self.status = code


def provide_worker() -> None:
    """Let the user's module do what it does in the image: `from sagemaker_containers.beta.framework
    import worker` and answer a `worker.Response`. There, too, `worker` is a name, no module."""
    names = ["sagemaker_containers", "sagemaker_containers.beta"]
    names.append(f"{names[-1]}.framework")
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    framework = sys.modules[names[-1]]
    framework.worker = types.SimpleNamespace(Response=Response)  # type: ignore[attr-defined]


class UserModule:
    """The module that SAGEMAKER_PROGRAM names, and the model that its `model_fn` loads."""

    def __init__(self, folder: Path, *, multi_model: bool) -> None:
        self.context = Context(str(folder)) if multi_model else None
        if self.context is None:
            provide_worker()
        self.module = import_program()
        for name in FUNCTIONS:
            if hasattr(self.module, name) and hasattr(self.module, "transform_fn"):
                raise ValueError(
                    "Cannot use transform_fn implementation with input_fn, predict_fn, and/or "
                    "output_fn"
                )
        if not hasattr(self.module, "model_fn"):
            raise ValueError(f"{os.environ['SAGEMAKER_PROGRAM']} has no model_fn")
        self.model = self._call(self.module.model_fn, str(folder))
        self._accept = os.environ.get(ACCEPT, JSON)
        transform = getattr(self.module, "transform_fn", None)
        self._transform: Callable[..., Any] = transform or self._by_parts
        self._takes_context = self.context is not None and _parameters(self._transform) > 4

    def transform(self, request: Request) -> Answer:
        """Answer POST /invocations."""
        kind = request.headers.get("content-type") or JSON
        accept = request.headers.get("accept")
        if not accept or accept == ANY:
            accept = self._accept
        body: str | bytes = request.body
        if kind in UTF8:
            body = request.body.decode("utf-8", "replace")
        if self.context is None:
            return answer_of(self._transform(self.model, body, kind, accept))
        self.context.status = 200
        more = (self.context,) if self._takes_context else ()
        found = answer_of(self._transform(self.model, body, kind, accept, *more), accept)
        return Answer(self.context.status, found.body, found.kind)

    def execution_parameters(self) -> Answer:
        """Answer GET /execution-parameters, which batch transform asks; 404 if the module has no
        such function."""
        function = getattr(self.module, "execution_parameters_fn", None)
        return Answer(404) if function is None else answer_of(function())

    def _by_parts(self, model: Any, body: Any, kind: str, accept: str) -> Any:
        for name in FUNCTIONS:
            if not hasattr(self.module, name):
                raise ValueError(f"the module has neither transform_fn nor {name}")
        data = self._call(self.module.input_fn, body, kind)
        return self._call(
            self.module.output_fn, self._call(self.module.predict_fn, data, model), accept
        )

    def _call(self, function: Callable[..., Any], *given: Any) -> Any:
        if self.context is not None and _parameters(function) > len(given):
            return function(*given, self.context)
        return function(*given)


def import_program() -> types.ModuleType:
    """Import SAGEMAKER_PROGRAM from the code folder, which is on the path."""
    program = os.environ.get("SAGEMAKER_PROGRAM")
    if not program:
        raise ValueError("the variable SAGEMAKER_PROGRAM names no module to serve")
    return importlib.import_module(program.removesuffix(".py"))


def _parameters(function: Callable[..., Any]) -> int:
    return len(inspect.signature(function).parameters)


def answer_of(result: Any, kind: str = "text/html; charset=utf-8") -> Answer:
    """What Flask makes of a function's result: an answer, or (body, content type)."""
    if isinstance(result, Response):
        return Answer(result.status_code, result.data, result.mimetype)
    if isinstance(result, tuple) and len(result) == 2:
        result, kind = result
    if isinstance(result, str):
        return Answer(200, result.encode(), str(kind))
    if isinstance(result, bytes | bytearray):
        return Answer(200, bytes(result), str(kind))
    raise TypeError(f"the module answered a {type(result).__name__}, which is no response")


class Application:
    """The routes of a server of one model."""

    def __init__(self, user: UserModule) -> None:
        self._user = user

    def __call__(self, request: Request) -> Answer:
        """Answer; whatever the module raises is a 500, and its traceback goes to the log."""
        if request.path == "/invocations":
            if request.method != "POST":
                return Answer(405)
            return guarded(self._user.transform, request)
        if request.path == "/ping":
            return Answer(200) if request.method in ("GET", "HEAD") else Answer(405)
        if request.path == "/execution-parameters" and request.method == "GET":
            return guarded(self._user.execution_parameters)
        return Answer(404)


def guarded(work: Callable[..., Answer], *given: Any) -> Answer:
    """The answer of some work of the user's code, or a 500."""
    try:
        return work(*given)
    except Exception:
        traceback.print_exc()
        return Answer(500, SERVER_ERROR, "text/html; charset=utf-8")
