"""Where a command acts: the local cloud, or an AWS account, Region and stack.

Order: `--target`, then PERENNIAL_TARGET, then the local cloud that runs. AWS is never a default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from cli.errors import TargetUnreachable, Usage
from cli.local_cloud import RunningCloud, find_cloud

DEFAULT_STACK = "perennial"
STACK = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
# Anything of these left in the environment could send a call somewhere else than the target says.
MISLEADING = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)


@dataclass(frozen=True)
class Target:
    """One place to act in: `cloud` is set for the local cloud, `region` and `profile` for AWS."""

    stack: str
    region: str
    cloud: RunningCloud | None = None
    profile: str | None = None

    @property
    def is_aws(self) -> bool:
        """Say whether commands touch a real account, so that the risky ones must ask."""
        return self.cloud is None

    def __str__(self) -> str:
        if self.cloud is not None:
            return f"local cloud {self.cloud.endpoint} · stack {self.stack}"
        who = f"profile {self.profile}" if self.profile else "the environment's credentials"
        return f"AWS {self.region} · {who} · stack {self.stack}"

    @property
    def spec(self) -> str:
        """The value of `--target` that names this target again."""
        if self.cloud is not None:
            return "local" if self.stack == DEFAULT_STACK else f"local/{self.stack}"
        return f"aws:{self.profile or '-'}/{self.region}/{self.stack}"

    def apply(self, environ: MutableMapping[str, str]) -> None:
        """Point every AWS client that this process or its children make at the target."""
        if self.cloud is not None:
            for name in misleading_variables(environ):
                del environ[name]
            environ.update(client_environment(self.cloud))
            return
        for name in [key for key in environ if key.startswith("AWS_ENDPOINT_URL")]:
            del environ[name]
        environ.update(AWS_REGION=self.region, AWS_DEFAULT_REGION=self.region)
        if self.profile:
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
                environ.pop(name, None)
            environ["AWS_PROFILE"] = self.profile


def misleading_variables(environ: Mapping[str, str]) -> list[str]:
    """Names in the environment that would lead a client away from the local cloud."""
    return sorted(
        name for name in environ if name in MISLEADING or name.startswith("AWS_ENDPOINT_URL_")
    )


def client_environment(cloud: RunningCloud) -> dict[str, str]:
    """What any AWS client needs to talk to the local cloud, and to nothing else."""
    return {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": cloud.region,
        "AWS_DEFAULT_REGION": cloud.region,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "1",
    }


def resolve_target(asked: str | None, environ: Mapping[str, str] | None = None) -> Target:
    """Turn `--target`, else PERENNIAL_TARGET, else the running local cloud into a target."""
    environ = os.environ if environ is None else environ
    spec = asked or environ.get("PERENNIAL_TARGET") or ""
    if spec.startswith("aws"):
        return parse_aws(spec)
    stack = DEFAULT_STACK
    if spec and spec != "local":
        kind, _, stack = spec.partition("/")
        if kind != "local" or not STACK.fullmatch(stack):
            raise Usage(
                f"'{spec}' names no target.",
                "Use 'local', 'local/<stack>' or 'aws:<profile or ->/<region>/<stack>'.",
            )
    cloud = find_cloud()
    if cloud is None:
        raise TargetUnreachable(
            "No local cloud is running, and no other target was named.",
            "Start one with 'perennial up', or name an account with"
            " '--target aws:<profile or ->/<region>/<stack>'.",
        )
    return Target(stack=stack, region=cloud.region, cloud=cloud)


def parse_aws(spec: str) -> Target:
    """Read `aws:<profile or ->/<region>/<stack>`; each of the three must be there."""
    kind, _, rest = spec.partition(":")
    parts = rest.split("/")
    if kind != "aws" or len(parts) != 3 or not all(parts):
        raise Usage(
            f"'{spec}' does not name an account, a Region and a stack.",
            "Write 'aws:<profile or ->/<region>/<stack>', for example 'aws:-/eu-west-1/perennial'.",
        )
    profile, region, stack = parts
    if not REGION.fullmatch(region):
        raise Usage(f"'{region}' in '{spec}' is no AWS Region.", "For example: eu-west-1.")
    if not STACK.fullmatch(stack):
        raise Usage(f"'{stack}' in '{spec}' cannot be the name of a stack.")
    return Target(stack=stack, region=region, profile=None if profile == "-" else profile)
