"""Explanations per second of the census model, beside the shap library on the same model.

    .venv/bin/python -m bench.explain
    uv run --no-project --with shap --with-requirements jobs/requirements.txt \\
        python -m bench.explain

The first runs itself in the jobs' environment, where the yardstick is LightGBM's bare
`pred_contrib`; the second has shap and is beside that. Sampled values are beside scoring as many
rows and nothing else.
"""

# ruff: noqa: PLC0415 - what is measured is imported where it is installed: in the jobs' environment

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.common import ROOT, fetch_csv, report, run, timed

SHAP = "uv run --no-project --with shap --with-requirements jobs/requirements.txt"
ROWS = 2000
SAMPLED_ROWS = 200
REPEATS = 3


def start_again() -> None:
    """Run this program in the environment that the jobs run in."""
    from local.sagemaker.container.images import KNOWN, Images

    python = Images(ROOT).environment(KNOWN) / "bin" / "python"
    path = os.pathsep.join(map(str, (ROOT, ROOT / "layers" / "core")))
    print(run(str(python), "-W", "ignore", "-m", "bench.explain", env={"PYTHONPATH": path}), end="")
    print(f"beside the shap library: {SHAP} python -m bench.explain")


def trained(folder: Path) -> Path:
    """Check, train and evaluate the census model on its genuine data; the kept outputs."""
    data = folder / "census.csv"
    data.write_text("\n".join(fetch_csv("census")), encoding="utf-8")
    command = (sys.executable, "-W", "ignore", "-m", "jobs.check_project", "models/census")
    path = os.pathsep.join(map(str, (ROOT, ROOT / "layers" / "core")))
    run(*command, str(data), "--keep", str(folder / "kept"), env={"PYTHONPATH": path})
    return folder / "kept"


def measure(kept: Path) -> None:
    """Time the step, its yardstick, and sampling."""
    from jobs.attribute import Explainer
    from jobs.check_project import read_project_settings
    from jobs.contract import Project
    from jobs.engine.attributions import evaluations
    from jobs.explain import explain

    folder = ROOT / "models" / "census"
    settings = read_project_settings(folder, "census")
    settings = replace(settings, explain=replace(settings.explain, rows=ROWS))
    project = Project(folder, "census", settings.problem, settings.label)
    output = kept / "explanations"
    output.mkdir()
    holdout = kept / "holdout" / "rows.parquet"
    step = timed(lambda: explain(settings, project, kept / "model", holdout, output), REPEATS)
    told = json.loads((output / "analysis.json").read_text())["perennial"]
    model = project.load(kept / "model")
    rows, background = prepared(project, kept, holdout, told["rows"])
    name, beside = yardstick(model, rows)
    print(f"{model.num_trees()} trees, {rows.shape[1]} features, {told['rows']:,} rows")
    report(f"explain step of {told['rows']:,} rows", step, name, beside)
    each = f"{told['rows'] / step:,.0f} and {told['rows'] / beside:,.0f} explanations a second"
    print(f"{each}; largest additivity error {told['max_additivity_error']:.1e}")
    few = rows.iloc[:SAMPLED_ROWS]
    explainer = Explainer(project, model, few, background, [str(i) for i in few.index])
    started = time.perf_counter()
    sampled = explainer._sampled(0, [])
    seconds = time.perf_counter() - started
    cost = evaluations(rows.shape[1], sampled.facts["pairs"])
    many = few.sample(50_000, replace=True, random_state=0)
    scoring = timed(lambda: project.predict(model, many), REPEATS) / len(many) * cost * len(few)
    what = f"sampled values of {len(few)} rows, {cost:,} scores each"
    report(what, seconds, "the same scores and nothing else", scoring)


def prepared(project: Any, kept: Path, holdout: Path, rows: int) -> tuple[Any, Any]:
    """Holdout rows as the model takes them, and background rows."""
    from jobs.casting import read_schema
    from jobs.explain import read_sample

    schema = read_schema(kept / "model" / "schema.json")
    chosen, others, _ = read_sample(holdout, schema, rows, 0)
    return project.prepare(schema.frame(chosen)), project.prepare(schema.frame(others))


def yardstick(model: Any, rows: Any) -> tuple[str, float]:
    """The shap library's seconds on the same model and rows, or LightGBM's own."""
    if importlib.util.find_spec("shap"):
        import shap

        explainer = shap.TreeExplainer(model)
        name = f"shap {shap.__version__} TreeExplainer"
        return name, timed(lambda: explainer.shap_values(rows), REPEATS)
    return "LightGBM's pred_contrib", timed(lambda: model.predict(rows, pred_contrib=True), REPEATS)


def main() -> None:
    """Measure here when LightGBM is here, and in the jobs' environment otherwise."""
    if importlib.util.find_spec("lightgbm") is None:
        start_again()
        return
    sys.path[:0] = [str(ROOT), str(ROOT / "layers" / "core")]
    with tempfile.TemporaryDirectory(prefix="bench-explain-") as folder:
        measure(trained(Path(folder)))


if __name__ == "__main__":
    main()
