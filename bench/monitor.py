"""The data-quality monitor beside Evidently, whylogs, scipy and scikit-learn.

    .venv/bin/python -m bench.monitor

A window of a million rows of 15 columns against a baseline of a million; memory of 1 and 10 million
captured records; distances beside exact ones, model quality beside scikit-learn's; false alarms and
delays on genuine streams (`PERENNIAL_DATA_MIRROR/streams`), bounds as they come, fixed beforehand.

Every measure runs in a process of its own; Evidently and whylogs in environments that this program
makes and throws away, or keeps in the folder `PERENNIAL_BENCH_ENVIRONMENTS`. Times are wall-clock;
processor seconds stand beside them, for a machine that others use too.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.common import ROOT, run
from local.sagemaker.container.images import KNOWN, Images

PEERS = {
    "evidently": ("evidently==0.7.21", "pandas<3", "pyarrow"),
    "whylogs": ("whylogs[viz]==1.6.4", "numpy<2", "pandas<3", "pyarrow<19", "scipy"),
}
AIMS = {"evidently": 20, "whylogs": 10}
MEMORY_AIM = 400
STREAMS = ("elec2", "bike-hour")
REPEATS = 3
#: Peaks of the same work differ by some percent, as pages are given back sooner or later.
MEMORY_REPEATS = 3


def main() -> None:
    """Measure, and print each figure beside its yardstick."""
    python = str(Images(ROOT).environment(KNOWN) / "bin" / "python")
    with tempfile.TemporaryDirectory(prefix="bench-monitor-") as place:
        folder = Path(place)
        ours(python, "write", folder)
        figure = speed(python, folder)
        memory(python, folder)
        accuracy(python, folder)
        for name in STREAMS:
            streams(python, folder, name)
        for name in PEERS:
            beside(python, folder, name, figure["baseline"])


def ours(python: str, *command: object) -> dict[str, Any]:
    """What one measure of ours found."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "layers" / "core")))
    arguments = ("-W", "ignore", "-m", "bench.monitor_measures", *map(str, command))
    found: dict[str, Any] = json.loads(run(python, *arguments, env={"PYTHONPATH": path}))
    return found


