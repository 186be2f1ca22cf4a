"""Models of AWS's algorithms: tables for their containers, and their artifacts read by our jobs."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.built_in_bench import Bench, document, rows_of
from tests.jobs.conftest import Done

XGBOOST = {"algorithm": "xgboost", "hyperparameters": {"num_round": 30, "max_depth": 3}}
LINEAR = {
    "algorithm": "linear-learner",
    "hyperparameters": {"mini_batch_size": 50, "epochs": 30, "learning_rate": 0.05},
}
ALGORITHMS = {"xgboost": XGBOOST, "linear-learner": LINEAR}
BETTER = {"binary": ("auc", 0.95), "multiclass": ("accuracy", 0.8), "regression": ("r2", 0.85)}


def judged(bench: Bench, text: str) -> tuple[Done, Done, Done, Done]:
    """Check, train, evaluate and explain; each must succeed."""
    checked = bench.check(text)
    assert checked.code == 0, checked.log
    trained = bench.train(checked)
    assert trained.code == 0, trained.log
    evaluated = bench.work.evaluate(bench.settings, checked, trained)
    assert evaluated.code == 0, evaluated.log
    explained = bench.explain(checked, trained)
    assert explained.code == 0, explained.log
    return checked, trained, evaluated, explained


@pytest.mark.parametrize("problem", list(BETTER))
@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_what_an_algorithm_trained_is_judged_as_any_model(
    algorithm: str, problem: str, s3: Any, jobs_python: Path, tmp_path: Path
) -> None:
    """Its artifact is scored well on the holdout and explained exactly, feature by feature."""
    bench = Bench.of(document(problem, ALGORITHMS[algorithm]), s3, jobs_python, tmp_path)
    _, _, evaluated, explained = judged(bench, rows_of(problem))
    metric, least = BETTER[problem]
    metrics = evaluated.json("evaluation/evaluation.json")["perennial"]["metrics"]
    assert metrics[metric] >= least
    told = explained.json("explanations/analysis.json")
    assert told["perennial"]["method"] == ("tree" if algorithm == "xgboost" else "linear")
    assert told["perennial"]["notes"] == []
    values = told["explanations"]["kernel_shap"]["label0"]["global_shap_values"]
    assert set(values) == {"size", "age", "colour", "member"}
    assert max(values, key=values.__getitem__) == "size"
    assert values["colour"] > values["member"]
    with tarfile.open(evaluated.output("package") / "model.tar.gz") as archive:
        names = set(archive.getnames())
    artifact = "xgboost-model" if algorithm == "xgboost" else "model_algo-1"
    added = {"schema.json", "settings.json", "metadata.json", "background.parquet"}
    assert {artifact, *added} == names


@pytest.mark.parametrize(("algorithm", "blank"), [("xgboost", ""), ("linear-learner", "1")])
def test_tables_are_headerless_with_the_label_first(
    algorithm: str, blank: str, s3: Any, jobs_python: Path, tmp_path: Path
) -> None:
    """Levels become columns; a gap is empty for XGBoost, filled and marked for a linear model."""
    settings = document("binary", ALGORITHMS[algorithm])
    checked = Bench.of(settings, s3, jobs_python, tmp_path).check(rows_of("binary"))
    assert checked.code == 0, checked.log
    encoding = checked.json("check/schema.json")["encoding"]
    names = [entry["name"] for entry in encoding]
    gap = ["age is missing"] if blank else []
    assert names == ["size", "age", *gap, "colour=red", "colour=green", "colour=blue", "member"]
    tables = {}
    for part in ("train", "validation"):
        text = (checked.output("channels") / part / "rows.csv").read_text()
        tables[part] = [line.split(",") for line in text.splitlines()]
        assert {len(row) for row in tables[part]} == {len(names) + 1}
        assert {row[0] for row in tables[part]} == {"0", "1"}
    rows = [*tables["train"], *tables["validation"]]
    assert len(rows) == checked.json("check/summary.json")["rows"]["training"]
    if blank:
        assert {row[3] for row in rows} == {"0", "1"}
        fill = next(entry["fill"] for entry in encoding if entry["name"] == "age")
        (filled,) = {float(row[2]) for row in rows if row[3] == "1"}
        assert filled == pytest.approx(fill)
    else:
        assert any(row[2] == "" for row in rows)


def test_libsvm_and_csv_train_the_same_model(s3: Any, jobs_python: Path, tmp_path: Path) -> None:
    """XGBoost reads both formats alike, gaps and weights of sources included."""
    figures = []
    for kind in ("csv", "libsvm"):
        train = {**XGBOOST, "input": kind}
        settings = document("regression", train)
        settings["data"]["sources"] = {"landed": 2, "reviews": 1}
        bench = Bench.of(settings, s3, jobs_python, tmp_path / kind)
        checked = bench.check(rows_of("regression"))
        assert checked.code == 0, checked.log
        trained = bench.train(checked)
        assert trained.code == 0, trained.log
        assert (checked.output("channels") / "train" / f"rows.{kind}").exists()
        figures.append([line for line in trained.log.splitlines() if "#011train-rmse" in line])
    assert len(figures[0]) == 30
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    ("algorithm", "given", "words"),
    [
        ("xgboost", {"eta": "2"}, "ClientError: Hyperparameter eta: value 2 not in range [0, 1]"),
        ("xgboost", {"max_depth": "deep"}, "Hyperparameter max_depth: could not parse value"),
        ("xgboost", {"etta": "1"}, "ClientError: Extraneous hyperparameter found: etta"),
        ("xgboost", {"objective": "none:such"}, "ClientError: XGB train call failed"),
        ("linear-learner", {"predictor_type": "guess"}, "predictor_type: value guess not in range"),
        ("linear-learner", {"mini_batch_size": "100000"}, "mini_batch_size (100000) must not be"),
        ("linear-learner", {"loss": "softmax_loss"}, "cannot be used with predictor_type"),
        ("linear-learner", {"feature_dim": "3"}, "does not match feature_dim (3)"),
    ],
)
def test_bad_hyperparameters_fail_in_awss_words(  # noqa: PLR0917  # cases and fixtures
    algorithm: str, given: dict[str, str], words: str, s3: Any, jobs_python: Path, tmp_path: Path
) -> None:
    """The failure file tells whose fault it is, and nothing is written as a model."""
    settings = document("binary", ALGORITHMS[algorithm])
    bench = Bench.of(settings, s3, jobs_python, tmp_path)
    failed = bench.train(bench.check(rows_of("binary")), **given)
    assert failed.code != 0
    assert failed.failure.startswith("ClientError: ")
    assert words in failed.failure
    assert not (failed.base / "model").exists()


def test_the_containers_refuse_rows_that_they_cannot_read(
    s3: Any, jobs_python: Path, tmp_path: Path
) -> None:
    """A header, text, an empty channel and labels of another problem each fail by what they are."""
    bench = Bench.of(document("binary", LINEAR), s3, jobs_python, tmp_path)
    checked = bench.check(rows_of("binary"))
    table = checked.output("channels") / "train" / "rows.csv"
    good = table.read_text()
    width = good.splitlines()[0].count(",")
    for text, words in (
        ("outcome" + ",x" * width + "\n" + good, "Unable to read data channel 'train'"),
        (good.replace("0,", "7,", 1), "Wrong label was found"),
        ("", "No data found in channel train"),
        ("1," + "," * (width - 1) + "\n" + good, "missing values"),
    ):
        table.write_text(text)
        failed = bench.train(checked)
        assert failed.code != 0
        assert words in failed.failure


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_a_damaged_artifact_is_told_by_its_name(
    algorithm: str, s3: Any, jobs_python: Path, tmp_path: Path
) -> None:
    """Cut off, replaced by other bytes, or absent: the evaluation fails and says what to do."""
    bench = Bench.of(document("binary", ALGORITHMS[algorithm]), s3, jobs_python, tmp_path)
    checked = bench.check(rows_of("binary"))
    trained = bench.train(checked)
    name = "xgboost-model" if algorithm == "xgboost" else "model_algo-1"
    path = trained.base / "model" / name
    good = path.read_bytes()
    for body in (good[: len(good) // 2], b"no model at all", b""):
        path.write_bytes(body)
        failed = bench.work.evaluate(bench.settings, checked, trained)
        assert failed.code != 0
        assert f"{name} in the model archive of made cannot be read" in failed.failure
    path.rename(path.with_name("other"))
    failed = bench.work.evaluate(bench.settings, checked, trained)
    assert f"holds no {name}, but" in failed.failure


def test_a_linear_layer_of_another_width_is_refused(
    s3: Any, jobs_python: Path, tmp_path: Path
) -> None:
    """Weights that are not for these columns would score nonsense."""
    bench = Bench.of(document("binary", LINEAR), s3, jobs_python, tmp_path)
    checked = bench.check(rows_of("binary"))
    trained = bench.train(checked)
    path = trained.base / "model" / "model_algo-1"
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    # The same bytes told as a table of one column more would be cut off; as one less, left over.
    short = files["mx-mod-0000.params"].replace(
        (7).to_bytes(8, "little"), (6).to_bytes(8, "little"), 1
    )
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, body in {**files, "mx-mod-0000.params": short}.items():
            archive.writestr(name, body)
    path.write_bytes(changed.getvalue())
    failed = bench.work.evaluate(bench.settings, checked, trained)
    assert failed.code != 0
    assert "model_algo-1 in the model archive of made cannot be read" in failed.failure


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            "def prepare(frame):\n    return frame.assign(colour=frame.colour.astype(str))\n",
            "column colour of made is of type object after prepare()",
        ),
        (
            "def prepare(frame):\n    return frame.assign(size=frame['size'] * 1e300)\n",
            "column size has an infinite number, or one beyond 3.4e38",
        ),
        (
            (
                "import pandas as pd\n\ndef prepare(frame):\n"
                "    kinds = [str(n) for n in range(1200)]\n"
                "    return pd.DataFrame({'many': pd.Categorical(['1'] * len(frame), kinds)},"
                " index=frame.index)\n"
            ),
            "make 1,200 columns of numbers, at most 1,000; many alone has 1,200 levels",
        ),
    ],
)
def test_prepared_columns_that_no_container_reads_are_refused(
    model: str, words: str, s3: Any, jobs_python: Path, tmp_path: Path
) -> None:
    """The check names the column and what to do, before anything trains."""
    bench = Bench.of(document("binary", XGBOOST), s3, jobs_python, tmp_path, model)
    failed = bench.check(rows_of("binary"))
    assert failed.code != 0
    assert failed.failure.startswith("ModelError: ")
    assert words in failed.failure


def test_rows_too_few_to_validate_with_refuse_the_run(
    s3: Any, jobs_python: Path, tmp_path: Path
) -> None:
    """An empty validation channel would fail in the container, with words that tell nothing."""
    settings = document("binary", {**XGBOOST, "validation": 0.001})
    checked = Bench.of(settings, s3, jobs_python, tmp_path).check(rows_of("binary", 60))
    assert checked.code == 0, checked.log
    summary = checked.json("check/summary.json")
    assert summary["refused"] is True
    assert "train.validation" in summary["reason"]
