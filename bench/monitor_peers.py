"""The peers of `bench.monitor`, each in an environment of its own, with nothing of ours.

python monitor_peers.py evidently|whylogs <folder>
python monitor_peers.py alarms <folder> <stream>
"""

# ruff: noqa: PLC0415 - each library is only in its own environment

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any


def evidently(folder: Path) -> dict[str, Any]:
    """Evidently's drift preset of a million rows against a million."""
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    began = time.perf_counter()
    frames = [pd.read_parquet(folder / f"{name}.parquet") for name in ("window", "baseline")]
    found = Report([DataDriftPreset()]).run(*frames).dict()
    return {"seconds": time.perf_counter() - began, "outputs": len(found["metrics"])}


def whylogs(folder: Path) -> dict[str, Any]:
    """whylogs: a profile of the window, and drift scores against the baseline's profile."""
    import pandas as pd
    import whylogs as why
    from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores

    began = time.perf_counter()
    base = why.log(pd.read_parquet(folder / "baseline.parquet")).view()
    once = time.perf_counter() - began
    began = time.perf_counter()
    now = why.log(pd.read_parquet(folder / "window.parquet")).view()
    scores = calculate_drift_scores(target_view=now, reference_view=base, with_thresholds=True)
    return {"seconds": time.perf_counter() - began, "baseline": once, "outputs": len(scores)}


def alarms(folder: Path, name: str) -> dict[str, Any]:
    """Which windows of a cut stream fire by Evidently's default: half of the columns drifted."""
    import numpy as np
    import pandas as pd
    from evidently import Report
    from evidently.presets import DataDriftPreset

    saved = np.load(folder / f"{name}.npz")
    base = pd.DataFrame(saved["baseline"], columns=saved["names"])
    found: dict[str, list[bool]] = {}
    for key in saved.files:
        if key in ("names", "baseline"):
            continue
        found[key] = []
        for rows in saved[key]:
            frame = pd.DataFrame(rows, columns=saved["names"])
            metrics = Report([DataDriftPreset()]).run(frame, base).dict()["metrics"]
            share = next(m["value"]["share"] for m in metrics if "Count" in m["metric_name"])
            found[key].append(bool(share >= 0.5))
    return found


def main() -> None:
    """Measure one peer."""
    what, folder, *more = sys.argv[1:]
    began = time.process_time()
    measure = {"evidently": evidently, "whylogs": whylogs, "alarms": alarms}[what]
    found = measure(Path(folder), *more)
    found["processor"] = time.process_time() - began
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
