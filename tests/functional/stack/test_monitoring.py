"""The story of a monitor on the deployed stack, from a release to the run that its alarm opens.

Real model servers, capture, jobs, metrics, alarms and schedules; no alarm is set by hand, and no
data lands besides labelled traffic. The cloud's clock goes thirty times as fast.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from perennial.approve_version import approve_version
from perennial.aws.predictions_api import PredictionsApi
from perennial.describe_model import describe_model, known_model
from perennial.describe_monitors import (
    describe_monitors,
    find_window,
    read_report_of,
    read_windows,
)
from perennial.describe_run import known_run
from perennial.domain.ledger.monitor_rows import Earlier, WindowRow
from perennial.domain.ledger.rows import OPEN_SK, model_pk
from perennial.domain.ledger.store import read_signals
from perennial.read_drift import read_drift
from perennial.remove_model import remove_model
from perennial.send_labels import send_labels
from perennial.wiring import Ports

from cli.datasets import fetch_dataset
from tests.functional.conftest import REPOSITORY
from tests.functional.stack.conftest import Checkout, make_checkout
from tests.functional.stack.grants import called, not_granted
from tests.functional.stack.release_story import push, until

MODEL, KIND, QUALITY = "abalone", "data-quality", "model-quality"
ALARM = f"perennial-monitor-{MODEL}-{KIND}"
ROWS, PER_REQUEST = 400, 100
FUNCTIONS = {"OnMonitorDueFunction", "OnMonitoringEndedFunction"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A stack whose clock hurries, so that schedules and alarms take seconds."""
    folder, state = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("cloud") / "state"
    made = make_checkout(folder, state, "--clock", "30")
    yield made
    made.cloud.stop()


def project(folder: Path) -> Path:
    """A model whose data quality is watched in windows of a few seconds."""
    made = folder / MODEL
    shutil.copytree(
        REPOSITORY / "models" / MODEL, made, ignore=shutil.ignore_patterns("__pycache__")
    )
    path = made / "model.yaml"
    document = yaml.safe_load(path.read_text("utf-8"))
    document["release"] = {
        "endpoint": {"count": 1},
        "strategy": "all-at-once",
        "guard": {"errors": "5%", "latency_p99": "off", "period": "1m", "evaluations": 1},
        "bake": "2m",
    }
    document["monitor"] = {
        KIND: {"every": "1m", "window": "4s", "delay": "3s"},
        # By hand alone, for a day is longer than this story; and no alarm of its own. By their
        # price errors cost more than any run.
        QUALITY: {"every": "1d", "window": "1d", "bounds": {"r2": {"min": -1000}}},
        "retrain": {"error_usd": 10_000},
    }
    document["data"]["sources"] = ["landed", "labelled-traffic"]
    document["triggers"] |= {"quiet_period": "0s", "cool_down": "0s", "schedules": {}}
    document["train"]["hyperparameters"] |= {"rounds": 20}
    document["gates"] = {"champion": "off"}
    document.pop("facets", None)
    document["explain"] = False
    path.write_text(yaml.safe_dump(document), "utf-8")
    return made


def ask(ports: Ports, factor: float) -> list[tuple[str, tuple[str, ...]]]:
    """Ask the API for predictions, lengths times a factor; ids of requests with what is right."""
    api = PredictionsApi(ports.deployment.predictions_url)
    names, *lines = (
        line.split(",") for line in fetch_dataset(MODEL).tables[0].text(0, ROWS).split()
    )
    found = []
    for start in range(0, ROWS, PER_REQUEST):
        rows, labels = [], []
        for line in lines[start : start + PER_REQUEST]:
            row: dict[str, Any] = dict(zip(names, line, strict=True))
            labels.append(row.pop("rings"))
            rows.append({n: v if n == "sex" else float(v) for n, v in row.items()})
            rows[-1]["length"] = round(rows[-1]["length"] * factor, 4)
        answer = api.predict(MODEL, {"instances": rows}, explain=False)
        assert answer.status == 200, answer.document
        found.append((str(answer.document["request_id"]), tuple(labels)))
    return found


def alarms(checkout: Checkout) -> dict[str, str]:
    """The states of the alarms of the model's monitors."""
    found = checkout.cloud.client("cloudwatch").describe_alarms(AlarmNamePrefix="perennial-")
    return {
        each["AlarmName"]: each["StateValue"]
        for each in found["MetricAlarms"]
        if f"-{MODEL}-{KIND}" in each["AlarmName"]
    }


def schedules(checkout: Checkout) -> list[str]:
    """The names of the model's schedules."""
    found = checkout.cloud.client("scheduler").list_schedules(GroupName="perennial")["Schedules"]
    return [each["Name"] for each in found if MODEL in each["Name"]]


def seen(ports: Ports, violations: bool) -> bool:
    """Whether a window with rows was judged, with or without violations."""
    windows = read_windows(ports, MODEL, KIND)
    return any(each.rows and bool(each.violations) == violations for each in windows)


