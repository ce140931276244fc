"""What a YAML may name that only the data set tells.

A model's: `${shape}` of one input, `${shape[0]}`, `${classes}`, `${vocabulary}`; a learning-rate schedule's: `${steps}`
and `${epochs}` of the whole run. They stay in a run's configuration as they are written, and so in its identity, to
which the data set already belongs: composing reads no data. Whoever builds the model, or the schedule, puts the numbers
in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.schema import Node

NAMES = {"model": ("classes", "shape", "vocabulary"), "lr_schedule": ("steps", "epochs")}
"""What each block may name."""
ALL = "classes|shape|vocabulary|steps|epochs"
NAMED = re.compile(rf"\$\{{\s*({ALL})\s*(?:(?:\[\s*|\.)(-?\d+)\s*\]?)?\s*\}}")
"""The whole of a value: a number or a list, never a part of a text."""
ABOUT = re.compile(rf"(?<!\\)\$\{{\s*({ALL})\s*[\[.}}]")
HIDDEN = "<of the data set> "
"""Before a name while OmegaConf, to which it would lead nowhere, resolves the others."""


def hidden(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with these names put so that nobody resolves them yet; itself where none of its blocks has any.

    Args:
        tree: composed, interpolations not yet resolved.

    Raises:
        ConfigError: a name that is only a part of a value.
    """
    for axis, own in NAMES.items():
        if any(match[1] in own for text in _texts(tree[axis]) for match in ABOUT.finditer(text)):
            tree = tree | {axis: _hidden(tree, axis, own)}
    return tree


def _hidden(tree: dict[str, Any], axis: str, own: Sequence[str]) -> Any:
    if not {*own}.isdisjoint(tree):  # a key of the user's own comes first, as it always did
        return tree[axis]

    def hide(leaf: Any) -> Any:
        if not isinstance(leaf, str) or not any(match[1] in own for match in ABOUT.finditer(leaf)):
            return leaf
        found = NAMED.fullmatch(leaf)
        if found is None or (found[2] and found[1] not in ("shape", "vocabulary")):
            offered = (
                "${classes}, ${vocabulary}, ${shape} (a list) or ${shape[0]}"
                if axis == "model"
                else "${steps} or ${epochs}"
            )
            raise ConfigError(
                f"{axis}={tree[axis].get('name')}: {leaf} is not to be had: of the data set a value can be {offered}, "
                "and nothing else beside it"
            )
        return f"{HIDDEN}{found[1]}" + (f"[{int(found[2])}]" if found[2] else "")

    return _mapped(tree[axis], hide)


def named(tree: dict[str, Any]) -> dict[str, Any]:
    """The tree with the names as they are written.

    Args:
        tree: of `hidden`, all else resolved.

    Raises:
        ConfigError: a key of another block leads to such a name.
    """
    blocks = [axis for axis in NAMES if any(HIDDEN in text for text in _texts(tree[axis]))]
    if not blocks:
        return tree
    for key, block in tree.items():
        for text in _texts(block):
            _, _, name = text.partition(HIDDEN)
            own = [axis for axis, names in NAMES.items() if name.partition("[")[0] in names]
            if HIDDEN in text and not (key in own and text.startswith(HIDDEN)):
                whose = " or ".join("a model's" if axis == "model" else "a learning-rate schedule's" for axis in own)
                raise ConfigError(f"a value in {key} leads to ${{{name}}}, which {whose} argument can be, and alone")
    return tree | {axis: _mapped(tree[axis], _written) for axis in blocks}


def _written(leaf: Any) -> Any:
    return f"${{{leaf[len(HIDDEN) :]}}}" if isinstance(leaf, str) and leaf.startswith(HIDDEN) else leaf


def filled(node: Node, shape: Sequence[int], classes: int, vocabulary: int | Sequence[int] | None = None) -> Node:
    """A `model` choice with the data set's numbers in place of their names.

    Args:
        node: the choice.
        shape: of one input.
        classes: outputs.
        vocabulary: how many ids the inputs are of, one number or one for each column; None where they are no ids.

    Raises:
        ConfigError: a dimension or a column that the inputs do not have.
    """
    listed = {"shape": shape, "vocabulary": () if vocabulary is None else vocabulary}

    def fill(leaf: Any) -> Any:
        found = NAMED.fullmatch(leaf) if isinstance(leaf, str) else None
        if found is None or found[1] not in NAMES["model"]:
            return leaf
        if found[1] == "classes":
            return int(classes)
        sizes = listed[found[1]]
        if isinstance(sizes, int) and not found[2]:
            return sizes
        sizes = [] if isinstance(sizes, int) else [int(size) for size in sizes]
        if sizes and not found[2]:
            return sizes
        if not found[2] or not -len(sizes) <= int(found[2]) < len(sizes):
            of_what = f"inputs of shape {tuple(shape)}"
            if found[1] == "vocabulary":
                of_what = "inputs that are no ids" if vocabulary is None else f"a vocabulary of {vocabulary} ids"
            raise ConfigError(f"model={node.get('name')}: {leaf} is not to be had of {of_what}")
        return sizes[int(found[2])]

    filled: Node = _mapped(node, fill)
    return filled


def counted(node: Node, *, steps: Callable[[], float], epochs: float) -> Node:
    """An `lr_schedule` choice with the run's numbers in place of their names.

    Args:
        node: the choice.
        steps: gives those of the run; asked only where they are named.
        epochs: of the run; fractions count as one.
    """

    def fill(leaf: Any) -> Any:
        found = NAMED.fullmatch(leaf) if isinstance(leaf, str) else None
        if found is None or found[1] not in NAMES["lr_schedule"]:
            return leaf
        return math.ceil(round(steps() if found[1] == "steps" else epochs, 9))

    counted: Node = _mapped(node, fill)
    return counted


def names(node: Node, name: str) -> bool:
    """Whether a choice names the data set's `shape`, `classes` or `vocabulary`, or the run's `steps` or `epochs`."""
    found = [NAMED.fullmatch(text) for text in _texts(node)]
    return any(match is not None and match[1] == name for match in found)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value with each leaf changed."""
    if isinstance(value, dict):
        return {key: _mapped(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    return change(value)
