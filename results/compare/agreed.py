"""What runs that are read together must agree on: what kind a key's values are, and a column's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import pyarrow as pa

from batchlab.results.compare.reading import Read, kind_of
from batchlab.results.store.run import State


def told_apart(results: list[Read]) -> list[Read]:
    """Values of a key that is a truth in one run and a number in another as what they are: for Python `True == 1`.

    The truths become text, `true` and `false`; a key with values of one kind stays as it is.
    """
    kinds: dict[str, set[bool]] = {}
    for keys, types in {result.run.of_flat(_types) for result in results}:
        for key, kind in zip(keys, types, strict=True):
            if kind in (bool, int, float):
                kinds.setdefault(key, set()).add(kind is bool)
    both = [key.split(".") for key, found in kinds.items() if len(found) > 1]
    if not both:
        return results

    def spelt_out(config: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
        first, *rest = path
        value = config.get(first)
        if rest:
            return config | {first: spelt_out(value, rest)} if isinstance(value, dict) else config
        return config | {first: str(value).lower()} if isinstance(value, bool) else config

    return [replace(r, run=replace(r.run, config=reduce(spelt_out, both, r.run.config))) for r in results]


def _types(flat: dict[str, Any]) -> tuple[tuple[str, ...], tuple[type, ...]]:
    """The dotted keys of a configuration, and of which kinds their values are: a sweep's have few such pairs."""
    return tuple(flat), tuple(map(type, flat.values()))


def agreed(results: list[Read]) -> list[Read]:
    """The runs, those damaged whose column holds texts where that of most others holds numbers, or the other way."""
    shared = Counter(id(result.table) for result in results)
    votes: dict[str, Counter[str]] = {}
    for key, table in {id(result.table): result.table for result in results}.items():
        for column in table.schema:
            if (kind := kind_of(column.type)) != "nothing":
                votes.setdefault(column.name, Counter())[kind] += shared[key]
    split = {
        name: max(kinds, key=lambda kind: (kinds[kind], kind == "numbers"))
        for name, kinds in votes.items()
        if len(kinds) > 1
    }
    if not split:
        return results
    return [_odd(result, split) for result in results]


def _odd(result: Read, split: Mapping[str, str]) -> Read:
    for column in result.table.schema:
        kind, wanted = kind_of(column.type), split.get(column.name, "")
        if wanted and kind not in ("nothing", wanted):
            reason = f"{result.run.run_id}: its column {column.name} holds {kind} where other runs have {wanted}"
            said = f"{reason}: leave it out with --where, or delete its folder to train it again"
            return Read(replace(result.run, state=State.DAMAGED, reason=said), result.kept, pa.table({}))
    return result
