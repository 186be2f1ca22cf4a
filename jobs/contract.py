"""The contract with a project's model.py: how its functions are loaded, called and judged.

Every call into the project's code goes through `Project`, so that whatever it does ends as a
`ModelError` that names the model, the function, the line, and what to do.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from perennial.domain.project import needed_functions
from perennial.domain.settings import Settings

from jobs.built_in import BuiltInModel, load_built_in
from jobs.casting import ROW, SOURCE
from jobs.failures import ModelError

LIGHTGBM_FILE = "model.txt"
JSON_FILE = "model.json"
#: Some prepared training rows beside the model, which explanations compare with.
BACKGROUND_FILE = "background.parquet"
#: Some raw rows beside the prepared ones, for checks that need a request's row.
SAMPLE_FILE = "sample.parquet"
SAMPLE_ROWS = 200
MODULE = "perennial_project_model"


class Project:
    """A model project, loaded: its functions, with defaults for what it leaves out."""

    def __init__(  # noqa: PLR0913  # what a project is
        self,
        folder: Path,
        name: str,
        problem: str,
        label: str,
        *,
        algorithm: str = "",
        image: str = "",
    ) -> None:
        self.folder = folder
        self.name = name
        self.problem = problem
        self.label = label
        self.algorithm = algorithm
        self.image = image
        self.module = self._load_module()

    @classmethod
    def of(cls, settings: Settings, folder: Path) -> Project:
        """The project in a folder, trained as the settings say."""
        return cls(
            folder,
            settings.project,
            settings.problem,
            settings.label,
            algorithm=settings.train.algorithm,
            image=settings.train.image,
        )

    def prepare(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The prepared features of some rows; the caller's frame stays as it is."""
        if not hasattr(self.module, "prepare"):
            return frame.copy()
        with self._calling("prepare"):
            prepared = self.module.prepare(frame.copy())
        self._check_prepared(frame, prepared)
        return prepared

    def train(
        self,
        train: pd.DataFrame,
        validation: pd.DataFrame,
        hyperparameters: dict[str, Any],
        aids: Mapping[str, Any] | None = None,
    ) -> Any:
        """The trained model; of `aids` train() gets those that its signature names."""
        named = {name: aid for name, aid in (aids or {}).items() if self.takes(name)}
        with self._calling("train"):
            model = self.module.train(train, validation, hyperparameters, **named)
        if model is None:
            raise self._broken("train", "returned nothing; it must return the model")
        return model

    def takes(self, name: str) -> bool:
        """Whether train() names a parameter."""
        return name in inspect.signature(self.module.train).parameters

    def predict(self, model: Any, frame: pd.DataFrame) -> np.ndarray[Any, Any]:
        """The scores of prepared rows: probability of the positive class, one column of
        probabilities per class, or the value, by problem."""
        if isinstance(model, BuiltInModel):
            return self._check_scores(model.predict(frame), len(frame))
        with self._calling("predict"):
            scores = self.module.predict(model, frame.copy())
            scores = np.asarray(scores, dtype=np.float64)
        return self._check_scores(scores, len(frame))

    def save(self, model: Any, folder: Path) -> None:
        """Write the model, by the project's own function or in its library's own format."""
        if hasattr(self.module, "save"):
            with self._calling("save"):
                self.module.save(model, str(folder))
        else:
            self._save_default(model, folder)

    def load(self, folder: Path) -> Any:
        """Read back what `save` wrote, or what the algorithm or the image did."""
        if self.algorithm:
            return load_built_in(self.algorithm, folder, self.name)
        if hasattr(self.module, "load"):
            with self._calling("load"):
                return self.module.load(str(folder))
        if (folder / LIGHTGBM_FILE).exists():
            lightgbm = importlib.import_module("lightgbm")
            return lightgbm.Booster(model_file=str(folder / LIGHTGBM_FILE))
        if (folder / JSON_FILE).exists():
            return json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))
        raise self._broken("load", f"is needed: {folder} holds no model of a known format")

    def explain(self, model: Any, frame: pd.DataFrame) -> pd.DataFrame:
        """The attribution of each feature to each row's score.

        By default the exact TreeSHAP values of LightGBM, in log-odds for classes; the last
        column is the expected value.
        """
        if hasattr(self.module, "explain"):
            with self._calling("explain"):
                return pd.DataFrame(self.module.explain(model, frame.copy()), index=frame.index)
        if not _is_lightgbm(model, "Booster"):
            raise self._broken("explain", f"is needed for a {type(model).__name__}")
        values = np.asarray(model.predict(frame, pred_contrib=True))
        width = len(frame.columns) + 1
        names = [*map(str, frame.columns), "expected_value"]
        if values.shape[1] != width:
            names = [f"{n}:{k}" for k in range(values.shape[1] // width) for n in names]
        return pd.DataFrame(values, columns=names, index=frame.index)

    @property
    def explains_itself(self) -> bool:
        """Whether model.py has an explain() of its own."""
        return hasattr(self.module, "explain")

    def coefficients(self, model: Any) -> Any:
        """What a linear model's model.py answers of it, unchecked; None when it has no
        coefficients()."""
        if not hasattr(self.module, "coefficients"):
            return None
        with self._calling("coefficients"):
            return self.module.coefficients(model)

    @property
    def predicts_rows(self) -> bool:
        """Whether model.py has a fast path for one row."""
        return hasattr(self.module, "predict_row")

    def score_row(self, model: Any, row: Mapping[str, Any]) -> np.ndarray[Any, Any]:
        """The score of one cast row by the project's own predict_row, as `predict` gives it."""
        try:
            given = self.module.predict_row(model, row)
            if type(given) is float and self.problem != "multiclass" and self._is_score(given):
                return np.array((given,))
        except Exception as error:
            traceback.print_exc()
            raise ModelError(self._raised("predict_row() in model.py", error)) from None
        with self._calling("predict_row"):
            scores = np.asarray(given, dtype=np.float64)
            scores = scores.reshape((1, -1) if self.problem == "multiclass" else -1)
        return self._check_scores(scores, 1, "predict_row")

    def record_hook(self) -> Callable[[dict[str, str]], dict[str, Any] | None]:
        """The project's `preprocess_record`, which a monitor hands each request's row before it
        looks at it; raises `ModelError` without one, as each call does for what is no row."""
        if not callable(getattr(self.module, "preprocess_record", None)):
            raise ModelError(
                f"monitor.preprocess asks for preprocess_record() in model.py of {self.name}, "
                "which it does not have. Define preprocess_record(record), or take the key out."
            )

        def hook(row: dict[str, str]) -> dict[str, Any] | None:
            with self._calling("preprocess_record"):
                found = self.module.preprocess_record(dict(row))
            if found is not None and not isinstance(found, dict):
                words = f"returned a {type(found).__name__}, neither a dict nor None"
                raise self._broken("preprocess_record", words)
            return found

        return hook

    def _is_score(self, value: float) -> bool:
        """Whether a single number is fit to be a score: the short form of `_check_scores`."""
        return math.isfinite(value) if self.problem == "regression" else 0.0 <= value <= 1.0

    def check_row_by_row(self, frame: pd.DataFrame) -> None:
        """Prepare a sample whole, in parts and turned round: the rows must come out the same."""
        sample = frame.head(SAMPLE_ROWS).reset_index(drop=True)
        whole = self.prepare(sample)
        middle = len(sample) // 2
        for rows in (slice(0, 1), slice(middle, None), slice(None, None, -1)):
            part = sample.iloc[rows]
            expected = whole.iloc[rows]
            if part.empty:
                continue
            prepared = self.prepare(part)
            try:
                pd.testing.assert_frame_equal(prepared, expected)
            except AssertionError as error:
                raise self._broken(
                    "prepare",
                    "makes other rows or types when it sees fewer rows. It must work row by row; "
                    f"what is learned from many rows belongs into train. {_one_line(error)}",
                ) from None

    def check_saved(self, model: Any, folder: Path, frame: pd.DataFrame) -> Any:
        """Load what was saved and compare its scores with the model's; return the loaded one."""
        loaded = self.load(folder)
        sample = frame.head(SAMPLE_ROWS)
        if not sample.empty:
            before, after = self.predict(model, sample), self.predict(loaded, sample)
            if not np.allclose(before, after, rtol=1e-6, atol=1e-9):
                raise self._broken("save", "and load give a model that scores otherwise")
        return loaded

    def _load_module(self) -> ModuleType:
        source = self.folder / "model.py"
        if self.algorithm and not source.exists():
            return ModuleType(MODULE)  # an algorithm may learn from the columns as they are
        spec = importlib.util.spec_from_file_location(MODULE, source)
        if not source.exists() or spec is None or spec.loader is None:
            raise ModelError(f"project {self.name} has no model.py at {source}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[MODULE] = module
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        with self._calling("import"):
            spec.loader.exec_module(module)
        for function in needed_functions(algorithm=self.algorithm, image=self.image):
            if not callable(getattr(module, function, None)):
                raise ModelError(f"model.py of {self.name} has no function {function}")
        return module

    def _save_default(self, model: Any, folder: Path) -> None:
        if _is_lightgbm(model, "Booster"):
            model.save_model(str(folder / LIGHTGBM_FILE))
            return
        if isinstance(model, dict | list):
            try:
                text = json.dumps(model, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise self._broken("train", f"returned a model that is no JSON: {error}") from None
            (folder / JSON_FILE).write_text(text, encoding="utf-8")
            return
        hint = "; return model.booster_" if _is_lightgbm(model, "LGBMModel") else ""
        raise self._broken(
            "train",
            f"returned a {type(model).__name__}, which cannot be saved without pickle{hint}. "
            "Saved by default are lightgbm.Booster and plain JSON values; for all else write "
            "save(model, folder) and load(folder)",
        )

    def _check_prepared(self, frame: pd.DataFrame, prepared: Any) -> None:
        if not isinstance(prepared, pd.DataFrame):
            raise self._broken("prepare", f"returned a {type(prepared).__name__}, not a frame")
        if not prepared.index.equals(frame.index):
            raise self._broken(
                "prepare",
                f"made {len(prepared)} rows of {len(frame)}, or changed their index; it must "
                "keep every row",
            )
        names = list(prepared.columns)
        if not names or not all(isinstance(name, str) for name in names):
            raise self._broken("prepare", "must return columns with names that are text")
        if len(set(names)) != len(names):
            raise self._broken("prepare", "returned two columns of one name")
        taken = {self.label, ROW, SOURCE} & set(names)
        if taken:
            raise self._broken("prepare", f"returned a column {taken.pop()!r}; that name is taken")

    def _check_scores(
        self, scores: np.ndarray[Any, Any], rows: int, function: str = "predict"
    ) -> np.ndarray[Any, Any]:
        dimensions = 2 if self.problem == "multiclass" else 1
        if scores.ndim != dimensions or len(scores) != rows:
            raise self._broken(
                function,
                f"returned scores of shape {scores.shape} for {rows} rows of a {self.problem} "
                "problem",
            )
        if not np.isfinite(scores).all():
            raise self._broken(function, "returned a score that is not a finite number")
        if self.problem != "regression" and rows and not (0 <= scores.min() <= scores.max() <= 1):
            raise self._broken(
                function, f"returned {scores.min():g} to {scores.max():g}, no probabilities"
            )
        return scores

    def _broken(self, function: str, words: str) -> ModelError:
        return ModelError(f"{function}() in model.py of {self.name} {words}.")

    @contextlib.contextmanager
    def _calling(self, function: str) -> Iterator[None]:
        what = "importing model.py" if function == "import" else f"{function}() in model.py"
        doing(f"{what} of {self.name}")
        try:
            yield
        except ModuleNotFoundError as error:
            traceback.print_exc()
            raise ModelError(
                f"{what} of {self.name} needs the package {error.name!r}, which is not there. Add "
                f"it with its version to the project's requirements.txt and push again."
            ) from None
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            traceback.print_exc()
            raise ModelError(self._raised(what, error)) from None
        doing("")

    def _raised(self, what: str, error: BaseException) -> str:
        place = ""
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if Path(frame.filename).is_relative_to(self.folder):
                place = f" ({Path(frame.filename).name} line {frame.lineno})"
                break
        kind = type(error).__name__
        words = (
            f"called sys.exit({error.code!r})"
            if isinstance(error, SystemExit)
            else (f"raised {kind}: {_one_line(error)}")
        )
        return (
            f"{what} of {self.name} {words}{place}. Correct it, try it with `perennial check`, "
            "and push again; the log has the whole traceback."
        )


def _is_lightgbm(model: Any, kind: str) -> bool:
    """Say whether a model is LightGBM's, without its import: who has one has imported it."""
    lightgbm = sys.modules.get("lightgbm")
    return lightgbm is not None and isinstance(model, getattr(lightgbm, kind))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]


def doing(what: str) -> None:
    """Leave word of what this process is about to do, for whoever finds it hung or dead."""
    workspace = os.environ.get("PERENNIAL_WORKSPACE")
    if workspace:
        Path(workspace, "doing").write_text(what)


def project_folder() -> Path:
    """Where the packed project lies beside the entry point."""
    return Path(os.environ["PERENNIAL_CODE_ROOT"]) / "project"
