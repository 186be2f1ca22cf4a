"""The command `perennial`. Commands are loaded when called, so that each starts fast."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from cli.errors import CommandError

# Shown in this order, under these headings: the module of each command, and what it is for.
SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Local cloud": {
        "up": ("cli.cloud", "start AWS on this machine, empty"),
        "down": ("cli.cloud", "stop it and everything it runs"),
        "env": ("cli.cloud", "shell exports for sam, aws, boto3 and any other client"),
        "demo": ("cli.demo", "the whole loop on real data, told as it happens"),
        "demo-drift": (
            "cli.demo_drift",
            "traffic drifts; monitors notice; the model follows, told",
        ),
        "demo-release": ("cli.demo_release", "approval to production, canary and rollback, told"),
    },
    "Model projects": {
        "init": ("cli.project", "write a project from a CSV file"),
        "check": ("cli.project", "check, train, evaluate and judge without a cloud"),
        "push": ("cli.project", "publish code and settings; a reason to retrain"),
        "remove": ("cli.project", "take a model away with all that it owns"),
    },
    "Data": {
        "fetch-data": ("cli.data", "get the data of an example model"),
        "land": ("cli.data", "put files where a model learns from"),
        "data": ("cli.data", "keep an object out of every later run, or let it in"),
    },
    "See": {
        "status": ("cli.see", "every model on one screen"),
        "why": ("cli.see", "what a model waits for, and until when"),
        "releases": ("cli.release", "a model's releases, how each ended, and why"),
        "endpoint": ("cli.release", "what a model's endpoint serves; take it away"),
        "monitor": ("cli.monitor", "what watches a model; let one of its monitors look now"),
        "drift": ("cli.monitor", "what drifted: a table, and a page with pictures"),
        "runs": ("cli.runs", "a model's runs, why each began and how it ended; compare some"),
        "run": ("cli.run", "show or follow one run, its card; stop it, repeat it"),
        "cost": ("cli.cost", "what runs cost, by step and by run"),
        "lineage": ("cli.lineage", "everything that a version came from"),
        "logs": ("cli.logs", "log lines of a function, a run or a job"),
    },
    "Use": {
        "predict": ("cli.predict", "ask a model's live version; without rows, what it takes"),
        "label": ("cli.monitor", "send what was right, once it is known"),
        "batch": ("cli.batch", "predict many rows at once, and get a manifest of the results"),
    },
    "Decide": {
        "retrain": ("cli.decide", "ask for a run now, perhaps with other settings"),
        "pause": ("cli.decide", "open no further runs; signals are kept"),
        "resume": ("cli.decide", "let runs open again"),
        "approve": ("cli.decide", "let a version go live, or be the champion"),
        "reject": ("cli.decide", "never let it"),
        "release": ("cli.release", "bring an approved version into production again"),
        "rollback": ("cli.release", "go back to the last good configuration"),
        "ab": ("cli.ab", "test a version against the live one on real traffic"),
        "adopt": ("cli.release", "record what is live already as the champion"),
        "replay": ("cli.replay", "bring back messages that were given up on"),
    },
}
MODULES = {name: entry[0] for commands in SECTIONS.values() for name, entry in commands.items()}
# Where a command's name is a word of Python or says too little as a function.
FUNCTIONS = {
    "demo-drift": "demo_drift",
    "demo-release": "demo_release",
    "ab": "ab_group",
    "monitor": "monitor_group",
    "fetch-data": "fetch_data",
    "data": "data_group",
    "run": "run_group",
    "runs": "runs_group",
}


class Commands(click.Group):
    """A group that imports a command's module only when it is called or shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which a newcomer needs them."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None for a name that does not exist."""
        module = MODULES.get(cmd_name)
        if module is None:
            return None
        found = getattr(importlib.import_module(module), FUNCTIONS.get(cmd_name, cmd_name))
        if not isinstance(found, click.Command):
            raise TypeError(f"{module} has no command {cmd_name}")
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a file that cannot be read or written is an error in words."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise CommandError(f"{where}{error.strerror or error}.") from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they are for."""
        for heading, commands in SECTIONS.items():
            rows = [(name, words) for name, (_, words) in commands.items()]
            with formatter.section(heading):
                formatter.write_dl(rows, col_max=12)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--target", metavar="TARGET", help="Where to act; see below.")
@click.version_option(package_name="perennial", message="perennial %(version)s")
def perennial(target: str | None) -> None:
    """Keep machine-learning models in production fresh, and prove that each change is safe.

    \b
    A command acts on its target and prints it first:
      --target local[/<stack>]                         the running local cloud
      --target aws:<profile or ->/<region>/<stack>     an AWS account
      PERENNIAL_TARGET=…                               the same, for a whole shell
    Without either: the running local cloud. AWS is never a default.

    \b
    Exit codes: 0 done, 1 failed, 2 usage, 3 target unreachable, 4 not found, 5 refused.
    """


def main() -> None:
    """Run the command line; a user's mistake or an unreachable target is no traceback."""
    try:
        perennial.main(prog_name="perennial", standalone_mode=True)
    except BrokenPipeError:
        # `perennial runs | head`: the reader has what it wanted.
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()
