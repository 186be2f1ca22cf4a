"""S3 objects into a job's folders and back, with SageMaker's rules for names."""

import gzip
import json
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError


class DataError(Exception):
    """Input could not be fetched or output not stored: the service reports a `ClientError`."""


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key (or prefix) of an `s3://` URI."""
    parts = urlsplit(uri, allow_fragments=False)
    key = uri.split("://", 1)[-1].partition("/")[2]
    if parts.scheme != "s3" or not parts.netloc:
        raise DataError(f"{uri!r} is not an S3 URI")
    return parts.netloc, key


class Objects:
    """Transfers of one job."""

    def __init__(self, s3: Any, kms_key: str | None = None) -> None:
        self._s3 = s3
        self._extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}

    def fetch(self, uri: str, kind: str, target: Path, *, gunzip: bool = False) -> int:
        """Fetch what `uri` names into the folder; `kind` is S3Prefix or ManifestFile.

        Returns the number of objects; DataError when there is none or a transfer fails.
        """
        found = 0
        try:
            for bucket, key, name in self._named(uri, kind):
                self._fetch_one(bucket, key, _inside(target, name), gunzip=gunzip)
                found += 1
        except (ClientError, BotoCoreError, OSError) as error:
            raise DataError(f"Data download failed: {uri}: {error}") from error
        if not found:
            raise _nothing_at(uri)
        return found

    def names(self, uri: str, kind: str) -> list[tuple[str, str, str]]:
        """Bucket, key and name of what `fetch` would fetch; DataError when there is nothing."""
        try:
            found = list(self._named(uri, kind))
        except (ClientError, BotoCoreError) as error:
            raise DataError(f"Data download failed: {uri}: {error}") from error
        if not found:
            raise _nothing_at(uri)
        return found

    def pieces(self, bucket: str, key: str, *, gunzip: bool = False) -> Iterator[bytes]:
        """An object piece by piece; DataError when it cannot be read to its end."""
        try:
            body = self._s3.get_object(Bucket=bucket, Key=key)["Body"]
            source = gzip.GzipFile(fileobj=body) if gunzip else body
            while piece := source.read(1 << 20):
                yield piece
        except (ClientError, BotoCoreError, OSError, EOFError, zlib.error) as error:
            raise DataError(f"Data download failed: s3://{bucket}/{key}: {error}") from error

    def _named(self, uri: str, kind: str) -> Iterator[tuple[str, str, str]]:
        return self._of_manifest(uri) if kind == "ManifestFile" else self._of_prefix(uri)

    def fetch_object(self, uri: str, target: Path) -> None:
        """Fetch exactly one object to exactly one file."""
        bucket, key = split_uri(uri)
        try:
            self._fetch_one(bucket, key, target, gunzip=False)
        except (ClientError, BotoCoreError, OSError) as error:
            raise DataError(f"Data download failed: {uri}: {error}") from error

    def _fetch_one(self, bucket: str, key: str, target: Path, *, gunzip: bool) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        body = self._s3.get_object(Bucket=bucket, Key=key)["Body"]
        with target.open("wb") as file:
            source = gzip.GzipFile(fileobj=body) if gunzip and key.endswith(".gz") else body
            shutil.copyfileobj(source, file, 1 << 20)

    def _of_prefix(self, uri: str) -> Iterator[tuple[str, str, str]]:
        """Every object whose key begins with the prefix: a plain string prefix, as in S3."""
        bucket, prefix = split_uri(uri)
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for entry in page.get("Contents", ()):
                if not entry["Key"].endswith("/"):  # a folder mark, not a file
                    yield bucket, entry["Key"], relative_name(prefix, entry["Key"])

    def _of_manifest(self, uri: str) -> Iterator[tuple[str, str, str]]:
        bucket, key = split_uri(uri)
        try:
            manifest = json.loads(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())
            first, *names = manifest
            prefix_bucket, prefix = split_uri(first["prefix"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"Data download failed: {uri} is not a manifest file") from error
        for name in names:
            yield prefix_bucket, prefix + name, name

    def store(self, source: Path, uri: str, known: dict[str, tuple[int, int]] | None = None) -> int:
        """Store every regular file below a folder under the prefix; symbolic links are skipped.

        `known` remembers size and time of what is stored already, for repeated calls.
        """
        bucket, prefix = split_uri(uri)
        stored = 0
        for name, mark in sorted(marks(source).items()):
            if known is not None and known.get(name) == mark:
                continue
            key = str(PurePosixPath(prefix, name))
            if known is None:
                self.store_file(source / name, bucket, key)
            elif self._store_moving(source / name, bucket, key):
                known[name] = mark
            else:
                continue
            stored += 1
        return stored

    def _store_moving(self, path: Path, bucket: str, key: str) -> bool:
        """Store a file that its job may be writing, as it is now; whether it still exists."""
        with tempfile.NamedTemporaryFile() as copy:
            try:
                with path.open("rb") as file:
                    shutil.copyfileobj(file, copy, 1 << 20)
            except FileNotFoundError:
                return False
            copy.flush()
            self.store_file(Path(copy.name), bucket, key)
        return True

    def store_file(self, path: Path, bucket: str, key: str) -> None:
        """Store one file."""
        try:
            with path.open("rb") as body:
                self._s3.put_object(Bucket=bucket, Key=key, Body=body, **self._extra)
        except (ClientError, BotoCoreError) as error:
            raise DataError(f"Failed to upload to s3://{bucket}/{key}: {error}") from error

    def store_archive(self, source: Path, uri: str, scratch: Path) -> None:
        """Store a folder's content as one tar.gz object."""
        archive = scratch / "archive.tar.gz"
        with tarfile.open(archive, "w:gz", compresslevel=6) as tar:
            for path in sorted(source.iterdir()):
                tar.add(path, arcname=path.name)
        self.store_file(archive, *split_uri(uri))
        archive.unlink()


