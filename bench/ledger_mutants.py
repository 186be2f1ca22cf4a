"""Executes mutants of the ledger against a fast suite, in forked processes.

    python -m bench.ledger_mutants [part of a module's name]

prints the survivors. For each module a process first imports all that does not depend on it; it
then forks once a mutant, so that only the changed module and what rests on it are executed anew.
The suite is the unit tests of these modules (those without hypothesis) and the simulation; of
these, whatever imports the changed module.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.util
import itertools
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from bench.ledger_mutator import mutants

ROOT = Path(__file__).parents[1]
CORE = ROOT / "layers" / "core"
TESTS = ROOT / "tests" / "unit" / "domain"
SURVIVORS = ROOT / "tests" / "mutants" / "survivors.txt"
LEDGER = "perennial.domain.ledger"
UNIT = "tests.unit.domain"
#: What is imported anew with a mutant; everything else has no part in the ledger.
OURS = ("perennial.domain", "bench.ledger_", UNIT)
TARGETS = (
    "perennial.domain.signals",
    "perennial.domain.manifest",
    "perennial.domain.window",
    *(
        f"{LEDGER}.{name}"
        for name in sorted(
            path.stem for path in (CORE / "perennial" / "domain" / "ledger").glob("[a-z]*.py")
        )
    ),
)
#: `test_ledger_invariants` is the simulation again, at length.
SUITE = (
    "test_signals",
    "test_manifest",
    "test_window",
    *sorted(p.stem for p in TESTS.glob("test_ledger_*.py") if "invariants" not in p.stem),
)
#: Which tests most likely see a mutant of a module, if not those of its name; the others follow.
FIRST = {
    "signals": "signals", "manifest": "manifest", "window": "window",
    "ab_rows": "ledger_store", "book": "ledger_opening", "champion": "ledger_claims",
    "codec": "ledger_store", "limits": "ledger_holding", "monitor_rows": "ledger_store",
    "move_rows": "ledger_store", "release_claims": "ledger_releases",
    "release_words": "ledger_releases", "rows": "ledger_store",
    "single_flight": "ledger_ab_tests", "waking": "ledger_claims", "words": "ledger_claims",
}  # fmt: skip
SIMULATION = "bench.ledger_simulation"
KEPT = ("bench.ledger_mutants", "bench.ledger_mutator")
HISTORIES = 40
#: Of the processor: the whole suite takes two; what takes longer is a loop without an end.
SECONDS = 10


@dataclass(frozen=True)
class Result:
    """What became of a mutant; `by` names what saw it, empty if nothing did."""

    id: str
    line: int
    by: str


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from other code."""

    def __init__(self, name: str, code: CodeType, path: Path) -> None:
        self.name, self.code, self.path = name, code, path

    def find_spec(self, fullname: str, _path: object, _target: object = None) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_file_location(fullname, self.path, loader=self)

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        exec(self.code, module.__dict__)


def path_of(module: str) -> Path:
    """Where a module's source lies."""
    base = CORE if module.startswith("perennial") else ROOT
    return base.joinpath(*module.split(".")).with_suffix(".py")


@cache
def imported_by(module: str) -> set[str]:
    """The modules of ours that a module imports."""
    tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        source = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        if isinstance(node, ast.ImportFrom) and source.startswith(("perennial", *OURS)):
            found |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return {name for name in found if path_of(name).exists()}


def independent_of(module: str) -> list[str]:
    """Ours that can be imported without importing `module`."""
    below = {name: imported_by(name) for name in _all_modules()}
    resting, grew = {module}, True
    while grew:
        more = {name for name, used in below.items() if used & resting}
        grew = not more <= resting
        resting |= more
    return [name for name in below if name not in resting]


def _all_modules() -> list[str]:
    return _below(*TARGETS, "perennial.domain.run_input")


@cache
def reaches(name: str, module: str) -> bool:
    """Whether one imports the other, if only by way of others; else it sees no mutant of it."""
    return module in _below(name)


def _below(*modules: str) -> list[str]:
    """These modules and all of ours that they import."""
    found, todo = [], list(modules)
    while todo:
        name = todo.pop()
        if name not in found:
            found.append(name)
            todo.extend(imported_by(name))
    return found


def cases(module: ModuleType) -> Iterator[tuple[str, Callable[[], None]]]:
    """The tests of a module as plain calls; those of hypothesis are too slow here."""
    for name, test in list(vars(module).items()):
        if not name.startswith("test_") or hasattr(test, "hypothesis"):
            continue
        marks = [m for m in getattr(test, "pytestmark", []) if m.name == "parametrize"]
        for values in itertools.product(*(_values(mark.args) for mark in marks)):
            given = {key: value for part in values for key, value in part.items()}
            yield name, partial(test, **given)


def _values(args: Sequence[Any]) -> list[dict[str, Any]]:
    names, rows = args[0], args[1]
    keys = [each.strip() for each in names.split(",")] if isinstance(names, str) else list(names)
    if len(keys) == 1:
        return [{keys[0]: row} for row in rows]
    return [dict(zip(keys, row, strict=True)) for row in rows]


def tests_of(module: str) -> list[str]:
    """The unit tests that can see a mutant of a module, the likeliest first."""
    name = module.rpartition(".")[2]
    first = f"test_{FIRST.get(name, f'ledger_{name}')}"
    found = [stem for stem in SUITE if reaches(f"{UNIT}.{stem}", module)]
    return sorted(found, key=lambda each: (each != first, each))


def seen_by_tests(stems: Sequence[str]) -> str:
    """Which unit test fails, if any."""
    for stem in stems:
        try:
            module = importlib.import_module(f"{UNIT}.{stem}")
        except Exception as error:
            return f"import: {type(error).__name__}"
        for name, case in cases(module):
            try:
                case()
            except BaseException:
                return f"{stem}.{name}"
    return ""


