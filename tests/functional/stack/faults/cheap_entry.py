"""Jobs that cost next to nothing: an `entry.py` of the standard library alone.

They keep the contract of the real ones (what is read, what is written), so that machine,
functions and ledger cannot tell; nothing is learned. What a job does is told by the keys of the
objects in the manifest: `bad` is quarantined, `few` refuses the run, `slow` takes its time,
`broken` fails the training, `lost` misses the gate.
"""

import json
import os
import sys
import time
from pathlib import Path

BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
SLOW_SECONDS = 20


def write(folder, name, document):
    """Write one output of a processing job."""
    place = BASE / "processing" / "output" / folder
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text(json.dumps(document))


def objects():
    """What the run's manifest lists."""
    (path,) = (BASE / "processing" / "input" / "manifest").glob("*.json")
    return json.loads(path.read_text())["objects"]


def judged(entry):
    """What the check says of one object."""
    bad = "bad" in entry["key"]
    first = [{"line": 2, "column": "y", "why": "bad by name", "text": "bad"}]
    return {
        "bucket": entry["bucket"],
        "key": entry["key"],
        "version_id": entry["version_id"],
        "rows": 1,
        "bad_rows": int(bad),
        "quarantined": bad,
        "reason": "it is called bad" if bad else "",
        "first_bad": first if bad else [],
        "notices": [],
    }


def check_data():
    """Judge every object by its key."""
    listed = objects()
    found = [judged(entry) for entry in listed]
    bad = sum(each["quarantined"] for each in found)
    good = len(found) - bad
    if any("slow" in entry["key"] for entry in listed):
        time.sleep(SLOW_SECONDS)
    refused = good == 0 or any("few" in entry["key"] for entry in listed)
    summary = {
        "refused": refused,
        "reason": f"rows: {good} of 1000" if refused else "",
        "rows": {"read": len(found), "good": good, "bad": bad, "training": good, "holdout": good},
        "objects": {"read": len(found), "good": good, "quarantined": bad},
    }
    write("check", "summary.json", summary)
    write("check", "report.json", {**summary, "objects": found})
    write("training", "rows.parquet", [entry["key"] for entry in listed])
    write("holdout", "rows.parquet", [])


def train():
    """Leave a model that knows its keys."""
    keys = json.loads((BASE / "input" / "data" / "training" / "rows.parquet").read_text())
    if any("broken" in key for key in keys):
        sys.exit("this model is broken by name")
    (BASE / "model").mkdir(parents=True, exist_ok=True)
    (BASE / "model" / "model.json").write_text(json.dumps(keys))


def evaluate():
    """Score by name."""
    (path,) = (BASE / "processing" / "input" / "manifest").glob("*.json")
    lost = "lost" in path.read_text()
    figures = {"rmse": 9.0 if lost else 1.0}
    document = {"perennial": {"rows": 10, "problem": "regression", "metrics": figures}}
    write("evaluation", "evaluation.json", document)


def compare():
    """The candidate is better, by what nobody measured."""
    figures = {"metric": "rmse", "rows": 10, "unmatched": 0, "draws": 1, "seed": 0}
    better = {"candidate": 1.0, "champion": 2.0, "difference": 1.0, "better_share": 1.0}
    bounds = {"confidence": 0.95, "interval": [0.5, 1.5], "lower": 0.5, "margin": 0.0}
    more = {"version": 1, "significance": 0.05, "windows": [], "metrics": {}, "labels": {}}
    document = {**figures, **better, **bounds, **more, "incompatible": [], "changes": []}
    write("comparison", "comparison.json", document)


def baseline():
    """Something to compare production with."""
    for kind in ("data_quality", "model_quality"):
        for name in ("statistics", "constraints"):
            write(f"baselines/{kind}", f"{name}.json", {"version": 0.0})


def main(arguments):
    """Run the step that is asked for."""
    steps = {"check_data": check_data, "train": train, "evaluate": evaluate, "compare": compare}
    steps["baseline"] = baseline
    steps[arguments[arguments.index("--step") + 1]]()


if __name__ == "__main__":
    main(sys.argv[1:])
