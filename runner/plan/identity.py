"""A run's identity: a pure function of its resolved configuration, in this one place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from batchlab.results.axes import NEUTRAL, RECORDING
from batchlab.results.legacy import identified
from batchlab.runner.plan.blocks import OfBlocks


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


class Identities:
    """Identities of many runs, in which what runs share is written out once."""

    def __init__(self) -> None:
        self._block = OfBlocks(lambda key, block: _text({key: block}))
        self._plain: dict[tuple[str, type, Any], dict[str, str]] = {}
        self._recorded = OfBlocks(lambda log, measure: _text({"log": log, "measure": measure}))

    def of(self, tree: Mapping[str, Any]) -> str:
        """Twelve hexadecimal digits that name the run and its folder.

        Args:
            tree: its whole configuration.
        """
        together = RECORDING if all(isinstance(tree.get(key), Mapping) for key in RECORDING) else ()
        parts: dict[str, str] = {}
        for key, block in tree.items():
            if key not in together:
                parts |= self._block(key, block) if isinstance(block, (dict, list)) else self._alone(key, block)
        if together:
            parts |= self._recorded(*(tree[key] for key in together))
        text = ",".join(parts[key] for key in sorted(parts))
        return hashlib.sha256(f"{{{text}}}".encode()).hexdigest()[:12]

    def _alone(self, key: str, value: Any) -> dict[str, str]:
        """What stands in an identity for a value that has no parts, as a seed: many runs have the same."""
        place = key, type(value), value
        found = self._plain.get(place)
        if found is None:
            found = self._plain[place] = _text({key: value})
        return found


def run_id(tree: Mapping[str, Any]) -> str:
    """The identity of one run."""
    return Identities().of(tree)


def _text(part: Mapping[str, Any]) -> dict[str, str]:
    """The keys of a part of a tree with what stands there in its identity, as JSON."""
    found = canonical(part)
    return {key: json.dumps({key: value}, sort_keys=True, separators=(",", ":"))[1:-1] for key, value in found.items()}
