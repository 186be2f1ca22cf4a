"""Where labelled rows come from, and the prefixes of the artifact bucket that hold them."""

from __future__ import annotations

LANDED = "landed"
LABELLED_TRAFFIC = "labelled-traffic"
REVIEWS = "reviews"
SOURCES = (LANDED, LABELLED_TRAFFIC, REVIEWS)

CAPTURE = "capture/"
LABELS = "labels/"
REVIEWED = "reviews/"


def capture_prefix(model: str) -> str:
    """Captured requests and answers of a model's endpoint."""
    return f"{CAPTURE}{model}/"


def labels_prefix(model: str) -> str:
    """Ground truth: what captured requests really were, as it becomes known."""
    return f"{LABELS}{model}/"


def reviews_prefix(model: str) -> str:
    """Label sets of reviewers."""
    return f"{REVIEWED}{model}/"


def prefixes_of(source: str, model: str) -> tuple[str, ...]:
    """The prefixes of the artifact bucket that a source reads; none for what landed."""
    return {
        LABELLED_TRAFFIC: (labels_prefix(model), capture_prefix(model)),
        REVIEWS: (reviews_prefix(model),),
    }.get(source, ())
