"""Bad input, end to end: a row per case, its outcome, its words, and the champion as it was.

Everything goes through the running stack, by the command line or boto3, as a user would do it.
`perennial up` on a port in use, or after `kill -9`, stands in `tests/functional/test_cli_cloud.py`;
what a job says of each kind of damage in full, in `tests/jobs/test_bad_data.py` and
`tests/jobs/test_bad_code.py`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.local_cloud import ROOT
from tests.functional.stack.bad_input.code_story import (
    FAILING,
    ByHand,
    Code,
    CodeStory,
    meddle,
    tell_code_story,
)
from tests.functional.stack.bad_input.data_cases import (
    FILES,
    GOOD_ROWS,
    NOBODY,
    PREFIX,
    STRAY,
    TABLE,
    Object,
)
from tests.functional.stack.bad_input.data_story import FIRST_ROWS, DataStory, tell_data_story
from tests.functional.stack.bad_input.project_cases import CODE, YAML, Mistake
from tests.functional.stack.bad_input.push_story import PushStory, tell_push_story
from tests.functional.stack.bad_input.shell import Shell
from tests.functional.stack.conftest import Checkout

pytestmark = pytest.mark.timeout(900)


@dataclass
class Stories:
    """What happens to models at the same time; each test waits for what it judges."""

    data: Future[DataStory]
    code: Future[CodeStory]
    pushes: Future[PushStory]


@pytest.fixture(scope="module")
def shell(checkout: Checkout) -> Shell:
    """The command line on the deployed stack."""
    return Shell(checkout.cloud, checkout.outputs)


@pytest.fixture(scope="module")
def stories(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stories]:
    """Each model's story goes on in a thread of its own."""
    folder = tmp_path_factory.mktemp("projects")
    census = folder / "census"
    shutil.copytree(
        ROOT / "models" / "census", census, ignore=shutil.ignore_patterns("__pycache__")
    )
    with ThreadPoolExecutor() as pool:
        yield Stories(
            data=pool.submit(tell_data_story, shell, str(census), folder),
            code=pool.submit(tell_code_story, shell, folder),
            pushes=pool.submit(tell_push_story, shell, folder),
        )


@pytest.fixture(scope="module")
def data(stories: Stories) -> DataStory:
    """The census model's story, when it is over."""
    return stories.data.result()


@pytest.fixture(scope="module")
def code(stories: Stories) -> CodeStory:
    """The story of the model with bad code, when it is over."""
    return stories.code.result()


@pytest.fixture(scope="module")
def pushes(stories: Stories) -> PushStory:
    """The story of the model that is pushed back and forth, when it is over."""
    return stories.pushes.result()


@pytest.fixture(scope="module")
def by_hand(data: DataStory, code: CodeStory, pushes: PushStory, shell: Shell) -> dict[str, ByHand]:
    """Executions that a person started or redrove, while nothing else was at work."""
    assert data.runs
    assert pushes.in_turn
    shell.settle()
    return meddle(shell, code)


@pytest.mark.parametrize("case", [*YAML, *CODE], ids=lambda case: f"{case.file}: {case.name}")
def test_a_wrong_project_is_not_pushed(
    case: Mistake, stories: Stories, shell: Shell, tmp_path: Path
) -> None:
    """The mistake is named with its place, what to do is said, and nothing is published."""
    assert stories  # they go on meanwhile
    project = case.write(tmp_path)
    sets = [part for pair in case.sets for part in ("--set", pair)]
    done = shell.inside("push", str(project), *sets)
    assert done.exit_code == case.code, done.output
    for words in case.says:
        assert words in done.stderr, done.stderr
    assert "next:" in done.stderr
    assert "published" not in done.stdout


def test_nothing_of_a_wrong_project_was_published(stories: Stories, shell: Shell) -> None:
    """No settings, no code, no stack: the model does not exist."""
    assert stories
    done = shell.inside("status", "typo")
    assert done.exit_code == 4
    assert "no model 'typo'" in done.stderr
    assert shell.ledger("typo") == {}
    code = shell.cloud.client("s3").list_object_versions(
        Bucket=shell.outputs["ArtifactBucket"], Prefix="code/typo/"
    )
    assert "Versions" not in code
    stacks = shell.cloud.client("cloudformation").list_stacks()["StackSummaries"]
    assert not [stack for stack in stacks if "typo" in stack["StackName"].lower()]


