"""Judge a run's candidate: its evaluation against the gates, written as verdict and card.

Repeatable: a verdict that was written for the same evidence is taken as it stands, so that a
second attempt gives the first one's bytes, digest and time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws import objects
from perennial.describe_run import known_run
from perennial.domain.errors import NotClaimed, Rejected
from perennial.domain.gates import judge_gates
from perennial.domain.ledger.rows import Verdict as RecordedVerdict
from perennial.domain.settings import Settings
from perennial.domain.verdict import Evidence, Verdict, model_card
from perennial.record_verdict import record_verdict

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Candidate:
    """What JudgeCandidate is told about the run's candidate; all but `code_sha` are S3 URIs."""

    model: str
    run: int
    base: str
    evaluation: str
    manifest: str
    settings_uri: str
    code: str
    code_sha: str
    artifact: str


@dataclass(frozen=True)
class Judgement:
    """Where the verdict lies, the SHA-256 of its bytes, and what it says."""

    passed: bool
    uri: str
    digest: str
    words: str


def judge_candidate(ports: Ports, candidate: Candidate) -> Judgement:
    """Judge, write verdict.json and card.md, and note the verdict on the run's row.

    Raises `NotClaimed` when the run is over already, `Rejected` when the code is not what was
    pushed or the evaluation is no evaluation.
    """
    _check_running(ports, candidate)
    evaluation = objects.get_bytes(candidate.evaluation)
    manifest = objects.get_bytes(candidate.manifest)
    settings = Settings.from_json(objects.get_json(candidate.settings_uri), project=candidate.model)
    found = _decide(candidate, settings, evaluation, manifest, ports.clock())
    document = _written_before(candidate, found) or found.to_json()
    body = objects.compact_json(document)
    bucket, prefix = objects.split_uri(f"{candidate.base}/verdict/")
    uri = objects.put_bytes(bucket, f"{prefix}verdict.json", body, content_type="application/json")
    card = _card(found, settings, evaluation, manifest)
    objects.put_bytes(bucket, f"{prefix}card.md", card.encode(), content_type="text/markdown")
    judgement = Judgement(found.passed, uri, objects.digest(body), found.words)
    _record(ports, candidate, judgement, found)
    return judgement


def _decide(
    candidate: Candidate, settings: Settings, evaluation: bytes, manifest: bytes, now_ms: int
) -> Verdict:
    """The verdict on the evidence; the digests are of the bytes that were read."""
    metrics, rows = _figures(evaluation, candidate)
    code_digest = objects.stream_digest(candidate.code)
    if code_digest != candidate.code_sha:
        raise Rejected(
            f"the code of run {candidate.run} of {candidate.model} is not what was pushed: "
            f"{candidate.code} has the digest {code_digest}. Push the project again."
        )
    return Verdict(
        model=candidate.model,
        run=candidate.run,
        problem=settings.problem,
        candidate={
            "artifact": candidate.artifact,
            "artifact_digest": objects.stream_digest(candidate.artifact),
            "code": candidate.code,
            "code_digest": code_digest,
        },
        gates=judge_gates(settings.gates, metrics),
        metrics=metrics,
        rows=rows,
        evaluation=Evidence(candidate.evaluation, objects.digest(evaluation)),
        manifest=Evidence(candidate.manifest, objects.digest(manifest)),
        decided_ms=now_ms,
    )


def _figures(evaluation: bytes, candidate: Candidate) -> tuple[dict[str, float | None], int]:
    """The figures of an evaluation and the rows they rest on."""
    try:
        ours = json.loads(evaluation)["perennial"]
        metrics = {
            str(name): None if value is None else float(value)
            for name, value in ours["metrics"].items()
        }
        return metrics, int(ours["rows"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Rejected(
            f"{candidate.evaluation} is no evaluation ({type(error).__name__}: {error}); "
            "see the log of the run's evaluate job"
        ) from error


def _written_before(candidate: Candidate, found: Verdict) -> Mapping[str, Any] | None:
    """The verdict that an earlier attempt wrote, if it differs in nothing but its time."""
    written = objects.find_json(f"{candidate.base}/verdict/verdict.json")
    if not isinstance(written, dict):
        return None
    same = {**found.to_json(), "decided_ms": written.get("decided_ms")} == written
    return written if same else None


def _card(found: Verdict, settings: Settings, evaluation: bytes, manifest: bytes) -> str:
    document = json.loads(evaluation)
    deviations: dict[str, float | None] = {}
    for section in document.values():
        if isinstance(section, dict):
            for name, entry in section.items():
                spread = entry.get("standard_deviation") if isinstance(entry, dict) else None
                deviations[name] = spread if isinstance(spread, float) else None
    count = len(json.loads(manifest)["objects"])
    return model_card(found, settings=settings.to_json(), objects=count, deviations=deviations)


def _check_running(ports: Ports, candidate: Candidate) -> None:
    if known_run(ports.ledger, candidate.model, candidate.run).state == "ended":
        raise NotClaimed(
            f"run {candidate.run} of {candidate.model} is over; its candidate is not judged"
        )


def _record(ports: Ports, candidate: Candidate, judgement: Judgement, found: Verdict) -> None:
    recorded = RecordedVerdict(
        uri=judgement.uri,
        digest=judgement.digest,
        passed=judgement.passed,
        words=judgement.words,
        figures=json.dumps(found.figures, sort_keys=True),
    )
    record_verdict(ports, candidate.model, candidate.run, None, recorded)
