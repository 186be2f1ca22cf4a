"""Trains DistilBERT with torch and transformers, which AWS's Hugging Face images bring along.

`base` names a published model (fetched from the Hugging Face hub, or a folder that holds it), or
is `fresh`: a small one with a vocabulary of the training texts, which a CPU trains in a minute.
Every epoch reports its figures and leaves a checkpoint; what was interrupted goes on from there,
to the same model as without.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from distilbert import SPECIAL, DistilBert, WordPieces, vocabulary_of

from jobs.checkpoints import Checkpoints

FRESH = "fresh"
LACKING = (
    "train.hyperparameters.learner is distilbert, which needs {name}, and this image lacks it. "
    "Train on a GPU instance with a Hugging Face image (README.md of the project), "
    "or set learner: words"
)
STATE_FILE = "epoch.pt"
MOST_USUAL = 500  # rows whose mean score explanations start from


@dataclass(frozen=True)
class Plan:
    """How to train: hyperparameters of model.yaml, each with the value that it has without."""

    base: str = FRESH
    epochs: int = 3
    batch: int = 16
    rate: float = 5e-5
    longest: int = 128
    words: int = 5000
    layers: int = 2
    width: int = 64
    heads: int = 4


@dataclass(frozen=True)
class Rows:
    """Texts as places in the vocabulary, with the class and the weight of each."""

    coded: list[list[int]]
    labels: np.ndarray
    weights: np.ndarray
    pad: int


def plan_of(hyperparameters: dict[str, Any]) -> Plan:
    """The plan that hyperparameters ask for; raises `ValueError` for what cannot be trained."""
    given = {
        name: type(default)(hyperparameters[name])
        for name, default in vars(Plan()).items()
        if name in hyperparameters
    }
    plan = Plan(**given)
    if plan.longest < 3 or min(plan.epochs, plan.batch, plan.layers, plan.heads) < 1:
        raise ValueError(f"epochs, batch, layers, heads must be 1 or more, longest 3: {plan}")
    if plan.base == FRESH and plan.width % plan.heads:
        raise ValueError(f"width ({plan.width}) must be a multiple of heads ({plan.heads})")
    return plan


def finetune(
    train: tuple[Sequence[str], np.ndarray, np.ndarray],
    validation: tuple[Sequence[str], np.ndarray],
    hyperparameters: dict[str, Any],
    *,
    classes: int,
    checkpoints: Path | None,
    report: Callable[..., None] | None,
) -> DistilBert:
    """Train on texts, labels and weights; the model as numpy arrays."""
    torch = _torch()
    plan = plan_of(hyperparameters)
    texts, labels, weights = train
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    network, pieces = _network(plan, texts, classes)
    longest = min(plan.longest, network.config.max_position_embeddings)
    tell(f"training DistilBERT ({plan.base}) on {device}: {len(texts):,} texts")
    network.to(device)
    rows = Rows([pieces.encode(text, longest) for text in texts], labels, weights, pieces.pad)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.rate)
    saved = Checkpoints(checkpoints, {"plan": vars(plan), "data": _digest(texts, labels, weights)})
    done = _resume(saved, network, optimizer, device)
    for epoch in range(done + 1, plan.epochs + 1):
        loss = _epoch(network, optimizer, rows, plan.batch, epoch)
        _keep(saved, epoch, network, optimizer)
        if report is not None:
            report(round=epoch, train_loss=loss, **_validate(network, pieces, longest, validation))
    return _as_numpy(network, pieces, longest, texts)


def tell(words: str) -> None:
    """A line of the job's log."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def _torch() -> Any:
    try:
        import torch  # noqa: PLC0415 - the words learner and every scoring do without
        import transformers  # noqa: F401, PLC0415 - as above
    except ImportError as error:
        raise RuntimeError(LACKING.format(name=error.name)) from None
    return torch


def _network(plan: Plan, texts: Sequence[str], classes: int) -> tuple[Any, WordPieces]:
    from transformers import (  # noqa: PLC0415 - as in _torch
        AutoTokenizer,
        DistilBertConfig,
        DistilBertForSequenceClassification,
    )

    if plan.base != FRESH:
        network = DistilBertForSequenceClassification.from_pretrained(plan.base, num_labels=classes)
        places = AutoTokenizer.from_pretrained(plan.base).get_vocab()
        return network, WordPieces(sorted(places, key=lambda piece: places[piece]))
    vocabulary = vocabulary_of(texts, plan.words)
    config = DistilBertConfig(
        vocab_size=len(vocabulary),
        pad_token_id=SPECIAL.index("[PAD]"),
        dim=plan.width,
        hidden_dim=4 * plan.width,
        n_layers=plan.layers,
        n_heads=plan.heads,
        max_position_embeddings=plan.longest,
        num_labels=classes,
    )
    return DistilBertForSequenceClassification(config), WordPieces(vocabulary)


