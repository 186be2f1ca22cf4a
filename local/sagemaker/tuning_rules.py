"""What the local cloud does of tuning jobs, AWS's limits and texts, and the event."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.sagemaker.errors import SageMakerError, invalid, unsupported
from local.sagemaker.ranges import KINDS, read_ranges
from local.sagemaker.records import Record
from local.sagemaker.training_rules import spelled

MAX_JOBS = 750  # training jobs of one tuning job, with those of its parents
MAX_PARALLEL = 10
MAX_METRICS = 20
MAX_HYPERPARAMETERS = 100  # static and tunable, with the one that SageMaker adds
MAX_CHANGES = 10  # of static values, between parents and a warm start
OBJECTIVE = "_tuning_objective_metric"
ENDED = ("Completed", "Failed", "Stopped")
EVENT_MEMBERS = [
    "HyperParameterTuningJobName",
    "HyperParameterTuningJobArn",
    "HyperParameterTuningJobConfig",
    "TrainingJobDefinition",
    "HyperParameterTuningJobStatus",
    "CreationTime",
    "HyperParameterTuningEndTime",
    "LastModifiedTime",
    "TrainingJobStatusCounters",
    "ObjectiveStatusCounters",
    "BestTrainingJob",
    "WarmStartConfig",
    "FailureReason",
]
# What may differ from the parents of a warm start with identical data and algorithm.
_FREE = ("StaticHyperParameters", "ResourceConfig", "RoleArn", "VpcConfig", "StoppingCondition")
_SAME = ("InputDataConfig", "AlgorithmSpecification")


def accepted(
    parameters: Mapping[str, Any], built_in: Callable[[str], Sequence[Mapping[str, str]]]
) -> Record:
    """Check a CreateHyperParameterTuningJob request; what Describe will show of it.

    `built_in` answers the metrics that SageMaker defines for an image's algorithm, or none. The
    training jobs' own part is checked by the training jobs' own rules.
    """
    record = {name: value for name, value in parameters.items() if name != "Tags"}
    for name, words in (
        ("TrainingJobDefinitions", "more than one training job definition"),
        ("Autotune", "Autotune"),
    ):
        if record.get(name):
            raise unsupported(f"{words} ({name})")
    config = record["HyperParameterTuningJobConfig"]
    definition = record.get("TrainingJobDefinition")
    if definition is None:
        raise invalid("A hyperparameter tuning job needs a TrainingJobDefinition.")
    _check_strategy(config)
    _check_limits(config["ResourceLimits"])
    config.setdefault("TrainingJobEarlyStoppingType", "Off")
    for name in ("TuningObjective", "HyperParameterRanges", "HyperParameterTuningResourceConfig"):
        if definition.get(name):
            raise unsupported(f"TrainingJobDefinition.{name}")
    if definition["AlgorithmSpecification"].get("AlgorithmName"):
        raise unsupported("algorithm resources (AlgorithmSpecification.AlgorithmName)")
    _check_hyperparameters(config, definition)
    image = definition["AlgorithmSpecification"].get("TrainingImage", "")
    _check_objective(config, definition, built_in(image))
    return record


def _check_strategy(config: Mapping[str, Any]) -> None:
    strategy = config["Strategy"]
    if strategy not in ("Bayesian", "Random"):
        raise unsupported(f"the strategy {strategy} (it has Bayesian and Random)")
    if config.get("StrategyConfig"):
        raise unsupported("HyperParameterTuningJobConfig.StrategyConfig")
    criteria = config.get("TuningJobCompletionCriteria", {})
    if criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled":
        raise unsupported("TuningJobCompletionCriteria.ConvergenceDetected")


def _check_limits(limits: Mapping[str, Any]) -> None:
    for member, most, words in (
        ("MaxNumberOfTrainingJobs", MAX_JOBS, "Number of training jobs per hyperparameter tuning"),
        ("MaxParallelTrainingJobs", MAX_PARALLEL, "Number of parallel training jobs per tuning"),
    ):
        asked = limits.get(member, 1)
        if asked > most:
            raise SageMakerError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{words} job' is {most} Training Jobs, with "
                f"current utilization of 0 Training Jobs and a request delta of {asked} Training "
                "Jobs.",
            )
    if limits["MaxParallelTrainingJobs"] > limits.get("MaxNumberOfTrainingJobs", MAX_JOBS):
        raise invalid(
            "MaxParallelTrainingJobs must not be greater than MaxNumberOfTrainingJobs: "
            f"{limits['MaxParallelTrainingJobs']} of {limits['MaxNumberOfTrainingJobs']}."
        )


def _check_hyperparameters(config: Mapping[str, Any], definition: Record) -> None:
    ranges = read_ranges(config.get("ParameterRanges", {}))
    static = definition.setdefault("StaticHyperParameters", {})
    if OBJECTIVE in static:
        raise invalid(f"The hyperparameter {OBJECTIVE} is reserved for SageMaker.")
    both = sorted(set(static) & {entry.name for entry in ranges})
    if both:
        raise invalid(f"Hyperparameters cannot be static and tunable: {', '.join(both)}.")
    if len(static) + len(ranges) + 1 > MAX_HYPERPARAMETERS:
        raise SageMakerError(
            "ResourceLimitExceeded",
            f"A training job can have at most {MAX_HYPERPARAMETERS} hyperparameters, "
            f"{OBJECTIVE} included.",
        )


def _check_objective(
    config: Mapping[str, Any], definition: Record, built_in: Sequence[Mapping[str, str]]
) -> None:
    """The objective must be one of the metrics; it becomes a hyperparameter."""
    metrics = definition["AlgorithmSpecification"].get("MetricDefinitions", [])
    if len(metrics) > MAX_METRICS:
        raise SageMakerError(
            "ResourceLimitExceeded",
            f"A hyperparameter tuning job can define at most {MAX_METRICS} metrics.",
        )
    metrics = [*metrics, *built_in]
    objective = config.get("HyperParameterTuningJobObjective")
    if objective is None or not metrics:
        raise invalid(
            "A metric is required for this hyperparameter tuning job objective. Provide a metric "
            "in the metric definitions."
        )
    names = [metric["Name"] for metric in metrics]
    if objective["MetricName"] not in names:
        raise invalid(
            f"The objective metric {objective['MetricName']} is not in the metric definitions: "
            f"{', '.join(names)}."
        )
    definition["StaticHyperParameters"][OBJECTIVE] = objective["MetricName"]


def is_enough(
    config: Mapping[str, Any], *, seconds: float, best: float | None, since_best: int
) -> bool:
    """Whether a search ends before its last training job.

    `seconds` since its creation; `best`: the best objective so far; `since_best`: how many
    training jobs have not beaten it.
    """
    most = config["ResourceLimits"].get("MaxRuntimeInSeconds")
    if most is not None and seconds >= most:
        return True
    criteria = config.get("TuningJobCompletionCriteria", {})
    idle = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
    if idle is not None and since_best >= idle:
        return True
    target = criteria.get("TargetObjectiveMetricValue")
    if target is None or best is None:
        return False
    maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
    return bool(best >= target if maximize else best <= target)


def training_request(record: Mapping[str, Any], name: str, chosen: Mapping[str, str]) -> Record:
    """The CreateTrainingJob request of one training job of a tuning job."""
    definition = copy.deepcopy(record["TrainingJobDefinition"])
    static = definition.pop("StaticHyperParameters")
    definition.pop("DefinitionName", None)
    checkpoints = definition.get("CheckpointConfig")
    if checkpoints:  # no training job may go on from another one's checkpoint
        checkpoints["S3Uri"] = f"{checkpoints['S3Uri'].rstrip('/')}/{name}"
    return {**definition, "TrainingJobName": name, "HyperParameters": {**static, **chosen}}


def check_parents(record: Mapping[str, Any], parents: Sequence[Record]) -> None:
    """AWS's restrictions on the parents of a warm start."""
    config, definition = record["HyperParameterTuningJobConfig"], record["TrainingJobDefinition"]
    jobs = config["ResourceLimits"].get("MaxNumberOfTrainingJobs", 1)
    jobs += sum(sum(parent["TrainingJobStatusCounters"].values()) for parent in parents)
    if jobs > MAX_JOBS:
        raise SageMakerError(
            "ResourceLimitExceeded",
            f"The training jobs of the parents count: {jobs} would be more than {MAX_JOBS}.",
        )
    identical = record["WarmStartConfig"]["WarmStartType"] == "IdenticalDataAndAlgorithm"
    for parent in parents:
        name = parent["HyperParameterTuningJobName"]
        if parent["HyperParameterTuningJobStatus"] not in ENDED:
            raise invalid(f"The parent tuning job {name} has not reached a terminal state.")
        theirs = parent["HyperParameterTuningJobConfig"]
        if theirs["HyperParameterTuningJobObjective"] != config["HyperParameterTuningJobObjective"]:
            raise invalid(f"The objective metric must be the same as in the parent job {name}.")
        _check_names(record, parent)
        was = parent["TrainingJobDefinition"]
        changed = [part for part in _SAME if was.get(part) != definition.get(part)]
        if identical and changed:
            raise invalid(
                "Only the following fields in TrainingJobDefinition are allowed to change for the "
                f"warm start type IdenticalDataAndAlgorithm: {', '.join(_FREE)}; "
                f"{', '.join(changed)} differs from the parent job {name}."
            )


