"""One instance of a variant: a server process that is kept alive until it is told to stop."""

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.objects import Objects
from local.sagemaker.container.output import Output
from local.sagemaker.container.process import JobProcess
from local.sagemaker.endpoints.connections import (
    AnswerTooLargeError,
    Connections,
    Ports,
    ServerAbsentError,
    ServerGoneError,
    ServerSilentError,
)
from local.sagemaker.endpoints.container import Artifact, Launch, StartError, prepare
from local.sagemaker.endpoints.model_cache import ModelCache
from local.sagemaker.endpoints.models import is_multi_model
from local.sagemaker.runtime import JobRuntime

log = logging.getLogger(__name__)
STARTING, IN_SERVICE, DRAINING, STOPPED = "Starting", "InService", "Draining", "Stopped"
PREPARE_SECONDS = 1800.0  # real seconds for the download and the image's environment
PING_SECONDS = 2.0  # SageMaker's limit for one answer of /ping
PING_EVERY = 0.05
STOP_GRACE = 30.0  # service seconds between SIGTERM and SIGKILL
STOP_FLOOR = 2.0  # real seconds that a server has at least, however fast the clock runs
DRAIN_SECONDS = 70.0  # real seconds; no invocation takes longer
OUTPUT_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # between a crash and the next start, doubled each time
LOG_GROUP = "/aws/sagemaker/Endpoints/"


@dataclass(frozen=True)
class Post:
    """What an instance serves, and for whom."""

    endpoint: str
    config: str
    variant: str
    container: Mapping[str, Any]
    isolated: bool

    @property
    def log_group(self) -> str:
        """Where its output goes in CloudWatch Logs."""
        return LOG_GROUP + self.endpoint


