"""The transformer of models/stars with real torch: `make test-transformers`."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import LONGEST, PLACE, ROOT, as_model, small_network, torch_scores

sys.path[:0] = [str(ROOT / "layers" / "core"), str(ROOT)]

import finetune as training  # noqa: E402
from distilbert import WordPieces, words_of  # noqa: E402
from finetune import finetune  # noqa: E402

from cli.invented import REVIEW_COLUMNS, invent_review  # noqa: E402

WORDS = {1: "awful rubbish", 2: "poor", 3: "so so", 4: "nice", 5: "superb joy"}
SMALL = {"rate": 0.004, "epochs": 8, "width": 32, "heads": 2, "longest": 16, "batch": 8}


def rows(count: int = 120) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Reviews whose words tell their stars."""
    stars = np.arange(count) % 5
    texts = [f"{WORDS[star + 1]} thing number {place % 7}" for place, star in enumerate(stars)]
    return texts, stars, np.ones(count)


def train(told: list[dict[str, Any]], checkpoints: Path | None = None, **given: Any) -> Any:
    """Train on the rows; what is reported goes into `told`."""
    texts, stars, _ = rows(40)
    return finetune(
        rows(),
        (texts, stars),
        {**SMALL, **given},
        classes=5,
        checkpoints=checkpoints,
        report=lambda **figures: told.append(figures),
    )


def test_the_golden_scores_are_those_of_torch() -> None:
    """What `make test` holds numpy against is what torch computes today."""
    network, pieces = small_network()
    kept = json.loads((PLACE / "scores.json").read_text(encoding="utf-8"))
    found = torch_scores(network, pieces)
    assert np.allclose(found, kept["scores"], atol=1e-4)
    assert np.ptp(found, axis=0).min() > 0.1
    assert np.allclose(as_model(network, pieces).scores(kept["texts"]), found, atol=1e-4)


def test_a_tiny_model_learns_the_words() -> None:
    """On a vocabulary made of the texts: every review right; each epoch is reported."""
    told: list[dict[str, Any]] = []
    model = train(told)
    texts, stars, _ = rows(40)
    assert (model.scores(texts).argmax(axis=1) == stars).mean() == 1
    assert [line["round"] for line in told] == list(range(1, 9))
    assert told[-1]["train_loss"] < told[0]["train_loss"]
    assert told[-1]["validation_accuracy"] == 1
    assert np.allclose(model.usual, model.scores(rows()[0]).mean(axis=0))


def test_weights_count() -> None:
    """Rows of no weight teach nothing, however wrong their stars are."""
    texts, stars, weights = rows()
    wrong = ([*texts, *texts], np.append(stars, 4 - stars), np.append(weights, 0 * weights))
    model = finetune(wrong, ([], stars[:0]), SMALL, classes=5, checkpoints=None, report=None)
    assert (model.scores(texts).argmax(axis=1) == stars).mean() == 1


class Interrupted(Exception):
    """The machine is taken away."""


def test_an_interrupted_training_goes_on_to_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After two epochs of eight the other six are trained, and every weight is the same."""
    whole = train([])
    keep = training._keep

    def taken(saved: Any, epoch: int, *state: Any) -> None:
        keep(saved, epoch, *state)
        if epoch == 2:
            raise Interrupted

    monkeypatch.setattr(training, "_keep", taken)
    with pytest.raises(Interrupted):
        train([], tmp_path)
    monkeypatch.setattr(training, "_keep", keep)
    told: list[dict[str, Any]] = []
    resumed = train(told, tmp_path)
    assert "going on after epoch 2, from a checkpoint" in capsys.readouterr().out
    assert [line["round"] for line in told] == list(range(3, 9))
    for name, weights in whole.weights.items():
        assert np.allclose(weights, resumed.weights[name], atol=1e-6), name


@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_a_checkpoint_of_no_use_is_said_and_ignored(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cut off, missing or of other hyperparameters: the training starts afresh."""
    train([], tmp_path)
    file = tmp_path / training.STATE_FILE
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "gone":
        file.unlink()
    told: list[dict[str, Any]] = []
    train(told, tmp_path, **({"rate": 0.02} if damage == "other" else {}))
    assert "checkpoint ignored" in capsys.readouterr().out
    assert len(told) == SMALL["epochs"]


def test_words_are_split_as_berts_tokenizer_does(tmp_path: Path) -> None:
    """Our pieces are those of transformers' own tokenizer with the same vocabulary."""
    from transformers import BertTokenizer

    _, pieces = small_network()
    (tmp_path / "vocab.txt").write_text("\n".join(pieces.vocabulary), encoding="utf-8")
    theirs = BertTokenizer(str(tmp_path / "vocab.txt"))
    for text in ("Good book", "a kettle, that leaks badly!", "Café don't", "xyz good", ""):
        assert pieces.encode(text, LONGEST) == theirs.encode(text), text
    assert words_of("Café don't") == ["cafe", "don", "'", "t"]


def test_a_published_model_is_taken_up(tmp_path: Path) -> None:
    """From a folder as `save_pretrained` leaves it, like a model of the hub: vocabulary and all."""
    from transformers import DistilBertTokenizer

    network, pieces = small_network()
    network.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(pieces.vocabulary), encoding="utf-8")
    DistilBertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    model = train([], base=str(tmp_path), epochs=1, rate=1e-9, longest=512)
    assert model.pieces.vocabulary == pieces.vocabulary
    assert model.longest == LONGEST
    embeddings = model.weights["distilbert.embeddings.word_embeddings.weight"]
    kept = network.state_dict()["distilbert.embeddings.word_embeddings.weight"].numpy()
    assert np.allclose(embeddings, kept, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "words"),
    [({"heads": 3}, "must be a multiple of heads"), ({"epochs": 0}, "must be 1 or more")],
)
def test_what_cannot_be_trained_is_refused(given: dict[str, Any], words: str) -> None:
    """In words, before anything is trained."""
    with pytest.raises(ValueError, match=words):
        train([], **given)


def test_the_whole_loop_runs(tmp_path: Path) -> None:
    """`perennial check` of the project with this learner: trained, scored, judged, explained."""
    generator = random.Random(0)
    data = tmp_path / "reviews.csv"
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(REVIEW_COLUMNS)
        writer.writerows(invent_review(generator) for _ in range(6_000))
    sets = ("learner=distilbert", "rate=0.001", "epochs=2", "longest=48")
    done = subprocess.run(
        [sys.executable, "-m", "jobs.check_project", ROOT / "models" / "stars", data]
        + [part for each in sets for part in ("--set", f"train.hyperparameters.{each}")]
        + ["--keep", tmp_path / "kept"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["passed"]
    assert result["metrics"]["accuracy"] > 0.75
    assert {path.name for path in (tmp_path / "kept" / "model").iterdir()} >= {
        "distilbert.json",
        "distilbert.npz",
    }
    vocabulary = json.loads((tmp_path / "kept/model/distilbert.json").read_text())["vocabulary"]
    assert "excellent" in WordPieces(vocabulary).vocabulary
