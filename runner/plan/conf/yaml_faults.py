"""What is wrong with a YAML file of the user's: found by reading it again, for Hydra's errors do not name it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import date
from errno import EISDIR
from pathlib import Path

import yaml
from omegaconf.errors import GrammarParseError
from omegaconf.grammar_parser import parse as parse_interpolation

from batchlab.results.store.yaml_file import BYTES, parse_yaml

HEADER = re.compile(r"\s*#\s*@")
"""How a line begins that Hydra reads as `# @package NAME`."""

PLAIN = (str, int, float, date, type(None))
"""Values of a configuration; Hydra takes a date for a word."""


def fault(path: Path) -> str:
    """What keeps a file from being a mapping of keys to values, the file's name first; empty where nothing does."""
    try:
        if path.exists() and not path.is_file():  # to read a pipe is to wait for somebody to write
            return f"{shown(path)}: cannot be read ({os.strerror(EISDIR) if path.is_dir() else 'it is no file'})"
        with path.open("rb") as file:
            raw = file.read(BYTES + 1)
    except OSError as error:
        return f"{shown(path)}: cannot be read ({error.strerror})"
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return f"{shown(path)}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8: save the file as UTF-8"
    if said := next(_headers(text), ""):
        return f"{shown(path)}{said}"
    try:
        content = parse_yaml(text, shown(path))
    except ValueError as error:
        return str(error)
    said = next(_contents(text), "") or next(_odd(content), "")
    return f"{shown(path)}{said}" if said else ""


def _headers(text: str) -> Iterator[str]:
    """What Hydra would take the first lines for, and they are not."""
    if text.startswith("\ufeff") and HEADER.match(text[1:]):
        yield ": begins with a byte order mark, which hides its first line: save it as UTF-8 without one"
    for number, line in enumerate(text.splitlines(), 1):
        if not HEADER.match(line):
            break
        if len(line.lstrip().lstrip("#").split()) != 2:
            yield f", line {number}: {line.strip()!r} is no header: write # @package _global_"


def _contents(text: str) -> Iterator[str]:
    """What is wrong with YAML that is some, within its bounds."""
    node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if node is not None and node.tag != "tag:yaml.org,2002:null" and not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        yield f", line {node.start_mark.line + 1}: holds {kind} where lines of `key: value` must stand"
    yield from _interpolations(node)


def _odd(content: object, key: str = "") -> Iterator[str]:
    """What YAML can say and a run's configuration cannot: sets, bytes, keys that cannot be put in order."""
    if isinstance(content, dict):
        kinds = {type(name) for name in content}
        if len(kinds) > 1 or not kinds <= ({str} if not key else {str, int, float}):
            odd = next(name for name in content if not isinstance(name, str))
            yield f": the key {odd!r} must be a word{f' as the others of {key} are' if key else ''}"
        for name, value in content.items():
            yield from _odd(value, f"{key}.{name}" if key else str(name))
    elif isinstance(content, list):
        for value in content:
            yield from _odd(value, key)
    elif not isinstance(content, PLAIN):
        yield f": {key} is of type {type(content).__name__}: write a number, a word, a list or a block of keys"


def _interpolations(node: yaml.Node | None) -> Iterator[str]:
    """What looks like an interpolation and is none."""
    if isinstance(node, yaml.ScalarNode) and "${" in node.value:
        try:
            parse_interpolation(node.value)
        except GrammarParseError as error:
            where = f", line {node.start_mark.line + 1}: {node.value!r}"
            yield f"{where} is no interpolation ({first_line(error)}); write \\${{ for a plain ${{"
    elif isinstance(node, yaml.CollectionNode):
        for part in node.value:
            for inner in part if isinstance(part, tuple) else (part,):
                yield from _interpolations(inner)


def shown(path: Path) -> str:
    """A path as short as it can be said from here."""
    short = os.path.relpath(path)
    return str(path) if short.startswith("..") else short


def first_line(error: BaseException) -> str:
    """What an error says first, with the cause that a colon announces."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    if not lines:
        return first_line(error.__cause__) if error.__cause__ else type(error).__name__
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])
