"""`retrain`, `pause`, `resume`, `approve`, `reject`: what people decide, with their reasons."""

from __future__ import annotations

import uuid

import click
from perennial.domain.settings import SettingsInvalid
from rich.markup import escape

from cli.model_file import parse_sets, settings_error
from cli.names import one_model
from cli.session import Session, on_target

BECAUSE = click.option("--because", required=True, help="Why; kept with your name.")
YES = click.option("--yes", is_flag=True, help="Do not ask (AWS asks; the local cloud never does).")


@click.command()
@click.argument("model", required=False)
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a setting for this run only.",
)
@BECAUSE
@on_target
def retrain(session: Session, model: str | None, sets: tuple[str, ...], because: str) -> None:
    """Ask for a run now: it passes quiet period, cool-down and budget, never a run under way.

    \b
    Examples:
      perennial retrain census --because "new feature store"
      perennial retrain census --set train.hyperparameters.num_leaves=63 --because "try more leaves"
    """
    from perennial.request_retrain import request_retrain  # noqa: PLC0415 - boto3 costs 0.2 s

    name = one_model(session, model)
    overrides = parse_sets(sets)
    try:
        request_retrain(session.ports, name, because, overrides, uuid.uuid4().hex, session.who)
    except SettingsInvalid as error:
        raise settings_error(error) from error
    if session.screen.as_json:
        session.screen.document({"model": name, "because": because, "overrides": overrides})
        return
    with_sets = (
        f" with {', '.join(f'{key}={value}' for key, value in overrides.items())}"
        if overrides
        else ""
    )
    session.screen.line(f"A run of [bold]{name}[/]{escape(with_sets)} is asked for.")
    session.screen.line(f"[dim]next:[/]  perennial why {name}   or: perennial runs {name}")


@click.command()
@click.argument("model")
@BECAUSE
@on_target
def pause(session: Session, model: str, because: str) -> None:
    """Open no further runs of a model; its signals are kept.

    \b
    Examples:
      perennial pause census --because "the producer is being repaired"
    """
    from perennial.pause_model import pause_model  # noqa: PLC0415 - boto3 costs 0.2 s

    pause_model(session.ports, model, because, session.who)
    done(
        session,
        model,
        "paused",
        f"[bold]{model}[/] is paused; signals are kept. perennial resume {model}",
    )


@click.command()
@click.argument("model")
@on_target
def resume(session: Session, model: str) -> None:
    """Let a paused model open runs again.

    \b
    Examples:
      perennial resume census
    """
    from perennial.resume_model import resume_model  # noqa: PLC0415 - boto3 costs 0.2 s

    resume_model(session.ports, model, session.who)
    done(session, model, "resumed", f"[bold]{model}[/] may open runs again. perennial why {model}")


@click.command()
@click.argument("model")
@click.argument("version", type=int)
@click.option(
    "--production",
    is_flag=True,
    help="Let its release, which passed the smoke test and waits, into production.",
)
@BECAUSE
@YES
@on_target
def approve(  # noqa: PLR0913 - one argument an option
    session: Session, model: str, version: int, because: str, *, production: bool, yes: bool
) -> None:
    """Approve a version: a release brings it into production, where its model has an endpoint;
    else it is the champion at once. A rejected one may be overruled, with a reason.

    \b
    Examples:
      perennial approve census 2 --because "better on every facet"
      perennial approve census 2 --production --because "seen on staging"
    """
    if production:
        let_into_production(session, model, version, because, yes=yes)
        return
    from perennial.approve_version import approve_version  # noqa: PLC0415 - boto3 costs 0.2 s

    session.confirm(f"Approve {model} {version} on {session.target}?", yes=yes)
    approve_version(session.ports, model, version, because, session.who)
    done(
        session,
        model,
        "approved",
        f"[bold]{model} {version}[/] is approved by {escape(session.who)}: {escape(because)}",
        version,
    )


def let_into_production(
    session: Session, model: str, version: int, because: str, *, yes: bool
) -> None:
    """Answer the release of the version that waits for a person."""
    from perennial.approve_production import approve_production  # noqa: PLC0415 - boto3 costs 0.2 s

    session.confirm(f"Let {model} {version} into production on {session.target}?", yes=yes)
    release = approve_production(session.ports, model, version, because, session.who)
    words = f"Release {release.number} of [bold]{model} {version}[/] goes into production."
    done(session, model, "approved for production", words, version)


@click.command()
@click.argument("model")
@click.argument("version", type=int)
@BECAUSE
@YES
@on_target
def reject(session: Session, model: str, version: int, because: str, *, yes: bool) -> None:
    """Reject a version, so that it never becomes the champion.

    \b
    Examples:
      perennial reject census 2 --because "worse for women over 60"
    """
    from perennial.reject_version import reject_version  # noqa: PLC0415 - boto3 costs 0.2 s

    session.confirm(f"Reject {model} {version} on {session.target}?", yes=yes)
    reject_version(session.ports, model, version, because, session.who)
    done(
        session,
        model,
        "rejected",
        f"[bold]{model} {version}[/] is rejected by {escape(session.who)}: {escape(because)}",
        version,
    )


def done(session: Session, model: str, state: str, words: str, version: int | None = None) -> None:
    """Report what was decided."""
    if session.screen.as_json:
        document: dict[str, object] = {"model": model, "state": state, "by": session.who}
        session.screen.document(document | ({"version": version} if version is not None else {}))
    else:
        session.screen.line(words)
