"""YAML to plain values, with the line of each, and back; stricter than a plain load.

A key given twice, a key that is no text and tags are refused. No message quotes a value.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from streamdet.config.section import Place
from streamdet.errors import ConfigError


def read_yaml(file: Path) -> tuple[dict[str, Any], dict[Place, int], list[str]]:
    """Return the values in `file`, the line of each place, and what is wrong on the way.

    Raises
    ------
    ConfigError
        The file cannot be read, or is no YAML mapping at all.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text") from None
    reader = _Reader(text)
    try:
        values = reader.read()
    except yaml.YAMLError as error:
        line, message = _syntax(error, text)
        raise ConfigError(f"{file}:{line}: {message}") from None
    if not isinstance(values, dict | None):
        raise ConfigError(f"{file}:1: must be a mapping of sections, as in 'kafka:'")
    return values or {}, reader.lines, [f"{file}:{problem}" for problem in reader.problems]


def parse_value(text: str) -> object:
    """Return the value that `text` is in YAML: a number, a text, a list, a mapping or None.

    Raises
    ------
    ValueError
        It is no YAML.
    """
    reader = _Reader(text)
    try:
        value = reader.read()
    except yaml.YAMLError as error:
        raise ValueError(_syntax(error, text)[1]) from None
    if reader.problems:
        raise ValueError(reader.problems[0])
    return value


def write_yaml(values: dict[str, Any]) -> str:
    """Return `values` as a YAML document, in their own order."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


class _Reader:
    """Reads one document; `lines` and `problems` are there after `read`."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self.problems: list[str] = []
        self._text = text

    def read(self) -> Any:  # noqa: ANN401
        self._loader = yaml.SafeLoader(self._text)
        node = self._loader.get_single_node()
        return None if node is None else self._value(node, (), ())

    def _value(self, node: yaml.Node, place: Place, within: tuple[yaml.Node, ...]) -> object:
        if node in within:
            raise yaml.composer.ComposerError(None, None, "itself", node.start_mark)
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place, (*within, node))
        if isinstance(node, yaml.SequenceNode):
            items = enumerate(node.value)
            return [self._value(item, (*place, at), (*within, node)) for at, item in items]
        return self._scalar(node)

    def _mapping(
        self, node: yaml.MappingNode, place: Place, within: tuple[yaml.Node, ...]
    ) -> dict[str, object]:
        values: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            line = key_node.start_mark.line + 1
            if not isinstance(key, str):
                self.problems.append(f"{line}: a key must be text; put quotes around it")
                continue
            if key in values:
                first = self.lines[*place, key]
                self.problems.append(
                    f"{line}: {key}: is given twice, first in line {first}; remove one"
                )
            self.lines[*place, key] = line
            values[key] = self._value(value_node, (*place, key), within)
        return values

    def _scalar(self, node: yaml.Node) -> Hashable:
        try:
            value: Hashable = self._loader.construct_object(node)
        except ValueError:  # 2026-13-01 looks like a date and is none
            line = node.start_mark.line + 1
            self.problems.append(f"{line}: looks like a number or date and is none; quote text")
            return None
        return value


def _syntax(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """Return the line and a message of an error. PyYAML's own quotes names out of the text."""
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark else 1
    if isinstance(error, yaml.composer.ComposerError):
        return line, "an alias that leads nowhere or to itself, or a second document; quote a '*'"
    if isinstance(error, yaml.constructor.ConstructorError):
        return line, "a tag has no meaning here; quote a value that begins with '!'"
    if isinstance(error, yaml.reader.ReaderError):
        return text.count("\n", 0, error.position) + 1, "a control character; remove it"
    problem = getattr(error, "problem", None) or "cannot be parsed"
    return line, f"is no YAML: {problem}; check indentation, quotes and brackets"
