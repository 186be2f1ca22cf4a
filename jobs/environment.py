"""Makes the job's packages what its requirements.txt says. Standard library only.

Training jobs in script mode get their requirements from Amazon's toolkit; processing jobs get
nothing, so the entry point installs what differs into a folder of its own, once per content.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from jobs.failures import RequirementsError

PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)")
INSTALL_SECONDS = 900


def ensure(root: Path) -> Path | None:
    """The folder to put before sys.path, or None when everything is installed already.

    `root` holds requirements.txt and, if the project was packed with one, a wheelhouse.
    """
    requirements = root / "requirements.txt"
    missing = differing(requirements.read_text())
    if not missing:
        return None
    target = _folder_for(requirements.read_bytes(), missing)
    if not target.exists():
        _install(root, missing, target)
    return target


def differing(text: str) -> list[str]:
    """The pinned lines whose package is absent here or has another version."""
    lines = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    return [line for line in lines if (match := PINNED.fullmatch(line)) and not _has(match)]


def imported_otherwise(text: str) -> list[str]:
    """Of the `differing` lines, those whose package this process has imported already."""
    lines = {_normal(line.partition("==")[0]): line for line in differing(text)}
    if not lines:
        return []
    owners = {
        _normal(owner)
        for module, names in metadata.packages_distributions().items()
        if module in sys.modules
        for owner in names
    }
    return [line for name, line in lines.items() if name in owners]


def _normal(name: str) -> str:
    """A distribution's name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _has(pin: re.Match[str]) -> bool:
    try:
        return metadata.version(pin[1]) == pin[2]
    except metadata.PackageNotFoundError:
        return False


def _folder_for(requirements: bytes, missing: Sequence[str]) -> Path:
    parts = (requirements, "\n".join(missing).encode(), sys.version.encode())
    name = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    parent = Path(os.environ.get("PERENNIAL_REQUIREMENTS_DIR", tempfile.gettempdir()))
    return parent / f"perennial-requirements-{name}"


def _install(root: Path, missing: Sequence[str], target: Path) -> None:
    """Install into a folder beside the target and move it: a half-made one is never used."""
    print(f"installing {len(missing)} packages that the image lacks: {', '.join(missing)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    command = [*_installer(), "--target", str(making), "-c", str(root / "requirements.txt")]
    wheelhouse = root / "wheelhouse"
    if wheelhouse.is_dir():
        command += ["--no-index", "--find-links", str(wheelhouse)]
    try:
        done = subprocess.run(
            [*command, *missing],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        shutil.rmtree(making)
        raise RequirementsError(f"installing took longer than {INSTALL_SECONDS} s") from None
    if done.returncode:
        shutil.rmtree(making)
        reason = " ".join((done.stderr or done.stdout).split())[-500:]
        raise RequirementsError(
            f"cannot install {', '.join(missing)}: {reason} "
            "Correct the project's requirements.txt, or push with a wheelhouse."
        )
    try:
        making.rename(target)
    except OSError:
        # Another job of this machine was faster; its folder has the same content.
        shutil.rmtree(making)


def _installer() -> list[str]:
    """pip, else the wheel of it that Python carries for new environments, else uv."""
    quiet = ["install", "--quiet", "--disable-pip-version-check"]
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", *quiet]
    bundled = importlib.util.find_spec("ensurepip")
    if bundled and bundled.origin:
        wheels = sorted((Path(bundled.origin).parent / "_bundled").glob("pip-*.whl"))
        if wheels:
            return [sys.executable, str(wheels[-1] / "pip"), *quiet]
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise RequirementsError("the image has neither pip nor uv to install packages with")
