"""Objects: hostile keys, listings that can be resumed, deletion of every version."""

from __future__ import annotations

import boto3
import pytest
from perennial.aws import objects
from perennial.domain.errors import NotFound, Rejected

HOSTILE = [
    "incoming/census/a b.csv",
    "incoming/census/a+b %41%2B.csv",
    "incoming/census/ümläut-日本-\U0001f600.csv",
    "incoming/census/q?x=1#frag.csv",
    "incoming/census/&<>'\"`.csv",
    "incoming/census//double//slash.csv",
    "incoming/census/../up.csv",
    "incoming/census/" + "k" * (1024 - len("incoming/census/")),
]


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_key_is_listed_and_read_as_it_was_written(
    buckets: tuple[str, str], key: str
) -> None:
    """Keys with spaces, plus, percent, unicode, control letters of URLs and 1,024 bytes."""
    landing = buckets[0]
    uri = objects.put_bytes(landing, key, b"content")
    (listed,) = objects.list_versions(landing, "incoming/census/").versions
    found = listed.version
    assert found.key == key
    assert objects.find_current(landing, key) == found
    assert objects.get_bytes(uri, version_id=found.version_id) == b"content"
    assert objects.exists(uri)


def test_a_listing_tells_current_old_and_deleted_versions(buckets: tuple[str, str]) -> None:
    """Only the newest version counts as current, and none behind a delete marker."""
    landing = buckets[0]
    objects.put_bytes(landing, "incoming/census/a", b"1")
    objects.put_bytes(landing, "incoming/census/a", b"22")
    objects.put_bytes(landing, "incoming/census/b", b"1")
    boto3.client("s3").delete_object(Bucket=landing, Key="incoming/census/b")
    listed = objects.list_versions(landing, "incoming/census/").versions
    assert [
        (each.version.key, each.version.size, each.is_latest, each.is_delete_marker)
        for each in listed
    ] == [
        ("incoming/census/a", 2, True, False),
        ("incoming/census/a", 1, False, False),
        ("incoming/census/b", 0, True, True),
        ("incoming/census/b", 1, False, False),
    ]
    current = list(objects.current_versions(landing, "incoming/census/"))
    assert [(v.key, v.size) for v in current] == [("incoming/census/a", 2)]
    assert objects.find_current(landing, "incoming/census/b") is None
    assert current[0].etag == "b6d767d2f8ed5d21a44b0e5886680cb9"


def test_a_listing_is_resumed_from_its_cursor(buckets: tuple[str, str]) -> None:
    """Pages and their cursors cover every version once."""
    landing = buckets[0]
    keys = [f"incoming/census/part {number:02}+%41.csv" for number in range(7)]
    for key in keys:
        objects.put_bytes(landing, key, b"x")
    seen, cursor, pages = [], None, 0
    while True:
        page = objects.list_versions(landing, "incoming/census/", cursor=cursor, most=3)
        seen += [each.version.key for each in page.versions]
        cursor, pages = page.cursor, pages + 1
        if cursor is None:
            break
    assert sorted(seen) == keys
    assert pages == 3


def test_emptying_removes_every_version_and_marker_then_the_bucket(
    buckets: tuple[str, str],
) -> None:
    """A versioned bucket can be removed only when its last version is gone."""
    landing = buckets[0]
    for _ in range(2):
        objects.put_bytes(landing, "a", b"x")
    boto3.client("s3").delete_object(Bucket=landing, Key="a")
    assert objects.delete_versions(landing, "") == 3
    objects.delete_bucket(landing)
    assert objects.delete_versions(landing, "") == 0
    objects.delete_bucket(landing)


def test_deletion_is_bounded_by_its_prefix(buckets: tuple[str, str]) -> None:
    """What lies beside the prefix stays."""
    landing = buckets[0]
    objects.put_bytes(landing, "runs/a/1", b"x")
    objects.put_bytes(landing, "runs/b/1", b"x")
    objects.delete_versions(landing, "runs/a/")
    assert [v.key for v in objects.current_versions(landing, "")] == ["runs/b/1"]


def test_json_is_compact_and_in_utf_8(buckets: tuple[str, str]) -> None:
    """A document is stored as the bytes that its digest is taken of."""
    uri = objects.put_json(buckets[1], "runs/x.json", {"b": "ü", "a": [1, 2.5]})
    assert objects.get_bytes(uri) == '{"b":"ü","a":[1,2.5]}'.encode()
    assert objects.get_json(uri) == {"b": "ü", "a": [1, 2.5]}
    assert len(objects.digest(objects.get_bytes(uri))) == 64


def test_what_is_missing_or_no_json_says_so(buckets: tuple[str, str]) -> None:
    """Reading a missing object raises NotFound with its URI; finding it returns None."""
    missing = f"s3://{buckets[1]}/nothing.json"
    with pytest.raises(NotFound, match=r"nothing\.json"):
        objects.get_json(missing)
    assert objects.find_json(missing) is None
    assert not objects.exists(missing)
    uri = objects.put_bytes(buckets[1], "broken.json", b"{")
    with pytest.raises(Rejected, match=r"broken\.json holds no JSON"):
        objects.get_json(uri)


@pytest.mark.parametrize("uri", ["", "s3://", "s3://bucket", "https://bucket/key", "bucket/key"])
def test_what_is_no_uri_is_refused(uri: str) -> None:
    """A wrong URI is named before any call."""
    with pytest.raises(Rejected, match="is no S3 URI"):
        objects.split_uri(uri)
