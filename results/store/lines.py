"""Rows as lines of JSON, each with its own checksum: `{"samples":64,"train_loss":2.25,"checksum":"1a2b3c4d"}`.

The checksum is the CRC-32 of what stands before its key. It is stripped by readers here; for all others a line is the
JSON object that it seems to be. Lines of earlier versions have none; a file has it in all of its lines or in none.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchlab.results.store.atomic import plain
from batchlab.results.store.regular import LINES, content_of

ENDING = re.compile(rb'(,?)"(.{8})":"(.{8})"\}', re.DOTALL)
"""How a checked line ends. A line that ends so with another key or value was one before something in it flipped."""
LENGTH = len(b'"checksum":"12345678"}')


def line_of(row: Mapping[str, Any]) -> bytes:
    """A row as a line, with its end."""
    return checked(json.dumps(row, default=plain, separators=(",", ":")).encode())


def checked(body: bytes) -> bytes:
    """A JSON object as a line with a checksum."""
    body = body[:-1]
    comma = b"" if body == b"{" else b","
    return b'%s%s"checksum":"%08x"}\n' % (body, comma, zlib.crc32(body))


@dataclass(frozen=True, slots=True)
class Lines:
    """The whole lines of a file.

    Attributes:
        rows: JSON objects, without their checksums, up to the first line that is damaged.
        ends: Where each of these lines ends, in bytes.
        size: Where the last whole line of the file ends.
        checked: Whether they had checksums.
        damage: What is wrong with the line after them; empty where they are all.
    """

    rows: list[bytes]
    ends: list[int]
    size: int
    checked: bool
    damage: str


def read_lines(path: Path) -> Lines:
    """Take a file apart and see that each line is what was written. A torn last line is left out.

    Raises:
        FileNotFoundError: There is none.
        OSError: It cannot be read.
    """
    content = content_of(path, LINES)
    size = content.rfind(b"\n") + 1
    lines = content[:size].split(b"\n")[:-1]
    bodies = [_body(line) for line in lines]
    has_checksums = any(body is not None and body is not line for body, line in zip(bodies, lines, strict=True))
    rows: list[bytes] = []
    ends: list[int] = []
    end = 0
    damage = ""
    for number, (line, body) in enumerate(zip(lines, bodies, strict=True), 1):
        end += len(line) + 1
        if body is None or (has_checksums and body is line):
            damage = f"line {number} is not what was written"
            break
        rows.append(body)
        ends.append(end)
    torn = content[size:]
    if not damage and torn and _body(torn[:-1]) not in (None, torn[:-1]):
        damage = f"line {len(rows) + 1} is not what was written"  # whole, but for its end: nothing was torn there
    return Lines(rows, ends, size, has_checksums, damage)


def _body(line: bytes) -> bytes | None:
    """A line without its checksum, itself where it has none, None where the checksum is another."""
    for comma in (1, 0):
        ending = ENDING.fullmatch(line, len(line) - LENGTH - comma)
        if ending is not None and (ending[1] == b"," * comma):
            body = line[: ending.start()]
            if ending[2] != b"checksum" or ending[3] != b"%08x" % zlib.crc32(body):
                return None
            return body + b"}"
    return line
