"""What a measure returns or raises: rows of numbers under names that metrics can read, or an error that names it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from runs import context, frozen, one, rows

from batchlab.results.compare.metrics import Metric
from batchlab.results.store.run import Run
from batchlab.runner.measures import TrainScores
from batchlab.runner.plan.columns import check_columns
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.plan.validate import validate
from batchlab.runner.train import loop
from batchlab.runner.train.memory import OutOfMemory

MINE = '''
import numpy as np
import torch
from batchlab.runner.measures import Measure


class Returns(Measure):
    """What the code says, or raises."""
    def __init__(self, code):
        self.code = code
    def measure(self, probe):
        return eval(self.code, globals() | {"probe": probe})


class ReturnsLayers(Returns):
    stream = "layers"


def raises(error):
    raise error
'''


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder has a module of the user's own."""
    (tmp_path / "returning_measures.py").write_text(MINE)
    (tmp_path / "conf/measure").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def returning(code: str, choice: str = "returns") -> tuple[Run, RunConfig]:
    """A run with a measure that evaluates this code."""
    kind = {"returns": "Returns", "returns_layers": "ReturnsLayers"}[choice]
    target = f"_target_: returning_measures.{kind}"
    Path(f"conf/measure/{choice}.yaml").write_text(f"name: {choice}\n{target}\ncode: '{code}'\n")
    return frozen(Path("runs"), f"+measure={choice}")


# -- names -------------------------------------------------------------------------------------------------


def read_back(column: str) -> bool:
    """Whether a metric can ask for a column by its name."""
    try:
        return Metric.parse(column).name == column
    except ValueError:
        return False


@pytest.mark.parametrize("column", ["optimizer.lr", "a b", "x,y", "min:loss", "2nd", "a\n", ""])
def test_columns_that_no_metric_can_name(column: str) -> None:
    assert not read_back(column)
    message = re.escape(f"measure=mine: TrainScores gives the column {column!r}, which no metric can name")
    with pytest.raises(ConfigError, match=f"^{message}"):
        check_columns("metrics", "measure=mine", TrainScores(), ["good", column])


@pytest.mark.parametrize("column", ["_", "w1", "größe", "Loss_2"])
def test_columns_that_a_metric_can_name(column: str) -> None:
    assert read_back(column)
    check_columns("metrics", "measure=mine", TrainScores(), [column])


@pytest.mark.parametrize(
    ("code", "choice"), [('{"optimizer.lr": 3.0}', "returns"), ('[{"optimizer.lr": 3.0}]', "returns_layers")]
)
def test_a_run_stops_at_a_column_that_no_metric_can_name(code: str, choice: str) -> None:
    run, config = returning(code, choice)
    with pytest.raises(ConfigError, match=rf"measure={choice}: Returns\w* gives the column 'optimizer\.lr', which no"):
        loop.train(config, context(run))


# -- what it returns, or raises ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("None", r"gives None: return a row, each a mapping"),
        ("[0.5]", r"gives \[0\.5\]: return a row"),
        ('{"bad": "text"}', r"gives 'text' in the column 'bad': give one number, or None"),
        ('{"bad": torch.ones(2)}', r"gives tensor\(\[1\., 1\.\]\) in the column 'bad': give one number"),
        ('{"bad": np.ones(2)}', r"gives array\(\[1\., 1\.\]\) in the column 'bad': give one number"),
        ('{"bad": 1j}', r"gives 1j in the column 'bad': give one number"),
        ('{"bad": [1.0]}', r"gives \[1\.0\] in the column 'bad': give one number"),
    ],
)
def test_what_is_no_row_of_numbers_is_refused(code: str, message: str) -> None:
    run, config = returning(code)
    with pytest.raises(ConfigError, match=f"^measure=returns: Returns {message}"):
        loop.train(config, context(run))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("None", r"gives None: return rows, each a mapping"),
        ("3.5", r"gives 3\.5: return rows"),
        ('{"layer": "a"}', r"gives 'layer': return rows"),
        ('[{"layer": "a", "norm": torch.ones(2)}]', r"gives tensor\(\[1\., 1\.\]\) in the column 'norm': give one num"),
    ],
)
def test_what_are_no_rows_of_layers_is_refused(code: str, message: str) -> None:
    run, config = returning(code, "returns_layers")
    with pytest.raises(ConfigError, match=f"^measure=returns_layers: ReturnsLayers {message}"):
        loop.train(config, context(run))


