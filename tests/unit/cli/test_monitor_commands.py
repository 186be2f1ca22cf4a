"""`monitor`, `drift` and `label`: what they say without a single window, and of bad files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
