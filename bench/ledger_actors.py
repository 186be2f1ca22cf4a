"""Who works on the ledger, as generators that pause around each effect.

The functions of production do the same with the same rules (`perennial.advance` and its
neighbours); here every pause is a place where an actor may die, or sleep while others go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from perennial.domain import naming
from perennial.domain.errors import Conflict, NotAllowed, NotClaimed, Rejected, Unavailable
from perennial.domain.ledger import commands, ending, opening, settling, waking
from perennial.domain.ledger.admit import admit, observe_old, read_known
from perennial.domain.ledger.book import Book, read_book
from perennial.domain.ledger.champion import record_champion
from perennial.domain.ledger.claims import check_claim, record_version
from perennial.domain.ledger.holding import Waiting
from perennial.domain.ledger.rows import (
    DONE_SK,
    Champion,
    ManifestRef,
    ModelRow,
    RunRow,
    SettingsRow,
    SignalRow,
    Version,
    done_key,
    run_key,
    settings_key,
)
from perennial.domain.ledger.store import (
    Transaction,
    change,
    read_model,
    read_run,
    read_signal,
    read_signals,
)
from perennial.domain.manifest import build, is_selected
from perennial.domain.settings import Window
from perennial.domain.signals import (
    DATA,
    ObjectVersion,
    Signal,
    Wake,
    data_signal,
    manual_signal,
    parse_signal,
)
from perennial.domain.window import span_of

from bench.ledger_world import (
    MACHINE,
    MODEL,
    SELECT,
    STACK,
    Execution,
    Steps,
    World,
)

MOST_STEPS = 200
#: The data window of every second settings version.
WINDOW_MS = 2 * 3600 * 1000


_SOURCE = Path(__file__).read_text(encoding="utf-8")
_NAME = "([a-z ]+)"


def crash_points() -> set[str]:
    """Every pause at which an actor can die, read off this file. Executions do not die."""
    paused = set(re.findall(f'yield "{_NAME}"', _SOURCE))
    return paused | {f"{side} {name}" for name in commit_names() for side in ("before", "after")}


def commit_names() -> set[str]:
    """Every write that can take effect while its caller is told that it failed."""
    return set(re.findall(rf'commit\("{_NAME}"', _SOURCE))


# -- functions -----------------------------------------------------------------------------


def on_signal(world: World, body: str) -> Steps:
    """The function behind the signal queue."""
    parsed = parse_signal(body, STACK)
    if isinstance(parsed, Signal):
        yield from admit_one(world, parsed)
    elif isinstance(parsed, Wake):
        yield "before handling a wake"
        yield from advance(world, watch=False, arrived_ms=parsed.due_ms)


def admit_one(world: World, signal: Signal) -> Steps:
    """Admit one signal and see that a wake is due."""
    model = read_model(world.store, signal.model)
    if model is None or (signal.kind == DATA and not _selected(signal)):
        return
    admission = admit(signal, model, read_known(world.store, signal), world.now_ms)
    if admission.changes:
        yield from world.commit("admit", admission.changes)
    due = waking.earliest_opening(signal.kind, world.limits, world.now_ms)
    yield from wake(world, due)


def wake(world: World, due_ms: int | None, arrived_ms: int | None = None) -> Steps:
    """Send a wake unless one is under way."""
    model = read_model(world.store, MODEL)
    plan = waking.plan_wake(model, due_ms, world.now_ms, arrived_ms) if model else None
    if plan is not None:
        yield from world.commit("note wake", plan.changes)
        world.send_wake(plan.due_ms, plan.delay_s)


def on_run_ended(world: World, arn: str) -> Steps:
    """The function behind Step Functions' status events."""
    yield "before handling an end"
    yield from advance(world, watch=True)


def sweep(world: World) -> Steps:
    """The sweeper: list what no event announced, repeat steps, send notices."""
    yield "before the sweep"
    for version, is_current, is_overwritten in world.all_versions():
        yield from observe(world, version, is_current, is_overwritten)
    yield from advance(world, watch=True)
    yield from tell(world)


def observe(world: World, version: ObjectVersion, is_current: bool, is_overwritten: bool) -> Steps:
    """Account for one listed version."""
    model = read_model(world.store, MODEL)
    if model is None:
        return
    signal = data_signal(MODEL, version)
    known = read_known(world.store, signal)
    if not _selected(signal):
        return
    if is_current:
        changes = admit(signal, model, known, world.now_ms).changes
    else:
        changes = observe_old(signal, known, world.now_ms, is_overwritten=is_overwritten)
    if changes:
        yield from world.commit("admit listed", changes)


