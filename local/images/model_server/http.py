"""HTTP/1.1 with keep-alive for one process: many connections, one request at a time.

A model's work holds the processor (and Python's lock) anyway, so an event loop that runs each
request to its end loses nothing to threads and saves their switches.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from local.images.model_server.parsing import BadHttp, Head, parse_head, read_body

JSON = "application/json"
IDLE_SECONDS = 75.0  # nginx's own default; the image has it at 3, where clients meet its end
LINGER_SECONDS = 2.0  # what a refused sender still wants to say is thrown away
DRAIN_SECONDS = 0.5  # after which an idle connection is closed when the server ends
SWEEP_SECONDS = 0.25
LARGEST_HEAD = 32 * 1024
READ = 1 << 18
KEPT_HEADS = 256

REASONS = {int(status): status.phrase for status in HTTPStatus}


@dataclass(frozen=True)
class Request:
    """One request; header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What goes back; `kind` is the content type."""

    status: int
    body: bytes = b""
    kind: str = JSON


Handler = Callable[[Request], Answer]


@dataclass(frozen=True)
class Limits:
    """Bytes of a request's body, and seconds that a client may take to send it."""

    body: int = 6 * 1024 * 1024
    seconds: float = 60.0


class Connection:
    """One client: what it has sent and not been answered, and what it has not taken yet."""

    __slots__ = ("closing", "deadline", "head", "lingers", "received", "sock", "told", "unsent")

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock = sock
        self.received = b""
        self.head: Head | None = None
        self.unsent = b""
        self.closing = False
        self.lingers = False
        self.told = False  # to go on and send the body
        self.deadline = deadline


