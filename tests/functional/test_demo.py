"""The demo as a newcomer runs it, and once more with a gate that nothing can reach.

Both share one local cloud: the first run starts it, the second finds it and takes a model name of
its own. What the demo says is compared with what the stack's APIs say afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.cli_shell import Shell, Told, opened

SYNTHETIC_IS_SHOUTED = "SYNTHETIC"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A shell whose local cloud ends with the module."""
    with opened(Shell(tmp_path_factory.mktemp("demo") / "state")) as made:
        yield made


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for the cards of both demos."""
    return tmp_path_factory.mktemp("demo") / "cards"


@pytest.fixture(scope="module")
def won(shell: Shell, cards: Path) -> Told:
    """The demo as it is."""
    return shell.demo("demo", "--cards", str(cards))


@pytest.fixture(scope="module")
def lost(shell: Shell, won: Told, cards: Path) -> Told:
    """The demo with a gate that no candidate reaches, after the other one on the same cloud."""
    assert won.summary
    return shell.demo("demo", "--set", "gates.auc.min=0.999", "--cards", str(cards))


def test_the_demo_has_a_winner_and_a_loser(shell: Shell, won: Told) -> None:
    """The second candidate beats the first champion and becomes it; the third loses to that."""
    assert won.code == 0, "\n".join(won.lines)
    assert won.summary["went_well"] is True
    assert [run["outcome"] for run in won.summary["runs"]] == ["won", "won", "lost"]
    first, winner, loser = (run["judgement"] for run in won.summary["runs"])
    assert "there is no champion yet" in first["notes"]
    assert won.has("note .*there is no champion yet")
    assert (winner["champion"]["version"], loser["champion"]["version"]) == (1, 2)
    assert winner["comparison"]["lower"] > 0
    assert loser["comparison"]["difference"] < 0
    assert [gate["name"] for gate in won.summary["runs"][2]["gates"] if not gate["passed"]] == [
        "champion.min"
    ]
    assert (won.summary["champion"], won.summary["approved_by"]) == (2, "ann")
    status = shell.json("status", "census")
    assert (status["champion"]["version"], status["champion"]["run"]) == (2, 2)
    assert won.has(r"approved by ann .* census 1 is the champion")
    assert won.has(r"approved by ann .* census 2 is the champion")
    assert won.has(r"census 2 is the champion as before")


def test_the_demo_tells_what_the_stack_says(shell: Shell, won: Told) -> None:
    """Rows, figures, outcomes, costs and versions are those of the ledger and the reports."""
    runs = {run["number"]: run for run in shell.json("runs", "census")}
    assert sorted(runs) == [1, 2, 3]
    for told in won.summary["runs"]:
        found = shell.json("run", "show", "census", str(told["number"]))
        assert told["outcome"] == runs[told["number"]]["outcome"]
        assert told["version"] == found["version"]
        assert told["gates"] == found["gates"]
        assert told["judgement"] == found["judgement"]
        for gate in found["gates"]:
            mark = "✓" if gate["passed"] else "✗"
            assert won.has(f"{mark} {re.escape(gate['words'])}$")
        assert won.has(re.escape(f"cost     ${found['judgement']['cost']['usd']:.4f}"))
        for visit in found["path"]:
            if visit["job"]:
                assert won.has(rf"✓ {visit['state']} .*{visit['job']}")


def test_the_losers_run_reuses_what_it_can(shell: Shell, won: Told) -> None:
    """The data are the winner's, so they are not checked again; the hyperparameter is another."""
    winner, loser = (shell.json("run", "show", "census", number) for number in ("2", "3"))
    states = [[v["state"] for v in run["path"] if v["type"] == "Task"] for run in (winner, loser)]
    assert states[0][:5] == ["CheckClaim", "PlanRun", "CheckData", "ReadCheck", "Train"]
    assert states[1][:4] == ["CheckClaim", "PlanRun", "ReadCheck", "Train"]
    assert [run["reused"] for run in won.summary["runs"]] == [[], [], ["check_data"]]
    assert won.has("note .*reused from an earlier run: check_data")


