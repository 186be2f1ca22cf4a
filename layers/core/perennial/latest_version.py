"""The newest registered version of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perennial.aws.registry import list_versions
from perennial.domain import naming
from perennial.domain.ledger.rows import Version

if TYPE_CHECKING:
    from perennial.wiring import Ports


def latest_version(ports: Ports, model: str) -> Version | None:
    """The version registered last, with its approval as the registry has it now; None: none."""
    for summary in list_versions(naming.package_group(ports.deployment.stack, model)):
        return Version(
            number=int(summary["ModelPackageVersion"]),
            arn=str(summary["ModelPackageArn"]),
            status=str(summary["ModelApprovalStatus"]),
        )
    return None
