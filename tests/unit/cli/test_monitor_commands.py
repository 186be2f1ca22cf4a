"""`monitor`, `drift` and `label`: what they say without a single window, and of bad files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from perennial import describe_monitors
from perennial.domain.ledger.monitor_rows import Earlier, WindowRow

from cli import monitor
from cli.monitor import earlier_words
from tests.unit.cli.conftest import Cloud

Make = Callable[..., Path]


@pytest.mark.parametrize(
    "command", [["monitor", "list", "ghost"], ["drift", "ghost"], ["monitor", "run", "ghost"]]
)
def test_of_a_model_that_does_not_exist(cloud: Cloud, command: list[str]) -> None:
    """Exit code 4, as everywhere."""
    result = cloud.run(*command)
    assert result.exit_code == 4, result.output
    assert "ghost" in result.stderr


def test_a_model_that_is_not_watched(cloud: Cloud, project: Make, tmp_path: Path) -> None:
    """Each command says how to change that, and labels are taken all the same."""
    folder = project()
    cloud.json("push", str(folder))
    model = folder.name
    for command in (["monitor", "list", model], ["monitor", "run", model, "--kind", "bias"]):
        result = cloud.run(*command)
        assert result.exit_code == 4, result.output
        assert f"{model} has no " in result.stderr
        assert "section monitor" in result.stderr


def test_a_look_by_a_schedule_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """SageMaker's schedule that runs once is known by its name until its window is there."""
    window = WindowRow("m", "bias", 0, 1000, 1, 1, 1, 1, 1, state="done", rows=5, schedule="once")
    found = iter([None, replace(window, state="open"), window])
    asked = []

    def by_schedule(_ports: Any, model: str, kind: str, schedule: str) -> WindowRow | None:
        asked.append((model, kind, schedule))
        return next(found)

    monkeypatch.setattr(describe_monitors, "window_by_schedule", by_schedule)
    monkeypatch.setattr(monitor, "POLL_S", 0)
    said: list[str] = []
    session: Any = SimpleNamespace(ports=None, screen=SimpleNamespace(line=said.append))
    assert monitor.follow(session, "m", "bias", {"schedule": "once"}) == window
    assert asked == [("m", "bias", "once")] * 3
    assert "5 rows" in said[0]
    assert monitor.follow(session, "m", "bias", {"words": "nothing is live"}) is None


def test_labels_are_sent_whole_or_not_at_all(cloud: Cloud, project: Make, tmp_path: Path) -> None:
    """A label that the settings do not know refuses the file; a good one says what was sent."""
    folder = project()
    cloud.json("push", str(folder))
    model = folder.name
    file = tmp_path / "labels.csv"
    file.write_text("id,label\na,perhaps\n", "utf-8")
    result = cloud.run("label", model, str(file))
    assert result.exit_code == 5, result.output
    assert "'perhaps' is none of" in result.stderr
    assert "Nothing was sent" in result.stderr
    level = result.stderr.split("is none of ")[1].split(",")[0].split(".")[0].strip()
    file.write_text(f"id,label\na,{level}\nb,{level}\n", "utf-8")
    result = cloud.run("label", model, str(file))
    assert result.exit_code == 0, result.output
    assert f"sent 2 labels of 2 requests of {model}" in result.stdout
    assert "labelled-traffic" in result.stdout


def test_how_earlier_versions_did_is_told_in_words() -> None:
    """Better, worse, alike, not yet, and why not."""
    window = WindowRow("census", "model-quality", 0, 9, 1, 5, 1, 1, 1, labelled=400)
    said = {
        Earlier(3, 3, gain="0.0456", spread="0.4"): "version 3 errs 0.0456 less than version 5",
        Earlier(3, 3, gain="-0.5", spread="0.4"): "version 3 errs 0.5 more than version 5",
        Earlier(3, 3, gain="0.0", spread="0.0"): "version 3 errs as much as version 5",
        Earlier(3, 3): "version 3 is being scored",
        Earlier(3, 3, words="it is gone"): "version 3 was not scored: it is gone",
    }
    for each, words in said.items():
        assert earlier_words(each, window).startswith(words)
    unlabelled = replace(window, labelled=0)
    assert earlier_words(Earlier(3, 3), unlabelled) == "version 3 is not scored without labels"
