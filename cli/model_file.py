"""Read a project's `model.yaml` for the commands that need its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from perennial.domain.settings import Settings, SettingsInvalid, apply_overrides, parse_settings

from cli.errors import CommandError, NotFound, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


MOST_VALUES = 100_000
CORRECT_IT = "Nothing was changed; correct it and try again."


class UniqueKeys(yaml.SafeLoader):
    """YAML's safe loader, but a key that stands twice is a mistake and not a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping; raise on a repeated key, or on one that is no plain value."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a list or mapping is no key", key_node.start_mark
                )
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
    _check_file(path)
    try:
        document = load_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise CommandError(f"{path} is not UTF-8: see line {line}.", CORRECT_IT) from error
    except yaml.YAMLError as error:
        raise CommandError(f"{path} is no YAML: {one_line(error)}", CORRECT_IT) from error
    except RecursionError as error:
        raise CommandError(f"{path} is no YAML: it is nested too deeply.", CORRECT_IT) from error
    train = document.get("train") if isinstance(document, dict) else None
    # An algorithm of AWS's may learn from the columns as they are.
    if not (isinstance(train, dict) and train.get("algorithm")):
        _check_file(folder / "model.py")
    return document


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise NotFound(
            f"{path.parent} is no model project: it has no {path.name}.",
            "Make one: perennial init <name> --csv <file>",
        )


def load_yaml(text: str) -> Any:
    """The one document in a text; raises `yaml.YAMLError`, or RecursionError for deep nesting."""
    loader = UniqueKeys(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        count_values(node, {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def count_values(node: yaml.Node, counted: dict[yaml.Node, int]) -> int:
    """How many values a node stands for, each alias written out; raises when they are too many.

    A few lines of aliases can stand for more values than fit into memory.
    """
    if node in counted:
        if not counted[node]:
            raise yaml.composer.ComposerError(
                None, None, "a value contains itself", node.start_mark
            )
        return counted[node]
    counted[node] = 0
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        inner = node.value
    elif isinstance(node, yaml.MappingNode):
        inner = [part for pair in node.value for part in pair]
    counted[node] = 1 + sum(count_values(part, counted) for part in inner)
    if counted[node] > MOST_VALUES:
        words = f"more than {MOST_VALUES:,} values, with its aliases written out"
        raise yaml.composer.ComposerError(None, None, words, node.start_mark)
    return counted[node]


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
    return CommandError("\n".join([head, *lines]), CORRECT_IT)


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
            raise Usage(f"--set names '{key.strip()}' twice.", "Say it once.")
        found[key.strip()] = value.strip()
    return found
