"""One execution environment of a function: a worker process and what it says."""

import base64
import contextlib
import hashlib
import itertools
import json
import queue
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local.lambdas.output import OutputFile
from local.lambdas.runtime_api import Invocation, Report, RuntimeApi

if TYPE_CHECKING:
    from local.cloud import Cloud

INIT_LIMIT = 10.0  # seconds that AWS gives the init phase before it counts as the invocation's
_numbers = itertools.count(1)


@dataclass(frozen=True)
class FunctionSpec:
    """Everything an environment is made from; a change of it makes environments anew."""

    name: str
    arn: str
    version: str
    runtime: str
    handler: str
    code: Path
    layers: tuple[Path, ...]
    variables: Mapping[str, str]
    timeout: int
    memory: int
    log_group: str
    log_format: str
    log_level: str
    revision: str


@dataclass
class Outcome:
    """How one invocation ended: `kind` response, error, timeout, exit or init-error."""

    kind: str
    payload: bytes
    duration_ms: float = 0.0
    init_ms: float | None = None
    memory_mb: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the caller gets FunctionError."""
        return self.kind != "response"


def access_key(function: str, number: int) -> str:
    """A dummy access key id that encodes the function (hash) and the environment (number)."""
    digest = base64.b32encode(hashlib.sha256(function.encode()).digest())[:8].decode()
    return f"ASIA{digest}{number:08d}"


class Environment:
    """Starts the worker, hands it events one at a time, and ends it."""

    def __init__(self, cloud: "Cloud", spec: FunctionSpec, python: Path) -> None:
        self.cloud = cloud
        self.spec = spec
        self.function_name = spec.name
        self.number = next(_numbers)
        self.access_key = access_key(spec.name, self.number)
        day = time.strftime("%Y/%m/%d", time.gmtime())
        name = hashlib.sha256(f"{cloud.token}{self.number}".encode()).hexdigest()[:32]
        self.log_stream = f"{day}/[{spec.version}]{name}"
        self.last_used = time.monotonic()
        self.init_ms: float | None = None
        self.dead = False
        self._calls: tuple[str, ...] = ()
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._folder = cloud.state_dir / "functions" / f"environment-{self.number}"
        self._folder.mkdir(parents=True)
        self._output = OutputFile(self._folder / "output")
        self._api = RuntimeApi(self._reports.put)
        self._started = time.monotonic()
        cloud.callers[self.access_key] = self
        self._child = cloud.spawn(
            [str(python), "-m", "awslambdaric", spec.handler],
            env=self._environment(python),
            cwd=spec.code,
            stdin=subprocess.DEVNULL,
            stdout=self._output.file,
            stderr=subprocess.STDOUT,
            pass_fds=(self._output.file.fileno(),),
        )
        self._exited = threading.Event()
        threading.Thread(target=self._watch, name="worker-watch", daemon=True).start()

    def _environment(self, python: Path) -> dict[str, str]:
        spec = self.spec
        temporary = self._folder / "tmp"
        temporary.mkdir()
        own = {
            **self.cloud.child_environment(self.access_key),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "AWS_LAMBDA_FUNCTION_NAME": spec.name,
            "AWS_LAMBDA_FUNCTION_VERSION": spec.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": spec.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{spec.runtime}",
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            "LAMBDA_TASK_ROOT": str(spec.code),
            "LAMBDA_RUNTIME_DIR": str(python.parent),
            "_HANDLER": spec.handler,
            "_LAMBDA_TELEMETRY_LOG_FD": str(self._output.file.fileno()),
        }
        if spec.log_format == "JSON":
            own["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
            own["AWS_LAMBDA_LOG_LEVEL"] = spec.log_level or "INFO"
        variables = dict(spec.variables)
        # The last layer wins in /opt, and layers come before the runtime's own packages.
        paths = [str(layer / "python") for layer in reversed(spec.layers)]
        paths += [p for p in variables.pop("PYTHONPATH", "").split(":") if p]
        if paths:
            own["PYTHONPATH"] = ":".join(paths)
        return {**variables, **own}

    def _watch(self) -> None:
        self._child.wait()
        self.dead = True
        self._exited.set()
        self._reports.put(Report("exit"))
        self.cloud.processes.forget(self._child)

    def count_call(self, call: str) -> tuple[str, ...]:
        """Count one more AWS call (`service.Operation`); all of the invocation under way."""
        self._calls = (*self._calls, call)
        return self._calls

    def kill(self) -> None:
        """End the worker's process group at once."""
        self.cloud.processes.kill(self._child)

    def close(self) -> None:
        """Kill the worker and drop what belongs to it."""
        self.kill()
        self._api.close()
        self._output.close()
        self.cloud.callers.pop(self.access_key, None)

    def initialise(self) -> Outcome | None:
        """Wait until the worker asks for its first event; an outcome only if it never does."""
        limit = INIT_LIMIT + self.spec.timeout
        report = self._next_report(self._started + limit)
        self.init_ms = (time.monotonic() - self._started) * 1000
        if report is None:
            return self._failed("timeout", "", limit)
        if report.kind == "next":
            return None
        if report.kind == "init-error":
            self._exited.wait(5)
            return Outcome("init-error", report.body, lines=self._output.drain())
        return self._failed("exit", "", 0)

    def invoke(self, invocation: Invocation) -> Outcome:
        """Run one event to its end, or kill the worker when its time is up."""
        self._calls = ()
        self._drop_stale_reports()
        started = time.monotonic()
        if not self.dead:
            self._api.hand(invocation)
        deadline = started + self.spec.timeout
        while True:
            report = self._next_report(deadline)
            if report is None:
                outcome = self._failed("timeout", invocation.request_id, self.spec.timeout)
                break
            if report.kind in ("exit", "init-error"):
                outcome = self._failed("exit", invocation.request_id, 0)
                break
            if report.request_id == invocation.request_id:
                memory = self._memory_mb()
                outcome = Outcome(report.kind, report.body, memory_mb=memory)
                break
        outcome.duration_ms = (time.monotonic() - started) * 1000
        outcome.lines = self._output.drain() + outcome.lines
        self.last_used = time.monotonic()
        return outcome

    def _drop_stale_reports(self) -> None:
        while True:
            with contextlib.suppress(queue.Empty):
                if self._reports.get_nowait().kind != "exit":
                    continue
                self._reports.put(Report("exit"))
            return

    def _next_report(self, deadline: float) -> Report | None:
        try:
            return self._reports.get(timeout=max(0.001, deadline - time.monotonic()))
        except queue.Empty:
            return None

    def _failed(self, kind: str, request_id: str, seconds: float) -> Outcome:
        prefix = f"RequestId: {request_id} Error: "
        if kind == "timeout":
            self.kill()
            text = f"Task timed out after {seconds:.2f} seconds"
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
            line = f"{stamp}.000Z {request_id} {text}"
            body = {"errorType": "Sandbox.Timedout", "errorMessage": prefix + text}
        else:
            self._exited.wait(5)
            text = _exit_words(self._child.returncode)
            line = f"{prefix}{text}\nRuntime.ExitError"
            body = {"errorType": "Runtime.ExitError", "errorMessage": prefix + text}
        self.dead = True
        return Outcome(kind, json.dumps(body).encode(), lines=[line])

    def _memory_mb(self) -> int:
        """Peak resident memory of the worker (not its children), in MB; 0 where unknown."""
        try:
            status = Path(f"/proc/{self._child.pid}/status").read_text()
        except OSError:
            return 0
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
        return 0


def _exit_words(status: int | None) -> str:
    if status == 0:
        return "Runtime exited without providing a reason"
    if status is not None and status < 0:
        name = {-9: "killed", -11: "segmentation fault", -6: "aborted", -15: "terminated"}
        return f"Runtime exited with error: signal: {name.get(status, -status)}"
    return f"Runtime exited with error: exit status {status}"
