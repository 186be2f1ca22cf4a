"""Tuning jobs: real training jobs side by side, the best of them, failures, stops, parents."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional.sagemaker.tuning_jobs import Tuning

# A valley: lowest at pace 0.5, depth 4, colour blue. It takes a moment, so that jobs overlap.
VALLEY = """
    import argparse, time
    parser = argparse.ArgumentParser()
    for name in ("pace", "depth", "colour", "step"):
        parser.add_argument("--" + name)
    given = parser.parse_args()
    assert given.step == "train"
    time.sleep(0.3)
    loss = (float(given.pace) - 0.5) ** 2 + abs(int(given.depth) - 4) / 10
    loss += given.colour != "blue"
    print(f"loss={loss};")
"""


@pytest.fixture(scope="session")
def tuning(jobs: Any) -> Tuning:
    """Shorthand for tuning jobs."""
    return Tuning(jobs)


@pytest.fixture(scope="session")
def parent(tuning: Any) -> Any:
    """A tuning job over the valley that has ended; what Describe shows of it."""
    return tuning.wait(tuning.start(VALLEY, RandomSeed=7, Tags=[{"Key": "team", "Value": "a"}]))


def test_a_search_runs_training_jobs_and_names_the_best(tuning: Any, parent: Any) -> None:
    """Six jobs, two at a time, within their ranges; counters, tags, ARNs and the best add up."""
    assert parent["HyperParameterTuningJobStatus"] == "Completed", parent.get("FailureReason")
    name = parent["HyperParameterTuningJobName"]
    trials = tuning.trials(name)
    assert len(trials) == 6
    assert parent["TrainingJobStatusCounters"]["Completed"] == 6
    assert parent["ObjectiveStatusCounters"] == {"Succeeded": 6, "Pending": 0, "Failed": 0}
    for number, trial in enumerate(trials, 1):
        assert trial["TrainingJobName"].startswith(f"{name}-{number:03d}-")
        chosen = trial["TunedHyperParameters"]
        assert 0 <= float(chosen["pace"]) <= 1
        assert chosen["depth"] in {"1", "2", "3", "4", "5", "6", "7", "8"}
        assert chosen["colour"] in ("red", "blue")
        described = tuning.jobs.describe(trial["TrainingJobName"])
        assert described["TuningJobArn"] == parent["HyperParameterTuningJobArn"]
        given = described["HyperParameters"]
        assert given["_tuning_objective_metric"] == "loss"
        assert {key: given[key] for key in chosen} == chosen
        tags = tuning.sagemaker.list_tags(ResourceArn=described["TrainingJobArn"])["Tags"]
        assert tags == [{"Key": "team", "Value": "a"}]
    values = {
        trial["TrainingJobName"]: trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
        for trial in trials
    }
    best = parent["BestTrainingJob"]
    assert best["TrainingJobName"] == min(values, key=values.__getitem__)
    assert best["ObjectiveStatus"] == "Succeeded"
    ranked = tuning.trials(name, SortBy="FinalObjectiveMetricValue", SortOrder="Ascending")
    assert ranked[0]["TrainingJobName"] == best["TrainingJobName"]


def test_parallel_training_jobs_overlap_and_keep_the_limit(tuning: Any, parent: Any) -> None:
    """Two run at once at some time, and never three."""
    spans = []
    for trial in tuning.trials(parent["HyperParameterTuningJobName"]):
        spans += [(trial["TrainingStartTime"], 1), (trial["TrainingEndTime"], -1)]
    running, most = 0, 0
    for _, step in sorted(spans):
        running += step
        most = max(most, running)
    assert most == 2


def test_the_event_has_aws_shape(tuning: Any, parent: Any) -> None:
    """One event a status, with the counters, tags as a map, times as text."""
    name = parent["HyperParameterTuningJobName"]
    assert tuning.statuses(name, "Completed") == ["InProgress", "Completed"]
    last = tuning.events(name, "Completed")[-1]
    assert last["resources"] == [parent["HyperParameterTuningJobArn"]]
    assert last["detail"]["TrainingJobStatusCounters"]["Completed"] == 6
    assert last["detail"]["Tags"] == {"team": "a"}
    assert last["detail"]["CreationTime"].isdigit()


def test_a_failed_training_job_does_not_fail_the_search(tuning: Any) -> None:
    """Some fail, some are silent; the rest compete."""
    script = """
        import sys
        kind = sys.argv[sys.argv.index("--colour") + 1]
        if kind == "red":
            raise ValueError("red is not allowed")
        print("loss=0.5;" if kind == "blue" else "nothing to say")
    """
    name = tuning.start(
        script,
        ResourceLimits={"MaxNumberOfTrainingJobs": 9, "MaxParallelTrainingJobs": 3},
        ParameterRanges={
            "CategoricalParameterRanges": [{"Name": "colour", "Values": ["red", "blue", "mute"]}]
        },
        RandomSeed=3,
    )
    found = tuning.wait(name)
    assert found["HyperParameterTuningJobStatus"] == "Completed", found.get("FailureReason")
    chosen = [trial["TunedHyperParameters"]["colour"] for trial in tuning.trials(name)]
    counters, scores = found["TrainingJobStatusCounters"], found["ObjectiveStatusCounters"]
    assert counters["NonRetryableError"] == chosen.count("red") > 0
    assert counters["Completed"] == 9 - chosen.count("red")
    assert scores["Succeeded"] == chosen.count("blue") > 0
    assert found["BestTrainingJob"]["TunedHyperParameters"] == {"colour": "blue"}
    failed = next(t for t in tuning.trials(name) if t["TrainingJobStatus"] == "Failed")
    assert "red is not allowed" in failed["FailureReason"]


def test_a_search_whose_training_jobs_all_fail_fails(tuning: Any) -> None:
    """It gives up after five, in AWS's words; jobs without the objective likewise."""
    limits = {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 3}
    broken = tuning.start("raise SystemExit(3)", ResourceLimits=limits)
    silent = tuning.start("print('loss: none')", ResourceLimits=limits)
    found = tuning.wait(broken)
    assert found["HyperParameterTuningJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("No training job succeeded after 5 attempts.")
    assert "BestTrainingJob" not in found
    assert 5 <= found["TrainingJobStatusCounters"]["NonRetryableError"] <= 7
    found = tuning.wait(silent)
    assert found["HyperParameterTuningJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("No objective metrics found after running 5")
    assert found["ObjectiveStatusCounters"]["Succeeded"] == 0


def test_a_stop_ends_the_training_jobs(tuning: Any) -> None:
    """Stopping, then Stopped with its training jobs; a second stop and a delete as AWS does."""
    name = tuning.start(
        "import time; print('loss=1;', flush=True); time.sleep(60)",
        ResourceLimits={"MaxNumberOfTrainingJobs": 8, "MaxParallelTrainingJobs": 2},
    )
    tuning.wait_for(name, lambda found: found["TrainingJobStatusCounters"]["InProgress"] == 2)
    for trial in tuning.trials(name):
        tuning.jobs.wait_for_log(trial["TrainingJobName"], "loss=1;")
    with pytest.raises(ClientError, match="is in status InProgress"):
        tuning.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    tuning.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    found = tuning.wait(name)
    assert found["HyperParameterTuningJobStatus"] == "Stopped"
    assert found["TrainingJobStatusCounters"]["Stopped"] == 2
    assert tuning.statuses(name, "Stopped") == ["InProgress", "Stopping", "Stopped"]
    with pytest.raises(ClientError, match="in status Stopped"):
        tuning.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    tuning.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    with pytest.raises(ClientError) as caught:
        tuning.describe(name)
    assert caught.value.response["Error"]["Code"] == "ResourceNotFound"


def test_a_hopeless_training_job_is_stopped_early(tuning: Any) -> None:
    """Below the median of the earlier ones at the same epoch; the search goes on and completes."""
    script = """
        import sys, time
        level = int(sys.argv[sys.argv.index("--level") + 1])
        for epoch in range(1, 5):
            print(f"auc={0.5 + epoch / 100};" if level > 1 else "auc=0.1;", flush=True)
        if level <= 1:
            time.sleep(30)
    """
    name = tuning.start(
        script,
        HyperParameterTuningJobObjective={"Type": "Maximize", "MetricName": "auc"},
        TrainingJobEarlyStoppingType="Auto",
        ResourceLimits={"MaxNumberOfTrainingJobs": 12, "MaxParallelTrainingJobs": 4},
        ParameterRanges={
            "IntegerParameterRanges": [{"Name": "level", "MinValue": "1", "MaxValue": "4"}]
        },
        Strategy="Random",
        RandomSeed=2,
    )
    found = tuning.wait(name)
    assert found["HyperParameterTuningJobStatus"] == "Completed", found
    trials = tuning.trials(name)
    low = [t for t in trials if t["TunedHyperParameters"]["level"] == "1"]
    assert low
    assert {t["TrainingJobStatus"] for t in low} == {"Stopped"}
    assert found["TrainingJobStatusCounters"]["Stopped"] == len(low)
    assert found["BestTrainingJob"]["TrainingJobStatus"] == "Completed"


def test_criteria_end_a_search_before_its_last_training_job(tuning: Any) -> None:
    """A target that is met, and a best job that no other one beats for so long."""
    target = tuning.start(VALLEY, TuningJobCompletionCriteria={"TargetObjectiveMetricValue": 100.0})
    idle = tuning.start(
        "print('loss=1;')",
        TuningJobCompletionCriteria={
            "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}
        },
        ResourceLimits={"MaxNumberOfTrainingJobs": 50, "MaxParallelTrainingJobs": 2},
    )
    found = tuning.wait(target)
    assert found["HyperParameterTuningJobStatus"] == "Completed"
    assert sum(found["TrainingJobStatusCounters"].values()) < 6
    found = tuning.wait(idle)
    assert found["HyperParameterTuningJobStatus"] == "Completed"
    assert 4 <= sum(found["TrainingJobStatusCounters"].values()) <= 6
    details = found["TuningJobCompletionDetails"]
    assert details["NumberOfTrainingJobsObjectiveNotImproving"] >= 3


def test_spot_training_jobs_of_a_search_resume_from_their_own_checkpoints(tuning: Any) -> None:
    """Each has a place of its own below the one asked for; an interruption costs no one."""
    script = """
        import pathlib, sys, time
        place = pathlib.Path("/opt/ml/checkpoints/mine.txt")
        mine = sys.argv[sys.argv.index("--pace") + 1]
        if place.is_file():
            assert place.read_text() == mine
            print(f"loss={mine};")
        else:
            place.write_text(mine)
            time.sleep(30)
    """
    place = tuning.jobs.uri("spot-search")
    name = tuning.jobs.name("spot")
    tuning.jobs.cloud.faults(
        interrupt={"job": f"{name}-*", "checkpoint": True, "times": 2, "capacity_after_seconds": 0}
    )
    try:
        tuning.start(
            script,
            name=name,
            definition={
                "EnableManagedSpotTraining": True,
                "StoppingCondition": {"MaxRuntimeInSeconds": 20, "MaxWaitTimeInSeconds": 40},
                "CheckpointConfig": {"S3Uri": place},
            },
            ResourceLimits={"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 2},
        )
        found = tuning.wait(name)
    finally:
        tuning.jobs.cloud.faults()
    assert found["HyperParameterTuningJobStatus"] == "Completed", found
    for trial in tuning.trials(name):
        described = tuning.jobs.describe(trial["TrainingJobName"])
        own = f"{place}/{trial['TrainingJobName']}"
        assert described["CheckpointConfig"]["S3Uri"] == own
        passed = [entry["Status"] for entry in described["SecondaryStatusTransitions"]]
        assert passed.count("Interrupted") == 1


def warm(parent: Any, kind: str) -> dict[str, Any]:
    """A warm start from one parent."""
    name = parent["HyperParameterTuningJobName"]
    parents = [{"HyperParameterTuningJobName": name}]
    return {"ParentHyperParameterTuningJobs": parents, "WarmStartType": kind}


def test_a_warm_start_on_other_data_begins_with_the_parents_best(tuning: Any, parent: Any) -> None:
    """TransferLearning tries the parent's best place first, on the new data."""
    name = tuning.start(
        VALLEY,
        WarmStartConfig=warm(parent, "TransferLearning"),
        ResourceLimits={"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
    )
    found = tuning.wait(name)
    ours = tuning.trials(name)[0]["TunedHyperParameters"]
    assert ours == parent["BestTrainingJob"]["TunedHyperParameters"]
    assert "OverallBestTrainingJob" not in found


def test_a_warm_start_on_the_same_data_knows_the_overall_best(tuning: Any, parent: Any) -> None:
    """IdenticalDataAndAlgorithm learns from the parent and compares with it."""
    name = tuning.start(
        None,
        definition=parent["TrainingJobDefinition"],
        WarmStartConfig=warm(parent, "IdenticalDataAndAlgorithm"),
        ResourceLimits={"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1},
    )
    found = tuning.wait(name)
    value = "FinalHyperParameterTuningJobObjectiveMetric"
    both = [entry["BestTrainingJob"] for entry in (parent, found)]
    best = min(both, key=lambda entry: entry[value]["Value"])
    assert found["OverallBestTrainingJob"]["TrainingJobName"] == best["TrainingJobName"]
    assert found["OverallBestTrainingJob"]["TuningJobName"] in best["TrainingJobName"]


def test_a_warm_start_needs_a_parent_that_fits(tuning: Any, parent: Any) -> None:
    """Unknown parents, other objectives, other names, other types and other data are refused."""
    unknown = warm({"HyperParameterTuningJobName": "nobody"}, "TransferLearning")
    slow = tuning.start("import time; time.sleep(60)")
    running = warm({"HyperParameterTuningJobName": slow}, "TransferLearning")
    ended = warm(parent, "TransferLearning")
    same = warm(parent, "IdenticalDataAndAlgorithm")
    objective = {"Type": "Maximize", "MetricName": "auc"}
    ranges = dict(tuning.ranges)
    ranges["ContinuousParameterRanges"] += ranges.pop("IntegerParameterRanges")
    place = {"S3DataType": "S3Prefix", "S3Uri": tuning.jobs.uri("t")}
    channel = {"ChannelName": "t", "DataSource": {"S3DataSource": place}}
    other = {**parent["TrainingJobDefinition"], "InputDataConfig": [channel]}
    for script, static, more, words in (
        (VALLEY, {}, {"WarmStartConfig": unknown}, "can't find a tuning job"),
        (VALLEY, {}, {"WarmStartConfig": running}, "terminal state"),
        (
            VALLEY,
            {},
            {"WarmStartConfig": ended, "HyperParameterTuningJobObjective": objective},
            "objective metric must be the same",
        ),
        (
            VALLEY,
            {"extra": 1},
            {"WarmStartConfig": ended},
            "not the same across current and parent",
        ),
        (
            VALLEY,
            {},
            {"WarmStartConfig": ended, "ParameterRanges": ranges},
            "type of the hyperparameter depth must not change",
        ),
        (None, {}, {"WarmStartConfig": same, "definition": other}, "InputDataConfig differs"),
    ):
        with pytest.raises(ClientError, match=words):
            tuning.start(script, static, **more)
    tuning.sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=slow)


def ranged(**entry: Any) -> dict[str, Any]:
    """One continuous range."""
    found = {"Name": "pace", "MinValue": "0", "MaxValue": "1", **entry}
    return {"ParameterRanges": {"ContinuousParameterRanges": [found]}}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "a" * 33}, "length less than or equal to 32"),
        ({"Strategy": "Grid"}, "does not support the strategy Grid"),
        ({"Strategy": "Hyperband"}, "does not support the strategy Hyperband"),
        ({"Autotune": {"Mode": "Enabled"}}, "does not support Autotune"),
        (ranged(MinValue="2"), "greater than its MaxValue"),
        (ranged(MinValue="zero"), "is not a number"),
        (ranged(ScalingType="Logarithmic"), "only values greater than 0"),
        (ranged(ScalingType="ReverseLogarithmic"), "entirely within the range"),
        ({"ParameterRanges": {}}, "at least one range"),
        (ranged(Name="step"), "cannot be static and tunable: step"),
        (
            {"ResourceLimits": {"MaxNumberOfTrainingJobs": 751, "MaxParallelTrainingJobs": 1}},
            "is 750 Training Jobs",
        ),
        (
            {"ResourceLimits": {"MaxNumberOfTrainingJobs": 20, "MaxParallelTrainingJobs": 11}},
            "is 10 Training Jobs",
        ),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "rmse"}},
            "rmse is not in the metric definitions",
        ),
        (
            {"definition": {"StoppingCondition": {"MaxWaitTimeInSeconds": 100}}},
            "only supported when EnableManagedSpotTraining",
        ),
        (
            {"definition": {"HyperParameterTuningResourceConfig": {"InstanceCount": 1}}},
            "does not support TrainingJobDefinition.HyperParameterTuningResourceConfig",
        ),
    ],
)
def test_a_wrong_request_is_refused(tuning: Any, more: Any, words: str) -> None:
    """AWS's validation errors, and what the local cloud does not do, by name."""
    with pytest.raises(ClientError, match=words):
        tuning.start(VALLEY, **more)


def test_names_are_unique_and_lists_filter(tuning: Any, parent: Any) -> None:
    """ResourceInUse for a double; ListHyperParameterTuningJobs by name and status."""
    name = parent["HyperParameterTuningJobName"]
    with pytest.raises(ClientError, match="already exists"):
        tuning.start(VALLEY, name=name)
    listing = tuning.sagemaker.list_hyper_parameter_tuning_jobs
    found = listing(NameContains=name)["HyperParameterTuningJobSummaries"]
    assert [entry["HyperParameterTuningJobName"] for entry in found] == [name]
    assert found[0]["Strategy"] == "Bayesian"
    assert found[0]["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 6
    assert (
        listing(NameContains=name, StatusEquals="Failed")["HyperParameterTuningJobSummaries"] == []
    )
