"""The one public port: every request is checked, sent to a service of ours or to moto's, and may
meet a fault on the way."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Response

from local.cloud import Cloud
from local.control import Control
from local.faults import NOBODY, Call
from local.operations import Scope, credential_scope, operation_name
from local.services import Environ, StartResponse, Wsgi, error_response

log = logging.getLogger(__name__)

MEGABYTE = 1024 * 1024
# S3 holds an object in memory; a laptop's limit, far below AWS's 5 GB for one PutObject.
BODY_LIMITS = {"s3": 1024 * MEGABYTE, "lambda": 100 * MEGABYTE}
BODY_LIMIT = 16 * MEGABYTE
# moto's Step Functions interpreter waits inside some calls; its own part of the cloud guards it.
# Topics put messages on queues while they answer.
LOCKS = {"sns": ("sns", "sqs")}
UNLOCKED = frozenset({"states"})
# Below it, any client could read and empty all that moto holds.
MOTO_CONTROL = "moto-api"
THROTTLING = {
    "s3": (503, "SlowDown"),
    "dynamodb": (400, "ThrottlingException"),
    "sqs": (400, "RequestThrottled"),
    "lambda": (429, "TooManyRequestsException"),
    "sns": (400, "Throttled"),
    "monitoring": (400, "Throttling"),
}


class BodyTooLargeError(Exception):
    """The request's body passes the limit of its service."""


class Front:
    """WSGI application in front of moto's."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.control = Control(cloud)
        self.moto: Wsgi = DomainDispatcherApplication(create_backend_app)
        cloud.ask_moto = self.ask_moto
        self._hosts = {f"127.0.0.1:{cloud.port}", f"localhost:{cloud.port}"}
        self._origins = {f"http://{host}" for host in self._hosts}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            answer = self._answer(environ)
        except BodyTooLargeError as error:
            answer = error_response(environ, 413, "EntityTooLarge", str(error))
        return answer(environ, start_response)

    def _answer(self, environ: Environ) -> Response:
        refusal = self._foreign(environ)
        if refusal:
            return error_response(environ, 403, "AccessDenied", refusal)
        path = environ.get("PATH_INFO", "")
        if path.startswith("/_local/"):
            _buffer_body(environ, BODY_LIMIT)
            return self.control(environ)
        handler = self.cloud.registry.for_path(path)
        if handler is not None:
            _buffer_body(environ, BODY_LIMIT)
            return _collect(handler, environ)
        scope = credential_scope(environ)
        if scope is None:
            text = "Missing Authentication Token: the local cloud answers signed requests only."
            return error_response(environ, 403, "MissingAuthenticationToken", text)
        if path.strip("/").partition("/")[0] == MOTO_CONTROL:
            text = "moto's own control paths are closed; /_local/ steers the local cloud."
            return error_response(environ, 403, "AccessDenied", text)
        _buffer_body(environ, BODY_LIMITS.get(scope.service, BODY_LIMIT))
        return self._with_faults(scope, environ)

    def _foreign(self, environ: Environ) -> str:
        if environ.get("HTTP_HOST", "") not in self._hosts:
            return f"The host {environ.get('HTTP_HOST', '')!r} is not this cloud's."
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and origin not in self._origins:
            return f"The origin {origin!r} is not this cloud's."
        # A page's pictures, scripts and links come without an Origin, but browsers tell this.
        site = environ.get("HTTP_SEC_FETCH_SITE", "none")
        if site not in ("none", "same-origin"):
            return f"The request comes from a page of another site ({site})."
        return ""

    def _with_faults(self, scope: Scope, environ: Environ) -> Response:
        caller = self.cloud.callers.get(scope.access_key)
        if caller is None and not self.cloud.faults.active:
            return self.dispatch(scope, environ)
        operation = operation_name(scope.service, environ, _peek(environ))
        if self.cloud.faults.throttled(scope.service, operation):
            status, code = THROTTLING.get(scope.service, (400, "ThrottlingException"))
            return error_response(environ, status, code, "Rate exceeded")
        call = NOBODY
        if caller is not None:
            calls = caller.count_call(f"{scope.service}.{operation}")
            call = Call(caller.function_name, caller.number, calls)
            self.cloud.journal.add(
                "call",
                function=call.function,
                worker=call.worker,
                call=call.number,
                service=scope.service,
                operation=operation,
            )
            if self.cloud.faults.kills(call, "before"):
                caller.kill()
                return error_response(environ, 500, "InternalFailure", "the caller is dead")
        response = self.dispatch(scope, environ)
        if caller is not None and self.cloud.faults.kills(call, "after"):
            caller.kill()
        if self.cloud.faults.lies(scope.service, operation, call):
            text = "We encountered an internal error. Please try again."
            code = "InternalError" if scope.service == "s3" else "InternalServerError"
            return error_response(environ, 500, code, text)
        return response

    def dispatch(self, scope: Scope, environ: Environ) -> Response:
        """Let the service of ours answer, or moto's under its lock."""
        own = self.cloud.registry.for_service(scope.service)
        if own is not None:
            return _collect(own, environ)
        return self.ask_moto(scope.service, environ)

    def ask_moto(self, service: str, environ: Environ) -> Response:
        """moto's answer, under the service's lock; what moto cannot do is refused by name."""
        if service in UNLOCKED:
            return self._moto(environ)
        with contextlib.ExitStack() as locks:
            for name in LOCKS.get(service, (service,)):
                locks.enter_context(self.cloud.lock(name))
            return self._moto(environ)

    def _moto(self, environ: Environ) -> Response:
        try:
            return _collect(self.moto, environ)
        except NotImplementedError as error:
            return error_response(environ, 501, "NotImplemented", f"The local cloud: {error}")
        except Exception as error:
            log.exception("%s %s", environ.get("REQUEST_METHOD"), environ.get("PATH_INFO"))
            text = f"The local cloud failed: {type(error).__name__}: {error}"
            return error_response(environ, 500, "InternalFailure", text)


def _buffer_body(environ: Environ, limit: int) -> None:
    """Read the body once, so that it can be looked at and no lock is held while it arrives."""
    length = environ.get("CONTENT_LENGTH")
    text = f"The body is larger than the local cloud's limit of {limit} bytes for this service."
    if length and int(length) > limit:
        raise BodyTooLargeError(text)
    chunked = environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
    if not length and not chunked:
        environ["wsgi.input"] = io.BytesIO(b"")
        return
    source = environ["wsgi.input"]
    spool = tempfile.SpooledTemporaryFile(max_size=8 * MEGABYTE)  # noqa: SIM115 - lives with the request
    left = limit if chunked else int(length or 0)
    while left > 0:
        piece = source.read(min(left, MEGABYTE))
        if not piece:
            break
        spool.write(piece)
        left -= len(piece)
    if chunked and left == 0 and source.read(1):
        raise BodyTooLargeError(text)
    environ["CONTENT_LENGTH"] = str(spool.tell())
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ.pop("wsgi.input_terminated", None)
    spool.seek(0)
    environ["wsgi.input"] = spool


def _peek(environ: Environ) -> bytes:
    """The body, if it is a form (its Action names the operation)."""
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return b""
    body: bytes = environ["wsgi.input"].read()
    environ["wsgi.input"].seek(0)
    return body


def _collect(application: Wsgi, environ: Environ) -> Response:
    """Run an application to its end and keep its whole answer."""
    head: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        head[:] = [status, headers]

    pieces = application(environ, start_response)
    try:
        body = b"".join(pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close:
            close()
    response = Response(body, head[0])
    response.headers.clear()
    for name, value in head[1]:
        response.headers.add(name, value)
    return response
