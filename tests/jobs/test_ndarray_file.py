"""MXNet's files of arrays: what MXNet 1.9.1 itself wrote, what the local image writes, damage."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import ROOT

# mx.nd.save("a.params", {"arg:fc0_weight": mx.nd.array([[1.5, -2.25, 3]]),
#                         "arg:fc0_bias": mx.nd.array([0.5])}), MXNet 1.9.1.
GOLDEN = (
    "120100000000000000000000000000000200000000000000c9fa93f9000000000200000001000000000000000300"
    "0000000000000100000000000000000000000000c03f000010c000004040c9fa93f9000000000100000001000000"
    "000000000100000000000000000000000000003f02000000000000000e000000000000006172673a6663305f7765"
    "696768740c000000000000006172673a6663305f62696173"
)
READ = """
import json, sys
from jobs.engine.ndarray_file import read_arrays
found = []
for text in json.load(sys.stdin):
    try:
        arrays = read_arrays(bytes.fromhex(text))
        found.append({name: array.tolist() for name, array in arrays.items()})
    except ValueError as error:
        found.append(str(error))
print(json.dumps(found))
"""
WRITE = """
import numpy as np
from local.images.mxnet_module import parameters
arrays = {"arg:fc0_weight": np.array([[1.5, -2.25, 3]]), "arg:fc0_bias": np.array([0.5])}
print(parameters(arrays).hex())
"""


def run(python: Path, script: str, given: Any = None) -> str:
    """Run a script in the jobs' environment."""
    done = subprocess.run(
        [python, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers' / 'core'}"},
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_mxnet_wrote_is_read(jobs_python: Path) -> None:
    """Names, shapes and values of a file of MXNet's own."""
    (found,) = json.loads(run(jobs_python, READ, [GOLDEN]))
    assert found == {"arg:fc0_weight": [[1.5, -2.25, 3.0]], "arg:fc0_bias": [0.5]}


def test_the_local_image_writes_mxnets_bytes(jobs_python: Path) -> None:
    """The same arrays give the same file, byte for byte."""
    assert run(jobs_python, WRITE) == GOLDEN


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "no file of MXNet arrays"),
        ("00" * 40, "no file of MXNet arrays"),
        (GOLDEN[:200], "cut off"),
        (GOLDEN.replace("c9fa93f9", "cafa93f9", 1), "a version that is not read"),
        (GOLDEN.replace("c9fa93f900000000", "c9fa93f901000000", 1), "a sparse array"),
        (GOLDEN.replace("0200000001000000", "ff00000001000000", 1), "255 dimensions"),
    ],
)
def test_damaged_files_are_refused_in_words(body: str, words: str, jobs_python: Path) -> None:
    """Nothing is guessed, and no size in the file is trusted."""
    (found,) = json.loads(run(jobs_python, READ, [body]))
    assert words in found


def test_no_cut_gives_arrays(jobs_python: Path) -> None:
    """A file that ends anywhere before its end is refused."""
    cuts = [GOLDEN[:end] for end in range(0, len(GOLDEN) - 2, 2)]
    assert all(isinstance(found, str) for found in json.loads(run(jobs_python, READ, cuts)))