class Instance:
    """A server, and every server that has to take its place after a crash.

    `failure` says why it can never start. Requests take it with `take` and give it back; it is
    stopped only when all are given back.
    """

    def __init__(self, runtime: JobRuntime, ports: Ports, post: Post) -> None:
        self._runtime = runtime
        self._ports = ports
        self.post = post
        self.id = "i-" + secrets.token_hex(8)
        self.state = STARTING
        self.failure = ""
        self.outstanding = 0
        self.setup_microseconds = 0.0  # of a start that a request had to wait for, until it is told
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._connections: Connections | None = None
        self.cache: ModelCache | None = None  # of the server that runs, if it has several models
        self._process: JobProcess | None = None
        self._first_start = 0.0  # of the monotonic clock; 0: there was no server yet
        self._proven = False  # whether it has ever been in service
        self._place = runtime.cloud.state_dir / "jobs" / f"endpoint-{post.endpoint}-{self.id}"

    # --- requests ---------------------------------------------------------------------------
    def take(self) -> Connections | None:
        """The way to the server for one request, or None while it takes none."""
        with self._changed:
            if self.state != IN_SERVICE:
                return None
            self.outstanding += 1
            return self._connections

    def give_back(self) -> None:
        """The request is answered."""
        with self._changed:
            self.outstanding -= 1
            if not self.outstanding and self.state == DRAINING:
                self._changed.notify_all()

    # --- life -------------------------------------------------------------------------------
    def start(self) -> None:
        """Begin; returns at once."""
        self._runtime.cloud.background(f"endpoint {self.post.endpoint} {self.id}", self._live)

    def wait(self, seconds: float) -> bool:
        """Whether it came into service within so many real seconds of a server's life.

        What comes before the first server (download, the image's environment) has its own time.
        """
        called = time.monotonic()
        with self._changed:
            self._changed.wait_for(lambda: self._first_start or self._is_decided(), PREPARE_SECONDS)
            left = max(self._first_start, called) + seconds - time.monotonic()
            self._changed.wait_for(self._is_decided, max(0.0, left))
            return self.state == IN_SERVICE

    def _is_decided(self) -> bool:
        return self.state != STARTING or bool(self.failure)

    def drain(self) -> None:
        """Take no more requests and wait until those under way are answered."""
        with self._changed:
            if self.state != STOPPED:
                self.state = DRAINING
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self.outstanding, DRAIN_SECONDS)

    def stop(self) -> None:
        """Drain, then SIGTERM, then SIGKILL; returns when the process is gone."""
        self.drain()
        self._ending.set()
        process, connections = self._process, self._connections
        if connections is not None:
            connections.close()  # a server that drains would wait for them
        if process is not None:
            process.terminate()
        grace = max(STOP_FLOOR, self._runtime.cloud.clock.real_seconds(STOP_GRACE))
        with self._changed:
            if not self._changed.wait_for(lambda: self.state == STOPPED, grace):
                process = self._process
                if process is not None:
                    process.kill()
                self._changed.wait_for(lambda: self.state == STOPPED, OUTPUT_SECONDS)

    @property
    def pid(self) -> int | None:
        """The process that leads the server's session, while there is one."""
        process = self._process
        return None if process is None else process.pid

    def kill(self) -> None:
        """End the server as a crash would; the next one starts by itself."""
        process = self._process
        if process is not None:
            process.kill()

    def _live(self) -> None:
        pause = FIRST_PAUSE
        try:
            artifact = Artifact.fetch(self._runtime, self.post.container, self._place / "artifact")
            number = 0
            while not self._ending.is_set() and not self._runtime.cloud.stopping.is_set():
                number += 1
                served = self._again(artifact, number)
                pause = FIRST_PAUSE if served else min(2 * pause, LONGEST_PAUSE)
                self._ending.wait(pause)
        except StartError as error:
            self._fail(str(error))
        except Exception as error:
            log.exception("instance %s of endpoint %s", self.id, self.post.endpoint)
            self._fail(f"InternalServerError: the local cloud failed: {error}")
        finally:
            shutil.rmtree(self._place, ignore_errors=True)
            with self._changed:
                self.state = STOPPED
                self._changed.notify_all()

    def _again(self, artifact: Artifact, number: int) -> bool:
        """The first start, or one after a crash: then what cannot be had now may come back."""
        try:
            served = self._run(artifact, number)
        except StartError as error:
            if not self._proven:
                raise
            self.say(f"[local cloud] the server cannot be started again yet: {error}")
            return False
        self._proven = self._proven or served
        return served

    def _fail(self, reason: str) -> None:
        self.say(reason)
        with self._changed:
            self.failure = reason
            self._changed.notify_all()

    def say(self, line: str) -> None:
        """A line of the platform's own in the endpoint's log."""
        cloud = self._runtime.cloud
        cloud.put_log_events(self.post.log_group, self.stream, [line])

    @property
    def stream(self) -> str:
        """The log stream of its output."""
        return f"{self.post.variant}/{self.id}"

    def _run(self, artifact: Artifact, number: int) -> bool:
        """One server from its start to its end; whether it ever was in service."""
        cloud = self._runtime.cloud
        place = self._place / f"start-{number}"
        folder = JobFolder(place, private=self._runtime.isolation().mounts)
        port = self._ports.take()
        try:
            launch = Launch(self.post.container, artifact, port, network=not self.post.isolated)
            process = JobProcess(cloud, folder, prepare(self._runtime, folder, launch))
            output = Output(
                process.output,
                self._log_file(),
                lambda lines: cloud.put_log_events(self.post.log_group, self.stream, lines),
            )
            connections = Connections(port)
            if is_multi_model(self.post.container):
                prefix = self.post.container["ModelDataUrl"]
                self.cache = ModelCache(Objects(self._runtime.s3()), folder, prefix, connections)
            try:
                return self._follow(process, connections)
            finally:
                self.cache = None
                process.forget()
                output.join(OUTPUT_SECONDS)
                if not self._ending.is_set():
                    self.say(f"[local cloud] the server ended ({_how(process)})")
        finally:
            self._ports.give_back(port)
            folder.remove()

    def _log_file(self) -> Path:
        return self._runtime.log_file("endpoint", f"{self.post.endpoint}-{self.id}")

    def _follow(self, process: JobProcess, connections: Connections) -> bool:
        """Until the process has ended; whether it ever was in service."""
        ended = threading.Event()

        def watch() -> None:
            process.wait()
            ended.set()
            self._note_change()

        with self._changed:
            self._process = process
            self._first_start = self._first_start or time.monotonic()
            self._changed.notify_all()
            late = self._ending.is_set()
        if late:  # the stop came before there was anything to stop
            process.terminate()
        threading.Thread(target=watch, name=f"watch {self.id}", daemon=True).start()
        healthy = False
        try:
            while not ended.is_set():
                if self.state == STARTING and self._is_healthy(connections):
                    healthy = True
                    self._enter_service(connections)
                with self._changed:
                    if self.state == STARTING and not ended.is_set():
                        self._changed.wait(PING_EVERY)
                    self._changed.wait_for(lambda: ended.is_set() or self.state == STARTING)
        finally:
            with self._changed:
                self._process = None
                self._connections = None
                if self.state == IN_SERVICE:
                    self.state = STARTING
                self._changed.notify_all()
            connections.close()
        return healthy

    def doubt(self) -> None:
        """Nobody listens: out of service until /ping passes again or the next server stands."""
        with self._changed:
            if self.state == IN_SERVICE:
                self.state = STARTING
            self._changed.notify_all()

    def _note_change(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _enter_service(self, connections: Connections) -> None:
        with self._changed:
            if self.state == STARTING:
                self._connections = connections
                self.state = IN_SERVICE
                self._changed.notify_all()

    def _is_healthy(self, connections: Connections) -> bool:
        try:
            answer = connections.ask("GET", "/ping", None, {}, PING_SECONDS)
        except (ServerAbsentError, ServerGoneError, ServerSilentError, AnswerTooLargeError):
            return False
        return answer.status == 200


def _how(process: JobProcess) -> str:
    """How a process ended, in the shell's words; the launcher reports signals as 128 + N."""
    code = process.wait(OUTPUT_SECONDS)
    if code < 0 or code > 128:
        return f"signal {-code if code < 0 else code - 128}"
    return f"exit code {code}"
