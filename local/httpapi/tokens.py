"""JSON Web Tokens: verified against the issuer's published keys, as API Gateway does.

Only RSA signatures are supported by API Gateway (RS256, RS384, RS512). The issuer's keys are found
by OpenID discovery, `<issuer>/.well-known/openid-configuration`, and kept for two hours; an unknown
key id looks again. Issuers are `https:`; here `http:` on the loopback and `file:` are read as well,
so that tests need no network.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEYS_LAST = 7200
LOOK_AGAIN_AFTER = 10  # seconds: a flood of unknown key ids is no flood of look-ups
LARGEST = 1024 * 1024
HASHES: dict[str, hashes.HashAlgorithm] = {
    "RS256": hashes.SHA256(),
    "RS384": hashes.SHA384(),
    "RS512": hashes.SHA512(),
}
LOOPBACK = ("127.0.0.1", "localhost")


class TokenRefusedError(Exception):
    """A token that is not accepted; the message stands in the answer's WWW-Authenticate."""


class IssuerUnreachableError(Exception):
    """An issuer whose keys cannot be read; the message says why."""


class Issuers:
    """The keys of every issuer that was asked for."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[float, dict[str, rsa.RSAPublicKey]]] = {}
        self._lock = threading.Lock()

    def key(self, issuer: str, key_id: str) -> rsa.RSAPublicKey | None:
        """An issuer's key by its id; raises `IssuerUnreachableError`."""
        with self._lock:
            read_at, keys = self._keys.get(issuer, (float("-inf"), {}))
            age = time.monotonic() - read_at
            if age > KEYS_LAST or (key_id not in keys and age > LOOK_AGAIN_AFTER):
                keys = read_keys(issuer)
                self._keys[issuer] = (time.monotonic(), keys)
            return keys.get(key_id)


def read_keys(issuer: str) -> dict[str, rsa.RSAPublicKey]:
    """An issuer's RSA keys by id, from where it publishes them; raises `IssuerUnreachableError`."""
    document = _fetch(issuer.rstrip("/") + "/.well-known/openid-configuration")
    keys = _fetch(str(document.get("jwks_uri", "")))
    found = {}
    for key in keys.get("keys", []):
        if key.get("kty") == "RSA" and key.get("use", "sig") == "sig":
            exponent, modulus = _integer(key["e"]), _integer(key["n"])
            found[str(key.get("kid", ""))] = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    return found


def _fetch(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    local = parts.scheme == "file" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if parts.scheme != "https" and not local:
        raise IssuerUnreachableError(f"Invalid issuer: {url!r}. Issuer must be an https address.")
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - the scheme is checked above
            document = json.loads(answer.read(LARGEST))
    except (OSError, ValueError) as error:
        raise IssuerUnreachableError(
            f"Caught exception when connecting to {url} : {error}. Please try again later."
        ) from error
    if not isinstance(document, dict):
        raise IssuerUnreachableError(f"{url} holds no JSON object")
    return document


def _integer(text: str) -> int:
    return int.from_bytes(_decoded(text), "big")


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise TokenRefusedError("the token is not base64") from error


def verify(
    token: str, issuer: str, audience: list[str], issuers: Issuers, now: float
) -> dict[str, Any]:
    """The claims of a token that holds in every respect; raises `TokenRefusedError`."""
    header, claims, signed, signature = _parts(token)
    algorithm = HASHES.get(str(header.get("alg")))
    if algorithm is None:
        raise TokenRefusedError(f"the signing method {header.get('alg')} is not supported")
    try:
        key = issuers.key(issuer, str(header.get("kid", "")))
    except IssuerUnreachableError as error:
        raise TokenRefusedError("OIDC discovery endpoint communication error") from error
    if key is None:
        raise TokenRefusedError("signing key not found")
    try:
        key.verify(signature, signed, padding.PKCS1v15(), algorithm)
    except InvalidSignature:
        raise TokenRefusedError("the token has an invalid signature") from None
    _check_claims(claims, issuer, audience, now)
    return claims


def _parts(token: str) -> tuple[Mapping[str, Any], dict[str, Any], bytes, bytes]:
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise TokenRefusedError("the token is malformed")
    try:
        header, claims = json.loads(_decoded(parts[0])), json.loads(_decoded(parts[1]))
    except (ValueError, RecursionError):
        raise TokenRefusedError("the token is malformed") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise TokenRefusedError("the token is malformed")
    return header, claims, f"{parts[0]}.{parts[1]}".encode(), _decoded(parts[2])


def _check_claims(claims: Mapping[str, Any], issuer: str, audience: list[str], now: float) -> None:
    """What API Gateway validates: iss, aud or client_id, exp, nbf, iat."""
    if claims.get("iss") != issuer:
        raise TokenRefusedError("the token has an invalid issuer")
    given = claims.get("aud", claims.get("client_id"))
    if not set(given if isinstance(given, list) else [given]) & set(audience):
        raise TokenRefusedError("the token does not have a valid audience")
    for name, later in (("exp", True), ("nbf", False), ("iat", False)):
        value = claims.get(name)
        if value is None and name != "exp":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TokenRefusedError(f"the token's {name} is no time")
        if later and value <= now:
            raise TokenRefusedError("the token has expired")
        if not later and value > now:
            raise TokenRefusedError("the token is not valid yet")


def scopes_of(claims: Mapping[str, Any]) -> list[str]:
    """The scopes of a token, from `scope` or `scp`."""
    given = claims.get("scope", claims.get("scp"))
    if isinstance(given, str):
        return given.split()
    return [str(each) for each in given] if isinstance(given, list) else []
