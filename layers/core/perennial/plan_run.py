"""Plan a run: whom its candidate is compared with, and which finished steps it need not repeat.

Repeatable: only runs that ended change what is found, and while this one is at work none ends.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from perennial.aws import objects, registry
from perennial.check_claim import check_claim
from perennial.choose_parents import choose_parents
from perennial.commit_change import commit_change
from perennial.describe_model import known_model
from perennial.describe_run import known_run
from perennial.domain import clarify, naming
from perennial.domain.errors import NotFound, Rejected
from perennial.domain.file_digests import CODE_LISTING
from perennial.domain.ledger import claims
from perennial.domain.ledger.rows import FinishedStep, RunRow, run_key
from perennial.domain.ledger.store import Transaction, read_run
from perennial.domain.settings import Settings
from perennial.domain.step_keys import Basis, place_of, step_keys
from perennial.domain.training_job import (
    algorithm_specification,
    channels,
    environment,
    has_gpu,
    reads_tables,
    trainer_image,
)
from perennial.domain.warm_start import WarmStart
from perennial.list_runs import list_runs

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: Where the packed archive has the project's settings.
SETTINGS_FILE = "project/model.yaml"
#: How many earlier runs are looked through for finished steps.
MOST_RUNS = 50
#: What a step has certainly written when it is done, below its place.
MAIN_OUTPUT = {
    "check_data": "check/summary.json",
    "evaluate": "evaluation/evaluation.json",
    "evaluate_champion": "champion/evaluation.json",
    "compare": "comparison/comparison.json",
    "measure_bias": "bias/analysis.json",
    "explain": "explanations/analysis.json",
}


@dataclass(frozen=True)
class Opponent:
    """The champion as a run meets it; without one every text is empty and `version` is 0.

    `comparable` says whether both can be scored on the same rows, `words` why not. `schema` is the
    URI of the schema that it was trained on. All other texts are S3 URIs but `arn`.
    """

    version: int = 0
    run: int = 0
    arn: str = ""
    comparable: bool = False
    words: str = "there is no champion yet"
    code: str = ""
    settings_uri: str = ""
    artifact: str = ""
    schema: str = ""
    digests: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What the machine carries of it."""
        return {name: value for name, value in vars(self).items() if name != "digests"}


@dataclass(frozen=True)
class Plan:
    """What a run does: `do` by step, and for those that are not done anew the `done` ones.

    `training` is what trains and on what, as SageMaker takes it (`algorithm`, `channels`), and
    whether the evaluation completes the artifact (`packaged`), which is of another's making or
    lacks the server's code (`packs_code`: yes or no) where the server cannot fetch it.
    `clarify` is the URI of Clarify's configuration if it measures the bias; `warm_start` is what
    the search continues from, if it was asked for.
    """

    places: Mapping[str, str]
    do: Mapping[str, bool]
    done: Mapping[str, Mapping[str, Any]]
    champion: Opponent
    keys: Mapping[str, str] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    clarify: str = ""
    warm_start: WarmStart | None = None

    def to_json(self) -> dict[str, Any]:
        """The plan as the machine carries it; the keys stay in S3."""
        _, check_key = objects.split_uri(f"{self.places['check_data']}/check/summary.json")
        return {
            "places": dict(self.places),
            "do": dict(self.do),
            "done": {step: dict(found) for step, found in self.done.items()},
            "champion": self.champion.to_json(),
            "check_key": check_key,
            "training": dict(self.training),
            # The machine asks whether these are there: a definition cannot leave a field out.
            **({"clarify": {"config": self.clarify}} if self.clarify else {}),
            **({"warm_start": self.warm_start.to_json()} if self.warm_start else {}),
        }


@dataclass(frozen=True)
class RegionImages:
    """The images of the stack's Region: that of our jobs, and Clarify's (empty: it has none).

    `gpu` is the one that trains on an instance with a GPU (empty: it has none); `algorithms` are
    those of AWS's algorithms, by their names in the settings.
    """

    jobs: str
    clarify: str = ""
    gpu: str = ""
    algorithms: Mapping[str, str] = field(default_factory=dict)


