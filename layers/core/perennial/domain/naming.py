"""Every name that Perennial gives to something in AWS, and every S3 key.

All names begin with the stack's *token* (the first ten characters of its name), and every event
rule filters by it, so that two stacks of one account never hear each other. A name that would
pass the limit of its service is ``<token>-<16 hex digits of a hash>``; tags and the ledger carry
the full words. Limits are checked against botocore's own patterns in
``tests/unit/domain/test_naming.py``.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

__all__ = [
    "GUARD_KINDS",
    "JOB_STEPS",
    "MONITOR_KINDS",
    "RELEASE_STEPS",
    "ab_alarm",
    "ab_alarm_prefix",
    "ab_config",
    "ab_of_name",
    "batch_base",
    "batch_mark",
    "batch_name",
    "blind_alarm",
    "check_model_name",
    "code_key",
    "earlier_job",
    "execution_arn",
    "execution_name",
    "guard_alarm",
    "guard_prefix",
    "is_batch_of",
    "is_guard_of",
    "is_job_of",
    "is_model_name",
    "is_release_job_of",
    "is_schedule_name",
    "is_tuning_job_of",
    "job_kind",
    "job_name",
    "landing_prefix",
    "live_endpoint",
    "manifest_key",
    "model_of_key",
    "model_stack",
    "models_prefix",
    "monitor_alarm",
    "monitor_job",
    "monitor_schedule",
    "monitoring_base",
    "next_endpoint",
    "other_slot",
    "package_group",
    "parse_ab_alarm",
    "parse_earlier_job",
    "parse_monitor_alarm",
    "parse_monitor_job",
    "parse_watch_name",
    "release_base",
    "release_job",
    "release_of_name",
    "release_prefix",
    "run_base",
    "run_prefix",
    "schedule_group",
    "schedule_name",
    "settings_key",
    "staging_config",
    "staging_endpoint",
    "token",
    "tokens_collide",
    "tuning_prefix",
    "watch_name",
]

TOKEN_LENGTH = 10
#: Leaves room for ``-<step>-<retry>`` below SageMaker's 63 characters for a job.
RUN_PREFIX_LENGTH = 40
SCHEDULE_LENGTH = 64
INCOMING = "incoming/"

#: The steps of a run that are SageMaker jobs, as they stand in job names.
JOB_STEPS = (
    *("check-data", "train", "evaluate", "evaluate-champion", "compare", "measure-bias"),
    *("explain", "baseline"),
)
#: The steps of a release that are SageMaker jobs, as they stand in job names.
RELEASE_STEPS = ("smoke-test", "evaluate-champion", "compare")
#: What the alarms on a new fleet watch; the last part of their names.
GUARD_KINDS = ("errors", "latency")
#: What a monitor watches; the last part of its alarm's name.
MONITOR_KINDS = ("data-quality", "model-quality", "bias", "attribution")

_MODEL = re.compile(r"[a-z][a-z0-9-]{0,18}[a-z0-9]|[a-z]")
_SCHEDULE = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_BATCH = r"b[0-9]{8}-[0-9]{6}-[0-9a-f]{4}"
_STEP = "|".join(JOB_STEPS)


def token(stack: str) -> str:
    """The stack's mark: first ten characters of its name, without a trailing ``-``."""
    return stack[:TOKEN_LENGTH].rstrip("-")


def tokens_collide(one: str, other: str) -> bool:
    """Whether two tokens cannot live in one account and Region.

    Equal ones cannot; nor can ``dev`` and ``dev-a``, for ``dev-`` is how a rule recognises both.
    """
    return one == other or one.startswith(other + "-") or other.startswith(one + "-")


def is_model_name(name: str) -> bool:
    """Whether ``name`` may name a model: up to 20 of ``a-z``, ``0-9`` and inner ``-``."""
    return _MODEL.fullmatch(name) is not None


def check_model_name(name: str) -> str:
    """``name`` itself, if it may name a model; else ``ValueError`` in words."""
    if not is_model_name(name):
        raise ValueError(
            f"{name!r} cannot name a model: it takes a small letter, then up to 19 small letters, "
            "digits or '-', the last no '-'"
        )
    return name


def is_schedule_name(name: str) -> bool:
    """Whether ``name`` may name a schedule of a model (up to 32 characters)."""
    return _SCHEDULE.fullmatch(name) is not None


def run_prefix(stack: str, model: str, run: int) -> str:
    """What all names of one run begin with, at most 40 characters."""
    mark = token(stack)
    name = f"{mark}-{model}-{run}"
    return name if len(name) <= RUN_PREFIX_LENGTH else f"{mark}-{_short_hash(stack, model, run)}"