def speed(python: str, folder: Path) -> dict[str, float]:
    """The monitor's pass, the median of some."""
    once = ours(python, "baseline", folder)
    passes = [ours(python, "window", folder, "parquet") for _ in range(REPEATS)]
    found = sorted(passes, key=lambda each: each["seconds"])[REPEATS // 2]
    print(
        f"a window of {found['rows']:,} x 15 rows: {found['seconds']:.2f} s "
        f"({found['processor']:.2f} s of processors), peak {found['peak_mib']:.0f} MiB "
        f"(aim: at most {MEMORY_AIM}: {_met(found['peak_mib'] <= MEMORY_AIM)}); "
        f"{found['drifts']} distances, {found['outputs']} figures in all; drifted: "
        f"{', '.join(found['fired'])}. The baseline's own pass, once a version: "
        f"{once['seconds']:.2f} s",
        flush=True,
    )
    return {**found, "baseline": once["seconds"]}


def beside(ours_python: str, folder: Path, name: str, once: float) -> None:
    """A peer on the same rows, in an environment of its own; ours right before it and after it,
    for a shared machine is not the same for ten minutes."""
    python = environment(folder, name)
    before = ours(ours_python, "window", folder, "parquet")
    found = peer(python, name, folder)
    after = ours(ours_python, "window", folder, "parquet")
    figure = {key: (before[key] + after[key]) / 2 for key in ("seconds", "processor")}
    whole = found["seconds"] + found.get("baseline", 0.0)
    ours_whole = figure["seconds"] + once
    ratio = found["seconds"] / figure["seconds"]
    print(
        f"{name} {PEERS[name][0].partition('==')[2]}: {found['seconds']:.1f} s "
        f"({found['processor']:.1f} s of processors), peak {found['peak_mib']:,.0f} MiB, "
        f"{found['outputs']} figures; {ratio:.0f} times ours (aim: at least {AIMS[name]}: "
        f"{_met(ratio >= AIMS[name])}); with the baselines' passes {whole / ours_whole:.0f} times, "
        f"by processor seconds {found['processor'] / figure['processor']:.0f} times",
        flush=True,
    )


def peer(python: str, *command: object) -> dict[str, Any]:
    """What a peer's program found; it prints a line of JSON last."""
    script = str(ROOT / "bench" / "monitor_peers.py")
    out = run(python, "-W", "ignore", script, *map(str, command))
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def environment(folder: Path, name: str) -> str:
    """The Python of a peer's environment."""
    place = Path(os.environ.get("PERENNIAL_BENCH_ENVIRONMENTS", folder)) / f"env-{name}"
    python = place / "bin" / "python"
    if not python.exists():
        run(os.path.realpath(sys.executable), "-m", "venv", str(place))
        run(str(python), "-m", "pip", "install", "--quiet", *PEERS[name])
    return str(python)


def memory(python: str, folder: Path) -> None:
    """The peak of 1 and of 10 million captured records: the median of some, and their span."""
    found = {}
    for lines in (1_000_000, 10_000_000):
        size = ours(python, "capture", folder, lines)["bytes"]
        passes = [ours(python, "window", folder, f"capture-{lines}") for _ in range(MEMORY_REPEATS)]
        passes.sort(key=lambda each: each["peak_mib"])
        each = found[lines] = passes[MEMORY_REPEATS // 2]
        print(
            f"{each['rows']:,} captured records ({size / 1e9:.1f} GB): {each['seconds']:.1f} s "
            f"({each['processor']:.1f} s of processors), peak {each['peak_mib']:.0f} MiB "
            f"({passes[0]['peak_mib']:.0f} to {passes[-1]['peak_mib']:.0f})",
            flush=True,
        )
    small, large = (each["peak_mib"] for each in found.values())
    more = large / small - 1
    print(
        f"peak memory of ten times the records: {more:+.1%} (aim: below 10 %: {_met(more < 0.1)})"
    )


def accuracy(python: str, folder: Path) -> None:
    """How far figures are from exact ones."""
    found = ours(python, "exact", folder)
    print(
        f"distances of 8 columns: off scipy's exact ones by at most {found['distance_off']:.5f} "
        f"(the sketches' bound: {found['allowed']:.5f}: "
        f"{_met(found['distance_off'] <= found['allowed'])}); {found['figures']} figures of model "
        f"quality: off scikit-learn's by at most {found['quality_off']:.1e}",
        flush=True,
    )


def streams(python: str, folder: Path, name: str) -> None:
    """False alarms on shuffled rows, and windows until a column that moved is told."""
    shape = ours(python, "cut", folder, name)
    found = ours(python, "alarms", folder, name)
    found["evidently"] = peer(environment(folder, "evidently"), "alarms", folder, name)
    print(
        f"{name}: {shape['windows']} shuffled windows of {shape['rows']} rows, "
        f"{shape['columns']} columns, then 20 windows in which one column has moved"
    )
    for who, words in (
        ("ours", "ours, as it comes (Robust, 0.1)"),
        ("evidently", "Evidently's default (half of the columns)"),
        ("ks", "KS of any column at 5 %"),
    ):
        calm = found[who]["calm"]
        told = [f"false alarms {sum(calm) / len(calm):.0%}"]
        for key, fired in found[who].items():
            if key.startswith("moved-"):
                first = next((i for i, fires in enumerate(fired) if fires), None)
                delay = "never" if first is None else f"after {first + 1}"
                told.append(f"{key[6:]} deviations {delay} ({sum(fired)} of {len(fired)})")
        print(f"    {words}: {'; '.join(told)}", flush=True)


def _met(kept: bool) -> str:
    return "met" if kept else "MISSED"


if __name__ == "__main__":
    main()
