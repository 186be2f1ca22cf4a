"""What a stack leaves behind when it is deleted, and its removal.

The main stack retains its buckets and its table; with `DataRetention=delete` they are emptied
and removed here, after everything that writes to them. A model's stack has a package group,
which CloudFormation can delete only once it is empty, and what its releases made: endpoints,
their configurations and models, guarding alarms.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from perennial.aws import ledger_table, monitoring_schedules, objects, registry
from perennial.domain.errors import Rejected, Retryable
from perennial.domain.naming import parse_watch_name, token
from perennial.remove_endpoint import remove_served


def change_stack(event: Mapping[str, Any], deadline: float) -> dict[str, str]:
    """Answer one change of a stack's custom resource with the resource's attributes.

    `Kind: Stack` has the attribute `Token`; `Kind: Model` has none. Only a deletion acts.
    """
    properties = event["ResourceProperties"]
    kind = properties.get("Kind")
    deleted = event["RequestType"] == "Delete"
    if kind == "Stack":
        if deleted and properties.get("DataRetention") == "delete":
            remove_data(properties, deadline)
        return {"Token": token(properties["StackName"])}
    if kind == "Model":
        if deleted:
            stack, model = properties["StackName"], properties["Model"]
            if properties.get("MonitorProvider") == "sagemaker":
                remove_schedules(stack, model)
            # A stack of before there were shared endpoints does not name the bucket.
            remove_served(stack, properties.get("ArtifactBucket", ""), model, deadline)
            empty_group(properties["PackageGroup"], deadline)
        return {}
    raise Rejected(f"Kind is {kind!r}; expected Stack or Model")


def remove_schedules(stack: str, model: str) -> None:
    """Remove SageMaker's monitoring schedules of a model, by name, with their definitions."""
    mark = token(stack)
    for name in monitoring_schedules.list_schedules(f"{mark}-watch-{model}-"):
        named = parse_watch_name(name, mark)
        if named is not None and named[0] == model:
            monitoring_schedules.delete_watch(named[1], name)


def remove_data(properties: Mapping[str, Any], deadline: float) -> None:
    """Empty and remove both buckets and the ledger; repeatable until nothing is left."""
    for name in ("LandingBucket", "ArtifactBucket"):
        _remove_bucket(properties[name], deadline)
    ledger_table.delete_table(properties["LedgerTable"])


def _remove_bucket(bucket: str, deadline: float) -> None:
    objects.delete_versions(bucket, "", before_page=lambda: _check_time(deadline, bucket))
    objects.delete_bucket(bucket)


def empty_group(group: str, deadline: float) -> None:
    """Delete every version of a package group; one that does not exist is empty."""
    for summary in list(registry.list_versions(group)):
        _check_time(deadline, group)
        registry.delete_version(summary["ModelPackageArn"])


def _check_time(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise Retryable(f"{what} is not empty yet and the time is up; delete the stack again")