def seen_by_simulation(histories: int) -> str:
    """Which seed's history goes wrong, if any."""
    simulation = importlib.import_module(SIMULATION)
    for seed in range(histories):
        try:
            simulation.history(seed)
        except Exception as error:
            return f"seed {seed}: {type(error).__name__}: {error}"
    return ""


def in_child(work: Callable[[], str], seconds: int = SECONDS) -> str:
    """Do something in a forked process; what it answers, or that it took too long."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        # By the processor's time, not the clock's: a busy machine must not look like a loop.
        signal.setitimer(signal.ITIMER_PROF, seconds)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        try:
            answer = work()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return "timeout" if os.WIFSIGNALED(status) else answer


def judge(module: str, code: CodeType, histories: int = HISTORIES) -> str:
    """What sees this code in place of the module; empty if nothing does."""
    stems = tests_of(module)  # found before the fork, so once for all mutants of a module
    histories = histories if reaches(SIMULATION, module) else 0

    def work() -> str:
        sys.meta_path.insert(0, Changed(module, code, path_of(module)))
        return seen_by_tests(stems) or seen_by_simulation(histories)

    return in_child(work)


def judge_text(module: str, before: str, after: str, histories: int) -> str:
    """What the simulation alone sees of a module with a changed text."""
    source = path_of(module).read_text(encoding="utf-8")
    if before not in source:
        raise ValueError(f"{module} does not hold the text to change: {before!r}")
    code = compile(source.replace(before, after, 1), str(path_of(module)), "exec")

    def work() -> str:
        preload()
        sys.meta_path.insert(0, Changed(module, code, path_of(module)))
        return seen_by_simulation(histories)

    return in_child(work, seconds=120)


def run_module(module: str, share: tuple[int, int] = (0, 1)) -> list[Result]:
    """Judge a share (part, of) of a module's mutants; in this process."""
    part, of = share
    for name in independent_of(module):
        importlib.import_module(name)
    found = []
    for index, mutant in enumerate(mutants(path_of(module), module.rpartition(".")[2])):
        if index % of == part:
            found.append(Result(mutant.id, mutant.line, judge(module, mutant.code)))
    return found


def run_share(modules: Sequence[str], share: tuple[int, int], out: Path) -> None:
    """Judge a share of every module's mutants, each module in a process of its own."""
    results = []
    for module in modules:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            found = [(r.id, r.line, r.by) for r in run_module(module, share)]
            with os.fdopen(writer, "w") as pipe:
                json.dump(found, pipe)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        if not text:
            raise RuntimeError(f"the mutants of {module} could not be judged")
        results.extend(json.loads(text))
    out.write_text(json.dumps(results), encoding="utf-8")


def run(modules: Sequence[str], folder: Path, workers: int = 2) -> list[Result]:
    """Judge all mutants of these modules, in parallel."""
    preload()
    children = {}
    for part in range(workers):
        out = folder / f"part-{part}.json"
        child = os.fork()
        if child == 0:
            try:
                run_share(modules, (part, workers), out)
            finally:
                os._exit(0)
        children[child] = out
    results: list[Result] = []
    for child, out in children.items():
        os.waitpid(child, 0)
        results.extend(Result(*each) for each in json.loads(out.read_text(encoding="utf-8")))
    return sorted(results, key=lambda each: each.id)


def preload() -> None:
    """Import what is not ours once, before forking; ours must not be imported yet."""
    sys.dont_write_bytecode = False
    for name in ("pytest", "hypothesis", "hypothesis.strategies", "fnmatch"):
        importlib.import_module(name)
    for name in [n for n in sys.modules if n.startswith(OURS) and n not in KEPT]:
        del sys.modules[name]
    # The tests are no installed package; name their folder, before anything else of that name.
    tests = ModuleType("tests")
    tests.__path__ = [str(ROOT / "tests")]
    sys.modules["tests"] = tests


def judge_all(folder: Path, part: str = "") -> list[Result]:
    """Judge the mutants of all targets, or of those whose name holds `part`.

    Works in a process of its own, because modules of ours must not be imported before.
    """
    out = folder / "results.json"

    def work() -> str:
        preload()
        module = TARGETS[0]
        blamed = judge(module, compile(path_of(module).read_text("utf-8"), module, "exec"))
        if blamed:
            return f"the suite fails without any mutation: {blamed}"
        results = run([m for m in TARGETS if part in m], folder)
        found = [(each.id, each.line, each.by) for each in results]
        out.write_text(json.dumps(found), encoding="utf-8")
        return ""

    failure = in_child(work, seconds=3600)
    if failure:
        raise RuntimeError(f"the mutants could not be judged: {failure}")
    return [Result(*each) for each in json.loads(out.read_text(encoding="utf-8"))]


def listed_survivors() -> dict[str, str]:
    """The known survivors with their reasons."""
    lines = SURVIVORS.read_text(encoding="utf-8").splitlines()
    pairs = (line.rpartition(" | ") for line in lines if line and not line.startswith("#"))
    return {name: reason for name, _, reason in pairs}


def main(arguments: Sequence[str]) -> None:
    """Print the survivors."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        results = judge_all(Path(folder), *arguments[:1])
    survivors = [each for each in results if not each.by]
    for each in survivors:
        print(f"{each.id}    (line {each.line})")
    simulated = sum(each.by.startswith("seed") for each in results)
    print(
        f"{len(results)} mutants, {len(survivors)} survive, {simulated} seen by the simulation "
        f"alone; {time.monotonic() - began:.0f} s"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
