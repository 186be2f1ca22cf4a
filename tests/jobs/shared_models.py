"""Models of one server as a release packs their archives, unpacked as the server finds them."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perennial.domain.shared_archive import repack, server_code

from jobs.archives import ARCHIVE, code_files, pack
from jobs.digests import CODE_VARIABLE, MODEL_VARIABLE, code_digest, model_digest


def variant(model: Path, place: Path, name: str, raised: float) -> Path:
    """A copy of a least-squares model under another name, whose values are higher."""
    shutil.copytree(model, place)
    for file, change in (("metadata.json", {"model": name}), ("model.json", {})):
        document: dict[str, Any] = json.loads((place / file).read_text()) | change
        if "intercept" in document:
            document["intercept"] += raised
        (place / file).write_text(json.dumps(document))
    return place


def variables(model: Path, code: Path, name: str, version: str) -> dict[str, str]:
    """What the release would tell the container of a model of its own."""
    return {
        MODEL_VARIABLE: model_digest(model),
        CODE_VARIABLE: str(code_digest(code)),
        "PERENNIAL_MODEL_NAME": name,
        "PERENNIAL_VERSION": version,
    }


def released(model: Path, code: Path, told: Mapping[str, str], place: Path) -> Path:
    """The folder of a model whose archive the evaluation packed and the release packed again."""
    place.mkdir(parents=True)
    pack(model, place / ARCHIVE, code_files(code, model))
    made = io.BytesIO()
    with (place / ARCHIVE).open("rb") as source:
        repack(source, made, told)
    made.seek(0)
    with tarfile.open(fileobj=made) as archive:
        archive.extractall(place / "model", filter="data")
    return place / "model"


def lay_server(model: Path, code: Path, place: Path) -> Path:
    """The folder of the server's own code, as it starts by a model's packed archive."""
    (place / "archive").mkdir(parents=True)
    pack(model, place / "archive" / ARCHIVE, code_files(code, model))
    with (place / "archive" / ARCHIVE).open("rb") as source:
        body = server_code(source)
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        archive.extractall(place / "code", filter="data")
    return place / "code"


def write_wheel(folder: Path, name: str, version: str, text: str) -> None:
    """A wheel with one module of that name, by the format's own rules (PEP 427)."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, content in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(path, content)
