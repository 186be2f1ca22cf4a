"""The tables of `bench.policy`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from perennial.domain.retrain_names import DEFAULT_EARLIER

from bench.policy import LONGEST_PERIOD, OURS, Asked
from bench.policy_losses import Losses, losses
from bench.policy_oracle import Game, best_plan, cross_fitted
from bench.policy_replay import (
    AFTER,
    MOST_RUNS,
    Policy,
    Replay,
    Settings,
    adwin,
    at,
    by_gate,
    every,
    evidently,
    never,
    ours,
    replay,
    spread_evenly,
)
from bench.policy_streams import GENUINE, SYNTHETIC, BadStream, Stream, read_csv

BEST = "best fixed period"
EVENLY = "as many evenly"
CROSS = "oracle, cross-fitted"
#: What scoring one version on one window costs, in the row that is charged for it: one job beside
#: the ten or so of a run.
SCORING = 0.1
#: Whose turn is first is luck; so many beginnings are replayed.
TURNS = 12


@dataclass(frozen=True)
class Row:
    """One policy on one stream; means over whose turn is first, where versions take turns."""

    policy: str
    ratio: float
    trainings: float
    releases: float = 0
    worse: float = 0
    precision: float | None = None
    hits: float | None = None
    lag: float | None = None


def policies(span: int | None) -> list[Policy]:
    """Every policy of the tables, but those that need to know others' results."""
    challenger = ours(Settings("paired-challenger"))
    return [
        Policy("never", never),
        Policy("every window", every(1)),
        Policy("every 4th", every(4)),
        Policy("every 8th", every(8)),
        Policy("Evidently's default", evidently(span)),
        Policy("ADWIN on the error", adwin),
        Policy("rent-or-buy", ours(Settings("rent-or-buy")), releases=True),
        Policy(OURS, challenger, releases=True, others=DEFAULT_EARLIER),
        Policy(
            f"{OURS}, scoring charged",
            challenger,
            releases=True,
            others=DEFAULT_EARLIER,
            scoring=SCORING,
        ),
        Policy(
            f"{OURS}, default gate",
            challenger,
            releases=True,
            others=DEFAULT_EARLIER,
            release=by_gate,
        ),
        Policy(f"{OURS}, earlier: 0", challenger, releases=True),
        Policy(f"{OURS}, all versions scored", challenger, releases=True, others=MOST_RUNS),
    ]


def measure(kept: Losses, alpha: float, late: int, span: int | None) -> list[Row]:
    """Every policy on one stream."""
    game = Game(kept.errors, kept.first, alpha, late)
    plan = best_plan(game)
    best = game.cost(plan)
    rows = [
        Row("oracle", 1.0, len(plan)),
        Row(CROSS, cross_fitted(kept, alpha, late) / best, float("nan")),
    ]
    fixed = [replay(kept, Policy(BEST, every(k)), alpha, late) for k in range(1, LONGEST_PERIOD)]
    rows.append(_row(BEST, min(fixed, key=lambda each: each.cost), best, plan, alpha))
    for policy in policies(span):
        played, evenly = [], []
        for turn in range(TURNS if 0 < policy.others < MOST_RUNS else 1):
            one = replace(policy, turn=turn)
            done = replay(kept, one, alpha, late)
            played.append(_row(policy.name, done, best, plan, alpha))
            uniform = replace(one, rule=at(spread_evenly(len(done.plan), game)))
            if policy.name in {OURS, f"{OURS}, earlier: 0"}:
                name = f"{policy.name}, {EVENLY}"
                evenly.append(_row(name, replay(kept, uniform, alpha, late), best, plan, alpha))
        rows += [_mean_row(each) for each in (played, evenly) if each]
    return rows


def _mean_row(rows: Sequence[Row]) -> Row:
    """The means of a policy's figures over whose turn is first."""
    figures = ("ratio", "trainings", "releases", "worse", "precision", "hits", "lag")
    found: dict[str, float | None] = {}
    for figure in figures:
        known = [getattr(row, figure) for row in rows if getattr(row, figure) is not None]
        found[figure] = float(np.mean(known)) if known else None
    return replace(rows[0], **found)


def _row(name: str, played: Replay, best: float, plan: Sequence[int], alpha: float) -> Row:
    """The figures of a replay.

    Precision: the share of trainings whose candidate saved its price over the next windows. Hit
    rate: the share of the oracle's trainings that were followed, at once or within four windows,
    by one. Lag: after how many windows, on the mean.
    """
    useful = [saved > alpha for saved in played.saved]
    lags = [
        min(each - wanted for each in played.plan if 0 <= each - wanted <= AFTER)
        for wanted in plan
        if any(0 <= each - wanted <= AFTER for each in played.plan)
    ]
    return Row(
        name,
        played.cost / best,
        len(played.plan),
        played.releases,
        played.worse,
        float(np.mean(useful)) if useful else None,
        len(lags) / len(plan) if plan else None,
        float(np.mean(lags)) if lags else None,
    )


