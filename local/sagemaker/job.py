"""The life of one job, whatever its kind: fetch, run, store, and an honest status throughout."""

import copy
import logging
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from local.cloud import Cloud
from local.sagemaker.container.folders import JobFolder
from local.sagemaker.container.images import ImageError
from local.sagemaker.container.objects import DataError, Objects
from local.sagemaker.container.output import Output
from local.sagemaker.container.process import LAUNCHER_FAILED, Command, JobProcess
from local.sagemaker.measurements import Measurement
from local.sagemaker.records import Record
from local.sagemaker.runtime import JobRuntime

log = logging.getLogger(__name__)
STOP_GRACE = 120.0  # service seconds between SIGTERM and SIGKILL
SYNC_SECONDS = 1.0  # between two looks at continuously uploaded folders
OUTPUT_SECONDS = 10.0  # for the rest of the output after the job's end
TEXT_LIMIT = 1024  # characters of a failure reason or exit message


class JobFailedError(Exception):
    """The job ends as Failed, with this reason."""


class JobStoppedError(Exception):
    """The job ends as Stopped before its process ran to its end."""


class Job(ABC):
    """One job in a thread of its own. `record` holds what Describe shows; use `snapshot()`."""

    kind: str  # in file names
    log_group: str

    def __init__(self, runtime: JobRuntime, name: str, record: Record) -> None:
        self.runtime = runtime
        self.cloud: Cloud = runtime.cloud
        self.name = name
        self.record = record
        self.lock = threading.RLock()
        self.stop_asked = threading.Event()
        self.timed_out = ""  # the secondary status of the limit that ended the job
        self.interrupted = False
        self.key = f"{self.kind}-job/{name}"  # as in its ARN: both kinds may use one name
        self._wake = threading.Event()
        self.last_lines: list[str] = []
        self.metrics: dict[str, tuple[float, float]] = {}

    # --- what a kind of job says ------------------------------------------------------------
    @abstractmethod
    def fetch(self, folder: JobFolder, objects: Objects) -> Command:
        """Bring the inputs and write the configuration files; what to run."""

    @abstractmethod
    def store(self, folder: JobFolder, objects: Objects, code: int | None) -> None:
        """Store the outputs after exit code `code` (None: it never ran to its end)."""

    @abstractmethod
    def failure(self, folder: JobFolder, code: int) -> str:
        """The failure reason for a non-zero exit code."""

    @abstractmethod
    def running(self) -> None:
        """The process is about to start: move the status."""

    @abstractmethod
    def stopping(self) -> None:
        """A stop was asked for or the time is up: move the status."""

    @abstractmethod
    def finish(self, status: str, reason: str = "") -> None:
        """The terminal status: Completed, Failed or Stopped."""

    def sync(self, folder: JobFolder, objects: Objects) -> None:  # noqa: B027 - optional
        """Store what is uploaded while the job runs."""

    def measure(self, measurements: Sequence[Measurement]) -> None:  # noqa: B027 - optional
        """Take the figures that the job has just printed."""

    def is_due(self, folder: JobFolder, seconds: float) -> bool:
        """Whether the machine is taken away now, `seconds` after the process began."""
        return False

    def look_seconds(self) -> float:
        """How long the job's thread may sleep between two looks, in real seconds."""
        return SYNC_SECONDS

    def await_capacity(self) -> None:  # noqa: B027 - only spot jobs are interrupted
        """Wait for another machine; JobStoppedError when none comes in time."""

    # --- the life ---------------------------------------------------------------------------
    def start(self) -> None:
        """Begin; returns at once."""
        self.runtime.enter(self.key)
        self.cloud.background(f"job {self.name}", self._live)

    def stop(self) -> None:
        """Ask for the end; the job's own thread does it."""
        self.stop_asked.set()
        self._wake.set()

    def snapshot(self) -> Record:
        """What Describe shows now."""
        with self.lock:
            return copy.deepcopy(self.record)

    def _live(self) -> None:
        # A deleted job of the same name may have left its output.
        self.runtime.log_file(self.kind, self.name).unlink(missing_ok=True)
        try:
            status, reason = self._through()
            self.finish(status, reason)
        finally:
            self.runtime.leave(self.key)

    def _through(self) -> tuple[str, str]:
        try:
            while (outcome := self._attempt()) is None:
                self.await_capacity()
        except JobStoppedError:
            return "Stopped", ""
        except JobFailedError as error:
            return "Failed", str(error)[:TEXT_LIMIT]
        except (DataError, ImageError) as error:
            return "Failed", f"ClientError: {error}"[:TEXT_LIMIT]
        except Exception as error:
            log.exception("job %s", self.name)
            text = f"InternalServerError: the local cloud failed: {type(error).__name__}: {error}"
            return "Failed", text[:TEXT_LIMIT]
        return outcome

    def _attempt(self) -> tuple[str, str] | None:
        """One machine from its start to its end; None when it was taken away."""
        folder = self.runtime.folder(self.kind, self.name)
        try:
            return self._work(folder)
        finally:
            folder.remove()

    def _work(self, folder: JobFolder) -> tuple[str, str] | None:
        objects = Objects(self.runtime.s3(), self.kms_key())
        command = self.fetch(folder, objects)
        self.check_stop()
        self.running()
        self.interrupted = False
        code = self._run(folder, objects, command)
        if self.interrupted and not self.stop_asked.is_set():
            self.sync(folder, objects)
            return None
        if self.stop_asked.is_set() or self.timed_out:
            self.store(folder, objects, None)
            return "Stopped", ""
        self.store(folder, objects, code)
        if code != 0:
            raise JobFailedError(self.failure(folder, code))
        # A stop that came while the outputs were stored has said Stopping already.
        return "Stopped" if self.stop_asked.is_set() else "Completed", ""

    def check_stop(self) -> None:
        """Leave a phase that a stop request interrupts."""
        if self.stop_asked.is_set():
            raise JobStoppedError

    def kms_key(self) -> str | None:
        """The key that outputs are encrypted with."""
        return None

    def limit(self) -> tuple[float, str]:
        """How long the process may run, in real seconds as it does real work, and what the end
        at that limit is called."""
        return float(self.record["StoppingCondition"]["MaxRuntimeInSeconds"]), "MaxRuntimeExceeded"

    def metric_definitions(self) -> Sequence[Mapping[str, str]]:
        """What to look for in the output."""
        return ()

    def _run(self, folder: JobFolder, objects: Objects, command: Command) -> int:
        process = JobProcess(self.cloud, folder, command)
        stream = f"{self.name}/algo-1-{int(self.cloud.clock.now())}"
        output = Output(
            process.output,
            self.runtime.log_file(self.kind, self.name),
            lambda lines: self.cloud.put_log_events(self.log_group, stream, lines),
            self.metric_definitions(),
            self.measure,
        )
        try:
            code = self._follow(process, folder, objects)
        finally:
            # A stranger that left the job's group may still hold the stream: it is not waited for.
            output.join(OUTPUT_SECONDS)
            process.forget()
        self.last_lines = list(output.last)
        self.metrics |= output.metrics
        if code == LAUNCHER_FAILED:
            raise JobFailedError("InternalServerError: " + " ".join(self.last_lines[-3:]))
        return code

    def _follow(self, process: JobProcess, folder: JobFolder, objects: Objects) -> int:
        ended: list[int] = []

        def watch() -> None:
            ended.append(process.wait())
            self._wake.set()

        threading.Thread(target=watch, name=f"watch {self.name}", daemon=True).start()
        begun = time.monotonic()
        seconds, limit = self.limit()
        deadline, kill_at, sync_at = begun + seconds, float("inf"), begun + SYNC_SECONDS
        while not ended:
            now = time.monotonic()
            if kill_at == float("inf") and self._must_end(folder, now - begun, seconds, limit):
                process.terminate()
                kill_at = now + self.cloud.clock.real_seconds(STOP_GRACE)
            elif now >= kill_at:
                process.kill()
                break
            until = min(kill_at if kill_at != float("inf") else deadline, now + self.look_seconds())
            self._wake.wait(max(0.0, until - now))
            self._wake.clear()
            if not ended and time.monotonic() >= sync_at:
                self.sync(folder, objects)
                sync_at = time.monotonic() + SYNC_SECONDS
        try:
            return process.wait(OUTPUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise JobFailedError("InternalServerError: the job cannot be killed") from error

    def _must_end(self, folder: JobFolder, ran: float, seconds: float, limit: str) -> bool:
        """Whether the process must go now: asked to, out of time, or its machine is taken."""
        if not self.stop_asked.is_set() and ran < seconds:
            self.interrupted = self.is_due(folder, ran)
            return self.interrupted
        if not self.stop_asked.is_set():
            self.timed_out = limit
        self.stopping()
        return True


def read_text(path: Any) -> str | None:
    """The first part of a text that the job left, or None; UnicodeDecodeError if it is none."""
    if not path.is_file() or path.is_symlink():
        return None
    with path.open("rb") as file:
        raw: bytes = file.read(4 * TEXT_LIMIT)
    return raw.decode("utf-8")[:TEXT_LIMIT]
