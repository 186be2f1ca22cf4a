"""Functions of ours, asked by others of ours and by the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import Unavailable


def ask(function: str, event: Mapping[str, Any]) -> Any:
    """Invoke a function and wait for its answer; raises `Unavailable` when it failed."""
    with translated(f"asking {function}"):
        answer = client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
        body = answer["Payload"].read()
    if answer.get("FunctionError"):
        raise Unavailable(f"{function} failed: {body.decode(errors='replace')[:500]}")
    return json.loads(body) if body else None


def tell(function: str, event: Mapping[str, Any]) -> None:
    """Invoke a function without waiting; Lambda tries it again by itself."""
    with translated(f"telling {function}"):
        client("lambda").invoke(
            FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode()
        )
