"""Run every suite, two at a time, and print what each took: `make test`.

Exit code 1 if any suite fails, 2 if the suites together pass their time budget (13 minutes).
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree  # our own junit files

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / ".local" / "test-reports"
BUDGET_SECONDS = 780
PYTEST = (sys.executable, "-m", "pytest", "-q")
BIN = Path(sys.executable).parent
CLOUD = ("local_core", "cloudformation", "sagemaker", "states")
APART = (*CLOUD, "stack")


def suite(*paths: str) -> tuple[str, ...]:
    """Build the pytest command of a suite."""
    return (*PYTEST, *paths)


# (name, command), the longest first, so that the two cores end at about the same time.
SUITES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("stack", suite("tests/functional/stack")),
    ("mutants", suite("tests/mutants")),
    ("cloud", suite(*(f"tests/functional/{name}" for name in CLOUD))),
    ("commands", suite("tests/functional", *(f"--ignore=tests/functional/{n}" for n in APART))),
    ("unit", suite("tests/unit")),
    ("jobs", suite("tests/jobs")),
    ("statemachines", suite("tests/statemachines")),
    ("template", suite("tests/template")),
    ("types", (str(BIN / "mypy"),)),
    ("architecture", suite("tests/architecture")),
    ("lint", (str(BIN / "ruff"), "check", ".")),
    ("format", (str(BIN / "ruff"), "format", "--check", ".")),
)


@dataclass(frozen=True)
class Result:
    """What one suite gave: its exit code, seconds, and counts where pytest ran."""

    name: str
    code: int
    seconds: float
    passed: int
    failed: int
    skipped: int


def counts(report: Path) -> tuple[int, int, int]:
    """Read passed, failed and skipped from a junit file; zeros where the suite wrote none."""
    if not report.exists():
        return 0, 0, 0
    passed = failed = skipped = 0
    for element in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314
        bad = int(element.get("failures", 0)) + int(element.get("errors", 0))
        left_out = int(element.get("skipped", 0))
        failed, skipped = failed + bad, skipped + left_out
        passed += int(element.get("tests", 0)) - bad - left_out
    return passed, failed, skipped


def run(name: str, command: tuple[str, ...]) -> Result:
    """Run one suite, keep its output in a file, and print it at once if it failed."""
    report, log = REPORTS / f"{name}.xml", REPORTS / f"{name}.log"
    if "pytest" in command:
        command = (*command, f"--junitxml={report}", "-o", "junit_suite_name=" + name)
    started = time.monotonic()
    with log.open("w") as output:
        code = subprocess.run(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, check=False
        ).returncode
    seconds = time.monotonic() - started
    result = Result(name, code, seconds, *counts(report))
    figures = f"{result.passed} passed, {result.failed} failed" if report.exists() else ""
    print(f"{'ok  ' if code == 0 else 'FAIL'} {name:<14} {seconds:6.1f} s  {figures}", flush=True)
    if code:
        print(log.read_text(errors="replace"), flush=True)
    return result


def main() -> int:
    """Run the suites side by side and sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="names of suites to run (default: all)")
    only = set(parser.parse_args().only)
    known = {name for name, _ in SUITES}
    if only - known:
        parser.error(f"no suite {', '.join(sorted(only - known))}; there are {sorted(known)}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    for old in REPORTS.iterdir():
        old.unlink()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.monotonic()

    wanted = [(name, command) for name, command in SUITES if not only or name in only]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda each: run(*each), wanted))
    seconds = time.monotonic() - started
    print(f"all suites: {seconds:.0f} s of {BUDGET_SECONDS} s")
    print(
        f"{sum(r.passed for r in results)} passed, {sum(r.failed for r in results)} failed, "
        f"{sum(r.skipped for r in results)} skipped"
    )
    if any(result.code for result in results):
        return 1
    return 2 if seconds > BUDGET_SECONDS else 0


if __name__ == "__main__":
    sys.exit(main())
