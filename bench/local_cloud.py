"""The local cloud: seconds to its first answer, seconds of `sam deploy`, memory.

    .venv/bin/python -m bench.local_cloud

Yardsticks: moto's own server to its first answer and its memory; `sam deploy` of the same
template when nothing has changed (what the sam CLI itself costs).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from bench.common import BIN, ROOT, empty_cloud, report, run, timed

SAM = str(ROOT / ".tools" / "sam" / "bin" / "sam")


def memory_mb(pid: int) -> float:
    """Proportional memory of a process and all its descendants, in MB (Linux's smaps_rollup)."""
    family, total = [pid], 0.0
    for member in family:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            family += map(int, Path(f"/proc/{member}/task/{member}/children").read_text().split())
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) / 1024
    return total


def answers(url: str) -> bool:
    """Say whether anything answers there, be it an error."""
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def moto_alone(port: int = 4798) -> tuple[float, float]:
    """Seconds to moto's first answer, and its memory in MB."""
    started = time.perf_counter()
    server = subprocess.Popen(
        (str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not answers(f"http://127.0.0.1:{port}/moto-api/data.json"):
            time.sleep(0.02)
        return time.perf_counter() - started, memory_mb(server.pid)
    finally:
        server.kill()
        server.wait()


def main() -> None:
    """Print each figure beside its yardstick."""
    with empty_cloud():
        pass  # environments are built once; not part of any figure
    moto_seconds, moto_mb = moto_alone()
    started = time.perf_counter()
    with empty_cloud():
        report("local cloud, first answer", time.perf_counter() - started, "moto", moto_seconds)
        run(SAM, "build")
        first = timed(lambda: run(SAM, "deploy"))
        again = timed(lambda: run(SAM, "deploy", "--no-fail-on-empty-changeset"))
        report("sam deploy of the whole template", first, "with nothing to change", again)
        state = Path(os.environ["PERENNIAL_STATE"]) / "cloud.json"
        mb = memory_mb(int(json.loads(state.read_text())["pid"]))
        print(f"memory with the stack: {mb:.0f} MB; moto alone: {moto_mb:.0f} MB; "
              f"ratio {mb / moto_mb:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
