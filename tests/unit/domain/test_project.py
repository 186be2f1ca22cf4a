"""A project as text: functions, signatures and requirements."""

from __future__ import annotations

import pytest
from perennial.domain.project import find_model_mistakes, join_requirements

GOOD = """
def prepare(frame): return frame
def train(train, validation, hyperparameters): return 1
def predict(model, frame): return 2
"""


@pytest.mark.parametrize(
    "source",
    [
        GOOD,
        "from helpers import prepare, train, predict",
        GOOD.replace("(frame)", "(frame, scale=2)"),
        GOOD.replace("(model, frame)", "(*arguments)"),
        GOOD.replace("def prepare(frame): return frame", "prepare = print"),
    ],
)
def test_good_projects_pass(source: str) -> None:
    """Functions may be imported, bound, or take more with defaults."""
    assert find_model_mistakes(source) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def prepare(:", "model.py line 1: "),
        ("x = '\0'", "model.py"),
        ("", "model.py has no function train(train, validation, hyperparameters)"),
        (GOOD.replace("(frame)", "()"), "prepare must be callable as prepare(frame)"),
        (GOOD.replace("(frame)", "(frame, *, k)"), "must be callable as prepare(frame)"),
        (GOOD.replace("(model, frame)", "(model)"), "predict must be callable"),
        (GOOD + "def save(model, folder): pass", "only one of save and load"),
    ],
)
def test_mistakes_are_named_with_their_line(source: str, words: str) -> None:
    """Found before anything is packed or started."""
    assert any(words in mistake for mistake in find_model_mistakes(source))


LOCK = "# lock\nnumpy==2.2.6\nscikit-learn==1.7.2\n"


def test_own_requirements_are_laid_below_the_lock() -> None:
    """Sorted, without what the lock has already."""
    joined = join_requirements(LOCK, "zeta==1.0\nScikit_Learn==1.7.2\nalpha==2.0  # why\n")
    assert joined == LOCK + "alpha==2.0\nzeta==1.0\n"
    assert join_requirements(LOCK, "") == LOCK


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("numpy==1.26.0", "the jobs run with numpy==2.2.6"),
        ("alpha>=2", "pins no version"),
        ("-e .", "pins no version"),
    ],
)
def test_requirements_that_cannot_be_are_refused(own: str, words: str) -> None:
    """One environment holds one version, and a run must be repeatable."""
    with pytest.raises(ValueError, match=words):
        join_requirements(LOCK, own)
