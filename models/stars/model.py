"""How many stars does a review give?

By default TF-IDF of its words and word pairs, and logistic regression; with the hyperparameter
`learner: distilbert` a transformer, trained on a GPU instance (`finetune`) and scored everywhere
(`distilbert`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distilbert
import numpy as np
import pandas as pd
from distilbert import DistilBert
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

LABEL, TEXT = "stars", "review"
STARS = 5
WORD = r"\S+"  # prepare() leaves blanks between words only
# A class that no training row has: a probability of about 1e-9.
NEVER_SEEN = -20.0
# So many words are told one by one in explanations; what the others add is one sum.
TOLD = 40
OTHERS = "other words"
WORDS_FILE, NUMBERS_FILE = "words.json", "numbers.npz"


@dataclass(frozen=True)
class Model:
    """Log-odds of each class: `intercept` + the row's TF-IDF values times `weights`.

    `usual` is the mean TF-IDF value of each word in training, against which words are explained;
    `told` are the columns of those that explanations name.
    """

    words: list[str]
    idf: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    usual: np.ndarray
    told: np.ndarray

    def values(self, frame: pd.DataFrame) -> csr_matrix:
        """The TF-IDF value of each word (columns) in each review (rows)."""
        vectorizer = words_and_pairs(vocabulary=self.words)
        vectorizer.idf_ = self.idf
        return vectorizer.transform(frame[TEXT])


def words_and_pairs(**given: Any) -> TfidfVectorizer:
    """Single words and pairs: `good` and `not good` are different things."""
    return TfidfVectorizer(
        lowercase=False, token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True, **given
    )


def prepare(frame: pd.DataFrame) -> pd.DataFrame:
    """The review's words in small letters, without punctuation; nothing is learned here."""
    text = frame[TEXT].astype(str).str.lower()
    words = text.str.replace(r"[^\w']+", " ", regex=True).str.strip()
    return pd.DataFrame({TEXT: words}, index=frame.index)


def train(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    hyperparameters: dict[str, Any],
    *,
    weights: pd.Series,
    checkpoints: Path | None = None,
    report: Callable[..., None] | None = None,
) -> Model | DistilBert:
    """Train what the hyperparameter `learner` names: `words` (the default) or `distilbert`."""
    learner = str(hyperparameters.get("learner", "words"))
    if learner == "words":
        return train_words(train, hyperparameters, weights)
    if learner != "distilbert":
        raise ValueError(f"train.hyperparameters.learner is words or distilbert, not {learner!r}")
    from finetune import finetune  # noqa: PLC0415 - no other step needs what it imports

    return finetune(
        (train[TEXT].tolist(), train[LABEL].to_numpy(int), weights.to_numpy(float)),
        (validation[TEXT].tolist(), validation[LABEL].to_numpy(int)),
        hyperparameters,
        classes=STARS,
        checkpoints=checkpoints,
        report=report,
    )


def train_words(train: pd.DataFrame, hyperparameters: dict[str, Any], weights: pd.Series) -> Model:
    """Learn the words that occur in at least `min_rows` reviews, the `words` most frequent."""
    vectorizer = words_and_pairs(
        max_features=int(hyperparameters.get("words", 5000)),
        min_df=int(hyperparameters.get("min_rows", 3)),
    )
    table = vectorizer.fit_transform(train[TEXT])
    learner = LogisticRegression(C=float(hyperparameters.get("strength", 4.0)), max_iter=1000)
    learner.fit(table, train[LABEL].to_numpy(int), sample_weight=weights.to_numpy(float))
    learned, biases = learner.coef_, learner.intercept_
    if len(learner.classes_) == 2:  # scikit-learn then keeps one row, for the second class
        learned, biases = np.vstack([-learned, learned]) / 2, np.hstack([-biases, biases]) / 2
    coefficients = np.zeros((STARS, table.shape[1]))
    intercept = np.full(STARS, NEVER_SEEN)
    coefficients[learner.classes_], intercept[learner.classes_] = learned, biases
    usual = np.asarray(table.mean(axis=0)).ravel()
    # A word tells much when its value differs between reviews and so does its weight by class.
    spread = np.sqrt(np.asarray(table.multiply(table).mean(axis=0)).ravel() - usual**2)
    telling = np.argsort(-spread * np.ptp(coefficients, axis=0), kind="stable")[:TOLD]
    names = vectorizer.get_feature_names_out().tolist()
    return Model(names, vectorizer.idf_, coefficients, intercept, usual, np.sort(telling))


def predict(model: Model | DistilBert, frame: pd.DataFrame) -> np.ndarray:
    """The probability of each number of stars, from 1 to 5."""
    if isinstance(model, DistilBert):
        odds = model.scores(frame[TEXT].tolist())
    else:
        odds = np.asarray(model.values(frame) @ model.weights.T) + model.intercept
    shares = np.exp(odds - odds.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def explain(model: Model | DistilBert, frame: pd.DataFrame) -> pd.DataFrame:
    """What adds to the log-odds of each class: of the learner `words`, its words, one by one.

    A transformer weighs no word by itself: its review as a whole adds all that differs from the
    usual score, which is exact, as there is no other feature.
    """
    if not isinstance(model, DistilBert):
        return explain_words(model, frame)
    off = model.scores(frame[TEXT].tolist()) - model.usual
    found = {}
    for code in range(STARS):
        found[f"{TEXT}:{code}"] = off[:, code]
        found[f"expected_value:{code}"] = np.full(len(frame), model.usual[code])
    return pd.DataFrame(found, index=frame.index)


def explain_words(model: Model, frame: pd.DataFrame) -> pd.DataFrame:
    """What each telling word adds to the log-odds of each class, and what all others add.

    Exact, as the model is linear: a word adds its weight times how far its value lies from the
    usual one. A telling word that is missing adds something too.
    """
    values = model.values(frame)
    names = [model.words[place] for place in model.told]
    off = values[:, model.told].toarray() - model.usual[model.told]
    found = {}
    for code in range(STARS):
        weights = model.weights[code]
        expected = float(model.intercept[code] + model.usual @ weights)
        added = off * weights[model.told]
        in_all = np.asarray(values @ weights) - model.usual @ weights
        for place, name in enumerate(names):
            found[f"{name}:{code}"] = added[:, place]
        found[f"{OTHERS}:{code}"] = in_all - added.sum(axis=1)
        found[f"expected_value:{code}"] = np.full(len(frame), expected)
    return pd.DataFrame(found, index=frame.index)


def save(model: Model | DistilBert, folder: str) -> None:
    """Words as JSON, numbers as npz: both can be read without running any code."""
    if isinstance(model, DistilBert):
        distilbert.save(model, Path(folder))
        return
    (Path(folder) / WORDS_FILE).write_text(json.dumps(model.words), encoding="utf-8")
    np.savez_compressed(
        Path(folder) / NUMBERS_FILE,
        idf=model.idf,
        weights=model.weights,
        intercept=model.intercept,
        usual=model.usual,
        told=model.told,
    )


def load(folder: str) -> Model | DistilBert:
    """Read back what `save` wrote."""
    if (Path(folder) / distilbert.CONFIG_FILE).exists():
        return distilbert.load(Path(folder))
    words = json.loads((Path(folder) / WORDS_FILE).read_text(encoding="utf-8"))
    with np.load(Path(folder) / NUMBERS_FILE, allow_pickle=False) as numbers:
        return Model(words, **{name: numbers[name] for name in numbers.files})
