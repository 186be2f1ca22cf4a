"""`check` as a person sees it: figures, steps that fail without a word, and time limits."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from cli import check as checks
from cli.live import Progress
from cli.main import perennial

Make = Callable[..., Path]
Check = Callable[..., Result]


def said(*lines: dict[str, Any]) -> str:
    """Python that prints these events as the check does."""
    return "".join(f"print({json.dumps(line)!r}, flush=True)\n" for line in lines)


@pytest.fixture
def check(project: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Runs `perennial check` with a script in the place of the jobs' code."""
    data = tmp_path / "rows.csv"
    data.write_text("a\n1\n")

    def run(script: str, **keys: Any) -> Result:
        monkeypatch.setattr(checks, "jobs_python", lambda *_: Path(sys.executable))
        monkeypatch.setattr(checks, "command_line", lambda *_: [sys.executable, "-c", script])
        return CliRunner().invoke(perennial, ["check", str(project(**keys)), str(data)])

    return run


def test_a_step_that_ends_the_process_is_named_with_its_exit_code(check: Check) -> None:
    """`os._exit(3)` in train leaves no message of its own; the check says where and how."""
    result = check(said({"step": "train", "status": "started"}) + "import os; os._exit(3)")
    assert result.exit_code == 1
    assert "✗ train" in result.output
    assert "the process ended itself here (exit code 3)" in result.output


def test_a_step_that_hangs_ends_at_its_limit(check: Check) -> None:
    """A check in CI must not wait for ever; the key to change is named."""
    hang = said({"step": "train", "status": "started"}) + "import time; time.sleep(60)"
    result = check(hang, train={"max_seconds": 1})
    assert result.exit_code == 1
    assert "did not end within" in result.output
    assert "max_seconds (1 s)" in result.output


def test_figures_of_all_rows_and_of_each_group_are_shown(check: Check) -> None:
    """A data scientist reads the figures, not the gates alone, and what comes next."""
    metrics = {"auc": 0.91234, "rows": 1200.0, "auc:sex=F": None, "rows:sex=F": 3.0}
    result = check(said({"step": "result", "passed": True, "metrics": metrics}))
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["holdout", "auc", "rows"] in lines
    assert ["all", "0.9123", "1,200"] in lines
    assert ["sex=F", "-", "3"] in lines
    assert "next:  perennial push" in result.output


def test_suspicions_about_the_data_are_shown(check: Check) -> None:
    """A leak passes every gate: it must be seen before it is pushed."""
    leaks = [{"feature": "z", "words": "z equals y in each of 200 rows"}]
    result = check(
        said({"step": "result", "passed": True, "leaks": leaks, "conflicts": {"rows": 1200}})
    )
    assert "z equals y in each of 200 rows: is it known when" in " ".join(result.output.split())
    assert "1,200 rows share their identity with one of another label" in result.output


def test_a_lost_gate_is_no_tick() -> None:
    """The judgement went well, the gate did not: a reader must not see a green mark."""
    out = io.StringIO()
    progress = Progress(Console(file=out, width=100))
    checks.tell(progress, {"step": "judge", "status": "done", "passed": False, "words": "too low"})
    assert "✗ judge by the gates" in out.getvalue()


def test_what_is_no_event_is_kept_as_the_models_output() -> None:
    """A model that prints numbers or JSON of its own past the redirection breaks nothing."""
    script = "print(7)\nprint('{\"loss\": 1}')\nprint('hello')"
    with tempfile.TemporaryFile("w+") as noise:
        found = list(checks.events([sys.executable, "-c", script], {}, noise))
        noise.seek(0)
        assert "hello" in noise.read()
    assert all("step" not in event for event in found)
