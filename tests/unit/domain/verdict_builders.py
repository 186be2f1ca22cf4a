"""Documents of a run as its jobs write them, and the verdict on them, for tests of the card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from perennial.domain import findings
from perennial.domain.judging import Evidence as Grounds
from perennial.domain.judging import judge
from perennial.domain.settings import Settings, parse_settings
from perennial.domain.verdict import Evidence, Verdict

DAY = 86_400_000
NEWEST = 1_795_000_000_000
FACETS = ("sex=Female", "sex=Male", "age=<30", "age=30-45", "age=45-60", "age=>=60")
BIAS = {
    "CI": 0.3341,
    "DPL": 0.1910,
    "KL": 0.1423,
    "DPPL": 0.1744,
    "DI": 0.3239,
    "RD": 0.0591,
    "AD": -0.0995,
    "TE": 0.7085,
}
FEATURES = (
    *("capital_gain", "relationship", "age", "education_num", "marital_status", "occupation"),
    *("hours_per_week", "capital_loss", "workclass", "fnlwgt", "sex", "native_country", "race"),
    *("education", "a_feature_with_a_rather_long_name", "age_squared", "noise"),
)
METRICS: Mapping[str, Mapping[str, float | None]] = {
    "binary": {
        "auc": 0.9279843,
        "accuracy": 0.87257,
        "precision": 0.7812,
        "recall": 0.6488,
        "f1": 0.70888,
        "log_loss": 0.27745,
        "brier": None,
        "rows": 9731.0,
    },
    "multiclass": {"accuracy": 0.612, "weighted_f1": 0.604, "log_loss": 1.02, "rows": 9731.0},
    "regression": {"mae": 1.5417, "mse": 4.7319, "rmse": 2.17529, "r2": 0.5612, "rows": 835.0},
}
SECTION = {
    "binary": "binary_classification_metrics",
    "multiclass": "multiclass_classification_metrics",
    "regression": "regression_metrics",
}


def settings(problem: str = "binary", **changes: Any) -> Settings:
    """The settings of a small census."""
    label = {"type": "float"} if problem == "regression" else {"type": "category"}
    if problem != "regression":
        label |= {"levels": ["<=50K", ">50K"]}
    document: dict[str, Any] = {
        "problem": problem,
        "label": "income",
        **({"positive": ">50K"} if problem == "binary" else {}),
        "facets": {"sex": {}, "age": {"edges": [30, 45, 60]}},
        "data": {
            "columns": {
                "age": {"type": "int"},
                "sex": {"type": "category", "levels": ["Female", "Male"]},
                "income": label,
            }
        },
        "train": {"hyperparameters": {"rounds": 300, "learning_rate": 0.08, "monotone": [1, 0]}},
        **changes,
    }
    return parse_settings(document, project="census")


def _course(n: int, start: float, end: float, pace: float) -> list[float]:
    return [end + (start - end) * math.exp(-i / pace) for i in range(1, n + 1)]


def evaluation(problem: str = "binary", facets: tuple[str, ...] = FACETS) -> dict[str, Any]:
    """evaluation.json with everything that a problem has."""
    figures = dict(METRICS[problem])
    groups = {
        f"{name}:{facet}": (None if name == "mae" else 0.9 - 0.013 * i)
        for i, facet in enumerate(facets)
        for name in list(figures)[:2]
    }
    section: dict[str, Any] = {
        name: {"value": value, "standard_deviation": 0.0021 if name != "brier" else "NaN"}
        for name, value in figures.items()
        if name != "rows"
    }
    ours: dict[str, Any] = {
        "rows": int(figures["rows"] or 0),
        "problem": problem,
        "metrics": {**figures, "latency_p99_ms": 4.21, "model_mb": 1.07, **groups},
        "latency_ms": {"p50": 2.05, "p99": 4.21, "rows": 200},
        "model_bytes": 1_070_000,
        "learning": _learning(problem),
        "gap": {"metric": next(iter(figures)), "train": 0.9513, "validation": 0.9281},
    }
    if problem == "regression":
        counts = [round(120 * math.exp(-(((i - 9.2) / 3.4) ** 2))) for i in range(20)]
        ours["residuals"] = {
            "edges": [-8 + i for i in range(21)],
            "counts": counts,
            "mean": 0.031,
            "p5": -2.9,
            "p50": 0.1,
            "p95": 4.4,
        }
    else:
        classes = ("0", "1") if problem == "binary" else ("one", "two", "three", "four")
        section["confusion_matrix"] = {
            a: {b: 6871 - 1500 * i if a == b else 120 + 7 * i + j for j, b in enumerate(classes)}
            for i, a in enumerate(classes)
        }
    if problem == "binary":
        steps = [i / 100 for i in range(101)]
        section["receiver_operating_characteristic_curve"] = {
            "false_positive_rates": steps,
            "true_positive_rates": [x**0.12 if x else 0.0 for x in steps],
        }
        section["precision_recall_curve"] = {
            "precisions": [1 - 0.75 * x**3 for x in steps],
            "recalls": steps,
        }
        ours["calibration"] = [
            {
                "from": i / 10,
                "to": (i + 1) / 10,
                "rows": 5000 // (i + 1),
                "mean_score": i / 10 + 0.048,
                "share": min(1.0, (i / 10 + 0.048) ** 1.1),
            }
            for i in range(10)
        ]
    return {"version": 0.0, SECTION[problem]: section, "perennial": ours}


def _learning(problem: str) -> dict[str, Any]:
    name = {"binary": "auc", "multiclass": "log_loss", "regression": "rmse"}[problem]
    start, ends = {"auc": (0.8, (0.955, 0.928))}.get(name, (3.2, (1.6, 2.2)))
    train, validation = _course(240, start, ends[0], 60), _course(240, start, ends[1], 35)
    rounds = [
        {"round": i, f"train_{name}": a, f"validation_{name}": b}
        for i, (a, b) in enumerate(zip(train, validation, strict=True), 1)
    ]
    return {"rounds": rounds}


def comparison(metric: str = "auc", lower: float = 0.0031, **changes: Any) -> dict[str, Any]:
    """comparison.json with five windows."""
    windows = [
        {
            "from_ms": NEWEST - (5 - i) * 7 * DAY,
            "to_ms": NEWEST - (4 - i) * 7 * DAY,
            "rows": 1946,
            "candidate": 0.92 + 0.002 * i,
            "champion": 0.924 - 0.001 * i,
            "difference": -0.004 + 0.003 * i,
            "interval": [-0.011 + 0.003 * i, 0.003 + 0.003 * i],
        }
        for i in range(5)
    ]
    entry = {
        "candidate": 0.928,
        "champion": 0.9228,
        "difference": 0.0052,
        "interval": [0.002, 0.008],
    }
    return {
        "version": 1,
        "metric": metric,
        "rows": 9731,
        "candidate": 0.9279843,
        "champion": 0.9228,
        "difference": 0.0051843,
        "interval": [0.0027, 0.0077],
        "lower": lower,
        "better_share": 0.9991,
        "undefined": 0,
        "confidence": 0.95,
        "margin": 0.002,
        "significance": 0.05,
        "draws": 10000,
        "seed": 0,
        "method": "paired bootstrap of the rows, percentile bounds, 10,000 draws",
        "labels": {"oldest_ms": NEWEST - 35 * DAY, "newest_ms": NEWEST},
        "windows": windows,
        "metrics": {metric: entry, "accuracy": {**entry, "interval": None}},
        "unmatched": 0,
        "incompatible": [],
        "changes": [f"{metric} is better: +0.00518"],
        **changes,
    }


def bias(facets: tuple[str, ...] = FACETS[:2]) -> dict[str, Any]:
    """bias/analysis.json: Clarify's layout is left out, for the judge reads our part."""
    metrics: dict[str, Any] = {
        f"{name}:{facet}": value * (1 if i % 2 == 0 else -0.8)
        for i, facet in enumerate(facets)
        for name, value in BIAS.items()
    }
    metrics[f"DI:{facets[-1]}"] = "Infinity"
    intervals: dict[str, dict[str, list[float]]] = {}
    for key, value in metrics.items():
        name, _, facet = key.partition(":")
        if name in ("DPPL", "RD", "AD") and isinstance(value, float):
            intervals.setdefault(name, {})[facet] = [value - 0.02, value + 0.025]
    return {
        "version": "1.0",
        "perennial": {"metrics": metrics, "intervals": intervals, "rows": 9731},
    }