def plan_run(ports: Ports, model: str, run: int, execution: str, images: RegionImages) -> Plan:
    """Decide what the run compares and repeats, and note it on the run's row.

    Where Clarify measures the bias, its configuration is written. Raises `NotClaimed` when the
    execution does not hold the run, `Rejected` when the settings ask for Clarify, or a GPU, where
    there is no image of it.
    """
    check_claim(ports, model, run, execution)
    row = known_run(ports.ledger, model, run)
    given = json.loads(row.input)
    settings_document = objects.get_json(given["settings_uri"])
    settings = Settings.from_json(settings_document, project=model)
    manifest = objects.get_json(given["manifest"])
    champion = find_opponent(ports, model, settings)
    trainer = _trainer(settings, images)
    keys = step_keys(
        Basis(
            objects=manifest["objects"],
            # When a window began differs from run to run; what it listed is what counts.
            window={"kind": manifest.get("window", {}).get("kind", "all")},
            code_sha=source_digest(objects.get_bytes(given["code"])),
            image=images.jobs,
            clarify_image=images.clarify,
            settings=settings_document,
            champion=(champion.arn, *champion.digests),
            trainer=trainer,
            packs_code=packs_code(given, settings),
        )
    )
    found = _find_finished(ports, row, keys, settings.reuse * 1000)
    plan = make_plan(given["base"], settings, champion, keys, found)
    plan = replace(plan, training=_training(given, settings, trainer, plan.places["check_data"]))
    plan = _with_clarify(plan, given["base"], settings, images.clarify)
    tuning = settings.train.tuning
    if plan.do["train"] and tuning is not None and tuning.warm_start:
        earlier = [each for each in list_runs(ports, model, MOST_RUNS) if each.number < run]
        plan = replace(plan, warm_start=choose_parents(given, earlier))
    text = json.dumps({"keys": plan.keys, "places": plan.places}, sort_keys=True)

    def decide() -> Transaction:
        check_claim(ports, model, run, execution)
        return claims.record_plan(known_run(ports.ledger, model, run), text)

    commit_change(ports, decide)
    return plan


def _trainer(settings: Settings, images: RegionImages) -> str:
    """The image that trains: model.py on a GPU in AWS's Hugging Face image, which can use it."""
    instance = settings.job("train").instance
    if reads_tables(settings.train) or not has_gpu(instance):
        return trainer_image(settings.train, images.jobs, images.algorithms)
    if not images.gpu:
        raise Rejected(
            f"train.instance of {settings.project} is {instance}, and AWS's Hugging Face image, in "
            "which a GPU trains, is not in this Region: set an instance without a GPU and push"
        )
    return images.gpu


def _training(
    given: Mapping[str, Any], settings: Settings, trainer: str, checked: str
) -> dict[str, Any]:
    """What trains, on the tables or rows that the check wrote below `checked`."""
    train, isolated = settings.train, bool(given["network"]["isolated"])
    packs = packs_code(given, settings)
    return {
        "algorithm": algorithm_specification(train, trainer, given["training"]["metrics"]),
        "channels": channels(
            train, checked, given["settings_uri"], given["code"] if isolated else ""
        ),
        "environment": environment(train, isolated=isolated),
        "packaged": reads_tables(train) or packs,
        "packs_code": "yes" if packs else "no",
    }


def packs_code(given: Mapping[str, Any], settings: Settings) -> bool:
    """Whether the evaluation puts the server's code into the model's archive.

    Where the server cannot fetch it, having no network, or serves several models, each by its own.
    """
    endpoint = settings.release.endpoint
    return bool(given["network"]["isolated"]) or (
        endpoint is not None and endpoint.kind == "multi-model"
    )


def _with_clarify(plan: Plan, base: str, settings: Settings, image: str) -> Plan:
    """Write Clarify's configuration below `base`, if it is to measure this run's bias."""
    if settings.bias.provider != "sagemaker" or not plan.do["measure_bias"]:
        return plan
    if not image:
        raise Rejected(
            f"providers.bias of {settings.project} is sagemaker, and Clarify has no image in this "
            "Region: set it to perennial and push"
        )
    bucket, key = objects.split_uri(f"{base}/{clarify.CONFIG}")
    body = objects.compact_json(clarify.analysis_config(settings))
    uri = objects.put_bytes(bucket, key, body, content_type="application/json")
    return replace(plan, clarify=uri)


