"""Planning a run: whom the candidate meets, which finished steps are found again."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from perennial import finished_steps, plan_run
from perennial.aws import objects
from perennial.aws.history import Visit
from perennial.describe_run import known_run
from perennial.domain.errors import NotClaimed, Rejected
from perennial.domain.ledger.rows import FinishedStep
from perennial.domain.ledger.store import change
from perennial.domain.naming import code_key
from perennial.domain.settings import Settings
from perennial.pack_project import pack_project
from perennial.plan_run import Opponent, RegionImages, make_plan, source_digest
from perennial.read_outcomes import candidate_of

from tests.unit.domain.test_step_keys import SETTINGS as DOCUMENT
from tests.unit.world import MODEL, World

ROOT = Path(__file__).resolve().parents[3]
IMAGES = RegionImages("image", "clarify")
PLAIN = Settings.from_json(DOCUMENT, project="census")
CHAMPION = Opponent(4, 9, "arn:4", comparable=True)
BASE = "s3://artifacts/runs/census/12"
ALL = ("check_data", "train", "evaluate", "evaluate_champion", "compare", "measure_bias",
       "explain")  # fmt: skip


def archive(**files: str) -> bytes:
    """A packed project; names are given with __ for / and _dot_ for a dot."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for name, text in files.items():
            entry = tarfile.TarInfo(name.replace("__", "/").replace("_dot_", "."))
            entry.size = len(text)
            packed.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def finished(step: str) -> tuple[int, FinishedStep]:
    """A step that run 11 finished."""
    artifact = "s3://artifacts/models/m.tar.gz" if step == "train" else ""
    return 11, FinishedStep(step, "k", f"job-{step}", f"{BASE[:-2]}11", artifact, 5)


def test_a_first_run_does_everything_but_the_comparison() -> None:
    """Without a champion nothing is compared; all outputs are the run's own."""
    plan = make_plan(BASE, PLAIN, Opponent(), {}, {})
    assert plan.do == {step: step not in ("evaluate_champion", "compare") for step in ALL}
    assert set(plan.places.values()) == {BASE}
    assert not any(plan.done.values())
    assert plan.to_json()["champion"]["words"] == "there is no champion yet"


def test_what_is_finished_is_not_done_again() -> None:
    """Each reused step names its job, its run and where its outputs lie."""
    found = {step: finished(step) for step in ("check_data", "train")}
    plan = make_plan(BASE, PLAIN, CHAMPION, {}, found)
    assert [step for step in ALL if not plan.do[step]] == ["check_data", "train"]
    assert plan.places["check_data"] == plan.places["train"] == f"{BASE[:-2]}11"
    assert plan.done["train"] == {
        "job": "job-train", "reused_from": 11, "artifact": "s3://artifacts/models/m.tar.gz",
    }  # fmt: skip
    assert plan.to_json()["check_key"] == "runs/census/11/check/summary.json"


@pytest.mark.parametrize(
    ("settings", "left_out"),
    [
        (replace(PLAIN, comparison=None), {"evaluate_champion", "compare"}),
        (replace(PLAIN, facets=()), {"measure_bias"}),
        (replace(PLAIN, explain=replace(PLAIN.explain, enabled=False)), {"explain"}),
    ],
)
def test_what_the_settings_switch_off_is_not_done(settings: Any, left_out: set[str]) -> None:
    """Nor is it taken from an earlier run."""
    plan = make_plan(BASE, settings, CHAMPION, {}, {step: finished(step) for step in left_out})
    assert {step for step in ALL if not plan.do[step]} == left_out
    assert not any(plan.done.values())


def test_settings_in_the_archive_do_not_make_it_other_code() -> None:
    """Pushing another gate changes model.yaml alone; any other file is other code."""
    one = archive(project__model_dot_py="a", project__model_dot_yaml="gates: 1", entry_dot_py="e")
    gate = archive(entry_dot_py="e", project__model_dot_yaml="gates: 2", project__model_dot_py="a")
    code = archive(project__model_dot_py="b", project__model_dot_yaml="gates: 1", entry_dot_py="e")
    name = archive(project__other_dot_py="a", project__model_dot_yaml="gates: 1", entry_dot_py="e")
    assert source_digest(one) == source_digest(gate)
    assert len({source_digest(each) for each in (one, code, name)}) == 3