def explanations(features: tuple[str, ...] = FEATURES) -> dict[str, Any]:
    """explanations/analysis.json."""
    values = {name: 0.9 * 0.78**i + 0.001 for i, name in enumerate(features)}
    label = {"global_shap_values": values, "expected_value": -1.2}
    return {
        "explanations": {"kernel_shap": {"label0": label}},
        "perennial": {
            "method": "tree",
            "rows": 2000,
            "units": "log-odds",
            "max_additivity_error": 4.4e-14,
        },
    }


def report(producers: tuple[str, ...] = ("acme", "bureau/north", "")) -> dict[str, Any]:
    """check/report.json."""
    return {
        "refused": False,
        "rows": {
            "read": 48842,
            "good": 48800,
            "bad": 42,
            "replaced": 29,
            "outside": 0,
            "training": 39069,
            "holdout": 9731,
        },
        "objects": [
            {"key": f"incoming/census/{name}/a.csv", "rows": 100 * i + 1, "quarantined": False}
            for i, name in enumerate(producers)
        ],
        "producers": {name: 30000 // (i + 1) for i, name in enumerate(producers)},
        "sources": {"landed": 48000, "reviews": 800},
        "labels": {"oldest_ms": NEWEST - 300 * DAY, "newest_ms": NEWEST},
        "leaks": [],
        "conflicts": {"rows": 12, "identities": 6, "first": []},
    }


CHAMPION = {
    "version": 7,
    "run": 11,
    "arn": "arn:aws:sagemaker:eu-west-1:123456789012:model-package/perennial-census/7",
    "words": "census 7, of run 11",
    "figures": {"auc": 0.9228, "accuracy": 0.868},
}
COST = {
    "usd": 0.03171,
    "prices": "2026-11-21",
    "jobs": [
        {
            "step": "check_data",
            "job": "perennial-census-12-check-data-0",
            "kind": "processing",
            "seconds": 211.4,
            "instance": "ml.m5.large",
            "usd": 0.0067531,
            "reused": False,
        },
        {
            "step": "train",
            "job": "perennial-census-12-train-0",
            "kind": "training",
            "seconds": 781,
            "instance": "ml.m5.large",
            "usd": 0.0249486,
            "reused": False,
        },
        {
            "step": "explain",
            "job": "perennial-census-9-explain-0",
            "kind": "processing",
            "seconds": 130.0,
            "instance": "ml.m5.large",
            "usd": 0.0,
            "reused": True,
        },
        {
            "step": "measure_bias",
            "job": "perennial-census-12-measure-bias-0",
            "kind": "processing",
            "seconds": None,
            "instance": "ml.z9.large",
            "usd": None,
            "reused": False,
        },
    ],
}


def verdict(
    problem: str = "binary", *, given: Mapping[str, Any] | None = None, **parts: Any
) -> Any:
    """verdict.json on documents of these kinds, read back from its bytes.

    `given` are settings; `parts` replace documents (None: there is none) and sections.
    """
    chosen = settings(problem, **dict(given or {}))
    documents = {
        "evaluation": evaluation(problem),
        "comparison": comparison(next(iter(METRICS[problem]))),
        "bias": bias(),
        "explanations": explanations(),
        "report": report(),
        "champion": CHAMPION,
        "incompatible": [],
        "failures": {},
        **parts,
    }
    evaluated = findings.read_evaluation(documents["evaluation"])
    found = None if documents["bias"] is None else findings.read_bias(documents["bias"])
    told = findings.read_report(documents["report"], "incoming/census/")
    explained = documents["explanations"]
    champion = documents["champion"]
    grounds = Grounds(
        metrics=evaluated.metrics,
        champion=f"census {champion['version']}" if champion else "",
        comparison=documents["comparison"],
        bias=None if found is None else found.metrics,
        incompatible=documents["incompatible"],
        producers=told.producers,
        failures=documents["failures"],
    )
    sections = {
        **evaluated.sections,
        "comparison": documents["comparison"],
        "compatibility": {
            "compatible": not documents["incompatible"],
            "words": documents["incompatible"],
        }
        if champion
        else None,
        "bias": {} if found is None else found.shown,
        "bias_intervals": {} if found is None else found.intervals,
        "explanations": None if explained is None else findings.read_explanations(explained),
        "producers": told.producers,
        "leaks": list(told.leaks),
        "conflicts": told.conflicts,
        "data": told.data,
        "cost": COST,
        "changes": ["hyperparameters.rounds: 200 → 300", "training rows: 30,000 → 39,069"],
        "settings": {
            "label": chosen.label,
            "positive": chosen.positive,
            "hyperparameters": chosen.train.parameters(),
            "holdout": chosen.data.holdout,
            "window": {"kind": "days", "seconds": 2592000, "rows": 0},
        },
        "tuning": {"trials": {"Completed": 9, "Failed": 1}, "best": {"rounds": "300"}},
        "notes": ["reused from an earlier run: explain", *documents.get("notes", [])],
        "evidence": {
            "report": {"uri": "s3://b/runs/census/12/check/report.json", "digest": "d" * 64}
        },
        **documents.get("sections", {}),
    }
    made = Verdict(
        model="census",
        run=12,
        problem=problem,
        candidate={
            "artifact": "s3://b/models/census/12/model.tar.gz",
            "artifact_digest": "a" * 64,
            "code": "s3://b/code/census/" + "c" * 64 + ".tar.gz",
            "code_digest": "c" * 64,
        },
        gates=judge(chosen, grounds),
        metrics=evaluated.shown,
        rows=evaluated.rows,
        evaluation=Evidence("s3://b/runs/census/12/evaluation/evaluation.json", "e" * 64),
        manifest=Evidence("s3://b/runs/census/12/manifest.json", "f" * 64),
        decided_ms=NEWEST,
        champion=champion,
        sections=sections,
    )
    return json.loads(json.dumps(made.to_json(), allow_nan=False))
