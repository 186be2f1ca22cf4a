"""DistilBERT for reviews, scored by numpy alone: whatever trained it, no job needs torch to use it.

The encoder is that of Sanh et al. 2019 (https://arxiv.org/abs/1910.01108) as transformers'
DistilBertForSequenceClassification computes it; weights keep the names that they have there.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import erf

CONFIG_FILE, WEIGHTS_FILE = "distilbert.json", "distilbert.npz"
PAD, UNKNOWN, FIRST, LAST = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SPECIAL = (PAD, UNKNOWN, FIRST, LAST, "[MASK]")
WORD = re.compile(r"\w+|[^\w\s]")
LONGEST_WORD = 100
TINY = 1e-12  # added to a variance, as in the published model
BATCH = 32
Array = np.ndarray


def vocabulary_of(texts: Iterable[str], most: int) -> list[str]:
    """The special tokens, all characters and `most` words: they make up any word of the texts."""
    counts = Counter(word for text in texts for word in words_of(text))
    characters = sorted({letter for word in counts for letter in word})
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[:most]
    pieces = [*characters, *(f"##{letter}" for letter in characters), *frequent]
    return [*SPECIAL, *dict.fromkeys(pieces)]


def words_of(text: str) -> list[str]:
    """Words and marks in small letters without accents, as BERT's uncased tokenizer splits them."""
    plain = unicodedata.normalize("NFD", text.lower())
    return WORD.findall("".join(c for c in plain if unicodedata.category(c) != "Mn"))


class WordPieces:
    """A vocabulary, and how text becomes places in it: each word by its longest known pieces."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self._places = {piece: place for place, piece in enumerate(self.vocabulary)}
        missing = [piece for piece in (PAD, UNKNOWN, FIRST, LAST) if piece not in self._places]
        if missing:
            raise ValueError(f"the vocabulary lacks {', '.join(missing)}")
        self.pad = self._places[PAD]

    def encode(self, text: str, longest: int) -> list[int]:
        """At most `longest` places, the first and the last of them the marks of a text's ends."""
        pieces = [place for word in words_of(text) for place in self._pieces(word)]
        return [self._places[FIRST], *pieces[: longest - 2], self._places[LAST]]

    def _pieces(self, word: str) -> list[int]:
        found, start = [], 0
        while start < len(word) <= LONGEST_WORD:
            for end in range(len(word), start, -1):
                piece = word[start:end] if start == 0 else f"##{word[start:end]}"
                if piece in self._places:
                    found.append(self._places[piece])
                    start = end
                    break
            else:
                return [self._places[UNKNOWN]]
        return found or [self._places[UNKNOWN]]


@dataclass(frozen=True)
class DistilBert:
    """A trained classifier; `usual` is the mean of its scores in training, for explanations."""

    pieces: WordPieces
    weights: dict[str, Array]
    heads: int
    longest: int
    usual: Array

    def scores(self, texts: Sequence[str]) -> Array:
        """The log-odds of each class (columns) for each text (rows), up to a row's constant."""
        coded = [self.pieces.encode(text, self.longest) for text in texts]
        found = np.zeros((len(coded), len(self.weights["classifier.bias"])))
        # Texts of like length together: what is filled up is computed in vain.
        order = sorted(range(len(coded)), key=lambda row: len(coded[row]))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            found[rows] = self._score([coded[row] for row in rows])
        return found

    def _score(self, coded: Sequence[Sequence[int]]) -> Array:
        width = max(map(len, coded))
        tokens = np.full((len(coded), width), self.pieces.pad)
        for row, places in enumerate(coded):
            tokens[row, : len(places)] = places
        # What fills a short text up is given no attention.
        hidden = np.where(np.arange(width) < [[len(places)] for places in coded], 0.0, -np.inf)
        named = "distilbert.embeddings"
        state = self.weights[f"{named}.word_embeddings.weight"][tokens]
        state = state + self.weights[f"{named}.position_embeddings.weight"][:width]
        state = self._normal(state, f"{named}.LayerNorm")
        layer = 0
        while f"distilbert.transformer.layer.{layer}.ffn.lin1.weight" in self.weights:
            state = self._layer(state, hidden, f"distilbert.transformer.layer.{layer}")
            layer += 1
        pooled = np.maximum(self._linear(state[:, 0], "pre_classifier"), 0)
        return self._linear(pooled, "classifier")

    def _layer(self, state: Array, hidden: Array, name: str) -> Array:
        seen = self._attention(state, hidden, f"{name}.attention")
        state = self._normal(seen + state, f"{name}.sa_layer_norm")
        inner = self._linear(state, f"{name}.ffn.lin1")
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))  # GELU
        return self._normal(
            self._linear(inner, f"{name}.ffn.lin2") + state, f"{name}.output_layer_norm"
        )

    def _attention(self, state: Array, hidden: Array, name: str) -> Array:
        rows, width, size = state.shape

        def split(part: str) -> Array:
            made = self._linear(state, f"{name}.{part}")
            return made.reshape(rows, width, self.heads, -1).transpose(0, 2, 1, 3)

        asked, offered, values = split("q_lin"), split("k_lin"), split("v_lin")
        fit = asked @ offered.transpose(0, 1, 3, 2) / np.sqrt(size // self.heads)
        fit = fit + hidden[:, None, None, :]
        share = np.exp(fit - fit.max(axis=-1, keepdims=True))
        share /= share.sum(axis=-1, keepdims=True)
        together = (share @ values).transpose(0, 2, 1, 3).reshape(rows, width, size)
        return self._linear(together, f"{name}.out_lin")

    def _linear(self, state: Array, name: str) -> Array:
        return state @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _normal(self, state: Array, name: str) -> Array:
        off = state - state.mean(axis=-1, keepdims=True)
        scale = np.sqrt((off**2).mean(axis=-1, keepdims=True) + TINY)
        return off / scale * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def save(model: DistilBert, folder: Path) -> None:
    """The vocabulary as JSON, the weights as npz: both can be read without running any code."""
    config = {
        "vocabulary": model.pieces.vocabulary,
        "heads": model.heads,
        "longest": model.longest,
        "usual": model.usual.tolist(),
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config), encoding="utf-8")
    np.savez(folder / WEIGHTS_FILE, **model.weights)


def load(folder: Path) -> DistilBert:
    """Read back what `save` wrote."""
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    with np.load(folder / WEIGHTS_FILE, allow_pickle=False) as file:
        weights = {name: file[name] for name in file.files}
    return DistilBert(
        pieces=WordPieces(config["vocabulary"]),
        weights=weights,
        heads=int(config["heads"]),
        longest=int(config["longest"]),
        usual=np.array(config["usual"]),
    )