class Loop:
    """Answers the connections of one listening socket until `stop` is called."""

    def __init__(self, listener: socket.socket, handler: Handler, limits: Limits) -> None:
        self._listener = listener
        self._handler = handler
        self._limits = limits
        self._connections: dict[int, Connection] = {}
        self._heads: dict[bytes, Head] = {}
        self._stopping = False
        self._poll = select.epoll()
        # Only one of the processes that share the socket wakes for a new connection.
        self._poll.register(listener.fileno(), select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def stop(self) -> None:
        """End once everything that has begun is answered."""
        self._stopping = True

    def run(self) -> None:
        """Serve until stopped."""
        swept = time.monotonic()
        accepting = True
        while True:
            if self._stopping and accepting:
                accepting = False
                self._poll.unregister(self._listener.fileno())
                while self._accept():  # who is connected already may not be turned away
                    pass
                self._hurry()
            if self._stopping and not self._connections:
                break
            for number, _ in self._poll.poll(SWEEP_SECONDS):
                connection = self._connections.get(number)
                if connection is None:
                    if accepting and number == self._listener.fileno():
                        self._accept()
                    continue
                self._serve(connection)
            now = time.monotonic()
            if now - swept > SWEEP_SECONDS:
                swept = now
                self._sweep(now)
        self._poll.close()

    def _hurry(self) -> None:
        """The server ends: idle connections have a moment for a request under way."""
        soon = time.monotonic() + DRAIN_SECONDS
        for connection in self._connections.values():
            if not connection.received:
                connection.deadline = min(connection.deadline, soon)

    def _accept(self) -> bool:
        """Take one waiting connection, if there is any."""
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            # Another worker was faster, the client has gone, or too many files are open.
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(0.01)
            return False
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[sock.fileno()] = Connection(sock, time.monotonic() + IDLE_SECONDS)
        self._poll.register(sock.fileno(), select.EPOLLIN)
        return True

    def _serve(self, connection: Connection) -> None:
        try:
            if connection.unsent:
                self._send(connection, b"")
                if connection.unsent:
                    return
            try:
                piece = connection.sock.recv(READ)
            except (BlockingIOError, InterruptedError):
                return
            if not piece:
                self._close(connection)
            elif not connection.closing:
                fresh = not connection.received
                connection.received = piece if fresh else connection.received + piece
                if fresh:
                    connection.deadline = time.monotonic() + self._limits.seconds
                self._answer(connection)
        except OSError:
            self._close(connection)  # the client hung up; there is nobody to tell

    def _answer(self, connection: Connection) -> None:
        """Answer each whole request that has arrived."""
        while connection.received and not connection.closing and not connection.unsent:
            try:
                request = self._take(connection)
            except BadHttp as error:
                self._refuse(connection, error.status, str(error))
                return
            if request is None:
                return
            head, body = request
            answer = self._handler(Request(head.method, head.path, head.headers, body))
            connection.closing = not head.keeps or self._stopping
            self._send(connection, encode(answer, connection.closing, head.method == "HEAD"))
            if connection.closing:
                self._end(connection)
                return
            connection.deadline = time.monotonic() + (
                self._limits.seconds if connection.received else IDLE_SECONDS
            )

    def _take(self, connection: Connection) -> tuple[Head, bytes] | None:
        """The next request, or None when there is more to come; raises `BadHttp`."""
        head = connection.head
        if head is None:
            end = connection.received.find(b"\r\n\r\n")
            if end < 0:
                if len(connection.received) > LARGEST_HEAD:
                    raise BadHttp(431, "the headers are longer than 32 KiB")
                return None
            raw = connection.received[:end]
            head = self._heads.get(raw)
            if head is None:
                head = parse_head(raw)
                # Clients repeat themselves: their headers are the same for most requests.
                if len(self._heads) >= KEPT_HEADS:
                    self._heads.clear()
                self._heads[raw] = head
            connection.received = connection.received[end + 4 :]
            connection.head = head
        found = read_body(head, connection.received, self._limits.body)
        if found is None:
            if head.expects and not connection.told:
                connection.told = True
                connection.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        body, connection.received = found
        connection.head, connection.told = None, False
        return head, body

    def _refuse(self, connection: Connection, status: int, words: str) -> None:
        text = words.replace("\\", "\\\\").replace('"', '\\"')
        connection.closing = True
        self._send(connection, encode(Answer(status, f'{{"error": "{text}"}}'.encode()), True))
        self._end(connection)

    def _send(self, connection: Connection, data: bytes) -> None:
        pending = connection.unsent + data if connection.unsent else data
        try:
            sent = connection.sock.send(pending)
        except (BlockingIOError, InterruptedError):
            sent = 0
        had = bool(connection.unsent)
        connection.unsent = pending[sent:] if sent < len(pending) else b""
        if connection.unsent and not had:
            self._poll.modify(connection.sock.fileno(), select.EPOLLOUT)
            connection.deadline = time.monotonic() + self._limits.seconds
        elif had and not connection.unsent:
            self._poll.modify(connection.sock.fileno(), select.EPOLLIN)
            if connection.closing:
                self._end(connection)
            else:
                self._answer(connection)

    def _end(self, connection: Connection) -> None:
        """No more answers on this connection. What the client still sends is read, lest the
        kernel resets the connection before the answer is read."""
        if connection.unsent or connection.lingers:
            return
        connection.lingers = True
        connection.received = b""
        connection.sock.shutdown(socket.SHUT_WR)
        connection.deadline = time.monotonic() + LINGER_SECONDS

    def _sweep(self, now: float) -> None:
        for connection in list(self._connections.values()):
            if now < connection.deadline:
                continue
            waits = connection.received or connection.head is not None
            if waits and not connection.closing:
                words = f"the request did not arrive within {self._limits.seconds:g} seconds"
                try:
                    self._refuse(connection, 408, words)
                except OSError:
                    self._close(connection)
            else:
                self._close(connection)

    def _close(self, connection: Connection) -> None:
        number = connection.sock.fileno()
        if number < 0:
            return
        self._connections.pop(number, None)
        self._poll.unregister(number)
        connection.sock.close()


def encode(answer: Answer, closing: bool, no_body: bool = False) -> bytes:
    """The bytes of an answer."""
    reason = REASONS.get(answer.status, "Unknown")
    end = "Connection: close\r\n\r\n" if closing else "\r\n"
    head = (
        f"HTTP/1.1 {answer.status} {reason}\r\nContent-Type: {answer.kind}\r\n"
        f"Content-Length: {len(answer.body)}\r\n{end}"
    )
    return head.encode("latin-1") + (b"" if no_body else answer.body)
