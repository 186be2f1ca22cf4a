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
        self.timed_out = False
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
        try:
            status, reason = self._through()
            self.finish(status, reason)
        finally:
            self.runtime.leave(self.key)

    def _through(self) -> tuple[str, str]:
        folder: JobFolder | None = None
        try:
            folder = self.runtime.folder(self.kind, self.name)
            return self._work(folder)
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
        finally:
            if folder is not None:
                folder.remove()

    def _work(self, folder: JobFolder) -> tuple[str, str]:
        objects = Objects(self.runtime.s3(), self.kms_key())
        command = self.fetch(folder, objects)
        self.check_stop()
        self.running()
        code = self._run(folder, objects, command)
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

    def max_seconds(self) -> float:
        """The longest time the process may run, in real seconds: it does real work."""
        return float(self.record["StoppingCondition"]["MaxRuntimeInSeconds"])

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
        )
        try:
            code = self._follow(process, folder, objects)
        finally:
            # A stranger that left the job's group may still hold the stream: it is not waited for.
            output.join(OUTPUT_SECONDS)
            process.forget()
        self.last_lines, self.metrics = list(output.last), dict(output.metrics)
        if code == LAUNCHER_FAILED:
            raise JobFailedError("InternalServerError: " + " ".join(self.last_lines[-3:]))
        return code

    def _follow(self, process: JobProcess, folder: JobFolder, objects: Objects) -> int:
        ended: list[int] = []

        def watch() -> None:
            ended.append(process.wait())
            self._wake.set()

        threading.Thread(target=watch, name=f"watch {self.name}", daemon=True).start()
        deadline = time.monotonic() + self.max_seconds()
        kill_at = float("inf")
        while not ended:
            now = time.monotonic()
            if kill_at == float("inf") and (self.stop_asked.is_set() or now >= deadline):
                self.timed_out = not self.stop_asked.is_set()
                self.stopping()
                process.terminate()
                kill_at = now + self.cloud.clock.real_seconds(STOP_GRACE)
            elif now >= kill_at:
                process.kill()
                break
            wait = min(kill_at if kill_at != float("inf") else deadline, now + SYNC_SECONDS) - now
            self._wake.wait(max(0.0, wait))
            self._wake.clear()
            if not ended:
                self.sync(folder, objects)
        try:
            return process.wait(OUTPUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise JobFailedError("InternalServerError: the job cannot be killed") from error


def read_text(path: Any) -> str | None:
    """The first part of a text that the job left, or None; UnicodeDecodeError if it is none."""
    if not path.is_file() or path.is_symlink():
        return None
    with path.open("rb") as file:
        raw: bytes = file.read(4 * TEXT_LIMIT)
    return raw.decode("utf-8")[:TEXT_LIMIT]
