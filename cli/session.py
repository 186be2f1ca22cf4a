"""What every command shares: `--target`, `--json`, the printed target, and errors in words."""

from __future__ import annotations

import functools
import getpass
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click
from perennial.domain import errors as ours
from rich.markup import escape

from cli.errors import CommandError, NotFound, Refused, TargetUnreachable
from cli.output import Screen
from cli.target import Target, resolve_target

if TYPE_CHECKING:
    from perennial.wiring import Ports

#: What a function has in its environment and no output tells: variable, and stack parameter.
PARAMETERS = {
    "KMS_KEY_ARN": "KmsKeyArn",
    "NETWORK_ISOLATION": "NetworkIsolation",
    "VPC_SECURITY_GROUP_IDS": "VpcSecurityGroupIds",
    "VPC_SUBNET_IDS": "VpcSubnetIds",
}

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Session:
    """One command's target, screen, and (made at first use) its ports to the stack."""

    target: Target
    screen: Screen
    _ports: Ports | None = field(default=None, repr=False)

    @property
    def ports(self) -> Ports:
        """Everything the use cases need, from the outputs of the target's stack."""
        if self._ports is None:
            from perennial.aws.stacks import describe_stack  # noqa: PLC0415 - boto3 costs 0.2 s
            from perennial.wiring import connect  # noqa: PLC0415 - as above

            stack = describe_stack(self.target.stack)
            if stack is None:
                raise TargetUnreachable(
                    f"There is no stack '{self.target.stack}' on {self.where}.",
                    "Deploy it: make up"
                    if not self.target.is_aws
                    else "Deploy it: sam build && sam deploy",
                )
            given = {name: stack.parameters.get(of, "") for name, of in PARAMETERS.items()}
            self._ports = connect({**given, **stack.outputs, "StackName": self.target.stack})
        return self._ports

    @property
    def where(self) -> str:
        """The target's account or cloud, without the stack."""
        return str(self.target).rsplit(" · stack ", 1)[0]

    @property
    def who(self) -> str:
        """The person who gives the command, as recorded in the ledger."""
        return os.environ.get("PERENNIAL_USER") or getpass.getuser()

    def confirm(self, question: str, *, yes: bool) -> None:
        """On AWS, ask before what cannot be undone; without a terminal, refuse instead."""
        if yes or not self.target.is_aws:
            return
        if not os.isatty(0):
            raise Refused(f"{question} Nobody is there to answer.", "Say --yes if you mean it.")
        if not click.confirm(question, err=True):
            raise Refused("Nothing was done.")


def on_target(command: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """Give a command `--target` and `--json`; print the target; turn errors into words."""

    @click.option(
        "--target",
        metavar="TARGET",
        help="Where to act (default: $PERENNIAL_TARGET, else the running local cloud).",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        asked = kwargs.pop("target", None)
        as_json = bool(kwargs.pop("as_json", False))
        context = click.get_current_context()
        session = open_session(
            str(asked or context.find_root().params.get("target") or "") or None, as_json=as_json
        )
        with spoken_errors(session.target):
            return command(session, *args, **kwargs)

    return wrapped


def open_session(asked: str | None, *, as_json: bool) -> Session:
    """Resolve the target, point this process at it and say so."""
    target = resolve_target(asked)
    screen = Screen(as_json=as_json)
    screen.people.print(f"[dim]target: {escape(str(target))}[/]", soft_wrap=True)
    target.apply(os.environ)
    from perennial.aws.clients import forget_clients  # noqa: PLC0415 - boto3 costs 0.2 s

    forget_clients()
    return Session(target=target, screen=screen)


@contextmanager
def spoken_errors(target: Target) -> Iterator[None]:
    """Turn the errors of use cases and adapters into messages with an exit code."""
    try:
        yield
    except CommandError:
        raise
    except ours.PerennialError as error:
        raise command_error(error, target) from error


def command_error(error: Exception, target: Target) -> CommandError:
    """The command-line error that says what this error means to a person."""
    words = str(error) or type(error).__name__
    hint = "'perennial status' shows what there is." if "no model" in words else ""
    kinds: list[tuple[str, Any, str]] = [
        ("NotFound", NotFound, hint),
        ("NotAllowed", Refused, ""),
        ("Denied", Refused, "The credentials in use lack this right on the target."),
        ("Unavailable", TargetUnreachable, f"Is the target right? {target}"),
    ]
    for name, kind, hint in kinds:
        expected = getattr(ours, name, None)
        if expected is not None and isinstance(error, expected):
            return kind(words, hint)  # type: ignore[no-any-return]  # a table of classes
    return CommandError(words)