def tell(world: World) -> Steps:
    """Send the notices that are due, at least once each."""
    model = read_model(world.store, MODEL)
    for number in model.notices if model else ():
        world.notices.append(number)
        yield "after a notice"
        model = read_model(world.store, MODEL)
        run = read_run(world.store, run_key(MODEL, number))
        if model is None or run is None:
            return
        left = tuple(each for each in model.notices if each != number)
        changes = (change(model, notices=left), change(run, notified=True))
        yield from world.commit("note notice", changes)


# -- the loop ------------------------------------------------------------------------------


def advance(world: World, *, watch: bool, arrived_ms: int | None = None) -> Steps:
    """Repeat the next step until the model waits or works."""
    for _ in range(MOST_STEPS):
        try:
            at_rest = yield from _advance_once(world, watch=watch, arrived_ms=arrived_ms)
        except Conflict:
            yield "after a conflict"
            continue
        if at_rest:
            return
    raise AssertionError(f"the rules did not come to rest within {MOST_STEPS} steps")


def _advance_once(world: World, *, watch: bool, arrived_ms: int | None) -> Steps:
    book = read_book(world.store, MODEL)
    if book is None:
        return True
    step = opening.next_step(book, world.limits, world.now_ms)
    match step:
        case Waiting():
            yield from wake(world, step.until_ms, arrived_ms)
            return True
        case opening.Watch():
            return (yield from look_after(world, step.run, watch=watch))
        case opening.Settle():
            yield from settle(world, book)
        case _:
            yield from _open(world, step)
    return False


def _open(world: World, step: opening.Step) -> Steps:
    """Carry out one of the steps that open a run."""
    match step:
        case opening.OpenRun():
            yield from world.commit("open run", step.changes)
        case opening.TagSignals():
            for transaction in step.transactions:
                yield from world.commit("tag", transaction)
        case opening.WriteManifest():
            yield from write_manifest(world, step)
        case opening.StartExecution():
            yield from start(world, step.run)
        case opening.RecordEnding():
            yield from world.commit("record early ending", step.changes)


def write_manifest(world: World, step: opening.WriteManifest) -> Steps:
    """List, retire what is gone, write the manifest, claim."""
    run = step.run
    current = world.current()
    yield "after listing"
    done = read_signals(world.store, MODEL, DONE_SK)
    left_out = {
        row.id
        for row in done
        if row.state == "quarantined" or (row.state == "excluded" and not opening.is_outside(row))
    }
    made = (MODEL, run.number)
    span = span_of(window_of(run), run.opened_ms, step.claimed)
    manifest = build(
        made, current, select=SELECT, left_out=left_out, created_ms=world.now_ms, span=span
    )
    dataset = opening.Dataset(tuple(current), manifest.ids, manifest.outside, span.words)
    moved = opening.retire(run, step.claimed, dataset, world.now_ms)
    moved += opening.bring_back(run, done, manifest.ids, world.now_ms)
    for transaction in moved:
        yield from world.commit("retire", transaction)
    if moved:
        return
    uri = f"s3://artifacts/{naming.manifest_key(MODEL, run.number, manifest.digest)}"
    world.manifests[uri] = manifest
    yield "after writing the manifest"
    reference = ManifestRef(uri, manifest.digest, len(manifest.objects), manifest.bytes)
    name = naming.execution_name(STACK, MODEL, run.number)
    nothing = "no data in the data window" if manifest.outside else ""
    facts = opening.Claim(reference, uri, naming.execution_arn(MACHINE, name), nothing)
    yield from world.commit("claim", opening.claim(run, step.claimed, facts, world.now_ms))


