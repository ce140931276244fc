"""The examples in the docstrings of the schedules and of NSHB and AdaGrad-Norm run."""

import doctest
from types import ModuleType

import pytest

from batchlab.optimizers import adagrad_norm, clock, lr, nshb
from batchlab.optimizers.batch import schedules


@pytest.mark.parametrize("module", [adagrad_norm, clock, lr, nshb, schedules], ids=lambda m: m.__name__)
def test_examples(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