def _epoch(network: Any, optimizer: Any, rows: Rows, size: int, epoch: int) -> float:
    """One pass over all rows in an order that follows from the epoch's number; its mean loss."""
    torch = _torch()
    torch.manual_seed(epoch)  # of dropout: an interrupted training must not differ
    network.train()
    total = weight = 0.0
    for tokens, mask, picked in _batches(rows, size, epoch):
        device = network.device
        answer = network(input_ids=tokens.to(device), attention_mask=mask.to(device)).logits
        wanted = torch.tensor(rows.labels[picked], device=device)
        weights = torch.tensor(rows.weights[picked], dtype=answer.dtype, device=device)
        losses = torch.nn.functional.cross_entropy(answer, wanted, reduction="none")
        loss = (losses * weights).sum() / weights.sum().clamp(min=1e-12)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        total += float((losses * weights).sum().detach())
        weight += float(weights.sum())
    return total / weight if weight else 0.0


def _batches(rows: Rows, size: int, epoch: int) -> Iterator[tuple[Any, Any, np.ndarray]]:
    """Tokens and masks of a few rows at a time, drawn in the order of this epoch."""
    torch, coded = _torch(), rows.coded
    order = np.random.default_rng(epoch).permutation(len(coded))
    for start in range(0, len(order), size):
        picked = order[start : start + size]
        width = max(len(coded[row]) for row in picked)
        tokens = torch.full((len(picked), width), rows.pad)
        for place, row in enumerate(picked):
            tokens[place, : len(coded[row])] = torch.tensor(coded[row])
        lengths = torch.tensor([[len(coded[row])] for row in picked])
        yield tokens, (torch.arange(width) < lengths).long(), picked


def _validate(
    network: Any, pieces: WordPieces, longest: int, validation: tuple[Sequence[str], np.ndarray]
) -> dict[str, float]:
    """Accuracy on the validation rows, computed as the jobs will compute it; none without rows."""
    texts, labels = validation
    if not len(texts):
        return {}
    found = _as_numpy(network, pieces, longest, ()).scores(texts).argmax(axis=1)
    return {"validation_accuracy": float((found == labels).mean())}


def _as_numpy(network: Any, pieces: WordPieces, longest: int, texts: Sequence[str]) -> DistilBert:
    weights = {
        name: tensor.detach().cpu().numpy().astype(np.float32)
        for name, tensor in network.state_dict().items()
    }
    heads, classes = network.config.n_heads, network.config.num_labels
    model = DistilBert(pieces, weights, heads, longest, np.zeros(classes))
    if not len(texts):
        return model
    usual = model.scores(list(texts)[:MOST_USUAL]).mean(axis=0)
    return DistilBert(pieces, weights, heads, longest, usual)


def _resume(saved: Checkpoints, network: Any, optimizer: Any, device: str) -> int:
    """Take up an interrupted training; the epochs that are done already, 0 to start afresh."""
    found = saved.read()
    if found is None or saved.path is None:
        return 0
    file = saved.path.with_name(STATE_FILE)
    if not file.is_file() or _sha256(file) != found.text:
        saved.ignore(f"{STATE_FILE} is missing or is not what was written")
        return 0
    state = _torch().load(file, map_location=device, weights_only=True)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    tell(f"going on after epoch {found.round}, from a checkpoint")
    return found.round


def _keep(saved: Checkpoints, epoch: int, network: Any, optimizer: Any) -> None:
    """The state first, then the note that names it: an end in between leaves nothing that fits."""
    if saved.path is None:
        return
    file = saved.path.with_name(STATE_FILE)
    part = file.with_suffix(".part")
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    _torch().save(state, part)
    digest = _sha256(part)
    os.replace(part, file)
    saved.write(epoch, digest, {})


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        digest = hashlib.sha256()
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _digest(texts: Sequence[str], labels: np.ndarray, weights: np.ndarray) -> str:
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass"))
    digest.update(np.asarray(labels, dtype=np.int64).tobytes())
    digest.update(np.asarray(weights, dtype=np.float64).tobytes())
    return digest.hexdigest()
