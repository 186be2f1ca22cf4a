"""`demo-drift` as a newcomer runs it, once: what it says is what the stack's APIs say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functional.cli_shell import Shell, Told, opened

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell whose local cloud ends with the module."""
    with opened(Shell(tmp_path_factory.mktemp("demo-drift") / "state")) as made:
        yield made


@pytest.fixture(scope="module")
def told(shell: Shell) -> Told:
    """The whole story."""
    return shell.demo("demo-drift")


def test_the_story_went_as_told(told: Told) -> None:
    """The right monitor noticed each time, a run with that evidence won, the alarm went to OK."""
    assert told.code == 0, "\n".join(told.lines)
    summary = told.summary
    assert [each["monitor"] for each in summary["alarms"]] == ["data-quality", "model-quality"]
    assert summary["cleared"] == ["data-quality", "model-quality"]
    assert [each["outcome"] for each in summary["runs"]] == ["won", "won"]
    first, second = (each["because"][0] for each in summary["runs"])
    assert first.startswith("drift: `age` drifted")
    assert second.startswith("drift: accuracy is")
    last = summary["phases"][-1]
    assert last["versions"] == [3]
    assert last["accuracy"] > last["first_champion"] + 0.2


def test_what_was_told_is_what_the_apis_say(shell: Shell, told: Told) -> None:
    """Runs and the live version agree with the ledger, and the page can be written."""
    model = told.summary["model"]
    rows = {row["number"]: row for row in shell.json("runs", model)}
    for run in told.summary["runs"]:
        assert rows[run["number"]]["because"] == run["because"]
    drift = shell.ok("drift", model)
    assert f"{model} 3, live since" in drift
    assert "✗" not in drift
    (quality,) = [
        each for each in shell.json("drift", model)["monitors"] if each["kind"] == "model-quality"
    ]
    last = [each for each in quality["windows"] if each["version"] == 3 and each["rows"]]
    assert sum(each["violations"] for each in last) == 0
    # A window may end between two requests; no row is lost between windows.
    assert sum(each["labelled"] for each in last) == told.summary["phases"][-1]["rows"]
    watching = shell.json("monitor", "list", model)
    assert watching["version"] == 3
    assert [each["alarm"] for each in watching["monitors"]] == ["OK", "OK"]
