"""JSON objects on disk with a checksum of their own, as their last key: run.json, manifests, plans.

    {
     "state": "done",
     ...
     "checksum": "1a2b3c4d"
    }

The checksum is the CRC-32 of what stands before it. Files of earlier versions have none, nor have those that somebody
edits and leaves it out of; they are looked at for what they hold (`shapes.py`).
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchlab.results.store.atomic import plain, replace_bytes

KEY = "checksum"
ENDING = re.compile(rb',\n "(.{8})": "(.{8})"\n\}\n\Z', re.DOTALL)
"""How `write_object` ends a file. One that ends so with another key or value was one before something in it flipped."""
LENGTH = 64
BYTES = 64 << 20
"""No file of a store is larger."""
DEPTH = 32
"""Of objects within objects."""
Check = Callable[[Any], bool]


def write_object(path: Path, value: dict[str, Any], *, durable: bool = True) -> None:
    """Replace a file by an object, atomically and on disk.

    Args:
        path: The file; its folder must be there.
        value: What `json` can write, and what `plain` makes of the rest.
        durable: Whether to wait for the disk, see `atomic.replace`.
    """
    replace_bytes(path, formatted(value), durable=durable)


def formatted(value: dict[str, Any], *, least: int = 0) -> bytes:
    """An object with its checksum, of so many bytes at least: its first line ends in spaces then."""
    body = _body(value).encode()
    comma = b",\n" if value else b"\n"
    ending = b'%s "%s": "%s"\n}\n'
    missing = least - len(body) - len(ending % (comma, KEY.encode(), _checksum(body)))
    if missing > 0:
        body = b"{" + b" " * missing + body[1:]
    return (body or b"{") + ending % (comma, KEY.encode(), _checksum(body))


def _body(value: dict[str, Any]) -> str:
    """An object without its last brace. A list of objects, as the runs of a manifest, has a line for each."""
    if not any(isinstance(item, list) and item and isinstance(item[0], dict) for item in value.values()):
        return json.dumps(value, indent=1, default=plain)[:-2]
    lines = []
    for key, item in value.items():
        if isinstance(item, list):
            text = "[\n  " + ",\n  ".join(json.dumps(one, default=plain) for one in item) + "\n ]"
        else:
            text = json.dumps(item, indent=1, default=plain).replace("\n", "\n ")
        lines.append(f" {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines)


def parse_object(content: bytes, check: Check) -> dict[str, Any]:
    """What `write_object` wrote.

    Args:
        content: Of the file.
        check: Whether an object has the shape that its readers rely on; asked where no checksum says so.

    Raises:
        ValueError: It is not what was written, no JSON object, or not of that shape.
    """
    ending = ENDING.search(content, max(0, len(content) - LENGTH))
    if ending is not None and (ending[1], ending[2]) != (KEY.encode(), _checksum(content[: ending.start()])):
        raise ValueError(f"is not what was written (remove its line `{KEY}` if it was you who changed it)")
    try:
        if len(content) > BYTES:
            raise ValueError
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("is not the JSON object it should be") from None
    if not isinstance(value, dict) or (ending is None and not (shallow(value) and check(value))):
        raise ValueError("is not the JSON object it should be")
    value.pop(KEY, None)
    return value


def _checksum(body: bytes) -> bytes:
    return b"%08x" % zlib.crc32(body)


def shallow(value: Any) -> bool:
    """Whether nothing is nested deeper than `DEPTH`."""
    level = [value]
    for _ in range(DEPTH):
        level = [
            item
            for node in level
            if isinstance(node, (dict, list))
            for item in (node.values() if isinstance(node, dict) else node)
        ]
        if not level:
            return True
    return False
