"""Objects of lines: the first one and their number, packed or not, whatever they hold."""

from __future__ import annotations

import gzip
from pathlib import Path

import boto3
import pytest
from perennial.aws import line_objects, objects
from perennial.domain.errors import Rejected
from perennial.domain.signals import ObjectVersion
from perennial.finish_batch import inside


def stored(bucket: str, body: bytes) -> ObjectVersion:
    """An object of this content."""
    objects.put_bytes(bucket, "rows", body)
    found = objects.find_current(bucket, "rows")
    assert found is not None
    return found


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("body", "first", "lines"),
    [
        (b"a,1\nb,2\n", "a,1", 2),
        (b"a,1\r\nb,2", "a,1", 2),
        (b"\xef\xbb\xbfa\n\n  \nb\n", "a", 2),
        ("é\u2028ü\n".encode(), "é\u2028ü", 1),
        (b"\n", "", 0),
    ],
)
def test_the_first_line_and_their_number(
    buckets: tuple[str, str], body: bytes, first: str, lines: int, packed: bool
) -> None:
    """Empty lines do not count; only a newline ends one; a byte order mark is no part of it."""
    version = stored(buckets[1], gzip.compress(body) if packed else body)
    assert line_objects.first_line(version, gzip=packed) == first
    assert line_objects.count_lines(version, gzip=packed) == lines


def test_lines_are_counted_across_pieces_and_members(
    buckets: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the body arrives, and of gzip files that were appended to one another."""
    monkeypatch.setattr(line_objects, "PIECE", 3)
    body = b"".join(b"%d,x\n" % number for number in range(50))
    packed = gzip.compress(body[:101]) + gzip.compress(body[101:])
    assert line_objects.count_lines(stored(buckets[1], body), gzip=False) == 50
    assert line_objects.count_lines(stored(buckets[1], packed), gzip=True) == 50


def test_a_long_first_line_and_an_empty_object_have_none(buckets: tuple[str, str]) -> None:
    """Nobody reads a whole object to look at its beginning."""
    long = stored(buckets[1], b"x" * (line_objects.START + 1) + b"\n")
    assert line_objects.first_line(long, gzip=False) is None
    assert line_objects.first_line(stored(buckets[1], b""), gzip=False) is None


def test_content_that_is_not_what_it_should_be_is_refused(buckets: tuple[str, str]) -> None:
    """Not gzip, and not UTF-8: the object is named."""
    with pytest.raises(Rejected, match=r"s3://artifacts/rows is not gzip"):
        line_objects.first_line(stored(buckets[1], b"a,1\n"), gzip=True)
    with pytest.raises(Rejected, match=r"s3://artifacts/rows is not UTF-8"):
        line_objects.first_line(stored(buckets[1], b"\xff\n"), gzip=False)


def test_the_version_that_was_listed_is_read(buckets: tuple[str, str], tmp_path: Path) -> None:
    """Also when the object has been replaced since, and into no file that is there."""
    version = stored(buckets[1], b"old\n")
    boto3.client("s3").put_object(Bucket=buckets[1], Key="rows", Body=b"new\nnew\n")
    assert line_objects.count_lines(version, gzip=False) == 1
    line_objects.download(version, tmp_path / "new" / "file")
    assert (tmp_path / "new" / "file").read_bytes() == b"old\n"
    with pytest.raises(FileExistsError):
        line_objects.download(version, tmp_path / "new" / "file")


def test_no_key_becomes_a_file_outside_the_folder(tmp_path: Path) -> None:
    """A leading slash stays below the folder; dots that lead out of it are refused."""
    assert inside(tmp_path, "a/b.out") == tmp_path / "a" / "b.out"
    assert inside(tmp_path, "/etc/x.out") == tmp_path / "etc" / "x.out"
    assert inside(tmp_path, "a/../b.out").resolve() == (tmp_path / "b.out").resolve()
    for name in ("../b.out", "a/../../b.out"):
        with pytest.raises(Rejected, match="outside"):
            inside(tmp_path, name)
