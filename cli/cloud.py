"""`up`, `down`, `env`: the local cloud and how other AWS clients reach it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

import click
from rich.markup import escape

from cli.deployment import build_and_deploy
from cli.errors import Refused, TargetUnreachable
from cli.live import Progress
from cli.local_cloud import (
    ROOT,
    RunningCloud,
    StaleCloud,
    clear_stale,
    find_cloud,
    launch_arguments,
    launch_environment,
    port_option,
    require_free_port,
    start_cloud,
    stop_cloud,
)
from cli.output import Screen, duration, plain
from cli.target import DEFAULT_STACK, Target, client_environment, misleading_variables

NEXT = 'eval "$(perennial env)" && sam build && sam deploy   [dim](or all at once: make up)[/]'


@click.command()
@port_option("Port on 127.0.0.1.")
@click.option(
    "--clock",
    default=1.0,
    type=click.FloatRange(0, 100_000, min_open=True),
    show_default=True,
    metavar="FACTOR",
    help="Let the services' waits (schedules, alarm periods, visibility) pass this much faster.",
)
@click.option("--foreground", is_flag=True, help="Stay attached; end with Ctrl-C.")
@click.option("--keep", is_flag=True, help="Keep the local cloud that runs, if one does.")
@click.option("--deploy", is_flag=True, help="Then build and deploy the stack with the sam CLI.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def up(  # noqa: PLR0913 - one argument an option
    port: int, clock: float, *, foreground: bool, keep: bool, deploy: bool, as_json: bool
) -> None:
    """Start the local cloud: AWS on this machine, empty.

    \b
    Examples:
      perennial up
      perennial up --port 5000 --clock 60
      make up                        # the same as: perennial up --keep --deploy
      PERENNIAL_PORT=5000 make up
    """
    screen = Screen(as_json=as_json)
    if foreground:
        run_in_foreground(port, clock)
    cloud = find_cloud() if keep else None
    if cloud is not None:
        screen.line(f"The local cloud already runs at [bold]{cloud.endpoint}[/].")
    else:
        cloud = start(screen, port, clock)
    if deploy:
        deploy_onto(cloud, screen)
    if as_json:
        screen.document(plain(cloud) | {"deployed": deploy})
        return
    if cloud.python and not cloud.python.startswith("3.13"):
        python = escape(cloud.python)
        screen.line(f"[dim]Functions ask for Python 3.13; {python} stands in for it.[/]")
    following = "perennial push models/census" if deploy else NEXT
    if shutil.which("perennial") is None:
        following = f"source .venv/bin/activate && {following}"
    screen.line(f"[dim]next:[/]  {following}")


def start(screen: Screen, port: int, clock: float) -> RunningCloud:
    """Start the local cloud and say so."""
    with screen.people.status("starting the local cloud") as status:

        def on_wait(seconds: float, last: str) -> None:
            if seconds > 2:
                words = f"starting the local cloud · {duration(seconds)}"
                status.update(f"{words} [dim]{escape(last[:90])}[/]")

        cloud, stale = start_cloud(port, clock, on_wait)
    if stale is not None:
        gone = f"The last local cloud (process {stale.pid}) had died; what it held is gone."
        screen.line(f"[yellow]{gone}[/]")
    screen.line(f"The local cloud runs at [bold]{cloud.endpoint}[/] and is empty.")
    return cloud


def deploy_onto(cloud: RunningCloud, screen: Screen) -> None:
    """Build and deploy the main stack onto the local cloud."""
    target = Target(stack=DEFAULT_STACK, region=cloud.region, cloud=cloud)
    target.apply(os.environ)
    with Progress(screen.people) as progress:
        build_and_deploy(target.stack, progress)


def run_in_foreground(port: int, clock: float) -> None:
    """Become the local cloud, so that Ctrl-C and the terminal's end reach it directly."""
    running = find_cloud()
    if running is not None:
        raise Refused(
            f"A local cloud already runs at {running.endpoint} (process {running.pid}).",
            "Stop it with 'perennial down'.",
        )
    clear_stale()
    require_free_port(port)
    os.chdir(ROOT)
    arguments = launch_arguments(port, clock)
    sys.stdout.flush()
    os.execve(arguments[0], arguments, launch_environment())  # noqa: S606 - our own interpreter


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def down(*, as_json: bool) -> None:
    """Stop the local cloud and everything it runs; what it holds is gone.

    \b
    Examples:
      perennial down
    """
    screen = Screen(as_json=as_json)
    stopped = stop_cloud()
    if screen.as_json:
        screen.document(
            {"stopped": isinstance(stopped, RunningCloud), "pid": stopped.pid if stopped else None}
        )
    elif stopped is None:
        screen.line("No local cloud is running.")
    elif isinstance(stopped, StaleCloud):
        screen.line(
            f"The local cloud (process {stopped.pid}) had died already; its record is removed."
        )
    else:
        screen.line(
            f"The local cloud at {stopped.endpoint} (process {stopped.pid}) is stopped;"
            " what it held is gone."
        )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the variables as one JSON document.")
@click.option("--unset", is_flag=True, help="Print what takes the variables away again.")
def env(*, as_json: bool, unset: bool) -> None:
    """Print shell exports that point any AWS client at the local cloud.

    boto3, the aws CLI and the sam CLI work with them unmodified, and cannot reach a real account.

    \b
    Examples:
      eval "$(perennial env)" && sam build && sam deploy
      eval "$(perennial env --unset)"
      perennial env --json
    """
    screen = Screen(as_json=as_json)
    asked = click.get_current_context().find_root().params.get("target")
    target = str(asked or os.environ.get("PERENNIAL_TARGET") or "local")
    if not unset and not target.startswith("local"):
        raise Refused(
            f"'env' points clients at the local cloud, and the target is '{target}'.",
            "For an account, AWS_PROFILE and AWS_REGION are all that a client needs.",
        )
    if unset:
        names = sorted(client_environment(RunningCloud("", 0, "", "")))
        click.echo("unset " + " ".join(names))
        return
    cloud = find_cloud()
    if cloud is None:
        raise TargetUnreachable("No local cloud is running.", "Start one: perennial up")
    variables = client_environment(cloud)
    if as_json:
        screen.document(variables)
        return
    screen.err.print(f"[dim]# target: local cloud {cloud.endpoint}[/]", soft_wrap=True)
    misleading = misleading_variables(os.environ)
    if misleading:
        click.echo("unset " + " ".join(misleading))
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    tools = [str(ROOT / ".tools" / "sam" / "bin"), str(ROOT / ".venv" / "bin")]
    missing = [
        tool
        for tool in tools
        if os.path.isdir(tool) and tool not in os.environ.get("PATH", "").split(os.pathsep)
    ]
    if missing:
        click.echo(f'export PATH={shlex.quote(os.pathsep.join(missing))}:"$PATH"')
