"""What reusing finished steps saves: a run with another gate only ÷ the whole run before it.

    .venv/bin/python -m bench.reuse

Both are judged runs of census on the whole Adult training data on one local cloud, from the opening
of the run's row to its end; the second one differs in a gate and finds every job done.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.common import ROOT, perennial, report, running_stack
from bench.orchestration import MODEL, follow, land


def main() -> None:
    """Print the ratio."""
    with tempfile.TemporaryDirectory() as folder, running_stack():
        perennial(
            "push", str(ROOT / "models" / MODEL),
            "--set", "triggers.quiet_period=1s", "--set", "triggers.cool_down=0s",
        )  # fmt: skip
        land(Path(folder))
        seconds = []
        for number in (1, 2):
            if number == 2:
                gate = ("--set", "gates.auc.min=0.91", "--because", "another gate")
                perennial("retrain", MODEL, *gate)
            row = follow(number)
            seconds.append((row["ended_ms"] - row["opened_ms"]) / 1000)
    whole, again = seconds
    report("a run with another gate", again, "the whole run", whole)


if __name__ == "__main__":
    main()
