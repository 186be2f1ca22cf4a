"""`python -m local --port P --state DIR`: start the local cloud, empty, and serve it."""

import argparse
import importlib
import json
import logging
import os
import shutil
import socket
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
EXIT_USAGE = 2
EXIT_IN_USE = 3
# What a cloud that was killed before it wrote its record may have left.
LEFT_OVER = {"aws-nothing", "cloud.log", "functions", "jobs", "layers"}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("--port", type=int, default=4747, help="port on 127.0.0.1 (default 4747)")
    parser.add_argument(
        "--state",
        type=Path,
        default=REPOSITORY / ".local" / "state",
        help="folder for what the cloud holds; emptied at the start",
    )
    parser.add_argument(
        "--clock", type=float, default=1.0, metavar="FACTOR", help="how much faster waits run"
    )
    return parser.parse_args()


def _fail(code: int, message: str) -> None:
    print(message, file=sys.stderr)  # noqa: T201 - the launcher speaks to its user
    sys.exit(code)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            _fail(
                EXIT_IN_USE,
                f"Port {port} is in use, perhaps by another local cloud (`perennial down` stops "
                "it). Choose another with --port.",
            )


def _prepare_state(state: Path) -> None:
    """An empty state folder; what an earlier cloud left (also one killed with -9) is removed."""
    marker = state / "cloud.json"
    entries = list(state.iterdir()) if state.exists() else []
    if not marker.exists() and not {entry.name for entry in entries} <= LEFT_OVER:
        _fail(
            EXIT_USAGE,
            f"{state} is not empty and holds no local cloud's state. Name another --state.",
        )
    _refuse_running(marker)
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)  # jobs leave data here
    (state / "aws-nothing").touch()


def _refuse_running(marker: Path) -> None:
    """Two clouds must not share one state folder."""
    try:
        other = json.loads(marker.read_text())
        arguments = Path(f"/proc/{int(other['pid'])}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, KeyError):
        return
    if b"local" in arguments and str(marker.parent).encode() in b" ".join(arguments):
        _fail(
            EXIT_IN_USE,
            f"A local cloud (process {other['pid']}, {other['endpoint']}) uses this state folder. "
            "Stop it with `perennial down`, or name another --state.",
        )


def _environment(port: int, state: Path) -> None:
    """What moto and boto3 read in this process; nothing of the user's AWS configuration."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MOTO_"))]:
        del os.environ[name]
    nothing = str(state / "aws-nothing")
    os.environ.update(
        MOTO_PORT=str(port),
        MOTO_DISABLE_GLOBAL_CORS="true",
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


def main() -> None:
    """Check port and folder, then start the server (moto reads the environment as it loads)."""
    arguments = _arguments()
    state = arguments.state.resolve()
    _check_port(arguments.port)
    _prepare_state(state)
    logging.basicConfig(
        filename=state / "cloud.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    _environment(arguments.port, state)
    server = importlib.import_module("local.server")
    server.serve(arguments.port, state, arguments.clock, REPOSITORY)


if __name__ == "__main__":
    main()