def execution_name(stack: str, model: str, run: int) -> str:
    """The name of a run's one execution; deterministic, so that starting it twice starts one."""
    return run_prefix(stack, model, run)


def execution_arn(machine_arn: str, name: str) -> str:
    """The ARN that an execution called ``name`` of this state machine has."""
    return machine_arn.replace(":stateMachine:", ":execution:", 1) + ":" + name


def job_name(prefix: str, step: str, retry: int) -> str:
    """A SageMaker job of the run that ``prefix`` belongs to; ``retry`` counts from 0."""
    if step not in JOB_STEPS:
        raise ValueError(f"{step!r} is no job step; known are {', '.join(JOB_STEPS)}")
    return f"{prefix}-{step}-{retry}"


def is_job_of(prefix: str, name: str) -> bool:
    """Whether a job belongs to exactly this run.

    ``NameContains`` alone would also answer run 12 and model ``census-1`` to a question about
    run 1 of ``census``.
    """
    return re.fullmatch(rf"{re.escape(prefix)}-({_STEP})-\d+", name) is not None


def is_tuning_job_of(prefix: str, name: str) -> bool:
    """Whether a tuning job is one of the run that `prefix` belongs to."""
    return re.fullmatch(rf"{re.escape(prefix)}-\d+", name) is not None


def job_kind(name: str) -> str:
    """``training``, ``tuning`` or ``processing``: a run's jobs are told by the step in the name.

    A tuning job stands for the step ``train`` and has no step in its name.
    """
    match = re.fullmatch(rf".+-({_STEP})-\d+", name)
    if match is None:
        return "tuning"
    return "training" if match[1] == "train" else "processing"


def tuning_prefix(stack: str, model: str, run: int) -> str:
    """What names of a run's tuning jobs begin with: with ``-<retry>``, 32 characters at most.

    Trials carry it too, before a number and a hash of SageMaker's own.
    """
    return f"{token(stack)}-{_short_hash(stack, model, run, 'tune')}"


def package_group(stack: str, model: str) -> str:
    """The model package group of a model."""
    return f"{token(stack)}-{model}"


def schedule_group(stack: str) -> str:
    """The EventBridge Scheduler group that holds every schedule of the stack."""
    return token(stack)


def schedule_name(stack: str, model: str, schedule: str) -> str:
    """One schedule of a model, at most 64 characters."""
    name = f"{token(stack)}-{model}-{schedule}"
    if len(name) <= SCHEDULE_LENGTH:
        return name
    return f"{token(stack)}-{_short_hash(stack, model, schedule)}"


def model_stack(stack: str, model: str) -> str:
    """The CloudFormation stack with what one model owns."""
    return f"{stack}-model-{model}"


def monitor_alarm(stack: str, model: str, kind: str) -> str:
    """The alarm of one monitor of a model."""
    return f"{token(stack)}-monitor-{model}-{kind}"


def blind_alarm(stack: str, model: str, kind: str) -> str:
    """The alarm that sounds when a monitor of a model sees nothing; it retrains nobody."""
    return f"{token(stack)}-blind-{model}-{kind}"


def monitor_schedule(stack: str, model: str, kind: str) -> str:
    """The schedule of one monitor; no trigger's, whose names have no dot."""
    return f"{token(stack)}-{model}.{kind}"


def monitor_job(stack: str, model: str, kind: str, mark_ms: int) -> str:
    """The processing job of one window, asked for at `mark_ms`; at most 63 characters."""
    return f"{token(stack)}-monitor-{model}-{kind}-{_base36(mark_ms)}"


def parse_monitor_job(name: str, mark: str) -> tuple[str, str] | None:
    """``(model, kind)`` of a monitor's job of the stack with this token; None: of no such."""
    kinds = "|".join(MONITOR_KINDS)
    front = rf"{re.escape(mark)}-monitor-([a-z][a-z0-9-]{{0,19}})-({kinds})"
    match = re.fullmatch(rf"{front}-[0-9a-z]{{6,9}}", name)
    return (match[1], match[2]) if match else None


def watch_name(stack: str, model: str, kind: str, mark: str) -> str:
    """A monitoring schedule of SageMaker's and its job definition; at most 63 characters.

    `mark` tells one from another: 6 to 11 small letters and digits.
    """
    return f"{token(stack)}-watch-{model}-{kind}-{mark}"


