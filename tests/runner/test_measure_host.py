"""A user's measure cannot hurt the run that it looks at, nor the rows of others; what it says of itself is checked."""

from __future__ import annotations

import os
import signal
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import Fleet, Watcher, context, frozen, one, rows, trained
from torch import nn

from batchlab.results.store.record import read_stream
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner.launch.executors.local import LocalExecutor
from batchlab.runner.measures import Measure, Probe, Quantity, check_declarations, untouched
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate
from batchlab.runner.train import loop
from batchlab.runner.train.checkpoint import plain_state
from batchlab.runner.train.session import Session

MINE = '''
from math import inf, prod

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from batchlab.optimizers.needs import Moments
from batchlab.runner.measures import Measure


class Messy(Measure):
    """Leaves traces wherever it can, but for the parameters."""
    def measure(self, probe):
        probe.model.train()
        for x, y in probe.batches("train"):
            loss = probe.criterion(probe.model(x), y).mean()
            loss.backward()
        torch.rand(5)
        probe.model.eval()
        return {"messy": loss.item()}


class MessySteps(Messy):
    when, stream = "step", "layers"
    def measure(self, probe):
        yield super().measure(probe)


class Gives(Measure):
    def __init__(self, **columns):
        self.columns = columns
    def measure(self, probe):
        return self.columns


class GivesLayers(Gives):
    stream = "layers"
    def measure(self, probe):
        return [self.columns]


class Sum(Measure):
    """Counts in another stride on every rank."""
    seen = 0.0
    def measure(self, probe):
        self.seen += 1 + probe.rank * float(probe.model.training)
        total = torch.tensor(self.seen)
        if dist.is_initialized():
            dist.all_reduce(total)
        return {"sum": float(total)}
    def state_dict(self):
        return {"seen": self.seen}
    def load_state_dict(self, state):
        self.seen = state["seen"]


class NumPys(Sum):
    def measure(self, probe):
        self.seen = np.float64(self.seen + 1)
        return {}


class Forgets(Sum):
    def load_state_dict(self, state):
        raise KeyError("strides")


class Dropped(nn.Sequential):
    def __init__(self, *, shape, classes):
        n = prod(shape)
        super().__init__(nn.Flatten(), nn.Linear(n, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, classes))


class Asked(torch.optim.Optimizer):
    """What it needs depends on its options."""
    def __init__(self, params, lr=0.1, least=3):
        super().__init__(params, {"lr": lr})
        self.least = least
    @property
    def needs(self):
        return Moments(groups=self.least)
    @torch.no_grad()
    def step(self, moments):
        assert moments.groups >= 2
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad
'''
YAML = {
    "measure": {
        "messy": "foreign_measures.Messy",
        "messy_steps": "foreign_measures.MessySteps",
        "gives": "foreign_measures.Gives",
        "layers": "foreign_measures.GivesLayers",
        "sum": "foreign_measures.Sum",
        "numpys": "foreign_measures.NumPys",
        "forgets": "foreign_measures.Forgets",
        "none": "torch.nn.Identity",
    },
    "model": {"dropped": "foreign_measures.Dropped"},
    "optimizer": {"asked": "foreign_measures.Asked"},
}


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder has a conf folder and a module of the user's own."""
    (tmp_path / "foreign_measures.py").write_text(MINE)
    for axis, choices in YAML.items():
        folder = tmp_path / "conf" / axis
        folder.mkdir(parents=True)
        for name, target in choices.items():
            lr = "lr: 0.1\n" if axis == "optimizer" else ""
            (folder / f"{name}.yaml").write_text(f"name: {name}\n_target_: {target}\n{lr}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def gives(columns: str, choice: str = "gives") -> str:
    """The YAML of a measure that gives these columns; the override that adds it."""
    with Path(f"conf/measure/{choice}.yaml").open("a") as file:
        file.write(f"{columns}\n")
    return f"+measure={choice}"


# -- the outcome and the columns ---------------------------------------------------------------------------


def test_what_a_user_calls_a_loss_ends_no_run() -> None:
    run, config = frozen(Path("runs"), gives("margin_loss: .inf"))
    assert loop.train(config, context(run)).state == "done"
    assert rows(run)[-1]["margin_loss"] == float("inf")


def test_the_losses_that_training_is_judged_by() -> None:
    run, config = frozen(Path("runs"), "measure=gives", gives("validation_loss: .nan"))
    outcome = loop.train(config, context(run))
    assert (outcome.state, outcome.reason) == ("diverged", "validation_loss not finite at the end")


def test_a_loss_that_was_not_measured_is_none_that_diverged() -> None:
    gives("validation_loss: null")
    run, config = frozen(Path("runs"), "measure=gives")
    assert loop.train(config, context(run)).state == "done"


@pytest.mark.parametrize(
    "column",
    [
        *("samples", "steps", "epoch", "gradients", "lr", "batch_size", "train_loss", "train_seconds", "eval_seconds"),
        *("optimizer", "lr_schedule", "batch_schedule", "model", "dataset", "seed", "run_id"),
    ],
)
def test_columns_of_every_row_are_nobodys(column: str) -> None:
    run, config = frozen(Path("runs"), gives(f"{column}: 1.0"))
    with pytest.raises(ConfigError, match=f"measure=gives: Gives gives the column {column}, which every row has"):
        loop.train(config, context(run))


def test_columns_of_another_measure_are_its_own() -> None:
    run, config = frozen(Path("runs"), gives("test_loss: 1.0"))
    message = r"measure=\w+: \w+ gives the column test_loss, which measure=\w+ gives already: rename it"
    with pytest.raises(ConfigError, match=message):
        loop.train(config, context(run))


@pytest.mark.parametrize("column", ["samples", "run_id"])
def test_columns_of_every_row_of_layers_are_nobodys(column: str) -> None:
    run, config = frozen(Path("runs"), gives(f"{column}: 1.0", "layers"))
    with pytest.raises(ConfigError, match=f"measure=layers: GivesLayers gives the column {column}, which every row"):
        loop.train(config, context(run))


# -- traces ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [("optimizer=shb",), ("optimizer=vr_adam", "train.groups=4")], ids=["shb", "vr"])
def test_a_measure_that_leaves_traces_changes_nothing(
    optimizer: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions: list[Session] = []
    build = Session.build

    def keep(*args: Any) -> Session:
        sessions.append(build(*args))
        return sessions[-1]

    monkeypatch.setattr(Session, "build", keep)
    setup = ("model=dropped", *optimizer, "train.epochs=2", "log.evaluate_every=0.4", "log.steps=true")
    ends, seen = [], []
    for measures in ("measure=[scores]", "measure=[messy,scores,messy_steps]"):
        run, config = frozen(Path("runs"), *setup, measures)
        assert loop.train(config, context(run)).state == "done"
        seen.append([{k: v for k, v in row.items() if k not in ("messy", "run_id")} for row in rows(run)])
        ends.append(sessions[-1].model.state_dict())
    assert seen[0] == seen[1]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    assert sessions[-1].model.training


def test_what_is_put_back_is_put_back_after_an_error_too() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout())
    model[1].eval()
    model(torch.rand(4, 3)).sum().backward()
    gradients = [p.grad for p in model.parameters()]
    values = [None if g is None else g.clone() for g in gradients]
    buffers, kept, random = list(model.buffers()), [b.clone() for b in model.buffers()], torch.get_rng_state()

    def mess() -> None:
        with untouched(model):
            assert all(p.grad is None for p in model.parameters())
            model.train()
            model(torch.rand(4, 3)).sum().backward()
            model.eval()
            model[1].running_mean = torch.ones(3)
            model[0].calls = 1
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        mess()
    assert [module.training for module in model] == [True, False, True]
    assert not hasattr(model[0], "calls")
    assert all(b is before for b, before in zip(model.buffers(), buffers, strict=True))
    assert all(torch.equal(b, before) for b, before in zip(buffers, kept, strict=True))
    assert all(p.grad is g for p, g in zip(model.parameters(), gradients, strict=True))
    assert all(g is None or v is None or torch.equal(g, v) for g, v in zip(gradients, values, strict=True))
    assert torch.equal(torch.get_rng_state(), random)


# -- the state ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_ranks_state_comes_back_to_it() -> None:
    measures = "measure=[scores,sum,full_gradient_norm]"
    planned = one(measures, "nproc=2", "train.epochs=12", "batch_schedule.size=32", "train.checkpoint_seconds=0")
    fleet = Fleet(LocalExecutor(devices=2))  # started here, where the module is
    run = RunStore(Path("parts")).run(planned.run_id)
    told: list[int] = []

    def interfere() -> None:
        if len(read_stream(run, "metrics")) >= 2 and run.read_state().state is State.RUNNING and not told:
            told.append(run.read_state().info["pid"])
            os.kill(told[0], signal.SIGTERM)

    try:
        whole = fleet.train(Path("whole"), planned)
        _, watcher = fleet.sweep(Path("parts"), [planned], slots=4, watcher=Watcher(on_tick=interfere))
        assert watcher.states[run.run_id].state is State.INTERRUPTED
        saved = torch.load(run.checkpoint, weights_only=True)
        mine, theirs = (rank["measures"]["sum"]["seen"] for rank in saved["ranks"])
        assert theirs == 2 * mine > 0
        fleet.train(Path("parts"), planned)
    finally:
        fleet.executor.close()
    assert rows(run) == rows(whole)


def test_a_checkpoint_with_one_state_for_all_ranks_goes_on() -> None:
    setup = ("+measure=sum", "train.epochs=2", "log.evaluate_every=0.4")
    whole, config = frozen(Path("whole"), *setup)
    assert trained(whole, config) == "done"
    run, config = frozen(Path("parts"), *setup)
    assert trained(run, config, stop_after=12) == "interrupted"
    state = torch.load(run.checkpoint, weights_only=True)
    state["measures"] = state["ranks"][0].pop("measures")
    torch.save(state, run.checkpoint)
    assert trained(run, config) == "done"
    assert rows(run) == rows(whole)


def test_a_state_that_would_not_come_back_is_refused_while_nothing_is_lost() -> None:
    run, config = frozen(Path("runs"), "+measure=numpys")
    message = r"measure=numpys: state_dict\(\) of NumPys\['seen'\] is a numpy\.float64, which a checkpoint cannot hold"
    with pytest.raises(ConfigError, match=message):
        trained(run, config, stop_after=1)
    assert not run.checkpoint.exists()


class Keeps(Measure):
    """Has this state."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def measure(self, probe: Probe) -> dict[str, float]:
        return {}

    def state_dict(self) -> Any:
        return self.state


def test_plain_states_come_back(tmp_path: Path) -> None:
    given = {"x": [torch.ones(2), nn.Parameter(torch.zeros(1))], "n": {1: None, "b": (1, 2.5, True, "text")}}
    torch.save(plain_state("mine", Keeps(given | {"module": nn.Linear(1, 1).state_dict()})), tmp_path / "x.pt")
    back = torch.load(tmp_path / "x.pt", weights_only=True)
    assert back["n"] == given["n"]
    assert torch.equal(back["x"][0], torch.ones(2))
    assert set(back["module"]) == {"weight", "bias"}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": [0, np.float64(1)]}, r"\['a'\]\[1\] is a numpy.float64"),
        ({"a": {"b": np.zeros(2)}}, r"\['a'\]\['b'\] is a numpy.ndarray"),
        ({"a": {1, 2}}, r"\['a'\] is a builtins.set"),
        ({"a": Path()}, r"\['a'\] is a pathlib"),
        ({np.int64(1): 1}, r"has the key .* of type numpy.int64"),
        (OrderedDict(a=Quantity()), r"\['a'\] is a .*Quantity"),
        ([1], r"must give a dict, got \[1\]"),
        (None, r"must give a dict, got None"),
    ],
)
def test_states_that_are_not_plain(state: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=r"measure=mine: state_dict\(\) of Keeps ?" + message):
        plain_state("mine", Keeps(state))


def test_a_measure_that_does_not_take_its_state_back_is_named() -> None:
    run, config = frozen(Path("runs"), "+measure=forgets")
    assert trained(run, config, stop_after=3) == "interrupted"
    seen = run.stream("metrics").read_bytes()
    message = r"measure=forgets: Forgets does not take back its state in .*\(KeyError: 'strides'\): mend its load_state"
    with pytest.raises(ConfigError, match=message):
        trained(run, config)
    assert run.stream("metrics").read_bytes() == seen


# -- what it says of itself --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"when": "sometimes"}, "when='sometimes': choose one of evaluation, trained, step"),
        ({"stream": "rows"}, "stream='rows': choose one of metrics, layers"),
        ({"when": "step"}, "one per evaluation, so `when` cannot be step"),
        ({"quantities": ["x"]}, r"quantities=\['x'\] must map"),
        ({"quantities": {1: Quantity()}}, "quantities: 1 is no column's name"),
        ({"quantities": {"x": "up"}}, "quantities: x must be a Quantity.*got 'up'"),
        ({"quantities": {"x": Quantity("more")}}, "x has better='more': choose"),  # type: ignore[arg-type]
    ],
)
def test_declarations_are_checked(said: dict[str, Any], message: str) -> None:
    class Says(Keeps):
        pass

    for key, value in said.items():
        setattr(Says, key, value)
    with pytest.raises(ValueError, match=message):
        check_declarations(Says({}))


def test_declarations_are_checked_before_anything_starts() -> None:
    Path("foreign_measures.py").write_text(MINE.replace('"step", "layers"', '"stpe", "layers"'))
    import importlib
    import sys

    sys.modules.pop("foreign_measures", None)
    importlib.invalidate_caches()
    try:
        for data_at_hand in (True, False):
            with pytest.raises(ConfigError, match="measure=messy_steps: when='stpe': choose one of evaluation"):
                validate([one("+measure=messy_steps")], data_at_hand=data_at_hand)
    finally:
        sys.modules.pop("foreign_measures", None)


def test_a_dry_run_without_data_checks_measures_as_far_as_it_can() -> None:
    def dry(*overrides: str) -> None:
        validate([one(*overrides)], data_at_hand=False)

    with pytest.raises(ConfigError, match=r"measure=gsnr with optimizer=sgd: SGD has no gsnr_summary"):
        dry("optimizer=sgd", "+measure=gsnr")
    with pytest.raises(ConfigError, match=r"measure=none: torch\.nn\.Identity makes no Measure"):
        dry("+measure=none")
    dry("optimizer=vr_sgd", "measure=[gsnr,parameters,scores,train_accuracy,full_gradient_norm,batchnorm_reestimated]")


# -- needs that an instance knows --------------------------------------------------------------------------


def test_an_optimizer_whose_needs_are_a_property() -> None:
    planned = one("optimizer=asked", "train.groups=4")
    validate([planned])
    run, config = frozen(Path("runs"), "optimizer=asked", "train.groups=4")
    assert loop.train(config, context(run)).state == "done"
    assert RunStore(Path("runs")).run(planned.run_id).read_state().state == "done"
    with pytest.raises(ConfigError, match=r"optimizer=asked measures noise .* 3 at least"):
        validate([one("optimizer=asked", "train.groups=2")])
