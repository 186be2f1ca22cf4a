"""What a registered version came from: every object version, code, settings, image and job.

The registry's package names everything; the run's row and its manifest add the reasons and the
objects. So a lineage can be told as long as the package is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perennial.approve_version import find_version
from perennial.aws.history import visits
from perennial.aws.objects import find_json
from perennial.aws.registry import Version
from perennial.describe_run import describe_run
from perennial.domain.errors import NotFound
from perennial.domain.step_keys import place_of
from perennial.watch_run import JobView, describe_job

if TYPE_CHECKING:
    from perennial.domain.ledger.rows import RunRow
    from perennial.wiring import Ports

PREFIX = "perennial:"
JOBS = ("check_job", "training_job", "evaluate_job")


@dataclass(frozen=True)
class SourceObject:
    """One object version that the run read; `left_out` says why it learned nothing from it."""

    bucket: str
    key: str
    version_id: str
    etag: str
    size: int
    left_out: str = ""


@dataclass(frozen=True)
class Lineage:
    """Where a version came from. Digests are SHA-256 in hex; a value that is not known is empty."""

    model: str
    version: int
    arn: str
    status: str
    approval: str
    registered_ms: int
    run: int
    because: tuple[str, ...]
    settings: int
    overrides: Mapping[str, str]
    code: str
    code_sha: str
    image: str
    artifact: str
    artifact_digest: str
    verdict: str
    verdict_digest: str
    evaluation: str
    manifest: str
    manifest_digest: str
    execution: str
    figures: Mapping[str, str]
    jobs: tuple[JobView, ...]
    objects: tuple[SourceObject, ...]


FACTS = frozenset(
    {
        *("model", "run", "settings", "passed", "manifest", "manifest_digest", "evaluation"),
        *("evaluation_digest", "verdict", "verdict_digest", "artifact_digest", "code"),
        *("code_digest", "image", "execution", *JOBS),
    }
)


def describe_lineage(ports: Ports, model: str, number: int) -> Lineage:
    """The lineage of a version; raises `NotFound`."""
    version = find_version(ports, model, number)
    facts = _facts(version)
    run = _run(ports, model, int(facts.get("run", "0")))
    manifest = facts.get("manifest") or (run.manifest.uri if run and run.manifest else "")
    container = version.raw.get("InferenceSpecification", {}).get("Containers", [{}])[0]
    return Lineage(
        model=model,
        version=number,
        arn=version.arn,
        status=version.status,
        approval=version.approval_words,
        registered_ms=version.created_ms,
        run=int(facts.get("run", "0")),
        because=run.because if run else (),
        settings=int(facts.get("settings", "0")),
        overrides=run.overrides if run else {},
        code=facts.get("code", ""),
        code_sha=facts.get("code_digest", ""),
        image=str(container.get("Image", "")),
        artifact=str(container.get("ModelDataUrl", "")),
        artifact_digest=facts.get("artifact_digest", ""),
        verdict=facts.get("verdict", ""),
        verdict_digest=facts.get("verdict_digest", ""),
        evaluation=facts.get("evaluation", ""),
        manifest=manifest,
        manifest_digest=facts.get("manifest_digest", ""),
        execution=facts.get("execution", ""),
        figures={name: value for name, value in facts.items() if name not in FACTS},
        jobs=_jobs(facts.get("execution", ""), facts),
        objects=_objects(manifest, run),
    )


def _facts(version: Version) -> dict[str, str]:
    """Our own metadata of the package, without the prefix."""
    return {
        name.removeprefix(PREFIX): value
        for name, value in version.metadata.items()
        if name.startswith(PREFIX)
    }


def _run(ports: Ports, model: str, number: int) -> RunRow | None:
    try:
        return describe_run(ports, model, number)
    except NotFound:
        # A package registered by hand has no run.
        return None


def _jobs(execution: str, facts: Mapping[str, str]) -> tuple[JobView, ...]:
    """Every job of the run, in order; once its history is gone, those that the package names."""
    try:
        names = [visit.job for visit in visits(execution) if visit.job] if execution else []
    except NotFound:
        names = []
    found = (describe_job(name) for name in names or [facts[n] for n in JOBS if facts.get(n)])
    return tuple(job for job in found if job is not None)


def _objects(manifest: str, run: RunRow | None) -> tuple[SourceObject, ...]:
    document = find_json(manifest) if manifest else None
    checked = place_of(run, "check_data", manifest.rpartition("/")[0])
    report = find_json(f"{checked}/check/report.json") if document else None
    left_out = {
        (found["key"], found["version_id"]): "quarantined" if found.get("quarantined") else "gone"
        for found in (report or {}).get("objects", [])
        if found.get("quarantined") or found.get("gone")
    }
    return tuple(
        SourceObject(
            bucket=found["bucket"],
            key=found["key"],
            version_id=found["version_id"],
            etag=found.get("etag", ""),
            size=int(found.get("size", 0)),
            left_out=left_out.get((found["key"], found["version_id"]), ""),
        )
        for found in (document or {}).get("objects", [])
    )
