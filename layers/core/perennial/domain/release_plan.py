"""What a release asks of SageMaker and CloudWatch, as parts of their requests.

Formats and limits are those of CreateModel, CreateEndpointConfig, UpdateEndpoint and
PutMetricAlarm; `tests/unit/domain/test_release_plan.py` holds every part against botocore's own
description of them, enums and patterns included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from perennial.domain import answer_figures, file_digests, naming, shared_naming
from perennial.domain.settings import Endpoint, Guard, Release

#: The variant that every production configuration has; a guarded update demands the same name.
MAIN = "main"
SERVER = "serve.py"
#: A registered version's variable: its archive holds the server's code, and wheels if it has any.
CODE_IN_MODEL = "PERENNIAL_CODE_IN_MODEL"
CODE_FOLDER = f"/opt/ml/model/{file_digests.CODE_FOLDER}"
#: SageMaker's limits of MaximumExecutionTimeoutInSeconds.
SHORTEST_DEPLOYMENT, LONGEST_DEPLOYMENT = 600, 28_800
#: What a deployment may take besides its waits: a new fleet starts, an old one ends.
FLEET_SECONDS = 3600
#: How long a fleet may take to download its model, and then to answer its first /ping.
DOWNLOAD_SECONDS = START_SECONDS = 600
METRICS = "AWS/SageMaker"
MICROSECONDS = 1000.0  # to a millisecond: CloudWatch's ModelLatency is in microseconds
CSV, JSON = "text/csv", "application/json"


@dataclass(frozen=True)
class Subject:
    """What is released, and as what. `key` is the ARN of the stack's own KMS key, or empty.

    `config` names the production EndpointConfig and, but for a rollback, the SageMaker Model.
    `place` is the endpoint's name, if it is not the model's first one; `moves`: traffic goes over
    to it from another endpoint. `is_shared`: other models are served there too.
    """

    stack: str
    model: str
    release: int
    version: int
    config: str
    bucket: str
    key: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    place: str = ""
    moves: bool = False
    is_shared: bool = False

    @property
    def endpoint(self) -> str:
        """The production endpoint."""
        return self.place or naming.live_endpoint(self.stack, self.model)

    @property
    def tested_on(self) -> str:
        """The endpoint that the smoke test asks: one of the release's own, or the shared one."""
        if self.is_shared:
            return self.endpoint
        return naming.staging_endpoint(self.stack, self.model)

    @property
    def target(self) -> str:
        """TargetModel of the version on a shared endpoint; empty on one of its own."""
        return shared_naming.target(self.model, self.config) if self.is_shared else ""


def names(subject: Subject) -> dict[str, str]:
    """The names of everything that the release makes or changes in SageMaker."""
    return {
        "endpoint": subject.endpoint,
        "config": subject.config,
        "staging": subject.tested_on,
        "staging_config": naming.staging_config(subject.config),
    }


def container(subject: Subject, registered: Mapping[str, Any]) -> dict[str, Any]:
    """The PrimaryContainer of a registered version's one container, told which server to run.

    Raises `KeyError` when the package does not say where its code lies.
    """
    variables = dict(registered.get("Environment", {}))
    code = {"SAGEMAKER_SUBMIT_DIRECTORY": variables["PERENNIAL_CODE"]}
    if has_code(registered):
        # Amazon's toolkit runs pip whatever comes: these are pip's own variables.
        code = {
            "SAGEMAKER_SUBMIT_DIRECTORY": CODE_FOLDER,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": f"{CODE_FOLDER}/wheelhouse",
        }
    return {
        "Image": registered["Image"],
        "ModelDataUrl": registered["ModelDataUrl"],
        "Environment": {
            **variables,
            "SAGEMAKER_PROGRAM": SERVER,
            **code,
            "PERENNIAL_MODEL_NAME": subject.model,
            "PERENNIAL_VERSION": str(subject.version),
        },
    }


def has_code(registered: Mapping[str, Any]) -> bool:
    """Whether the archive of a registered version holds its server's code."""
    return dict(registered.get("Environment", {})).get(CODE_IN_MODEL) == "yes"


def variants(model_name: str, endpoint: Endpoint, *, count: int) -> list[dict[str, Any]]:
    """The one production variant of a configuration; a serverless one has no `count`.

    None where several models share an endpoint: that is not the release's to configure.
    """
    if endpoint.kind == "multi-model":
        return []
    if endpoint.kind == "serverless":
        size = {"MemorySizeInMB": endpoint.memory_mb, "MaxConcurrency": endpoint.concurrency}
        return [{"VariantName": MAIN, "ModelName": model_name, "ServerlessConfig": size}]
    return [
        {
            "VariantName": MAIN,
            "ModelName": model_name,
            "InstanceType": endpoint.instance,
            "InitialInstanceCount": count,
            "InitialVariantWeight": 1.0,
            "ModelDataDownloadTimeoutInSeconds": DOWNLOAD_SECONDS,
            "ContainerStartupHealthCheckTimeoutInSeconds": START_SECONDS,
        }
    ]


def capture(subject: Subject, share: float) -> dict[str, Any]:
    """DataCaptureConfig: requests and answers below capture/<model>/, `share` (0 to 1) of them.

    SageMaker adds endpoint, variant and hour to the place.
    """
    config: dict[str, Any] = {
        "EnableCapture": share > 0,
        "InitialSamplingPercentage": round(share * 100),
        "DestinationS3Uri": f"s3://{subject.bucket}/capture/{subject.model}",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": [CSV], "JsonContentTypes": [JSON]},
    }
    return {**config, "KmsKeyId": subject.key} if subject.key else config


