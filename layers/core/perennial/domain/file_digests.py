"""One digest for the files of a folder, whatever archive they came in.

An archive's own digest changes with its compression and times; a server sees only the files.
The listing has the form of `sha256sum`: a line `<sha256>  <path>` a file, sorted by path.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

#: The listing of a code archive, at its root; it does not list itself.
CODE_LISTING = "files.sha256"
#: Where a model's archive has its server's code, if it has it: SageMaker's own layout.
CODE_FOLDER = "code"
LINE = re.compile(r"([0-9a-f]{64})  ([^\n]+)")


def listing(digests: Mapping[str, str]) -> str:
    """The lines of some files: from their paths, with `/`, to their SHA-256 in hex."""
    return "".join(f"{digests[path]}  {path}\n" for path in sorted(digests))


def read_listing(text: str) -> dict[str, str]:
    """The files that a listing names; ValueError for another text."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = LINE.fullmatch(line)
        if not match:
            raise ValueError(f"line {number} is not a digest and a path")
        found[match[2]] = match[1]
    return found


def digest_of(digests: Mapping[str, str]) -> str:
    """The SHA-256 in hex of the files' listing."""
    return hashlib.sha256(listing(digests).encode()).hexdigest()
