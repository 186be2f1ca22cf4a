"""Whoever hands out tokens: keys in files, as an issuer publishes them, and signed tokens."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa


@dataclass(frozen=True)
class Issuer:
    """An issuer by its address, with the key that it signs with."""

    url: str
    key: rsa.RSAPrivateKey

    def token(self, *, method: str = "RS256", **claims: Any) -> str:
        """A token of this issuer for the audience `us`, good for a minute."""
        whole = {"iss": self.url, "aud": "us", "sub": "ann", "exp": time.time() + 60, **claims}
        head = part({"alg": method, "kid": "one"})
        signed = f"{head}.{part({k: v for k, v in whole.items() if v is not None})}"
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{text(signature)}"


def bearer(token: str) -> dict[str, str]:
    """The header that brings a token."""
    return {"Authorization": f"Bearer {token}"}


def part(document: Any) -> str:
    """A part of a token."""
    return text(json.dumps(document).encode())


def text(octets: bytes) -> str:
    """Base64 as tokens have it."""
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def new_key() -> rsa.RSAPrivateKey:
    """A key of nobody's yet."""
    return rsa.generate_private_key(65537, 2048)


def publish(folder: Path) -> Issuer:
    """An issuer whose keys lie in a folder."""
    key = new_key()
    numbers = key.public_key().public_numbers()
    n, e = (text(v.to_bytes((v.bit_length() + 7) // 8, "big")) for v in (numbers.n, numbers.e))
    jwks = folder / "jwks.json"
    jwks.write_text(json.dumps({"keys": [{"kty": "RSA", "kid": "one", "n": n, "e": e}]}))
    (folder / ".well-known").mkdir()
    known = folder / ".well-known" / "openid-configuration"
    known.write_text(json.dumps({"jwks_uri": jwks.as_uri()}))
    return Issuer(folder.as_uri(), key)
