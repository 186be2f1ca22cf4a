"""Code and layer archives, unpacked once per content."""

import hashlib
import io
import shutil
import threading
import zipfile
from pathlib import Path

MAX_UNZIPPED = 262_144_000  # bytes; AWS's limit for function and layers together
_lock = threading.Lock()


class ArchiveInvalidError(ValueError):
    """A code archive that AWS would refuse too."""


def unpack(archive: bytes, into: Path) -> Path:
    """The folder with the archive's files; raises `ArchiveInvalidError` with the reason."""
    folder = into / hashlib.sha256(archive).hexdigest()[:24]
    with _lock:
        if folder.exists():
            return folder
        draft = folder.with_suffix(".part")
        shutil.rmtree(draft, ignore_errors=True)
        try:
            with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
                _extract(bundle, draft)
        except zipfile.BadZipFile:
            raise ArchiveInvalidError(
                "Could not unzip uploaded file. Please check your file."
            ) from None
        draft.rename(folder)
    return folder


def _extract(bundle: zipfile.ZipFile, folder: Path) -> None:
    entries = bundle.infolist()
    if sum(entry.file_size for entry in entries) > MAX_UNZIPPED:
        raise ArchiveInvalidError(f"Unzipped size must be smaller than {MAX_UNZIPPED} bytes")
    folder.mkdir(parents=True)
    for entry in entries:
        path = bundle.extract(entry, folder)  # strips absolute and parent parts of names
        mode = entry.external_attr >> 16
        if mode and not entry.is_dir():
            Path(path).chmod(mode & 0o777 | 0o400)
