"""A model whose server serves others too: its variables lie in its own archive, as does its code.

Standard library only: the image imports its own packages first, and what the model needs of
others has to be brought before anything of them is imported. docs/serving.md tells the whole.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from perennial.domain.errors import Rejected
from perennial.domain.shared_archive import VARIABLES_FILE, read_variables

from jobs import environment
from jobs.digests import WrongFiles
from jobs.failures import RequirementsError

NAME, VERSION = "PERENNIAL_MODEL_NAME", "PERENNIAL_VERSION"
AGAIN = "Release the version again: the release writes the file"


def variables(folder: Path) -> dict[str, str]:
    """What a container of its own would be told; raises `WrongFiles` when the model lacks it."""
    path = folder / VARIABLES_FILE
    try:
        found = read_variables(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WrongFiles(f"the model in {folder} has no {VARIABLES_FILE}. {AGAIN}") from None
    except (OSError, ValueError, Rejected) as error:
        raise WrongFiles(f"{path} cannot be read: {error}. {AGAIN}") from None
    if not found.get(NAME) or not found.get(VERSION, "").isdecimal():
        raise WrongFiles(f"{path} does not say which model's which version it is. {AGAIN}")
    return found


def check_name(name: str, told: Mapping[str, str]) -> None:
    """Raise `WrongFiles` unless the model that was loaded is the one that the variables name."""
    if name != told[NAME]:
        raise WrongFiles(f"the archive of {told[NAME]} {told[VERSION]} holds model {name}. {AGAIN}")


def check_code(root: Path) -> None:
    """Raise `WrongFiles` unless this very code is the model's own, below `root`."""
    place = Path(__file__).resolve().parents[1]
    if place != root.resolve():
        raise WrongFiles(
            f"the code that runs is of {place}, the model's own lies in {root}: a process serves "
            "one model only"
        )


def bring_packages(root: Path) -> None:
    """Put what the code's requirements.txt asks for before what the image has.

    Raises `RequirementsError` when it cannot be installed, or comes too late: what has been
    imported in another version stays.
    """
    late = environment.imported_otherwise((root / "requirements.txt").read_text(encoding="utf-8"))
    if late:
        raise RequirementsError(
            f"the model needs {', '.join(late)}; this server has imported other versions before "
            "it. Release the model to an endpoint of its own, or let the endpoint be made anew "
            "by a release with this version of Perennial"
        )
    packages = environment.ensure(root)
    if packages is not None:
        sys.path.insert(0, str(packages))
