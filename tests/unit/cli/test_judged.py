"""What people read of judged runs: the verdict, its card, runs side by side, and what they cost."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from perennial.compare_runs import ComparedRun
from perennial.sum_costs import JobCost, RunCost
from perennial.sweep import sweep
from perennial.wiring import connect

from cli.judgement import comparison_lines, cost_words
from cli.output import Styled
from cli.runs import compared_rows

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cloud

Make = Callable[..., Path]

JOBS = [
    {"step": "check_data", "job": "a", "kind": "processing", "instance": "ml.m5.large",
     "seconds": 3600.0, "usd": 0.0, "reused": True},
    {"step": "train", "job": "b", "kind": "training", "instance": "ml.m5.large",
     "seconds": 7200.0, "usd": 0.23, "reused": False},
]  # fmt: skip
VERDICT: dict[str, Any] = {
    "version": 2,
    "passed": False,
    "words": "Run 1 of churn fails 1 of 2 gates.",
    "champion": {"version": 4, "run": 9, "arn": "arn"},
    "comparison": {
        "metric": "auc",
        "rows": 9731,
        "candidate": 0.91,
        "champion": 0.92,
        "difference": -0.01,
        "interval": [-0.015, -0.004],
        "windows": [{"difference": 0.001}, {"difference": -0.02}],
    },
    "gates": [{"name": "champion", "words": "auc is not better", "passed": False}],
    "metrics": {"auc": 0.91, "log_loss": 0.4},
    "changes": ["hyperparameters.depth: 3 → 5"],
    "notes": ["reused from an earlier run: check_data"],
    "cost": {"usd": 0.23, "prices": "2026-11-21", "jobs": JOBS},
}
CARD = {"html": b"<html>card</html>", "md": b"# churn, run 1 \x1b[31m\n"}


@pytest.fixture
def judged(cloud: Cloud, project: Make, tmp_path: Path) -> Cloud:
    """A stack whose model churn has a run 1 that wrote a verdict and its card."""
    cloud.run("push", str(project()))
    data = tmp_path / "a.csv"
    data.write_text("age,left\n1,no\n")
    cloud.run("land", "churn", str(data))
    cloud.run("retrain", "churn", "--because", "now")
    sweep(connect({**cloud.outputs, "StackName": "perennial"}), deadline=time.monotonic() + 60)
    bodies = {"verdict.json": json.dumps(VERDICT).encode()}
    for name, body in (bodies | {f"card.{form}": body for form, body in CARD.items()}).items():
        boto3.client("s3").put_object(
            Bucket=cloud.outputs["ArtifactBucket"], Key=f"runs/churn/1/verdict/{name}", Body=body
        )
    return cloud


def test_a_run_shows_its_judgement(judged: Cloud) -> None:
    """Gates, the champion on the same rows, what changed, notes, cost and where the card is."""
    shown = judged.run("run", "show", "churn", "1")
    assert shown.exit_code == 0, shown.output
    for words in (
        "auc is not better",
        "version 4 (run 9), auc 0.92 to the candidate's 0.91: -0.01 [-0.015, -0.004]",
        "on the same 9,731 rows",
        "by landing time, oldest first: +0.001, -0.02",
        "hyperparameters.depth: 3 → 5",
        "reused from an earlier run: check_data",
        "$0.2300 for 2 h of jobs (prices of 2026-11-21), 1 of 2 steps reused",
        "perennial run card churn 1 --open",
    ):
        assert words in shown.stdout
    document = judged.json("run", "show", "churn", "1")
    assert document["judgement"]["comparison"]["difference"] == -0.01
    assert document["judgement"]["cost"]["usd"] == 0.23


def test_a_card_is_read_written_and_opened(
    judged: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text on the screen, without what a terminal would obey; the page in a file."""
    text = judged.run("run", "card", "churn", "1").stdout
    assert "# churn, run 1 �[31m" in text
    page, words = tmp_path / "card.html", tmp_path / "card.md"
    assert judged.run("run", "card", "1", "--to", str(page)).exit_code == 0
    assert page.read_bytes() == CARD["html"]
    assert judged.run("run", "card", "1", "--to", str(words)).exit_code == 0
    assert words.read_bytes() == CARD["md"]
    opened: list[str] = []
    monkeypatch.setattr("click.launch", opened.append)
    assert judged.run("run", "card", "churn", "1", "--open").exit_code == 0
    assert Path(opened[0]).read_bytes() == CARD["html"]
    document = judged.json("run", "card", "churn", "1")
    assert document["card"].endswith("/runs/churn/1/verdict/card.md")
    assert document["file"] is None


def test_a_run_without_a_verdict_has_no_card(judged: Cloud) -> None:
    """Exit code 4 for a run that is not there; an unwritable file is told in words."""
    assert judged.run("run", "card", "churn", "7").exit_code == 4
    refused = judged.run("run", "card", "churn", "1", "--to", "/no/such/folder/card.html")
    assert refused.exit_code == 1
    assert "/no/such/folder" in refused.stderr


