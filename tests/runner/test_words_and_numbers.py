"""A key whose default is a word takes a number, or a list, where its owner does."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from batchlab.runner.launch.executors.base import executor_for
from batchlab.runner.plan.build import locate
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.config import compose

CONF = Path(__file__).resolve().parents[2] / "conf"
AXES = ("optimizer", "lr_schedule", "batch_schedule", "model", "dataset", "measure", "callback", "executor")


def parts(hint: Any) -> set[Any]:
    """The types that an annotation is made of."""
    inner = get_args(hint)
    return {hint}.union(*map(parts, inner)) if inner else {hint}


def words() -> Iterator[tuple[str, str, str, set[Any]]]:
    """Axis, choice and key of each word in a file of conf/, and the types of its owner's argument."""
    for axis in AXES:
        for path in sorted((CONF / axis).glob("*.yaml")):
            tree = yaml.safe_load(path.read_text())
            try:
                target = locate(tree | {"name": path.stem}, axis)
                owner: Any = target.__init__ if inspect.isclass(target) else target
                hints = get_type_hints(owner)
            except (ConfigError, NameError):  # an extra that is not installed, or types that are imported only to check
                continue
            for key, value in tree.items():
                if isinstance(value, str) and value != "???" and key not in ("name", "_target_"):
                    yield axis, path.stem, key, parts(hints.get(key, str))


FOUND = [(axis, name, key) for axis, name, key, types in words() if types & {int, float, list, tuple}]


def test_there_are_some_and_most_are_words_alone() -> None:
    assert ("executor", "local", "devices") in FOUND
    assert len(FOUND) < len([*words()])


@pytest.mark.parametrize(("axis", "name", "key"), FOUND)
def test_a_number_is_taken_in_a_words_place(axis: str, name: str, key: str) -> None:
    (planned,) = compose([f"{axis}={name}", f"{axis}.{key}=1"])
    assert planned.tree[axis][key] == 1
    assert type(planned.tree[axis][key]) is int


def test_devices_are_a_number() -> None:
    assert executor_for([compose(["executor.devices=1", "train.device=cpu"])[0].tree]).places == 1
    with pytest.raises(ConfigError, match=r"executor\.devices=\[0,1\]: executor\.devices must be a word"):
        compose(["executor.devices=[0,1]"])
