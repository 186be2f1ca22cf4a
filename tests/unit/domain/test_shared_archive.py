"""The archive of a model that shares its endpoint: the approved one, and its variables first."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perennial.domain.errors import Rejected
from perennial.domain.shared_archive import (
    VARIABLES_FILE,
    read_variables,
    repack,
    server_code,
    variables_text,
)

VARIABLES = {"PERENNIAL_MODEL_NAME": "census", "PERENNIAL_VERSION": "7"}
NAMES = st.text("abcxyz/._-é", min_size=1, max_size=120).filter(
    lambda name: (
        ".." not in name.split("/")
        and not name.startswith("/")
        and not name.endswith("/")
        and name.strip("/.") not in ("", VARIABLES_FILE)
    )
)


class Forwards(io.RawIOBase):
    """Bytes that can only be read on, a few at a time, as a download gives them."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self._body = io.BytesIO(body)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """At most 1,000 bytes."""
        piece = self._body.read(min(len(buffer), 1000))
        buffer[: len(piece)] = piece
        return len(piece)


def archive(files: Sequence[tuple[str, bytes]], **changes: object) -> bytes:
    """A tar.gz of some files, the last of which has other fields."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for number, (name, content) in enumerate(files, 1):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uid, member.mode = len(content), 99, 7, 0o600
            if number == len(files):
                for field, value in changes.items():
                    setattr(member, field, value)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def repacked(body: bytes) -> bytes:
    """What becomes of an archive."""
    made = io.BytesIO()
    repack(Forwards(body), made, VARIABLES)  # type: ignore[arg-type]
    return made.getvalue()


def content(body: bytes) -> list[tuple[str, bytes]]:
    """Names and contents, in the archive's order; folders have none."""
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        found = [(member.name, tar.extractfile(member)) for member in tar]
        return [(name, file.read() if file else b"") for name, file in found]


@given(st.dictionaries(NAMES, st.binary(max_size=3000), max_size=5))
@settings(max_examples=40)
def test_the_variables_come_first_and_every_file_as_it_was(files: dict[str, bytes]) -> None:
    """Names of any length, contents of any bytes; who packed them, and when, is forgotten."""
    body = repacked(archive(list(files.items())))
    (name, variables), *rest = content(body)
    assert (name, read_variables(variables.decode())) == (VARIABLES_FILE, VARIABLES)
    assert dict(rest) == files
    assert repacked(archive(list(files.items()), mtime=12345, uid=0, gname="x")) == body
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert {(each.mtime, each.uid, each.mode) for each in tar} == {(0, 0, 0o644)}
    assert gzip.decompress(body)
    assert body[4:8] == bytes(4)  # the time in gzip's own header


def test_a_folder_stays_one() -> None:
    """Archives of other tools list their folders too."""
    body = repacked(archive([("part/model.txt", b"tree"), ("part", b"")], type=tarfile.DIRTYPE))
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        assert tar.getmember("part").isdir()
        assert tar.getmember("part").mode == 0o755


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("link", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "'link': no plain file"),
        ("link", {"type": tarfile.LNKTYPE, "linkname": "model.txt"}, "'link': no plain file"),
        ("null", {"type": tarfile.CHRTYPE}, "'null': no plain file"),
        ("pipe", {"type": tarfile.FIFOTYPE}, "'pipe': no plain file"),
        ("/etc/x", {}, "'/etc/x', outside its own folder"),
        ("a/../../x", {}, "outside its own folder"),
        (VARIABLES_FILE, {}, "holds perennial.json already"),
        (f"./{VARIABLES_FILE}", {}, "holds perennial.json already"),
        (f"{VARIABLES_FILE}/x", {}, "holds perennial.json already"),
    ],
)
def test_what_does_not_belong_into_a_model_is_refused(
    name: str, changes: dict[str, object], words: str
) -> None:
    """The words name the member; a file of that name deeper in the model is nobody's matter."""
    with pytest.raises(Rejected, match=words):
        repacked(archive([("model.txt", b"tree"), (name, b"")], **changes))
    deeper = [(f"part/{VARIABLES_FILE}", b"{}")]
    assert content(repacked(archive(deeper)))[1:] == deeper


GOOD = archive([("model.txt", bytes(range(256)) * 90), ("schema.json", b"{}")])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: b"",
        lambda _: b"no archive",
        lambda _: gzip.compress(b"no archive at all" * 60),
        lambda body: body[: len(body) // 2],
        lambda body: body[:-4],
        lambda body: body[:-8] + bytes(4) + body[-4:],
        lambda body: body[:40] + b"\xff\xff\xff\xff" + body[44:],
        gzip.decompress,
    ],
)
def test_what_is_no_whole_archive_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    """Nothing, another format, a piece of one, a wrong checksum."""
    with pytest.raises(Rejected, match=r"no whole tar\.gz"):
        repacked(spoil(GOOD))
    with pytest.raises(Rejected, match=r"no whole tar\.gz"):
        server_code(io.BytesIO(spoil(GOOD)))


SERVER = [("code/requirements.txt", b"numpy==2.2.6\n"), ("code/serve.py", b"import os\n")]


def test_the_servers_own_code_is_of_two_files() -> None:
    """Whatever else the archives of two models hold, and in whatever order."""
    one = server_code(io.BytesIO(archive([*SERVER, ("model.txt", b"tree")])))
    other = [("code/jobs/serve.py", b"no"), ("serve.py", b"no"), *reversed(SERVER)]
    assert server_code(io.BytesIO(archive(other))) == one
    assert content(one) == [(name.removeprefix("code/"), body) for name, body in SERVER]
    assert gzip.decompress(one)
    assert one[4:8] == bytes(4)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (SERVER[:1], r"has no serve\.py below code/"),
        (SERVER[1:], r"has no requirements\.txt below code/"),
        ([("model.txt", b"")], r"has no requirements\.txt and no serve\.py below code/"),
        ([*SERVER, ("../x", b"")], "outside its own folder"),
    ],
)
def test_an_archive_without_its_code_makes_no_server(
    files: list[tuple[str, bytes]], words: str
) -> None:
    """A version that was evaluated without packing its code; and what `repack` refuses."""
    with pytest.raises(Rejected, match=words):
        server_code(io.BytesIO(archive(files)))


def test_a_broken_download_is_its_own_error() -> None:
    """What can be tried again is not called wrong."""

    class Broken(Forwards):
        def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        repack(Broken(b""), io.BytesIO(), VARIABLES)  # type: ignore[arg-type]


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=4))
@settings(max_examples=20)
def test_variables_read_back(environment: dict[str, str]) -> None:
    """Whatever they hold; two orders are one text."""
    text = variables_text(environment)
    assert read_variables(text) == environment
    assert variables_text(dict(reversed(environment.items()))) == text


@pytest.mark.parametrize(
    "document",
    ["", "{", "[]", "null", "{}", {"environment": []}, {"environment": {"A": 1}}, "[" * 100_000],
)
def test_another_document_has_no_variables(document: object) -> None:
    """The words name the file."""
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(Rejected, match=r"perennial\.json is not"):
        read_variables(text)
