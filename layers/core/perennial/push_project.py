"""Publish a model project: upload its code, deploy what the model owns, publish its settings.

The order matters: a run can only begin once the settings are published, and by then its code and
its package group are there. Each step may be repeated, so a push that died half-way is pushed
again. Unchanged content publishes nothing, and is no signal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perennial.aws.objects import exists, put_bytes
from perennial.aws.stacks import StackEvent, deploy_stack
from perennial.domain import naming
from perennial.model_stack import render_model_stack
from perennial.publish_settings import publish_settings

if TYPE_CHECKING:
    from perennial.domain.settings import Settings
    from perennial.wiring import Ports


@dataclass(frozen=True)
class Code:
    """The packed code of a project: the bytes of its archive and their SHA-256 in hex."""

    body: bytes
    sha256: str


@dataclass(frozen=True)
class Pushed:
    """What a push did; `version` is the settings version that holds now."""

    model: str
    version: int
    changed: bool
    code_sha: str
    code_uri: str
    uploaded: bool
    stack: str
    stack_changed: bool


def push_project(
    ports: Ports,
    settings: Settings,
    code: Code,
    *,
    pushed_by: str,
    tell: Callable[[StackEvent], None],
) -> Pushed:
    """Publish validated settings and packed code as the model's next settings version."""
    model = settings.project
    bucket, key = ports.deployment.artifact_bucket, naming.code_key(model, code.sha256)
    uri = f"s3://{bucket}/{key}"
    # The key is the content's digest: what is there already is the same.
    uploaded = not exists(uri)
    if uploaded:
        put_bytes(bucket, key, code.body, content_type="application/gzip")
    stack = render_model_stack(
        ports.deployment.stack,
        model,
        ports.deployment.token,
        dict(settings.triggers.schedules),
        settings.monitor,
    )
    stack_changed = deploy_stack(stack.name, stack.template, stack.parameters, stack.tags, tell)
    published = publish_settings(ports, model, settings_json(settings), uri, code.sha256, pushed_by)
    return Pushed(
        model=model,
        version=published.version,
        changed=published.changed,
        code_sha=code.sha256,
        code_uri=uri,
        uploaded=uploaded,
        stack=stack.name,
        stack_changed=stack_changed,
    )


def settings_json(settings: Settings) -> str:
    """The settings as the ledger keeps them: equal settings are equal text."""
    document: dict[str, Any] = settings.to_json()
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
