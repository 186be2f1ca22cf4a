"""When to retrain: labelled streams replayed through the real decision code, beside other rules.

    .venv/bin/python -m bench.policy
    .venv/bin/python -m bench.policy --csv mine.csv --label y --window 500
    .venv/bin/python -m bench.policy --stream elec2 --late 0 --alpha 0.05

Costs are summed error + alpha x trainings, every training charged, ÷ the exact oracle's. It runs
itself in the jobs' environment. Every model's losses are kept under .local/bench-policy, so the
first run takes minutes and the next ones do not. docs/retrain-policy.md explains the figures.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.common import ROOT

ALPHAS = (0.02, 0.05, 0.2)
LATE = (0, 4)
SPAN = 12
LONGEST_PERIOD = 40
OURS = "paired-challenger"


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """What is asked for."""
    parser = argparse.ArgumentParser(prog="bench.policy", description=__doc__)
    parser.add_argument(
        "--csv", type=Path, action="append", default=[], help="a stream of your own"
    )
    parser.add_argument("--label", help="its column to predict (default: the last)")
    parser.add_argument("--window", type=int, help="its rows a window (default: a hundredth)")
    parser.add_argument("--stream", action="append", default=[], help="only these known streams")
    parser.add_argument("--alpha", type=float, action="append", default=[])
    parser.add_argument("--late", type=int, action="append", default=[], choices=range(9))
    parser.add_argument(
        "--span", type=int, default=SPAN, help="windows to train on; 0: all (default: 12)"
    )
    return parser.parse_args(words)


def start_again(words: Sequence[str]) -> int:
    """Run this program in the environment that the jobs run in, on one thread."""
    from local.sagemaker.container.images import KNOWN, Images  # noqa: PLC0415

    python = Images(ROOT).environment(KNOWN) / "bin" / "python"
    path = os.pathsep.join(map(str, (ROOT, ROOT / "layers" / "core")))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [str(python), "-W", "ignore", "-m", "bench.policy", *words]
    return subprocess.run(command, env=environment, check=False, cwd=ROOT).returncode


def main(words: Sequence[str]) -> int:
    """Replay what is asked for and print the tables."""
    try:
        import lightgbm  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        return start_again(words)
    from bench.policy_report import run  # noqa: PLC0415
    from bench.policy_streams import BadStream  # noqa: PLC0415

    try:
        run(arguments(words))
    except BadStream as mistake:
        print(f"bench.policy: {mistake}", file=sys.stderr)
        return 2
    return 0


@dataclass(frozen=True)
class Asked:
    """The sizes that a run was asked for."""

    alphas: tuple[float, ...]
    late: tuple[int, ...]
    span: int | None

    @classmethod
    def of(cls, options: argparse.Namespace) -> Asked:
        """The command line's, or the defaults."""
        return cls(
            tuple(options.alpha) or ALPHAS, tuple(options.late) or LATE, options.span or None
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
