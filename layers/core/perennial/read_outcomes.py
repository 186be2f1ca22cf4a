"""What came of a run's steps, as the retrain machine carries it, in the judge's own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from perennial.domain.ledger.ending import telling_line
from perennial.judge_candidate import Candidate

OPTIONAL = ("evaluate_champion", "compare", "measure_bias", "explain")


def candidate_of(event: Mapping[str, Any]) -> Candidate:
    """The candidate that the state JudgeCandidate is told of.

    `event["plan"]` holds the run's plan, `evaluations` and `examinations` what their steps
    answered: a job, a failure in words, or nothing where a step was not wanted.
    """
    plan = event["plan"]
    places, champion = plan["places"], plan["champion"]
    outcomes = {
        **{step: plan["done"][step] for step in ("check_data", "train")},
        **event["evaluations"],
        **event["examinations"],
    }

    def output(step: str, name: str) -> str:
        """The URI of what a step wrote; empty if it wrote nothing."""
        return f"{places[step]}/{name}" if outcomes[step].get("job") else ""

    return Candidate(
        model=event["model"],
        run=int(event["run"]),
        base=event["base"],
        evaluation=output("evaluate", "evaluation/evaluation.json"),
        manifest=event["manifest"],
        settings_uri=event["settings_uri"],
        code=event["code"],
        code_sha=event["code_sha"],
        artifact=_artifact(plan, outcomes),
        report=output("check_data", "check/report.json"),
        schema=output("check_data", "check/schema.json"),
        champion=champion if champion["version"] else None,
        comparison=output("compare", "comparison/comparison.json"),
        bias=output("measure_bias", "bias/analysis.json"),
        explanations=output("explain", "explanations/analysis.json"),
        failures={
            step: telling_line(outcomes[step]["failure"])
            for step in OPTIONAL
            if "failure" in outcomes[step]
        },
        warm_start=str(plan.get("warm_start", {}).get("words", "")),
        packs_code=plan["training"].get("packs_code") == "yes",
        jobs=tuple(_job(step, done) for step, done in outcomes.items() if done.get("job")),
    )


def _artifact(plan: Mapping[str, Any], outcomes: Mapping[str, Any]) -> str:
    """The model archive; the one that the evaluation completed, if it lacked something."""
    if plan["training"].get("packaged"):
        return f"{plan['places']['evaluate']}/package/model.tar.gz"
    return str(outcomes["train"]["artifact"])


def _job(step: str, done: Mapping[str, Any]) -> dict[str, Any]:
    """A step's job as the verdict names it; of a search, the tuning job rather than its best."""
    kind = "training" if step == "train" else "processing"
    tuning_job = str(done.get("tuning_job", "")).rpartition("/")[2]
    return {
        "step": step,
        "job": tuning_job or done["job"],
        "kind": "tuning" if tuning_job else kind,
        "reused": "reused_from" in done,
    }
