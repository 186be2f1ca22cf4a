"""How a service of ours is served: a class on moto.core, driven by botocore's own model."""

import json
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.responses import BaseResponse
from moto.moto_server.werkzeug_app import BackendRequest
from werkzeug.wrappers import Response

log = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]


class Registry:
    """Which WSGI application answers for a service (SigV4 scope name) or a path prefix."""

    def __init__(self) -> None:
        self._services: dict[str, Wsgi] = {}
        self._prefixes: dict[str, Wsgi] = {}
        self._lock = threading.Lock()

    def register(self, service: str, dispatch: Wsgi) -> None:
        """Let `dispatch` answer every request signed for `service` (lower case)."""
        self._services[service.lower()] = dispatch

    def register_path(self, prefix: str, handler: Wsgi) -> None:
        """Let `handler` answer requests below `prefix`, signed or not: it must be unguessable
        or do its own authorisation."""
        if not prefix.startswith("/"):
            raise ValueError(f"a path prefix begins with '/': {prefix!r}")
        with self._lock:
            self._prefixes = {**self._prefixes, prefix: handler}

    def unregister_path(self, prefix: str) -> None:
        """Forget a prefix; requests to it are refused again."""
        with self._lock:
            self._prefixes = {p: h for p, h in self._prefixes.items() if p != prefix}

    def for_service(self, service: str) -> Wsgi | None:
        """The application registered for a service, if any."""
        return self._services.get(service)

    def for_path(self, path: str) -> Wsgi | None:
        """The application with the longest registered prefix of the path, if any."""
        found = [p for p in self._prefixes if path == p or path.startswith(p.rstrip("/") + "/")]
        return self._prefixes[max(found, key=len)] if found else None


def serve(response_class: Callable[[], BaseResponse]) -> Wsgi:
    """A WSGI application for one `BaseResponse` subclass (one instance a request).

    An operation without a method of its name is refused by name, as is any other defect of ours:
    HTTP 501 and 500, in the service's JSON error form, which every SDK shows to its user.
    """

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            status, headers, body = response_class()._dispatch(BackendRequest(environ), None, None)
        except NotImplementedError as error:
            return error_response(environ, 501, "NotImplemented", f"The local cloud: {error}")(
                environ, start_response
            )
        except Exception as error:
            log.exception("%s %s", environ.get("REQUEST_METHOD"), environ.get("PATH_INFO"))
            text = f"The local cloud failed: {type(error).__name__}: {error}"
            return error_response(environ, 500, "InternalFailure", text)(environ, start_response)
        headers.pop("status", None)
        return Response(body, status, headers)(environ, start_response)

    return application


def error_response(environ: Environ, status: int, code: str, message: str) -> Response:
    """An AWS error in the form that the request's protocol expects (JSON or XML)."""
    content_type = environ.get("CONTENT_TYPE", "")
    auth = environ.get("HTTP_AUTHORIZATION", "") + environ.get("QUERY_STRING", "")
    is_query = content_type.startswith("application/x-www-form-urlencoded")
    if is_query or "/s3/aws4_request" in auth or "%2Fs3%2Faws4_request" in auth:
        inner = f"<Code>{code}</Code><Message>{_xml(message)}</Message>"
        body = f"<Error>{inner}</Error>"
        if is_query:
            body = (
                f"<ErrorResponse><Error>{inner}</Error><RequestId>local</RequestId></ErrorResponse>"
            )
        return Response(body, status, content_type="text/xml")
    text = json.dumps({"__type": code, "message": message, "Message": message})
    response = Response(text, status, content_type="application/x-amz-json-1.1")
    response.headers["x-amzn-ErrorType"] = code
    return response


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
