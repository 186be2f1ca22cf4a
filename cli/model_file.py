"""Read a project's `model.yaml` for the commands that need its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from perennial.domain.settings import Settings, SettingsInvalid, apply_overrides, parse_settings

from cli.errors import CommandError, NotFound, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class UniqueKeys(yaml.SafeLoader):
    """YAML's safe loader, but a key that stands twice is a mistake and not a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; raise on a repeated key."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_document(folder: Path) -> Any:
    """The parsed `model.yaml` of a project folder."""
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.", "Make a project: perennial init <name>")
    path = folder / "model.yaml"
    for name in ("model.yaml", "model.py"):
        if not (folder / name).is_file():
            raise NotFound(
                f"{folder} is no model project: it has no {name}.",
                "Make one: perennial init <name> --csv <file>",
            )
    try:
        return yaml.load(path.read_text(encoding="utf-8"), UniqueKeys)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not UTF-8: {error}.") from error
    except yaml.YAMLError as error:
        raise CommandError(f"{path} is no YAML: {one_line(error)}") from error


def one_line(error: yaml.YAMLError) -> str:
    """A YAML error with its place, in one line."""
    mark = getattr(error, "problem_mark", None)
    words = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {words}" if mark else str(words)


def read_settings(folder: Path, overrides: Mapping[str, str] | None = None) -> Settings:
    """The validated settings of a project folder, with every mistake named at once."""
    document = read_document(folder)
    project = folder.resolve().name
    path = folder / "model.yaml"
    try:
        settings = parse_settings(document, project=project, file=str(path))
        return apply_overrides(settings, overrides, scope="push") if overrides else settings
    except SettingsInvalid as error:
        raise settings_error(error) from error


def settings_error(error: SettingsInvalid) -> CommandError:
    """Each mistake of the settings on a line of its own: key, what was found, what was expected."""
    count = len(error.mistakes)
    lines = [f"  {mistake}" for mistake in error.mistakes]
    head = f"{error.file} has {count} mistake{'s' if count > 1 else ''}:"
    return CommandError("\n".join([head, *lines]), "Nothing was changed; correct it and try again.")


def parse_sets(pairs: Iterable[str]) -> dict[str, str]:
    """`--set key.path=value` options as a mapping; a key twice is a mistake."""
    found: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            raise Usage(
                f"--set '{pair}' is no key=value.",
                "For example: --set train.hyperparameters.num_leaves=63",
            )
        if key.strip() in found:
            raise Usage(f"--set names '{key.strip()}' twice.")
        found[key.strip()] = value.strip()
    return found
