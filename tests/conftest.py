"""What every suite shares: nothing may reach a real account, and CI may not skip."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
AWS_VARIABLES = ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "PERENNIAL_TARGET")

# Read at import, before any fixture: tests must never reach a real account.
os.environ.update(
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_DEFAULT_REGION="eu-west-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true",
)
for name in (*AWS_VARIABLES, "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(name, None)
mirror = ROOT.parent / "shared" / "data"
if "PERENNIAL_DATA_MIRROR" not in os.environ and mirror.is_dir():
    os.environ["PERENNIAL_DATA_MIRROR"] = str(mirror)


# An example that takes long says something of the machine, and nothing of the rule.
settings.register_profile("patient", parent=settings.default, deadline=None)
settings.load_profile("patient")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, None]:
    """Turn every skip into a failure where PERENNIAL_NO_SKIPS is set: CI must prove all."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("PERENNIAL_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = (
            f"{item.nodeid} was skipped, and this run allows no skips: {report.longrepr}"
        )