def test_scalars_of_torch_and_numpy_are_numbers() -> None:
    run, config = returning('{"a": torch.tensor(2), "b": np.float32(0.5), "c": np.bool_(True), "d": None, "e": 3}')
    assert loop.train(config, context(run)).state == "done"
    assert [rows(run)[-1][column] for column in "abcde"] == [2, 0.5, True, None, 3]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ('KeyError("oops")', "KeyError: 'oops'"),
        ("AssertionError()", "AssertionError"),
        ('ValueError("a")', "ValueError: a"),
    ],
)
def test_a_measure_that_fails_is_named(error: str, said: str) -> None:
    run, config = returning(f"raises({error})")
    with pytest.raises(ConfigError) as caught:
        loop.train(config, context(run))
    assert str(caught.value) == f"measure=returns: {said}"
    assert type(caught.value.__cause__).__name__ == said.split(":")[0]


@pytest.mark.parametrize("error", ["torch.OutOfMemoryError", "MemoryError", "KeyboardInterrupt"])
def test_what_is_no_fault_of_a_measure_stays_what_it_is(error: str) -> None:
    run, config = returning(f"raises({error}())")
    with pytest.raises((OutOfMemory, KeyboardInterrupt)) as caught:
        loop.train(config, context(run))
    assert type(caught.value.__cause__ or caught.value).__name__ == error.rpartition(".")[2]


# -- whose error it is -------------------------------------------------------------------------------------

FEW = """
import torch
from torch import nn
from torch.nn.functional import cross_entropy


class Few(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.last = nn.Linear(64, classes)
    def forward(self, x):
        if len(x) > 200:
            raise RuntimeError("too many")
        return self.last(x.flatten(1))


def few(outputs, targets):
    if len(outputs) > 200:
        raise ValueError("only few")
    return cross_entropy(outputs, targets, reduction="none")


class Object:
    def __call__(self, outputs, targets):
        return few(outputs, targets)
"""


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (("model=few",), "model=few, at an evaluation: RuntimeError: too many"),
        (("train.loss=few_own.few",), "train.loss=few_own.few, at an evaluation: ValueError: only few"),
        (("train.loss=few_own.Object",), "train.loss=few_own.Object, at an evaluation: ValueError: only few"),
        (("train.loss=few_own.few", "measure=returns"), "measure=returns: ValueError: only few"),
    ],
)
def test_an_error_of_model_or_loss_is_not_the_measures(overrides: tuple[str, ...], says: str) -> None:
    """But what a measure calls itself is."""
    Path("few_own.py").write_text(FEW)
    Path("conf/model").mkdir()
    Path("conf/model/few.yaml").write_text("name: few\n_target_: few_own.Few\n")
    returning("probe.criterion(torch.zeros(300, 10), torch.zeros(300).long())")
    run, config = frozen(Path("runs/own"), *overrides)
    with pytest.raises(ConfigError) as caught:
        loop.train(config, context(run))
    assert str(caught.value) == says


DECLARES = """
from batchlab.runner.measures import Measure, Quantity

class {name}(Measure):
    quantities = {{{column!r}: Quantity("down")}}
    def measure(self, probe):
        return {{{column!r}: 0.0}}
"""


@pytest.mark.parametrize(
    ("name", "column", "says"),
    [
        ("Clash", "test_loss", "gives the column test_loss, which measure=scores gives already: rename it"),
        ("Every", "train_loss", "gives the column train_loss, which every row has already: rename it"),
        ("Unnamed", "a-b", "gives the column 'a-b', which no metric can name"),
        ("Free", "validation_loss", ""),
        ("Other", "test_gain", ""),
    ],
)
def test_what_is_declared_is_seen_before_anything_starts(name: str, column: str, says: str) -> None:
    """digits has no validation split, so that nobody else gives its loss."""
    Path(f"declares_{name}.py").write_text(DECLARES.format(name=name, column=column))
    Path("conf/measure/declares.yaml").write_text(f"name: declares\n_target_: declares_{name}.{name}\n")
    for measures in ("+measure=declares", "measure=[declares,scores]"):
        if says:
            with pytest.raises(ConfigError, match=f"^measure=declares: {name} {says}"):
                validate([one(measures)])
        else:
            validate([one(measures)])
