"""The ledger's rows. Every row belongs to a model and carries ``rev``, which grows by each write.

Times are integer milliseconds since 1970 UTC (``_ms``); ``expires`` alone is in seconds, as
DynamoDB's time to live wants it. Nothing is a float. A signal lives in exactly one of ``open#``
(not finally settled) and ``done#``; its ``rev`` keeps growing when it moves between them, so that
nobody who read it before can write to it after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from perennial.domain.ledger.ab_rows import AbTest
from perennial.domain.ledger.move_rows import EndpointKind, Move
from perennial.domain.signals import Signal

if TYPE_CHECKING:
    from perennial.domain.ledger.monitor_rows import MonitorRow, WindowRow

MODEL_SK = "model"
SETTINGS_SK = "settings#"
RUN_SK = "run#"
RELEASE_SK = "release#"
OPEN_SK = "open#"
DONE_SK = "done#"

OpenState = Literal["pending", "held", "claimed"]
DoneState = Literal["consumed", "quarantined", "superseded", "withdrawn", "excluded"]
RunState = Literal["opening", "claimed", "started", "ended"]
Outcome = Literal["won", "lost", "refused", "failed", "stopped", "not_claimed"]
ReleaseKind = Literal["approval", "again", "rollback", "adopt"]
ReleaseState = Literal["opening", "started", "ended"]
ReleaseOutcome = Literal[
    "released", "rolled_back", "failed", "withdrawn", "stale", "superseded", "stopped"
]

#: A run with one of these has reached its verdict.
VERDICTS: tuple[Outcome, ...] = ("won", "lost")


class Key(NamedTuple):
    """Where a row lies."""

    pk: str
    sk: str


def model_pk(model: str) -> str:
    """The partition that holds every row of a model."""
    return f"model#{model}"


def model_key(model: str) -> Key:
    """The key of the model's own row."""
    return Key(model_pk(model), MODEL_SK)


def settings_key(model: str, version: int) -> Key:
    """The key of one settings version."""
    return Key(model_pk(model), f"{SETTINGS_SK}{version:06d}")


def run_key(model: str, run: int) -> Key:
    """The key of one run."""
    return Key(model_pk(model), f"{RUN_SK}{run:06d}")


def release_key(model: str, release: int) -> Key:
    """The key of one release."""
    return Key(model_pk(model), f"{RELEASE_SK}{release:06d}")


def open_key(model: str, signal_id: str) -> Key:
    """The key of a signal that is not settled."""
    return Key(model_pk(model), OPEN_SK + signal_id)


def done_key(model: str, signal_id: str) -> Key:
    """The key of a signal's final row."""
    return Key(model_pk(model), DONE_SK + signal_id)


@dataclass(frozen=True)
class Paused:
    """Who paused a model, when and why."""

    by: str
    because: str
    since_ms: int


@dataclass(frozen=True)
class Champion:
    """The version recorded as live. ``since_ms``: when a person or the policy decided so: its
    approval, or the request for its rollback, repetition or adoption."""

    version: int
    arn: str
    digest: str
    run: int
    settings: int
    since_ms: int


@dataclass(frozen=True)
class Live:
    """A confirmed production configuration: ``config`` is what ``endpoint`` was seen to serve.

    ``release`` made it live with ``version`` (``arn``), of ``run``; it was confirmed at
    ``since_ms``. ``digest`` and ``settings`` are those of the champion that it serves.
    ``captured``: the percentage of its requests that `predict` records, for SageMaker does not.
    """

    endpoint: str
    config: str
    release: int
    version: int
    arn: str
    since_ms: int
    run: int = 0
    digest: str = ""
    settings: int = 0
    kind: EndpointKind = "instances"
    captured: int = 0


@dataclass(frozen=True)
class Wanted:
    """A version that a decision wants in production: what a release is opened for.

    ``decided_ms`` orders decisions: the newest wins. ``run`` registered the version, by
    ``settings``. ``config``: the configuration to go back to, of a rollback alone.
    """

    kind: ReleaseKind
    version: int
    arn: str
    decided_ms: int
    run: int = 0
    settings: int = 0
    digest: str = ""
    by: str = ""
    because: str = ""
    config: str = ""


@dataclass(frozen=True)
class Retry:
    """A person's request to repeat run ``run``; it waits on the model row until a run opens."""

    run: int
    by: str
    because: str
    not_before_ms: int = 0


@dataclass(frozen=True)
class ClosedEvidence:
    """An alarm whose last run kept the champion: that run, its settings, and the present hold."""

    alarm: str
    run: int
    settings: int
    hold_ms: int
    until_ms: int


