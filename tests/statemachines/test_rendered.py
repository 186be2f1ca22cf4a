"""What is committed is what the source renders to: everywhere, without network or account."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Any attempt to reach something ends the process: rendering is offline.
OFFLINE = """
import runpy, socket, sys
def refuse(*args, **kwargs):
    sys.exit("rendering tried to connect to something")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
sys.argv = ["render", "--check"]
runpy.run_module("statemachines.render", run_name="__main__")
"""
# Another Region, no home with a configuration in it, another order of sets.
ELSEWHERE = {
    "AWS_REGION": "cn-north-1",
    "AWS_DEFAULT_REGION": "cn-north-1",
    "HOME": "/nonexistent",
    "PYTHONHASHSEED": "7",
}


def _check(root: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    bare = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment}
    return subprocess.run(
        [sys.executable, "-c", OFFLINE],
        cwd=root,
        env=bare,
        capture_output=True,
        text=True,
        check=False,
    )


def test_committed_equals_rendered() -> None:
    """Byte for byte, whatever surrounds the renderer; and it prints nothing."""
    done = _check(ROOT, ELSEWHERE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.long
def test_a_difference_is_named(tmp_path: Path) -> None:
    """The check fails, and names the files, when a committed file was edited by hand."""
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "statemachines").mkdir()
    for source in (ROOT / "statemachines").glob("*.*"):
        text = source.read_text("utf-8").replace("NotClaimed", "Unclaimed", 1)
        edited = text if source.suffix == ".mmd" else source.read_text("utf-8")
        (copy / "statemachines" / source.name).write_text(edited, "utf-8")
    template = (ROOT / "template.yaml").read_text("utf-8")
    (copy / "template.yaml").write_text(template.replace("141502667606", "141502667607"), "utf-8")
    done = _check(copy, {"PYTHONPATH": str(copy)})
    assert done.returncode == 1
    assert {line.split(":")[0] for line in done.stderr.splitlines()} == {
        "release.mmd",
        "retrain.mmd",
        "template.yaml",
    }
