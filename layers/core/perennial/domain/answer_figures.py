"""Our own figures of answers, where SageMaker's are of several models together.

`predict` puts them out for the version that a release brings; the release's alarms look at them.
"""

from __future__ import annotations

#: CloudWatch's namespace; 0 or 1 an answer; its milliseconds.
NAMESPACE, BAD_ANSWERS, ANSWER_MS = "Perennial", "BadAnswers", "AnswerMilliseconds"


def answer_dimensions(stack: str, model: str, release: int) -> dict[str, str]:
    """Of which answers the figures are: those of what a release brings."""
    return {"stack": stack, "model": model, "release": str(release)}
