"""Keep-alive connections to one model server on this machine's loopback."""

import contextlib
import http.client
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

HOST = "127.0.0.1"
IDLE_SECONDS = 1.0  # servers end keep-alive after two seconds or more: ours are never that old
ANSWER_LIMIT = 6 * 1024 * 1024  # bytes of one answer, as SageMaker allows
PIECE = 1 << 18


class ServerSilentError(Exception):
    """The server did not answer in time."""


class ServerGoneError(Exception):
    """The server cannot be reached, or ended before its answer was complete."""


class ServerAbsentError(Exception):
    """Nobody listens: nothing was sent, and another server may be asked."""


class AnswerTooLargeError(Exception):
    """The answer passes the limit of an invocation."""


@dataclass(frozen=True)
class Answer:
    """What the server said; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Ports:
    """Ports of this cloud's servers, each given to one server at a time."""

    def __init__(self) -> None:
        self._given: set[int] = set()
        self._lock = threading.Lock()

    def take(self) -> int:
        """A port that nobody listens on now and that no other server of ours was given."""
        with self._lock:
            while True:
                with socket.socket() as probe:
                    probe.bind((HOST, 0))
                    port = int(probe.getsockname()[1])
                if port not in self._given:
                    self._given.add(port)
                    return port

    def give_back(self, port: int) -> None:
        """The server has ended."""
        with self._lock:
            self._given.discard(port)


class Connections:
    """As many connections as there are requests at once; no lock, a deque is safe by itself."""

    def __init__(self, port: int, answer_limit: int = ANSWER_LIMIT) -> None:
        self._port = port
        self._limit = answer_limit
        self._idle: deque[tuple[http.client.HTTPConnection, float]] = deque()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        seconds: float,
    ) -> Answer:
        """One exchange within so many real seconds, the reading of the answer included.

        Raises `ServerAbsentError`, `ServerGoneError`, `ServerSilentError`, `AnswerTooLargeError`.
        """
        deadline = time.monotonic() + seconds
        connection = self._take(seconds)
        try:
            request = (method, path, body, headers)
            answer, keep = _exchange(connection, request, deadline, self._limit)
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise ServerSilentError(f"no answer within {seconds:g} seconds") from error
            if isinstance(error, OSError | http.client.HTTPException):
                raise ServerGoneError(str(error) or type(error).__name__) from error
            raise
        if keep:
            self._idle.append((connection, time.monotonic()))
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close what is idle; the server has ended."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop()[0].close()

    def _take(self, seconds: float) -> http.client.HTTPConnection:
        with contextlib.suppress(IndexError):
            while True:
                connection, since = self._idle.pop()
                if _is_usable(connection, since):
                    return connection
                connection.close()
        fresh = http.client.HTTPConnection(HOST, self._port, timeout=seconds)
        try:
            fresh.connect()
        except OSError as error:
            fresh.close()
            raise ServerAbsentError(str(error)) from error
        return fresh


def _is_usable(connection: http.client.HTTPConnection, since: float) -> bool:
    """Whether the other side still listens: a socket that can be read has been closed by it."""
    if connection.sock is None or time.monotonic() - since > IDLE_SECONDS:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN | select.POLLHUP)
    return not poll.poll(0)


def _exchange(
    connection: http.client.HTTPConnection,
    request: tuple[str, str, bytes | None, Mapping[str, str]],
    deadline: float,
    limit: int,
) -> tuple[Answer, bool]:
    """The answer, and whether the connection can be used again."""
    method, path, body, headers = request
    if connection.sock is not None:
        connection.sock.settimeout(_left(deadline))
    connection.request(method, path, body=body, headers=dict(headers))
    response = connection.getresponse()
    pieces: list[bytes] = []
    size = 0
    while True:
        if connection.sock is not None:
            connection.sock.settimeout(_left(deadline))
        piece = response.read(PIECE)
        if not piece:
            break
        size += len(piece)
        if size > limit:
            raise AnswerTooLargeError(f"the answer is larger than {limit} bytes")
        pieces.append(piece)
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, b"".join(pieces)), not response.will_close


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
