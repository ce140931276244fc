"""Which samples of any data set are used, and for what: keys of `dataset` that the runner reads itself.

dataset.subset=10000       a fixed part of the training split, each class in its proportion; null: all of it
dataset.test_subset=2000   likewise of the test split
dataset.validation=0.1     a tenth of the training split is set apart; 0 or null: none
dataset.split_seed=1       another tenth

No YAML file has them and no reader sees them. A run without them has none in its configuration, so that its identity
is that of before there were any; `validation` and `split_seed` go together.
"""

from __future__ import annotations

from typing import Any

from batchlab.runner.plan.schema import ConfigError, Node

SUBSETS = ("subset", "test_subset")
KEYS: dict[str, Any] = {"subset": None, "test_subset": None, "validation": 0.0, "split_seed": 0}
"""What is said with them where nothing is said."""


def offered(node: Node) -> Node:
    """A `dataset` choice with the keys in it, so that they can be overridden as any other."""
    return {**node, **{key: node.get(key, default) for key, default in KEYS.items()}}


def settled(node: Node) -> Node:
    """A `dataset` choice with those keys that mean something.

    Raises:
        ConfigError: a value that can mean no split, or no subset.
    """
    share: Any = node.get("validation")
    split_seed = node.get("split_seed")
    kept = {key: node[key] for key in SUBSETS if node.get(key) is not None}
    parted = share is not None and (share != 0 or share is False)
    if not kept and not parted:
        return reader(node)
    from batchlab.datasets import subset, validation

    split_seed = 0 if split_seed is None else split_seed
    try:
        for key, samples in kept.items():
            subset.check(samples, key)
        if parted:
            validation.check(share, split_seed)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return {**reader(node), **kept, **({"validation": share, "split_seed": split_seed} if parted else {})}


def reader(node: Node) -> Node:
    """A `dataset` choice as its reader is given it: without these keys."""
    return {key: value for key, value in node.items() if key not in KEYS}
