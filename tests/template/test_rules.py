"""The template keeps our rules, each rule can fail, and the SAM command finds no fault."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tomllib
from perennial.domain.naming import token, tokens_collide

from tests.template.loading import ROOT, Template, main_template
from tests.template.rules import RULES, Rule

CONFIG: dict[str, Any] = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))
ENVIRONMENTS = {name: value for name, value in CONFIG.items() if name != "version"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_holds(rule: Rule) -> None:
    """The committed template does not offend against the rule."""
    assert list(rule.check(main_template())) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_can_fail(rule: Rule) -> None:
    """The rule finds the fault that is brought in, and names where it is."""
    raw = copy.deepcopy(main_template().raw)
    rule.breaks(raw)
    assert rule.says in "\n".join(rule.check(Template(main_template().text, raw)))


def unexplained(raw: dict[str, Any], runbook: str) -> list[str]:
    """The alarms that no row of the runbook begins with, by the name that they are called there."""
    heads = "".join(line.split(" | ")[0] for line in runbook.splitlines() if "**" in line)
    names = [
        name.removesuffix("Alarm")
        for name, resource in raw["Resources"].items()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    ]
    return [name for name in names if f"**{name}**" not in heads]


def test_the_runbook_has_every_alarm() -> None:
    """Whoever an alarm wakes finds what it means and what to do; without the row it is missed."""
    raw, runbook = main_template().raw, (ROOT / "docs" / "runbook.md").read_text("utf-8")
    assert unexplained(raw, runbook) == []
    assert unexplained(raw, runbook.replace("**OldSignal**", "")) == ["OldSignal"]


def test_configured_stacks_have_tokens_of_their_own() -> None:
    """Two stacks of one account never hear each other: no token begins another."""
    stacks = [part["global"]["parameters"]["stack_name"] for part in ENVIRONMENTS.values()]
    assert stacks == ["perennial", "dev-perennial", "prod-perennial"]
    tokens = [token(stack) for stack in stacks]
    assert not [(a, b) for i, a in enumerate(tokens) for b in tokens[:i] if tokens_collide(a, b)]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_configured_stack_is_tagged_and_complete(name: str) -> None:
    """Each stack's resources carry its name; it needs no answer typed but the confirmation."""
    stack = ENVIRONMENTS[name]["global"]["parameters"]["stack_name"]
    deploy = ENVIRONMENTS[name]["deploy"]["parameters"]
    assert deploy["tags"] == f"perennial:stack={stack}"
    assert deploy["resolve_s3"] is True
    assert {"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"} == set(deploy["capabilities"])
    assert deploy["confirm_changeset"] is (name == "prod")
    parameters = main_template().raw["Parameters"]
    for override in deploy.get("parameter_overrides", []):
        key, value = override.split("=")
        allowed = [str(option) for option in parameters[key]["AllowedValues"]]
        assert value in allowed


def test_nothing_configured_is_secret() -> None:
    """The configuration holds no account, no key, no profile."""
    text = (ROOT / "samconfig.toml").read_text("utf-8").lower()
    assert not [w for w in ("profile", "secret", "password", "arn:", "region") if w in text]


@pytest.mark.parametrize("path", ["template.yaml", "templates/model.yaml"])
def test_sam_validates(path: str) -> None:
    """`sam validate --lint` finds nothing, without a network or an account."""
    sam = ROOT / ".tools" / "sam" / "bin" / "sam"
    command = str(sam) if sam.exists() else shutil.which("sam")
    assert command, "the SAM command is not installed: run `make setup`"
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-west-1"}
    done = subprocess.run(
        [command, "validate", "--lint", "--template", ROOT / path],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_lint_is_silenced_nowhere() -> None:
    """No resource of ours asks cfn-lint to look away."""
    for path in (ROOT / "template.yaml", Path(ROOT / "templates" / "model.yaml")):
        assert "cfn-lint" not in path.read_text("utf-8")
