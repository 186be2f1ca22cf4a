"""Why a job failed: SageMaker's reason, or the job's own words where those tell more."""

from __future__ import annotations

import pytest
from perennial.domain.job_failure import reason_of

LOG = "AlgorithmError: See job logs for more information"


@pytest.mark.parametrize(
    ("reason", "own", "said"),
    [
        (LOG, "constraints.json: features is 7", "constraints.json: features is 7"),
        (LOG, "", LOG),
        ("CapacityError: no machine", "half done", "CapacityError: no machine"),
        ("", "half done", "half done"),
        (None, None, "no reason was given"),
    ],
)
def test_the_most_telling_words(reason: str | None, own: str | None, said: str) -> None:
    """A job that failed by itself tells why; what stopped it from outside is told by SageMaker."""
    assert reason_of({"FailureReason": reason, "ExitMessage": own}) == said


def test_a_job_that_did_not_fail_has_no_reason() -> None:
    """Nothing is made up."""
    assert reason_of({}, unknown="") == ""
