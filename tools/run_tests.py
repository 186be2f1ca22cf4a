"""Run every suite, two at a time, and print what each took: `make test`.

Exit code 1 if any suite fails, 2 if the suites together pass their time budget (14 minutes).
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
BUDGET_SECONDS = 840
PYTEST = (sys.executable, "-m", "pytest", "-q")
BIN = Path(sys.executable).parent
FUNCTIONAL, STACK = "tests/functional", "tests/functional/stack"
CLOUD = ("local_core", "cloudformation", "states")
#: Of the stack's suite, what has one of its own; and of SageMaker's, what serves.
RELEASES = ("releases", "predictions")
INVARIANTS = ("invariants", "invariants_checker")
SERVING = ("endpoint*", "*_endpoints", "ab_tests", "batch", "transform")
#: These have tests that `make test-long` alone runs.
LONG = ("releases", "invariants", "stack", "commands", "unit", "statemachines", "mutants")


def suite(*paths: str) -> tuple[str, ...]:
    """Build the pytest command of a suite."""
    return (*PYTEST, *paths)


def files(folder: str, *names: str) -> list[str]:
    """The test modules of a folder by their names without `test_`; `*` stands for anything."""
    found = {str(p.relative_to(ROOT)) for n in names for p in ROOT.glob(f"{folder}/test_{n}.py")}
    return sorted(found)


def without(folder: str, *names: str) -> list[str]:
    """A folder without the test modules of these names."""
    return [folder, *(f"--ignore={path}" for path in files(folder, *names))]


# (name, command), the longest first, so that all ends at about the same time; what waits for real
# servers runs beside what only computes. Releases come before all other stories: on a fresh
# checkout the first ones make the environments of functions and servers.
SUITES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("unit", suite("tests/unit")),
    ("releases", suite(*files(STACK, *RELEASES))),
    ("stack", suite(*without(STACK, *RELEASES, *INVARIANTS))),
    ("jobs", suite("tests/jobs")),
    ("serving", suite(*files(f"{FUNCTIONAL}/sagemaker", *SERVING))),
    ("commands", suite(*files(FUNCTIONAL, "*"))),
    ("cloud", suite(*(f"{FUNCTIONAL}/{name}" for name in CLOUD))),
    ("invariants", suite(*files(STACK, *INVARIANTS))),
    ("sagemaker", suite(*without(f"{FUNCTIONAL}/sagemaker", *SERVING))),
    ("statemachines", suite("tests/statemachines")),
    ("types", (str(BIN / "mypy"),)),
    ("template", suite("tests/template")),
    ("architecture", suite("tests/architecture")),
    ("mutants", suite("tests/mutants")),
    ("lint", (str(BIN / "ruff"), "check", ".")),
    ("format", (str(BIN / "ruff"), "format", "--check", ".")),
)
#: One a core of the smallest machine: with more, stories on real servers run out of their time.
AT_ONCE = 2


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
    parser.add_argument("--long", action="store_true", help="run what is left out otherwise")
    asked = parser.parse_args()
    only, known = set(asked.only), {name for name, _ in SUITES}
    if only - known:
        parser.error(f"no suite {', '.join(sorted(only - known))}; there are {sorted(known)}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    for old in REPORTS.iterdir():
        old.unlink()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.monotonic()

    wanted = [(name, command) for name, command in SUITES if not only or name in only]
    if asked.long:
        wanted = [(name, (*command, "-m", "long")) for name, command in wanted if name in LONG]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda each: run(*each), wanted))
    seconds = time.monotonic() - started
    print(f"all suites: {seconds:.0f} s" + ("" if asked.long else f" of {BUDGET_SECONDS} s"))
    print(
        f"{sum(r.passed for r in results)} passed, {sum(r.failed for r in results)} failed, "
        f"{sum(r.skipped for r in results)} skipped"
    )
    if any(result.code for result in results):
        return 1
    return 2 if seconds > BUDGET_SECONDS and not asked.long else 0


if __name__ == "__main__":
    sys.exit(main())
