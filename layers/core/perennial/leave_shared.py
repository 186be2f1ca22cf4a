"""Take a model from the endpoint that several models share; the last one takes the endpoint too."""

from __future__ import annotations

from perennial.aws import endpoints, shared_archives
from perennial.domain import shared_naming


def leave_shared(stack: str, bucket: str, model: str, kept: frozenset[str] = frozenset()) -> bool:
    """Delete the model's archives but those of the `kept` configurations.

    When no model has an archive any more, the endpoint goes, with what it was made of. True while
    it is being removed; ask again. Without a bucket there is nothing to leave.
    """
    if not bucket:
        return False
    keys = frozenset(shared_naming.archive(model, config) for config in kept)
    shared_archives.delete_archives(bucket, shared_naming.prefix(model), keys)
    if shared_archives.list_archives(bucket, shared_naming.prefix()):
        return False
    name = shared_naming.endpoint(stack)
    if endpoints.remove_endpoint_named(name):
        return True
    remove_shared_configs(stack)
    return False


def remove_shared_configs(stack: str, *, but: str = "") -> None:
    """Remove what the shared endpoint was once made of; `but` is what it is made of now."""
    part = shared_naming.config_name(stack, "")
    for remove, listed in (
        (endpoints.delete_config, endpoints.list_configs(part)),
        (endpoints.delete_model, endpoints.list_models(part)),
    ):
        for name in list(listed):
            if name.startswith(part) and name != but:
                remove(name)