def test_a_pushed_projects_other_gate_is_not_other_code(tmp_path: Path) -> None:
    """The archive that a push really makes lists its files, the settings among them."""
    project = tmp_path / "census"
    hidden = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "models" / "census", project, ignore=hidden)
    first = source_digest(pack_project(project).body)
    for name, is_same in (("model.yaml", True), ("model.py", False)):
        with (project / name).open("a") as file:
            file.write("# another gate\n")
        assert (source_digest(pack_project(project).body) == first) == is_same


@pytest.fixture
def running(world: World) -> World:
    """Run 1 is at work, and its code can be read."""
    world.push()
    world.deliver(world.land("1.csv"))
    world.wait(31)
    world.wake()
    body = archive(project__model_dot_py="a")
    boto3.client("s3").put_object(Bucket="artifacts", Key=code_key(MODEL, "a" * 64), Body=body)
    return world


def test_a_plan_is_made_once_and_kept_on_the_row(running: World) -> None:
    """A second attempt answers the same; a stranger's execution gets none."""
    execution = running.run(1).execution
    first = plan_run.plan_run(running.ports, MODEL, 1, execution, IMAGES)
    row = running.run(1)
    assert plan_run.plan_run(running.ports, MODEL, 1, execution, IMAGES) == first
    assert running.run(1) == row
    kept = json.loads(row.plan)
    assert set(kept["keys"]) == set(ALL)
    assert kept["places"] == first.places
    with pytest.raises(NotClaimed):
        plan_run.plan_run(running.ports, MODEL, 1, execution + "x", IMAGES)


