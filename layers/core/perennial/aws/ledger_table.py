"""The ledger in DynamoDB: strongly consistent reads, all-or-nothing compare-and-swap writes.

A row is a mapping of native attributes; numbers are integers. Every write grows `rev` by one,
under the condition that it has not changed since the row was read. When the outcome of a
write is not known (a time-out, a server's error), the error surfaces as `Unavailable`, or the
repetition finds the changed `rev` and raises `Conflict`: either way the caller reads again and
decides again, which is right whether or not the write took effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.aws.clients import client
from perennial.aws.errors import translated
from perennial.domain.errors import NotFound
from perennial.domain.ledger.codec import from_item, to_item
from perennial.domain.ledger.rows import Key, Row
from perennial.domain.ledger.store import MOST_WRITES, Change, Check, Write

# The partition that lists the models: a query of it saves scanning the whole table.
MODELS_PK = "models"
_ABSENT = "attribute_not_exists(pk)"
_AT_REV = "rev = :rev"


@dataclass(frozen=True)
class LedgerTable:
    """The `Store` of production: one table, by its name."""

    name: str

    def get(self, key: Key) -> Row | None:
        """The row at `key`, as of now."""
        with translated(f"reading {'/'.join(key)}"):
            answer = client("dynamodb").get_item(
                TableName=self.name, Key=_key(key), ConsistentRead=True
            )
        item = answer.get("Item")
        return from_item(_plain(item)) if item else None

    def query(self, pk: str, sk_prefix: str) -> Iterator[Row]:
        """Every row of the partition whose sort key begins so, ordered by it, as of now."""
        for item in self._items(pk, sk_prefix):
            yield from_item(item)

    def commit(self, changes: Sequence[Change]) -> None:
        """Make all changes or none; raises `Conflict` if any row is not as expected."""
        keys = [each.key for each in changes]
        if len(keys) > MOST_WRITES or len(set(keys)) < len(keys):
            raise ValueError(f"no transaction: {len(keys)} changes of {len(set(keys))} rows")
        requests: list[Any] = [self._request(each) for each in changes]
        what = f"writing {', '.join('/'.join(key) for key in keys[:3])}"
        with translated(what):
            if len(requests) == 1 and "ConditionCheck" not in requests[0]:
                # A plain conditional write does the same at half the price.
                ((operation, request),) = requests[0].items()
                dynamodb = client("dynamodb")
                write = dynamodb.put_item if operation == "Put" else dynamodb.delete_item
                write(**request)
            elif requests:
                client("dynamodb").transact_write_items(TransactItems=requests)

    def models(self) -> list[str]:
        """Every model that was ever pushed and not forgotten, by name."""
        return [str(item["sk"]) for item in self._items(MODELS_PK, "")]

    def enlist(self, model: str) -> None:
        """Let `models` name the model; again is harmless."""
        with translated(f"listing model {model}"):
            client("dynamodb").put_item(
                TableName=self.name, Item=_key(Key(MODELS_PK, model)) | {"rev": {"N": "1"}}
            )

    def delist(self, model: str) -> None:
        """Let `models` name the model no more; again is harmless."""
        with translated(f"forgetting model {model}"):
            client("dynamodb").delete_item(TableName=self.name, Key=_key(Key(MODELS_PK, model)))

    def _request(self, change: Change) -> dict[str, Any]:
        expect = change.rev if isinstance(change, Check) else change.expect
        condition: dict[str, Any] = {"TableName": self.name}
        if expect is None:
            condition["ConditionExpression"] = _ABSENT
        else:
            condition["ConditionExpression"] = _AT_REV
            condition["ExpressionAttributeValues"] = {":rev": {"N": str(expect)}}
        if isinstance(change, Write) and change.row is not None:
            item = {name: to_attribute(each) for name, each in to_item(change.row).items()}
            return {"Put": {**condition, "Item": item}}
        kind = "Delete" if isinstance(change, Write) else "ConditionCheck"
        return {kind: {**condition, "Key": _key(change.key)}}

    def _items(self, pk: str, sk_prefix: str) -> Iterator[dict[str, Any]]:
        values: dict[str, Any] = {":pk": {"S": pk}}
        condition = "pk = :pk"
        if sk_prefix:
            values[":sk"] = {"S": sk_prefix}
            condition += " AND begins_with(sk, :sk)"
        pages = (
            client("dynamodb")
            .get_paginator("query")
            .paginate(
                TableName=self.name,
                ConsistentRead=True,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
            )
        )
        with translated(f"reading {pk}/{sk_prefix}"):
            for page in pages:
                yield from map(_plain, page["Items"])


def _key(key: Key) -> dict[str, Any]:
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


def _plain(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: from_attribute(each) for name, each in item.items()}


def to_attribute(value: Any) -> dict[str, Any]:
    """One value as DynamoDB writes it; floats are refused, since they do not round-trip."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case Mapping():
            return {"M": {str(key): to_attribute(item) for key, item in value.items()}}
        case list() | tuple():
            return {"L": [to_attribute(item) for item in value]}
    raise TypeError(f"a ledger row cannot hold {value!r}: {type(value).__name__}")


def from_attribute(attribute: Mapping[str, Any]) -> Any:
    """The value of one DynamoDB attribute."""
    ((kind, value),) = attribute.items()
    match kind:
        case "NULL":
            return None
        case "N":
            return int(value)
        case "M":
            return {key: from_attribute(item) for key, item in value.items()}
        case "L":
            return [from_attribute(item) for item in value]
        case "S" | "BOOL":
            return value
    raise TypeError(f"a ledger row holds an attribute of kind {kind}, which none of ours writes")


def delete_table(name: str) -> None:
    """Remove a table with all its rows; one that is gone stays gone."""
    try:
        with translated(f"deleting table {name}"):
            client("dynamodb").delete_table(TableName=name)
    except NotFound:
        return
