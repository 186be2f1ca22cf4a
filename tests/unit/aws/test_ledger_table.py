"""The table keeps the promises of the store: the same tests run on it and on the one in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from perennial.aws.clients import client
from perennial.aws.ledger_table import LedgerTable, delete_table, from_attribute, to_attribute
from perennial.domain.errors import Conflict, NotFound, Unavailable
from perennial.domain.ledger.rows import (
    Champion,
    Key,
    ModelRow,
    Paused,
    Row,
    RunRow,
    SettingsRow,
    SignalRow,
    model_key,
    model_pk,
)
from perennial.domain.ledger.store import (
    MemoryStore,
    Store,
    absent,
    change,
    create,
    drop,
    move,
    unchanged,
)

MODEL = ModelRow("census", settings=3, paused=Paused("ann", "ü", 5), opened_ms=(1, 2))


def signal(number: int, **fields: Any) -> SignalRow:
    """A pending signal with an awkward key."""
    parts = ("landing", f"incoming/census/a b+%41-ü{number}.csv", "v")
    return SignalRow("census", f"{number:064}", "data", parts, {"size": 7, "x": 0.5}, 9, **fields)


@pytest.fixture(params=["memory", "table"])
def store(request: pytest.FixtureRequest) -> Store:
    """Both stores."""
    if request.param == "memory":
        return MemoryStore()
    return LedgerTable(request.getfixturevalue("table"))


def test_rows_come_back_as_they_were_written(store: Store) -> None:
    """Every kind of row, with numbers, lists, nested values, empty and hostile texts."""
    champion = Champion(7, "arn", "sha256:x", run=12, settings=3, since_ms=99)
    rows: list[Row] = [
        replace(MODEL, champion=champion),
        SettingsRow("census", 3, "s3://a/b", "sha", "{}", 1, "ann"),
        signal(1),
        RunRow("census", 12, 3, 5, because=("a", "ü"), check={"rows": {"good": 5}, "ok": True}),
    ]
    store.commit([create(row) for row in rows])
    for row in rows:
        assert store.get(row.key) == replace(row, rev=1)
    assert store.get(Key("model#census", "run#000099")) is None


def test_a_query_finds_what_begins_so_in_order(store: Store) -> None:
    """Only one partition and only the prefix."""
    rows: list[Row] = [signal(n) for n in (3, 1, 2)]
    rows += [MODEL, replace(signal(4), model="abalone")]
    store.commit([create(row) for row in rows])
    found = [row.key.sk for row in store.query(model_pk("census"), "open#")]
    assert found == [f"open#{n:064}" for n in (1, 2, 3)]
    assert list(store.query(model_pk("none"), "open#")) == []


@pytest.mark.parametrize(
    "stale",
    [
        create,
        lambda row: change(replace(row, rev=7), settings=9),
        lambda row: drop(replace(row, rev=7)),
        lambda row: unchanged(replace(row, rev=7)),
        lambda row: absent(row.key),
    ],
    ids=["create", "change", "drop", "unchanged", "absent"],
)
@pytest.mark.parametrize("beside", [0, 2])
def test_one_stale_change_refuses_them_all(
    store: Store, stale: Callable[[ModelRow], Any], beside: int
) -> None:
    """A lost race raises Conflict and leaves nothing behind, alone or in company."""
    store.commit([create(MODEL)])
    others = [create(signal(n)) for n in range(beside)]
    with pytest.raises(Conflict):
        store.commit([*others, stale(replace(MODEL, rev=1))])
    assert store.get(MODEL.key) == replace(MODEL, rev=1)
    assert list(store.query(model_pk("census"), "open#")) == []


def test_a_signal_moves_as_one(store: Store) -> None:
    """Settling removes the open row and writes the done row together; rev goes on."""
    store.commit([create(signal(1))])
    row = replace(signal(1), rev=1)
    store.commit([*move(row, state="consumed", run=4), absent(model_key("x"))])
    assert store.get(row.key) is None
    (done,) = store.query(model_pk("census"), "done#")
    assert done == replace(row, state="consumed", run=4, rev=2)
    with pytest.raises(Conflict):
        store.commit(move(row, state="superseded"))


@pytest.mark.parametrize("changes", [101, 2])
def test_what_is_no_transaction_is_refused_before_any_call(store: Store, changes: int) -> None:
    """More than a hundred changes, or two of one row, are mistakes of the caller."""
    rows = [signal(n if changes > 2 else 0) for n in range(changes)]
    with pytest.raises(ValueError, match="no transaction"):
        store.commit([create(row) for row in rows])


def test_a_query_follows_every_page(table: str) -> None:
    """More than one page of rows comes back whole."""
    store = LedgerTable(table)
    big = "x" * 50_000
    for number in range(30):
        store.commit([create(replace(signal(number), reason=big))])
    assert len(list(store.query(model_pk("census"), "open#"))) == 30


def test_models_are_listed_without_a_scan(table: str) -> None:
    """Each pushed model once, until it is forgotten."""
    store = LedgerTable(table)
    for model in ("census", "abalone", "census"):
        store.enlist(model)
    assert store.models() == ["abalone", "census"]
    store.delist("census")
    store.delist("census")
    assert store.models() == ["abalone"]


def test_a_write_that_took_effect_but_failed_is_found_by_reading_again(
    table: str,
) -> None:
    """Done, but the caller was told it failed: the error asks to read again, never to assume."""
    store = LedgerTable(table)
    dynamodb = client("dynamodb")

    def lie(**_response: Any) -> None:
        raise ConnectionResetError("told that it failed")

    dynamodb.meta.events.register("after-call.dynamodb.PutItem", lie)
    with pytest.raises(ConnectionResetError):
        store.commit([create(MODEL)])
    dynamodb.meta.events.unregister("after-call.dynamodb.PutItem", lie)
    with pytest.raises(Conflict):
        store.commit([create(MODEL)])
    assert store.get(MODEL.key) == replace(MODEL, rev=1)


def test_a_server_error_is_unavailable(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 500 after all attempts is retryable."""
    store = LedgerTable(table)

    def fail(**_request: Any) -> Any:
        answer: Any = AWSResponse("http://x", 500, HTTPHeaders(), None)
        answer._content = b""
        return answer

    monkeypatch.setattr("time.sleep", lambda _s: None)
    events = client("dynamodb").meta.events
    events.register_first("before-send.dynamodb.GetItem", fail)
    with pytest.raises(Unavailable, match="reading model#census/model"):
        store.get(MODEL.key)
    events.unregister("before-send.dynamodb.GetItem", fail)


def test_a_missing_table_is_not_found_and_deleting_it_is_harmless(table: str) -> None:
    """A wrong name is named; removal is repeatable."""
    delete_table(table)
    delete_table(table)
    with pytest.raises(NotFound):
        LedgerTable(table).get(MODEL.key)
    assert boto3.client("dynamodb").list_tables()["TableNames"] == []


def test_values_round_trip_and_fractions_are_refused() -> None:
    """Integers stay integers, booleans booleans; a float would not come back as it was."""
    value = {"n": 2**53 + 1, "b": True, "none": None, "l": [1, "a", {"x": ""}], "s": "ü"}
    assert from_attribute(to_attribute(value)) == value
    for wrong in (0.5, b"x", {1}):
        with pytest.raises(TypeError, match="cannot hold"):
            to_attribute(wrong)
    with pytest.raises(TypeError, match="kind SS"):
        from_attribute({"SS": ["a"]})
