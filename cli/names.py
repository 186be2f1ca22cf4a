"""Which model and which run a command means, when the words leave it open."""

from __future__ import annotations

from cli.errors import NotFound, Usage
from cli.session import Session


def one_model(session: Session, named: str | None) -> str:
    """The named model, else the only one there is."""
    if named:
        return named
    from perennial.list_models import list_models  # noqa: PLC0415 - boto3 costs 0.2 s

    models = list_models(session.ports)
    if not models:
        raise NotFound(
            f"There is no model on {session.target}.", "Push one: perennial push models/census"
        )
    if len(models) > 1:
        raise Usage(f"Which model? There are {', '.join(models)}.", "Name it with --model.")
    return models[0]


def model_and_number(
    session: Session, words: tuple[str, ...], model: str | None, noun: str
) -> tuple[str, int]:
    """Read `[MODEL] NUMBER`: the model may be left out where there is only one."""
    if len(words) not in {1, 2} or not words[-1].isdigit() or (len(words) == 2 and model):
        raise Usage(
            f"'{' '.join(words)}' is not [model] {noun}.", "For example: census 3, or just 3."
        )
    named = words[0] if len(words) == 2 else model
    return one_model(session, named), int(words[-1])
