"""YAML that may come from anywhere: of bounded depth and size before anything is built of it, no key there twice.

The C library composes by recursion, so a file of brackets ends the process; a few lines of aliases stand for thousands
of millions of values. Events come one by one and cost neither, and all that must be known beforehand shows in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchlab.results.store.regular import open_file

DEPTH = 64
"""Of blocks within blocks."""
VALUES = 200_000
"""Values of a file, each alias counted as what it stands for."""
BYTES = 8 << 20
"""Of a file."""
MERGE = "<<"
FAULTS = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError)
"""What PyYAML's constructors raise of a value that is not what its tag says, beside their own errors."""


def read_yaml(path: Path) -> Any:
    """The content of a file.

    Raises:
        ValueError: Naming the file and the line, when it is not YAML, repeats a key or is beyond the bounds.
        OSError: The file cannot be read.
    """
    with open_file(path) as file:
        return parse_yaml(file.read(BYTES + 1), path)


def parse_yaml(content: bytes | str, name: object) -> Any:
    """What YAML stands for.

    >>> parse_yaml("lr: 0.1", "a.yaml")
    {'lr': 0.1}

    Args:
        content: Bytes in UTF-8 or UTF-16, or text.
        name: What errors call it: the file's path.

    Raises:
        ValueError: As `read_yaml`.
    """
    import yaml

    check_yaml(content, name)
    try:
        return yaml.load(content, Loader=_loader())
    except (yaml.YAMLError, *FAULTS) as error:
        raise ValueError(_said(name, error)) from error


def check_yaml(content: bytes | str, name: object) -> None:
    """See that YAML is within the bounds and repeats no key; for who has it parsed by another library.

    Args:
        content: As of `parse_yaml`.
        name: What errors call it.

    Raises:
        ValueError: As `read_yaml`, except for values that are not what their tags say.
    """
    import yaml

    if len(content) > BYTES:
        raise ValueError(f"{name} has more than {BYTES >> 20} MiB, which no configuration needs: is it another file?")
    scan = _Scan()
    line = 0
    try:
        for event in yaml.parse(content, Loader=_loader()):
            line = event.start_mark.line + 1 if event.start_mark else line
            scan.take(event)
    except _Beyond as error:
        raise ValueError(f"{name}, line {line}: {error}") from error
    except (yaml.YAMLError, *FAULTS) as error:
        raise ValueError(_said(name, error)) from error


class _Beyond(Exception):
    """A bound was passed."""


@dataclass(slots=True)
class _Block:
    """A mapping or a sequence that is not over yet."""

    anchor: str | None
    keys: set[str] | None
    """Of a mapping, those that it had so far; None of a sequence."""
    values: int = 1
    children: int = 0


@dataclass(slots=True)
class _Scan:
    """Goes over the events of a file without recursion."""

    blocks: list[_Block] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    """How many values each stands for."""

    def take(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "ScalarEvent":
            self._key(event.value)
            self._add(1, event.anchor)
        elif kind == "AliasEvent":
            if event.anchor not in self.anchors:  # the library names one that was never there
                if any(block.anchor == event.anchor for block in self.blocks):
                    raise _Beyond(f"*{event.anchor} stands within &{event.anchor} itself")
                return
            self._add(self.anchors[event.anchor], None)
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            if len(self.blocks) == DEPTH:
                raise _Beyond(f"is nested deeper than {DEPTH} blocks")
            self.blocks.append(_Block(event.anchor, set() if kind.startswith("M") else None))
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            block = self.blocks.pop()
            self._add(block.values, block.anchor)

    def _key(self, value: str) -> None:
        """See that a mapping has a key once. A scalar at an even place is a key."""
        block = self.blocks[-1] if self.blocks else None
        if block is None or block.keys is None or block.children % 2 or value == MERGE:
            return
        if value in block.keys:
            raise _Beyond(f"the key {value[:40]!r} stands there twice")
        block.keys.add(value)

    def _add(self, values: int, anchor: str | None) -> None:
        if anchor is not None:
            self.anchors[anchor] = values
        if self.blocks:
            self.blocks[-1].values += values
            self.blocks[-1].children += 1
            values = self.blocks[-1].values
        if values > VALUES:
            raise _Beyond(f"stands for more than {VALUES:,} values, aliases counted as what they stand for")


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _said(name: object, error: BaseException) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{name}, line {mark.line + 1}" if mark is not None else str(name)
    why = getattr(error, "problem", None) or " ".join(str(error).split())[:80] or type(error).__name__
    return f"{where}: not YAML ({why})"