def parse_watch_name(name: str, mark: str) -> tuple[str, str] | None:
    """``(model, kind)`` of a monitoring schedule of the stack with this token; None: of no such."""
    kinds = "|".join(MONITOR_KINDS)
    front = rf"{re.escape(mark)}-watch-([a-z][a-z0-9-]{{0,19}})-({kinds})"
    match = re.fullmatch(rf"{front}-[0-9a-z]{{6,11}}", name)
    return (match[1], match[2]) if match else None


def earlier_job(stack: str, model: str, end_ms: int, version: int) -> str:
    """The processing job that scores another version on the window that ended at `end_ms`."""
    return f"{token(stack)}-monitor-{model}-earlier-{_base36(end_ms)}-{version}"


def parse_earlier_job(name: str, mark: str) -> str | None:
    """The model whose other version a job of the stack with this token scores; None: of none."""
    front = rf"{re.escape(mark)}-monitor-([a-z][a-z0-9-]{{0,19}})-earlier"
    match = re.fullmatch(rf"{front}-[0-9a-z]{{6,9}}-[0-9]{{1,6}}", name)
    return match[1] if match else None


def monitoring_base(model: str, kind: str, hour: str, end_ms: int) -> str:
    """The prefix, without a slash at its end, of what one window has in the artifact bucket.

    `hour` is the folder of the hour in which it ends, like `2026/11/20/14`.
    """
    return f"monitoring/{model}/{kind}/{hour}/{end_ms}"


def parse_monitor_alarm(name: str, mark: str | None = None) -> tuple[str, str] | None:
    """``(model, kind)`` of a monitor's alarm, or None for any other alarm.

    ``mark`` is the stack's token; without it the alarm of any stack is understood.
    """
    front = re.escape(mark) if mark is not None else r"[A-Za-z][A-Za-z0-9-]{0,9}"
    kinds = "|".join(MONITOR_KINDS)
    match = re.fullmatch(rf"{front}-monitor-([a-z][a-z0-9-]{{0,19}})-({kinds})", name)
    return (match[1], match[2]) if match else None


def live_endpoint(stack: str, model: str) -> str:
    """The endpoint that serves a model in production."""
    return f"{token(stack)}-live-{model}"


def next_endpoint(stack: str, model: str) -> str:
    """The second place of a model's production endpoint; see `other_slot`."""
    return f"{token(stack)}-next-{model}"


def other_slot(stack: str, model: str, endpoint: str) -> str:
    """Where a release moves traffic to that `endpoint` answers now; "": nothing answers.

    A model has two names for its production endpoint, taken in turn: where SageMaker cannot
    change the one, the next release stands beside it under the other.
    """
    one = live_endpoint(stack, model)
    return next_endpoint(stack, model) if endpoint == one else one


def staging_endpoint(stack: str, model: str) -> str:
    """The endpoint that a release is tested on before production, and removes again."""
    return f"{token(stack)}-staging-{model}"


def release_prefix(stack: str, model: str, release: int) -> str:
    """What all names of one release begin with, at most 40 characters.

    It is itself the name of its execution, of its SageMaker Model and of its production
    EndpointConfig.
    """
    mark = token(stack)
    name = f"{mark}-{model}-r{release}"
    if len(name) <= RUN_PREFIX_LENGTH:
        return name
    return f"{mark}-{_short_hash(stack, model, release, 'release')}"


def release_of_name(stack: str, model: str, name: str) -> int | None:
    """The release that a Model or EndpointConfig (also a staging one) is of; None: of no such."""
    front = re.escape(f"{token(stack)}-{model}-r")
    match = re.fullmatch(rf"{front}([1-9][0-9]*)(-staging)?", name)
    return int(match[1]) if match else None


def staging_config(prefix: str) -> str:
    """The EndpointConfig of a release's staging endpoint."""
    return f"{prefix}-staging"


def release_job(prefix: str, step: str, retry: int) -> str:
    """A SageMaker job of the release that ``prefix`` belongs to; ``retry`` counts from 0."""
    if step not in RELEASE_STEPS:
        raise ValueError(f"{step!r} is no job of a release; known are {', '.join(RELEASE_STEPS)}")
    return f"{prefix}-{step}-{retry}"


def is_release_job_of(prefix: str, name: str) -> bool:
    """Whether a job belongs to exactly this release."""
    steps = "|".join(RELEASE_STEPS)
    return re.fullmatch(rf"{re.escape(prefix)}-({steps})-\d+", name) is not None


def guard_alarm(stack: str, model: str, release: int, kind: str) -> str:
    """The alarm of one of ``GUARD_KINDS`` on the fleet that a release brings."""
    if kind not in GUARD_KINDS:
        raise ValueError(f"{kind!r} is no guard; known are {', '.join(GUARD_KINDS)}")
    return f"{guard_prefix(stack, model)}{release}-{kind}"