def test_both_cards_are_written(shell: Shell, won: Told, cards: Path) -> None:
    """Each is the page that `run card` fetches; its path is printed."""
    told = [(card["run"], card["outcome"]) for card in won.summary["cards"]]
    assert told == [(2, "won"), (3, "lost")]
    for card in won.summary["cards"]:
        path = Path(card["file"])
        assert path.parent == cards
        assert won.has(f"{card['outcome']} .*{re.escape(card['file'])}")
        again = cards / "again.html"
        shell.json("run", "card", "census", str(card["run"]), "--to", str(again))
        assert path.read_bytes() == again.read_bytes()
        assert b"/comparison/difference" in path.read_bytes()


def test_the_damaged_file_harms_only_itself(shell: Shell, won: Told) -> None:
    """It is quarantined with its first bad lines; the good files were read, then and later."""
    (found,) = won.summary["quarantined"]
    assert found["key"] == "incoming/census/damaged.csv"
    assert [bad["line"] for bad in found["first_bad"]] == [8, 43, 100]
    assert won.has(r"damaged\.csv is quarantined")
    assert won.has(r'line 8: .*"thirty-nine"')
    assert won.summary["champion_digest_kept"] is True
    rows = [run["check"]["rows"]["good"] for run in won.summary["runs"]]
    assert rows[0] == (7_000 if won.summary["genuine"] else 2_500)
    assert rows[1:] == [rows[0] + 12_000] * 2
    (fate,) = shell.json("why", "census", "damaged.csv")
    assert (fate["state"], fate["run"]) == ("quarantined", 1)
    (good,) = shell.json("why", "census", "adult-4.csv")
    assert (good["state"], good["run"]) == ("consumed", 2)


@pytest.mark.long
def test_an_unreachable_gate_gives_the_other_ending(shell: Shell, lost: Told) -> None:
    """No candidate wins, none is approved, and the demo says so; no line speaks of a champion."""
    assert lost.code == 0, "\n".join(lost.lines)
    assert [run["outcome"] for run in lost.summary["runs"]] == ["lost", "lost", "lost"]
    assert [run["version"]["status"] for run in lost.summary["runs"]] == ["Rejected"] * 3
    assert lost.summary["champion"] is None
    assert lost.has(r"as you asked: gates\.auc\.min=0\.999")
    assert lost.has(r"✗ .* is not at least 0\.999")
    assert not lost.has(r"is the champion")
    assert sum("verdict  lost" in line for line in lost.lines) == 3
    assert not lost.has(r"verdict  won")
    assert [card["outcome"] for card in lost.summary["cards"]] == ["lost", "lost"]
    assert shell.json("status", lost.summary["model"])["champion"] is None


@pytest.mark.long
def test_a_second_demo_leaves_the_first_ones_model_alone(
    shell: Shell, won: Told, lost: Told
) -> None:
    """It takes another name; the first model keeps its champion and its runs."""
    assert (won.summary["model"], lost.summary["model"]) == ("census", "census-2")
    assert lost.has("runs already at")
    assert shell.json("status", "census")["champion"]["version"] == 2
    assert len(shell.json("runs", "census")) == 3


def test_the_source_of_the_data_is_named_first_and_last(won: Told) -> None:
    """And synthetic rows never pass for genuine ones."""
    first, last = won.lines[0], won.lines[-1]
    assert won.summary["source"] in first
    assert won.summary["source"] in last
    if won.summary["genuine"]:
        assert "UCI Adult" in first
        assert SYNTHETIC_IS_SHOUTED not in first
    else:
        assert SYNTHETIC_IS_SHOUTED in first


def test_lines_in_a_file_are_plain(won: Told) -> None:
    """No escape sequence and no spinner reaches a file or a pipe."""
    assert not won.has(r"\x1b")
    assert not won.has("[⠁-⣿]")


def test_lineage_names_every_object_of_the_demo(shell: Shell, won: Told) -> None:
    """The champion's object versions are those that were landed before its run."""
    landed = {
        match.group(2): match.group(1)
        for line in won.lines
        if (match := re.search(r"↓ (\S+) .* version (\S+)", line))
    }
    found = shell.json("lineage", "census", "1")
    names = {item["version_id"]: item["key"].rsplit("/", 1)[1] for item in found["objects"]}
    assert names
    assert names.items() <= landed.items()
    steps = [job["name"].split("-1-", 1)[1] for job in found["jobs"]]
    assert steps[:3] == ["check-data-0", "train-0", "evaluate-0"]
    assert sorted(steps[3:]) == ["baseline-0", "explain-0", "measure-bias-0"]
    assert [job["kind"] for job in found["jobs"]][:3] == ["processing", "training", "processing"]
    assert found["approval"].startswith("approved by ann")
