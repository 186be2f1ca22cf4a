"""Write to CloudWatch Logs from inside the cloud (moto's storage, without a request)."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from moto.logs.exceptions import ResourceAlreadyExistsException
from moto.logs.models import logs_backends

if TYPE_CHECKING:
    from local.cloud import Cloud


def append(cloud: "Cloud", group: str, stream: str, lines: Sequence[str]) -> None:
    """Append lines, stamped now; the group and the stream are made if they do not exist."""
    if not lines:
        return
    now = int(cloud.clock.now() * 1000)
    events = [{"timestamp": now, "message": line} for line in lines]
    backend = logs_backends[cloud.account][cloud.region]
    with cloud.lock("logs"):
        if group not in backend.groups:
            backend.create_log_group(group, {})
        with contextlib.suppress(ResourceAlreadyExistsException):
            backend.create_log_stream(group, stream)
        backend.put_log_events(group, stream, events)
