"""What a finished step of a run rests on, as a key: equal keys promise equal results.

A key is the SHA-256 of all that reaches the step: the objects that the run reads, the code, the
image, the slice of the settings that the step looks at, and the keys of the steps before it. So a
run that changes only a gate finds every job's key again, and one with another hyperparameter all
keys but the data check's. What machine a step runs on, and for how long at most, is no part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perennial.domain.ledger.rows import RunRow

MACHINE_KEYS = frozenset({"instance", "volume_gb", "max_seconds", "max_wait", "spot", "metrics"})
#: How the verdict reads a comparison; what is computed does not depend on it.
VERDICT_KEYS = frozenset({"margin"})
#: What of the settings of training the tables for another container rest on.
TABLE_KEYS = ("algorithm", "image", "input", "validation")


@dataclass(frozen=True)
class Basis:
    """What a run works on. `objects` are the manifest's entries, `settings` its document.

    `trainer` is the image that trains. `champion` names the version that the candidate is compared
    with (its package's ARN, and the digests of its model and code), or is empty; `clarify_image`
    is what measures bias where the settings say so; `packs_code`: the evaluation also writes an
    archive of the model with its server's code.
    """

    objects: Sequence[Mapping[str, Any]]
    window: Mapping[str, Any]
    code_sha: str
    image: str
    settings: Mapping[str, Any]
    champion: tuple[str, ...] = ()
    trainer: str = ""
    clarify_image: str = ""
    packs_code: bool = False


def step_keys(basis: Basis) -> dict[str, str]:
    """The key of each step that may be reused, by step."""
    settings = basis.settings
    common = [basis.code_sha, basis.image, settings.get("problem"), settings.get("label")]
    train = {k: v for k, v in settings.get("train", {}).items() if k not in MACHINE_KEYS}
    gate = settings.get("gates", {}).get("champion") or {}
    compared = {k: v for k, v in gate.items() if k not in VERDICT_KEYS} if gate != "off" else {}
    data = [settings.get("positive"), settings.get("data"), settings.get("facets")]
    group = settings.get("bias", {}).get("group")
    # The jobs' own image is part of every key; where a GPU or another container trains, it counts.
    trainer = basis.trainer if basis.trainer != basis.image else ""
    # For another container than our own the check also writes tables, and splits them.
    own = train.get("algorithm") or train.get("image")
    tables = [[train.get(key) for key in TABLE_KEYS]] if own else []
    basics = (common, data, group, basis.objects, basis.window)
    keys = {"check_data": _key("check_data", *basics, *tables)}
    keys["train"] = _key("train", keys["check_data"], train, *([trainer] if trainer else []))
    bias = dict(settings.get("bias") or {})
    by_clarify = settings.get("providers", {}).get("bias") == "sagemaker"
    # Then the evaluation also writes what Clarify reads, in which outcomes are told apart.
    outcome = [bias.get("positive"), bias.get("threshold")] if by_clarify else []
    packs = ["with code"] if basis.packs_code else []
    keys["evaluate"] = _key("evaluate", keys["train"], *outcome, *packs)
    keys["evaluate_champion"] = _key("evaluate_champion", keys["check_data"], basis.champion)
    keys["compare"] = _key("compare", keys["evaluate"], keys["evaluate_champion"], compared)
    provider = [basis.clarify_image] if by_clarify else []
    keys["measure_bias"] = _key("measure_bias", keys["evaluate"], settings.get("bias"), *provider)
    keys["explain"] = _key("explain", keys["train"], settings.get("explain"))
    return keys


def place_of(run: RunRow | None, step: str, base: str) -> str:
    """Below which prefix the outputs of a run's step lie: `base`, unless it was reused."""
    planned = json.loads(run.plan) if run is not None and run.plan else {}
    return str(planned.get("places", {}).get(step, base))


def _key(*parts: Any) -> str:
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
