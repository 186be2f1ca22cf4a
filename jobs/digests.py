"""Whether the files of a model and of its code are those that were judged.

A server sees unpacked folders, never the archives. So the evaluation, which reads both, writes
down the digests of their files; they travel through verdict and registry into the server's
environment, and the server refuses whatever else it finds. Standard library only.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from perennial.domain.file_digests import CODE_FOLDER, CODE_LISTING, digest_of, read_listing
from perennial.domain.shared_archive import VARIABLES_FILE

from jobs.failures import SettingsError

MODEL_VARIABLE = "PERENNIAL_MODEL_FILES_SHA256"
CODE_VARIABLE = "PERENNIAL_CODE_FILES_SHA256"
UNVERIFIED_VARIABLE = "PERENNIAL_UNVERIFIED"
READ = 1 << 20
# What Amazon's toolkits and Python put beside the code before it is imported.
ADDED_FILES = frozenset({"setup.py", "setup.cfg", "MANIFEST.in"})
ADDED_FOLDERS = ("build", "__pycache__")
MOST_NAMED = 3


class WrongFiles(SettingsError):
    """The files are not those that were judged; the text says which variable named others."""


def file_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder by its path; raises `WrongFiles` for a link."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise WrongFiles(f"{path} is a link; a model and its code are plain files")
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = file_digest(path)
    return found


def file_digest(path: Path) -> str:
    """The SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ):
            digest.update(piece)
    return digest.hexdigest()


def packed_code(model: Path) -> Path | None:
    """The server's code in an unpacked model; None: it has to be fetched from elsewhere."""
    folder = model / CODE_FOLDER
    return folder if (folder / CODE_LISTING).is_file() else None


def model_digest(folder: Path, besides: frozenset[str] = frozenset()) -> str:
    """The digest of a model's files; packed code beside them has one of its own.

    Files `besides` are none of the model's: what a release added to its archive.
    """
    files = file_digests(folder)
    is_packed = packed_code(folder) is not None
    return digest_of(
        {
            path: each
            for path, each in files.items()
            if path not in besides and not (is_packed and _is_code(path))
        }
    )


def _is_code(path: str) -> bool:
    return path.startswith(f"{CODE_FOLDER}/")


def code_digest(root: Path) -> str | None:
    """The digest of the packed files in a code folder as they are now; None in a checkout.

    Raises `WrongFiles` when one of them is missing.
    """
    listed = _listed(root)
    missing = [path for path in listed if not (root / path).is_file()]
    if missing:
        raise WrongFiles(f"the code in {root} lacks packed files: {_named(missing)}")
    return digest_of({path: file_digest(root / path) for path in listed}) if listed else None


def check_nothing_added(root: Path) -> None:
    """Raise `WrongFiles` when files lie in a code folder that were not packed: Python might
    import them instead of the packed ones."""
    listed = {CODE_LISTING, *_listed(root)}
    added = [path for path in _paths(root) if path not in listed and not _is_added(path)]
    if added:
        raise WrongFiles(f"the code in {root} has files that were not packed: {_named(added)}")


def _listed(root: Path) -> list[str]:
    try:
        return list(read_listing((root / CODE_LISTING).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise WrongFiles(f"{CODE_LISTING} of the code cannot be read: {error}") from None


def _named(paths: list[str]) -> str:
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    return ", ".join(sorted(paths)[:MOST_NAMED]) + more


def verify_shared(model: Path, root: Path, environment: Mapping[str, str]) -> None:
    """`verify` of one model of several: beside its files lies that of its variables."""
    verify(model, root, environment, frozenset({VARIABLES_FILE}))


def verify(
    model: Path,
    root: Path,
    environment: Mapping[str, str] = os.environ,
    besides: frozenset[str] = frozenset(),
) -> None:
    """Raise `WrongFiles` unless model and code are what the environment's variables name.

    PERENNIAL_UNVERIFIED=yes leaves both checks out. `besides`: as `model_digest` has it.
    """
    if environment.get(UNVERIFIED_VARIABLE) == "yes":
        return
    for what, variable in (("model", MODEL_VARIABLE), ("code", CODE_VARIABLE)):
        if not environment.get(variable):
            raise WrongFiles(
                f"nothing says which {what} was judged: the variable {variable} is not set. Serve "
                "a registered version, whose package names it; or, to try a model out by hand, "
                f"set {UNVERIFIED_VARIABLE}=yes"
            )
    found = model_digest(model, besides)
    if found != environment[MODEL_VARIABLE]:
        raise _other("model", model, found, MODEL_VARIABLE, environment)
    # Amazon's toolkit copies packed code before it is imported, so there may be two folders of it.
    packed = packed_code(model)
    for folder in {root.resolve(), *([packed.resolve()] if packed else [])}:
        _verify_code(folder, environment)


def _verify_code(root: Path, environment: Mapping[str, str]) -> None:
    code = code_digest(root)
    if code != environment[CODE_VARIABLE]:
        none = f"nothing (no {CODE_LISTING})"
        raise _other("code", root, code or none, CODE_VARIABLE, environment)
    check_nothing_added(root)


def _other(
    what: str, folder: Path, found: str, variable: str, environment: Mapping[str, str]
) -> WrongFiles:
    return WrongFiles(
        f"the {what} in {folder} is not the one that was judged: its files have the digest "
        f"{found}, {variable} names {environment[variable]}. Nothing is served. Find out who "
        "changed it, then release the version again"
    )


def _paths(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def _is_added(path: str) -> bool:
    parts = path.split("/")
    return (
        path in ADDED_FILES
        or parts[0] in ADDED_FOLDERS
        or "__pycache__" in parts
        or parts[0].endswith(".egg-info")
    )
