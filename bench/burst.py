"""1,000 objects in 10 s with duplicated and reordered events: how many runs, what became of each.

    .venv/bin/python -m bench.burst [objects] [seconds]

Expects one run, or one and one follow-up, and every object in the dataset of a run that reached
its verdict. Prints the time per object through function and ledger beside a bare conditional put
into the same table.
"""

from __future__ import annotations

import collections
import concurrent.futures
import random
import sys
import time
import uuid
from typing import Any

import boto3

from bench.common import ROOT, control, fetch_csv, perennial, perennial_json, running_stack, timed

MODEL = "abalone"


def slices(rows: list[str], count: int) -> list[bytes]:
    """Cut the rows into `count` CSV files with a header, repeating rows if there are too few."""
    header, body = rows[0], rows[1:]
    size = max(1, len(body) // count)
    return [
        "\n".join([header, *(body[(i * size + k) % len(body)] for k in range(size))]).encode()
        for i in range(count)
    ]


def land(bucket: str, bodies: list[bytes], seconds: float) -> float:
    """Put every object, spread over the given time; the seconds it took."""
    s3 = boto3.client("s3")
    started = time.perf_counter()

    def put(number: int) -> None:
        due = started + seconds * number / len(bodies)
        time.sleep(max(0.0, due - time.perf_counter()))
        key = f"incoming/{MODEL}/part-{number:05d} é+%.csv"
        s3.put_object(Bucket=bucket, Key=key, Body=bodies[number])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(len(bodies))))
    return time.perf_counter() - started


def wait_until_quiet(table: Any) -> None:
    """Wait until no signal is open and no run is at work (at most ten minutes)."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        pages = table.meta.client.get_paginator("scan").paginate(
            TableName=table.name, ConsistentRead=True
        )
        rows = [item for page in pages for item in page["Items"] if item.get("model") == MODEL]
        at_work = any(row["sk"] == "model" and row.get("open_run") for row in rows)
        if not at_work and not any(row["sk"].startswith("open#") for row in rows):
            return
        time.sleep(1)
    sys.exit(f"after ten minutes {MODEL} is still busy: {perennial('why', MODEL)}")


def states(table: Any) -> collections.Counter[str]:
    """Count the data signals by state, straight from the ledger."""
    found: collections.Counter[str] = collections.Counter()
    page: dict[str, Any] = {}
    while True:
        answer = table.scan(ConsistentRead=True, **page)
        found.update(i["state"] for i in answer["Items"] if i.get("kind") == "data")
        if "LastEvaluatedKey" not in answer:
            return found
        page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def bare_put_seconds(table: Any) -> float:
    """Median seconds of one conditional put of a small row."""

    def put() -> None:
        table.put_item(
            Item={"pk": "bench", "sk": uuid.uuid4().hex, "rev": 1, "body": "x" * 300},
            ConditionExpression="attribute_not_exists(pk)",
        )

    return timed(put, 50)


def main(count: int = 1000, seconds: float = 10.0) -> None:
    """Land the burst and account for every object."""
    rows = fetch_csv(MODEL)
    with running_stack():
        perennial(
            "push", str(ROOT / "models" / MODEL),
            "--set", "triggers.quiet_period=5s", "--set", "triggers.cool_down=0s",
            "--set", "triggers.max_wait=5m", "--set", "data.min_rows=100",
        )  # fmt: skip
        outputs = boto3.client("cloudformation").describe_stacks(StackName="perennial")
        names = {o["OutputKey"]: o["OutputValue"] for o in outputs["Stacks"][0]["Outputs"]}
        table = boto3.resource("dynamodb").Table(names["LedgerTable"])
        bare = bare_put_seconds(table)
        control("POST", "/_local/faults", {"duplicates": 0.3, "reorder": 0.3, "seed": 7})
        bodies = slices(rows, count)
        random.Random(7).shuffle(bodies)
        took = land(names["LandingBucket"], bodies, seconds)
        control("POST", "/_local/faults", {})
        wait_until_quiet(table)
        found, runs = states(table), perennial_json("runs", MODEL)
        journal = control("GET", "/_local/journal")["entries"]
    invoked = [e for e in journal if e["kind"] == "invocation" and "OnSignal" in e["function"]]
    spent = sum(e["duration_ms"] for e in invoked) / 1000
    duplicates = sum(e.get("fault") == "duplicate" for e in journal)
    print(f"{count} objects landed in {took:.1f} s; {duplicates} events delivered twice")
    print(f"runs: {len(runs)} ({', '.join(str(r['outcome']) for r in runs)}); "
          f"objects by state: {dict(found)}")  # fmt: skip
    print(f"through on_signal and ledger: {spent / count * 1000:.1f} ms an object; a bare "
          f"conditional put: {bare * 1000:.1f} ms; ratio {spent / count / bare:.1f}")  # fmt: skip
    if len(runs) > 2 or found["consumed"] != count:
        sys.exit("NOT as promised: at most two runs, and every object consumed")


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