def chosen(options: argparse.Namespace) -> list[Stream]:
    """The streams that are asked for: given files, named ones, or all."""
    known = {**GENUINE, **SYNTHETIC}
    unknown = [name for name in options.stream if name not in known]
    if unknown:
        raise BadStream(f"no stream {unknown[0]}; there are {', '.join(known)}")
    if options.csv:
        files = [read_csv(path, options.label, options.window) for path in options.csv]
        return files + [known[name]() for name in options.stream]
    return [known[name]() for name in options.stream or known]


def run(options: argparse.Namespace) -> None:
    """Replay and print."""
    asked = Asked.of(options)
    started = time.monotonic()
    kept = [losses(stream, asked.span) for stream in chosen(options)]
    print(
        f"{'all' if asked.span is None else asked.span} windows to train on; losses known after "
        f"{time.monotonic() - started:.0f} s"
    )
    for late in asked.late:
        tables = {}
        for alpha in asked.alphas:
            tables[alpha] = {
                each.stream.name: measure(each, alpha, late, asked.span) for each in kept
            }
            _print_table(tables[alpha], kept, alpha, late)
        if len(asked.alphas) > 1:
            _print_area(tables, kept, late)
    print(f"{time.monotonic() - started:.0f} s in all")


def _print_table(
    table: dict[str, list[Row]], kept: Sequence[Losses], alpha: float, late: int
) -> None:
    names = [each.stream.name for each in kept]
    print(f"\n## alpha {alpha:g}, labels {late} windows late: cost ÷ exact oracle (trainings)\n")
    print(f"| policy | {' | '.join(names)} |{_group_heads(kept)}")
    print("|---" * (1 + len(names) + 2 * len(_groups(kept))) + "|")
    for index, first in enumerate(table[names[0]]):
        cells = []
        for name in names:
            row = table[name][index]
            count = "" if np.isnan(row.trainings) else f" ({row.trainings:.0f})"
            cells.append(f"{row.ratio:.3f}{count}")
        print(f"| {first.policy} | {' | '.join(cells)} |{_group_cells(table, kept, index)}")
    _print_triggers(table, kept)


def _print_triggers(table: dict[str, list[Row]], kept: Sequence[Losses]) -> None:
    names = [name for _, group in _groups(kept)[:1] for name in group]
    print(f"\nover {', '.join(names)}:\n")
    print("| policy | trainings | releases | worse over the next 4 | precision | hit rate | lag |")
    print("|---|---|---|---|---|---|---|")
    for index, first in enumerate(table[names[0]]):
        rows = [table[name][index] for name in names]
        releases = sum(row.releases for row in rows)
        worse = f"{100 * sum(row.worse for row in rows) / releases:.0f} %" if releases else "-"
        if np.isnan(first.trainings) or first.policy == "oracle":
            continue
        trainings = sum(row.trainings for row in rows)
        print(
            f"| {first.policy} | {trainings:.0f} | {releases:.0f} | {worse} "
            f"| {_mean(rows, 'precision')} | {_mean(rows, 'hits')} | {_mean(rows, 'lag')} |"
        )


def _mean(rows: Iterable[Row], figure: str) -> str:
    known = [getattr(row, figure) for row in rows if getattr(row, figure) is not None]
    return f"{np.mean(known):.2f}" if known else "-"


def _groups(kept: Sequence[Losses]) -> list[tuple[str, list[str]]]:
    """Genuine streams (Adult with its relations changed among them), and made ones."""
    groups = []
    for title, synthetic in (("genuine", False), ("made", True)):
        names = [each.stream.name for each in kept if each.stream.synthetic == synthetic]
        if names:
            groups.append((title, names))
    return groups


def _group_heads(kept: Sequence[Losses]) -> str:
    return "".join(f" mean of {title} | worst |" for title, _ in _groups(kept))


def _group_cells(table: dict[str, list[Row]], kept: Sequence[Losses], index: int) -> str:
    cells = ""
    for _, names in _groups(kept):
        ratios = [table[name][index].ratio for name in names]
        cells += f" **{np.mean(ratios):.3f}** | {max(ratios):.3f} |"
    return cells


def _print_area(
    tables: dict[float, dict[str, list[Row]]], kept: Sequence[Losses], late: int
) -> None:
    """The mean of cost ÷ oracle over the logarithm of alpha, by the trapezoidal rule."""
    alphas = sorted(tables)
    span = np.log(alphas)
    print(f"\n## area over log alpha {alphas[0]:g} to {alphas[-1]:g}, {late} windows late\n")
    names = [each.stream.name for each in kept]
    areas: dict[str, list[float]] = {}
    for name in names:
        for index, first in enumerate(tables[alphas[0]][name]):
            ratios = [tables[alpha][name][index].ratio for alpha in alphas]
            area = float(np.trapezoid(ratios, span) / (span[-1] - span[0]))
            areas.setdefault(first.policy, []).append(area)
    print(f"| policy | {' | '.join(names)} |{_group_heads(kept)}")
    print("|---" * (1 + len(names) + 2 * len(_groups(kept))) + "|")
    for policy, values in areas.items():
        by_name = dict(zip(names, values, strict=True))
        groups = [[by_name[name] for name in group] for _, group in _groups(kept)]
        ends = "".join(f" **{np.mean(each):.3f}** | {max(each):.3f} |" for each in groups)
        print(f"| {policy} | {' | '.join(f'{value:.3f}' for value in values)} |{ends}")