def source_digest(archive: bytes) -> str:
    """The digest of pushed code without its model.yaml, of which steps are told by the settings.

    So pushing another gate lets every finished step be found again. The archive's own listing of
    its files says nothing that they do not, but it names the settings too.
    """
    digest = hashlib.sha256()
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
        for member in sorted(files.getmembers(), key=lambda each: each.name):
            body = files.extractfile(member)
            if body is not None and member.name not in (SETTINGS_FILE, CODE_LISTING):
                content = hashlib.sha256(body.read()).hexdigest()
                digest.update(f"{member.name}\n{content}\n".encode())
    return digest.hexdigest()


def make_plan(
    base: str,
    settings: Settings,
    champion: Opponent,
    keys: Mapping[str, str],
    found: Mapping[str, tuple[int, FinishedStep]],
) -> Plan:
    """The plan of a run below `base`, given the finished steps by step with their runs; pure."""
    meets = champion.comparable and settings.comparison is not None
    wanted = {
        "check_data": True,
        "train": True,
        "evaluate": True,
        "evaluate_champion": meets,
        "compare": meets,
        "measure_bias": bool(settings.facets),
        "explain": settings.explain.enabled,
    }
    do, done, places = {}, {}, {"baseline": base}
    for step, is_wanted in wanted.items():
        reused = found.get(step) if is_wanted else None
        do[step] = is_wanted and reused is None
        done[step] = _as_done(*reused) if reused else {}
        places[step] = reused[1].place if reused else base
    done["baseline"] = {}
    return Plan(places, do, done, champion, keys)


def _as_done(run: int, step: FinishedStep) -> dict[str, Any]:
    found: dict[str, Any] = {"job": step.job, "reused_from": run}
    return {**found, "artifact": step.artifact} if step.artifact else found


def _find_finished(
    ports: Ports, row: RunRow, keys: Mapping[str, str], reuse_ms: int
) -> dict[str, tuple[int, FinishedStep]]:
    """The newest finished step of each key that is not too old and whose output is still there."""
    found: dict[str, tuple[int, FinishedStep]] = {}
    oldest_ms = ports.clock() - reuse_ms
    if not reuse_ms:
        return found
    for earlier in list_runs(ports, row.model, MOST_RUNS):
        for step in earlier.steps:
            is_same = keys.get(step.step) == step.key and step.step not in found
            if is_same and step.ended_ms >= oldest_ms and _is_there(step):
                found[step.step] = (earlier.number, step)
    return found


def _is_there(step: FinishedStep) -> bool:
    output = step.artifact or f"{step.place}/{MAIN_OUTPUT[step.step]}"
    return objects.exists(output)


def find_opponent(ports: Ports, model: str, settings: Settings) -> Opponent:
    """The champion as this run's candidate meets it."""
    champion = known_model(ports.ledger, model).champion
    if champion is None:
        return Opponent()
    known = Opponent(champion.version, champion.run, champion.arn)
    name = f"the champion, {model} {champion.version},"
    root = f"s3://{ports.deployment.artifact_bucket}"
    base = f"{root}/{naming.run_base(model, champion.run)}"
    run = read_run(ports.ledger, run_key(model, champion.run))
    settings_uri = f"{root}/{naming.settings_key(model, champion.run)}"
    try:
        package = registry.describe_version(champion.arn)
        container = package.raw["InferenceSpecification"]["Containers"][0]
        trained_with = objects.get_json(settings_uri)
    except (NotFound, KeyError, IndexError) as error:
        return _with(known, words=f"{name} cannot be scored: {type(error).__name__}: {error}")
    variables = container.get("Environment", {})
    words = _incomparable(settings.to_json(), trained_with)
    return _with(
        known,
        comparable=not words,
        words=f"{name} cannot be compared: {words}" if words else "",
        code=variables.get("PERENNIAL_CODE", ""),
        settings_uri=settings_uri,
        artifact=container["ModelDataUrl"],
        schema=f"{place_of(run, 'check_data', base)}/check/schema.json",
        digests=(champion.digest, variables.get("PERENNIAL_CODE_SHA256", "")),
    )


def _with(known: Opponent, **facts: Any) -> Opponent:
    return Opponent(known.version, known.run, known.arn, **facts)


def _incomparable(now: Mapping[str, Any], then: Mapping[str, Any]) -> str:
    """Why scores of the two have no common meaning; empty: they have one."""
    for key in ("problem", "label", "positive"):
        if now.get(key) != then.get(key):
            return f"its {key} is {then.get(key)!r}, the candidate's {now.get(key)!r}"
    return ""