def window_of(run: RunRow) -> Window:
    """The data window of a run's settings: every other push narrows it, the next widens it."""
    return Window("days", seconds=WINDOW_MS // 1000) if run.settings % 2 == 0 else Window()


def start(world: World, run: RunRow) -> Steps:
    """Start the execution, or give it up as the rules say."""
    yield "before starting"
    try:
        _start(world, run)
    except (Rejected, Unavailable) as error:
        final = isinstance(error, Rejected)
        changes = opening.start_failed(run, str(error), world.now_ms, final=final)
        if not changes:
            raise
        yield from world.commit("give up starting", changes)
        return
    yield "after starting"
    yield from world.commit("note start", opening.mark_started(run, world.now_ms))


def _start(world: World, run: RunRow) -> None:
    """StartExecution, with all that can go wrong about it."""
    if world.chance(0.04):
        raise Rejected("StartExecution is refused")
    if world.chance(0.1):
        raise Unavailable("StartExecution does not answer")
    world.start_execution(run.execution, run.input)
    if world.chance(0.15):
        raise Unavailable("started, but the caller is told that it failed")


def look_after(world: World, run: RunRow, *, watch: bool) -> Steps:
    """Describe the execution; record its ending when it is over."""
    if not watch:
        return True
    execution = world.executions.get(run.execution)
    if execution is None:
        end = ending.execution_gone(run)
    elif execution.is_over:
        output = None if execution.passed is None else {"verdict": {"passed": execution.passed}}
        told = ending.ExecutionEnd(execution.status, output, execution.error, execution.cause)
        end = ending.ending_of(run, told)
    else:
        if run.stop is not None:
            yield "before stopping the execution"
            world.stop_execution(run.execution)
        return True
    yield "after describing the execution"
    yield from world.commit("record ending", ending.record_ending(run, end, world.now_ms))
    return False


def settle(world: World, book: Book) -> Steps:
    """Stop what is left of the run, settle its signals, free the model."""
    run = book.run
    assert run is not None
    execution = world.executions.get(run.execution)
    if execution is not None and not execution.is_over:
        yield "before stopping a leftover execution"
        world.stop_execution(run.execution)
        return
    if execution is not None and execution.jobs:
        yield "before stopping jobs"
        execution.jobs.clear()
    settlement = settling.settle(book, findings(world, run), world.now_ms)
    for transaction in settlement.transactions:
        yield from world.commit("settle", transaction)
    if settlement.free:
        yield from world.commit("free", settlement.free)


def findings(world: World, run: RunRow) -> settling.Findings:
    """What the run left behind in S3."""
    if run.manifest is None:
        return settling.Findings()
    manifest = world.manifests[run.manifest.uri]
    bad = world.reports.get(run.number, frozenset())
    refused = {
        each.id: settling.Quarantine(each.parts, "the columns do not match", ("line 2: ...",))
        for each in manifest.objects
        if each.id in bad
    }
    rows = {found: read_signal(world.store, done_key(MODEL, found)) for found in refused}
    known: Mapping[str, SignalRow] = {found: row for found, row in rows.items() if row}
    return settling.Findings(manifest.ids, refused, known, {"refused": False})


# -- an execution --------------------------------------------------------------------------


def execute(world: World, execution: Execution, *, redriven: bool = False) -> Steps:
    """The retrain machine at work; its functions' retries make crashes of theirs invisible."""
    run_number = int(execution.input.split("/")[-2])
    if not redriven:
        yield "in execution: before the claim check"
        if not _holds_claim(world, execution, run_number):
            return
        world.watch.passed_claim(execution)
        execution.past_claim = True
    failure = yield from _train(world, execution, run_number)
    if failure is not None:
        world.finish(execution, "FAILED", *failure)
        return
    yield "in execution: registering"
    if _holds_claim(world, execution, run_number):
        world.watch.registered(execution)
        yield from _register(world, run_number)
        execution.passed = world.random.random() < 0.5
        world.finish(execution, "SUCCEEDED")


def _train(world: World, execution: Execution, run_number: int) -> Steps:
    """Check the data and train; error and cause of a failure, or None."""
    run = world.watch.run(run_number)
    manifest = world.manifests[execution.input]
    execution.jobs.add("check-data")
    yield "in execution: checking data"
    execution.jobs.discard("check-data")
    if world.chance(0.05):
        return "CheckDataFailed", "ThrottlingException: slow down"
    bad = frozenset(each.id for each in manifest.objects if world.is_bad(each))
    world.reports[run_number] = bad
    if len(bad) == len(manifest.objects):
        return "Refused", "rows: 0 of 1,000"
    execution.jobs.add("train")
    yield "in execution: training"
    execution.jobs.discard("train")
    if run.settings in world.broken_settings and not run.overrides:
        return "TrainFailed", "AlgorithmError: your model raised"
    if world.chance(0.05):
        return "TrainFailed", "CapacityError: no machine is free"
    return None


def _register(world: World, run_number: int) -> Steps:
    """Note the version on the run's row, as often as others write to it meanwhile."""
    version = Version(run_number, f"arn:package/{run_number}", "PendingManualApproval")
    for _ in range(10):
        held = read_run(world.store, run_key(MODEL, run_number))
        assert held is not None
        try:
            changes = record_version(held, version)
            if changes:
                world.store.commit(changes)
        except Conflict:
            yield "in execution: registering again"
        else:
            return


def _holds_claim(world: World, execution: Execution, run_number: int) -> bool:
    model = read_model(world.store, MODEL)
    run = read_run(world.store, run_key(MODEL, run_number))
    try:
        check_claim(model, run, execution.arn)
    except NotClaimed as error:
        world.finish(execution, "FAILED", "NotClaimed", str(error))
        return False
    return True


# -- people --------------------------------------------------------------------------------


def push(world: World, sha: str, *, broken: bool = False) -> Steps:
    """`perennial push`."""
    yield "before a push"
    model = read_model(world.store, MODEL)
    row = world.store.get(settings_key(MODEL, model.settings)) if model else None
    current = row if isinstance(row, SettingsRow) else None
    new = SettingsRow(MODEL, 0, f"s3://{sha}", sha, "{}", world.now_ms, "ann")
    version, changes = commands.publish(model, current, new)
    if changes:
        if broken:
            world.broken_settings.add(version)
        yield from world.commit("publish", changes)
        yield from wake(world, world.now_ms)


def retrain(world: World, number: int, overrides: Mapping[str, str]) -> Steps:
    """`perennial retrain`, whose message may come twice."""
    signal = manual_signal(
        MODEL, f"token-{number}", by="ann", because="to see", overrides=overrides
    )
    yield from admit_one(world, signal)


def command(world: World, name: str) -> Steps:
    """A person's command over the model or its runs; refusals are fine."""
    model = read_model(world.store, MODEL)
    if model is None:
        return
    try:
        changes = COMMANDS[name](world, model)
    except NotAllowed:
        return
    if changes:
        yield from world.commit("command", changes)
        yield from advance(world, watch=True)


def _pause(world: World, model: ModelRow) -> Transaction:
    return commands.pause(model, "bob", "holidays", world.now_ms)


def _resume(_world: World, model: ModelRow) -> Transaction:
    return commands.resume(model)


def _exclude(world: World, _model: ModelRow) -> Transaction:
    signal = _any_object(world)
    if signal is None:
        return ()
    known = read_known(world.store, signal)
    return commands.exclude(signal, known, "ann", "wrong year", world.now_ms)


def _include(world: World, _model: ModelRow) -> Transaction:
    signal = _any_object(world)
    known = read_known(world.store, signal) if signal else None
    return commands.include(signal, known, world.now_ms) if signal and known else ()


def _any_object(world: World) -> Signal | None:
    versions = [each for each, _, _ in world.all_versions()]
    selected = [each for each in versions if is_selected(each.key, MODEL, SELECT)]
    return data_signal(MODEL, world.random.choice(selected)) if selected else None


def _retry(world: World, model: ModelRow) -> Transaction:
    run = _recent_run(world, model)
    return commands.request_retry(model, run, "ann", "once more") if run else ()


def _stop(world: World, model: ModelRow) -> Transaction:
    number = model.open_run
    run = read_run(world.store, run_key(MODEL, number)) if number else _recent_run(world, model)
    return commands.stop(run, "ann", "enough") if run else ()


def _approve(world: World, model: ModelRow) -> Transaction:
    run = _recent_run(world, model)
    if run is None or run.version is None:
        return ()
    number, arn = run.number, run.version.arn
    return record_champion(
        model, Champion(number, arn, f"d{number}", number, run.settings, world.now_ms)
    )


def _recent_run(world: World, model: ModelRow) -> RunRow | None:
    number = world.random.randint(max(0, model.last_run - 2), model.last_run)
    return read_run(world.store, run_key(MODEL, number))


COMMANDS: dict[str, Callable[[World, ModelRow], Transaction]] = {
    "pause": _pause,
    "resume": _resume,
    "exclude": _exclude,
    "include": _include,
    "retry": _retry,
    "stop": _stop,
    "approve": _approve,
}


def restart_by_hand(world: World) -> None:
    """Somebody starts an old run's input again, or redrives a failed execution."""
    if not world.executions:
        return
    old = world.random.choice(list(world.executions.values()))
    if world.random.random() < 0.5:
        world.start_execution(f"{old.arn}-by-hand-{world.number()}", old.input)
    elif old.is_over and old.status != "SUCCEEDED" and old.past_claim:
        old.status, old.redriven = "RUNNING", True
        world.spawn("execution", execute(world, old, redriven=True), execution=old)


def _selected(signal: Signal) -> bool:
    return is_selected(signal.parts[1], MODEL, SELECT)
