"""What a worker writes: text lines and the runtime client's log frames, in one append-only file.

awslambdaric frames each log record (magic 0xa55a0003 and relatives, length, microseconds,
message), so that a record of many lines stays one log event; `print` writes plain lines between.
"""

from pathlib import Path

_MAGIC = b"\xa5\x5a"  # cannot begin a UTF-8 character
_HEADER = 16
_TRUNCATE_ABOVE = 4 * 1024 * 1024
MAX_EVENT = 256 * 1024  # bytes of one CloudWatch Logs event


class OutputFile:
    """The worker's stdout, stderr and log frames; `drain` returns what was added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("ab", buffering=0)
        self._read = path.open("rb")

    def drain(self) -> list[str]:
        """Log events written since the last drain, in order."""
        data = self._read.read()
        events = [_text(event) for event in split(data)]
        if self._read.tell() > _TRUNCATE_ABOVE:
            # The writer appends (O_APPEND) and is idle when an invocation has just ended.
            self.file.truncate(0)
            self._read.seek(0)
        return events

    def close(self) -> None:
        """Close and remove the file."""
        self.file.close()
        self._read.close()
        self.path.unlink(missing_ok=True)


def split(data: bytes) -> list[bytes]:
    """Separate frames and lines."""
    events: list[bytes] = []
    at = 0
    while at < len(data):
        if data.startswith(_MAGIC, at) and at + _HEADER <= len(data):
            size = int.from_bytes(data[at + 4 : at + 8], "big")
            events.append(data[at + _HEADER : at + _HEADER + size])
            at += _HEADER + size
            continue
        line_end = data.find(b"\n", at)
        frame = data.find(_MAGIC, at)
        if frame != -1 and (line_end == -1 or frame < line_end):
            events.append(data[at:frame])
            at = frame
        else:
            end = len(data) if line_end == -1 else line_end
            events.append(data[at:end])
            at = end + 1
    return [event for event in events if event.strip()]


def _text(event: bytes) -> str:
    return event[:MAX_EVENT].decode("utf-8", "replace").rstrip("\n")
