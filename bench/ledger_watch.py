"""The invariants of the ledger (DESIGN 5.2), held against the world's truth at every commit.

The watch knows nothing of the rules' modules: it restates each invariant in its own words over
rows and truth. A breach raises `Violation`, which no actor catches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from perennial.domain.ledger.rows import (
    Ending,
    Key,
    ModelRow,
    Row,
    RunRow,
    SettingsRow,
    SignalRow,
)
from perennial.domain.ledger.store import Change, RowT, Write

from bench.ledger_world import MODEL, Execution, World

DAY = 24 * 3600 * 1000
PK = f"model#{MODEL}"
REACHED = ("won", "lost")


class Violation(Exception):
    """An invariant does not hold."""


def must(condition: object, words: str) -> None:
    """Raise `Violation` unless the condition holds."""
    if not condition:
        raise Violation(words)


def of_kind(kind: type[RowT], row: Row | None, words: str) -> RowT:
    """The row, which must be there and of this kind."""
    if not isinstance(row, kind):
        raise Violation(words)
    return row


def ending_of(run: RunRow, words: str) -> Ending:
    """How a run ended, which must be recorded."""
    if run.ending is None:
        raise Violation(words)
    return run.ending


class Watch:
    """Sees every commit."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.admitted: Counter[str] = Counter()
        self.included: Counter[str] = Counter()
        self.freed: Counter[int] = Counter()
        self.opened: dict[int, int] = {}
        self.cooling_from = 0
        self.budget: dict[int, int] = {}
        self.champion_ms = 0
        self.opened_runs = 0
        self.outcomes: Counter[str] = Counter()

    # -- commits -------------------------------------------------------------------------

    def committed(self, changes: Sequence[Change], before: Mapping[Key, Row | None]) -> None:
        """Look at one transaction that took effect."""
        after = {each.key: each.row for each in changes if isinstance(each, Write)}
        for key, row in after.items():
            was = before[key]
            if row is not None:
                must(row.rev > (was.rev if was else 0), f"{key.sk}: rev does not grow")
                must(row.key == key, f"{key.sk}: a row in a foreign place")
        self._look_at_signals(after, before)
        for key, row in after.items():
            was = before[key]
            if isinstance(row, RunRow):
                self._look_at_run(row, was if isinstance(was, RunRow) else None, after)
            elif isinstance(row, ModelRow):
                self._look_at_model(row, was if isinstance(was, ModelRow) else None, after)
            elif isinstance(row, SettingsRow):
                must(was is None, "a settings version is written twice")
                signals = [r for r in after.values() if isinstance(r, SignalRow)]
                told = any(s.kind == "code" and s.parts == (str(row.version),) for s in signals)
                must(told, "a version without its code signal")

    def _look_at_signals(
        self, after: Mapping[Key, Row | None], before: Mapping[Key, Row | None]
    ) -> None:
        for key, row in after.items():
            was = before[key]
            if isinstance(row, SignalRow):
                other = Key(PK, ("done#" if key.sk.startswith("open#") else "open#") + row.id)
                must(self.world.store.peek(other) is None, f"{row.id} lies in two places")
                moved = before.get(other)
                origin = was if isinstance(was, SignalRow) else moved
                self._signal_changed(row, origin if isinstance(origin, SignalRow) else None)
            elif row is None and isinstance(was, SignalRow):
                place = ("done#" if key.sk.startswith("open#") else "open#") + was.id
                must(after.get(Key(PK, place)) is not None, f"{was.id} is dropped")

    def _signal_changed(self, row: SignalRow, was: SignalRow | None) -> None:
        if was is None or (not was.is_open and row.is_open):
            self._admitted(row, was)
            return
        if row.state == "claimed":
            must(was.state in ("pending", "held"), f"{was.state} is claimed")
            self._tagged(row)
        elif row.state == "consumed":
            self._consumed(row, was)
        elif row.state == "quarantined":
            must(self._is_bad(row), f"{row.parts} is quarantined, but good")
            run = self.run(row.run)
            must(row.id in self._manifest(run), "what no run read is quarantined")
            must(row.reason and row.first_bad, "a quarantine without reason or first bad lines")
        elif row.state == "excluded" and was.state == "claimed":
            must(row.reason.startswith("outside the data window"), "a run excludes what it reads")
            opened_ms = self.run(was.run).opened_ms
            must(
                self._was_current(row, opened_ms),
                f"{row.parts} is outside the window, but was not current when its run opened",
            )
            must(not self._in_window(row), f"{row.parts} is excluded, but in the data window")
        elif row.state in ("superseded", "withdrawn"):
            must(not self._is_current(row), f"{row.parts} is {row.state}, but current")
            must(was.state != "consumed", "a consumed signal becomes another")
        elif row.state in ("pending", "held"):
            must(was.state == "claimed" or row.kind == "data", "settled, though no run claimed it")
            ending = ending_of(self.run(row.run), "a signal returns from a run without an ending")
            if row.state == "held":
                must(row.reason, "a hold without a reason")
                must(ending.outcome not in REACHED, "a verdict holds signals back")

    def _admitted(self, row: SignalRow, was: SignalRow | None) -> None:
        if row.state == "quarantined":
            must(self._is_bad(row), "a good object is quarantined unseen")
            self.admitted[row.id] += 1
            return
        if row.state == "excluded" or not row.is_open:
            must(row.state in ("excluded", "superseded", "withdrawn"), f"born {row.state}")
            self.admitted[row.id] += 1
            return
        if row.state == "claimed":
            must(was is not None and was.state == "excluded", "a signal is born in a run")
            must(self._in_window(row), f"{row.parts} comes back, but is outside the data window")
            must(self.run(row.run).state == "opening", "a run takes in more than it claimed")
            self.admitted[row.id] += 1
            self.included[row.id] += 1
            return
        must(row.state == "pending", f"a signal is born {row.state}")
        if was is not None and was.state in ("excluded", "quarantined"):
            self.included[row.id] += 1
        self.admitted[row.id] += 1
        times = self.admitted[row.id] - self.included[row.id]
        forgotten = was is not None and was.expires is not None
        must(times == 1 or forgotten, f"{row.kind} {row.parts} counts {times} times")

    def _tagged(self, row: SignalRow) -> None:
        run = self.run(row.run)
        model = self._model()
        must(model.open_run == row.run, "a signal is tagged for a run that does not hold its model")
        must(run.state == "opening" and run.ending is None, "a signal is tagged after the opening")
        overrides = row.evidence.get("overrides", {})
        if overrides:
            must(dict(run.overrides) == overrides, "a run has other overrides than its signal")
        else:
            must(not run.overrides or run.retry_of, "a run with overrides takes others along")
        if row.kind == "code":
            must(int(row.parts[0]) <= run.settings, "a run claims settings that it has not")

    def _consumed(self, row: SignalRow, was: SignalRow) -> None:
        run = self.run(row.run)
        ending = ending_of(run, f"{row.kind} consumed by a run without an ending")
        must(ending.outcome in REACHED, f"{row.kind} consumed without verdict")
        must(self._reached_verdict(run), "consumed by a run whose execution reached no verdict")
        if row.kind == "data":
            must(row.id in self._manifest(run), f"{row.parts} consumed, but not in the dataset")
            must(was.state == "claimed" or not run.overrides, "an experiment consumes data")
        else:
            must(was.state == "claimed" and was.run == row.run, "consumed without a claim")
        if row.kind == "code":
            must(run.settings >= int(row.parts[0]), "code consumed by a run with older settings")
        if row.kind == "manual":
            must(dict(run.overrides) == row.evidence.get("overrides", {}), "other overrides")

    def _look_at_run(
        self, run: RunRow, was: RunRow | None, after: Mapping[Key, Row | None]
    ) -> None:
        if was is None:
            self._opened(run, after)
            return
        order = ["opening", "claimed", "started", "ended"]
        must(order.index(run.state) >= order.index(was.state), "a run goes backwards")
        must(was.state != "ended" or run.notified, "an ended run changes")
        if was.ending is not None:
            must(run.ending == was.ending, "an ending changes")
            must(run.state in (was.state, "ended"), "a run goes on after its ending")
        if run.state == "ended" and was.state != "ended":
            must(isinstance(after.get(Key(PK, "model")), ModelRow), "a run ends, but frees nothing")
            self.outcomes[str(run.outcome)] += 1
        if was.manifest is not None:
            must(run.manifest == was.manifest and run.input == was.input, "a claim changes")

    def _opened(self, run: RunRow, after: Mapping[Key, Row | None]) -> None:
        must(run.state == "opening", "a run is born past its opening")
        model = of_kind(ModelRow, after.get(Key(PK, "model")), "a run without model")
        must(model.open_run == run.number, "a run without model")
        must(not self._open_runs(but=run.number), "two runs at once")
        must(run.number == len(self.opened) + 1, "a run's number is left out or comes twice")
        self.opened[run.number] = run.opened_ms
        self.opened_runs += 1
        must(model.paused is None, "a paused model opens a run")
        self._look_at_pace(run, model)
        self.budget[run.number] = run.opened_ms

    def _look_at_pace(self, run: RunRow, model: ModelRow) -> None:
        """Quiet period, longest wait, cool-down and budget hold; a person's request passes."""
        now, limits = run.opened_ms, self.world.limits
        signals = [r for r in self.world.store.peek_all(PK, "open#") if isinstance(r, SignalRow)]
        if run.retry_of is not None or run.overrides:
            return
        common = [s for s in signals if not s.evidence.get("overrides")]
        if any(s.kind == "manual" and s.state == "pending" for s in common):
            return
        if not common:
            return  # it was excluded or overwritten while the opener slept; the run ends at once
        openers = [s for s in common if s.state == "pending" and s.kind != "drift"]
        if not openers and not any(s.state == "held" for s in common):
            self._drift_may_open(model, common)
        cooled = not self.cooling_from or now >= self.cooling_from + limits.cool_down_ms
        must(cooled, "a run opens within the cool-down")
        recent = [at for at in self.budget.values() if at > now - DAY]
        must(len(recent) < limits.max_runs_per_day, "a run opens beyond the budget")
        must(now >= model.not_before_ms, "a run opens within the pause after a failure")
        # What was admitted after the decision, while its opener slept, did not count yet.
        fresh = [s for s in common if s.run is None and s.state == "pending"]
        fresh = [s for s in fresh if s.admitted_ms < now or s.kind == "code"]
        sure = [s for s in fresh if s.kind != "drift"]
        if sure and not any(s.kind == "code" for s in fresh):
            moments = [s.admitted_ms for s in sure]
            quiet = now >= max(moments) + limits.quiet_ms
            long = now >= min(s.admitted_ms for s in fresh) + limits.max_wait_ms
            must(quiet or long, "a run opens within the quiet period")

    def _drift_may_open(self, model: ModelRow, signals: Sequence[SignalRow]) -> None:
        if model.champion is None:
            return
        trained = self.run(model.champion.run)
        newer = model.settings > trained.settings
        learned = any(
            number > trained.number and self._reached_verdict(self.run(number))
            for number in self.opened
        )
        data = any(s.kind in ("data", "review") for s in signals)
        must(newer or learned or data, "an alarm opens a run with nothing new to learn")

    def _look_at_model(
        self, row: ModelRow, was: ModelRow | None, after: Mapping[Key, Row | None]
    ) -> None:
        must(row.model == MODEL, "a row of another model")
        if was is None:
            return
        must(row.last_run >= was.last_run and row.settings >= was.settings, "counters shrink")
        if was.open_run is not None and row.open_run != was.open_run:
            self._freed(was.open_run, row, after)
        if row.champion != was.champion and row.removed_ms is None and row.champion is not None:
            must(row.champion.since_ms >= self.champion_ms, "an older approval wins")
            self.champion_ms = row.champion.since_ms
        elif row.champion is None:
            self.champion_ms = 0

    def _freed(self, number: int, row: ModelRow, after: Mapping[Key, Row | None]) -> None:
        must(row.open_run is None, "a run takes over a model that is not free")
        self.freed[number] += 1
        must(self.freed[number] == 1, f"run {number} frees the model twice")
        row_of_run = after.get(Key(PK, f"run#{number:06d}"))
        run = of_kind(RunRow, row_of_run, "freed, but its run has not ended")
        must(run.state == "ended", "freed, but its run has not ended")
        for signal in self.world.store.peek_all(PK, "open#"):
            lost = isinstance(signal, SignalRow) and signal.state == "claimed"
            must(not lost, "freed, but signals are still claimed")
        execution = self.world.executions.get(run.execution)
        if execution is not None and not execution.redriven:
            # One that a sleeping opener starts after the ending was recorded, in the moment
            # before the model is freed, still ends at its claim check.
            works = execution.past_claim and not execution.is_over
            must(not works, f"run {number} is freed while its execution works")
            must(not execution.jobs, f"run {number} is freed while its jobs work")
        must(number in row.notices, f"nobody will be told of run {number}")
        if ending_of(run, "freed without an ending").ran:
            self.cooling_from = run.ended_ms or 0
        else:
            self.budget.pop(number, None)

    # -- executions ------------------------------------------------------------------------

    def passed_claim(self, execution: Execution) -> None:
        """An execution goes past its claim check."""
        others = [
            each
            for each in self.world.executions.values()
            if each.past_claim and not each.is_over and not each.redriven and each is not execution
        ]
        must(not others, "two executions of one model work at once")
        must("by-hand" not in execution.name, "an execution started by hand passes the claim check")

    def registered(self, execution: Execution) -> None:
        """An execution is about to register a version."""
        model = self._model()
        run = self.run(model.open_run)
        must(run.execution == execution.arn, "a run that does not hold the model registers")
        must(run.ending is None, "a run registers after its ending")

    # -- truth -----------------------------------------------------------------------------

    def _model(self) -> ModelRow:
        row = self.world.store.peek(Key(PK, "model"))
        return of_kind(ModelRow, row, "the model's row is gone")

    def run(self, number: int | None) -> RunRow:
        """A run's row, which must be there."""
        row = self.world.store.peek(Key(PK, f"run#{number or 0:06d}"))
        return of_kind(RunRow, row, f"run {number} does not exist")

    def _open_runs(self, but: int) -> bool:
        runs = self.world.store.peek_all(PK, "run#")[-3:]
        return any(isinstance(r, RunRow) and r.state != "ended" and r.number != but for r in runs)

    def _manifest(self, run: RunRow) -> frozenset[str]:
        return self.world.manifests[run.manifest.uri].ids if run.manifest else frozenset()

    def _reached_verdict(self, run: RunRow) -> bool:
        execution = self.world.executions.get(run.execution)
        return execution is not None and execution.passed is not None

    def _is_bad(self, row: SignalRow) -> bool:
        history = self.world.objects.get(row.parts[1], [])
        return any(s.bad for s in history if s.version.version_id == row.parts[2])

    def _in_window(self, row: SignalRow) -> bool:
        """Whether the settings of a signal's run take data of its age: see `window_of`."""
        run = self.run(row.run)
        history = self.world.objects.get(row.parts[1], [])
        landed = [
            s.version.last_modified_ms for s in history if s.version.version_id == row.parts[2]
        ]
        return run.settings % 2 == 1 or landed[0] >= run.opened_ms - 2 * 3600 * 1000

    def _was_current(self, row: SignalRow, at_ms: int) -> bool:
        """Whether nothing had come after it by then: a listing is of one moment of its run."""
        history = self.world.objects[row.parts[1]]
        place = next(i for i, each in enumerate(history) if each.version.parts == row.parts)
        return all(
            each.version.last_modified_ms >= at_ms for each in history[place + 1 : place + 2]
        )

    def _is_current(self, row: SignalRow) -> bool:
        history = self.world.objects.get(row.parts[1], [])
        return bool(history) and history[-1].version.version_id == row.parts[2]

    # -- the end of a history --------------------------------------------------------------

    def accounted_for(self, *, at_rest: bool = False) -> None:
        """Invariant 1: every object version that landed and matches has exactly one fate.

        At rest none is pending that is gone (before, one may have just come back from its run).
        """
        model = self.world.store.peek(Key(PK, "model"))
        if model is None:
            return  # its push died on the way; nothing is known of the model
        rows: dict[str, SignalRow] = {}
        for prefix in ("open#", "done#"):
            for each in self.world.store.peek_all(PK, prefix):
                signal = of_kind(SignalRow, each, "no signal in a signal's place")
                rows[signal.id] = signal
        for version, is_current, _ in self.world.all_versions():
            if not version.key.endswith(".csv"):
                must(version.id not in rows, f"{version.key} is not selected, but admitted")
                continue
            lost = f"{version.key} {version.version_id} is lost"
            row = of_kind(SignalRow, rows.get(version.id), lost)
            if row.state == "excluded":
                must(row.reason, f"{version.key} is excluded without a reason")
            if row.state == "pending" and at_rest:
                must(is_current, f"{version.key} {version.version_id} waits, but is gone")
