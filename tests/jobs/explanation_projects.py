"""Small projects whose models are explained in each of the ways there are."""

from __future__ import annotations

from pathlib import Path

COLUMNS = """
problem: {problem}
label: {label}
{more}
data:
  header: true
  min_rows: 100
  holdout: 0.3
  columns:
    sex: {{type: category, levels: [F, I, M]}}
    length: {{type: float, min: 0}}
    diameter: {{type: float, min: 0}}
    height: {{type: float, min: 0}}
    whole_weight: {{type: float, min: 0}}
    shucked_weight: {{type: float, min: 0}}
    viscera_weight: {{type: float, min: 0}}
    shell_weight: {{type: float, min: 0}}
    rings: {{type: int, min: 1, max: 100}}
"""

CLASSES = """
import lightgbm as lgb

def prepare(frame):
    return frame

def train(train, validation, hyperparameters):
    data = lgb.Dataset(train.drop(columns="sex"), train["sex"])
    settings = {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_leaves": 7}
    return lgb.train(settings, data, num_boost_round=20)

def predict(model, frame):
    return model.predict(frame)
"""

# Least squares on three columns, kept as plain JSON: a model without any tree.
LINE = """
import numpy as np

USED = ["length", "height", "shell_weight"]

def prepare(frame):
    return frame.assign(is_infant=(frame["sex"] == "I").astype(float))

def train(train, validation, hyperparameters):
    table = np.column_stack([np.ones(len(train)), train[USED], train["is_infant"]])
    found = np.linalg.lstsq(table, train["rings"].to_numpy(float), rcond=None)[0]
    names = ["intercept", *USED, "is_infant"]
    return dict(zip(names, found.tolist()))

def predict(model, frame):
    used = [*USED, "is_infant"]
    return model["intercept"] + sum(model[name] * frame[name].to_numpy() for name in used)
"""

COEFFICIENTS = """
def coefficients(model):
    weights = dict(model)
    return {"intercept": weights.pop("intercept"), "coefficients": weights}
"""

# No linear model at all: the values are sampled, and the analysis says why.
BROKEN_COEFFICIENTS = """
def coefficients(model):
    return {"coefficients": [1, 2]}
"""

OWN = """
import pandas as pd

def explain(model, frame):
    used = [*USED, "is_infant"]
    found = pd.DataFrame({name: model[name] * frame[name] for name in used})
    return found.assign(expected_value=model["intercept"])
"""

OWN_THAT_DOES_NOT_ADD_UP = OWN.replace("model[name] * frame[name]", "model[name] * frame[name] * 2")

OWN_WITHOUT_EXPECTED_VALUE = OWN.replace('.assign(expected_value=model["intercept"])', "")

# A forest's score, cut off where no animal has fewer rings: more than the trees alone say.
CUT = """
import lightgbm as lgb
import numpy as np

def prepare(frame):
    return frame

def train(train, validation, hyperparameters):
    data = lgb.Dataset(train.drop(columns="rings"), train["rings"])
    return lgb.train({"objective": "regression", "verbosity": -1, "num_leaves": 7}, data, 20)

def predict(model, frame):
    return np.maximum(model.predict(frame), 8.0)
"""

# Scores that depend on which rows are scored together.
RANKED = LINE.replace(
    '    return model["intercept"] +', '    return len(frame) / 100 + model["intercept"] +'
)

PROJECTS = {
    "classes": ("multiclass", "sex", CLASSES),
    "line": ("regression", "rings", LINE),
    "coefficients": ("regression", "rings", LINE + COEFFICIENTS),
    "broken": ("regression", "rings", LINE + BROKEN_COEFFICIENTS),
    "own": ("regression", "rings", LINE + OWN),
    "wrong": ("regression", "rings", LINE + OWN_THAT_DOES_NOT_ADD_UP),
    "bare": ("regression", "rings", LINE + OWN_WITHOUT_EXPECTED_VALUE),
    "cut": ("regression", "rings", CUT),
    "ranked": ("regression", "rings", RANKED),
}


def write_project(name: str, folder: Path) -> Path:
    """One of the projects as a folder."""
    problem, label, code = PROJECTS[name]
    place = folder / name
    place.mkdir()
    (place / "model.py").write_text(code, encoding="utf-8")
    text = COLUMNS.format(problem=problem, label=label, more="")
    (place / "model.yaml").write_text(text, encoding="utf-8")
    return place