def test_what_an_execution_finished_is_noted_and_found_again(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Done steps are noted, failed and unfinished ones are not; output that is gone is no use."""
    row = running.run(1)
    plan = plan_run.plan_run(running.ports, MODEL, 1, row.execution, IMAGES)
    path = (
        Visit("CheckData", "Task", 1, 2, "job-1"),
        Visit("Train", "Task", 2, 3, "job-2"),
        Visit("Evaluate", "Task", 3, 4, "job-3", error="States.TaskFailed"),
        Visit("MeasureBias", "Task", 4, None, "job-4"),
        Visit("MeasureBiasWithClarify", "Task", 4, 5, "job-5"),
        Visit("Won", "Choice", 4, 5),
    )
    monkeypatch.setattr(finished_steps, "visits", lambda _: path)
    described = {
        "TrainingJobName": "job-2",
        "ModelArtifacts": {"S3ModelArtifacts": "s3://artifacts/models/census/1/model.tar.gz"},
    }
    monkeypatch.setattr(finished_steps, "describe_training_job", lambda _: described)
    assert finished_steps.note_steps(running.ports, running.run(1))
    assert not finished_steps.note_steps(running.ports, running.run(1))
    steps = known_run(running.ledger, MODEL, 1).steps
    assert [(step.step, step.job) for step in steps] == [
        ("check_data", "job-1"),
        ("train", "job-2"),
        ("measure_bias", "job-5"),
    ]
    put = boto3.client("s3").put_object
    put(Bucket="artifacts", Key="models/census/1/model.tar.gz", Body=b"m")
    look = plan_run._find_finished
    now = running.clock.now_ms
    found = look(running.ports, running.run(1), plan.keys, now)
    assert set(found) == {"train"}
    put(Bucket="artifacts", Key="runs/census/1/check/summary.json", Body=b"{}")
    found = look(running.ports, running.run(1), plan.keys, now)
    assert set(found) == {"check_data", "train"}
    assert look(running.ports, running.run(1), {**plan.keys, "train": "other"}, now).keys() == {
        "check_data"
    }
    assert set(look(running.ports, running.run(1), plan.keys, now - 3)) == {"train"}
    assert look(running.ports, running.run(1), plan.keys, now - 4) == {}
    assert look(running.ports, running.run(1), plan.keys, 0) == {}


def settings_with(world: World, **changed: Any) -> None:
    """Other settings of run 1, as the run reads them."""
    key = "runs/census/1/settings.json"
    given = json.loads(boto3.client("s3").get_object(Bucket="artifacts", Key=key)["Body"].read())
    body = json.dumps({**given, **changed}).encode()
    boto3.client("s3").put_object(Bucket="artifacts", Key=key, Body=body)


BY_CLARIFY = {"providers": {"bias": "sagemaker"}, "facets": {"age": {"edges": [40]}}}


def test_clarify_is_told_what_to_measure(running: World) -> None:
    """Its configuration lies in S3 before its job begins, and the machine is told where."""
    settings_with(running, **BY_CLARIFY)
    plan = plan_run.plan_run(running.ports, MODEL, 1, running.run(1).execution, IMAGES)
    uri = plan.to_json()["clarify"]["config"]
    assert uri == "s3://artifacts/runs/census/1/clarify/analysis_config.json"
    config = objects.get_json(uri)
    assert config["facet"] == [{"name_or_index": "age"}]
    assert config["label"] == "income"


def test_clarify_is_not_told_what_is_known_already(running: World) -> None:
    """Without a provider of AWS's there is no configuration, and the machine takes our job."""
    plan = plan_run.plan_run(running.ports, MODEL, 1, running.run(1).execution, IMAGES)
    assert "clarify" not in plan.to_json()
    assert "warm_start" not in plan.to_json()


def test_a_region_without_clarify_is_named(running: World) -> None:
    """The run ends with what to change, before anything is paid for."""
    settings_with(running, **BY_CLARIFY)
    with pytest.raises(Rejected, match=r"providers\.bias of census .* no image in this Region"):
        plan_run.plan_run(
            running.ports, MODEL, 1, running.run(1).execution, RegionImages("image", "")
        )


def outcome_event(**changes: Any) -> dict[str, Any]:
    """What the state JudgeCandidate is sent, with some outcomes changed."""
    outcomes: dict[str, Mapping[str, Any]] = {
        "evaluate": {"job": "e"}, "evaluate_champion": {"job": "c"}, "compare": {"job": "p"},
        "measure_bias": {"job": "b", "reused_from": 11}, "explain": {},
    } | changes  # fmt: skip
    done = {"check_data": {"job": "d"}, "train": {"job": "t", "artifact": "s3://a/m"}}
    plan = make_plan(BASE, PLAIN, CHAMPION, {}, {}).to_json()
    return {
        "model": MODEL, "run": 12, "base": BASE, "manifest": "s3://a/man", "code_sha": "c" * 64,
        "settings_uri": "s3://a/s", "code": "s3://a/c",
        "plan": {**plan, "done": {**done, **changes.pop("done", {})}},
        "evaluations": {k: outcomes[k] for k in ("evaluate", "evaluate_champion")},
        "examinations": {k: outcomes[k] for k in ("compare", "measure_bias", "explain")},
    }  # fmt: skip


def test_the_judge_is_told_what_came_of_each_step() -> None:
    """URIs of what there is, nothing for what there is not, reused jobs as such."""
    candidate = candidate_of(outcome_event())
    assert candidate.comparison == f"{BASE}/comparison/comparison.json"
    assert candidate.bias == f"{BASE}/bias/analysis.json"
    assert candidate.explanations == ""
    assert candidate.failures == {}
    jobs = {job["step"]: (job["kind"], job["reused"]) for job in candidate.jobs or ()}
    assert jobs["measure_bias"] == ("processing", True)
    assert jobs["train"] == ("training", False)
    assert "explain" not in jobs


def test_a_failed_step_speaks_by_its_last_words() -> None:
    """Of a job's whole description the reason is kept."""
    words = 'States.TaskFailed: {"ExitMessage":"no column x","FailureReason":"AlgorithmError: y"}'
    failed = {"evaluate_champion": {"failure": words}, "compare": {}}
    candidate = candidate_of(outcome_event(**failed))
    assert candidate.failures == {"evaluate_champion": "no column x"}
    assert candidate.comparison == ""


def test_the_judge_is_told_what_a_search_continues_from() -> None:
    """In the plan's words; without a search there are none."""
    event = outcome_event()
    assert candidate_of(event).warm_start == ""
    event["plan"]["warm_start"] = {"words": "the search starts cold"}
    assert candidate_of(event).warm_start == "the search starts cold"


def test_a_search_is_told_by_its_tuning_job() -> None:
    """All trials were paid, not the best one alone."""
    arn = "arn:aws:sagemaker:eu-west-1:1:hyper-parameter-tuning-job/search-0"
    done = {"train": {"job": "t", "artifact": "s3://a/m", "tuning_job": arn}}
    (train,) = (
        j for j in candidate_of(outcome_event(done=done)).jobs or () if j["step"] == "train"
    )
    assert (train["job"], train["kind"]) == ("search-0", "tuning")


@pytest.mark.parametrize(
    ("instance", "image"),
    [
        ("ml.m5.large", "image"),
        ("ml.c5.xlarge", "image"),
        ("ml.g5.xlarge", "hugging-face"),
        ("ml.p4d.24xlarge", "hugging-face"),
    ],
)
def test_model_py_trains_on_a_gpu_in_an_image_that_can_use_it(
    world: World, instance: str, image: str
) -> None:
    """The instance alone says so, by settings; every other job keeps its image, also in its key."""
    images = replace(IMAGES, gpu="hugging-face")
    plan = planned_on(world, instance, images)
    assert plan.training["algorithm"]["TrainingImage"] == image
    assert [channel["ChannelName"] for channel in plan.training["channels"]] == [
        "training",
        "settings",
        "check",
    ]
    assert not plan.training["packaged"]
    other = plan_run.plan_run(
        world.ports, MODEL, 1, world.run(1).execution, replace(images, gpu="other")
    )
    assert (other.keys["train"] == plan.keys["train"]) is (image == "image")
    assert other.keys["check_data"] == plan.keys["check_data"]


@pytest.mark.parametrize("isolated", ["yes", "no"])
def test_an_isolated_stack_has_the_code_packed_with_the_model(world: World, isolated: str) -> None:
    """The evaluation's archive goes on then, and an evaluation without it has another key."""
    closed = replace(world, outputs={**world.outputs, "NETWORK_ISOLATION": isolated})
    plan = planned_on(closed, "ml.m5.large", IMAGES)
    training = (plan.training["packaged"], plan.training["packs_code"])
    assert training == ((True, "yes") if isolated == "yes" else (False, "no"))
    channels = {each["ChannelName"] for each in plan.training["channels"]}
    given = json.loads(closed.run(1).input)["hyperparameters"]["sagemaker_submit_directory"]
    assert ("code" in channels, "/opt/ml/input/data/code/" in given) == (isolated == "yes",) * 2
    assert ("PIP_NO_INDEX" in plan.training["environment"]) is (isolated == "yes")
    row = closed.run(1)
    open_input = row.input.replace('"isolated":true', '"isolated":false')
    closed.ledger.commit([change(row, input=open_input)])
    other = plan_run.plan_run(closed.ports, MODEL, 1, row.execution, IMAGES)
    assert other.keys["train"] == plan.keys["train"]
    assert (other.keys["evaluate"] == plan.keys["evaluate"]) is (isolated == "no")


def test_a_gpu_without_an_image_is_refused(world: World) -> None:
    """Where AWS has no such image, the words name the instance and what to do."""
    with pytest.raises(Rejected, match=r"train\.instance of census is ml\.g5\.xlarge"):
        planned_on(world, "ml.g5.xlarge", IMAGES)


def planned_on(world: World, instance: str, images: RegionImages) -> plan_run.Plan:
    """The plan of a first run that trains on this instance."""
    world.push(train={"instance": instance})
    world.deliver(world.land("1.csv"))
    world.wait(31)
    world.wake()
    body = archive(project__model_dot_py="a")
    boto3.client("s3").put_object(Bucket="artifacts", Key=code_key(MODEL, "a" * 64), Body=body)
    return plan_run.plan_run(world.ports, MODEL, 1, world.run(1).execution, images)
