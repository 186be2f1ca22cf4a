"""Which model and which code a server takes: those that were judged, to the byte."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from perennial.domain.file_digests import (
    CODE_FOLDER,
    CODE_LISTING,
    digest_of,
    listing,
    read_listing,
)
from perennial.domain.shared_archive import VARIABLES_FILE
from perennial.pack_project import pack_project

from jobs.archives import code_files, pack, unpack
from jobs.digests import (
    CODE_VARIABLE,
    MODEL_VARIABLE,
    UNVERIFIED_VARIABLE,
    WrongFiles,
    code_digest,
    model_digest,
    verify,
    verify_shared,
)
from jobs.failures import SettingsError
from tests.jobs.conftest import ROOT, example

NAMES = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["C", "Z"]), min_size=1)
DIGESTS = st.binary(min_size=1, max_size=4).map(lambda body: hashlib.sha256(body).hexdigest())


@given(st.dictionaries(NAMES, DIGESTS, max_size=6))
def test_a_listing_reads_back_whatever_the_order(digests: dict[str, str]) -> None:
    """The digest is of names and contents alone."""
    assert read_listing(listing(digests)) == digests
    turned = dict(reversed(digests.items()))
    assert digest_of(turned) == digest_of(digests)
    assert digest_of({**digests, "one more": "0" * 64}) != digest_of(digests)


@pytest.mark.parametrize("text", ["x\n", f"{'0' * 64} one blank\n", f"{'g' * 64}  a\n", "\n"])
def test_another_text_is_no_listing(text: str) -> None:
    """The line that is wrong is named."""
    with pytest.raises(ValueError, match="line 1 "):
        read_listing(text)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of two files."""
    folder = tmp_path / "model"
    (folder / "part").mkdir(parents=True)
    (folder / "model.txt").write_text("tree")
    (folder / "part" / "schema.json").write_text("{}")
    return folder


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A project's packed code, unpacked as a server finds it."""
    folder = tmp_path / "code"
    body = pack_project(example("salary")).body
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def named(model: Path, code: Path) -> dict[str, str]:
    """The variables that name both."""
    return {MODEL_VARIABLE: model_digest(model), CODE_VARIABLE: str(code_digest(code))}


def test_what_was_judged_is_taken(model: Path, code: Path, named: dict[str, str]) -> None:
    """Also beside what Amazon's toolkit and Python leave in the code folder."""
    for name in ("setup.py", "setup.cfg", "MANIFEST.in", "serve.egg-info/PKG-INFO"):
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_text("")
    (code / "jobs" / "__pycache__").mkdir(exist_ok=True)
    (code / "jobs" / "__pycache__" / "x.pyc").write_text("")
    verify(model, code, named)


def test_the_variables_of_a_shared_archive_are_no_file_of_the_model(
    model: Path, code: Path, named: dict[str, str]
) -> None:
    """The release adds the file, so only a server of several models leaves it out."""
    (model / VARIABLES_FILE).write_text("{}")
    verify_shared(model, code, named)
    with pytest.raises(WrongFiles, match="the model in"):
        verify(model, code, named)
    (model / "part" / VARIABLES_FILE).write_text("{}")
    with pytest.raises(WrongFiles, match="the model in"):
        verify_shared(model, code, named)


def test_the_listing_of_the_code_names_all_but_itself(code: Path) -> None:
    """Its own SHA-256 is the digest that the variable holds, so sha256sum can check it."""
    body = (code / CODE_LISTING).read_bytes()
    there = {p.relative_to(code).as_posix() for p in code.rglob("*") if p.is_file()}
    assert set(read_listing(body.decode())) == there - {CODE_LISTING}
    assert {"serve.py", "jobs/serve.py", "project/model.py"} <= there
    assert code_digest(code) == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("folder", "name", "content"),
    [
        ("model", "model.txt", "another tree"),
        ("model", "part/schema.json", None),
        ("model", "more.txt", "x"),
        ("code", "project/model.py", "def prepare(frame): ..."),
        ("code", "jobs/served.py", None),
        ("code", "numpy.py", "x"),
        ("code", "project/helper.py", "x"),
        ("code", CODE_LISTING, ""),
        ("code", CODE_LISTING, "no listing"),
    ],
)
def test_anything_changed_missing_or_added_is_refused(  # noqa: PLR0917 - what was done to what
    tmp_path: Path,
    model: Path,
    code: Path,
    named: dict[str, str],
    folder: str,
    name: str,
    content: str | None,
) -> None:
    """The words say which of both it is; nothing is served."""
    path = tmp_path / folder / name
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(WrongFiles, match=folder):
        verify(model, code, named)


