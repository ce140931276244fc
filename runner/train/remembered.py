"""What was found out about a model on a device is kept beside the data, so that it is found out once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchlab.results.store.objects import Check, parse_object, write_object
from batchlab.results.store.regular import content_of
from batchlab.results.store.shapes import has


def remembered(
    folder: Path, key: Mapping[str, Any], shapes: Mapping[str, Check], find: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What was found for a key, now or before.

    Args:
        folder: of such findings, in the data root; one that cannot be written means that it is found again.
        key: all that the answer depends on.
        shapes: of the finding's entries.
        find: finds out.
    """
    name = hashlib.sha256(json.dumps(key, sort_keys=True, default=str).encode()).hexdigest()[:16]
    path = folder / f"{name}.json"
    with suppress(OSError, ValueError):
        return parse_object(content_of(path), has(shapes, *shapes))
    found = find()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_object(path, found | {"found_for": json.loads(json.dumps(key, default=str))}, durable=False)
    return found
