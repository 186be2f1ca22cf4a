"""Register a judged candidate as a version of its model: pending approval, or rejected.

Repeatable: SageMaker answers a repeated token with the version it made, and the run's row keeps
the version, so that no attempt makes a second one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from perennial.aws import objects, registry
from perennial.check_claim import check_claim
from perennial.describe_run import known_run
from perennial.domain.errors import Rejected
from perennial.domain.ledger.rows import RunRow, Version
from perennial.domain.release_plan import CODE_IN_MODEL
from perennial.record_version import record_version

if TYPE_CHECKING:
    from perennial.wiring import Ports

TASKS = {"binary": "CLASSIFICATION", "multiclass": "CLASSIFICATION", "regression": "REGRESSION"}
LONGEST_VALUE = 256
#: What jobs/serve.py reads and answers.
CONTENT_TYPES = ("text/csv", "application/json", "application/jsonlines")
QUALITY_FILES = ("Statistics", "Constraints")
#: Kind, folder, and what SageMaker calls the constraints of it; a run need not have them.
OPTIONAL_BASELINES = (
    ("Bias", "bias", "PostTrainingConstraints"),
    ("Explainability", "attribution", "Constraints"),
)


@dataclass(frozen=True)
class Registration:
    """What RegisterVersion is told; `verdict` is JudgeCandidate's answer."""

    model: str
    run: int
    execution: str
    group: str
    verdict: Mapping[str, Any]
    artifact: str
    code: str
    code_sha: str
    image: str
    manifest: str
    check_job: str
    training_job: str
    evaluate_job: str
    plan: Mapping[str, Any] = field(default_factory=dict)


def register_version(ports: Ports, registration: Registration) -> Version:
    """Register the version and note it on the run's row.

    Raises `NotClaimed` when this execution does not hold the run, `Rejected` when verdict, model
    or code are not the bytes that were judged.
    """
    model, run = registration.model, registration.run
    check_claim(ports, model, run, registration.execution)
    row = known_run(ports.ledger, model, run)
    if row.version is not None:
        return row.version
    verdict = _verified(registration)
    request = create_request(registration, row, verdict) | baselines_of(registration, verdict)
    found = registry.describe_version(registry.create_version(request))
    version = Version(found.number, found.arn, found.status, found.approval_words)
    record_version(ports, model, run, registration.execution, version)
    return version


def _verified(registration: Registration) -> Mapping[str, Any]:
    """The verdict, after its own, the model's and the code's digest were checked."""
    body = objects.get_bytes(registration.verdict["uri"])
    if objects.digest(body) != registration.verdict["digest"]:
        raise _changed(registration, registration.verdict["uri"])
    verdict: Mapping[str, Any] = json.loads(body)
    judged = verdict["candidate"]
    for uri, digest in (
        (registration.artifact, judged["artifact_digest"]),
        (registration.code, judged["code_digest"]),
    ):
        if objects.stream_digest(uri) != digest:
            raise _changed(registration, uri)
    return verdict


def _changed(registration: Registration, uri: str) -> Rejected:
    return Rejected(
        f"{uri} changed after run {registration.run} of {registration.model} was judged; "
        f"nothing is registered. Find out who wrote it, then: perennial run retry "
        f"{registration.model} {registration.run}"
    )


