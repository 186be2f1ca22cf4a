"""Logs and metrics of the functions: Powertools' logger, and counts in CloudWatch's EMF.

Every count goes out twice, for the stack and for the model in it, so that an alarm can watch
the stack and the dashboard can show each model. Namespace: `POWERTOOLS_METRICS_NAMESPACE`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import (
    AmazonCloudWatchEMFProvider,
)
from perennial.domain.answer_figures import ANSWER_MS, BAD_ANSWERS, answer_dimensions

Handler = Callable[[Any, Any], Any]
logger = Logger()


def observed(handler: Handler) -> Handler:
    """Log each event's outcome with the function's context, and an error with its event's id."""
    with_context = logger.inject_lambda_context(handler, clear_state=True)

    @wraps(handler)
    def observed_handler(event: Any, context: Any) -> Any:
        try:
            return with_context(event, context)
        except Exception:
            logger.exception("the function failed; whoever called it will repeat or dead-letter")
            raise

    return observed_handler


def note_answer(*, stack: str, model: str, release: int, is_bad: bool, spent_ms: float) -> None:
    """Tell how an answer of the version went that a release brings: 0 or 1, and its milliseconds.

    The alarms of a release look at it where SageMaker's own figures do not tell models apart.
    """
    metrics = AmazonCloudWatchEMFProvider(service="")
    for name, value in answer_dimensions(stack, model, release).items():
        metrics.add_dimension(name, value)
    metrics.add_metric(BAD_ANSWERS, MetricUnit.Count, int(is_bad))
    metrics.add_metric(ANSWER_MS, MetricUnit.Milliseconds, spent_ms)
    metrics.flush_metrics()


def count(name: str, *, stack: str, model: str, value: int = 1) -> None:
    """Count something that happened to a model, under the stack and under the model.

    Dimensions: `stack`, and `stack` with `model`. Nothing is sent for a value of 0.
    """
    if not value:
        return
    # Without a service name of its own, which Powertools would add as a third dimension.
    metrics = AmazonCloudWatchEMFProvider(service="")
    metrics.add_dimension("stack", stack)
    metrics.add_dimensions(stack=stack, model=model)
    metrics.add_metric(name, MetricUnit.Count, value)
    metrics.flush_metrics()
