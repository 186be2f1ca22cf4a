"""Judge a run's candidate: its evidence against the gates, written as verdict and card.

Repeatable: a verdict that was written for the same evidence is taken as it stands, so that a
second attempt gives the first one's bytes, digest and time, and writes the same card beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws import objects
from perennial.aws.code_archives import CodeDigests, read_digests
from perennial.describe_run import known_run
from perennial.domain import changes, findings
from perennial.domain.card import card_html
from perennial.domain.card_markdown import card_markdown
from perennial.domain.compatibility import incompatibilities
from perennial.domain.errors import NotClaimed, Rejected
from perennial.domain.gates import BIAS_METRICS, METRICS
from perennial.domain.judging import Evidence as Grounds
from perennial.domain.judging import judge
from perennial.domain.ledger.ending import telling_line
from perennial.domain.ledger.rows import Verdict as RecordedVerdict
from perennial.domain.naming import landing_prefix
from perennial.domain.retrain_history import paired_text
from perennial.domain.settings import Settings
from perennial.domain.verdict import NO_CHAMPION, Evidence, Verdict
from perennial.gather_evidence import Costs, Evidences, own_prices, run_cost
from perennial.record_verdict import record_verdict

if TYPE_CHECKING:
    from perennial.wiring import Ports

# Laid beside the verdict, whose folder is always there: a job that takes the verdict as its input
# has them if there are any, where their own folders may be missing.
COPIED = {"bias": "bias/analysis.json", "explanations": "explanations/analysis.json"}
BASELINES = ("data_quality", "model_quality", "bias", "attribution")
CONSTRAINTS = ("constraints", "original")


@dataclass(frozen=True)
class Candidate:
    """What JudgeCandidate is told about the run's candidate; "" and None are "there is none".

    `base` to `artifact` are as the machine's states before it made them; all but `code_sha` are
    S3 URIs, as are `report`, `schema`, `comparison`, `bias` and `explanations`. `champion` has
    version, run, arn, words, comparable and schema (a URI). `failures` are the steps that
    failed, with words; `jobs` have step, job, kind and reused; `warm_start` are the plan's words.
    `packs_code`: the evaluation has put its own code into the model's archive.
    """

    model: str
    run: int
    base: str
    evaluation: str
    manifest: str
    settings_uri: str
    code: str
    code_sha: str
    artifact: str
    report: str = ""
    schema: str = ""
    champion: Mapping[str, Any] | None = None
    comparison: str = ""
    bias: str = ""
    explanations: str = ""
    failures: Mapping[str, str] | None = None
    jobs: Sequence[Mapping[str, Any]] | None = None
    warm_start: str = ""
    packs_code: bool = False


@dataclass(frozen=True)
class Judgement:
    """Where the verdict lies, the SHA-256 of its bytes, what it says, and of which archive."""

    passed: bool
    uri: str
    digest: str
    words: str
    artifact: str


def judge_candidate(ports: Ports, candidate: Candidate) -> Judgement:
    """Judge, write verdict.json, card.md and card.html, and note the verdict on the run's row.

    Beside them go copies of the bias and explanation reports, as far as there are any.

    Raises `NotClaimed` when the run is over already, `Rejected` when the code is not what was
    pushed or the evaluation is no evaluation.
    """
    _check_running(ports, candidate)
    evidences = Evidences()
    found = _decide(candidate, evidences, ports.clock())
    document = _written_before(candidate, found) or found.to_json()
    body = objects.compact_json(document)
    bucket, prefix = objects.split_uri(f"{candidate.base}/verdict/")
    uri = objects.put_bytes(bucket, f"{prefix}verdict.json", body, content_type="application/json")
    # The cards are made of the stored bytes' content: they can say nothing else.
    stored = json.loads(body)
    for name, text, kind in (
        ("card.md", card_markdown(stored), "text/markdown"),
        ("card.html", card_html(stored), "text/html; charset=utf-8"),
    ):
        objects.put_bytes(bucket, prefix + name, text.encode(), content_type=kind)
    for what, name in COPIED.items():
        if what in evidences.bodies:
            objects.put_bytes(
                bucket, prefix + name, evidences.bodies[what], content_type="application/json"
            )
    _lay_edits(candidate, bucket, prefix)
    digest = objects.digest(body)
    judgement = Judgement(found.passed, uri, digest, found.words, candidate.artifact)
    _record(ports, candidate, judgement, found)
    return judgement


def _lay_edits(candidate: Candidate, bucket: str, prefix: str) -> None:
    """Copy the champion's constraints beside the verdict: what a person edited there lives on.

    Each as it is now and as it was written, for the baseline job to tell the edits.
    """
    if not candidate.champion:
        return
    runs, _, _ = candidate.base.rpartition("/")
    before = f"{runs}/{candidate.champion['run']}/baselines"
    for path in (f"{kind}/{name}.json" for kind in BASELINES for name in CONSTRAINTS):
        if objects.exists(f"{before}/{path}"):
            body = objects.get_bytes(f"{before}/{path}")
            objects.put_bytes(bucket, f"{prefix}edits/{path}", body)


def _decide(candidate: Candidate, evidences: Evidences, now_ms: int) -> Verdict:
    """The verdict on the evidence; the digests are of the bytes that were read."""
    settings_document = objects.get_json(candidate.settings_uri)
    settings = Settings.from_json(settings_document, project=candidate.model)
    evaluation = objects.get_bytes(candidate.evaluation)
    manifest = objects.get_bytes(candidate.manifest)
    evaluated = _evaluated(evaluation, candidate)
    code = _checked_code(candidate)
    gathered = _Gathered(candidate, settings, evidences)
    sections = {
        **evaluated.sections,
        **gathered.sections(settings_document, code.archive),
        "settings": _settings_facts(settings, gathered.costs),
    }
    sections["notes"] = [*evaluated.notes, *gathered.notes()]
    sections["evidence"] = {what: each.to_json() for what, each in evidences.given.items()}
    return Verdict(
        model=candidate.model,
        run=candidate.run,
        problem=settings.problem,
        candidate={
            "artifact": candidate.artifact,
            "artifact_digest": objects.stream_digest(candidate.artifact),
            "code": candidate.code,
            "code_digest": code.archive,
            **evaluated.files,
            **_served_code(candidate, code),
        },
        gates=judge(settings, gathered.grounds(evaluated.metrics)),
        metrics=findings.ordered(evaluated.shown, METRICS[settings.problem], settings.facets),
        rows=evaluated.rows,
        evaluation=Evidence(candidate.evaluation, objects.digest(evaluation)),
        manifest=Evidence(candidate.manifest, objects.digest(manifest)),
        decided_ms=now_ms,
        champion=gathered.champion(),
        sections=sections,
    )


class _Gathered:
    """The documents beside the evaluation, and what they say for gates and verdict."""

    def __init__(self, candidate: Candidate, settings: Settings, evidences: Evidences) -> None:
        self.candidate, self.evidences = candidate, evidences
        self.settings = settings
        self.failures = {
            step: telling_line(str(why)) for step, why in (candidate.failures or {}).items() if why
        }
        read, parsed = evidences.read, evidences.parsed
        champion = candidate.champion or {}
        self.comparison = parsed("comparison", candidate.comparison, findings.read_comparison)
        self.schema = read("schema", candidate.schema)
        self.champion_schema = read("champion's schema", str(champion.get("schema") or ""))
        self.bias = parsed("bias", candidate.bias, findings.read_bias)
        self.explanations = parsed(
            "explanations", candidate.explanations, findings.read_explanations
        )
        prefix = landing_prefix(candidate.model)
        self.report = parsed(
            "report", candidate.report, lambda found: findings.read_report(found, prefix)
        )
        self.before = parsed(
            "champion's verdict", self._of_champion("verdict/verdict.json"), changes.read_before
        )
        self.settings_before = read("champion's settings", self._of_champion("settings.json"))
        bucket, _ = objects.split_uri(f"{candidate.base}/")
        self.costs = run_cost(candidate.jobs or (), own_prices(bucket)) if candidate.jobs else None
        self.incompatible = self._incompatible()

    def _of_champion(self, path: str) -> str:
        """A file of the run that trained the champion, whose base lies beside this run's."""
        if not self.candidate.champion:
            return ""
        base, _, _ = self.candidate.base.rpartition("/")
        return f"{base}/{self.candidate.champion['run']}/{path}"

    def _incompatible(self) -> list[str] | None:
        if self.schema is None or self.champion_schema is None:
            return None
        try:
            return incompatibilities(self.champion_schema, self.schema)
        except (KeyError, TypeError, AttributeError) as error:
            self.evidences.notes.append(
                f"a schema cannot be read ({type(error).__name__}: {error})"
            )
            return None

    def grounds(self, metrics: Mapping[str, float | None]) -> Grounds:
        """What the gates are judged by."""
        champion = self.candidate.champion
        failures = dict(self.failures)
        if champion and not champion.get("comparable", True) and champion.get("words"):
            failures.setdefault("evaluate_champion", str(champion["words"]))
        return Grounds(
            metrics=metrics,
            champion=f"{self.candidate.model} {champion['version']}" if champion else "",
            comparison=self.comparison,
            bias=None if self.bias is None else self.bias.metrics,
            bias_remark="" if self.bias is None else self.bias.remark,
            incompatible=self.incompatible,
            producers={} if self.report is None else self.report.producers,
            failures=failures,
        )

    def champion(self) -> dict[str, Any] | None:
        """The champion and its figures on this run's holdout, never those it was stored with."""
        champion = self.candidate.champion
        if not champion:
            return None
        compared = (self.comparison or {}).get("metrics") or {}
        figures = {name: entry["champion"] for name, entry in compared.items()}
        return {
            "version": champion["version"],
            "run": champion["run"],
            "arn": champion["arn"],
            "words": findings.sentence(champion.get("words", "")),
            "figures": {name: value for name, value in figures.items() if value is not None},
        }

    def sections(self, settings_document: Mapping[str, Any], code_digest: str) -> dict[str, Any]:
        """The sections of the verdict that the documents fill."""
        bias, report = self.bias, self.report
        found: dict[str, Any] = {
            "comparison": self.comparison,
            "bias": {}
            if bias is None
            else findings.ordered(bias.shown, BIAS_METRICS, self.settings.facets),
            "bias_intervals": {} if bias is None else dict(bias.intervals),
            "explanations": self.explanations,
            "producers": {} if report is None else dict(report.producers),
            "leaks": [] if report is None else list(report.leaks),
            "conflicts": None if report is None else report.conflicts,
            "data": None if report is None else dict(report.data),
            "cost": None if self.costs is None else dict(self.costs.section),
        }
        if self.incompatible is not None:
            words = changes.told(self.incompatible)
            found["compatibility"] = {"compatible": not self.incompatible, "words": words}
        tuning = None if self.costs is None else self.costs.tuning
        if tuning is not None:
            found["tuning"] = {"trials": dict(tuning.trials), "best": dict(tuning.tuned)}
        found["changes"] = self._changes(settings_document, code_digest, found)
        return found

    def _changes(
        self, settings_document: Mapping[str, Any], code_digest: str, found: Mapping[str, Any]
    ) -> list[str]:
        told: list[str] = []
        if self.before is not None:
            told += changes.code_changes(self.before.code_digest, code_digest)
        if self.settings_before is not None:
            told += changes.settings_changes(self.settings_before, settings_document)
        if self.before is not None:
            told += changes.data_changes(self.before, found["data"], found["producers"])
        if self.schema is not None and self.champion_schema is not None:
            told += changes.prepared_changes(self.champion_schema, self.schema)
        told += [str(each) for each in (self.comparison or {}).get("changes") or ()]
        return changes.told(told)

    def notes(self) -> list[str]:
        """What a reader must know: no champion, failures, reused steps, documents that lack."""
        notes = []
        if not self.candidate.champion:
            notes += [NO_CHAMPION, "there is no baseline yet"]
        elif not self.candidate.champion.get("comparable", True):
            words = findings.sentence(self.candidate.champion.get("words", ""))
            notes.append(f"the champion was not scored: {words}")
        notes += [f"{step} failed: {findings.sentence(why)}" for step, why in self.failures.items()]
        if self.settings.comparison is None and self.candidate.champion:
            notes.append("the settings do not ask for a comparison with the champion")
        reused = [str(job["step"]) for job in self.candidate.jobs or () if job.get("reused")]
        if reused:
            notes.append(f"reused from an earlier run: {', '.join(reused)}")
        if self.candidate.warm_start:
            notes.append(findings.sentence(self.candidate.warm_start))
        notes += () if self.report is None else self.report.notes
        notes += () if self.bias is None else self.bias.notes
        notes += () if self.explanations is None else self.explanations["notes"]
        return [*notes, *self.evidences.notes]