def guard_prefix(stack: str, model: str) -> str:
    """What the names of a model's guard alarms begin with; other models' may too."""
    return f"{token(stack)}-guard-{model}-r"


def is_guard_of(stack: str, model: str, name: str) -> bool:
    """Whether an alarm guards a release of exactly this model."""
    kinds = "|".join(GUARD_KINDS)
    front = re.escape(guard_prefix(stack, model))
    return re.fullmatch(rf"{front}[1-9][0-9]*-({kinds})", name) is not None


def ab_config(stack: str, model: str, test: int) -> str:
    """The EndpointConfig of an A/B test, and the SageMaker Model of its challenger."""
    return f"{token(stack)}-{model}-ab{test}"


def ab_of_name(stack: str, model: str, name: str) -> int | None:
    """The A/B test that a Model or EndpointConfig is of; None: of no test of this model."""
    match = re.fullmatch(rf"{re.escape(f'{token(stack)}-{model}-ab')}([1-9][0-9]*)", name)
    return int(match[1]) if match else None


def ab_alarm(stack: str, model: str, test: int, kind: str) -> str:
    """The alarm of one of ``GUARD_KINDS`` on the challenger of an A/B test."""
    if kind not in GUARD_KINDS:
        raise ValueError(f"{kind!r} is no guard; known are {', '.join(GUARD_KINDS)}")
    return f"{ab_alarm_prefix(stack, model)}{test}-{kind}"


def ab_alarm_prefix(stack: str, model: str) -> str:
    """What the names of a model's challenger alarms begin with; other models' may too."""
    return f"{token(stack)}-guard-{model}-ab"


def parse_ab_alarm(name: str, mark: str) -> tuple[str, int] | None:
    """``(model, test)`` of a challenger's alarm of the stack with this token, or None."""
    kinds = "|".join(GUARD_KINDS)
    front = rf"{re.escape(mark)}-guard-([a-z][a-z0-9-]{{0,19}})-ab([1-9][0-9]*)"
    match = re.fullmatch(rf"{front}-({kinds})", name)
    return (match[1], int(match[2])) if match else None


def batch_mark(moment: datetime, salt: str) -> str:
    """What tells one batch from another: its UTC second and four hexadecimal digits."""
    return f"b{moment:%Y%m%d-%H%M%S}-{salt}"


def batch_name(stack: str, model: str, mark: str) -> str:
    """The transform job of a batch and its SageMaker Model; at most 53 characters."""
    return f"{token(stack)}-{model}-{mark}"


def is_batch_of(stack: str, model: str, name: str) -> bool:
    """Whether a transform job or SageMaker Model belongs to a batch of exactly this model."""
    return re.fullmatch(rf"{re.escape(f'{token(stack)}-{model}-')}{_BATCH}", name) is not None


def batch_base(model: str, mark: str) -> str:
    """The prefix, without a slash at its end, of what one batch has in the artifact bucket."""
    return f"batch/{model}/{mark}"


def landing_prefix(model: str) -> str:
    """Where producers put a model's data in the landing bucket."""
    return f"{INCOMING}{model}/"


def model_of_key(key: str) -> str | None:
    """The model that an object of the landing bucket belongs to, or None outside ``incoming/``."""
    if not key.startswith(INCOMING):
        return None
    model, slash, rest = key[len(INCOMING) :].partition("/")
    return model if slash and rest and is_model_name(model) else None


def code_key(model: str, code_sha: str) -> str:
    """Where a pushed code archive lies in the artifact bucket."""
    return f"code/{model}/{code_sha}.tar.gz"


def run_base(model: str, run: int) -> str:
    """The prefix, without a slash at its end, of what one run writes into the artifact bucket."""
    return f"runs/{model}/{run}"


def release_base(model: str, release: int) -> str:
    """The prefix, without a slash at its end, of what one release writes into that bucket."""
    return f"releases/{model}/{release}"


def models_prefix(model: str, run: int) -> str:
    """Where one run's training jobs put their model archives (no slash at the end)."""
    return f"models/{model}/{run}"


def manifest_key(model: str, run: int, digest: str) -> str:
    """Where a run's manifest lies; ``digest`` is the SHA-256 of its bytes, in hex."""
    return f"{run_base(model, run)}/manifest-{digest[:16]}.json"


def settings_key(model: str, run: int) -> str:
    """Where a run's effective settings lie."""
    return f"{run_base(model, run)}/settings.json"


def _base36(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text or "0"


def _short_hash(*parts: object) -> str:
    words = "\n".join(str(part) for part in parts)
    return hashlib.sha256(words.encode()).hexdigest()[:16]
