"""Model archives: unpacked for a job, packed for a server. Standard library only.

A server without a network cannot fetch its code, and one of several models has only one address
for it. So their archives have the code beside the model, below `code/`, as SageMaker lays it out.
To every job the model is what is left without it.
"""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from perennial.domain.file_digests import CODE_FOLDER, CODE_LISTING, read_listing
from perennial.domain.shared_archive import VARIABLES_FILE

from jobs.failures import SettingsError

ARCHIVE = "model.tar.gz"
#: `yes`: the server will find its code nowhere else, so it goes into the model's archive.
PACK_CODE = "PERENNIAL_PACK_CODE"


def unpack(source: Path, folder: Path) -> None:
    """Unpack the one model.tar.gz below `source`; names that leave the folder are refused.

    The server's code in it is left out: it is no part of the model.
    """
    archives = sorted(source.glob("*.tar.gz"))
    if len(archives) != 1:
        raise SettingsError(f"expected one model archive in {source}, found {len(archives)}")
    try:
        with tarfile.open(archives[0]) as archive:
            members = archive.getmembers()
            with_code = f"{CODE_FOLDER}/{CODE_LISTING}" in {each.name for each in members}
            for member in members:
                path = PurePosixPath(member.name)
                if (
                    path.is_absolute()
                    or ".." in path.parts
                    or not (member.isfile() or member.isdir())
                ):
                    raise SettingsError(f"the model archive holds {member.name!r}: no plain file")
                if not (with_code and path.parts[:1] == (CODE_FOLDER,)):
                    archive.extract(member, folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise SettingsError(f"cannot unpack {archives[0].name}: {error}") from None


def packs_code(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this job puts the server's code into the archive."""
    return environment.get(PACK_CODE) == "yes"


def code_files(root: Path, model: Path) -> dict[str, Path]:
    """The packed files of the code below `root` by their names in the archive of `model`.

    Raises `SettingsError` where there is no packed code, and for a model with files of its own in
    the place of the code or of the variables that an endpoint of several models needs.
    """
    for name, what in ((f"{CODE_FOLDER}/", "code"), (VARIABLES_FILE, "variables")):
        if (model / name).exists():
            raise SettingsError(
                f"the model has {name} of its own, where its server's {what} belongs in a stack "
                "without a network and on an endpoint of several models; let save() write it "
                "under another name, and push"
            )
    try:
        names = read_listing((root / CODE_LISTING).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"the code in {root} was not packed by `perennial push`: it has no {CODE_LISTING}"
        ) from None
    return {f"{CODE_FOLDER}/{name}": root / name for name in (CODE_LISTING, *names)}


def pack(folder: Path, target: Path, more: Mapping[str, Path] | None = None) -> None:
    """Write a folder as `target`, and `more` files by their names; equal content, equal bytes."""
    files = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    files |= more or {}
    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as content:
                archive.addfile(member, content)
