"""Which operation of which service a request asks for, before anything parses it fully."""

import functools
import io
import re
from typing import Any
from urllib.parse import parse_qs

from moto.core.request import Request
from moto.core.routing import get_service_router
from werkzeug.exceptions import HTTPException

_SCOPE = re.compile(r"Credential=([^/,\s]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request")
# SigV4 scope name -> botocore's service name, where they differ and the protocol is REST.
_BOTOCORE_NAMES = {"execute-api": "apigatewaymanagementapi"}
# Services whose pre-signed URLs are let in.
PRESIGNED = frozenset({"s3"})


class Scope:
    """The credential scope of one request: access key id, Region, service."""

    def __init__(self, access_key: str, region: str, service: str) -> None:
        self.access_key = access_key
        self.region = region
        self.service = service


def credential_scope(environ: dict[str, Any]) -> Scope | None:
    """The scope from the Authorization header or an S3 request's pre-signed query; else None."""
    found = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if found and environ["HTTP_AUTHORIZATION"].startswith("AWS4-HMAC-SHA256 "):
        if "Signature=" not in environ["HTTP_AUTHORIZATION"]:
            return None
        return Scope(found.group(1), found.group(3), found.group(4).lower())
    query = parse_qs(environ.get("QUERY_STRING", ""))
    credential = query.get("X-Amz-Credential", [""])[0].split("/")
    if len(credential) == 5 and "X-Amz-Signature" in query:
        # A link is enough to make a browser send it: no Action may travel in it. By a path like
        # /sqs_eu-west-1/, which is no bucket's, moto would ask another service.
        place = environ.get("PATH_INFO", "").lstrip("/").partition("/")[0]
        if credential[3].lower() not in PRESIGNED or "_" in place:
            return None
        return Scope(credential[0], credential[2], credential[3].lower())
    return None


@functools.lru_cache(maxsize=64)
def _router(service: str) -> Any:
    return get_service_router(service)


def _named_by_path(service: str, path: str) -> str:
    smithy = re.search(r"/service/[^/]+/operation/([A-Za-z]+)", path)
    if smithy:
        return smithy.group(1)
    # SageMaker's runtime API is signed for the service of its control plane.
    return "InvokeEndpoint" if service == "sagemaker" and path.endswith("/invocations") else ""


def operation_name(service: str, environ: dict[str, Any], body: bytes) -> str:
    """The operation's name as in botocore's model, or `METHOD path` if the model knows none."""
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return str(target).rpartition(".")[2]
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        action = parse_qs(body.decode("utf-8", "replace")).get("Action")
        if action:
            return action[0]
    named = _named_by_path(service, environ.get("PATH_INFO", ""))
    if named:
        return named
    try:
        probe = {**environ, "wsgi.input": io.BytesIO(b"")}
        operation, _ = _router(_BOTOCORE_NAMES.get(service, service)).match(Request(probe))
        return str(operation.name)
    except (HTTPException, NotImplementedError, LookupError, ValueError, AttributeError):
        return f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"
    except Exception as error:
        if type(error).__name__ == "UnknownServiceError":
            return f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')}"
        raise
