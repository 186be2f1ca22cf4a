"""A checkout whose template is built and deployed by the SAM command onto a local cloud."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from perennial.aws.clients import forget_clients
from perennial.wiring import Ports, connect

from tests.functional.conftest import REPOSITORY, LocalCloud, start_local_cloud

PARTS = ("template.yaml", "samconfig.toml", "functions", "layers", "statemachines")
BUILT = ".aws-sam/build/template.yaml"


def run_sam(folder: Path, environment: dict[str, str], *arguments: str, fails: bool = False) -> str:
    """What the SAM command prints there; it must succeed, or fail if that is asked for."""
    tool = REPOSITORY / ".tools" / "sam" / "bin" / "sam"
    command = str(tool) if tool.exists() else shutil.which("sam")
    assert command, "the SAM command is not installed: run `make setup`"
    done = subprocess.run(
        [command, *arguments],
        cwd=folder,
        env={**environment, "SAM_CLI_TELEMETRY": "0", "SAM_CLI_POLL_DELAY": "0.1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    assert (done.returncode != 0) == fails, f"sam {arguments[0]}: {text}"
    return text


@dataclass
class Checkout:
    """A copy of what `sam` reads, so that no test builds into the work tree."""

    folder: Path
    cloud: LocalCloud
    outputs: dict[str, str] = field(default_factory=dict)

    def sam(self, *arguments: str, fails: bool = False) -> str:
        """What a command prints; it must succeed, or fail if that is asked for."""
        return run_sam(self.folder, self.cloud.environment(), *arguments, fails=fails)

    def built(self, change: Callable[[str], str], name: str) -> str:
        """The built template with a change, as a file beside it."""
        text = (self.folder / BUILT).read_text("utf-8")
        changed = change(text)
        assert changed != text, f"{name} changes nothing"
        path = Path(BUILT).with_name(f"{name}.yaml")
        (self.folder / path).write_text(changed, "utf-8")
        return str(path)

    def deploy_changed(self, template: str, *, fails: bool = False) -> str:
        """Deploy a changed template; `sam` looks for its configuration beside it otherwise."""
        config = str(self.folder / "samconfig.toml")
        return self.sam("deploy", "--template-file", template, "--config-file", config, fails=fails)

    def stack(self, name: str) -> dict[str, Any] | None:
        """The stack as CloudFormation describes it, or None."""
        client = self.cloud.client("cloudformation")
        try:
            found: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
        except client.exceptions.ClientError as error:
            if "does not exist" not in str(error):
                raise
            return None
        return found

    def outputs_of(self, name: str) -> dict[str, str]:
        """A stack's outputs by key."""
        stack = self.stack(name)
        assert stack is not None
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def memory(self, output: str) -> int:
        """The memory of the function that an output names."""
        client = self.cloud.client("lambda")
        found = client.get_function_configuration(FunctionName=self.outputs[output])
        return int(found["MemorySize"])


@functools.cache
def _built() -> tempfile.TemporaryDirectory[str]:
    """What `sam build` makes of the sources, once for all checkouts of this process."""
    kept = tempfile.TemporaryDirectory(prefix="built-")
    folder, hidden = Path(kept.name), shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=hidden)
        else:
            shutil.copy(source, folder / part)
    os.symlink(REPOSITORY / ".tools", folder / ".tools")
    run_sam(folder, dict(os.environ), "build")
    atexit.register(kept.cleanup)
    return kept


def make_checkout(folder: Path, state: Path, *arguments: str) -> Checkout:
    """The stack `perennial`, built and deployed on a cloud of its own."""
    shutil.copytree(_built().name, folder, symlinks=True, dirs_exist_ok=True)
    made = Checkout(folder, start_local_cloud(state, *arguments))
    made.sam("deploy")
    made.outputs = made.outputs_of("perennial")
    return made


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """The stack `perennial`, built and deployed on a cloud of this module's own."""
    folder, state = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("cloud") / "state"
    made = make_checkout(folder, state)
    yield made
    made.cloud.stop()


@pytest.fixture(scope="module")
def ports(checkout: Checkout) -> Iterator[Ports]:
    """The use cases, bound to the deployed stack with the caller's own rights."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in checkout.cloud.environment().items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        forget_clients()
        yield connect({**checkout.outputs, "StackName": "perennial"})
    forget_clients()


def hold_sweeps(cloud: LocalCloud, group: str) -> None:
    """From now on nothing sweeps by itself."""
    scheduler = cloud.client("scheduler")
    found = scheduler.get_schedule(Name=f"{group}-sweep", GroupName=group)
    kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    scheduler.update_schedule(**{name: found[name] for name in kept}, State="DISABLED")
