"""Writes settings as the document that `parse_settings` reads back, every default spelled out."""

from __future__ import annotations

from typing import Any

from perennial.domain.settings import (
    VERSION,
    BiasSettings,
    DataSettings,
    JobSettings,
    Range,
    Settings,
    TrainSettings,
    Triggers,
    Tuning,
    Window,
)
from perennial.domain.settings_monitor import write_monitor
from perennial.domain.settings_reader import duration
from perennial.domain.settings_release import write_release


def write_settings(settings: Settings) -> dict[str, Any]:
    """The whole document. A key whose absence is a value of its own (no tuning) is left out."""
    return {
        "version": VERSION,
        "project": settings.project,
        "problem": settings.problem,
        "label": settings.label,
        **({"positive": settings.positive} if settings.positive else {}),
        "facets": {
            facet.column: {"edges": list(facet.edges)} if facet.edges else {}
            for facet in settings.facets
        },
        "data": _data(settings.data),
        "train": {**_train(settings.train), **_job(settings.job("train"))},
        "jobs": {step: _job(job) for step, job in settings.jobs if step != "train"},
        "gates": _gates(settings),
        "bias": {
            **({"group": settings.bias.group} if settings.bias.group else {}),
            "methods": list(settings.bias.methods),
            **_outcome(settings.bias),
        },
        "explain": {
            "enabled": settings.explain.enabled,
            "rows": settings.explain.rows,
            "seed": settings.explain.seed,
        },
        "reuse": duration(settings.reuse),
        "providers": {
            "bias": settings.bias.provider,
            **({"monitor": "sagemaker"} if settings.monitor.is_managed else {}),
        },
        "release": write_release(settings.release),
        **({"monitor": write_monitor(settings.monitor)} if settings.monitor.monitors else {}),
        "triggers": _triggers(settings.triggers),
        "tags": dict(settings.tags),
    }


def _outcome(bias: BiasSettings) -> dict[str, Any]:
    positive = {"positive": list(bias.positive)} if bias.positive else {}
    return positive if bias.threshold is None else {**positive, "threshold": bias.threshold}


def _data(data: DataSettings) -> dict[str, Any]:
    return {
        "format": data.format,
        "header": data.header,
        "delimiter": data.delimiter,
        "missing": list(data.missing),
        "select": list(data.select),
        "max_bad_rows": data.max_bad_rows,
        "identity": list(data.identity),
        "min_rows": data.min_rows,
        "holdout": data.holdout,
        "window": _window(data.window),
        "sources": dict(data.sources),
        # A list: JSON with sorted keys must not change the columns' order.
        "columns": [{"name": column.name, **column.to_json()} for column in data.columns],
    }


def _window(window: Window) -> str | dict[str, int]:
    if window.kind == "rows":
        return {"rows": window.rows}
    return duration(window.seconds) if window.kind == "days" else window.kind


def _train(train: TrainSettings) -> dict[str, Any]:
    return {
        "hyperparameters": train.parameters(),
        "validation": train.validation,
        "seed": train.seed,
        **({"tuning": _tuning(train.tuning)} if train.tuning else {}),
        "spot": train.spot,
        **({"max_wait": duration(train.max_wait)} if train.spot else {}),
        **({"algorithm": train.algorithm} if train.algorithm else {}),
        **({"image": train.image} if train.image else {}),
        **({"input": train.input} if train.input != "csv" else {}),
        "metrics": dict(train.metrics),
    }


def _tuning(tuning: Tuning) -> dict[str, Any]:
    return {
        "strategy": tuning.strategy,
        "jobs": tuning.jobs,
        "parallel": tuning.parallel,
        "objective": tuning.objective,
        "goal": tuning.goal,
        "early_stopping": tuning.early_stopping,
        "warm_start": tuning.warm_start,
        "ranges": {entry.name: _range(entry) for entry in tuning.ranges},
    }


def _range(entry: Range) -> dict[str, Any]:
    if entry.kind == "category":
        return {"values": list(entry.values)}
    low, high = entry.low, entry.high
    whole = entry.kind == "int"
    return {
        "type": entry.kind,
        "min": int(low) if whole else low,
        "max": int(high) if whole else high,
        "scale": entry.scale,
    }


def _job(job: JobSettings) -> dict[str, Any]:
    return {
        "instance": job.instance,
        "volume_gb": job.volume_gb,
        "max_seconds": job.max_seconds,
    }


def _gates(settings: Settings) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for gate in settings.gates:
        document.setdefault(gate.metric, {})[gate.operator] = gate.bound
    comparison = settings.comparison
    document["champion"] = (
        {
            "metric": comparison.metric,
            "margin": comparison.margin,
            "significance": comparison.significance,
            "windows": comparison.windows,
            "draws": comparison.draws,
        }
        if comparison
        else "off"
    )
    document["schema"] = "compatible" if settings.compatible_schema else "any"
    if settings.producer_share is not None:
        document["producer_share"] = {"max": settings.producer_share}
    return document


def _triggers(triggers: Triggers) -> dict[str, Any]:
    return {
        "quiet_period": duration(triggers.quiet_period),
        "max_wait": duration(triggers.max_wait),
        "cool_down": duration(triggers.cool_down),
        "max_runs_per_day": triggers.max_runs_per_day,
        "schedules": dict(triggers.schedules),
    }
