"""The ledger's rules under simulated faults: steps, violations, crash points, mutants.

    python -m bench.ledger [STEPS] [--seed N] [--workers N] [--mutants]

Each step is one effect of one actor (or its death) in a history at random; 10,000,000 steps take
some minutes. The yardstick of the speed is the same number of steps of actors that do nothing.
A violation prints its seed; `python -m bench.ledger --replay SEED` repeats that history.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from bench import ledger_mutants
from bench.common import report
from bench.ledger_actors import commit_names, crash_points
from bench.ledger_simulation import Figures, history, limits_of, make_world
from bench.ledger_world import Steps

BATCH = 50


def batch(first: int) -> tuple[Figures, list[str]]:
    """Live through some histories; what they add up to, and what went wrong."""
    figures, wrong = Figures(), []
    for seed in range(first, first + BATCH):
        try:
            figures.add(history(seed))
        except Exception as error:
            wrong.append(f"seed {seed}: {type(error).__name__}: {error}")
    return figures, wrong


def add(total: Figures, part: Figures) -> None:
    """Add figures up."""
    total.histories += part.histories
    total.steps += part.steps
    total.runs += part.runs
    total.outcomes.update(part.outcomes)
    total.crashed_at |= part.crashed_at
    total.lied_at |= part.lied_at


def idle_seconds(steps: int) -> float:
    """How long the scheduler alone takes for so many steps."""
    random = Random(0)
    world = make_world(random, limits_of(random))

    def idle() -> Steps:
        while True:
            yield "idle"

    actors = [world.spawn("idle", idle()) for _ in range(10)]
    began = time.perf_counter()
    for _ in range(steps):
        world.step(random.choice(actors))
    return time.perf_counter() - began


def simulate(steps: int, seed: int, workers: int) -> tuple[Figures, list[str]]:
    """Live through histories until so many steps are taken."""
    total, wrong = Figures(), []
    with multiprocessing.Pool(workers) as pool:
        firsts = iter(range(seed, sys.maxsize, BATCH))
        for part, bad in pool.imap_unordered(batch, firsts_until(firsts, total, steps, workers)):
            add(total, part)
            wrong.extend(bad)
    return total, wrong


def firsts_until(firsts: Iterator[int], total: Figures, steps: int, workers: int) -> Iterator[int]:
    """Hand out batches while steps are missing, a few ahead of the workers."""
    handed = 0
    while total.steps < steps:
        if handed * BATCH > total.histories + workers * 4 * BATCH:
            time.sleep(0.005)
            continue
        handed += 1
        yield next(firsts)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", type=int, nargs="?", default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--mutants", action="store_true", help="judge every mutant too")
    parser.add_argument("--replay", type=int, metavar="SEED", help="repeat one history")
    given = parser.parse_args()
    if given.replay is not None:
        world = history(given.replay)
        print(f"seed {given.replay}: {world.steps:,} steps, no violation")
        return
    began = time.perf_counter()
    figures, wrong = simulate(given.steps, given.seed, given.workers)
    seconds = time.perf_counter() - began
    idle = idle_seconds(100_000) * figures.steps / 100_000
    print(
        f"{figures.steps:,} steps in {figures.histories:,} histories; {figures.runs:,} runs: "
        f"{dict(sorted(figures.outcomes.items()))}"
    )
    report("ledger, seconds of rules under faults", seconds, "steps of idle actors", idle)
    print(f"steps per second: {figures.steps / seconds:,.0f} with {given.workers} workers")
    points, names = crash_points(), commit_names()
    print(f"crash points covered: {len(figures.crashed_at & points)} of {len(points)}")
    print(f"writes done but told failed: {len(figures.lied_at & names)} of {len(names)}")
    print(f"violations: {len(wrong)}")
    for line in wrong[:20]:
        print(f"  {line}")
    if given.mutants:
        survivors = print_mutants()
        wrong += survivors
    sys.exit(1 if wrong else 0)


def print_mutants() -> list[str]:
    """Judge every mutant; the ids of those that survive without a reason."""
    with tempfile.TemporaryDirectory() as folder:
        results = ledger_mutants.judge_all(Path(folder))
    listed = ledger_mutants.listed_survivors()
    left = [each.id for each in results if not each.by]
    print(
        f"mutants killed: {len(results) - len(left)} of {len(results)}; "
        f"{len(left)} survive, {len(set(left) & set(listed))} of them with a reason"
    )
    return [name for name in left if name not in listed]


if __name__ == "__main__":
    main()
