"""The archive of a model that shares its endpoint with others: the approved one and its variables.

A container of several models has one environment for all of them. What a container of its own
would be told in variables stands in `perennial.json`, the first file of the archive:

    {"environment": {"PERENNIAL_MODEL_NAME": "census", "PERENNIAL_VERSION": "7", ...}}

Every other file is the approved archive's, byte for byte.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import BinaryIO

from perennial.domain.errors import Rejected

#: The file of the variables, at the archive's root.
VARIABLES_FILE = "perennial.json"
LEVEL = 6
READ = 1 << 20
FILE_MODE, FOLDER_MODE = 0o644, 0o755


def repack(source: BinaryIO, target: BinaryIO, environment: Mapping[str, str]) -> None:
    """Copy a model's tar.gz with its variables as first file; equal content gives equal bytes.

    Reads and writes as a stream, so neither needs to be seekable. Raises `Rejected`, in words, for
    what is no whole tar.gz, for links, devices and names that leave the folder, and for an archive
    that has the file already; `target` is then not to be used. Errors of reading `source` itself
    are its own.
    """
    with (
        gzip.GzipFile("", "wb", LEVEL, target, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as made,
    ):
        variables = variables_text(environment).encode()
        made.addfile(_member(VARIABLES_FILE, len(variables)), io.BytesIO(variables))
        try:
            _copy(source, made)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise Rejected(f"the model's archive is no whole tar.gz: {error}") from None


def variables_text(environment: Mapping[str, str]) -> str:
    """The content of `perennial.json`."""
    return json.dumps({"environment": dict(environment)}, sort_keys=True, indent=1) + "\n"


def read_variables(text: str) -> dict[str, str]:
    """The variables in the content of `perennial.json`; raises `Rejected` for another content."""
    try:
        found = json.loads(text)["environment"]
    except (ValueError, KeyError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Rejected(f'{VARIABLES_FILE} is not {{"environment": {{name: text}}}}')
    return found


def _copy(source: BinaryIO, made: tarfile.TarFile) -> None:
    # GzipFile, not tarfile's own r|gz: that one takes a truncated stream for a whole one.
    with gzip.GzipFile(fileobj=source, mode="rb") as unpacked:
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                _check(member)
                copied = _member(member.name, member.size)
                if member.isdir():
                    copied.type, copied.mode = tarfile.DIRTYPE, FOLDER_MODE
                    made.addfile(copied)
                else:
                    made.addfile(copied, archive.extractfile(member))
        while unpacked.read(READ):  # its checksum comes last
            pass


def _check(member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if not (member.isfile() or member.isdir()):
        raise Rejected(f"the model's archive holds {member.name!r}: no plain file")
    if path.is_absolute() or ".." in path.parts:
        raise Rejected(f"the model's archive holds {member.name!r}, outside its own folder")
    if path.parts[:1] == (VARIABLES_FILE,):
        raise Rejected(
            f"the model's archive holds {VARIABLES_FILE} already, where an endpoint of several "
            "models keeps the version's variables; let save() write it under another name, and push"
        )


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, FILE_MODE
    return member
