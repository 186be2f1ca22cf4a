"""A tiny DistilBERT of rounded random weights, and what torch makes of a few reviews with it.

`python tests/transformers/golden.py` writes tests/jobs/golden/distilbert anew (after
`make test-transformers` has made its environment); `make test` holds the numpy scoring against it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "models" / "stars"), str(ROOT)]

from distilbert import SPECIAL, DistilBert, WordPieces, save, vocabulary_of  # noqa: E402

PLACE = ROOT / "tests" / "jobs" / "golden" / "distilbert"
TEXTS = (
    "good book",
    "a kettle that leaks badly",
    "not good not bad",
    "",
    "Café's lamp 漢字 unbelievably bright " * 3,
)
LONGEST = 24


def small_network() -> tuple[Any, WordPieces]:
    """Two layers of eight, whose weights are random, rounded and so large that all of them tell."""
    import torch
    from transformers import (
        DistilBertConfig,
        DistilBertForSequenceClassification,
    )

    pieces = WordPieces(vocabulary_of(TEXTS[:3], 8))
    config = DistilBertConfig(
        vocab_size=len(pieces.vocabulary),
        pad_token_id=SPECIAL.index("[PAD]"),
        dim=8,
        hidden_dim=16,
        n_layers=2,
        n_heads=2,
        max_position_embeddings=LONGEST,
        num_labels=5,
    )
    network = DistilBertForSequenceClassification(config).eval()
    draw = np.random.default_rng(0)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            # What scales a normal state lies around 1, else the texts could not be told apart.
            middle = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            drawn = np.round(draw.normal(middle, 0.5, tuple(tensor.shape)), 3)
            tensor.copy_(torch.tensor(drawn))
    return network, pieces


def torch_scores(network: Any, pieces: WordPieces) -> np.ndarray:
    """What torch gives, one text after the other, without any filling up."""
    import torch

    with torch.no_grad():
        rows = [
            network(input_ids=torch.tensor([pieces.encode(text, LONGEST)])).logits[0].numpy()
            for text in TEXTS
        ]
    return np.array(rows, dtype=float)


def as_model(network: Any, pieces: WordPieces) -> DistilBert:
    """The same weights for numpy."""
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    return DistilBert(pieces, weights, 2, LONGEST, np.zeros(5))


def write() -> None:
    """Write the model and torch's scores."""
    network, pieces = small_network()
    PLACE.mkdir(parents=True, exist_ok=True)
    save(as_model(network, pieces), PLACE)
    found = {"texts": TEXTS, "scores": torch_scores(network, pieces).tolist()}
    text = json.dumps(found, ensure_ascii=False, indent=1)
    (PLACE / "scores.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
