"""`python -m local --port P --state DIR`: start the local cloud, empty, and serve until told to stop."""

import argparse
import errno
import importlib
import importlib.util
import json
import logging
import os
import shutil
import signal
import sys
import threading
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
EXIT_PORT_IN_USE = 3
# Parts with an `install(cloud)`, in order. The first are this package's own.
PARTS = (
    "local.metrics",
    "local.lambdas",
    "local.events",
    "local.sqs",
    "local.schedules",
    "local.cloudformation",
    "local.sagemaker",
    "local.states",
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--port", type=int, default=4747, help="port on 127.0.0.1 (default 4747)")
    parser.add_argument("--state", type=Path, default=REPOSITORY / ".local" / "state")
    parser.add_argument("--clock", type=float, default=1.0, help="how much faster services' waits run")
    return parser.parse_args()


def _prepare_state(state: Path, port: int) -> None:
    """An empty state folder; what an earlier cloud left (also one killed with -9) is removed."""
    state = state.resolve()
    marker = state / "cloud.json"
    if state.exists() and any(state.iterdir()) and not marker.exists():
        known = {"cloud.log", "functions", "layers", "jobs", "aws-nothing", "tmp"}
        if not {entry.name for entry in state.iterdir()} <= known:
            _fail(2, f"{state} is not empty and holds no local cloud's state. Name another --state.")
    _refuse_running(marker)
    if state.exists():
        for entry in state.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
    state.mkdir(parents=True, exist_ok=True)
    (state / "aws-nothing").touch()


def _refuse_running(marker: Path) -> None:
    """Two clouds must not share one state folder."""
    try:
        other = json.loads(marker.read_text())
        arguments = Path(f"/proc/{int(other['pid'])}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, KeyError):
        return
    if b"local" in arguments and int(other["pid"]) != os.getpid():
        _fail(
            EXIT_PORT_IN_USE,
            f"A local cloud (process {other['pid']}, {other['endpoint']}) uses this state folder. "
            "Stop it with `perennial down`, or name another --state.",
        )


def _fail(code: int, message: str) -> None:
    print(message, file=sys.stderr)  # noqa: T201 - the launcher speaks to its user
    sys.exit(code)


def _environment(port: int, state: Path) -> None:
    """What moto and boto3 read in this process; nothing of the user's AWS configuration."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MOTO_"))]:
        del os.environ[name]
    nothing = str(state / "aws-nothing")
    os.environ.update(
        MOTO_PORT=str(port),
        MOTO_DISABLE_GLOBAL_CORS="true",
        MOTO_ALLOW_NONEXISTENT_REGION="false",
        AWS_DEFAULT_REGION="eu-west-1",
        AWS_REGION="eu-west-1",
        AWS_ACCESS_KEY_ID="ASIALOCALCLOUDITSELF",
        AWS_SECRET_ACCESS_KEY="local",  # noqa: S106 - a dummy
        AWS_CONFIG_FILE=nothing,
        AWS_SHARED_CREDENTIALS_FILE=nothing,
        AWS_EC2_METADATA_DISABLED="true",
        AWS_DISABLE_HOST_PREFIX_INJECTION="true",
        NO_PROXY="127.0.0.1,localhost",
    )


def _bind(port: int, application: Any) -> Any:
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import ThreadedWSGIServer

    class Handler(MotoRequestHandler):
        """Quiet: one line a request would drown the log."""

        def log_request(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadedWSGIServer):
        """As werkzeug's, with a long queue for bursts of connections."""

        request_queue_size = 512
        daemon_threads = True

        def log(self, kind: str, message: str, *args: Any) -> None:
            """Into the log file, not to the terminal."""
            logging.getLogger("local.server").log(
                logging.WARNING if kind == "error" else logging.DEBUG, message.rstrip(), *args
            )

    try:
        return Server("127.0.0.1", port, application, handler=Handler)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        _fail(
            EXIT_PORT_IN_USE,
            f"Port {port} is in use, perhaps by another local cloud (`perennial down` stops it). "
            "Choose another with --port.",
        )
        raise


def _install(cloud: Any) -> None:
    from local import patches
    from local.moto_patches import moto_patches

    patches.apply(moto_patches(cloud))
    for name in PARTS:
        if importlib.util.find_spec(name) is None:
            continue
        install = getattr(importlib.import_module(name), "install", None)
        if install is None:
            logging.warning("%s has no install(cloud) yet and is left out", name)
            continue
        install(cloud)


def _check_port(port: int) -> None:
    """werkzeug prints and exits by itself on a port in use; ask first, in our own words."""
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            _fail(
                EXIT_PORT_IN_USE,
                f"Port {port} is in use, perhaps by another local cloud (`perennial down` stops "
                "it). Choose another with --port.",
            )


def main() -> None:
    """Start, say so in one line of JSON on stdout, and serve."""
    arguments = _arguments()
    state = arguments.state.resolve()
    _check_port(arguments.port)
    _prepare_state(state, arguments.port)
    logging.basicConfig(
        filename=state / "cloud.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    _environment(arguments.port, state)

    from moto.core.config import default_user_config

    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["iam"] = {"load_aws_managed_policies": True}

    from local.clock import Clock
    from local.cloud import Cloud
    from local.front import Front

    cloud = Cloud(
        port=arguments.port,
        state_dir=state,
        clock=Clock(arguments.clock),
        repository=REPOSITORY,
    )
    server = _bind(arguments.port, Front(cloud))

    def stop(*_: Any) -> None:
        cloud.stopping.set()
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    try:
        _install(cloud)
        _announce(cloud, state)
        server.serve_forever(poll_interval=0.1)
    finally:
        cloud.stopping.set()
        cloud.processes.close()
        (state / "cloud.json").unlink(missing_ok=True)


def _announce(cloud: Any, state: Path) -> None:
    record = {"endpoint": cloud.endpoint, "pid": os.getpid(), "token": cloud.token, **cloud.facts}
    path = state / "cloud.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(record, indent=1) + "\n")
    line = {"ready": True, "endpoint": cloud.endpoint, "pid": os.getpid(), **cloud.facts}
    print(json.dumps(line), flush=True)  # noqa: T201 - the contract with who started us


if __name__ == "__main__":
    main()
