"""Which data sets there are, whether they are ready, and how a configuration becomes a `Dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from batchlab.datasets.dataset import Dataset


def load(config: Mapping[str, Any]) -> Dataset:
    """The data set that a `conf/dataset/*.yaml` describes: `_target_` called with the other keys but `name`.

    Raises:
        ValueError: the target cannot be imported, or does not return a `Dataset`; whatever the reader finds.
    """
    target = str(config["_target_"])
    module, _, function = target.rpartition(".")
    try:
        reader = getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"dataset._target_={target} cannot be imported: {error}") from error
    dataset = reader(**{str(key): value for key, value in config.items() if key not in ("_target_", "name")})
    if not isinstance(dataset, Dataset):
        raise ValueError(f"dataset._target_={target} returned {type(dataset).__name__}, not a Dataset")
    return dataset
