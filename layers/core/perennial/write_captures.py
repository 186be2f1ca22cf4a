"""Write the captured requests of a batch of messages as files, where SageMaker would have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from perennial.aws.objects import put_bytes
from perennial.domain.capture import Captured, by_file, file_body, file_key, read_message
from perennial.domain.errors import PerennialError
from perennial.domain.ledger.store import read_model

if TYPE_CHECKING:
    from perennial.wiring import Ports


@dataclass
class Written:
    """What became of a batch: messages that failed and why, files, and requests by model."""

    failed: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    written: Counter[str] = field(default_factory=Counter)
    #: Requests of models that are removed by now: nothing of those may be left behind.
    dropped: Counter[str] = field(default_factory=Counter)


def write_captures(ports: Ports, messages: Sequence[tuple[str, str]]) -> Written:
    """Write messages, each with its id and body; those that failed are named.

    A file is named by the messages in it: the same ones delivered again write the same file. A
    message that comes again among others is captured twice, with the same event id.
    """
    done = Written()
    lines: list[tuple[str, Captured]] = []
    for message, body in messages:
        try:
            lines.append((message, read_message(body)))
        except PerennialError as error:
            done.failed[message] = _words(error)
    known: dict[str, bool] = {}
    for parts in by_file(lines).values():
        model = parts[0][1].model
        try:
            if model not in known:
                known[model] = read_model(ports.ledger, model) is not None
            if known[model]:
                key, body_of_file = file_key(parts), file_body(parts)
                put_bytes(ports.deployment.artifact_bucket, key, body_of_file)
                done.files.append(key)
        except PerennialError as error:
            done.failed |= dict.fromkeys((message for message, _ in parts), _words(error))
        else:
            (done.written if known[model] else done.dropped)[model] += len(parts)
    return done


def _words(error: PerennialError) -> str:
    return f"{type(error).__name__}: {error}"
