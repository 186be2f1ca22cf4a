"""The archive of a model that shares its endpoint with others: the approved one and its variables.

A container of several models has one environment for all of them. What a container of its own
would be told in variables stands in `perennial.json`, the first file of the archive:

    {"environment": {"PERENNIAL_MODEL_NAME": "census", "PERENNIAL_VERSION": "7", ...}}

Every other file is the approved archive's, byte for byte.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import BinaryIO

from perennial.domain.errors import Rejected
from perennial.domain.file_digests import CODE_FOLDER

#: Where the packed code keeps the packages that the project adds to those of all jobs.
OWN_PACKAGES = f"{CODE_FOLDER}/project/requirements.txt"
OWN_PACKAGES_WORDS = (
    "the project has a requirements.txt of its own, and models that share an endpoint have one "
    "environment, that of jobs/requirements.txt. Write kind: instances in model.yaml and push"
)
#: The file of the variables, at the archive's root.
VARIABLES_FILE = "perennial.json"
#: What the server of several models has itself: the module it asks, and the packages of all.
SERVER_FILES = ("requirements.txt", "serve.py")
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
        with _whole(source) as archive:
            for member in archive:
                _check(member)
                copied = _member(member.name, member.size)
                if member.isdir():
                    copied.type, copied.mode = tarfile.DIRTYPE, FOLDER_MODE
                    made.addfile(copied)
                else:
                    made.addfile(copied, archive.extractfile(member))


def server_code(source: BinaryIO) -> bytes:
    """What a server of several models installs as it starts, from a model's archive with its code.

    The tar.gz of two files that are the same in all archives of one version of Perennial, so its
    digest names what a server is made of. Raises `Rejected` as `repack` does, for an archive
    without them, and for a project with packages of its own: one server has one environment.
    """
    wanted = {f"{CODE_FOLDER}/{name}": name for name in SERVER_FILES}
    found: dict[str, bytes] = {}
    with _whole(source) as archive:
        for member in archive:
            _check(member)
            file = archive.extractfile(member) if member.name in (*wanted, OWN_PACKAGES) else None
            if file is None:
                continue
            if member.name in wanted:
                found[wanted[member.name]] = file.read()
            elif names_packages(file.read()):
                raise Rejected(OWN_PACKAGES_WORDS)
    missing = [name for name in SERVER_FILES if name not in found]
    if missing:
        raise Rejected(f"the model's archive has no {' and no '.join(missing)} below code/")
    body = io.BytesIO()
    # Stored, not compressed: two builds of zlib may compress differently.
    with (
        gzip.GzipFile("", "wb", 0, body, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as made,
    ):
        for name in SERVER_FILES:
            made.addfile(_member(name, len(found[name])), io.BytesIO(found[name]))
    return body.getvalue()


def names_packages(requirements: bytes) -> bool:
    """Whether a requirements.txt asks for anything, and is not just comments."""
    lines = requirements.decode("utf-8", "replace").splitlines()
    return any(line.split("#", 1)[0].strip() for line in lines)


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


@contextlib.contextmanager
def _whole(source: BinaryIO) -> Iterator[tarfile.TarFile]:
    """The archive in a stream, to be read to its end; raises `Rejected` where it is not whole."""
    try:
        # GzipFile, not tarfile's own r|gz: that one takes a truncated stream for a whole one.
        with gzip.GzipFile(fileobj=source, mode="rb") as unpacked:
            with tarfile.open(fileobj=unpacked, mode="r|") as archive:
                yield archive
            while unpacked.read(READ):  # its checksum comes last
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Rejected(f"the model's archive is no whole tar.gz: {error}") from None


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
