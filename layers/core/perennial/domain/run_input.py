"""The input of the retrain machine, made once when a run is claimed and kept on its row.

Whoever starts the execution sends these very bytes, so a repeated start is the same start.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from perennial.domain import naming
from perennial.domain.gates import METRICS
from perennial.domain.ledger.rows import RunRow, SettingsRow
from perennial.domain.settings import STEPS, Settings, Tuning
from perennial.domain.training_job import hyperparameters, objective_name

SCALES = {"auto": "Auto", "linear": "Linear", "log": "Logarithmic"}


@dataclass(frozen=True)
class Network:
    """Where a stack's jobs run: subnets and security groups (or none), isolated or not."""

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    isolated: bool = False


@dataclass(frozen=True)
class Place:
    """The stack that a run belongs to and the bucket that it writes to."""

    stack: str
    artifact_bucket: str
    network: Network = Network()


def effective_settings(settings: Settings) -> bytes:
    """``settings.json`` of a run: its settings with overrides applied, in canonical bytes."""
    document = settings.to_json()
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def build(
    run: RunRow, pushed: SettingsRow, settings: Settings, place: Place, manifest_uri: str
) -> str:
    """The input as JSON text. ``settings`` have the run's overrides applied."""
    root = f"s3://{place.artifact_bucket}"
    document = {
        "model": run.model,
        "run": run.number,
        "prefix": naming.run_prefix(place.stack, run.model, run.number),
        "settings": pushed.version,
        "code": pushed.code,
        "code_sha": pushed.code_sha,
        "manifest": manifest_uri,
        "settings_uri": f"{root}/{naming.settings_key(run.model, run.number)}",
        "base": f"{root}/{naming.run_base(run.model, run.number)}",
        "models": f"{root}/{naming.models_prefix(run.model, run.number)}",
        "group": naming.package_group(place.stack, run.model),
        "instances": {step: _instance(settings, step) for step in STEPS},
        "hyperparameters": hyperparameters(settings, pushed.code, isolated=place.network.isolated),
        "training": _training(run, settings, place),
        "network": network_parts(place.network),
        "tags": _tags(run, settings, place),
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _instance(settings: Settings, step: str) -> dict[str, Any]:
    job = settings.job(step)
    return {
        "type": job.instance,
        "count": job.count,
        "volume_gb": job.volume_gb,
        "max_seconds": job.max_seconds,
    }


def _training(run: RunRow, settings: Settings, place: Place) -> dict[str, Any]:
    """How the training job runs, and what it searches if it is a tuning job."""
    train, job = settings.train, settings.job("train")
    stopping = {"MaxRuntimeInSeconds": job.max_seconds}
    if train.spot:
        stopping["MaxWaitTimeInSeconds"] = train.max_wait
    base = naming.run_base(run.model, run.number)
    # No folder's name may begin with another's: SageMaker takes an input's URI for a prefix.
    found = {
        "spot": train.spot,
        "stopping": stopping,
        # SageMaker takes an input's URI for a prefix: `check` must not begin another folder's name.
        "checkpoints": f"s3://{place.artifact_bucket}/{base}/spot-checkpoints",
        "metrics": _metric_definitions(METRICS[settings.problem], train.metrics),
        "tuning_prefix": naming.tuning_prefix(place.stack, run.model, run.number),
    }
    if train.tuning is None:
        return found
    return {**found, "tuning": tuning_config(train.tuning, objective_name(settings))}


def _metric_definitions(
    figures: Iterable[str], own: tuple[tuple[str, str], ...]
) -> list[dict[str, str]]:
    """How SageMaker finds the figures in what a training prints; the settings' own come first.

    On its way a training prints ``validation_auc``, at its end ``auc``: both are the objective
    of a search, which may stop a trial early by the former.
    """
    named = dict(own)
    value = "=([-+0-9.eE]+);"
    ours = {name: rf"\b(?:validation_)?{name}{value}" for name in figures if name not in named}
    return [{"Name": name, "Regex": regex} for name, regex in {**named, **ours}.items()]


def tuning_config(tuning: Tuning, objective: str = "") -> dict[str, Any]:
    """A tuning job's configuration as SageMaker takes it; every number is a text there.

    `objective` is the name under which what trains reports the figure, if it has one of its own.
    """
    ranges: dict[str, list[dict[str, Any]]] = {
        "IntegerParameterRanges": [],
        "ContinuousParameterRanges": [],
        "CategoricalParameterRanges": [],
    }
    for each in tuning.ranges:
        if each.kind == "category":
            entry = {"Name": each.name, "Values": list(each.values)}
            ranges["CategoricalParameterRanges"].append(entry)
            continue
        kind = "Integer" if each.kind == "int" else "Continuous"
        number = (lambda value: str(int(value))) if kind == "Integer" else repr
        ranges[f"{kind}ParameterRanges"].append(
            {
                "Name": each.name,
                "MinValue": number(each.low),
                "MaxValue": number(each.high),
                "ScalingType": SCALES[each.scale],
            }
        )
    return {
        "Strategy": tuning.strategy,
        "HyperParameterTuningJobObjective": {
            "Type": tuning.goal.capitalize(),
            "MetricName": objective or tuning.objective,
        },
        "ResourceLimits": {
            "MaxNumberOfTrainingJobs": tuning.jobs,
            "MaxParallelTrainingJobs": tuning.parallel,
        },
        "ParameterRanges": {name: found for name, found in ranges.items() if found},
        "TrainingJobEarlyStoppingType": "Auto" if tuning.early_stopping else "Off",
    }


def network_parts(network: Network) -> dict[str, Any]:
    """Isolation reaches every job but ``check_data``, which reads S3 itself, in the VPC."""
    vpc: dict[str, Any] = {}
    if network.subnets:
        groups, subnets = list(network.security_groups), list(network.subnets)
        vpc = {"VpcConfig": {"SecurityGroupIds": groups, "Subnets": subnets}}
    return {
        "isolated": network.isolated,
        **({"vpc": vpc["VpcConfig"]} if vpc else {}),
        "check_data": {"EnableNetworkIsolation": False, **vpc},
        "other_jobs": {"EnableNetworkIsolation": network.isolated, **vpc},
    }


def _tags(run: RunRow, settings: Settings, place: Place) -> list[Mapping[str, str]]:
    own = {
        "perennial:stack": place.stack,
        "perennial:model": run.model,
        "perennial:run": str(run.number),
    }
    tags = {**dict(settings.tags), **own}
    return [{"Key": name, "Value": value} for name, value in tags.items()]
