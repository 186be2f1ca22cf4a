"""Which earlier searches a tuning job continues from: SageMaker's rules for a warm start.

The type is TransferLearning: data and code may differ between a search and its parents. Parents
must have ended; there are five at most; objective, the names of all hyperparameters (tunable and
static together) and their types are the same; at most ten hyperparameters became static or changed
a static value; own training jobs and those of all parents count together. Source: "Run a Warm
Start Hyperparameter Tuning Job" in the SageMaker developer guide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TYPE = "TransferLearning"
MOST_PARENTS = 5
MOST_CHANGES = 10
MOST_JOBS = 750
MOST_WORDS = 5
KINDS = ("Integer", "Continuous", "Categorical")
#: SageMaker adds it to the static hyperparameters of every search.
OBJECTIVE = "_tuning_objective_metric"


@dataclass(frozen=True)
class Search:
    """What a warm start is judged by: kinds of the tunable ones, values of the static ones."""

    objective: Mapping[str, str]
    tunable: Mapping[str, str]
    static: Mapping[str, str]
    jobs: int

    @classmethod
    def of(cls, config: Mapping[str, Any], static: Mapping[str, str], jobs: int) -> Search:
        """A search by its HyperParameterTuningJobConfig and StaticHyperParameters."""
        ranges = config.get("ParameterRanges", {})
        return cls(
            objective=dict(config["HyperParameterTuningJobObjective"]),
            tunable={
                entry["Name"]: kind
                for kind in KINDS
                for entry in ranges.get(f"{kind}ParameterRanges", ())
            },
            static={name: value for name, value in static.items() if name != OBJECTIVE},
            jobs=jobs,
        )

    @classmethod
    def described(cls, found: Mapping[str, Any]) -> Search:
        """A search by SageMaker's description of it."""
        return cls.of(
            found["HyperParameterTuningJobConfig"],
            found["TrainingJobDefinition"].get("StaticHyperParameters", {}),
            sum(found.get("TrainingJobStatusCounters", {}).values()),
        )

    @property
    def names(self) -> set[str]:
        """Every hyperparameter, tunable or static."""
        return {*self.tunable, *self.static}


@dataclass(frozen=True)
class Earlier:
    """An earlier search of the model: its run, its tuning job, and why it cannot be a parent.

    `search` is None when nothing is known of it; `why_not` then says so.
    """

    run: int
    job: str = ""
    search: Search | None = None
    why_not: str = ""


@dataclass(frozen=True)
class WarmStart:
    """The tuning jobs that a search continues from (none: it starts cold), and that in words."""

    parents: tuple[str, ...]
    words: str

    def to_json(self) -> dict[str, Any]:
        """What the machine carries: `config`, SageMaker's WarmStartConfig, if there are parents."""
        if not self.parents:
            return {"words": self.words}
        names = [{"HyperParameterTuningJobName": name} for name in self.parents]
        config = {"WarmStartType": TYPE, "ParentHyperParameterTuningJobs": names}
        return {"words": self.words, "config": config}


def choose(ours: Search, earlier: Sequence[Earlier]) -> WarmStart:
    """The first five earlier searches that fit, which should come newest first; pure."""
    taken: list[Earlier] = []
    left_out: list[str] = []
    jobs = ours.jobs
    for each in earlier:
        if len(taken) == MOST_PARENTS:
            break
        why_not = each.why_not or (misfit(ours, each.search) if each.search else "")
        if not why_not and each.search and jobs + each.search.jobs > MOST_JOBS:
            why_not = f"with its training jobs there would be more than {MOST_JOBS}"
        if why_not:
            left_out.append(f"run {each.run} ({why_not})")
        elif each.search:
            taken.append(each)
            jobs += each.search.jobs
    parents = ", ".join(f"{each.job} of run {each.run}" for each in taken)
    words = (
        f"the search continues from {parents}"
        if taken
        else "the search starts cold: no earlier search of the model has finished"
        if not left_out
        else "the search starts cold"
    )
    if left_out:
        hidden = len(left_out) - MOST_WORDS
        words += f"; left out: {', '.join(left_out[:MOST_WORDS])}"
        words += f" and {hidden} more" if hidden > 0 else ""
    return WarmStart(tuple(each.job for each in taken), words)


def misfit(ours: Search, theirs: Search) -> str:
    """Why SageMaker would not take a search as a parent of ours; empty if it would."""
    if theirs.objective != ours.objective:
        was, is_ = (_objective(each) for each in (theirs, ours))
        return f"its objective was to {was}, now it is to {is_}"
    new, gone = sorted(ours.names - theirs.names), sorted(theirs.names - ours.names)
    if new or gone:
        parts = [f"{', '.join(new)} is new"] if new else []
        parts += [f"{', '.join(gone)} is gone"] if gone else []
        return f"other hyperparameters: {'; '.join(parts)}"
    for name, kind in ours.tunable.items():
        was = theirs.tunable.get(name, kind)
        if was != kind:
            return f"{name} was {was}, now it is {kind}"
    changed = sum(
        name in theirs.tunable or theirs.static.get(name) != value
        for name, value in ours.static.items()
    )
    if changed > MOST_CHANGES:
        return f"{changed} static hyperparameters differ, more than {MOST_CHANGES}"
    return ""


def _objective(search: Search) -> str:
    return f"{search.objective['Type'].lower()} {search.objective['MetricName']}"
