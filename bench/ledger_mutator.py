"""Every small mistake that can be made mechanically in a module, one at a time.

Comparisons, boolean operators, conditions, constants, returns, statements, keyword arguments and
elements of tuples are each changed or dropped. A mutant's id names module, function, kind, the
code before and after, and a count, so that it survives edits elsewhere.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
}
_CALLS = {"any": "all", "all": "any", "min": "max", "max": "min"}


@dataclass(frozen=True)
class Mutant:
    """One changed module, ready to be executed."""

    id: str
    line: int
    code: CodeType


def mutants(path: Path, module: str) -> Iterator[Mutant]:
    """All mutants of a module, in the order of its text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    count: Counter[str] = Counter()
    for change in list(_changes(tree)):
        name = f"{module}:{change.place}: {change.words}"
        count[name] += 1
        change.make()
        ast.fix_missing_locations(tree)
        yield Mutant(f"{name} #{count[name]}", change.line, compile(tree, str(path), "exec"))
        change.unmake()


@dataclass
class _Change:
    """A change that can be made to a tree, in place."""

    place: str
    line: int
    words: str
    target: object
    field: str
    value: object
    index: int | None = None
    _before: Any = None

    def make(self) -> None:
        """Change the tree."""
        if self.index is None:
            self._before = getattr(self.target, self.field)
            setattr(self.target, self.field, self.value)
        else:
            items = getattr(self.target, self.field)
            self._before = list(items)
            items[self.index : self.index + 1] = [] if self.value is None else [self.value]

    def unmake(self) -> None:
        """Change it back."""
        if self.index is None:
            setattr(self.target, self.field, self._before)
        else:
            getattr(self.target, self.field)[:] = self._before


def _changes(tree: ast.Module) -> Iterator[_Change]:
    yield from _walk(tree, tree, "module")


def _walk(tree: ast.AST, node: ast.AST, place: str) -> Iterator[_Change]:
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        children = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if not isinstance(child, ast.AST) or _is_left_alone(child):
                continue
            inner = _place(child, place)
            at = index if isinstance(value, list) else None
            yield from _of(child, node, field, at, inner)
            yield from _walk(tree, child, inner)


def _place(node: ast.AST, place: str) -> str:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.name if place == "module" else f"{place}.{node.name}"
    return place


def _is_left_alone(node: ast.AST) -> bool:
    """Imports, docstrings, type aliases and the texts of messages are not code to test."""
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.JoinedStr)):
        return True
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id == "__all__" or isinstance(node.value, ast.Subscript)
    if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
        return True
    return isinstance(node, ast.ClassDef) and any(
        "Protocol" in ast.unparse(base) for base in node.bases
    )


def _of(
    node: ast.AST, parent: ast.AST, field: str, index: int | None, place: str
) -> Iterator[_Change]:
    line = getattr(node, "lineno", 0)

    def replaced(new: ast.AST | None, kind: str) -> _Change:
        after = _short(new) if new is not None else "(nothing)"
        words = f"{kind}: {_short(node)} -> {after}"
        return _Change(place, line, words, parent, field, new, index)

    for new, kind in _instead(node, parent, field):
        yield replaced(new, kind)
    if _may_be_dropped(node, parent, field, index):
        yield replaced(ast.Pass() if field in ("body", "orelse") else None, "dropped")


def _instead(node: ast.AST, parent: ast.AST, field: str) -> Iterator[tuple[ast.AST, str]]:
    if field == "test" and isinstance(parent, (ast.If, ast.IfExp, ast.While)):
        yield ast.Constant(True), "condition"
        yield ast.Constant(False), "condition"
    if isinstance(node, ast.Compare):
        yield from _compare(node)
    elif isinstance(node, ast.BoolOp):
        yield from _boolean(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand, "not"
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        new = copy.deepcopy(node)
        new.op = _ARITHMETIC[type(node.op)]()
        yield new, "arithmetic"
    elif isinstance(node, ast.Constant) and not isinstance(parent, ast.JoinedStr):
        yield from _constant(node)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CALLS:
        call = copy.deepcopy(node)
        call.func = ast.Name(_CALLS[node.func.id], ast.Load())
        yield call, "call"
    elif isinstance(node, ast.Return) and node.value is not None and not _is_trivial(node.value):
        yield ast.Return(ast.Constant(None)), "return"


def _is_trivial(node: ast.expr) -> bool:
    """A constant is changed as such; nothing and an empty tuple are as false as None."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Tuple) and not node.elts)


def _compare(node: ast.Compare) -> Iterator[tuple[ast.AST, str]]:
    for position, operator in enumerate(node.ops):
        new = copy.deepcopy(node)
        new.ops[position] = _COMPARE[type(operator)]()
        yield new, "comparison"


def _boolean(node: ast.BoolOp) -> Iterator[tuple[ast.AST, str]]:
    new = copy.deepcopy(node)
    new.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield new, "boolean"
    for position in range(len(node.values)):
        left = [copy.deepcopy(v) for at, v in enumerate(node.values) if at != position]
        yield (left[0] if len(left) == 1 else ast.BoolOp(node.op, left)), "boolean"


def _constant(node: ast.Constant) -> Iterator[tuple[ast.AST, str]]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value), "constant"
    elif isinstance(value, int):
        yield ast.Constant(value + 1), "constant"
    elif isinstance(value, str) and (value == "" or value.replace("_", "x").isalnum()):
        yield ast.Constant(value + "x"), "constant"


def _may_be_dropped(node: ast.AST, parent: ast.AST, field: str, index: int | None) -> bool:
    """Statements with an effect, raises, jumps, keyword arguments, elements, filters."""
    if isinstance(node, ast.stmt):
        return _is_effect(node) and field in ("body", "orelse")
    if isinstance(node, ast.keyword):
        return isinstance(parent, ast.Call) and node.arg is not None
    if isinstance(parent, ast.comprehension) and field == "ifs":
        return True
    if not isinstance(parent, (ast.Tuple, ast.List)) or not isinstance(parent.ctx, ast.Load):
        return False
    return field == "elts" and index is not None and len(parent.elts) > 1


def _is_effect(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return isinstance(node.targets[0], (ast.Subscript, ast.Attribute))
    if isinstance(node, ast.Return):
        return node.value is None
    return isinstance(node, (ast.Expr, ast.Raise, ast.Continue, ast.AugAssign))


def _short(node: ast.AST) -> str:
    try:
        text = " ".join(ast.unparse(ast.fix_missing_locations(node)).split())
    except (AttributeError, ValueError):
        text = type(node).__name__
    return text if len(text) <= 60 else text[:57] + "..."
