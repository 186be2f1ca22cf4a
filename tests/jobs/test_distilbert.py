"""The transformer of models/stars where no torch is: scored by numpy, refused to be trained.

What needs torch is in tests/transformers (`make test-transformers`).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.jobs.conftest import ROOT
from tests.jobs.test_example_models import run

GOLDEN = Path(__file__).parent / "golden" / "distilbert"
STARS = ROOT / "models" / "stars"

# Scores the golden texts: together, one by one, and after a save and a load.
SCORE = """
import json, sys
from pathlib import Path
import numpy as np, pandas as pd
sys.path.insert(0, sys.argv[1])
import model
place, copy = Path(sys.argv[2]), Path(sys.argv[3])
made = model.load(str(place))
kept = json.loads((place / "scores.json").read_text(encoding="utf-8"))
frame = pd.DataFrame({"review": kept["texts"]})
model.save(made, str(copy))
shares, together = model.predict(made, frame), made.scores(kept["texts"])
explained = model.explain(made, frame).to_numpy().reshape(len(frame), 5, 2).sum(axis=2)
print(json.dumps({
    "torch": kept["scores"],
    "together": together.tolist(),
    "single": [made.scores([text])[0].tolist() for text in kept["texts"]],
    "copied": model.load(str(copy)).scores(kept["texts"]).tolist(),
    "none": made.scores([]).shape,
    "sums": shares.sum(axis=1).tolist(),
    "best": shares.argmax(axis=1).tolist(),
    "off": float(np.abs(explained - together).max()),
    "torch_is_here": __import__("importlib.util").util.find_spec("torch") is not None,
}))
"""
# Words of a review as places: any text has them, within bounds.
ENCODE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from distilbert import LAST, FIRST, WordPieces, vocabulary_of
texts = json.loads(sys.argv[2])
pieces = WordPieces(vocabulary_of(texts[:-2], 3))
coded = [pieces.encode(text, 12) for text in texts]
names = [[pieces.vocabulary[place] for place in row] for row in coded]
try:
    WordPieces(["good"])
    lacking = ""
except ValueError as error:
    lacking = str(error)
print(json.dumps({"names": names, "lacking": lacking}))
"""
TRAIN = """
import json, sys
import pandas as pd
sys.path.insert(0, sys.argv[1])
import model
rows, said = pd.DataFrame({"review": ["good", "bad"] * 9, "stars": [4, 0] * 9}), []
for learner in ("distilbert", "forest"):
    try:
        model.train(rows, rows[:0], {"learner": learner}, weights=pd.Series([1.0] * 18))
    except (RuntimeError, ValueError) as error:
        said.append(str(error))
print(json.dumps(said))
"""


def test_numpy_scores_as_torch_does(jobs_python: Path, tmp_path: Path) -> None:
    """The log-odds that torch gave a tiny DistilBERT, alone and in a batch, saved and loaded."""
    found = run(jobs_python, SCORE, STARS, GOLDEN, tmp_path)
    for way in ("together", "single", "copied"):
        for row, expected in zip(found[way], found["torch"], strict=True):
            assert row == pytest.approx(expected, abs=1e-4), way
    assert found["none"] == [0, 5]
    assert found["sums"] == pytest.approx([1] * 5)
    assert found["best"] == [row.index(max(row)) for row in found["torch"]]
    assert found["off"] < 1e-6
    assert not found["torch_is_here"]


def test_any_word_is_put_together(jobs_python: Path) -> None:
    """From frequent words and letters; marks at both ends, letters never seen are unknown."""
    texts = ["good good book", "good", "", "Café", "boge", "bonk"]
    found = run(jobs_python, ENCODE, STARS, Path(json.dumps(texts)))
    good, _, nothing, cafe, pieces, unseen = found["names"]
    assert good == ["[CLS]", "good", "good", "book", "[SEP]"]
    assert nothing == ["[CLS]", "[SEP]"]
    assert cafe == ["[CLS]", "cafe", "[SEP]"]
    assert pieces == ["[CLS]", "b", "##o", "##g", "##e", "[SEP]"]
    assert unseen == ["[CLS]", "[UNK]", "[SEP]"]
    assert found["lacking"] == "the vocabulary lacks [PAD], [UNK], [CLS], [SEP]"


def test_without_torch_the_learner_is_refused_in_words(jobs_python: Path) -> None:
    """Which package is missing, and what to set; an unknown learner is named."""
    lacking, unknown = run(jobs_python, TRAIN, STARS)
    assert "needs torch, and this image lacks it. Train on a GPU instance" in lacking
    assert unknown == "train.hyperparameters.learner is words or distilbert, not 'forest'"
