"""Files put into a bucket, checked on the way by S3 with a SHA-256 checksum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perennial.aws.clients import CONFIG, client
from perennial.aws.errors import translated

# Above this size an upload goes in parts (one PUT may carry 5 GB, but not over a slow line).
LARGEST_PUT = 64 * 1024 * 1024


@dataclass(frozen=True)
class Uploaded:
    """One object version that S3 took: where it is, and its checksum (SHA-256, base64)."""

    bucket: str
    key: str
    version_id: str
    size: int
    checksum: str


def upload_file(bucket: str, key: str, path: Path) -> Uploaded:
    """Upload a file whole; S3 compares the checksum before it takes the object."""
    size = path.stat().st_size
    s3: Any = client("s3")
    with translated(f"uploading {path} to s3://{bucket}/{key}"):
        if size > LARGEST_PUT:
            _upload_in_parts(bucket, key, path)
            answer = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        else:
            with path.open("rb") as body:
                answer = s3.put_object(
                    Bucket=bucket, Key=key, Body=body, ChecksumAlgorithm="SHA256"
                )
    return Uploaded(
        bucket=bucket,
        key=key,
        version_id=str(answer.get("VersionId", "")),
        size=size,
        checksum=str(answer.get("ChecksumSHA256", "")),
    )


def _upload_in_parts(bucket: str, key: str, path: Path) -> None:
    import boto3  # noqa: PLC0415  # its transfer manager; no function needs it

    s3 = boto3.client("s3", config=CONFIG)
    s3.upload_file(str(path), bucket, key, ExtraArgs={"ChecksumAlgorithm": "SHA256"})
