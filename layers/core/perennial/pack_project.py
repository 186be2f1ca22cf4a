"""Packs a model project with the jobs' code into one archive, byte for byte the same each time.

The archive is what a run's jobs and a model's server execute: `entry.py`, `serve.py` and
`requirements.txt` at its root, `jobs/`, `perennial/domain/`, the project's own files under
`project/`, and its `wheelhouse/`, from which the jobs then install without an index.
`files.sha256` lists them all, for a server to compare. The archive's SHA-256 names it, so equal
content is equal code on every machine; that is also why it is stored, not compressed: two builds
of zlib may compress differently.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from perennial.domain.file_digests import CODE_LISTING, listing
from perennial.domain.project import ProjectInvalid, find_model_mistakes, join_requirements
from perennial.domain.shared_archive import OWN_PACKAGES_WORDS, names_packages

# A wheelhouse of the whole lock has about 200 MiB.
LARGEST_FILE = 100 << 20
LARGEST_PROJECT = 500 << 20
NO_WHEELS = (
    "the stack isolates its jobs from the network, and there is no wheelhouse/ from which they "
    "could install: pip download -r jobs/requirements.txt -d <project>/wheelhouse --only-binary "
    ":all: --python-version 3.10 --platform manylinux2014_x86_64 (and -r <project>/requirements.txt"
    ", if the project has one)"
)
IGNORED_FOLDERS = {"__pycache__", "node_modules"}
IGNORED_ENDINGS = (".pyc", ".pyo", "~", ".swp")


@dataclass(frozen=True)
class PackedProject:
    """The archive of a project: its bytes, their SHA-256, and the names in it."""

    body: bytes
    sha256: str
    files: list[str]


def pack_project(
    folder: Path,
    *,
    algorithm: str = "",
    image: str = "",
    is_shared: bool = False,
    is_isolated: bool = False,
) -> PackedProject:
    """Pack a project folder; raises `ProjectInvalid` with everything that is wrong with it.

    One that AWS's `algorithm` or an own `image` trains need not have every function. One that
    shares its endpoint with other models (`is_shared`) has no packages of its own. Jobs without a
    network (`is_isolated`) install from the project's wheelhouse alone.
    """
    name = folder.resolve().name
    mistakes: list[str] = []
    own = _project_files(folder, mistakes)
    for needed in ("model.yaml",) if algorithm else ("model.py", "model.yaml"):
        if needed not in own:
            mistakes.append(f"{needed} is missing")
    if "model.py" in own:
        source = own["model.py"].decode("utf-8", "replace")
        mistakes += find_model_mistakes(source, algorithm=algorithm, image=image)
    jobs = _package_folder("jobs")
    files = _python_files(jobs, "jobs")
    files |= _python_files(_package_folder("perennial") / "domain", "perennial/domain")
    for entry in ("entry.py", "serve.py"):
        files[entry] = (jobs / entry).read_bytes()
    files["perennial/__init__.py"] = b""
    files |= {_place(path): content for path, content in own.items()}
    if is_isolated and not any(path.startswith("wheelhouse/") for path in own):
        mistakes.append(NO_WHEELS)
    try:
        lock = (jobs / "requirements.txt").read_text(encoding="utf-8")
        joined = join_requirements(lock, own.get("requirements.txt", b"").decode("utf-8"))
        files["requirements.txt"] = joined.encode()
        if is_shared and names_packages(own.get("requirements.txt", b"")):
            mistakes.append(OWN_PACKAGES_WORDS)
    except ValueError as error:
        mistakes.append(str(error))
    if mistakes:
        raise ProjectInvalid(name, mistakes)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[CODE_LISTING] = listing(digests).encode()
    body = _archive(files)
    return PackedProject(body, hashlib.sha256(body).hexdigest(), sorted(files))


def _project_files(folder: Path, mistakes: list[str]) -> dict[str, bytes]:
    """The project's own files by their path in it; links out of it and huge files are mistakes."""
    root = folder.resolve()
    files: dict[str, bytes] = {}
    total = 0
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if _ignored(relative):
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            mistakes.append(f"{relative} is a link to {path.resolve()}, outside the project")
            continue
        if not path.is_file():
            continue
        size = path.stat().st_size
        total += size
        if size > LARGEST_FILE:
            mistakes.append(
                f"{relative} has {size >> 20} MiB; at most {LARGEST_FILE >> 20} are packed. Land "
                "data with `perennial land` instead of packing it"
            )
        elif total <= LARGEST_PROJECT:
            files[relative.as_posix()] = path.read_bytes()
    if total > LARGEST_PROJECT:
        mistakes.append(f"the project has {total >> 20} MiB; at most {LARGEST_PROJECT >> 20}")
    return files


def _place(path: str) -> str:
    """Where a file of the project goes; wheels lie where the entry point installs from."""
    return path if path.startswith("wheelhouse/") else f"project/{path}"


def _ignored(relative: Path) -> bool:
    return any(
        part.startswith(".") or part in IGNORED_FOLDERS for part in relative.parts
    ) or relative.name.endswith(IGNORED_ENDINGS)


def _package_folder(name: str) -> Path:
    """Where a package lies: a checkout and an installation differ."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ProjectInvalid(name, [f"the package {name} is not installed beside the command"])
    return Path(next(iter(spec.submodule_search_locations)))


def _python_files(folder: Path, prefix: str) -> dict[str, bytes]:
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.rglob("*.py"))
    }


def _archive(files: dict[str, bytes]) -> bytes:
    """A tar.gz with nothing in it that depends on when, where or by whom it was made."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(files[name]))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", compresslevel=0, mtime=0) as file:
        file.write(plain.getvalue())
    return packed.getvalue()
