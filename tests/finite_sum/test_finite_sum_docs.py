"""The page for users, the docstrings' examples and the configuration do what they say."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
import yaml

import batchlab.optimizers.finite_sum as package
from batchlab.optimizers.finite_sum import ElasticNet, LinearProblem, Solver, SolverOptions
from batchlab.optimizers.needs import needs_of

ROOT = Path(__file__).parents[2]
NAMES = ["acc_prox_svrg", "dasvrda", "fista", "katyusha", "saga", "svrg"]


@pytest.mark.slow
def test_blocks_of_the_page_run():
    page = (ROOT / "docs" / "finite-sum.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    namespace: dict[str, object] = {}
    for code in blocks:
        exec(code, namespace)


def test_examples_of_the_docstrings_run():
    modules = [
        package,
        *(
            importlib.import_module(m.name)
            for m in pkgutil.iter_modules(package.__path__, "batchlab.optimizers.finite_sum.")
        ),
    ]
    results = [doctest.testmod(module) for module in modules]
    assert sum(r.failed for r in results) == 0
    assert sum(r.attempted for r in results) > 20


@pytest.mark.parametrize("name", NAMES)
def test_configuration(name):
    settings = yaml.safe_load((ROOT / "conf" / "optimizer" / f"{name}.yaml").read_text())
    assert settings.pop("name") == name
    module, _, attribute = settings.pop("_target_").rpartition(".")
    cls = getattr(importlib.import_module(module), attribute)
    assert issubclass(cls, Solver)
    taken = set(inspect.signature(cls).parameters)
    if "options" in taken:
        taken |= set(SolverOptions.__annotations__)
    left_to_the_runner = {"problem", "options", "batch_size", "seed", "x0"}
    assert set(settings) == taken - left_to_the_runner | {"l1", "l2", "zero_rows"}
    A, y = [[1.0, 0.5], [0.2, -1.0], [-1.0, 0.1], [0.3, 1.0]], [1, 0, 0, 1]
    net = ElasticNet(settings.pop("l1"), settings.pop("l2"))
    problem = LinearProblem(A, y, "logistic", net, zero_rows=settings.pop("zero_rows"))
    draws = {"batch_size": 2, "seed": 0} if needs_of(cls).batches else {}
    result = cls(problem, **settings, **draws).solve(passes=200)
    assert result.value == pytest.approx(problem.value(result.x))
    assert result.value < result.records[0].value
