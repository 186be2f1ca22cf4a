"""Checkpoints of a training that may be interrupted: one file, written whole, checked when read.

    saved = Checkpoints(folder, key={"parameters": parameters, "rows": len(train)})
    found = saved.read()          # None: start afresh
    saved.write(rounds_done, text, state)

`folder` is the `checkpoints` that train() is given, None when the job keeps none. `key` says what
a checkpoint is good for: one of other hyperparameters or data is not taken up. What is damaged is
said and ignored: a training that starts afresh is late, one that goes on from rubbish is wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = "checkpoint.txt"


@dataclass(frozen=True)
class Checkpoint:
    """What was learned in `round` rounds; `state` holds plain JSON values."""

    round: int
    text: str
    state: Mapping[str, Any] = field(default_factory=dict)


class Checkpoints:
    """The newest checkpoint of one training."""

    def __init__(self, folder: Path | None, key: Any) -> None:
        self.path = folder / FILE if folder else None
        self.key = _digest(json.dumps(key, sort_keys=True, default=str))

    def read(self) -> Checkpoint | None:
        """The checkpoint that an interrupted training left, if one is there and fits."""
        if self.path is None or not self.path.exists():
            return None
        try:
            head, _, text = self.path.read_bytes().decode("utf-8").partition("\n")
            document = json.loads(head)
            found = Checkpoint(int(document["round"]), text, dict(document["state"]))
            digest, key = document["digest"], document["key"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.ignore(f"it is damaged ({type(error).__name__})")
            return None
        if digest != _digest(text):
            self.ignore("it is damaged (its content is not what was written)")
            return None
        if key != self.key:
            self.ignore("it is of other hyperparameters or other data")
            return None
        return found

    def ignore(self, why: str) -> None:
        """Say that the checkpoint that is there is of no use."""
        print(f"checkpoint ignored: {why}; the training starts afresh", flush=True)

    def write(self, done: int, text: str, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint, so that a reader finds the old one or the new one, whole."""
        if self.path is None:
            return
        head = {"round": done, "digest": _digest(text), "key": self.key, "state": dict(state)}
        beside = self.path.with_name(f"{FILE}.part")
        beside.write_bytes(f"{json.dumps(head)}\n{text}".encode())
        os.replace(beside, self.path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