def _check_names(record: Mapping[str, Any], parent: Mapping[str, Any]) -> None:
    """The same hyperparameters, of the same types, with few changes of static ones."""
    ours, theirs = _types(record), _types(parent)
    static = record["TrainingJobDefinition"]["StaticHyperParameters"]
    was = parent["TrainingJobDefinition"]["StaticHyperParameters"]
    if set(ours) | set(static) != set(theirs) | set(was):
        raise invalid(
            "The set of tunable plus static HyperParameter names is not the same across current "
            "and parent tuning jobs. Please ensure this set is constant when warm starting. Note "
            "that previously static HyperParameters can be tuned in warm start jobs and vice versa."
        )
    for name in ours:
        if name in theirs and ours[name] != theirs[name]:
            raise invalid(
                f"The type of the hyperparameter {name} must not change between parent jobs and "
                f"a warm start: it was {theirs[name]} and is {ours[name]}."
            )
    changes = sum(name in theirs or static[name] != was.get(name) for name in static)
    if changes > MAX_CHANGES:
        raise invalid(
            f"{changes} hyperparameters became static or changed their static value since the "
            f"parent job {parent['HyperParameterTuningJobName']}; at most {MAX_CHANGES} may."
        )


def _types(record: Mapping[str, Any]) -> dict[str, str]:
    found = record["HyperParameterTuningJobConfig"]["ParameterRanges"]
    return {
        entry["Name"]: kind for kind in KINDS for entry in found.get(f"{kind}ParameterRanges", [])
    }


def tuning_event(record: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    """The event's detail: Describe's members, times as text of epoch milliseconds, tags a map."""
    detail = {name: spelled(name, record[name]) for name in EVENT_MEMBERS if name in record}
    return {**detail, "Tags": dict(tags)}
