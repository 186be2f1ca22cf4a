"""A `model.yaml` that uses every key of judged retraining, and ways to change it."""

from __future__ import annotations

import copy
from typing import Any

from perennial.domain.settings import Settings, parse_settings

DIGEST = "@sha256:" + "a" * 64
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/own/trainer:7"
RANGES = {
    "depth": {"min": 2, "max": 9},
    "rate": {"min": 0.01, "max": 0.3, "scale": "log"},
    "kind": {"values": ["gbdt", "dart"]},
}
TUNING: dict[str, Any] = {"jobs": 6, "parallel": 3, "ranges": RANGES}
GOOD: dict[str, Any] = {
    "problem": "binary",
    "label": "won",
    "positive": "yes",
    "facets": {"team": {}, "size": {"edges": [10, 20]}, "city": {}},
    "data": {
        "columns": {
            "size": "int",
            "share": "float",
            "team": {"type": "category", "levels": ["red", "blue"]},
            "city": {"type": "category", "open": True},
            "won": {"type": "category", "levels": ["no", "yes"]},
        },
        "window": "30d",
        "sources": {"reviews": 2, "landed": 1},
    },
    "train": {
        "hyperparameters": {"depth": 3, "rate": 0.1, "kind": "gbdt"},
        "max_seconds": 3600,
        "spot": True,
        "max_wait": "2h",
        "metrics": {"loss": "loss=([0-9.]+)"},
        "tuning": TUNING,
    },
    "gates": {
        "auc": {"min": 0.8},
        "DPPL:team=red": {"min": -0.2, "max": 0.2},
        "CDDL:size=<10": {"max": 0.1},
        "latency_p99_ms": {"max": 50},
        "model_mb": {"max": 20},
        "champion": {"metric": "f1", "margin": 0.002, "significance": 0.1, "windows": 3},
        "schema": "any",
        "producer_share": {"max": 0.5},
    },
    "bias": {"group": "city", "methods": ["DPPL", "CDDL", "CI"]},
    "explain": {"rows": 500, "seed": 3},
    "reuse": "1d",
    "providers": {"bias": "sagemaker"},
}
ALONE = {"hyperparameters": {"num_round": 50}, "algorithm": "xgboost"}
OWN = {"image": IMAGE, "metrics": {"loss": "l=(.+)"}, "hyperparameters": {"depth": 3}}


def tuned(**changes: Any) -> dict[str, Any]:
    """The tuning section with some keys replaced; None removes a key."""
    return {key: value for key, value in (TUNING | changes).items() if value is not None}


def ranged(**ranges: Any) -> dict[str, Any]:
    """The tuning section with these ranges alone."""
    return tuned(ranges=ranges)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good document with one change."""
    document = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place = document
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = copy.deepcopy(value)
    return document


def parsed(path: str = "", value: Any = None) -> Settings:
    """The settings of the good document, with one change."""
    return parse_settings(changed(path, value) if path else GOOD, project="game")
