"""Transactions and prefix queries of DynamoDB, whole and in good time on a long partition."""

import time
from typing import Any

import pytest

from tests.functional.conftest import LocalCloud
from tests.functional.local_core.conftest import unique


@pytest.fixture
def table(local_cloud: LocalCloud) -> str:
    """An empty table with partition and sort key."""
    name = unique("table")
    local_cloud.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def key(sk: str) -> dict[str, Any]:
    """A key in the one partition."""
    return {"pk": {"S": "model#census"}, "sk": {"S": sk}}


def everything(cloud: LocalCloud, table: str) -> dict[str, str]:
    """All rows: sort key to value."""
    items = cloud.client("dynamodb").scan(TableName=table)["Items"]
    return {item["sk"]["S"]: item["v"]["N"] for item in items}


def test_failed_transaction_leaves_every_row_as_it_was(local_cloud: LocalCloud, table: str) -> None:
    """Put, update, delete and a failing check: nothing of it stays, and the reasons are told."""
    dynamodb = local_cloud.client("dynamodb")
    for name in ("updated", "deleted", "other"):
        dynamodb.put_item(TableName=table, Item={**key(name), "v": {"N": "1"}})
    before = everything(local_cloud, table)
    operations = [
        {"Put": {"TableName": table, "Item": {**key("new"), "v": {"N": "9"}}}},
        {
            "Update": {
                "TableName": table,
                "Key": key("updated"),
                "UpdateExpression": "SET v = :v",
                "ExpressionAttributeValues": {":v": {"N": "9"}},
            }
        },
        {"Delete": {"TableName": table, "Key": key("deleted")}},
        {
            "ConditionCheck": {
                "TableName": table,
                "Key": key("absent"),
                "ConditionExpression": "attribute_exists(pk)",
            }
        },
    ]
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as error:
        dynamodb.transact_write_items(TransactItems=operations)
    codes = [reason["Code"] for reason in error.value.response["CancellationReasons"]]
    assert codes == ["None", "None", "None", "ConditionalCheckFailed"]
    assert everything(local_cloud, table) == before
    dynamodb.transact_write_items(TransactItems=operations[:3])
    assert everything(local_cloud, table) == {"new": "9", "updated": "9", "other": "1"}


def test_prefix_query_pages_in_order(local_cloud: LocalCloud, table: str) -> None:
    """begins_with returns exactly the prefix, page after page, forwards and backwards."""
    dynamodb = local_cloud.client("dynamodb")
    for name in ("model", "open#a", "open#b", "open#c", "run#1"):
        dynamodb.put_item(TableName=table, Item={**key(name), "v": {"N": "1"}})
    for forward, expected in (
        (True, ["open#a", "open#b", "open#c"]),
        (False, ["open#c", "open#b", "open#a"]),
    ):
        found = []
        pages = dynamodb.get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression="pk = :p AND begins_with(sk, :s)",
            ExpressionAttributeValues={":p": {"S": "model#census"}, ":s": {"S": "open#"}},
            ScanIndexForward=forward,
            PaginationConfig={"PageSize": 2},
        )
        for page in pages:
            found += [item["sk"]["S"] for item in page["Items"]]
        assert found == expected
    whole = dynamodb.query(
        TableName=table,
        KeyConditionExpression="pk = :p",
        ExpressionAttributeValues={":p": {"S": "model#census"}},
    )
    assert whole["Count"] == 5


def test_long_partition_slows_no_transaction(local_cloud: LocalCloud, table: str) -> None:
    """Among 2,000 rows a transaction and a prefix query cost about what they cost among none."""
    dynamodb = local_cloud.client("dynamodb")

    def seconds() -> float:
        started = time.monotonic()
        for number in range(10):
            dynamodb.transact_write_items(
                TransactItems=[
                    {
                        "Put": {
                            "TableName": table,
                            "Item": {**key(f"open#{number}"), "v": {"N": "1"}},
                        }
                    }
                ]
            )
            dynamodb.query(
                TableName=table,
                KeyConditionExpression="pk = :p AND begins_with(sk, :s)",
                ExpressionAttributeValues={":p": {"S": "model#census"}, ":s": {"S": "open#1"}},
            )
        return time.monotonic() - started

    seconds()
    empty = min(seconds() for _ in range(3))
    for batch in range(80):
        rows = [{**key(f"done#{batch}-{n}"), "v": {"N": "1"}} for n in range(25)]
        dynamodb.batch_write_item(
            RequestItems={table: [{"PutRequest": {"Item": row}} for row in rows]}
        )
    full = min(seconds() for _ in range(3))
    assert full < 4 * empty + 0.1, (empty, full)


def test_every_type_of_value_comes_back_as_it_was(local_cloud: LocalCloud, table: str) -> None:
    """Texts, numbers, binaries, sets, lists and maps, nested, by every way of reading."""
    dynamodb = local_cloud.client("dynamodb")
    plain = {"M": {"n": {"N": "1.50"}, "no": {"BOOL": False}, "z": {"NULL": True}}}
    item = {
        **key("all"),
        "empty": {"S": ""},
        "list": {"L": [plain, {"S": "é"}, {"L": []}, {"M": {}}]},
        "binary": {"B": b"\x00\xff"},
        "mixed": {"L": [{"B": b"\x01"}, plain]},
        "texts": {"SS": ["a", "b"]},
        "numbers": {"NS": ["1", "2"]},
    }
    dynamodb.put_item(TableName=table, Item=item)
    found = [
        dynamodb.get_item(TableName=table, Key=key("all"))["Item"],
        *dynamodb.scan(TableName=table)["Items"],
        *dynamodb.query(
            TableName=table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "model#census"}},
        )["Items"],
        *(
            each["Item"]
            for each in dynamodb.transact_get_items(
                TransactItems=[{"Get": {"TableName": table, "Key": key("all")}}]
            )["Responses"]
        ),
    ]
    for each in found:
        sets = {name: {kind: sorted(values)} for name in ("texts", "numbers")
                for kind, values in each[name].items()}  # fmt: skip
        assert {**each, **sets} == item
