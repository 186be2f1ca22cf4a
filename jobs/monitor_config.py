"""What a monitor's job is told: /opt/ml/processing/input/config/monitor.json.

See docs/monitors.md for every key. Whoever writes the file is a program of ours or a person's
script; a mistake in it is refused by the name of the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.failures import SettingsError
from jobs.paths import Paths
from jobs.run_step import read_json

DATA_QUALITY, MODEL_QUALITY, BIAS, ATTRIBUTION = KINDS = (
    "data-quality",
    "model-quality",
    "bias",
    "attribution",
)
FILE = "monitor.json"
FORMATS = ("capture", "csv", "jsonlines", "parquet")


@dataclass(frozen=True)
class MonitorConfig:
    """One window of one monitor of one version.

    `capture` and `labels` are prefixes of S3 or folders. Labels count that were collected until
    `labels_until_ms`; one that came `delay_ms` after the window's end or later is late.
    `keep_rows`: model quality writes the labelled rows down, for other versions to be scored on.
    """

    kind: str
    model: str
    model_version: int | None
    start_ms: int
    end_ms: int
    capture: tuple[str, ...]
    labels: tuple[str, ...] = ()
    endpoint: str = ""
    variant: str = ""
    format: str = "capture"
    labels_until_ms: int = 0
    delay_ms: int = 0
    keep_rows: bool = False
    baseline: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, paths: Paths) -> MonitorConfig:
        """The configuration of this job; raises `SettingsError`."""
        return cls.from_json(read_json(paths.input("config") / FILE))

    @classmethod
    def from_json(cls, document: Any) -> MonitorConfig:
        """The configuration in a document; raises `SettingsError`."""
        if not isinstance(document, Mapping):
            raise SettingsError(f"{FILE} is no JSON object")
        kind = document.get("kind")
        if kind not in KINDS:
            raise SettingsError(f"{FILE}: kind is {kind!r}; expected one of {', '.join(KINDS)}")
        start, end = _window(document.get("window"))
        delay = _whole(document, "delay_ms", 0)
        form = document.get("format", "capture")
        if form not in FORMATS:
            raise SettingsError(f"{FILE}: format is {form!r}; expected one of {', '.join(FORMATS)}")
        if form != "capture" and kind != DATA_QUALITY:
            raise SettingsError(
                f"{FILE}: format {form} has no answers and no ids; only data-quality reads it"
            )
        given = _mapping(document, "settings")
        if form != "capture" and given.get("preprocess"):
            raise SettingsError(
                f"{FILE}: preprocess_record sees captured requests; format {form} has none"
            )
        return cls(
            kind=kind,
            model=str(document.get("model", "")),
            model_version=_version(document.get("model_version", document.get("version"))),
            start_ms=start,
            end_ms=end,
            capture=_texts(document, "capture"),
            labels=_texts(document, "labels"),
            endpoint=str(document.get("endpoint") or ""),
            variant=str(document.get("variant") or ""),
            format=form,
            labels_until_ms=_whole(document, "labels_until_ms", end + delay),
            delay_ms=delay,
            keep_rows=document.get("keep_rows") is True,
            baseline=_mapping(document, "baseline"),
            settings=given,
        )

    def baseline_file(self, paths: Paths, name: str) -> Path:
        """A file of the baseline: where `baseline` says, else in the input `baseline`."""
        given = self.baseline.get(name.partition(".")[0])
        return Path(given) if given else paths.input("baseline") / name


def _window(found: Any) -> tuple[int, int]:
    if isinstance(found, Mapping):
        found = [found.get("start_ms"), found.get("end_ms")]
    if (
        not isinstance(found, list)
        or len(found) != 2
        or not all(isinstance(each, int) and not isinstance(each, bool) for each in found)
        or not 0 <= found[0] < found[1]
    ):
        raise SettingsError(
            f"{FILE}: window is {found!r}; expected start_ms and end_ms, the end after the start"
        )
    return found[0], found[1]


def _whole(document: Mapping[str, Any], key: str, default: int) -> int:
    found = document.get(key, default)
    if not isinstance(found, int) or isinstance(found, bool) or found < 0:
        raise SettingsError(f"{FILE}: {key} is {found!r}; expected milliseconds, a whole number")
    return found


def _version(found: Any) -> int | None:
    if found is None:
        return None
    if isinstance(found, bool) or not str(found).isdigit():
        raise SettingsError(f"{FILE}: model_version is {found!r}; expected a whole number")
    return int(found)


def _texts(document: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = document.get(key) or []
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(each, str) and each for each in found):
        raise SettingsError(f"{FILE}: {key} is {found!r}; expected a list of prefixes or folders")
    return tuple(found)


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key) or {}
    if not isinstance(found, Mapping):
        raise SettingsError(f"{FILE}: {key} is {found!r}; expected an object")
    return found
