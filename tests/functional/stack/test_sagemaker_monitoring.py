"""The story of SageMaker Model Monitor on the deployed stack: `providers.monitor: sagemaker`.

A release puts its schedules; their executions, asked for and by the hour, become windows, figures,
an alarm and a signal, as those of our own jobs do. Real model servers, capture, schedules, jobs
and alarms; the analyzer is the local cloud's stand-in. The cloud's clock hurries.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from perennial.approve_version import approve_version
from perennial.aws import functions
from perennial.aws.predictions_api import PredictionsApi
from perennial.describe_model import describe_model, known_model
from perennial.describe_monitors import read_report_of, read_windows
from perennial.domain.ledger.monitor_rows import WindowRow
from perennial.read_drift import read_drift
from perennial.remove_model import remove_model
from perennial.send_labels import send_labels
from perennial.start_monitor import read_monitor_row
from perennial.wiring import Ports

from cli.datasets import fetch_dataset
from tests.functional.stack.conftest import Checkout, make_checkout
from tests.functional.stack.grants import called, not_granted
from tests.functional.stack.release_story import push, until
from tests.functional.stack.test_monitoring import (
    ALARM,
    KIND,
    MODEL,
    _drifts,
    _open,
    alarms,
    ask,
    project,
    schedules,
)

pytestmark = pytest.mark.long
QUALITY = "model-quality"
CLOCK, HURRY = 30, 720


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """A stack whose clock hurries, so that schedules and alarms take seconds."""
    folder, state = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("cloud") / "state"
    made = make_checkout(folder, state, "--clock", str(CLOCK))
    yield made
    made.cloud.stop()


def managed(folder: Path) -> Path:
    """The model of the other story, watched by SageMaker every hour."""
    made = project(folder)
    path = made / "model.yaml"
    document = yaml.safe_load(path.read_text("utf-8"))
    quality = {"every": "1h", "delay": "0s", "bounds": {"rmse": {"max": 0.5}}}
    document["monitor"] = {KIND: {"metrics": "features"}, QUALITY: quality}
    document["providers"] = {"monitor": "sagemaker"}
    path.write_text(yaml.safe_dump(document), "utf-8")
    return made


def look(ports: Ports, kind: str = KIND) -> WindowRow:
    """What somebody is told who asks a monitor to look now."""
    event = {"perennial": "monitor", "model": MODEL, "monitor": kind, "by": "ann"}
    said = functions.ask(ports.deployment.monitor_due_arn, event)
    assert said["decision"] == "started", said

    def over() -> Any:
        windows = read_windows(ports, MODEL, kind)
        found = [each for each in windows if each.schedule == said["schedule"]]
        return found[0] if found and found[0].state != "open" else None

    window: WindowRow = until("the look by hand", over)
    return window


def watches(checkout: Checkout) -> list[str]:
    """The names of SageMaker's schedules, and of the definitions of their jobs."""
    sagemaker = checkout.cloud.client("sagemaker")
    found = sagemaker.list_monitoring_schedules()["MonitoringScheduleSummaries"]
    defined = [
        *sagemaker.list_data_quality_job_definitions()["JobDefinitionSummaries"],
        *sagemaker.list_model_quality_job_definitions()["JobDefinitionSummaries"],
    ]
    names = [
        *(each["MonitoringScheduleName"] for each in found),
        *(each["MonitoringJobDefinitionName"] for each in defined),
    ]
    return sorted(names)


