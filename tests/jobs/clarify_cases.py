"""Runs in the jobs' environment: Clarify's dataset of made-up rows, measured by its stand-in."""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from perennial.domain.clarify import analysis_config

from jobs.casting import read_schema
from jobs.clarify_data import write_dataset
from tests.jobs.bias_cases import HOLDOUT, LEVELS, TRAINING, Case

Change = Callable[[dict[str, Any]], object]


def dataset(case: Case, base: Path) -> str:
    """Write a case's inputs and its dataset; the words of `write_dataset`."""
    case.write(base)
    given = base / "processing/input"
    return write_dataset(
        case.settings,
        read_schema(given / "check/schema.json"),
        given / "evaluation",
        given / "holdout/rows.parquet",
        given / "data/dataset.parquet",
    )


def measured(
    case: Case, program: Mapping[str, Any], change: Change | None = None, *, data: bool = True
) -> dict[str, Any]:
    """What the stand-in leaves of a case: its analysis or its exit message; a change spoils it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        base = Path(folder)
        words = dataset(case, base)
        config = analysis_config(case.settings)
        if change:
            change(config)
        if not data:
            shutil.rmtree(base / "processing/input/data")
        place = base / "processing/input/config/analysis_config.json"
        place.parent.mkdir()
        place.write_text(json.dumps(config))
        with contextlib.redirect_stderr(io.StringIO()):
            code = program["main"](str(base / "processing"))
        if code:
            return {"words": words, "failure": (base / "output/message").read_text()}
        analysis = json.loads((base / "processing/output/analysis.json").read_text())
    return {"words": words, "analysis": analysis}


def spoilt_config(program: Mapping[str, Any], text: str | None) -> str:
    """The exit message for a configuration that is none."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        base = Path(folder) / "processing"
        (base / "input/config").mkdir(parents=True)
        if text is not None:
            (base / "input/config/analysis_config.json").write_text(text)
        program["main"](str(base))
        return (base.parent / "output/message").read_text()


def of_champion(spoil: Callable[[Path], object]) -> str:
    """Why no dataset is written when the champion's step meets another run's holdout."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        case = Case("multiclass")
        case.write(base)
        given = base / "processing/input"
        spoil(given / "holdout/rows.parquet")
        words = write_dataset(
            case.settings,
            read_schema(given / "check/schema.json"),
            given / "evaluation",
            given / "holdout/rows.parquet",
            given / "data/dataset.parquet",
        )
        assert not (given / "data/dataset.parquet").exists()
    return words


def foreign_class() -> str:
    """The same when the champion's favourable class is none of this run's."""
    with tempfile.TemporaryDirectory() as folder:
        case = Case("multiclass")
        bias = replace(case.settings.bias, positive=("4",))
        case.settings = replace(case.settings, bias=bias)
        return dataset(case, Path(folder))


def without(column: str) -> Callable[[Path], object]:
    """Forget a column of the holdout."""
    return lambda path: pq.write_table(pq.read_table(path).drop_columns([column]), path)


def shorter(path: Path) -> None:
    """Forget a row of the holdout."""
    pq.write_table(pq.read_table(path).slice(1), path)


def constant(column: str, value: str) -> Case:
    """A case in which every row has one value of a facet."""
    case = Case("binary")
    case.columns[column] = [value] * (TRAINING + HOLDOUT)
    return case


def accepts_all() -> Case:
    """A case in which everybody is accepted."""
    case = Case("binary")
    case.labels = ["yes"] * (TRAINING + HOLDOUT)
    case.codes = np.ones(HOLDOUT, dtype=int)
    return case


def main() -> None:
    """Print the result of every case."""
    program = runpy.run_path(sys.argv[1])
    found: dict[str, Any] = {}
    cases = {
        **{problem: Case(problem) for problem in LEVELS},
        "few": Case("binary", bias={"methods": ["DPL", "DI"]}),
        "two_classes": Case("multiclass", bias={"positive": ["2", "3"], "group": "school"}),
        "threshold": Case("regression", bias={"threshold": 0.5, "group": "sex"}),
        "no_group": Case("binary", bias={}),
        "one_value": constant("sex", "F"),
        "accepted": accepts_all(),
    }
    for name, case in cases.items():
        found[name] = measured(case, program)
        case.with_training = False
        found[name]["ours"] = case.run()["document"]["perennial"]["metrics"]
    case = Case("binary")
    spoilt: dict[str, Change] = {
        "shap": lambda config: config["methods"].update(shap={"num_samples": 9}),
        "FT": lambda config: config["methods"].update(post_training_bias={"methods": ["FT"]}),
        "facet": lambda config: config.update(facet=[]),
        "predictor": lambda config: config.update(predictor={"model_name": "m"}),
        "text/csv": lambda config: config.update(dataset_type="text/csv"),
        "value_or_threshold": lambda c: c["facet"][0].update(value_or_threshold=[1]),
        "predicted_label": lambda config: config.pop("predicted_label"),
        "column nobody": lambda config: config.update(group_variable="nobody"),
        "columns, not 1": lambda config: config.update(headers=["y"]),
    }
    found["failures"] = {
        words: measured(case, program, change)["failure"] for words, change in spoilt.items()
    }
    found["failures"] |= {
        "no Parquet file": measured(case, program, data=False)["failure"],
        "is no JSON": spoilt_config(program, "{"),
        "holds no JSON object": spoilt_config(program, "[]"),
        "there is no input/config": spoilt_config(program, None),
    }
    found["champion"] = {
        "no column sex": of_champion(without("sex")),
        "no class 4": foreign_class(),
        "not those of the holdout": of_champion(shorter),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
