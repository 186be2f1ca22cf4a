"""Requests for predictions as an API brings them, and what the ledger says is live."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from perennial.domain.ledger.move_rows import Move
from perennial.domain.ledger.rows import Champion, Live
from perennial.domain.ledger.store import change
from perennial.predict import respond

from tests.unit.usecases.model_server import Reply
from tests.unit.world import MODEL, START_MS, World

COLUMNS = {
    "age": {"type": "int", "min": 0, "max": 120},
    "job": {"type": "category", "levels": ["nurse", "clerk"]},
    "town": {"type": "category", "levels": ["Ulm"], "open": True, "required": False},
    "income": {"type": "category", "levels": ["<=50K", ">50K"]},
}
ROW = {"age": 39, "job": "nurse"}
ID = "11111111-2222-3333-4444-555555555555"
ENDPOINT = "perennial-live-census"
TARGET = "perennial-next-census"


def go_live(world: World, **fields: Any) -> None:
    """Let the ledger say that a version is live."""
    made: dict[str, Any] = {
        "champion": Champion(7, "arn:7", "d", 1, 1, START_MS),
        "live": Live(ENDPOINT, "config", 1, 7, "arn:7", START_MS, run=1, settings=1),
        **fields,
    }
    world.ledger.commit([change(world.model(), **made)])


def event(
    body: Any = ROW, *, model: str = MODEL, method: str = "POST", **more: Any
) -> dict[str, Any]:
    """An API's event; `body` as text or as what to write in JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    found: dict[str, Any] = {
        "version": "2.0",
        "headers": {"content-type": "application/json"},
        "pathParameters": {"model": model},
        "requestContext": {"http": {"method": method}},
        "isBase64Encoded": False,
        "body": text,
    }
    return found | more


def ask(world: World, body: Any = ROW, **more: Any) -> tuple[int, Any, Mapping[str, str]]:
    """One request: status, document, headers."""
    answer = respond(world.ports, event(body, **more), ID)
    return answer["statusCode"], json.loads(answer["body"]), answer["headers"]


def keyed(key: str, caller: str = "ann") -> dict[str, Any]:
    """A request with an Idempotency-Key, signed by somebody."""
    iam = {"iam": {"userArn": f"arn:aws:iam::1:user/{caller}"}}
    context = {"http": {"method": "POST"}, "authorizer": iam}
    headers = {"content-type": "application/json", "idempotency-key": key}
    return {"headers": headers, "requestContext": context}


def moving(permille: int, **more: Any) -> dict[str, Any]:
    """The fields of a model row whose release 2 brings version 8 on an endpoint of its own."""
    known: dict[str, Any] = {"settings": 1, "kind": "serverless"} | more
    return {"move": Move(2, TARGET, 8, "config-2", "arn:8", permille, **known)}


def plain(document: dict[str, Any]) -> Reply:
    """A server that does not tell its version."""
    return Reply(body=json.dumps({"predictions": [1] * len(document["instances"])}).encode())