def test_data_that_landed_before_the_model_is_found(data: DataStory, shell: Shell) -> None:
    """Its event finds no model and is acknowledged; after the push a listing admits it, once."""
    code, words = data.unknown
    assert code == 4
    assert "no model 'census'" in words
    assert (data.first["outcome"], data.first["check"]["rows"]["good"]) == ("won", FIRST_ROWS)
    assert any("incoming/census/first.csv" in words for words in data.first["because"])


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.key[:24])
def test_an_object_gets_its_own_fate(case: Object, data: DataStory, shell: Shell) -> None:
    """State, run and reason of each of its versions, by `perennial why`."""
    fates = data.left_out.get(case.key) or shell.told("why", "census", case.key)
    by_version = {fate["version_id"]: fate for fate in fates}
    assert set(by_version) == set(data.versions[case.key])
    ordered = [by_version[version] for version in data.versions[case.key]]
    assert tuple(fate["state"] for fate in ordered) == case.fates
    assert {fate["key"] for fate in fates} == {PREFIX + case.key}
    assert any(case.reason in fate["reason"] for fate in fates), [f["reason"] for f in fates]
    if case.fates[-1] in {"quarantined", "consumed"}:
        assert ordered[-1]["run"] == 2


def test_one_run_judges_everything_that_landed_in_one_go(data: DataStory, shell: Shell) -> None:
    """The good rows are counted to the last one; each bad object is in the run's report."""
    read = [case for case in TABLE if case.is_read]
    bad = {PREFIX + case.key for case in TABLE if case.fates[-1] == "quarantined"}
    assert data.run["outcome"] == "won"
    assert data.run["check"]["rows"]["good"] == FIRST_ROWS + GOOD_ROWS * len(read)
    assert set(data.report) == bad
    assert data.run["check"]["objects"] == {
        "read": 1 + len(read) + len(bad),
        "good": 1 + len(read),
        "quarantined": len(bad),
    }
    assert data.run["version"]["status"] == "PendingManualApproval"


@pytest.mark.parametrize("case", [case for case in FILES if case.notice], ids=lambda case: case.key)
def test_what_is_odd_but_good_is_noted(case: Object, data: DataStory, shell: Shell) -> None:
    """Columns in another order, or too many, are read with a notice in the run's report."""
    found = shell.cloud.client("s3").get_object(
        Bucket=shell.outputs["ArtifactBucket"], Key="runs/census/2/check/report.json"
    )
    assert case.notice in found["Body"].read().decode().replace('\\"', '"')
    assert data.run["outcome"] == "won"


@pytest.mark.parametrize("key", STRAY)
def test_an_object_of_no_model_is_no_signal(key: str, data: DataStory, shell: Shell) -> None:
    """Outside the prefix, or of a model that nobody pushed: nothing is kept of it anywhere."""
    assert data.first
    assert f"'{key}'" not in str(shell.ledger("census"))
    assert shell.ledger(NOBODY) == {}
    done = shell.inside("why", NOBODY, key)
    assert done.exit_code == 4
    assert f"no model '{NOBODY}'" in done.stderr


def test_landing_for_a_model_that_nobody_pushed_says_so(data: DataStory) -> None:
    """The object is there, and what is missing is named with the command that mends it."""
    assert f"There is no model {NOBODY} yet" in data.landed_for_nobody
    assert f"perennial push <folder of {NOBODY}>" in data.landed_for_nobody


def test_one_class_only_is_refused(data: DataStory) -> None:
    """A run of its own says that nothing can be learned, and what it waits for."""
    assert data.refused["outcome"] == "refused"
    assert "one class only: every training row has income <=50K" in data.refused["error"] + str(
        data.refused["ending"]
    )
    (fate,) = data.one_class
    assert fate["state"] == "held"
    assert "one class only" in fate["reason"]


@pytest.mark.parametrize("when", ["after bad data", "after one class"])
def test_the_champion_does_not_suffer_from_bad_data(when: str, data: DataStory) -> None:
    """The same version, and the same bytes in S3."""
    assert data.champions["first"].version == 1
    assert data.champions[when] == data.champions["first"]


def test_each_object_is_judged_once(data: DataStory, shell: Shell) -> None:
    """Three runs in all; another sweep finds nothing new; the dead-letter queues are empty."""
    assert data.runs == 3
    before = shell.ledger("census")
    shell.sweep()
    after = shell.ledger("census")
    assert {key for key in after if key.startswith("run#")} == {
        key for key in before if key.startswith("run#")
    }
    assert shell.dead_letters() == []


@pytest.mark.parametrize("case", FAILING, ids=lambda case: case.name)
def test_code_that_fails_ends_its_run_with_words(case: Code, code: CodeStory) -> None:
    """The run's page names the function, the fault and the way out, and where the log is."""
    run, shown = code.failed[case.name], code.shown[case.name]
    assert run["outcome"] == "failed"
    assert run["ending"]["transient"] is False
    failed = [visit["state"] for visit in run["path"] if visit["error"]]
    assert failed == [case.state]
    for words in case.says:
        assert words in run["ending"]["words"], run["ending"]
        assert words in shown, shown
    assert f"perennial logs run {run['number']} --model brittle" in shown
    assert run["version"] is None