def _nothing_at(uri: str) -> DataError:
    return DataError(
        f'No S3 objects found under S3 URL "{uri}" given in input data source. Please '
        "ensure that the bucket exists in the selected region, that objects exist under "
        "that S3 prefix, and that the role has permission to list and read them."
    )


def unpack_code(archive: Path, target: Path) -> None:
    """Unpack a `sourcedir.tar.gz`; entries that would leave the folder are refused."""
    try:
        with tarfile.open(archive, "r:*") as tar:
            tar.extractall(target, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"The submitted code could not be unpacked: {error}") from error


def relative_name(prefix: str, key: str) -> str:
    """The file name below the channel's folder for a key that begins with the prefix.

    An object named whole keeps its last part; otherwise what follows the prefix's last `/`
    boundary: `data/train` yields `a.csv` for `data/train/a.csv`.
    """
    if key == prefix:
        return PurePosixPath(key).name
    if prefix.endswith("/") or not prefix:
        return key[len(prefix) :]
    if key.startswith(prefix + "/"):
        return key[len(prefix) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def _inside(folder: Path, name: str) -> Path:
    path = folder / name.lstrip("/")
    if not Path(os.path.normpath(path)).is_relative_to(folder):
        raise DataError(f"Data download failed: the key {name!r} leaves the job's folder")
    return path


def marks(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time (ns) of every regular file below a folder, by its name below it."""
    found: dict[str, tuple[int, int]] = {}
    for path in _files(folder):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue  # the job removed it while it runs
        found[path.relative_to(folder).as_posix()] = (facts.st_size, facts.st_mtime_ns)
    return found


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not os.path.islink(os.path.join(place, name))]
        for name in names:
            path = Path(place, name)
            if not path.is_symlink() and path.is_file():
                yield path


def s3_source(channel: Mapping[str, Any]) -> Mapping[str, Any]:
    """The S3 part of a training channel."""
    found: Mapping[str, Any] = channel["DataSource"]["S3DataSource"]
    return found