def create_request(
    registration: Registration, row: RunRow, verdict: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole CreateModelPackage request; equal for every attempt of one execution."""
    passed = bool(verdict["passed"])
    judged = verdict["candidate"]
    return {
        "ModelPackageGroupName": registration.group,
        "ModelPackageDescription": str(verdict["words"])[: registry.LONGEST_DESCRIPTION],
        "ModelApprovalStatus": registry.PENDING if passed else registry.REJECTED,
        "ClientToken": registry.client_token(registration.execution, str(registration.run)),
        "InferenceSpecification": {
            "Containers": [
                {
                    "Image": registration.image,
                    "ModelDataUrl": registration.artifact,
                    "Environment": _environment(registration, judged),
                }
            ],
            "SupportedContentTypes": list(CONTENT_TYPES),
            "SupportedResponseMIMETypes": list(CONTENT_TYPES),
        },
        "ModelMetrics": {
            "ModelQuality": {"Statistics": _evaluation(verdict)},
        },
        "MetadataProperties": {
            "CommitId": registration.code_sha,
            "Repository": registration.code,
            "GeneratedBy": registration.execution,
            "ProjectId": registration.model,
        },
        "CustomerMetadataProperties": _metadata(registration, row, verdict),
        "SkipModelValidation": "All",
        "Domain": "MACHINE_LEARNING",
        "Task": TASKS[verdict["problem"]],
    }


def _environment(registration: Registration, judged: Mapping[str, Any]) -> dict[str, str]:
    """What a release and a server compare before they use the version.

    The archives' digests are for the release, which can read them; those of the files in them
    are for the server (jobs/digests.py), which sees nothing else.
    """
    files = {
        "PERENNIAL_MODEL_FILES_SHA256": judged.get("model_files_digest"),
        "PERENNIAL_CODE_FILES_SHA256": judged.get("code_files_digest"),
    }
    return {
        "PERENNIAL_CODE": registration.code,
        "PERENNIAL_CODE_SHA256": judged["code_digest"],
        "PERENNIAL_MODEL_SHA256": judged["artifact_digest"],
        **({CODE_IN_MODEL: "yes"} if _has_code(registration) else {}),
        **{name: digest for name, digest in files.items() if digest},
    }


def _has_code(registration: Registration) -> bool:
    """Whether the evaluation has put the server's code into the model's archive."""
    training: Mapping[str, Any] = registration.plan.get("training", {})
    return bool(training.get("packs_code") == "yes")


def baselines_of(
    registration: Registration, verdict: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """What monitors compare production with, as SageMaker's package holds it; a loser has none.

    `DriftCheckBaselines` are what the next candidates and monitors are held against.
    """
    done = registration.plan.get("done", {}).get("baseline", {})
    if not done.get("job"):
        return {}
    root = f"{registration.plan['places']['baseline']}/baselines"
    quality = {
        kind: {name: _source(f"{root}/{folder}/{name.lower()}.json") for name in QUALITY_FILES}
        for kind, folder in (
            ("ModelDataQuality", "data_quality"),
            ("ModelQuality", "model_quality"),
        )
    }
    metrics, drift = dict(quality), dict(quality)
    metrics["ModelQuality"] |= {"Statistics": _evaluation(verdict)}
    for kind, folder, constraints in OPTIONAL_BASELINES:
        report = f"{root}/{folder}/analysis.json"
        if objects.exists(report):
            metrics[kind] = {"Report": _source(report)}
            drift[kind] = {constraints: _source(f"{root}/{folder}/constraints.json")}
    return {"ModelMetrics": metrics, "DriftCheckBaselines": drift}


def _source(uri: str) -> dict[str, str]:
    return {
        "ContentType": "application/json",
        "S3Uri": uri,
        "ContentDigest": f"sha256:{objects.stream_digest(uri)}",
    }


def _evaluation(verdict: Mapping[str, Any]) -> dict[str, str]:
    evaluation = verdict["evaluation"]
    return {
        "ContentType": "application/json",
        "S3Uri": evaluation["uri"],
        "ContentDigest": f"sha256:{evaluation['digest']}",
    }


def _metadata(
    registration: Registration, row: RunRow, verdict: Mapping[str, Any]
) -> dict[str, str]:
    """What answers `perennial lineage` from the registry alone; at most 50 short texts.

    A value that SageMaker's alphabet or length cannot hold is left out rather than cut: half a
    URI leads nowhere, and the whole one is in the verdict.
    """
    judged = verdict["candidate"]
    facts = {
        "model": registration.model,
        "run": str(registration.run),
        "settings": str(row.settings),
        "passed": "true" if verdict["passed"] else "false",
        "manifest": verdict["manifest"]["uri"],
        "manifest_digest": verdict["manifest"]["digest"],
        "evaluation": verdict["evaluation"]["uri"],
        "evaluation_digest": verdict["evaluation"]["digest"],
        "verdict": str(registration.verdict["uri"]),
        "verdict_digest": str(registration.verdict["digest"]),
        "artifact_digest": judged["artifact_digest"],
        "code": registration.code,
        "code_digest": judged["code_digest"],
        "image": registration.image,
        "execution": registration.execution,
        "check_job": registration.check_job,
        "training_job": registration.training_job,
        "evaluate_job": registration.evaluate_job,
        "rows": str(verdict["rows"]),
        **{name: f"{value:.6g}" for name, value in verdict["figures"].items()},
    }
    return {
        f"perennial:{name}": value
        for name, value in facts.items()
        if value and len(value) <= LONGEST_VALUE and not registry.UNFIT.search(value)
    }
