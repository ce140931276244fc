"""From a `dataset` choice to a `Dataset`, or to an error that names what to change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchlab.datasets import Dataset
from batchlab.runner.plan.build import load_dataset
from batchlab.runner.plan.schema import ConfigError

DIGITS = {"name": "digits", "_target_": "batchlab.datasets.images.digits"}


def test_a_choice_becomes_a_data_set(tmp_path: Path) -> None:
    dataset = load_dataset(DIGITS | {"root": str(tmp_path), "pad": 2})
    assert isinstance(dataset, Dataset)
    assert (dataset.name, dataset.preprocessing.pad, dataset.outputs) == ("digits", 2, 10)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"name": "x", "_target_": "batchlab.datasets.images.digit"}, "dataset=x: cannot import .*images.digit "),
        ({"name": "x", "_target_": "nowhere.at.all"}, "dataset=x: cannot import nowhere.at.all"),
        ({"name": "x", "_target_": "digits"}, "dataset=x: `_target_` must be a dotted path"),
        ({"name": "x", "_target_": "builtins.dict"}, "dataset=x: builtins.dict returned dict, not a Dataset"),
        (DIGITS | {"padd": 3}, "dataset=digits: .*padd"),
        (DIGITS | {"pad": "x"}, "dataset=digits: "),
        (DIGITS | {"std": [1.0]}, "dataset=digits: dataset.mean and dataset.std go together"),
    ],
    ids=str,
)
def test_bad_choices(node: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_dataset(node | {"root": str(tmp_path)})
