"""`demo-release` as a newcomer runs it, once: what it says is what the stack's APIs say."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from cli.local_cloud import find_cloud, read_clock
from tests.functional.cli_shell import Shell, Told, opened

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell whose local cloud ends with the module."""
    with opened(Shell(tmp_path_factory.mktemp("demo-release") / "state")) as made:
        yield made


@pytest.fixture(scope="module")
def told(shell: Shell) -> Told:
    """The whole story."""
    return shell.demo("demo-release")


def test_the_story_went_as_told(told: Told) -> None:
    """Live, then by canary, then rolled back by the alarm of a slow server; nothing failed."""
    assert told.code == 0, "\n".join(told.lines)
    summary = told.summary
    assert (summary["went_well"], summary["objections"]) == (True, [])
    outcomes = [release["outcome"] for release in summary["releases"]]
    assert outcomes == ["released", "released", "rolled_back"]
    asked = summary["predictions"]
    assert (asked["failed"], asked["errors"]) == (0, {})
    assert set(asked["by_version"]) == {"1", "2", "3"}
    assert sum(seen["answers"] for seen in asked["by_version"].values()) == asked["sent"]
    assert told.has(rf"{asked['sent']:,} predictions asked, 0 failed")


def test_what_was_told_is_what_the_apis_say(shell: Shell, told: Told) -> None:
    """Releases, champion, live version and endpoint agree with the ledger and SageMaker."""
    model = told.summary["model"]
    rows = {row["number"]: row for row in shell.json("releases", model)}
    assert sorted(rows) == [1, 2, 3]
    for release in told.summary["releases"]:
        # The people told and the metadata of a release may be written after its end.
        stable = rows[release["number"]].keys() - {"rev", "notified"}
        assert {key: release[key] for key in stable} == {
            key: rows[release["number"]][key] for key in stable
        }
    endpoint = shell.json("endpoint", model)
    assert (endpoint["status"], endpoint["version"], endpoint["words"]) == ("InService", 2, "")
    assert endpoint["config"] == endpoint["live"]["config"] == rows[3]["before"]["config"]
    status = shell.json("status", model)
    assert status["champion"]["version"] == told.summary["champion"] == 2
    assert "production is as it was: version 2" in rows[3]["words"]


def test_each_version_passed_its_smoke_test_with_figures(told: Told) -> None:
    """All seven checks are told with their words; the slow version passes them honestly."""
    for release in told.summary["releases"]:
        checks = release["smoke_test"]["checks"]
        assert len(checks) == 7
        for check in checks:
            assert check["passed"]
            assert told.has(rf"✓ {re.escape(check['words'])}$")
    slow = told.summary["releases"][2]["smoke_test"]["figures"]
    assert 150_000 <= slow["p50_us"] <= slow["p99_us"] <= 500_000


def test_shares_and_alarm_are_measured(told: Told) -> None:
    """The canary's share lies within its bounds; the alarm saw more than it allows, by metrics."""
    _, better, slow = told.summary["releases"]
    for release in (better, slow):
        canary = release["canary"]
        assert canary["is_within"]
        assert canary["low"] <= canary["hits"] / canary["answers"] <= canary["high"]
    assert (better["alarm"], better["canary"]["wanted"]) == ({}, 0.5)
    alarm = slow["alarm"]
    assert alarm["name"].endswith("-r3-latency")
    assert alarm["threshold"] == 500_000
    assert max(alarm["values"]) > alarm["threshold"]
    assert alarm["name"] in slow["words"]
    assert told.has(rf"{alarm['name']} is in ALARM")


def test_the_clock_goes_as_before(
    shell: Shell, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo hurries the cloud's clock while it lasts, and says so."""
    monkeypatch.setenv("PERENNIAL_STATE", shell.environment["PERENNIAL_STATE"])
    cloud = find_cloud()
    assert cloud is not None
    assert read_clock(cloud) == 1
    assert told.has(rf"clock goes {told.summary['clock_factor']} times as fast")
