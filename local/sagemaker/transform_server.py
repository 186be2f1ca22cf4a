"""One instance of a transform job: a model server of its own, from its start to its end."""

import json
import secrets
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.output import Output
from local.sagemaker.container.process import LAUNCHER_FAILED, JobProcess
from local.sagemaker.endpoints.connections import (
    Answer,
    AnswerTooLargeError,
    Connections,
    Ports,
    ServerAbsentError,
    ServerGoneError,
    ServerSilentError,
)
from local.sagemaker.endpoints.container import Artifact, Launch, StartError, prepare
from local.sagemaker.job import JobFailedError
from local.sagemaker.runtime import JobRuntime

GROUP = "/aws/sagemaker/TransformJobs"
PING_SECONDS = 2.0
PING_EVERY = 0.05
HEALTH_CHECK_SECONDS = 240.0  # service seconds until the first answer of /ping
START_FLOOR = 20.0  # real seconds that a server has at least: it does real work
STOP_SECONDS = 2.0  # real seconds between SIGTERM and SIGKILL; nothing is under way then
OUTPUT_SECONDS = 5.0
FIRST_PAUSE = 0.1  # between an invocation that failed and the next try, doubled each time
ALGORITHM = "AlgorithmError: See job logs for more information"
CLIENT = "ClientError: See job logs for more information"
NO_PING = (
    "Model container failed to respond to ping; please ensure /ping endpoint is implemented and "
    "responds with an HTTP 200 status code"
)
GONE = (ServerAbsentError, ServerGoneError, ServerSilentError, AnswerTooLargeError)


@dataclass(frozen=True)
class Post:
    """What an instance serves, and for which job."""

    job: str
    container: Mapping[str, Any]
    isolated: bool


class TransformServer:
    """A model server; `ended` is set when its process is gone, wanted or not."""

    def __init__(self, runtime: JobRuntime, ports: Ports, post: Post) -> None:
        self._runtime = runtime
        self._ports = ports
        self.post = post
        cloud = runtime.cloud
        self.stream = f"{post.job}/i-{secrets.token_hex(8)}-{int(cloud.clock.now())}"
        self.ended = threading.Event()
        self.requests: ThreadPoolExecutor | None = None
        self._stopping = threading.Event()
        self._process: JobProcess | None = None
        self._folder: JobFolder | None = None
        self._output: Output | None = None
        self._port = ports.take()
        self._connections = Connections(self._port, sys.maxsize)

    def say(self, *lines: str) -> None:
        """Lines of the platform's own, beside the container's."""
        told = [f"[sagemaker logs]: {line}" for line in lines]
        self._runtime.cloud.put_log_events(GROUP, f"{self.stream}/data-log", told)

    # --- life -------------------------------------------------------------------------------
    def start(self) -> None:
        """Fetch the model and start the server; JobFailedError when that cannot be done."""
        post = self.post
        folder = self._folder = self._runtime.folder("transform", post.job)
        try:
            artifact = Artifact.fetch(self._runtime, post.container, folder.root / "artifact")
            launch = Launch(post.container, artifact, self._port, network=not post.isolated)
            command = prepare(self._runtime, folder, launch)
        except StartError as error:
            raise JobFailedError(f"ClientError: {error}") from error
        if self._stopping.is_set():
            return
        process = self._process = JobProcess(self._runtime.cloud, folder, command)
        self._output = Output(
            process.output,
            self._runtime.log_file("transform", post.job),
            lambda lines: self._runtime.cloud.put_log_events(GROUP, self.stream, lines),
        )

        def watch() -> None:
            process.wait()
            self.ended.set()

        threading.Thread(target=watch, name=f"watch {self.stream}", daemon=True).start()

    def wait(self) -> None:
        """Until /ping answers 200; JobFailedError when it does not."""
        real = self._runtime.cloud.clock.real_seconds(HEALTH_CHECK_SECONDS)
        deadline = time.monotonic() + max(START_FLOOR, real)
        while not self._stopping.is_set():
            if self.ended.is_set():
                raise self._crashed()
            if self._ping():
                return
            if time.monotonic() > deadline:
                self.say(NO_PING)
                raise JobFailedError(f"AlgorithmError: {NO_PING}")
            self.ended.wait(PING_EVERY)

    def _ping(self) -> bool:
        try:
            return self._connections.ask("GET", "/ping", None, {}, PING_SECONDS).status == 200
        except GONE:
            return False

    def _crashed(self) -> JobFailedError:
        process, output = self._process, self._output
        code = process.wait(OUTPUT_SECONDS) if process is not None else 0
        if output is not None:
            output.join(OUTPUT_SECONDS)
        if code == LAUNCHER_FAILED and output is not None:
            return JobFailedError("InternalServerError: " + " ".join(list(output.last)[-3:]))
        self.say(f"the model container ended by itself with exit code {code}")
        return JobFailedError(ALGORITHM)

    def told(self) -> dict[str, Any]:
        """What the container says at GET /execution-parameters; nothing if it says nothing."""
        try:
            answer = self._connections.ask("GET", "/execution-parameters", None, {}, PING_SECONDS)
            found = json.loads(answer.body) if answer.status == 200 else {}
        except (*GONE, ValueError):
            found = {}
        if not isinstance(found, dict):
            return {}
        numbers = ("MaxConcurrentTransforms", "MaxPayloadInMB")
        good = {name: found[name] for name in numbers if _is_count(found.get(name))}
        if found.get("BatchStrategy") in ("MULTI_RECORD", "SINGLE_RECORD"):
            good["BatchStrategy"] = found["BatchStrategy"]
        return good

    def stop(self) -> None:
        """SIGTERM, then SIGKILL; nothing of it is left when this returns."""
        self._stopping.set()
        self._connections.close()
        process = self._process
        if process is not None:
            process.terminate()
            if not self.ended.wait(STOP_SECONDS):
                process.kill()
                self.ended.wait(OUTPUT_SECONDS)
            process.forget()
        if self._output is not None:
            self._output.join(OUTPUT_SECONDS)
        if self.requests is not None:
            self.requests.shutdown(cancel_futures=True)
        self._ports.give_back(self._port)
        if self._folder is not None:
            self._folder.remove()

    def interrupt(self) -> None:
        """End the process soon, whatever is under way: the job was stopped."""
        self._stopping.set()
        process = self._process
        if process is None or self.ended.is_set():
            return
        process.terminate()

        def insist() -> None:
            if not self.ended.wait(STOP_SECONDS):
                process.kill()

        threading.Thread(target=insist, name=f"stop {self.stream}", daemon=True).start()

    # --- requests ---------------------------------------------------------------------------
    def invoke(self, body: bytes, headers: Mapping[str, str], client: Mapping[str, int]) -> Answer:
        """The server's answer, of whatever status, after as many tries as it takes and may have.

        JobFailedError when there is none: no answer in time, or nobody who answers.
        """
        seconds, retries = client["InvocationsTimeoutInSeconds"], client["InvocationsMaxRetries"]
        pause = FIRST_PAUSE
        for attempt in range(retries + 1):
            last = attempt == retries or self._stopping.is_set()
            try:
                answer = self._connections.ask("POST", "/invocations", body, headers, seconds)
            except GONE as error:
                if last or self.ended.is_set():
                    self.say(f"no answer from the model container: {error}")
                    raise JobFailedError(ALGORITHM) from error
            else:
                if answer.status < 500 or last:
                    return answer
            self._stopping.wait(pause)
            pause *= 2
        raise AssertionError("the last attempt has returned or raised")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10_000