@pytest.mark.parametrize("when", [*(case.name for case in FAILING), "prints megabytes"])
def test_the_champion_does_not_suffer_from_bad_code(when: str, code: CodeStory) -> None:
    """Although the policy would approve whatever passes: the same version, the same bytes."""
    assert code.champions["first"].version == 1
    assert code.champions[when] == code.champions["first"]


def test_a_failed_push_is_held_with_its_reason(code: CodeStory) -> None:
    """Each push was a signal; those that failed wait for a change, and say why."""
    signals = {signal["words"]: signal for signal in code.waits["signals"]}
    last = f"code: settings {len(FAILING) + 1}, pushed by ann"
    assert last in signals
    assert signals[last]["state"] == "held"
    assert "did not end within its time limit" in signals[last]["reason"]


def test_megabytes_of_output_are_no_failure(code: CodeStory) -> None:
    """The run is judged as ever; its log is cut."""
    assert code.noisy["outcome"] == "won"
    assert code.noisy["version"]["status"] == "PendingManualApproval"
    assert sum(map(len, code.noise)) < 1_500_000
    assert any("left out" in line for line in code.noise)
    assert any("rmse=" in line for line in code.noise)


def test_each_push_that_changes_something_counts(pushes: PushStory) -> None:
    """A, B, A are three settings versions; pushing A again is none; C and D at once are two."""
    told = [(push["version"], push["changed"]) for push in pushes.in_turn]
    assert told == [(1, True), (2, True), (3, True), (3, False)]
    first, second, third, _ = (push["code_sha"] for push in pushes.in_turn)
    assert first == third != second
    assert sorted(push["version"] for push in pushes.at_once) == [4, 5]
    assert all(push["changed"] for push in pushes.at_once)
    assert len(pushes.settings) == 5
    newest = max(pushes.at_once, key=lambda push: push["version"])
    assert (pushes.status["settings"], pushes.status["code_sha"]) == (5, newest["code_sha"])


def test_each_push_is_one_signal(pushes: PushStory, shell: Shell) -> None:
    """Five code signals wait for data; the code of each lies where its settings say."""
    # Of the two pushes at once either may be heard of first.
    assert sorted(signal["words"] for signal in pushes.waits["signals"]) == [
        f"code: settings {version}, pushed by ann" for version in range(1, 6)
    ]
    assert "no data yet" in pushes.waits["holds"][0]["words"]
    listed = shell.cloud.client("s3").list_objects_v2(
        Bucket=shell.outputs["ArtifactBucket"], Prefix="code/undecided/"
    )
    wanted = {push["code_uri"] for push in [*pushes.in_turn, *pushes.at_once]}
    assert {f"s3://{listed['Name']}/{each['Key']}" for each in listed["Contents"]} == wanted
    stack = shell.cloud.client("cloudformation").describe_stacks(
        StackName="perennial-model-undecided"
    )["Stacks"][0]
    assert stack["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


# What each ends with. A redrive goes on at the state that failed, and so meets no claim check:
# the end that was recorded, or a job whose name is taken.
BY_HAND = {
    "a run's input again": ("NotClaimed", "run 1 of brittle belongs to execution"),
    "a run that never was": ("NotClaimed", "its run never was"),
    "no input": ("States.Runtime", "$.model"),
    "a failed run redriven": ("CheckDataFailed", "prepare() in model.py of brittle"),
    "a stopped run redriven": ("TrainFailed", "must be unique"),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_an_execution_begun_by_hand_changes_nothing(name: str, by_hand: dict[str, ByHand]) -> None:
    """It fails; ledger and registry stay as they were, to the last attribute."""
    found, (error, cause) = by_hand[name], BY_HAND[name]
    assert found.execution["status"] == "FAILED"
    assert found.execution["error"] == error, found.execution
    assert cause in found.execution["cause"], found.execution
    assert not {"JudgeCandidate", "RegisterVersion"} & set(found.states)
    assert found.after == found.before
    assert found.packages[0] == found.packages[1]


def test_the_champion_does_not_suffer_from_meddling(
    code: CodeStory, by_hand: dict[str, ByHand], shell: Shell
) -> None:
    """The same version and bytes; nothing lies in a dead-letter queue."""
    assert by_hand
    assert shell.champion("brittle") == code.champions["first"]
    assert shell.dead_letters() == []
