"""Children that die with the server, also when it is killed with -9.

Two nets: PR_SET_PDEATHSIG kills the direct child when the thread that started it ends, so one
thread that lives as long as the server starts them all; and a small guard process reads the
children's process groups from a pipe and kills them when the pipe closes, which also reaches what
the children started.
"""

import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl

_GUARD = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
groups = set()
for line in sys.stdin:
    sign, number = line[0], int(line[1:])
    groups.add(number) if sign == "+" else groups.discard(number)
for number in groups:
    try:
        os.killpg(number, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
"""

Stream = int | IO[Any] | None


def _die_with_parent() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class ProcessKeeper:
    """Starts children in process groups of their own and sees to it that none outlives us."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        threading.Thread(target=self._serve, name="spawner", daemon=True).start()

    def _serve(self) -> None:
        while True:
            job, future = self._jobs.get()
            try:
                future.set_result(job())
            except BaseException as error:  # handed to the caller of spawn
                future.set_exception(error)

    def spawn(  # noqa: PLR0913 - subprocess.Popen's own options
        self,
        args: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | str | None = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.DEVNULL,
        stderr: Stream = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a child in its own session; `stop` it or let it end, then `forget` it."""

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                list(args),
                env=dict(env),
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                # The only call between fork and exec is one prctl through a function object
                # that is loaded already: it takes no lock another thread could hold.
                preexec_fn=_die_with_parent,  # noqa: PLW1509
            )

        future: Future[subprocess.Popen[bytes]] = Future()
        self._jobs.put((start, future))
        child = future.result()
        with self._lock:
            self._children[child.pid] = child
            self._tell_guard(f"+{child.pid}")
            closed = self._closed
        if closed:
            self.kill(child)
        return child

    def _tell_guard(self, line: str) -> None:
        if self._guard.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._guard.stdin.write(line + "\n")
                self._guard.stdin.flush()

    def kill(self, child: subprocess.Popen[bytes]) -> int:
        """Kill the child's whole group now; returns its exit status."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        status = child.wait()
        self.forget(child)
        return status

    def forget(self, child: subprocess.Popen[bytes]) -> None:
        """The child has ended: sweep what is left of its group and drop it from the books."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        with self._lock:
            self._children.pop(child.pid, None)
            self._tell_guard(f"-{child.pid}")

    def close(self) -> None:
        """Kill every child; later ones die as they start."""
        with self._lock:
            self._closed = True
            children = list(self._children.values())
        for child in children:
            self.kill(child)
        if self._guard.stdin is not None:
            with contextlib.suppress(OSError):
                self._guard.stdin.close()
        self._guard.wait()
