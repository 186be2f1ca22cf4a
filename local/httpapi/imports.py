"""An OpenAPI body, as `Body` of AWS::ApiGatewayV2::Api and ReimportApi bring it, read into parts.

Extensions: https://docs.aws.amazon.com/apigateway/latest/developerguide/openapi-extensions.html
Whatever is not carried out is refused by its name, and so is what AWS would only warn of.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.httpapi.routes import DEFAULT, check_route_key

_METHODS = ("delete", "get", "head", "options", "patch", "post", "put")
_ANY = "x-amazon-apigateway-any-method"
_INTEGRATION = "x-amazon-apigateway-integration"
_TOP = ("x-amazon-apigateway-cors", "x-amazon-apigateway-importexport-version")
_OPERATION = (_INTEGRATION,)
_LAMBDA = re.compile(
    r"(?:arn:[a-z-]+:apigateway:[a-z0-9-]+:lambda:path/2015-03-31/functions/)?"
    r"(arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[A-Za-z0-9_-]+(?::[A-Za-z0-9_$-]+)?)"
    r"(?:/invocations)?"
)
_DEFAULT_TIMEOUT = 30_000
HEADER = re.compile(r"\$request\.header\.([A-Za-z0-9-]+)")


class ImportRefusedError(ValueError):
    """A body, integration or authorizer that cannot be carried out; the message names what."""


@dataclass(frozen=True)
class AuthorizerPart:
    """A JWT authorizer."""

    name: str
    issuer: str
    audience: tuple[str, ...]
    identity_source: tuple[str, ...]


@dataclass(frozen=True)
class RoutePart:
    """A route with its integration. `authorization`: NONE, AWS_IAM or JWT."""

    key: str
    integration: Mapping[str, Any]
    authorization: str = "NONE"
    authorizer: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Imported:
    """All that a body describes."""

    title: str
    version: str
    cors: Mapping[str, Any] | None
    tags: Mapping[str, str]
    authorizers: tuple[AuthorizerPart, ...] = ()
    routes: tuple[RoutePart, ...] = field(default=())


def read_body(body: Any) -> Imported:
    """The parts of an OpenAPI 3 document; raises `ImportRefusedError`."""
    if not isinstance(body, Mapping) or not str(body.get("openapi", "")).startswith("3."):
        raise ImportRefusedError("the body is no OpenAPI 3 document")
    try:
        return _read(body)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ImportRefusedError):
            raise
        words = f"the body is malformed: {type(error).__name__}: {error}"
        raise ImportRefusedError(words) from error


def _read(body: Mapping[str, Any]) -> Imported:
    _only_known(body, _TOP, "the body")
    info = body.get("info") or {}
    schemes = (body.get("components") or {}).get("securitySchemes") or {}
    kinds = {name: _scheme(str(name), scheme) for name, scheme in schemes.items()}
    routes = [
        _route(key, operation, operation.get("security", body.get("security", [])), kinds)
        for key, operation in _operations(body.get("paths") or {})
    ]
    return Imported(
        title=str(info.get("title", "")),
        version=str(info.get("version", "")),
        cors=body.get("x-amazon-apigateway-cors"),
        tags={
            str(tag["name"]): str(tag["x-amazon-apigateway-tag-value"])
            for tag in body.get("tags") or []
            if "x-amazon-apigateway-tag-value" in tag
        },
        authorizers=tuple(kind for kind in kinds.values() if isinstance(kind, AuthorizerPart)),
        routes=tuple(routes),
    )


def _only_known(part: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in part:
        if str(name).startswith("x-amazon-apigateway-") and name not in known:
            raise ImportRefusedError(f"the local cloud does not support {name} in {where} yet")


def _operations(paths: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, item in paths.items():
        for method, operation in (item or {}).items():
            if method in _METHODS:
                key = f"{method.upper()} {path}"
            elif method == _ANY:
                key = DEFAULT if path == f"/{DEFAULT}" else f"ANY {path}"
            elif method in ("parameters", "summary", "description"):
                continue
            else:
                raise ImportRefusedError(f"the local cloud does not support {method} of {path} yet")
            wrong = check_route_key(key)
            if wrong:
                raise ImportRefusedError(wrong)
            yield key, operation or {}


def _scheme(name: str, scheme: Mapping[str, Any]) -> AuthorizerPart | str:
    """A JWT authorizer, or "AWS_IAM"."""
    if scheme.get("x-amazon-apigateway-authtype") == "awsSigv4":
        return "AWS_IAM"
    found = scheme.get("x-amazon-apigateway-authorizer") or {}
    if str(found.get("type", "")).lower() != "jwt":
        raise ImportRefusedError(
            f"the local cloud does not support the authorizer {name} yet: "
            f"its type is {found.get('type') or scheme.get('type')!r}, not jwt"
        )
    configuration = found.get("jwtConfiguration") or {}
    sources = found.get("identitySource") or "$request.header.Authorization"
    return jwt_authorizer(
        name,
        str(configuration.get("issuer", "")),
        configuration.get("audience") or [],
        sources if isinstance(sources, list) else [sources],
    )


def jwt_authorizer(name: str, issuer: str, audience: Any, sources: list[str]) -> AuthorizerPart:
    """A JWT authorizer with what it needs; raises `ImportRefusedError`."""
    if not issuer or not isinstance(audience, list) or not audience:
        raise ImportRefusedError(f"JWT authorizer {name}: issuer and audience are required")
    for source in sources:
        if HEADER.fullmatch(source) is None:
            raise ImportRefusedError(
                f"the local cloud does not support the identity source {source} yet; "
                "$request.header.<name> works"
            )
    return AuthorizerPart(name, issuer, tuple(map(str, audience)), tuple(sources))


def _route(
    key: str,
    operation: Mapping[str, Any],
    security: list[Mapping[str, list[str]]],
    kinds: Mapping[str, AuthorizerPart | str],
) -> RoutePart:
    _only_known(operation, _OPERATION, key)
    if _INTEGRATION not in operation:
        raise ImportRefusedError(f"{key} has no {_INTEGRATION}")
    integration = check_integration(key, operation[_INTEGRATION])
    if len(security) > 1 or any(len(each) > 1 for each in security):
        raise ImportRefusedError(f"{key} names several security schemes; API Gateway takes one")
    for requirement in security:
        for name, scopes in requirement.items():
            kind = kinds.get(name)
            if kind is None:
                raise ImportRefusedError(
                    f"{key} names the security scheme {name}, which is nowhere"
                )
            if isinstance(kind, AuthorizerPart):
                return RoutePart(key, integration, "JWT", name, tuple(scopes))
            return RoutePart(key, integration, "AWS_IAM")
    return RoutePart(key, integration)


def check_integration(where: str, integration: Mapping[str, Any]) -> dict[str, Any]:
    """A Lambda proxy integration; raises `ImportRefusedError` for any other kind."""
    kind = str(integration.get("type", "")).lower()
    version = str(integration.get("payloadFormatVersion", ""))
    if kind != "aws_proxy" or integration.get("integrationSubtype"):
        what = integration.get("integrationSubtype") or integration.get("type")
        raise ImportRefusedError(
            f"the local cloud does not support the integration {what} of {where} yet"
        )
    if version != "2.0":
        raise ImportRefusedError(
            f"the local cloud does not support payloadFormatVersion {version or '1.0'} of {where} "
            "yet; 2.0 works"
        )
    for name in integration:
        if name not in ("type", "httpMethod", "payloadFormatVersion", "uri", "timeoutInMillis",
                        "connectionType", "integrationSubtype", "description"):  # fmt: skip
            raise ImportRefusedError(f"the local cloud does not support {name} of {where} yet")
    timeout = integration.get("timeoutInMillis", _DEFAULT_TIMEOUT)
    if not isinstance(timeout, int) or not 50 <= timeout <= _DEFAULT_TIMEOUT:
        raise ImportRefusedError(
            f"{where}: Timeout should be between 50 ms and 30000 ms, found: {timeout}"
        )
    uri = str(integration.get("uri", ""))
    if not function_of(uri):
        raise ImportRefusedError(f"{where}: Invalid lambda function: {uri!r}")
    return {**integration, "timeoutInMillis": timeout}


def function_of(uri: str) -> str:
    """The function's ARN in an integration's URI; "" when it names none."""
    match = _LAMBDA.fullmatch(uri)
    return match[1] if match else ""
