"""A run's identity: a pure function of its resolved configuration, in this one place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from batchlab.results.axes import NEUTRAL
from batchlab.results.legacy import identified


def canonical(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree without what is neutral, with whole floats as integers, so that `lr=1` and `lr=1.0` are one run."""

    def clean(node: Any, path: str) -> Any:
        if isinstance(node, Mapping):
            items = ((k, f"{path}.{k}" if path else str(k)) for k in node)
            return {str(k): clean(node[k], p) for k, p in items if p not in NEUTRAL}
        if isinstance(node, (list, tuple)):
            return [clean(item, path) for item in node]
        if isinstance(node, float) and node.is_integer():
            return int(node)
        return node

    cleaned = clean(identified(tree), "")
    assert isinstance(cleaned, dict)
    return cleaned


def run_id(tree: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits that name the run and its folder."""
    text = json.dumps(canonical(tree), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
