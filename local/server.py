"""Put the parts together and serve them on one port."""

import importlib
import importlib.util
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer

from local import (
    events,
    httpapi,
    lambdas,
    metrics,
    patches,
    scaling,
    schedules,
    sqs,
    storage,
    tables,
)
from local.clock import Clock
from local.cloud import Cloud
from local.front import Front

OWN_PARTS = (metrics, lambdas, events, sqs, schedules, httpapi, scaling)
PATCHED = (lambdas, events, sqs, storage, tables, httpapi)
FURTHER_PARTS = ("local.cloudformation", "local.sagemaker", "local.states")


class _Handler(MotoRequestHandler):
    """Quiet: one line a request would drown the log."""

    def log_request(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadedWSGIServer):
    """As werkzeug's, with a long queue for bursts of connections."""

    request_queue_size = 512
    daemon_threads = True

    def log(self, kind: str, message: str, *args: Any) -> None:
        """Into the log file, not to the terminal."""
        level = logging.WARNING if kind == "error" else logging.DEBUG
        logging.getLogger("local.server").log(level, message.rstrip(), *args)


def _install(cloud: Cloud) -> None:
    """moto's replacements first, then every part; a part that is missing stops the start."""
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["iam"] = {"load_aws_managed_policies": True}
    patches.apply([patch for part in PATCHED for patch in part.patches(cloud)])
    for part in OWN_PARTS:
        part.install(cloud)
    for name in FURTHER_PARTS:
        importlib.import_module(name).install(cloud)


def serve(port: int, state: Path, factor: float, repository: Path) -> None:
    """Serve until SIGTERM or SIGINT; children end with the server."""
    cloud = Cloud(port=port, state_dir=state, clock=Clock(factor), repository=repository)
    server = _Server("127.0.0.1", port, Front(cloud), handler=_Handler)

    def stop(*_: Any) -> None:
        cloud.stopping.set()
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    status = 0
    try:
        _install(cloud)
        _announce(cloud)
        server.serve_forever(poll_interval=0.1)
    except Exception as error:
        logging.exception("the local cloud ends")
        log_file = state / "cloud.log"
        text = f"The local cloud ends: {error or type(error).__name__} (more in {log_file})"
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - for the user
        status = 1
    cloud.stopping.set()
    cloud.processes.close()
    (state / "cloud.json").unlink(missing_ok=True)
    logging.shutdown()
    # Threads that wait for something must not hold up the end; nothing is left to keep.
    os._exit(status)


def _announce(cloud: Cloud) -> None:
    """Tell whoever started us, and whoever looks for us later."""
    record = {"endpoint": cloud.endpoint, "pid": os.getpid(), "token": cloud.token, **cloud.facts}
    path = cloud.state_dir / "cloud.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(record, indent=1) + "\n")
    if cloud.facts["python_stands_in"]:
        python = cloud.facts["python"]
        print(f"Python {python} stands in for python3.13", flush=True)  # noqa: T201 - for the user
    line = {"ready": True, "endpoint": cloud.endpoint, "pid": os.getpid(), **cloud.facts}
    print(json.dumps(line), flush=True)  # noqa: T201 - the contract with who started us
