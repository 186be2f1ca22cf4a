"""What `providers.monitor: sagemaker` asks of the section `monitor`.

SageMaker Model Monitor judges whole hours of what SageMaker itself records, by schedules of its
own: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-schedule-expression.html. What
it cannot do is refused by its key, and nothing is quietly done otherwise.
"""

from __future__ import annotations

from perennial.domain.naming import MONITOR_KINDS
from perennial.domain.settings_monitor import (
    DATA_QUALITY,
    HOUR,
    LABELLED,
    MODEL_QUALITY,
    Monitor,
    Monitoring,
)
from perennial.domain.settings_reader import Reader, duration, one_of, shown

#: The kinds that Model Monitor judges here; the others are not built yet.
BUILT = (DATA_QUALITY, MODEL_QUALITY)
#: Kinds of endpoints whose requests we record ourselves.
UNRECORDED = ("serverless", "multi-model")
#: A schedule's job must be over before the next one begins, and no longer than a day.
LONGEST_JOB = 86400
WHY = "as providers.monitor is sagemaker"


def check_managed(root: Reader, monitoring: Monitoring, endpoint: str) -> None:
    """Refuse by key what SageMaker's schedules cannot do; `endpoint` is the endpoint's kind."""
    if not monitoring.is_managed:
        return
    if not monitoring.monitors:
        root.mistake_at(
            "providers.monitor",
            shown("sagemaker"),
            f"perennial, or a section monitor with {one_of(BUILT)}",
        )
    if endpoint in UNRECORDED:
        root.mistake_at(
            "providers.monitor",
            shown("sagemaker"),
            f"perennial: SageMaker records no requests of a {endpoint} endpoint, so its Model "
            "Monitor sees none",
        )
    if monitoring.preprocess:
        root.mistake_at(
            "monitor.preprocess",
            shown("hook"),
            f"no value, {WHY}: its container runs no code of the model's",
        )
    for each in monitoring.monitors:
        _check_kind(root, each)
        _check_times(root, each, monitoring.max_seconds)
        _check_features(root, each)


def _check_kind(root: Reader, monitor: Monitor) -> None:
    if monitor.kind in BUILT:
        return
    others = one_of([each for each in MONITOR_KINDS if each in BUILT])
    root.mistake_at(
        f"monitor.{monitor.kind}",
        "a monitor",
        f"no value, {WHY}, which is built for {others} so far",
    )


def _check_times(root: Reader, monitor: Monitor, max_seconds: int) -> None:
    where = f"monitor.{monitor.kind}"
    if monitor.every < HOUR:
        root.mistake_at(f"{where}.every", shown(duration(monitor.every)), f"1h or longer, {WHY}")
    if monitor.window != monitor.every:
        root.mistake_at(
            f"{where}.window",
            shown(duration(monitor.window)),
            f"no value, {WHY}: it judges what came since the last time",
        )
    if monitor.offset % HOUR:
        root.mistake_at(f"{where}.offset", shown(duration(monitor.offset)), f"whole hours, {WHY}")
    if monitor.kind in LABELLED:
        if monitor.delay % HOUR:
            root.mistake_at(f"{where}.delay", shown(duration(monitor.delay)), f"whole hours, {WHY}")
    elif monitor.delay:
        root.mistake_at(
            f"{where}.delay",
            shown(duration(monitor.delay)),
            f"no value, {WHY}: it begins up to 20 minutes after the hour, by itself",
        )
    longest = min(monitor.every, LONGEST_JOB)
    if max_seconds > longest:
        root.mistake_at(
            "monitor.max_seconds",
            str(max_seconds),
            f"at most {longest}, {WHY}: the {monitor.kind} job must be over before the next begins",
        )


def _check_features(root: Reader, monitor: Monitor) -> None:
    for name, watch in monitor.features:
        for key, value in (("distance", watch.distance), ("method", watch.method)):
            if value is not None:
                root.mistake_at(
                    f"monitor.{monitor.kind}.features.{name}.{key}",
                    shown(value),
                    f"no value, {WHY}: it compares all features by one bound and one method",
                )
