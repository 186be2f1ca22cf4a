"""Who may call a route: anybody, who signs (AWS_IAM), or who brings a token (JWT)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from local.httpapi.imports import HEADER
from local.httpapi.payload import ApiAnswer, ApiRequest, message
from local.httpapi.tokens import Issuers, TokenRefusedError, scopes_of, verify
from local.operations import credential_scope

if TYPE_CHECKING:
    from local.cloud import Cloud

_SERVICE = "execute-api"


class NotAuthorisedError(Exception):
    """A request that may not pass: what the client gets, and the words for the access log."""

    def __init__(self, answer: ApiAnswer, words: str) -> None:
        super().__init__(words)
        self.answer = answer


@dataclass(frozen=True)
class Caller:
    """Who calls: `event` is `requestContext.authorizer`, `log` what `$context` knows."""

    event: dict[str, Any] | None = None
    log: dict[str, str] = field(default_factory=dict)


class Authoriser:
    """One a gateway."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._issuers = Issuers()

    def check(self, api: Any, route: Any, request: ApiRequest) -> Caller:
        """The caller, or `NotAuthorisedError`. What we do not know is a closed door."""
        kind = route.authorization_type or "NONE"
        if kind == "NONE":
            return Caller()
        if kind == "AWS_IAM":
            return self._signed(request)
        if kind == "JWT":
            return self._with_token(api.authorizers[route.authorizer_id], route, request)
        words = f"the local cloud does not support authorization {kind} yet"
        raise NotAuthorisedError(message(500, f"Internal Server Error: {words}"), words)

    def _signed(self, request: ApiRequest) -> Caller:
        """As everywhere in the local cloud a signature must be there, and is not recomputed."""
        scope = credential_scope({"HTTP_AUTHORIZATION": request.headers.get("authorization", "")})
        if scope is None:
            raise NotAuthorisedError(message(403, "Forbidden"), "no AWS signature")
        if (scope.service, scope.region) != (_SERVICE, request.region):
            words = (
                f"Credential should be scoped to correct service: '{_SERVICE}', "
                f"and to the Region {request.region}."
            )
            raise NotAuthorisedError(message(403, words), words)
        arn = f"arn:aws:iam::{request.account}:user/{scope.access_key}"
        iam = {
            "accessKey": scope.access_key,
            "accountId": request.account,
            "callerId": scope.access_key,
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": arn,
            "userId": scope.access_key,
        }
        log = {"identity.caller": scope.access_key, "identity.userArn": arn}
        log |= {"identity.user": scope.access_key, "identity.accountId": request.account}
        return Caller({"iam": iam}, log)

    def _with_token(self, authorizer: Any, route: Any, request: ApiRequest) -> Caller:
        token = _token(authorizer.identity_source, request)
        if not token:
            answer = message(401, "Unauthorized", ("www-authenticate", "Bearer"))
            raise NotAuthorisedError(answer, "no token")
        wanted = authorizer.jwt_config
        try:
            claims = verify(
                token,
                wanted["issuer"],
                list(wanted.get("audience") or []),
                self._issuers,
                self._cloud.clock.now(),
            )
        except TokenRefusedError as error:
            challenge = f'Bearer error="invalid_token" error_description="{error}"'
            answer = message(401, "Unauthorized", ("www-authenticate", challenge))
            raise NotAuthorisedError(answer, str(error)) from error
        scopes = scopes_of(claims)
        needed = list(route.authorization_scopes or [])
        if needed and not set(needed) & set(scopes):
            challenge = f'Bearer scope="{" ".join(needed)}" error="insufficient_scope"'
            answer = message(403, "Forbidden", ("www-authenticate", challenge))
            raise NotAuthorisedError(answer, "insufficient scope")
        texts = {name: _claim(value) for name, value in claims.items()}
        log = {f"authorizer.claims.{name}": value for name, value in texts.items()}
        return Caller({"jwt": {"claims": texts, "scopes": (needed and scopes) or None}}, log)


def _token(sources: list[str], request: ApiRequest) -> str:
    for source in sources or ["$request.header.Authorization"]:
        match = HEADER.fullmatch(source)
        value = request.headers.get(match[1].lower(), "") if match else ""
        if value:
            kind, _, rest = value.partition(" ")
            return rest.strip() if kind.lower() == "bearer" and rest else value
    return ""


def _claim(value: Any) -> str:
    """Claims travel as texts; lists as `[a b]`."""
    if isinstance(value, list):
        return f"[{' '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