def guard_kinds(guard: Guard) -> tuple[str, ...]:
    """Which alarms the settings ask for."""
    bounds = {"errors": guard.errors, "latency": guard.latency_p99}
    return tuple(kind for kind, bound in bounds.items() if bound is not None)


def deployment(subject: Subject, release: Release) -> dict[str, Any]:
    """DeploymentConfig by strategy: how traffic moves, and what turns it back.

    After the last step all traffic is on the new fleet, and the old one is kept for one more bake:
    else an alarm that takes its time would find nothing to go back to. Raises `ValueError`, in
    words for people, when that takes longer than SageMaker lets a deployment take.
    """
    percent = {"Type": "CAPACITY_PERCENT", "Value": round(release.share * 100)}
    routing: dict[str, dict[str, Any]] = {
        "canary": {"Type": "CANARY", "WaitIntervalInSeconds": release.bake, "CanarySize": percent},
        "linear": {
            "Type": "LINEAR",
            "WaitIntervalInSeconds": release.bake,
            "LinearStepSize": percent,
        },
        "all-at-once": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
    }
    alarms = [
        {"AlarmName": naming.guard_alarm(subject.stack, subject.model, subject.release, kind)}
        for kind in guard_kinds(release.guard)
    ]
    return {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": routing[release.strategy],
            "TerminationWaitInSeconds": release.bake,
            "MaximumExecutionTimeoutInSeconds": time_limit(release),
        },
        "AutoRollbackConfiguration": {"Alarms": alarms},
    }


def waits(release: Release) -> int:
    """Seconds that a deployment waits in all: between its steps, and before the old fleet goes."""
    percent = round(release.share * 100)
    steps = {"canary": 1, "linear": math.ceil(100 / percent) - 1, "all-at-once": 0}
    return release.bake * (steps[release.strategy] + 1)


def time_limit(release: Release) -> int:
    """MaximumExecutionTimeoutInSeconds: what the waits take, and an hour; see `deployment`."""
    waiting = waits(release)
    if waiting + SHORTEST_DEPLOYMENT > LONGEST_DEPLOYMENT:
        raise ValueError(
            f"release: strategy {release.strategy} with share {round(release.share * 100)}% and "
            f"bake {release.bake} s waits {waiting:,} s in all, and SageMaker ends a deployment "
            f"after {LONGEST_DEPLOYMENT:,} s; take a larger share or a shorter bake in model.yaml"
        )
    return min(max(waiting + FLEET_SECONDS, SHORTEST_DEPLOYMENT), LONGEST_DEPLOYMENT)


def alarms(subject: Subject, guard: Guard) -> list[dict[str, Any]]:
    """PutMetricAlarm requests that watch the fleet of the new configuration, and no other.

    Both fleets of an update serve under one endpoint and variant; only the dimension
    EndpointConfigName tells them apart. Where traffic moves, the endpoint does, and a serverless
    one has no other dimensions. Where models share an endpoint, SageMaker's figures are of all of
    them, so `predict`'s own are watched. Invocation5XXErrors is 0 or 1 a request, so its average is
    the share of errors. Without requests there is nothing to hold against the release.
    """
    described = f"{subject.model} {subject.version} in production, release {subject.release}"
    namespace, watched = _watched(subject)
    found = []
    for kind in guard_kinds(guard):
        name = naming.guard_alarm(subject.stack, subject.model, subject.release, kind)
        found.append(
            {
                "AlarmName": name,
                **_bound(guard, kind, is_shared=subject.is_shared),
                "AlarmDescription": f"{described}: {_words(guard, kind)}. It is rolled back.",
                "Namespace": namespace,
                "Dimensions": [{"Name": name, "Value": value} for name, value in watched.items()],
                "Period": guard.period,
                "EvaluationPeriods": guard.evaluations,
                "DatapointsToAlarm": guard.evaluations,
                "ComparisonOperator": "GreaterThanThreshold",
                "TreatMissingData": "notBreaching",
                "Tags": tags(subject),
            }
        )
    return found


def _watched(subject: Subject) -> tuple[str, dict[str, str]]:
    """Namespace and dimensions of the figures that tell how the new version does."""
    if subject.is_shared:
        return answer_figures.NAMESPACE, answer_figures.answer_dimensions(
            subject.stack, subject.model, subject.release
        )
    watched = {"EndpointName": subject.endpoint, "VariantName": MAIN}
    if not subject.moves:
        watched["EndpointConfigName"] = subject.config
    return METRICS, watched


def _bound(guard: Guard, kind: str, *, is_shared: bool) -> dict[str, Any]:
    if kind == "errors":
        name = answer_figures.BAD_ANSWERS if is_shared else "Invocation5XXErrors"
        return {"MetricName": name, "Statistic": "Average", "Threshold": guard.errors}
    unit = 1.0 if is_shared else MICROSECONDS
    return {
        "MetricName": answer_figures.ANSWER_MS if is_shared else "ModelLatency",
        "ExtendedStatistic": "p99",
        "Threshold": (guard.latency_p99 or 0.0) * unit,
    }


def _words(guard: Guard, kind: str) -> str:
    if kind == "errors":
        return f"more than {100 * (guard.errors or 0):g}% of the requests failed"
    return f"p99 of the model's latency passed {guard.latency_p99:g} ms"


def tags(subject: Subject) -> list[dict[str, str]]:
    """The tags of everything that the release makes; the settings' own among them."""
    own = {
        "perennial:stack": subject.stack,
        "perennial:model": subject.model,
        "perennial:release": str(subject.release),
        "perennial:version": str(subject.version),
    }
    return [{"Key": k, "Value": v} for k, v in {**dict(subject.tags), **own}.items()]