@pytest.fixture
def whole(model: Path, code: Path) -> Path:
    """A model with its server's code beside it, as a server without a network finds it."""
    shutil.copytree(code, model / CODE_FOLDER)
    return model


def test_packed_code_is_no_part_of_the_model(
    whole: Path, code: Path, named: dict[str, str]
) -> None:
    """The model's digest is the one without it; the code is taken in place or as a copy."""
    verify(whole, whole / CODE_FOLDER, named)
    verify(whole, code, named)


@pytest.mark.parametrize("name", ["numpy.py", "project/model.py", "jobs/served.py"])
def test_packed_code_that_was_changed_is_refused(
    whole: Path, code: Path, named: dict[str, str], name: str
) -> None:
    """Also when the copy that is imported is the judged one: nothing hides beside a model."""
    (whole / CODE_FOLDER / name).write_text("x")
    for root in (whole / CODE_FOLDER, code):
        with pytest.raises(WrongFiles, match="code"):
            verify(whole, root, named)


def test_a_folder_of_that_name_without_a_listing_is_the_models_own(
    model: Path, code: Path, named: dict[str, str]
) -> None:
    """Somebody who adds it has changed the model."""
    (model / CODE_FOLDER).mkdir()
    (model / CODE_FOLDER / "inference.py").write_text("x")
    with pytest.raises(WrongFiles, match="the model in"):
        verify(model, code, named)


def test_code_is_packed_beside_a_model_and_left_out_when_read(
    tmp_path: Path, model: Path, code: Path
) -> None:
    """What a server unpacks is model and code; what a job unpacks is the model alone."""
    (code / "jobs" / "__pycache__").mkdir(exist_ok=True)
    (code / "jobs" / "__pycache__" / "x.pyc").write_text("")
    before = model_digest(model)
    archive = tmp_path / "archives" / "model.tar.gz"
    archive.parent.mkdir()
    pack(model, archive, code_files(code, model))
    served, read = tmp_path / "served", tmp_path / "read"
    with tarfile.open(archive) as found:
        found.extractall(served, filter="data")
    verify(served, served / CODE_FOLDER,
           {MODEL_VARIABLE: before, CODE_VARIABLE: str(code_digest(code))})  # fmt: skip
    unpack(archive.parent, read)
    assert sorted(path.name for path in read.iterdir()) == ["model.txt", "part"]


def test_code_finds_its_place_taken_or_was_never_packed(model: Path, code: Path) -> None:
    """A model with a folder or a file of those names, and a checkout: each is refused in words."""
    with pytest.raises(SettingsError, match="was not packed by `perennial push`"):
        code_files(ROOT, model)
    (model / CODE_FOLDER).mkdir()
    with pytest.raises(SettingsError, match=r"code/ of its own, .* under another name"):
        code_files(code, model)
    (model / CODE_FOLDER).rmdir()
    (model / VARIABLES_FILE).write_text("{}")
    with pytest.raises(SettingsError, match=r"perennial\.json of its own, .* under another name"):
        code_files(code, model)


def test_a_link_in_a_model_is_refused(model: Path) -> None:
    """A file elsewhere can change after it was looked at."""
    (model / "link").symlink_to(model / "model.txt")
    with pytest.raises(WrongFiles, match="is a link"):
        model_digest(model)


@pytest.mark.parametrize("variable", [MODEL_VARIABLE, CODE_VARIABLE])
@pytest.mark.parametrize("value", [None, "", "0" * 64])
def test_what_nobody_named_is_refused(
    model: Path, code: Path, named: dict[str, str], variable: str, value: str | None
) -> None:
    """A variable that is missing, empty, or names other files: the text names it."""
    given = {name: digest for name, digest in named.items() if name != variable}
    if value is not None:
        given[variable] = value
    with pytest.raises(WrongFiles, match=variable):
        verify(model, code, given)


def test_a_checkout_is_served_only_when_told_so(model: Path, named: dict[str, str]) -> None:
    """It has no listing, so nothing can be compared; one variable leaves both checks out."""
    assert code_digest(ROOT) is None
    with pytest.raises(WrongFiles, match=r"no files\.sha256"):
        verify(model, ROOT, named)
    verify(model, ROOT, {UNVERIFIED_VARIABLE: "yes"})
    with pytest.raises(WrongFiles, match=UNVERIFIED_VARIABLE):
        verify(model, ROOT, {UNVERIFIED_VARIABLE: "1"})
