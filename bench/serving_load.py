"""A load generator: keep-alive connections, each asking again as soon as it was answered.

    python -m bench.serving_load <port> <connections> <seconds>   (the request's body on stdin)

The connections are shared out to two processes (one for a single connection); each waits for
whichever of its sockets has an answer. Prints requests a second and the percentiles as JSON. An
answer that is no 200, or a connection that ends, ends the load with an error.
"""

from __future__ import annotations

import json
import multiprocessing
import select
import socket
import sys
import time

WARM_UP = 0.3
PROCESSES = 2


class Asker:
    """One connection."""

    def __init__(self, port: int, request: bytes) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = request
        self.received = b""
        self.asked = 0.0

    def ask(self) -> None:
        """Send the request."""
        self.received = b""
        self.asked = time.perf_counter()
        self.sock.sendall(self.request)

    def is_answered(self) -> bool:
        """Read what came; whether the answer is whole."""
        piece = self.sock.recv(1 << 18)
        if not piece:
            raise ConnectionError("the server closed a connection under load")
        self.received += piece
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self.received[:end].lower()
        if not head.startswith(b"http/1.1 200 "):
            raise ConnectionError(f"the server answered {self.received[:200]!r}")
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        return len(self.received) >= end + 4 + length


def ask_on(port: int, body: bytes, connections: int, seconds: float) -> list[float]:
    """Ask on some connections; the seconds of each request after the warm-up."""
    request = (
        b"POST /invocations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Accept: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    ) + body
    askers = {}
    poll = select.epoll()
    for _ in range(connections):
        asker = Asker(port, request)
        askers[asker.sock.fileno()] = asker
        poll.register(asker.sock.fileno(), select.EPOLLIN)
    counts = time.perf_counter() + WARM_UP
    ends = counts + seconds
    spent: list[float] = []
    for asker in askers.values():
        asker.ask()
    while (now := time.perf_counter()) < ends:
        for number, _ in poll.poll(1.0):
            asker = askers[number]
            if asker.is_answered():
                now = time.perf_counter()
                if now > counts:
                    spent.append(now - asker.asked)
                asker.ask()
    return spent


def main() -> None:
    """Share the connections out and put the measurements together."""
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    body = sys.stdin.buffer.read()
    processes = min(PROCESSES, connections)
    shares = [len(range(i, connections, processes)) for i in range(processes)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        parts = pool.starmap(ask_on, [(port, body, share, seconds) for share in shares])
    spent = sorted(second for part in parts for second in part)
    print(
        json.dumps(
            {
                "rate": len(spent) / seconds,
                "p50": 1000 * spent[len(spent) // 2],
                "p99": 1000 * spent[int(len(spent) * 0.99)],
            }
        )
    )


if __name__ == "__main__":
    main()