@pytest.mark.timeout(400)
def test_sagemakers_monitor_finds_drift(checkout: Checkout, ports: Ports, tmp_path: Path) -> None:
    """Released, watched by a schedule, drifted, told, asked for a run; removed without a trace."""
    push(ports, managed(tmp_path))
    assert schedules(checkout) == []
    assert set(alarms(checkout)) == {ALARM, f"perennial-blind-{MODEL}-{KIND}"}
    checkout.cloud.client("s3").put_object(
        Bucket=checkout.outputs["LandingBucket"],
        Key=f"incoming/{MODEL}/rings.csv",
        Body=fetch_dataset(MODEL).tables[0].text().encode(),
    )
    until("run 1", lambda: describe_model(ports, MODEL).last_run and not _open(ports))
    approve_version(ports, MODEL, 1, "good", "ann")
    until("a live version", lambda: known_model(ports.ledger, MODEL).live)
    until("schedules and definitions", lambda: len(watches(checkout)) == 4)
    names = [placed(ports, kind) for kind in (KIND, QUALITY)]
    assert watches(checkout) == sorted(names * 2)

    ask(ports, 1.0)
    checkout.cloud.idle()
    calm = look(ports)
    assert (calm.state, calm.rows, calm.violations) == ("done", 400, 0), calm
    assert calm.words.startswith("nearest its bound: ")
    until("its alarm is OK", lambda: alarms(checkout)[ALARM] == "OK")

    ask(ports, 1.8)
    checkout.cloud.idle()
    drifted = look(ports)
    assert drifted.violations, drifted
    assert drifted.start_ms >= calm.end_ms
    until("the alarm by its own metric", lambda: alarms(checkout)[ALARM] == "ALARM")
    (signal,) = until("its signal", lambda: _drifts(ports))
    assert "`length` drifted" in signal.evidence["found"]
    report = read_report_of(ports, drifted)
    assert report["violations"][0]["name"] == "length"
    assert "length" in read_drift(ports, MODEL).page()

    judge_answers(checkout, ports)

    checkout.cloud.control("POST", "/_local/clock", {"factor": HURRY})
    ask(ports, 1.0)
    by_the_hour = until("a window of the hourly schedule", lambda: hourly(ports, names[0]))
    checkout.cloud.control("POST", "/_local/clock", {"factor": CLOCK})
    assert by_the_hour.start_ms >= drifted.end_ms
    assert set(called(checkout)) >= {"OnMonitorDueFunction", "OnMonitoringEndedFunction"}
    assert not_granted(checkout) == set()

    remove_model(ports, MODEL, by="ann", with_data=True, tell=lambda _: None)
    assert watches(checkout) == []
    assert alarms(checkout) == {}


def judge_answers(checkout: Checkout, ports: Ports) -> None:
    """What SageMaker makes of answers with labels: figures, a bound that they break."""
    assert look(ports, QUALITY).state == "empty"  # nobody knows yet what was right
    send_labels(ports, MODEL, single(ports, 20))
    checkout.cloud.idle()
    judged = look(ports, QUALITY)
    assert (judged.state, judged.labelled, judged.violations) == ("done", 20, 1), judged
    assert judged.words.startswith("rmse is "), judged
    assert judged.words.endswith("(bound 0.5)"), judged


def single(ports: Ports, count: int) -> list[tuple[str, tuple[str, ...]]]:
    """Ask for so many predictions, one a request; ids with what is right."""
    api = PredictionsApi(ports.deployment.predictions_url)
    names, *lines = (
        line.split(",") for line in fetch_dataset(MODEL).tables[0].text(0, count).split()
    )
    found = []
    for line in lines:
        row: dict[str, Any] = dict(zip(names, line, strict=True))
        label = row.pop("rings")
        plain = {name: value if name == "sex" else float(value) for name, value in row.items()}
        answer = api.predict(MODEL, {"instances": [plain]}, explain=False)
        assert answer.status == 200, answer.document
        found.append((str(answer.document["request_id"]), (label,)))
    return found


def placed(ports: Ports, kind: str) -> str:
    """The schedule that the ledger names."""
    head = read_monitor_row(ports.ledger, MODEL, kind)
    return head.watch if head is not None else ""


def hourly(ports: Ports, schedule: str) -> WindowRow | None:
    """A window of the schedule itself in which something was seen."""
    windows = read_windows(ports, MODEL, KIND)
    return next((each for each in windows if each.schedule == schedule and each.rows), None)