def _settings_facts(settings: Settings, costs: Costs | None) -> dict[str, Any]:
    """What a card says of the settings; a tuned hyperparameter is shown as it was chosen."""
    window = settings.data.window
    tuned = costs.tuning.tuned if costs is not None and costs.tuning is not None else {}
    return {
        "label": settings.label,
        "positive": settings.positive,
        "facets": [facet.column for facet in settings.facets],
        "hyperparameters": {**settings.train.parameters(), **tuned},
        "validation": settings.train.validation,
        "seed": settings.train.seed,
        "holdout": settings.data.holdout,
        "window": {"kind": window.kind, "seconds": window.seconds, "rows": window.rows},
        "sources": dict(settings.data.sources),
        "identity": list(settings.data.identity),
    }


def _checked_code(candidate: Candidate) -> CodeDigests:
    found = read_digests(candidate.code)
    if found.archive != candidate.code_sha:
        raise Rejected(
            f"the code of run {candidate.run} of {candidate.model} is not what was pushed: "
            f"{candidate.code} has the digest {found.archive}. Push the project again."
        )
    return found


def _served_code(candidate: Candidate, code: CodeDigests) -> dict[str, str]:
    """The files that a server of the version must find, when it fetches the run's own archive.

    An evaluation that was taken over from another run had that run's archive: the same code, and
    another model.yaml beside it. What the evaluation itself has packed is told by the evaluation.
    """
    if candidate.packs_code or not code.files:
        return {}
    return {"code_files_digest": code.files}


def _evaluated(evaluation: bytes, candidate: Candidate) -> findings.Evaluated:
    """The figures of an evaluation and the rows they rest on."""
    try:
        return findings.read_evaluation(json.loads(evaluation))
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
    fresh = json.loads(objects.compact_json(found.to_json()))
    return written if {**fresh, "decided_ms": written.get("decided_ms")} == written else None


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
        paired=_paired(found),
    )
    record_verdict(ports, candidate.model, candidate.run, None, recorded)


def _paired(found: Verdict) -> str:
    """What the retrain policy learns from this run."""
    champion = found.champion or {}
    cost = found.sections.get("cost") or {}
    return paired_text(
        found.problem, found.sections.get("comparison"), champion.get("run"), cost.get("usd")
    )
