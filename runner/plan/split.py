"""The validation split of any data set: two keys of `dataset` that the runner reads itself.

dataset.validation=0.1     a tenth of the training split is set apart; 0 or null: none
dataset.split_seed=1       another tenth

No YAML file has them and no reader sees them. A run without the split has neither in its configuration, so that its
identity is that of before there were any; a run with it has both.
"""

from __future__ import annotations

from typing import Any

from batchlab.runner.plan.schema import ConfigError, Node

KEYS: dict[str, Any] = {"validation": 0.0, "split_seed": 0}
"""What the split is said with, and what each is where nothing is said."""


def offered(node: Node) -> Node:
    """A `dataset` choice with the two keys in it, so that they can be overridden as any other."""
    return {**node, **{key: node.get(key, default) for key, default in KEYS.items()}}


def settled(node: Node) -> Node:
    """A `dataset` choice with both keys where it has the split, and with neither where it has none.

    Raises:
        ConfigError: a value that can mean no split.
    """
    share, split_seed = node.get("validation"), node.get("split_seed")
    rest = reader(node)
    if share is None or (share == 0 and share is not False):
        return rest
    from batchlab.datasets.validation import check

    split_seed = 0 if split_seed is None else split_seed
    try:
        check(share, split_seed)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return {**rest, "validation": share, "split_seed": split_seed}


def reader(node: Node) -> Node:
    """A `dataset` choice as its reader is given it: without the two keys."""
    return {key: value for key, value in node.items() if key not in KEYS}
