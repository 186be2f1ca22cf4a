"""A storm of events over several models on a running stack, with every fault of the local cloud on.

What happens is chosen by a seeded generator: puts, overwrites, deletes, bad objects, folder marks,
objects of unknown models and outside the pattern, duplicates, reordering, delay, throttling,
objects that no event announces, pushes, pause and resume, requests by hand, schedules, alarms,
reviews, wakes, poison. Few runs come of it: each model gathers its events for a quiet period.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from typing import Any

from perennial.aws.clients import client
from perennial.describe_model import describe_model
from perennial.domain.errors import PerennialError
from perennial.pause_model import pause_model
from perennial.request_retrain import request_retrain
from perennial.resume_model import resume_model

from tests.functional.stack.faults import cheap
from tests.functional.stack.faults.stack import Stack, wait_for

WEATHER = {
    "duplicates": 0.2,
    "reorder": 0.2,
    "delay_ms": 20,
    "throttle": {"dynamodb": 0.01, "sqs": 0.01, "s3": 0.005, "states": 0.05, "sns": 0.1},
}
# Why runs wait differs from model to model: cool-down, budget, a pause, or just the quiet period.
LIMITS: dict[str, dict[str, Any]] = {
    "cooling": {"quiet_period": "2s", "max_wait": "20s", "cool_down": "1h"},
    "budget": {"quiet_period": "2s", "max_wait": "20s", "max_runs_per_day": 2},
    "paused": {"quiet_period": "2s", "max_wait": "20s"},
    "quick": {"quiet_period": "7s", "max_wait": "30s", "cool_down": "2s"},
}
# Waits of the services pass so much faster; the functions' own do not, so that a wake which is
# sent for the end of a quiet period comes too early this many times.
STORM_CLOCK, CALM_CLOCK = 24, 200
# How often each kind of event comes, of a thousand.
KINDS = {
    "put": 560,
    "overwrite": 120,
    "delete": 60,
    "bad": 40,
    "stranger": 20,
    "schedule": 60,
    "alarm": 30,
    "review": 30,
    "manual": 8,
    "wake": 40,
    "pause": 8,
    "push": 8,
    "poison": 4,
    "silent": 8,
    "sweep": 4,
}
SILENT_FOR = 8  # objects without an event, one after the other
SENDERS = 8


@dataclass
class Storm:
    """So many events over some models."""

    stack: Stack
    events: int
    models: list[str]
    seed: int = 1
    sent: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.keys: dict[str, list[str]] = {model: [] for model in self.models}

    @classmethod
    def over_fresh_models(cls, stack: Stack, events: int, seed: int = 1) -> Storm:
        """A storm over one model of each kind."""
        models = [stack.models(kind, 1, **limits)[0] for kind, limits in LIMITS.items()]
        stack.everybody()
        return cls(stack, events, models, seed)

    def blow(self) -> None:
        """Send everything; the weather stays on until the end."""
        began = time.monotonic()
        self.stack.clock(STORM_CLOCK)
        pause_model(self.stack.ports, self.models[2], by="a test", because="the storm")
        self.stack.cloud.faults(**WEATHER, seed=self.seed)
        kinds = self.random.choices(list(KINDS), list(KINDS.values()), k=self.events)
        with ThreadPoolExecutor(SENDERS) as pool:
            batch: list[Any] = []
            for kind in kinds:
                if kind in ("silent", "push", "pause"):
                    for each in batch:
                        each.result()
                    batch = []
                    getattr(self, f"_{kind}")(self._model())
                else:
                    batch.append(pool.submit(getattr(self, f"_{kind}"), self._model()))
            for each in batch:
                each.result()
        self.sent.update(kinds)
        self.seconds = time.monotonic() - began

    def _model(self) -> str:
        return self.random.choice(self.models)

    def _land(self, model: str, key: str) -> None:
        repeated(lambda: cheap.land(self.stack.ports, model, key, uuid.uuid4().bytes))

    def _send(self, body: str) -> None:
        repeated(lambda: self.stack.ports.signals.send_text(body))

    def _put(self, model: str) -> None:
        key = f"{self.random.randrange(10**9)} é+%.csv"
        self.keys[model].append(key)
        self._land(model, key)

    def _overwrite(self, model: str) -> None:
        if self.keys[model]:
            self._land(model, self.random.choice(self.keys[model]))
        else:
            self._put(model)

    def _delete(self, model: str) -> None:
        if self.keys[model]:
            key = self.random.choice(self.keys[model])
            repeated(lambda: cheap.remove(self.stack.ports, model, key))
        else:
            self._put(model)

    def _bad(self, model: str) -> None:
        self._land(model, f"bad-{self.random.randrange(10**6)}.csv")

    def _stranger(self, model: str) -> None:
        """What must not count: another kind of file, a folder's mark, an unknown model."""
        key = self.random.choice(["notes.txt", "folder/"])
        self._land(model, key)
        self._land("nobody", "a.csv")

    def _schedule(self, model: str) -> None:
        moment = f"2026-11-21T{self.random.randrange(24):02d}:{self.random.randrange(60):02d}:00Z"
        self._send(cheap.message("schedule", model, schedule="nightly", scheduled=moment))

    def _alarm(self, model: str) -> None:
        name = f"{self.stack.ports.deployment.token}-monitor-{model}-drift"
        stamp = f"2026-11-21T01:{self.random.randrange(60):02d}:00.000+0000"
        detail = {"alarmName": name, "state": {"value": "ALARM", "timestamp": stamp}}
        kind = "CloudWatch Alarm State Change"
        self._send(json.dumps({"source": "aws.cloudwatch", "detail-type": kind, "detail": detail}))

    def _review(self, model: str) -> None:
        version = str(self.random.randrange(20))
        self._send(cheap.message("review", model, version=version, answers=10))

    def _manual(self, model: str) -> None:
        token = f"t{self.random.randrange(50)}"
        overrides = {"gates.rmse.max": "6"} if self.random.random() < 0.3 else {}
        repeated(lambda: request_retrain(self.stack.ports, model, "the storm", overrides, token))

    def _wake(self, model: str) -> None:
        self._send(cheap.message("wake", model, due_ms=0))

    def _pause(self, model: str) -> None:
        ports = self.stack.ports
        if self.random.random() < 0.5:
            repeated(lambda: pause_model(ports, model, by="a test", because="the storm"))
        else:
            repeated(lambda: resume_model(ports, model))

    def _push(self, model: str) -> None:
        limits = LIMITS[model.partition("-")[0]]
        repeated(lambda: cheap.publish(self.stack.ports, model, limits, self._mark()))

    def _mark(self) -> str:
        return self.random.choice("ABC")

    def _poison(self, _: str) -> None:
        self._send(self.random.choice(["no json", "{}", '{"perennial": "manual"}', "[1]"]))

    def _silent(self, model: str) -> None:
        """Objects whose events are lost on the way."""
        self.stack.switch("DataLandedRule", on=False)
        for number in range(SILENT_FOR):
            self._land(model, f"silent-{self.random.randrange(10**9)}-{number}.csv")
        self.stack.cloud.idle(60, IGNORED)
        self.stack.switch("DataLandedRule", on=True)

    def _sweep(self, _: str) -> None:
        self.stack.sweep_beside()

    def calm(self) -> None:
        """End the storm: everybody may run again, and what is under way comes to its end."""
        self.stack.cloud.faults()
        self.stack.clock(CALM_CLOCK)
        for model in self.models:
            resume_model(self.stack.ports, model)
        self.stack.rest(180)
        quick = self.models[-1]
        self.stack.sweep()
        wait_for(f"rest of {quick}", lambda: self._is_quiet(quick), 240)

    def _is_quiet(self, model: str) -> bool:
        row = describe_model(self.stack.ports, model)
        return row.open_run is None and not row.pending


# What may be under way while only the delivery of events is waited for.
IGNORED = (
    "asynchronous invocations",
    "batches",
    "delayed messages",
    "executions",
    "invocations",
    "jobs",
    "queued messages",
    "schedule deliveries",
)


def repeated(work: Any) -> Any:
    """What people and producers do when AWS is slow: the same again."""
    for attempt in range(8):
        try:
            return work()
        except (PerennialError, client("s3").exceptions.ClientError):
            if attempt == 7:
                raise
            time.sleep(0.1 * 2**attempt)
    return None
