"""Where a job's files lie: SageMaker's container contract below /opt/ml.

A laptop without private mounts announces another root in SAGEMAKER_BASE_DIR, as Amazon's own
training toolkit does. Standard library only: the entry point needs it before anything is
installed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

STEPS = (
    *("check_data", "train", "evaluate", "compare", "measure_bias", "explain", "baseline"),
    *("smoke_test", "monitor", "pair_earlier"),
)


@dataclass(frozen=True)
class Paths:
    """The files of one job below its root."""

    base: Path

    @classmethod
    def of_environment(cls) -> Paths:
        """The paths of the job that this process runs in."""
        return cls(Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")))

    def input(self, name: str) -> Path:
        """The folder of a processing job's input."""
        return self.base / "processing" / "input" / name

    def output(self, name: str) -> Path:
        """The folder of a processing job's output, made if need be."""
        folder = self.base / "processing" / "output" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def channel(self, name: str) -> Path:
        """The folder of a training job's channel."""
        return self.base / "input" / "data" / name

    @property
    def hyperparameters(self) -> Path:
        """The training job's hyperparameters, every value a string."""
        return self.base / "input" / "config" / "hyperparameters.json"

    @property
    def model(self) -> Path:
        """The folder that becomes model.tar.gz."""
        folder = self.base / "model"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def checkpoints(self) -> Path:
        """The folder that a training job keeps across interruptions; it is there if it has one."""
        return self.base / "checkpoints"

    @property
    def failure(self) -> Path:
        """The first 1,024 characters of it become a training job's FailureReason."""
        return self.base / "output" / "failure"

    @property
    def message(self) -> Path:
        """The first 1,024 bytes of it become a processing job's ExitMessage."""
        return self.base / "output" / "message"

    def settings(self, step: str) -> Path:
        """The run's effective settings as the step is given them."""
        folder = self.channel("settings") if step == "train" else self.input("settings")
        return folder / "settings.json"
