"""Write the report of a window that SageMaker Model Monitor judged, from its files.

The execution's job says where they lie. A window whose files make no report has failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perennial.aws import objects
from perennial.domain.ledger.monitor_rows import WindowRow
from perennial.domain.monitor_report import ReportInvalid
from perennial.domain.sagemaker_report import Files, data_quality_report, model_quality_report
from perennial.domain.settings_monitor import DATA_QUALITY, MODEL_QUALITY

if TYPE_CHECKING:
    from perennial.wiring import Ports

REPORT = "report/report.json"
REPORTS = {DATA_QUALITY: data_quality_report, MODEL_QUALITY: model_quality_report}
#: What AWS's documents call the file in one place, and its container does not.
VIOLATIONS = ("constraint_violations.json", "constraints_violations.json")


def convert_report(ports: Ports, window: WindowRow, described: Any) -> None:
    """Write `report.json` where our own jobs do.

    Raises `ReportInvalid` or `NotFound` for files that make none.
    """
    head = {
        "kind": window.kind,
        "model": window.model,
        "model_version": window.version,
        "window": {"start_ms": window.start_ms, "end_ms": window.end_ms},
    }
    try:
        document = REPORTS[window.kind](head, read_files(described))
    except ReportInvalid:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ReportInvalid(f"Model Monitor's files are others than expected: {error!r}") from error
    objects.put_json(ports.deployment.artifact_bucket, f"{window.place}/{REPORT}", document)


def read_files(described: Any) -> Files:
    """What the execution wrote and was held against; raises `NotFound` naming a missing file."""
    output = described["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"].rstrip("/")
    given = {
        each["S3Input"]["LocalPath"]: each["S3Input"]["S3Uri"]
        for each in described["ProcessingInputs"]
    }
    environment = described["Environment"]
    found = (objects.find_json(f"{output}/{name}") for name in VIOLATIONS)
    return Files(
        statistics=objects.get_json(f"{output}/statistics.json"),
        violations=next((each for each in found if each is not None), None),
        constraints=objects.get_json(_source(given, environment["baseline_constraints"])),
        baseline=(
            objects.get_json(_source(given, environment["baseline_statistics"]))
            if "baseline_statistics" in environment
            else None
        ),
    )


def _source(given: dict[str, str], path: str) -> str:
    """Where a file of the container came from: the URI of the input that it lies in."""
    folder = max((each for each in given if path.startswith(each)), key=len)
    return given[folder]
