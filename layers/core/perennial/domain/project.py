"""What a model project must hold, judged without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

# The functions of model.py and how many arguments each is called with.
REQUIRED = {"prepare": 1, "train": 3, "predict": 2}
OPTIONAL = {"save": 2, "load": 1, "explain": 2, "predict_row": 2}
# What train() is given besides, by name, if it names it.
AIDS = frozenset({"weights", "checkpoints", "report"})
SIGNATURES = {
    "prepare": "prepare(frame)",
    "train": "train(train, validation, hyperparameters)",
    "predict": "predict(model, frame)",
    "save": "save(model, folder)",
    "load": "load(folder)",
    "explain": "explain(model, frame)",
    "predict_row": "predict_row(model, row)",
}
PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9.!+_-]+)")


class ProjectInvalid(ValueError):
    """A project that cannot be packed; `mistakes` holds one line each."""

    def __init__(self, project: str, mistakes: Iterable[str]) -> None:
        self.project = project
        self.mistakes = tuple(mistakes)
        super().__init__(
            f"project {project} cannot be pushed:\n" + "\n".join(f"  {m}" for m in self.mistakes)
        )


@dataclass(frozen=True)
class Requirement:
    """One pinned package."""

    name: str
    version: str

    @property
    def key(self) -> str:
        """The name as the package index compares it."""
        return re.sub(r"[-_.]+", "-", self.name).lower()


def needed_functions(*, algorithm: str = "", image: str = "") -> tuple[str, ...]:
    """What model.py must have, by what trains: itself, one of AWS's algorithms, an own image."""
    if algorithm:
        return ()
    return ("load", "predict") if image else tuple(REQUIRED)


def find_model_mistakes(source: str, *, algorithm: str = "", image: str = "") -> list[str]:
    """What is wrong with model.py as text: syntax, missing functions, wrong signatures.

    With an `algorithm` of AWS's or an own `image` it need not have all functions.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [f"model.py line {error.lineno}: {error.msg}"]
    except ValueError as error:
        return [f"model.py: {error}"]
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    bound = _bound_names(tree)
    mistakes = [
        f"model.py has no function {SIGNATURES[name]}"
        for name in needed_functions(algorithm=algorithm, image=image)
        if name not in functions and name not in bound
    ]
    for name, count in {**REQUIRED, **OPTIONAL}.items():
        given = AIDS if name == "train" else frozenset()
        if name in functions and not _callable_with(functions[name].args, count, given):
            mistakes.append(
                f"model.py line {functions[name].lineno}: {name} must be callable as "
                f"{SIGNATURES[name]}"
            )
    if not image and ("save" in functions) != ("load" in functions):
        mistakes.append("model.py has only one of save and load; write both or neither")
    return mistakes


def _bound_names(tree: ast.Module) -> set[str]:
    """Names that an import or an assignment binds: such a function is taken on trust."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def _callable_with(arguments: ast.arguments, count: int, given: frozenset[str]) -> bool:
    """Whether `count` values, and by name those `given` that it asks for, are all it needs."""
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    needed = names[: len(names) - len(arguments.defaults)][count:]
    keywords = [
        each.arg
        for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    takes_all = len(names) >= count or bool(arguments.vararg)
    return takes_all and {*needed, *keywords} <= given


def parse_requirements(text: str) -> tuple[list[Requirement], list[str]]:
    """The pinned packages of a requirements.txt, and the lines that pin nothing exactly."""
    requirements, unpinned = [], []
    for line in text.splitlines():
        bare = line.split("#", 1)[0].strip()
        match = PINNED.fullmatch(bare)
        if match:
            requirements.append(Requirement(match[1], match[2]))
        elif bare:
            unpinned.append(bare)
    return requirements, unpinned


def join_requirements(lock: str, own: str) -> str:
    """The jobs' lock with a project's own packages below it; raises ValueError in words.

    A project may add packages, each pinned; another version of one in the lock is refused, for
    one environment cannot hold both.
    """
    locked = {requirement.key: requirement for requirement in parse_requirements(lock)[0]}
    added, unpinned = parse_requirements(own)
    if unpinned:
        raise ValueError(f"requirements.txt: {unpinned[0]!r} pins no version; write name==version")
    for requirement in added:
        held = locked.get(requirement.key)
        if held and held.version != requirement.version:
            raise ValueError(
                f"requirements.txt: {requirement.name}=={requirement.version} is refused, the "
                f"jobs run with {held.name}=={held.version}"
            )
    lines = [f"{r.name}=={r.version}" for r in added if r.key not in locked]
    return lock if not lines else lock.rstrip("\n") + "\n" + "\n".join(sorted(lines)) + "\n"
