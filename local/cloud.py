"""The one object that joins the parts of the local cloud; every part gets it by `install`."""

import logging
import os
import secrets
import subprocess
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import boto3
from botocore.config import Config
from werkzeug.wrappers import Response

from local.clock import Clock
from local.faults import Faults
from local.journal import Journal
from local.logs import append as append_log
from local.processes import ProcessKeeper, Stream
from local.services import Environ, Registry, Wsgi

if TYPE_CHECKING:
    from local.events.bus import Bus
    from local.lambdas.service import LambdaService
    from local.metrics.alarms import AlarmBook
    from local.metrics.store import MetricStore
    from local.schedules.runner import ScheduleRunner
    from local.sqs.pollers import Pollers

ACCOUNT = "123456789012"
REGION = "eu-west-1"
log = logging.getLogger(__name__)


class Caller(Protocol):
    """A child whose calls are counted, known by its access key id: one Lambda environment."""

    function_name: str
    number: int

    def count_call(self, call: str) -> tuple[str, ...]:
        """Count one more AWS call (`service.Operation`); all of the invocation under way."""

    def kill(self) -> None:
        """End the process group at once."""


class Cloud:
    """Endpoint, state, clock and the few verbs that services need of one another."""

    functions: "LambdaService"
    bus: "Bus"
    metrics: "MetricStore"
    alarms: "AlarmBook"
    dashboards: dict[str, tuple[str, float]]
    pollers: "Pollers"
    schedules: "ScheduleRunner"
    ask_moto: Callable[[str, Environ], Response]

    def __init__(self, *, port: int, state_dir: Path, clock: Clock, repository: Path) -> None:
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"
        self.state_dir = state_dir
        self.repository = repository
        self.region = REGION
        self.account = ACCOUNT
        self.clock = clock
        self.token = secrets.token_urlsafe(24)
        self.journal = Journal()
        self.faults = Faults(self.journal)
        self.registry = Registry()
        self.processes = ProcessKeeper()
        self.stopping = threading.Event()
        self.facts: dict[str, Any] = {}
        self.callers: dict[str, Caller] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._locks_lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._session: Any = boto3.session.Session(
            aws_access_key_id="ASIALOCALCLOUDITSELF",
            aws_secret_access_key="local",  # noqa: S106 - a dummy, nothing checks it
            aws_session_token="local",  # noqa: S106
            region_name=REGION,
        )
        self._idle_probes: dict[str, Callable[[], int]] = {}

    def client(self, service: str, attempts: int = 4) -> Any:
        """A boto3 client of ours onto ourselves; one a service, shared by all threads.

        `attempts`: how often it tries; 1 for a caller that retries by rules of its own.
        """
        with self._locks_lock:
            key = f"{service} {attempts}"
            if key not in self._clients:
                self._clients[key] = self._session.client(
                    service,
                    endpoint_url=self.endpoint,
                    config=Config(
                        max_pool_connections=32,
                        retries={"mode": "standard", "total_max_attempts": attempts},
                        read_timeout=930,
                        inject_host_prefix=False,
                        s3={"addressing_style": "path"},
                    ),
                )
            return self._clients[key]

    def lock(self, service: str) -> threading.RLock:
        """The one lock of a service whose storage is moto's."""
        with self._locks_lock:
            return self._locks.setdefault(service, threading.RLock())

    def register(self, service: str, dispatch: Wsgi) -> None:
        """Serve all requests signed for `service` with this WSGI application."""
        self.registry.register(service, dispatch)

    def register_path(self, prefix: str, handler: Wsgi) -> None:
        """Serve a path prefix, also unsigned: unguessable, or with authorisation of its own."""
        self.registry.register_path(prefix, handler)

    def unregister_path(self, prefix: str) -> None:
        """End a registered prefix."""
        self.registry.unregister_path(prefix)

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
    ) -> "subprocess.Popen[bytes]":
        """Start a child that dies with the server; `processes.kill` or `.forget` ends its story."""
        return self.processes.spawn(
            args, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds
        )

    def child_environment(self, access_key: str) -> dict[str, str]:
        """What every child gets: our endpoint, dummy credentials, and no AWS configuration, so
        that nothing can reach a real account."""
        nothing = str(self.state_dir / "aws-nothing")
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_SESSION_TOKEN": "local",
            "AWS_CONFIG_FILE": nothing,
            "AWS_SHARED_CREDENTIALS_FILE": nothing,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
        }

    def publish_event(
        self,
        source: str,
        detail_type: str,
        detail: Mapping[str, Any],
        resources: Sequence[str],
        *,
        time: float | None = None,
    ) -> None:
        """Put one service event on the default bus; delivery happens in the background."""
        moment = datetime.fromtimestamp(self.clock.now() if time is None else time, UTC)
        event = {
            "version": "0",
            "id": str(uuid.uuid4()),
            "detail-type": detail_type,
            "source": source,
            "account": self.account,
            "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "region": self.region,
            "resources": list(resources),
            "detail": dict(detail),
        }
        self.bus.publish(event, "default")

    def put_log_events(self, group: str, stream: str, lines: Sequence[str]) -> None:
        """Append lines to a log stream; group and stream are made if they do not exist."""
        append_log(self, group, stream, lines)

    def put_metric(  # noqa: PLR0913, PLR0917 - a data point has so many parts
        self,
        namespace: str,
        name: str,
        value: float,
        dimensions: Mapping[str, str] | None = None,
        unit: str = "None",
        timestamp: float | None = None,
    ) -> None:
        """Record one data point of a metric."""
        moment = self.clock.now() if timestamp is None else timestamp
        self.metrics.put(namespace, name, dimensions or {}, value, unit, moment)

    def invoke_function(
        self, function: str, payload: bytes, invocation_type: str = "RequestResponse"
    ) -> Any:
        """Invoke a Lambda function by name or ARN; see `lambdas.service.Answer`."""
        return self.functions.invoke(function, payload, invocation_type)

    def background(self, name: str, work: Callable[[], Any]) -> threading.Thread:
        """A daemon thread whose failure is logged, never silent."""

        def run() -> None:
            try:
                work()
            except Exception:
                log.exception("background work %s ended", name)

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    def add_idle_probe(self, name: str, probe: Callable[[], int]) -> None:
        """Count of things under way in one part; `/_local/idle` waits until all are zero."""
        self._idle_probes[name] = probe

    def busy(self) -> dict[str, int]:
        """What is under way now, by part."""
        counts = {name: probe() for name, probe in self._idle_probes.items()}
        return {name: count for name, count in counts.items() if count}
