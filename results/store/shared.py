"""Equal parts of many runs' files as one object: 50,000 runs have few machines, versions and optimizers."""

from __future__ import annotations

from typing import Any

KNOWN = 4096
"""Parts that are remembered at a time."""


class Shared:
    """Takes objects apart, and gives the parts that it has had before: those must not be changed."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def __call__(self, whole: dict[str, Any]) -> dict[str, Any]:
        """An object that is equal to `whole` and of its own, with parts that others have too.

        >>> shared = Shared()
        >>> one, other = shared({"a": {"b": 1}, "c": 1}), shared({"a": {"b": 1}, "c": 2})
        >>> one["a"] is other["a"], other
        (True, {'a': {'b': 1}, 'c': 2})
        >>> shared({"a": {"b": True}}), shared({"a": {"b": 1.0}})  # equal for Python, and not the same
        ({'a': {'b': True}}, {'a': {'b': 1.0}})
        """
        if len(self._known) > KNOWN:
            self._known = {}
        known = self._known
        return {
            key: known.setdefault(repr(value), value) if isinstance(value, (dict, list)) else value
            for key, value in whole.items()
        }
