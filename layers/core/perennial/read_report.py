"""What a run wrote down for people: the data check's report and the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from perennial.aws.objects import find_json
from perennial.domain import naming
from perennial.domain.ledger.rows import run_key
from perennial.domain.ledger.store import read_run
from perennial.domain.step_keys import place_of

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Report:
    """The check's report and the verdict as written; each empty when the run wrote none."""

    check: Mapping[str, Any] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)

    @property
    def quarantined(self) -> list[Mapping[str, Any]]:
        """The objects that the check refused, with reason and first bad lines."""
        return [found for found in self.check.get("objects", []) if found.get("quarantined")]

    @property
    def gates(self) -> list[Mapping[str, Any]]:
        """Each gate with its figures."""
        return list(self.verdict.get("gates", []))


def read_report(ports: Ports, model: str, run: int) -> Report:
    """The report of a run; what is not there yet is empty."""
    base = f"s3://{ports.deployment.artifact_bucket}/{naming.run_base(model, run)}"
    checked = place_of(read_run(ports.ledger, run_key(model, run)), "check_data", base)
    return Report(
        check=find_json(f"{checked}/check/report.json") or {},
        verdict=find_json(f"{base}/verdict/verdict.json") or {},
    )