@dataclass(frozen=True)
class ModelRow:
    """What the ledger knows about a model as a whole.

    ``settings`` and ``last_run`` only ever grow, also across ``perennial remove`` (a removed
    model leaves this row behind for a while): names of executions may not come twice.
    """

    model: str
    rev: int = 0
    settings: int = 0
    paused: Paused | None = None
    last_run: int = 0
    open_run: int | None = None
    #: When the last run that had started ended; the cool-down counts from here.
    ended_ms: int = 0
    #: When runs were opened, within the last 24 hours.
    opened_ms: tuple[int, ...] = ()
    transient_failures: int = 0
    #: The pause after a transient failure.
    not_before_ms: int = 0
    #: When the wake message that is under way is due.
    wake_ms: int = 0
    #: Whether any data is known; without it nothing can be trained.
    has_data: bool = False
    #: The last run that reached a verdict on data which no run had seen before.
    data_run: int = 0
    #: When the newest known labels of captured traffic landed; runs below `labels_run` lack them.
    labels_ms: int = 0
    labels_run: int = 0
    champion: Champion | None = None
    retry: Retry | None = None
    closed: tuple[ClosedEvidence, ...] = ()
    #: Runs that ended and whose notice is not sent yet.
    notices: tuple[int, ...] = ()
    #: Where the sweeper's listing goes on (opaque; empty: from the start).
    cursor: str = ""
    removed_ms: int | None = None
    expires: int | None = None
    last_release: int = 0
    open_release: int | None = None
    #: The newest decision that was ever heard of: its time and its version. Older ones are late.
    decided_ms: int = 0
    decided_version: int = 0
    #: What goes next, as soon as the open release has ended.
    waiting: Wanted | None = None
    live: Live | None = None
    #: The last good configuration before ``live``: where a rollback goes.
    previous: Live | None = None
    #: Releases that ended and whose notice is not sent yet.
    release_notices: tuple[int, ...] = ()
    #: The release for which the endpoint's scaling was set last, and why it could not be since.
    scaled: int = 0
    scaling_words: str = ""
    last_ab: int = 0
    #: The open A/B test, and the last ones that ended, in order.
    ab: AbTest | None = None
    ended_abs: tuple[AbTest, ...] = ()
    #: Traffic on its way to a second endpoint, by the open release.
    move: Move | None = None

    @property
    def key(self) -> Key:
        """Where this row lies."""
        return model_key(self.model)


@dataclass(frozen=True)
class SettingsRow:
    """One published version of ``model.yaml`` (``settings``: its validated form as JSON)."""

    model: str
    version: int
    code: str
    code_sha: str
    settings: str
    pushed_ms: int
    pushed_by: str
    rev: int = 0

    @property
    def key(self) -> Key:
        """Where this row lies."""
        return settings_key(self.model, self.version)


@dataclass(frozen=True)
class SignalRow:
    """A signal and what became of it.

    ``run``: the run that claims it, or the last one that did. ``held_settings``: the settings
    version when it was put on hold, for newer settings release it.
    """

    model: str
    id: str
    kind: str
    parts: tuple[str, ...]
    evidence: Mapping[str, Any]
    admitted_ms: int
    state: OpenState | DoneState = "pending"
    reason: str = ""
    run: int | None = None
    held_ms: int = 0
    held_settings: int = 0
    settled_ms: int | None = None
    first_bad: tuple[str, ...] = ()
    expires: int | None = None
    rev: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it is not finally settled."""
        return self.state in ("pending", "held", "claimed")

    @property
    def key(self) -> Key:
        """Where this row lies, by its state."""
        make = open_key if self.is_open else done_key
        return make(self.model, self.id)

    @property
    def overrides(self) -> Mapping[str, str]:
        """What ``retrain --set`` asked for; empty for every other signal."""
        return self.evidence.get("overrides") or {}

    @property
    def signal(self) -> Signal:
        """The signal as it was admitted."""
        return Signal(self.model, self.kind, self.parts, self.evidence)


@dataclass(frozen=True)
class ManifestRef:
    """Where a run's manifest lies and how much it lists."""

    uri: str
    digest: str
    objects: int
    bytes: int


@dataclass(frozen=True)
class Verdict:
    """The judgement of a run's candidate; ``figures``, ``paired`` (`retrain_history`) are JSON."""

    uri: str
    digest: str
    passed: bool
    words: str = ""
    figures: str = "{}"
    paired: str = ""


@dataclass(frozen=True)
class Version:
    """The model package that a run registered.

    ``words``: who or what decided on its status, and why; also of a person who overruled a verdict.
    """

    number: int
    arn: str
    status: str
    words: str = ""


