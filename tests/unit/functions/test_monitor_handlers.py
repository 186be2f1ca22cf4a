"""The handlers of monitors with their golden events."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from perennial.domain.ledger.monitor_rows import WindowRow
from perennial.domain.ledger.monitors import Found
from perennial.domain.naming import earlier_job, parse_monitor_job
from perennial.domain.signals import Signal, parse_signal
from perennial.end_monitor import EndedWindow

from tests.unit.functions.test_handlers import golden, lines, world
from tests.unit.world import MODEL, World

__all__ = ["world"]  # the fixture


@pytest.fixture(autouse=True)
def _every_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


def test_a_schedule_of_nothing_is_no_error(
    world: World, handler: Callable[[str], Any], context: Any
) -> None:
    """A model that is gone, one that is not watched: answered in words, and not tried again."""
    due = handler("on_monitor_due")
    found = due(golden("monitor"), context)
    assert (found["decision"], "there is no model" in found["words"]) == ("none", True)
    world.push()
    found = due(golden("monitor"), context)
    assert found["words"] == f"the settings of {MODEL} ask for no data-quality monitor"


def test_the_end_of_a_job_that_nobody_waits_for(
    world: World, handler: Callable[[str], Any], context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A job of a run, of another stack, or of a window that was recorded changes nothing."""
    world.push()
    event = golden("sagemaker_processing_job_state_change")
    name = event["detail"]["ProcessingJobName"]
    assert parse_monitor_job(name, "perennial") == (MODEL, "data-quality")
    other = deepcopy(event)
    other["detail"]["ProcessingJobName"] = "perennial-monitor-12-train-0"
    for each in (event, other):
        handler("on_monitoring_ended")(each, context)
    known, unknown = lines(caplog)
    assert (known["decision"], known["job"]) == ("none", name)
    assert unknown["message"] == "job of no monitor"


def test_the_end_of_a_monitoring_schedules_job_names_its_monitor(
    world: World,
    handler: Callable[[str], Any],
    context: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SageMaker names the job itself; what the job was told names the schedule, and with it model
    and kind. A schedule of somebody else is none of ours."""
    window = WindowRow(MODEL, "data-quality", 0, 1, 1, 1, 1, 1, 1, job="job", state="done")
    asked = []

    def take(_ports: Any, model: str, kind: str) -> list[EndedWindow]:
        asked.append((model, kind))
        return [EndedWindow(model, kind, "done", window, Found("done", rows=9, violations=2))]

    event = golden("sagemaker_monitoring_job_state_change")
    other = deepcopy(event)
    other["detail"]["Environment"]["sagemaker_monitoring_schedule_name"] = "churn-dq"
    call = handler("on_monitoring_ended")
    monkeypatch.setattr("functions.on_monitoring_ended.app.take_executions", take)
    for each in (event, other):
        call(each, context)
    assert asked == [(MODEL, "data-quality")]
    known, unknown = (line for line in lines(caplog) if "message" in line)
    assert (known["job"], known["decision"], known["violations"]) == ("job", "done", 2)
    assert unknown["message"] == "job of no monitor"


def test_an_alarm_that_stays_is_a_signal() -> None:
    """The message that the end of a window sends is understood by the queue's consumer."""
    signal = parse_signal(golden("drift"), "perennial")
    assert isinstance(signal, Signal)
    assert (signal.model, signal.kind) == (MODEL, "drift")
    assert signal.parts == ("perennial-monitor-census-data-quality", "window 1795183200000")
    assert signal.evidence["datapoints"] == [0.31]
    assert signal.evidence["again"] is True


def test_scores_of_earlier_versions_go_their_own_way(
    world: World, handler: Callable[[str], Any], context: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The end of a job that scores one is no monitor's end; with nothing to score, nothing is
    done, also for a model that is gone."""
    due = handler("on_monitor_due")
    asked = {"perennial": "earlier", "model": MODEL, "monitor": "model-quality"}
    found = due(asked, context)
    assert (found["decision"], "there is no model" in found["words"]) == ("none", True)
    world.push()
    assert due(asked, context) == {"decision": "none", "words": ""}
    event = golden("sagemaker_processing_job_state_change")
    event["detail"]["ProcessingJobName"] = earlier_job("perennial", MODEL, 1795183200000, 4)
    handler("on_monitoring_ended")(event, context)
    handler("on_monitoring_ended")({"model": MODEL, "monitor": "model-quality"}, context)
    scored = [each for each in lines(caplog) if each["message"] == "earlier versions scored"]
    assert [each["decision"] for each in scored] == ["none", "none"]