@pytest.mark.timeout(400)
def test_traffic_that_drifts_retrains(checkout: Checkout, ports: Ports, tmp_path: Path) -> None:
    """Released, watched, drifted, told, labelled, retrained; then by the errors' cost alone, with
    an earlier version beside the live one; removed without a trace."""
    push(ports, project(tmp_path))
    assert set(schedules(checkout)) == {f"perennial-{MODEL}.{each}" for each in (KIND, QUALITY)}
    assert set(alarms(checkout)) == {ALARM, f"perennial-blind-{MODEL}-{KIND}"}
    checkout.cloud.client("s3").put_object(
        Bucket=checkout.outputs["LandingBucket"],
        Key=f"incoming/{MODEL}/rings.csv",
        Body=fetch_dataset(MODEL).tables[0].text().encode(),
    )
    until("run 1", lambda: describe_model(ports, MODEL).last_run and not _open(ports))
    approve_version(ports, MODEL, 1, "good", "ann")
    until("a live version", lambda: known_model(ports.ledger, MODEL).live)

    ask(ports, 1.0)
    until("a window of usual traffic", lambda: seen(ports, violations=False))
    until("its alarm is OK", lambda: alarms(checkout)[ALARM] == "OK")

    requests = ask(ports, 1.8)
    until("the alarm by its own metric", lambda: alarms(checkout)[ALARM] == "ALARM")
    until("its signal", lambda: _drifts(ports))
    (signal,) = _drifts(ports)
    assert "`length` drifted" in signal.evidence["found"]
    assert describe_model(ports, MODEL).last_run == 1  # nothing new to learn yet

    send_labels(ports, MODEL, requests)
    until("run 2", lambda: describe_model(ports, MODEL).last_run == 2)
    (because,) = known_run(ports.ledger, MODEL, 2).because
    assert because.startswith("drift: `length` drifted")
    assert because.endswith(f"(alarm {ALARM})")

    learn_from_labels(checkout, ports)
    assert set(called(checkout)) >= FUNCTIONS
    assert not_granted(checkout) == set()

    watched = describe_monitors(ports, MODEL).monitors[0]
    drifted = next(each for each in reversed(watched.windows) if each.violations)
    report = read_report_of(ports, drifted)
    assert report["violations"][0]["name"] == "length"
    page = read_drift(ports, MODEL).page()
    assert "<svg" in page
    assert "length" in page
    spans = [(each.start_ms, each.end_ms) for each in watched.windows]
    assert all(one[1] == other[0] for one, other in pairwise(spans))

    remove_model(ports, MODEL, by="ann", with_data=True, tell=lambda _: None)
    assert alarms(checkout) == {}
    assert schedules(checkout) == []
    assert list(ports.ledger.query(model_pk(MODEL), "monitor#")) == []
    assert list(ports.ledger.query(model_pk(MODEL), "window#")) == []
    bucket = ports.deployment.artifact_bucket
    for folder in ("monitoring", "labels", "capture"):
        left = checkout.cloud.client("s3").list_objects_v2(
            Bucket=bucket, Prefix=f"{folder}/{MODEL}/"
        )
        assert left["KeyCount"] == 0, folder


def learn_from_labels(checkout: Checkout, ports: Ports) -> None:
    """The version that run 2 registers, and nobody releases, is scored on what the live one answers
    since; then errors that cost more than a run open one, by the policy's signal."""
    # What run 2 has learnt from proves nothing: the next window begins in a later second.
    claimed_ms = until("the manifest", lambda: known_run(ports.ledger, MODEL, 2).claimed_ms)
    until("the next second", lambda: ports.clock() // 1000 > claimed_ms // 1000)
    judge_by_hand(checkout, ports)
    requests = ask(ports, 1.0)
    send_labels(ports, MODEL, requests)
    until("its capture", lambda: is_captured(checkout, ports, requests[-1][0]))
    until("version 2", lambda: known_run(ports.ledger, MODEL, 2).version and not _open(ports))

    window = judge_by_hand(checkout, ports)
    assert [each.version for each in window.earlier] == [2]
    (scored,) = until("version 2's score", lambda: _scores(ports, window.end_ms))
    assert scored.words == ""
    assert -1 < float(scored.gain) < 1
    assert float(scored.spread) > 0
    until("run 3", lambda: describe_model(ports, MODEL).last_run == 3)
    (because,) = known_run(ports.ledger, MODEL, 3).because
    assert because.startswith("schedule retrain-policy: ")
    assert "a training would have saved an error of" in because


def is_captured(checkout: Checkout, ports: Ports, request: str) -> bool:
    """Whether the capture of a request lies in S3."""
    s3, place = checkout.cloud.client("s3"), {"Bucket": ports.deployment.artifact_bucket}
    found = s3.list_objects_v2(**place, Prefix=f"capture/{MODEL}/").get("Contents", ())
    newest = sorted(found, key=lambda each: each["LastModified"])[-3:]
    bodies = [s3.get_object(**place, Key=each["Key"])["Body"].read() for each in newest]
    return any(request.encode() in body for body in bodies)


def judge_by_hand(checkout: Checkout, ports: Ports) -> WindowRow:
    """Let model quality judge what there is up to now."""
    before = len(read_windows(ports, MODEL, QUALITY))
    event = {"perennial": "monitor", "model": MODEL, "monitor": QUALITY, "by": "ann"}
    checkout.cloud.client("lambda").invoke(
        FunctionName=ports.deployment.monitor_due_arn, Payload=json.dumps(event)
    )

    def judged() -> WindowRow | None:
        windows = read_windows(ports, MODEL, QUALITY)[before:]
        return windows[0] if windows and windows[0].state != "open" else None

    window: WindowRow = until("a judged window", judged)
    assert (window.state, window.labelled) == ("done", ROWS), window.words
    return window


def _scores(ports: Ports, end_ms: int) -> tuple[Earlier, ...]:
    window = find_window(ports, MODEL, QUALITY, end_ms)
    return window.earlier if all(each.is_over for each in window.earlier) else ()


def _open(ports: Ports) -> bool:
    return describe_model(ports, MODEL).open_run is not None


def _drifts(ports: Ports) -> list[Any]:
    return [each for each in read_signals(ports.ledger, MODEL, OPEN_SK) if each.kind == "drift"]
