"""A data-quality baseline's constraints as rules, with what the settings of the monitor override.

Layouts are Model Monitor's. An override of one feature stands at the feature as
`monitoring_config_overrides`, or, as AWS's documents have it, `monitoringConfigOverrides`; older
SDKs write it below `string_constraints`. People edit this file: whatever is no constraint there is
refused by the name of its place.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from jobs.engine.statistics import COMPARISON_THRESHOLD
from jobs.failures import SettingsError

SIMPLE, ROBUST, CHI_SQUARED = "simple", "robust", "chi-squared"
METHODS = {
    "Simple": SIMPLE,
    "Robust": ROBUST,
    "linf_simple": SIMPLE,
    "linf_robust": ROBUST,
    SIMPLE: SIMPLE,
    ROBUST: ROBUST,
    CHI_SQUARED: CHI_SQUARED,
}
TEXT_METHODS = {"LInfinity": "", "ChiSquared": CHI_SQUARED}
SWITCH = {"Enabled": True, "Disabled": False}
DEFAULTS: Mapping[str, Any] = {
    "is_watched": True,
    "emits": True,
    "typed_share": 1.0,
    "domain_share": 1.0,
    "compares": True,
    "distance": COMPARISON_THRESHOLD,
    "method": ROBUST,
    "text_distance": COMPARISON_THRESHOLD,
    "text_method": "",
}
TYPES = ("Integral", "Fractional", "String", "Unknown")
OVERRIDES = ("monitoring_config_overrides", "monitoringConfigOverrides")
HELP = "Correct constraints.json of the version's baseline; original.json beside it has what was"


@dataclass(frozen=True)
class Rule:
    """What a feature must keep. Shares are 0 to 1; `domain` is None for free text and numbers."""

    name: str
    kind: str
    completeness: float | None
    domain: frozenset[str] | None
    is_watched: bool
    emits: bool
    typed_share: float
    domain_share: float
    compares: bool
    distance: float
    method: str
    text_distance: float
    text_method: str


@dataclass(frozen=True)
class _Place:
    """A part of the file, and where it stands."""

    node: Mapping[str, Any]
    where: str

    def part(self, name: str) -> _Place:
        found = self.node.get(name)
        if found is None:
            return _Place({}, f"{self.where}.{name}")
        if not isinstance(found, Mapping):
            raise refused(f"{self.where}.{name}", found, "an object")
        return _Place(found, f"{self.where}.{name}")

    def share(self, name: str, default: Any, most: float = 1.0) -> Any:
        found = self.node.get(name, default)
        if found is None and default is None:
            return None
        if not is_number(found) or not 0 <= found <= most:
            raise refused(f"{self.where}.{name}", found, f"a number from 0 to {most:g}")
        return float(found)

    def one_of(self, name: str, known: Mapping[str, Any], default: Any) -> Any:
        if name not in self.node:
            return default
        found = self.node[name]
        if not isinstance(found, str) or found not in known:
            raise refused(f"{self.where}.{name}", found, f"one of {', '.join(known)}")
        return known[found]


def refused(where: str, found: Any, wanted: str) -> SettingsError:
    """The error of a place that holds no constraint."""
    return SettingsError(f"{where} is {_shown(found)}; expected {wanted}. {HELP}.")


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number, as JSON has them; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read_rules(
    document: Any, settings: Mapping[str, Any] | None = None, file: str = "constraints.json"
) -> dict[str, Rule]:
    """The rules by feature; raises `SettingsError` naming the place that is none.

    What the settings say of one feature comes before the file's word on it; then comes what a
    person changed in the file for all features, and last what the settings say for all.
    """
    if not isinstance(document, Mapping):
        raise refused(file, document, "an object")
    given = dict(settings or {})
    features = document.get("features")
    if not isinstance(features, Sequence) or isinstance(features, str):
        raise refused(f"{file}: features", features, "a list")
    general = _Place(document, file).part("monitoring_config")
    rules: dict[str, Rule] = {}
    for number, entry in enumerate(features):
        name = entry.get("name") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or not name:
            raise refused(f"{file}: features[{number}]", entry, "an object with a name")
        if name in rules:
            raise refused(f"{file}: features[{number}].name", name, "a name that is there once")
        rules[name] = _rule(_Place(entry, f"{file}: features[{name}]"), general, given)
    unknown = sorted(set(given.get("features") or {}) - set(rules))
    if unknown:
        raise SettingsError(
            f"monitor.data-quality.features names {', '.join(unknown)}, of which the baseline has "
            "no constraints. Take it out of model.yaml, or release a version that has it."
        )
    return rules


def _rule(entry: _Place, general: _Place, settings: Mapping[str, Any]) -> Rule:
    name = entry.node["name"]
    own = _overrides(entry)
    of_feature = (settings.get("features") or {}).get(name) or {}
    found = {**DEFAULTS}
    _apply(found, _told(settings, "distance", "method"))
    # What the file says for all features counts where a person changed it: a baseline always
    # writes the defaults there, which are no word against the settings.
    written = {**DEFAULTS}
    _apply(written, general)
    found |= {key: value for key, value in written.items() if value != DEFAULTS[key]}
    for level in (own, _told(of_feature, *_KEYS)):
        _apply(found, level)
    return Rule(
        name=name,
        kind=entry.one_of("inferred_type", {kind: kind for kind in TYPES}, "Unknown"),
        completeness=entry.share("completeness", None),
        domain=_domain(entry.part("string_constraints")),
        **found,
    )


_KEYS = ("distance", "method", "evaluate")


def _told(settings: Mapping[str, Any], *keys: str) -> _Place:
    """What model.yaml says, in the words of the file."""
    found: dict[str, Any] = {}
    comparison: dict[str, Any] = {}
    for key in keys:
        value = settings.get(key)
        if value is None:
            continue
        if key == "evaluate":
            found["evaluate_constraints"] = "Enabled" if value else "Disabled"
        elif key == "distance":
            comparison |= {"comparison_threshold": value, "categorical_comparison_threshold": value}
        elif value == CHI_SQUARED:
            comparison["categorical_drift_method"] = "ChiSquared"
        else:
            comparison |= {"comparison_method": value, "categorical_drift_method": "LInfinity"}
    return _Place({**found, "distribution_constraints": comparison}, "monitor.data-quality")


def _apply(found: dict[str, Any], level: _Place) -> None:
    """Let one level of the file, or of the settings, say what it says."""
    found["is_watched"] = level.one_of("evaluate_constraints", SWITCH, found["is_watched"])
    found["emits"] = level.one_of("emit_metrics", SWITCH, found["emits"])
    found["typed_share"] = level.share("datatype_check_threshold", found["typed_share"])
    found["domain_share"] = level.share("domain_content_threshold", found["domain_share"])
    comparison = level.part("distribution_constraints")
    found["compares"] = comparison.one_of("perform_comparison", SWITCH, found["compares"])
    found["distance"] = comparison.share("comparison_threshold", found["distance"])
    found["method"] = comparison.one_of("comparison_method", METHODS, found["method"])
    found["text_distance"] = comparison.share(
        "categorical_comparison_threshold", found["text_distance"]
    )
    found["text_method"] = comparison.one_of(
        "categorical_drift_method", TEXT_METHODS, found["text_method"]
    )


def _overrides(entry: _Place) -> _Place:
    for place in (entry, entry.part("string_constraints"), entry.part("num_constraints")):
        for name in OVERRIDES:
            if name in place.node:
                return place.part(name)
    return _Place({}, entry.where)


def _domain(texts: _Place) -> frozenset[str] | None:
    found = texts.node.get("domains")
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise refused(f"{texts.where}.domains", found, "a list of texts")
    return frozenset(found)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
