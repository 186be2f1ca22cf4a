"""The life of a model server: listen, load, fork workers, restart those that die, drain, end."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path

from local.images.model_server.http import Answer, Limits, Loop, Request
from local.images.model_server.toolkit import Application, UserModule

MEGABYTE = 1024 * 1024
BACKLOG = 2048
KILL_AFTER = 25.0  # SageMaker itself kills 30 s after SIGTERM
RESTART_PAUSE = 0.2
WATCH_SECONDS = 0.05


def main() -> int:
    """Serve what the environment says; the exit code is the container's."""
    # One thread a worker: there are as many workers as cores, and a pool of OpenMP's threads does
    # not survive a fork. Before any library reads it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if os.environ.get("SAGEMAKER_MULTI_MODEL", "").lower() == "true":
        # Java's counterpart is another program too; a server of one model needs none of it.
        from local.images.model_server.multi_model import serve_models, serve_one  # noqa: PLC0415

        if len(sys.argv) == 3:
            return serve_one(Path(sys.argv[1]), Path(sys.argv[2]), limits())
        return serve_models(listen(), limits())
    return Server(listen(), limits(), base_folder() / "model").run()


def base_folder() -> Path:
    """/opt/ml, or where it lies for a server without a private one."""
    return Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))


def listen() -> socket.socket:
    """The socket of SAGEMAKER_BIND_TO_PORT."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))))
    sock.listen(BACKLOG)
    sock.setblocking(False)
    return sock


def limits() -> Limits:
    """Of one request, from the toolkit's own variables; batch transform's 0 MB means none."""
    megabytes = int(os.environ.get("SAGEMAKER_MAX_PAYLOAD_IN_MB", "6"))
    return Limits(
        body=megabytes * MEGABYTE or sys.maxsize,
        seconds=float(os.environ.get("SAGEMAKER_MODEL_SERVER_TIMEOUT", "60")),
    )


def say(words: str) -> None:
    """A line of the container's log."""
    sys.stderr.write(words + "\n")
    sys.stderr.flush()


def worker_count() -> int:
    """SAGEMAKER_MODEL_SERVER_WORKERS, or one a core."""
    given = os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS")
    return max(1, int(given)) if given else len(os.sched_getaffinity(0))


class Waiting:
    """Answers 503 (loading) or 500 (cannot be loaded) while there is no model."""

    def __init__(self, listener: socket.socket, bounds: Limits) -> None:
        self.answer = Answer(503, b'{"error": "the model is being loaded"}')
        self._loop = Loop(listener, self._say, bounds)
        self._thread = threading.Thread(target=self._loop.run, daemon=True)
        self._thread.start()

    def _say(self, _request: Request) -> Answer:
        return self.answer

    def end(self) -> None:
        """Leave the socket to the workers."""
        self._loop.stop()
        self._thread.join()


class Server:
    """One model's server: this process watches, its children answer."""

    def __init__(self, listener: socket.socket, bounds: Limits, folder: Path) -> None:
        self._listener = listener
        self._bounds = bounds
        self._folder = folder
        self._workers: set[int] = set()
        self._ending = False

    def run(self) -> int:
        """Load and serve until SIGTERM; a model that cannot be loaded fails every ping."""
        signal.signal(signal.SIGTERM, self._end_early)
        waiting = Waiting(self._listener, self._bounds)
        try:
            user = UserModule(self._folder, multi_model=False)
        except Exception as error:
            traceback.print_exc()
            words = f"the model cannot be loaded: {type(error).__name__}: {error}"
            say(words)
            # As the image does: it stays up, and its health check fails until somebody looks.
            waiting.answer = Answer(500, b'{"error": "the model cannot be loaded; see the log"}')
            while True:
                signal.pause()
        waiting.end()
        self._watch(Application(user))
        return 0

    def _end_early(self, _signal: int, _frame: object) -> None:
        os._exit(0)  # nothing has been promised to anybody yet

    def _end(self, _signal: int, _frame: object) -> None:
        self._ending = True
        self._tell(signal.SIGTERM)

    def _tell(self, number: int) -> None:
        for worker in list(self._workers):
            with contextlib.suppress(ProcessLookupError):  # ended, and reaped just now
                os.kill(worker, number)

    def _watch(self, application: Application) -> None:
        """Keep the workers alive until the end is asked for, then wait for theirs."""
        signal.signal(signal.SIGTERM, self._end)
        count = worker_count()
        # What is loaded stays: collecting garbage among it would cost requests time, and the
        # workers their shared memory.
        gc.collect()
        gc.freeze()
        say(f"model loaded; {count} workers of server {os.getpid()}")
        kill_at = float("inf")
        while not self._ending or self._workers:
            while not self._ending and len(self._workers) < count:
                self._fork(application)
            self._reap()
            if self._ending and kill_at == float("inf"):
                kill_at = time.monotonic() + KILL_AFTER
            if time.monotonic() > kill_at:
                self._tell(signal.SIGKILL)
            time.sleep(WATCH_SECONDS)

    def _fork(self, application: Application) -> None:
        # A SIGTERM between the fork and the child's own handler must reach neither too early.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        child = os.fork()
        if child == 0:
            self._work(application)
        self._workers.add(child)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    def _work(self, application: Application) -> None:
        code = 1
        try:
            loop = Loop(self._listener, application, self._bounds)
            signal.signal(signal.SIGTERM, lambda *_: loop.stop())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
            loop.run()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for worker in list(self._workers):
            pid, status = os.waitpid(worker, os.WNOHANG)
            if not pid:
                continue
            self._workers.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            if not self._ending:
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                say(f"worker {pid} ended ({how}); another takes its place")
                time.sleep(RESTART_PAUSE)
