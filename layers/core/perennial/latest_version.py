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


def version_of_run(ports: Ports, model: str, version: Version) -> Version:
    """A run's version with its approval as the registry has it now."""
    for summary in list_versions(naming.package_group(ports.deployment.stack, model)):
        if summary["ModelPackageVersion"] == version.number:
            return Version(version.number, version.arn, str(summary["ModelApprovalStatus"]))
    return version
