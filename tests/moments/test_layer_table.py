"""The per-sample statistics of every layer and use in the table: exact, or refused with a way out."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from torch import nn

from batchlab.tests.moments.layer_table import CASES, LAYERS
from batchlab.tests.moments.table_checks import float64, verdict
from batchlab.tests.moments.table_habits import HABITS
from batchlab.tests.moments.table_models import (
    Case,
)
from batchlab.tests.moments.table_sequences import SEQUENCES
from batchlab.tests.moments.table_types import TYPES
from batchlab.tests.moments.table_uses import USES


def cases(test: str) -> list[Any]:
    return [
        pytest.param(
            case,
            id=name,
            marks=[pytest.mark.xfail(reason=case.lacks, strict=True)] if case.lacks and test in case.fails else [],
        )
        for name, case in CASES.items()
    ]


def expect(case: Case, found: str) -> None:
    if case.way == "refused":
        assert found.startswith("refused"), found
    else:
        assert found == "exact"


@pytest.mark.parametrize("case", cases("whole"))
def test_exact_or_refused(case: Case) -> None:
    expect(case, verdict(case, "whole"))


@pytest.mark.parametrize("case", cases("parts"))
def test_exact_in_parts_and_by_coordinate(case: Case) -> None:
    expect(case, verdict(case, "parts"))


@pytest.mark.parametrize("case", cases("left"))
def test_a_model_is_left_as_one_ordinary_pass_leaves_it(case: Case) -> None:
    assert verdict(case, "left") == "exact"


def parameterless(layer: type[nn.Module]) -> bool:
    for count in range(5):
        try:
            module = layer(*[2] * count)
        except (TypeError, ValueError, RuntimeError):
            continue
        return not list(module.parameters())
    return False


# No layers: bases, containers and what is made otherwise. Or without parameters, with arguments that say too little.
NO_LAYERS = {"Module", "Container", "RNNBase", "RNNCellBase", "DataParallel", "FractionalMaxPool3d"}


def test_no_case_hides_another() -> None:
    assert len(CASES) == sum(len(table) for table in (LAYERS, SEQUENCES, USES, HABITS, TYPES))


def test_every_layer_of_torch_with_parameters_is_in_the_table() -> None:
    covered: set[type] = set()
    with float64():
        for case in CASES.values():
            covered |= {type(module) for module in case.model().modules()}
    layers = {name: cls for name, cls in vars(nn).items() if inspect.isclass(cls) and issubclass(cls, nn.Module)}
    with float64():  # quiet about what is old
        rest = [n for n, cls in layers.items() if cls not in covered and n not in NO_LAYERS and not parameterless(cls)]
    assert not rest, f"torch.nn has layers that the table lacks: {', '.join(rest)}"
