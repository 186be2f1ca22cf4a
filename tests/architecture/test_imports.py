"""The direction of imports: domain <- use cases <- functions, and nothing imports local."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "layers" / "core" / "perennial"
STANDARD_LIBRARY = frozenset(sys.stdlib_module_names)
OURS = ("perennial", "jobs", "local", "cli", "statemachines", "functions")


def imported_by(path: Path) -> Iterator[str]:
    """Every absolute module name that the file imports, at any depth of nesting."""
    package = (
        ".".join(path.relative_to(LAYER.parent).with_suffix("").parts[:-1])
        if path.is_relative_to(LAYER)
        else ""
    )
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                yield ".".join([*parts, node.module or ""]).rstrip(".")
            elif node.module:
                yield node.module


def is_within(module: str, *packages: str) -> bool:
    """Say whether the dotted module is one of the packages or lies inside one."""
    return any(module == package or module.startswith(package + ".") for package in packages)


def offences(
    folder: str, allowed_ours: tuple[str, ...], *, only_standard: bool = False
) -> list[str]:
    """List 'file imports module' for each import that is not allowed."""
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for module in imported_by(path):
            ours = is_within(module, *OURS)
            wrong_ours = ours and not is_within(module, *allowed_ours)
            wrong_other = (
                only_standard and not ours and module.split(".")[0] not in STANDARD_LIBRARY
            )
            if wrong_ours or wrong_other:
                found.append(f"{path.relative_to(ROOT)} imports {module}")
    return found


def test_domain_imports_only_the_standard_library_and_itself() -> None:
    """Pure decisions depend on nothing that does I/O."""
    assert offences("layers/core/perennial/domain", ("perennial.domain",), only_standard=True) == []


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("layers/core/perennial/aws", ("perennial.aws", "perennial.domain")),
        ("layers/core/perennial", ("perennial",)),
        ("functions", ("perennial",)),
        ("jobs", ("jobs", "perennial.domain")),
        ("statemachines", ("statemachines", "perennial.domain")),
        ("local", ("local", "perennial.domain.naming", "perennial.domain.algorithm_parameters")),
        ("cli", ("cli", "perennial")),
        ("models", ("jobs",)),
    ],
)
def test_each_part_imports_only_what_lies_below_it(folder: str, allowed: tuple[str, ...]) -> None:
    """No part reaches upwards or sideways, and nothing imports local."""
    assert offences(folder, allowed) == []


def test_only_the_aws_package_and_two_modules_of_jobs_import_boto3() -> None:
    """One seam to AWS: perennial.aws; the jobs' two callers and the SDK's session stand apart."""
    # The Data Science SDK wants a session to render with; it never calls AWS (build time only).
    allowed = {"jobs/invoking.py", "jobs/objects.py", "statemachines/sdk.py"}
    found = {
        str(path.relative_to(ROOT))
        for folder in (
            "layers/core/perennial",
            "functions",
            "jobs",
            "cli",
            "statemachines",
            "models",
        )
        for path in (ROOT / folder).rglob("*.py")
        if any(is_within(module, "boto3", "botocore") for module in imported_by(path))
    }
    outside = {
        name for name in found if not name.startswith("layers/core/perennial/aws/")
    } - allowed
    assert outside == set()


def test_handlers_import_no_other_function() -> None:
    """A function is deployed alone: its folder and the layer are all it can import."""
    found = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sorted((ROOT / "functions").rglob("*.py"))
        for module in imported_by(path)
        if is_within(module, "functions", "cli", "local", "jobs", "statemachines")
    ]
    assert found == []