def test_cost_is_told_by_step_by_run_and_by_model(judged: Cloud) -> None:
    """With the day of the prices, and what is not counted."""
    told = judged.run("cost", "churn").stdout
    assert "train" in told
    assert "churn: 1 run, 2 h billed, $0.2300" in told
    assert "by on-demand prices of 20" in told
    assert "Endpoint hours are those of what was live" in told
    assert "$0.2300" in judged.run("cost").stdout
    document = judged.json("cost", "churn")
    assert (document["usd"], document["seconds"], document["unknown"]) == (0.23, 7200, 0)
    assert [step["reused"] for step in document["by_step"]] == [0, 1]
    assert judged.json("cost")[0]["model"] == "churn"


def test_cost_of_nothing_is_said_so(cloud: Cloud, project: Make) -> None:
    """No model, and a model without a run."""
    assert "no models here yet" in cloud.run("cost").stdout
    cloud.run("push", str(project()))
    assert "churn has had no run yet" in cloud.run("cost", "churn").stdout
    (line,) = [each for each in cloud.run("cost").stdout.splitlines() if each.startswith("churn")]
    assert line.split()[-4:] == ["-"] * 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "1"], "1 run: from 2 to 8"),
        (["compare", "1", "1"], "1 run: from 2 to 8"),
        (["compare", "churn"], "is not [model] run run"),
        (["compare", "churn", "x", "1"], "is not [model] run run"),
        (["compare", "churn", "1", "2", "--model", "churn"], "is not [model] run run"),
        (["compare", *map(str, range(1, 11))], "10 runs: from 2 to 8"),
    ],
)
def test_what_cannot_be_compared_is_a_usage_error(
    cloud: Cloud, words: list[str], message: str
) -> None:
    """Exit code 2 and an example."""
    result = cloud.run("runs", *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_runs_lists_unless_it_is_told_to_compare(judged: Cloud) -> None:
    """`runs census` goes on to mean the list; a run that is not there is told."""
    assert judged.json("runs", "churn") == judged.json("runs", "list", "churn")
    assert judged.json("runs")[0]["number"] == 1
    missing = judged.run("runs", "compare", "churn", "1", "2")
    assert missing.exit_code == 4
    assert "there is no run 2" in missing.stderr
    assert "compare" in judged.run("runs", "--help").stdout


def compared(run: int, **changes: Any) -> ComparedRun:
    """A run as the table gets it."""
    jobs = (JobCost("train", "b", "training", "ml.m5.large", 60.0, 0.5),)
    facts: dict[str, Any] = {
        "run": run,
        "outcome": "won",
        "version": run,
        "opened_ms": 0,
        "seconds": 75.0,
        "settings": 1,
        "overrides": {},
        "code_sha": "c" * 64,
        "champion": None,
        "hyperparameters": {"depth": 3},
        "data": {"objects": 4, "training rows": 20000},
        "metrics": {"auc": 0.9, "log_loss": 0.3, "rows": 5000.0},
        "gates": {"auc.min": True},
        "cost": RunCost("m", run, "won", 0, jobs),
    }
    return ComparedRun(**(facts | changes))


def test_what_differs_is_marked_and_the_best_is_green() -> None:
    """Smaller is better for a loss; the number of rows is neither good nor bad."""
    first = compared(1)
    second = compared(
        2,
        overrides={"train.hyperparameters.depth": "5"},
        hyperparameters={"depth": 5, "dart": True, "parts": [1, 2]},
        metrics={"auc": 0.95, "log_loss": 0.4, "rows": 6000.0},
        gates={"auc.min": False},
    )
    rows = {row[0]: row[1:] for row in compared_rows([first, second])}
    assert rows["depth *"] == ("3", "5")
    assert rows["dart *"] == ("-", "true")
    assert rows["parts *"] == ("-", "1, 2")
    assert rows["auc *"] == ("0.9", "[green]0.95[/]")
    assert rows["log_loss *"][0] == "[green]0.3[/]"
    assert isinstance(rows["log_loss *"][0], Styled)
    assert rows["rows *"] == ("5000", "6000")
    assert rows["objects"] == ("4", "4")
    assert rows["auc.min *"] == ("pass", "FAIL")
    assert rows["for this run only *"] == ("-", "train.hyperparameters.depth=5")
    assert rows["cost"] == ("$0.5000", "$0.5000")
    assert "champion then" not in rows


def test_what_is_not_known_is_said_so() -> None:
    """A run at work has no end; a verdict of an earlier form has neither comparison nor cost."""
    jobs = (JobCost("train", "b", "training", "", None, None),)
    waiting = compared(3, seconds=None, metrics={}, cost=RunCost("m", 3, "opened", 0, jobs))
    rows = {row[0]: row[1:] for row in compared_rows([waiting, compared(4)])}
    assert rows["took"] == ("-", "1 min 15 s")
    assert rows["cost"][0] == "$0.0000 and 1 job unknown"
    assert rows["auc *"] == ("-", "0.9")
    assert comparison_lines({}) == []
    assert comparison_lines({"champion": {"version": 1, "run": 2}}) == [
        "version 1 (run 2); not compared"
    ]
    assert cost_words({}) == ""
    unknown = {"cost": {"usd": None, "prices": "2026-11-21", "jobs": [{"seconds": None}]}}
    assert cost_words(unknown).startswith("an unknown amount for 0.0 s of jobs")