@dataclass(frozen=True)
class FinishedStep:
    """A step that a run finished itself, for later runs to find again by its key.

    ``place``: the prefix below which its outputs lie. ``artifact``: the model archive, of training.
    """

    step: str
    key: str
    job: str
    place: str
    artifact: str = ""
    ended_ms: int = 0


@dataclass(frozen=True)
class StopRequest:
    """Who asked a run to stop, and why."""

    by: str
    because: str


@dataclass(frozen=True)
class Ending:
    """How a run ended, written once before its signals are settled: all who settle use it.

    ``words`` is what signals that go on hold show as their reason. ``ran``: an execution was
    started. ``empty``: the run found no data at all.
    """

    outcome: Outcome
    words: str
    ran: bool = True
    transient: bool = False
    error: str = ""
    cause: str = ""
    empty: bool = False
    at_ms: int = 0


@dataclass(frozen=True)
class RunRow:
    """One run. ``alone`` is the id of the one signal that a run with overrides serves."""

    model: str
    number: int
    settings: int
    opened_ms: int
    state: RunState = "opening"
    overrides: Mapping[str, str] = field(default_factory=dict)
    alone: str = ""
    retry_of: int | None = None
    because: tuple[str, ...] = ()
    #: How many claimed signals bring labelled rows that no run has seen (data, review).
    fresh: int = 0
    #: The alarms among the claimed signals.
    alarms: tuple[str, ...] = ()
    input: str = ""
    manifest: ManifestRef | None = None
    execution: str = ""
    claimed_ms: int | None = None
    started_ms: int | None = None
    stop: StopRequest | None = None
    ending: Ending | None = None
    ended_ms: int | None = None
    outcome: Outcome | None = None
    error: str = ""
    cause: str = ""
    verdict: Verdict | None = None
    version: Version | None = None
    #: Integers and short texts of the check's summary: rows, objects, refused, reason.
    check: Mapping[str, Any] = field(default_factory=dict)
    #: What was planned at its start: keys and places of its steps, as JSON text.
    plan: str = ""
    steps: tuple[FinishedStep, ...] = ()
    notified: bool = False
    rev: int = 0

    @property
    def key(self) -> Key:
        """Where this row lies."""
        return run_key(self.model, self.number)


@dataclass(frozen=True)
class ReleaseEnding:
    """How a release ended, written once, before its remains are removed.

    ``config``: what the live endpoint was seen to serve at that time (empty: no endpoint).
    """

    outcome: ReleaseOutcome
    words: str
    error: str = ""
    cause: str = ""
    config: str = ""
    at_ms: int = 0


@dataclass(frozen=True)
class ReleaseRow:
    """One release: one execution of the release machine, or an adoption.

    ``settings``: the settings version whose release section counts, the newest at its opening.
    ``trained``: the one that its version was trained with. ``decided_ms``: when the decision was
    made that it carries out. ``config``: the configuration that production is asked to take.
    ``before``: what was live when it was opened.
    """

    model: str
    number: int
    kind: ReleaseKind
    version: int
    arn: str
    settings: int
    decided_ms: int
    opened_ms: int
    run: int = 0
    trained: int = 0
    digest: str = ""
    by: str = ""
    because: str = ""
    state: ReleaseState = "opening"
    input: str = ""
    execution: str = ""
    endpoint: str = ""
    config: str = ""
    before: Live | None = None
    #: Of what kind ``endpoint`` is to be, whether traffic goes over to it from another endpoint (or
    #: from none), and the percentage of its requests that `predict` records.
    endpoint_kind: EndpointKind = "instances"
    moves: bool = False
    captured: int = 0
    started_ms: int | None = None
    #: When production was about to be changed; from here on a withdrawal comes too late.
    updating_ms: int | None = None
    endpoint_ms: int | None = None  #: when the endpoint had last changed by then; None: had none
    #: Since when a person is asked, and the task token that the answer goes to.
    asked_ms: int | None = None
    token: str = ""
    #: Who let it into production, and why.
    approved_by: str = ""
    stop: StopRequest | None = None
    #: Whether ``stop`` came of the version's approval being taken back.
    is_withdrawn: bool = False
    ending: ReleaseEnding | None = None
    ended_ms: int | None = None
    outcome: ReleaseOutcome | None = None
    words: str = ""
    error: str = ""
    cause: str = ""
    #: Whole numbers and short texts: what its smoke test found, whether it was judged again.
    figures: Mapping[str, Any] = field(default_factory=dict)
    notified: bool = False
    rev: int = 0

    @property
    def key(self) -> Key:
        """Where this row lies."""
        return release_key(self.model, self.number)


Row: TypeAlias = "ModelRow | SettingsRow | SignalRow | RunRow | ReleaseRow | MonitorRow | WindowRow"
