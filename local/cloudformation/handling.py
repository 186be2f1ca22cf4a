"""One resource at a time: calls to its handler, with statuses, events and readable reasons."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from local.cloudformation.custom import NO_ECHO
from local.cloudformation.errors import ResourceError, UnchangedError
from local.cloudformation.kinds import Kinds
from local.cloudformation.resources.base import Context, Made
from local.cloudformation.stacks import Stack, StackResource, Store

if TYPE_CHECKING:
    from local.cloud import Cloud

log = logging.getLogger(__name__)
_KIND = "GeneralServiceException"


def reason_of(error: Exception) -> str:
    """Return why a resource failed, in words for the event's reader."""
    if isinstance(error, ClientError):
        body = error.response["Error"]
        text = f"{body.get('Message', '')} (Service error: {body.get('Code', '')})"
        return f'Resource handler returned message: "{text}" (HandlerErrorCode: {_KIND})'
    if isinstance(error, BotoCoreError):
        return f'Resource handler returned message: "{error}" (HandlerErrorCode: InvalidRequest)'
    return str(error)


class Handling:
    """Creates, changes and deletes single resources of one stack."""

    def __init__(
        self, cloud: Cloud, store: Store, kinds: Kinds, stack: Stack, tags: Mapping[str, str]
    ) -> None:
        self._cloud, self._store, self._kinds = cloud, store, kinds
        self._stack, self._tags = stack, tags
        self.unchanged: set[str] = set()
        """Resources whose change was refused before it began."""

    def create(self, resource: StackResource) -> bool:
        """Make a resource from its properties; False when that failed."""
        kind, context = self._kinds.of(resource.type_name), self._context(resource)
        self._store.record(self._stack, resource, "CREATE_IN_PROGRESS")
        try:
            made = kind.create(context, resource.properties)
        except Exception as error:
            self._note(error, resource)
            resource.physical_id = context.claimed
            self._store.record(self._stack, resource, "CREATE_FAILED", reason_of(error))
            return False
        _settle(resource, made)
        self._store.record(self._stack, resource, "CREATE_COMPLETE")
        return True

    def update(
        self, resource: StackResource, properties: dict[str, Any], former_tags: Mapping[str, str]
    ) -> str | bool | None:
        """Change a resource in place.

        Returns False when that failed; else the physical id that was replaced, or None.
        """
        kind, context = self._kinds.of(resource.type_name), self._context(resource)
        old, old_id = resource.properties, str(resource.physical_id)
        made = Made(old_id, resource.attributes)
        self._store.record(self._stack, resource, "UPDATE_IN_PROGRESS")
        try:
            if kind.tagged:
                old = _with_former_tags(old, former_tags)
            outcome = kind.update(context, made, old, properties)
        except Exception as error:
            self._note(error, resource)
            if isinstance(error, UnchangedError):
                self.unchanged.add(resource.logical_id)
            # Part of the change may be in effect: what takes it back starts from the new values.
            resource.properties = properties
            self._store.record(self._stack, resource, "UPDATE_FAILED", reason_of(error))
            return False
        resource.properties = properties
        _settle(resource, outcome if isinstance(outcome, Made) else Made(old_id, outcome))
        self._store.record(self._stack, resource, "UPDATE_COMPLETE")
        return old_id if resource.physical_id != old_id else None

    def delete(self, resource: StackResource) -> bool:
        """Remove a resource; False when that failed."""
        if resource.physical_id is None:
            self._store.record(self._stack, resource, "DELETE_COMPLETE")
            return True
        kind, context = self._kinds.of(resource.type_name), self._context(resource)
        self._store.record(self._stack, resource, "DELETE_IN_PROGRESS")
        try:
            kind.delete(
                context, Made(resource.physical_id, resource.attributes), resource.properties
            )
        except Exception as error:
            self._note(error, resource)
            self._store.record(self._stack, resource, "DELETE_FAILED", reason_of(error))
            return False
        self._store.record(self._stack, resource, "DELETE_COMPLETE")
        return True

    def _context(self, resource: StackResource) -> Context:
        return Context(
            self._cloud,
            self._stack.name,
            self._stack.id,
            resource.logical_id,
            resource.type_name,
            self._tags,
        )

    @staticmethod
    def _note(error: Exception, resource: StackResource) -> None:
        if not isinstance(error, (ResourceError, ClientError)):
            log.error("%s %s", resource.type_name, resource.logical_id, exc_info=error)


def _settle(resource: StackResource, made: Made) -> None:
    attributes = dict(made.attributes)
    resource.secrets = attributes.pop(NO_ECHO, ())
    resource.physical_id, resource.attributes = made.physical_id, attributes


def _with_former_tags(properties: dict[str, Any], former: Mapping[str, str]) -> dict[str, Any]:
    """Return old properties whose tags include the former stack tags: handlers then see which of
    them are gone."""
    own = properties.get("Tags")
    if isinstance(own, Mapping):
        return {**properties, "Tags": {**former, **own}}
    given = {tag["Key"] for tag in own or ()}
    extra = [{"Key": key, "Value": value} for key, value in former.items() if key not in given]
    return {**properties, "Tags": [*extra, *(own or ())]} if extra else properties
