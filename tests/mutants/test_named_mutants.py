"""Six ledgers with a famous mistake each: the watch of the simulation must see every one.

Each mistake is a small change of the real code. Where production decides in its loop
(`perennial.advance`), the change is made to the same loop of the simulation.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bench import ledger_mutants


@dataclass(frozen=True)
class Mistake:
    """A change of one module's text, and words of the violation that it must lead to."""

    module: str
    before: str
    after: str
    seen: str


LEDGER = ledger_mutants.LEDGER
ACTORS = "bench.ledger_actors"
MISTAKES = {
    "an end event without a fence": Mistake(
        ACTORS,
        "    execution = world.executions.get(run.execution)\n    if execution is None:\n",
        "    ended = [e for e in world.executions.values() if e.is_over]\n"
        "    execution = ended[-1] if ended else world.executions.get(run.execution)\n"
        "    if execution is None:\n",
        "consumed by a run whose execution reached no verdict",
    ),
    "a sweeper that frees": Mistake(
        ACTORS,
        "    yield from advance(world, watch=True)\n    yield from tell(world)\n",
        "    book = read_book(world.store, MODEL)\n"
        "    if book and book.run and world.now_ms - book.run.opened_ms > 600_000:\n"
        "        gone = ending.execution_gone(book.run)\n"
        "        freed = settling.free(book.model, book.run, gone, settling.Findings(), 0)\n"
        '        yield from world.commit("free", freed)\n'
        "    yield from advance(world, watch=True)\n    yield from tell(world)\n",
        "still claimed|while its execution works|freed",
    ),
    "a claim by watermark": Mistake(
        f"{LEDGER}.settling",
        '    if signal.state == "claimed":\n        return signal.run == run.number\n',
        '    if signal.state != "held":\n        return signal.admitted_ms <= run.opened_ms\n',
        "settled, though no run claimed it|consumed without a claim",
    ),
    "a restart that nobody checks": Mistake(
        f"{LEDGER}.claims",
        "    if model is None or run is None:\n",
        "    if model is not None:\n        return\n    if model is None or run is None:\n",
        "started by hand passes the claim check|does not hold the model registers"
        "|registers after its ending|two executions",
    ),
    "a code signal whose id is its content": Mistake(
        f"{LEDGER}.commands",
        "    signal = code_signal(new.model, version, by=new.pushed_by)\n",
        "    number = int.from_bytes(new.code_sha.encode()[:7], 'big') % 3\n"
        "    signal = code_signal(new.model, number, by=new.pushed_by)\n",
        "pushes of A, B, A|a version without its code signal",
    ),
    "signals consumed by a failed run": Mistake(
        f"{LEDGER}.settling",
        "    if outcome in VERDICTS and _is_served(signal, case):\n",
        "    if _is_served(signal, case):\n",
        "consumed without verdict",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_simulation_sees(name: str) -> None:
    """A history goes wrong within the first few hundred, for the reason that it should."""
    mistake = MISTAKES[name]
    by = ledger_mutants.judge_text(mistake.module, mistake.before, mistake.after, histories=400)
    assert "Violation" in by, f"{name}: {by or 'no history went wrong'}"
    assert any(words in by for words in mistake.seen.split("|")), by


def test_the_simulation_sees_nothing_in_the_real_code() -> None:
    """The same histories are clean without a mistake."""
    assert ledger_mutants.judge_text(f"{LEDGER}.settling", "", "", histories=100) == ""
