"""What a release's smoke test wrote down: every check with its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from perennial.aws.objects import find_json
from perennial.domain import naming

if TYPE_CHECKING:
    from perennial.wiring import Ports


def read_smoke_test(ports: Ports, model: str, release: int) -> Mapping[str, Any]:
    """The content of smoke_test.json; empty while there is none, and for a rollback."""
    base = f"s3://{ports.deployment.artifact_bucket}/{naming.release_base(model, release)}"
    return find_json(f"{base}/smoke-test/smoke_test.json") or {}
