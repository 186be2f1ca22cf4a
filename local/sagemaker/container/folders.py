"""The folder that a job sees as `/opt/ml`, and where it lies on this machine."""

import contextlib
import os
import shutil
import stat
from pathlib import Path

OPT_ML = "/opt/ml"


class JobFolder:
    """One job's files: `ml` is what it sees as `/opt/ml`; the rest is ours.

    `private` says whether the job really sees them at `/opt/ml` (mount namespace) or only learns
    the paths from its environment and arguments.
    """

    def __init__(self, root: Path, *, private: bool) -> None:
        self.root = root
        self.private = private
        self.ml = root / "ml"
        self.scratch = root / "scratch"
        for folder in (self.ml, self.scratch / "tmp", self.scratch / "home", root / "stage"):
            folder.mkdir(parents=True)

    def real(self, seen: str) -> Path:
        """Where a path below `/opt/ml` lies on this machine."""
        if seen != OPT_ML and not seen.startswith(OPT_ML + "/"):
            raise ValueError(f"{seen} does not lie below {OPT_ML}")
        path = self.ml / seen[len(OPT_ML) :].lstrip("/")
        if not Path(os.path.normpath(path)).is_relative_to(self.ml):
            raise ValueError(f"{seen} leaves {OPT_ML}")
        return path

    def make(self, seen: str) -> Path:
        """Create the folder at a path below `/opt/ml`."""
        path = self.real(seen)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def as_seen(self, text: str) -> str:
        """A text with `/opt/ml` paths as the job must use them."""
        return text if self.private else text.replace(OPT_ML, str(self.ml))

    def remove(self) -> None:
        """Delete everything, whatever permissions the job left behind."""

        def unlock(function: object, path: str, _error: object) -> None:
            with contextlib.suppress(OSError):
                os.chmod(os.path.dirname(path), stat.S_IRWXU)
                os.chmod(path, stat.S_IRWXU)
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    os.unlink(path)

        shutil.rmtree(self.root, onerror=unlock)
