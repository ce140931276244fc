"""Runs that train together are the runs that train alone: rows, facts, files, resumed and diverged ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from runs import context, one, rows, trained
from torch.utils._python_dispatch import TorchDispatchMode

from batchlab.results.store.run import Run, RunLostError
from batchlab.results.store.runs import RunStore
from batchlab.runner.plan import fusable
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.launched import TOGETHER
from batchlab.runner.train.session import Session
from batchlab.runner.train.together import ApartError, group, look, pays, train_together
from batchlab.runner.train.together.stack import Stack

BASE = (
    *("dataset=digits", "model=mlp", "model.hidden=[16]", "train.device=cpu", "train.precision=float64"),
    *("train.samples=1600", "batch_schedule.size=32", "log.evaluate_every=0.5"),
)


MODELS = {
    "dropped": """
class Dropped(nn.Sequential):
    def __init__(self, shape, classes):
        hidden = nn.Linear(math.prod(shape), 16)
        super().__init__(nn.Flatten(), hidden, nn.Dropout(0.3), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, classes))
""",
    "lucky": """
class Lucky(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), classes))
        self.scale = 1 + torch.rand(()).item()
    def forward(self, x):
        return self.scale * super().forward(x)
""",
    "padded": """
class Padded(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.table, self.out = nn.Embedding(17, 4, padding_idx=0), nn.Linear(4 * math.prod(shape), classes)
    def forward(self, x):
        return self.out(self.table(((x.flatten(1) + 1) * 5).long().clamp(0, 16)).flatten(1))
""",
    "listed": """
class Listed(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.linear = nn.Linear(math.prod(shape), classes)
        self.weights = [self.linear.weight, self.linear.bias]
    def forward(self, x):
        return nn.functional.linear(x.flatten(1), *self.weights)
""",
    "assigned": """
class Assigned(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.linear = nn.Linear(math.prod(shape), classes)
        self.register_buffer("mean", torch.zeros(classes))
    def forward(self, x):
        out = self.linear(x.flatten(1))
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * out.detach().mean(0)
        return out - self.mean
""",
    "drawn": """
class Drawn(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), classes))
        self.scales = [1 + torch.rand(()).item()]
    def forward(self, x):
        return self.scales[0] * super().forward(x)
""",
    "hooked": """
class Hooked(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), classes))
        self[1].weight.register_hook(lambda gradient: gradient.clamp(-0.001, 0.001))
""",
    "backward": """
class Backward(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), classes))
        self[1].register_full_backward_pre_hook(lambda module, gradients: tuple(0.1 * g for g in gradients))
""",
    "looks": """
class Looks(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), classes))
    def forward(self, x):
        out = super().forward(x)
        return out if out.sum() > 0 else 2 * out
""",
}


OPTIMIZERS = {
    "replaces": """
class Replaces(torch.optim.SGD):
    scope = "elements"
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data = p.data - group["lr"] * p.grad
""",
    "noisy": """
class Noisy(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad + 0.01 * torch.randn_like(p), alpha=-group["lr"])
""",
    "plain": """
class Plain(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad)
""",
}


@pytest.fixture(autouse=True)
def _models_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "beside"
    (folder / "conf" / "model").mkdir(parents=True)
    for name, code in MODELS.items():
        (folder / f"together_{name}.py").write_text(f"import math\nimport torch\nfrom torch import nn\n{code}")
        text = f"# Of the user's own.\n_target_: together_{name}.{name.capitalize()}\n"
        (folder / "conf" / "model" / f"{name}.yaml").write_text(text)
    (folder / "conf" / "optimizer").mkdir()
    for name, code in OPTIMIZERS.items():
        (folder / f"together_{name}.py").write_text(f"import torch\n{code}")
        text = f"# Of the user's own.\n_target_: together_{name}.{name.capitalize()}\nlr: 0.1\n"
        (folder / "conf" / "optimizer" / f"{name}.yaml").write_text(text)
    monkeypatch.setenv(TOGETHER, "256")  # whether it pays is a question of its own
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))


def prepared(root: Path, *overrides: str) -> tuple[list[Run], list[RunConfig]]:
    """The runs of a grid, ready to be trained, which may train together."""
    keys = {o.lstrip("+~").split("=", 1)[0] for o in overrides}
    choices = keys & {"model", "batch_schedule"}
    kept = [t for t in BASE if not ({t.split("=", 1)[0]} & keys or t.partition(".")[0] in choices)]
    plans = compose([*kept, *overrides])
    assert [fusable.why_alone(planned.tree) for planned in plans] == [""] * len(plans)
    assert len({fusable.key(planned.tree) for planned in plans}) == 1
    runs = [RunStore(root).run(planned.run_id) for planned in plans]
    for run, planned in zip(runs, plans, strict=True):
        run.write_config(yaml.safe_dump(planned.tree, sort_keys=False))
    return runs, [RunConfig.load(run.config) for run in runs]


def together(runs: Sequence[Run], configs: Sequence[RunConfig], stop_after: int | None = None) -> list[str]:
    """Train them together; the states in which they end. Told to stop after so many steps."""
    contexts, step, taken = [context(run) for run in runs], group.Group.step, 0

    def counted(self: group.Group, batch: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == stop_after:
            contexts[0].stop()
        return step(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group.Group, "step", counted)
        return [outcome.state for outcome in train_together(configs, contexts)]


def check_same(here: Sequence[Run], there: Sequence[Run], tolerance: float) -> None:
    """See that runs have the same rows within a relative tolerance, and the same facts."""
    assert [run.run_id for run in here] == [run.run_id for run in there]
    for this, that in zip(here, there, strict=True):
        assert len(rows(this)) == len(rows(that)) > 1
        for a, b in zip(rows(this), rows(that), strict=True):
            assert a.keys() == b.keys()
            for name in a:
                if isinstance(a[name], float) and not name.endswith("_accuracy"):
                    close = math.isclose(a[name], b[name], rel_tol=tolerance, abs_tol=tolerance * 1e-3)
                    assert close or (math.isnan(a[name]) and math.isnan(b[name])), (name, a, b)
                else:
                    assert a[name] == b[name], (name, a, b)
        facts = ("samples", "steps", "gradients", "largest_batch", "batchnorm_part", "state", "reason")
        info = [run.read_state().info for run in (this, that)]
        assert [info[0].get(fact) for fact in facts] == [info[1].get(fact) for fact in facts]


TEXT = ("dataset=text", "model=transformer", "model.width=16")
GRIDS = {
    "seeds": ["optimizer=shb", "seed=range(0,4)"],
    "rates": ["optimizer=sgd", "optimizer.lr=0.01,0.1,0.3", "seed=0,1"],
    "momentum": ["optimizer=shb", "optimizer.momentum=0.5,0.9", "optimizer.weight_decay=0,0.01"],
    "several methods": ["optimizer=sgd,shb,nesterov,nshb,adam,adamw,taylor,ab2,ab3,ab4,rmsprop,adagrad"],
    "more methods": ["optimizer=radam,nadam,lars,lamb,adagrad_norm,adafactor", "seed=0,1"],
    "muon": ["optimizer=muon", "seed=0,1"],
    "heun": ["optimizer=heun", "optimizer.lr=0.01,0.1", "seed=0,1"],
    "rk4": ["optimizer=rk4", "optimizer.lr=0.01,0.1", "seed=0,1"],
    "schedules": ["optimizer=shb", "lr_schedule=constant,cosine,diminishing,linear", "seed=0,1"],
    "growing": ["optimizer=sgd", "batch_schedule=exponential", "batch_schedule.initial=8", "batch_schedule.every=1"],
    "no decay of biases": ["optimizer=sgd,adamw,lamb", "optimizer.weight_decay=0.1", "train.decay=weights", "seed=0,1"],
    "smoothing": ["train.label_smoothing=0.1", "seed=0,1"],
    "parts": ["train.micro_batch=10", "seed=0,1"],
    "batchnorm": ["model=resnet8", "model.width=4", "train.samples=320", "seed=0,1,2"],
    "groupnorm": ["model=resnet8", "model.width=8", "model.norm=group", "train.samples=320", "seed=0,1"],
    "cnn": ["model=cnn_mnist", "train.samples=160", "seed=0,1"],
    "regression": ["dataset=linear_regression", "model=linear", "train.loss=mse", "model.zero_init=false", "seed=0,1"],
    "table": ["dataset=breast_cancer", "model=logistic", "seed=0,1"],
    "transformer": [
        "dataset=text",
        "model=transformer",
        "model.width=16",
        "train.samples=96",
        "optimizer=adam",
        "seed=0,1",
    ],
    "clicks": ["dataset=clicks", "model=dlrm", "train.samples=640", "seed=0,1"],
    "noise": ["optimizer=vr_sgd,vr_adam", "optimizer.control=false,true", "train.groups=8", "seed=0,1"],
    "measures": ["+measure=full_gradient_norm", "+measure=train_accuracy", "log.steps=true", "seed=0,1"],
    "dropout": ["model=dropped", "optimizer=shb", "seed=0,1,2"],
    "own optimizer": ["optimizer=plain", "optimizer.lr=0.05,0.1", "seed=0,1"],
    "schedule-free": ["optimizer=schedulefree_sgd,sgd", "optimizer.lr=0.1", "seed=0,1"],
    "layers": ["optimizer=vr_lars", "train.groups=4", "+measure=gsnr", "seed=0,1"],
}


@pytest.mark.parametrize("grid", GRIDS)
def test_each_has_the_numbers_that_it_has_alone(grid: str, tmp_path: Path) -> None:
    runs, configs = prepared(tmp_path / "together", *GRIDS[grid])
    assert set(together(runs, configs)) == {"done"}
    alone, configs = prepared(tmp_path / "alone", *GRIDS[grid])
    assert {trained(run, config) for run, config in zip(alone, configs, strict=True)} == {"done"}
    check_same(runs, alone, 1e-9)


class Normalized(TorchDispatchMode):
    """Notes of every BatchNorm that trains the types of its inputs and of its running mean."""

    def __init__(self) -> None:
        super().__init__()
        self.types: set[tuple[torch.dtype, torch.dtype]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func == torch.ops.aten.native_batch_norm.default and args[5]:
            self.types.add((args[0].dtype, args[3].dtype))
        return func(*args, **(kwargs or {}))


def test_batchnorm_in_bfloat16_has_inputs_that_a_gpu_takes() -> None:
    """vmap gives it the running statistics of all models, which a GPU refuses beside narrower inputs."""
    stack = Stack([torch.nn.BatchNorm1d(4), torch.nn.BatchNorm1d(4)], [torch.Generator()] * 2)
    x = torch.randn(2, 8, 4).bfloat16()
    with Normalized() as seen:
        out = stack.forward(x, training=True)
    assert seen.types == {(torch.float32, torch.float32)}
    assert out.dtype == torch.bfloat16
    right = torch.stack([torch.nn.BatchNorm1d(4)(own.float()) for own in x])
    torch.testing.assert_close(out, right.bfloat16())


def test_bfloat16_on_a_cpu_is_apart(tmp_path: Path) -> None:
    """vmap leaves its convolutions in float32 there: other numbers than alone."""
    runs, configs = prepared(tmp_path, "train.precision=bfloat16", "seed=0,1")
    with pytest.raises(ApartError, match="bfloat16"):
        together(runs, configs)


@pytest.mark.parametrize("grid", ["rates", "several methods", "heun", "batchnorm", "dropout", "noise"])
def test_a_group_that_was_cut_off_goes_on_bit_for_bit(grid: str, tmp_path: Path) -> None:
    whole, configs = prepared(tmp_path / "whole", *GRIDS[grid])
    assert set(together(whole, configs)) == {"done"}
    parts, configs = prepared(tmp_path / "parts", *GRIDS[grid])
    assert set(together(parts, configs, stop_after=6)) == {"interrupted"}
    assert {run.read_state().state for run in parts} == {"interrupted"}
    assert set(together(parts, configs)) == {"done"}
    assert [rows(run) for run in parts] == [rows(run) for run in whole]
    assert not any(run.checkpoints for run in parts)


def test_runs_go_on_alone_and_together_from_each_others_checkpoints(tmp_path: Path) -> None:
    grid = ["optimizer=shb,adam,taylor", "seed=0,1"]
    alone, configs = prepared(tmp_path / "alone", *grid)
    for run, config in zip(alone, configs, strict=True):
        assert trained(run, config) == "done"
    runs, configs = prepared(tmp_path / "runs", *grid)
    assert set(together(runs, configs, stop_after=6)) == {"interrupted"}
    assert trained(runs[2], configs[2], stop_after=3) == "interrupted"  # now it stands at another place than the others
    assert trained(runs[4], configs[4]) == "done"
    left = [i for i in range(6) if i != 4]
    assert set(together([runs[i] for i in left], [configs[i] for i in left])) == {"done"}
    check_same(runs, alone, 1e-9)
    assert [run.read_state().info.get("fused") for run in runs] == [6] * 6, "number 4 alone from its checkpoint on"
    assert not any("fused" in run.read_state().info for run in alone)


@pytest.mark.parametrize("diverging", ["1e9", "1e300"])
def test_one_that_diverges_is_recorded_and_the_others_go_on(diverging: str, tmp_path: Path) -> None:
    grid = ["optimizer=sgd", f"optimizer.lr=0.1,{diverging},0.05", "seed=0,1"]
    grid += ["dataset=linear_regression", "model=linear", "train.loss=mse", "model.zero_init=false"]
    runs, configs = prepared(tmp_path / "together", *grid)
    states = together(runs, configs)
    assert sorted(set(states)) == ["diverged", "done"]
    alone, configs = prepared(tmp_path / "alone", *grid)
    assert [trained(run, config) for run, config in zip(alone, configs, strict=True)] == states
    check_same(runs, alone, 1e-9)


def test_a_run_that_another_process_has_taken_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, configs = prepared(tmp_path / "together", "seed=range(0,3)")
    taken = runs[1]

    def check_owned(self: Run) -> None:
        if self.run_id == taken.run_id and self.stream("metrics").exists():
            raise RunLostError(f"{self.folder}: taken")

    monkeypatch.setattr(Run, "check_owned", check_owned)
    assert sorted(together(runs, configs)) == ["done", "done", "interrupted"]
    assert taken.read_state().state not in ("done", "interrupted")


def test_what_does_not_pay_is_apart_and_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    asked: list[int] = []

    looked: list[int] = []

    def together_in(trial: pays.Trial, size: int, alone: float) -> float:
        asked.append(len(trial.sessions))
        return together_seconds

    def looked_at(trial: pays.Trial, size: int) -> float:
        looked.append(size)
        return 1.0

    monkeypatch.setattr(pays.Trial, "alone", lambda trial, size: 10.0)
    monkeypatch.setattr(pays.Trial, "together", together_in)
    monkeypatch.setattr(pays.Trial, "looked_at_alone", looked_at)
    monkeypatch.setattr(pays.Trial, "looked_at_together", lambda trial, size, alone: alone)
    monkeypatch.delenv(TOGETHER)
    runs, configs = prepared(
        tmp_path / "runs",
        "seed=range(0,3)",
        "dataset=linear_regression",
        "model=linear",
        "train.loss=mse",
    )
    together_seconds = 10.0
    for _ in range(2):
        with pytest.raises(ApartError, match="take as long as alone"):
            together(runs, configs)
        assert not any(run.folder.joinpath("metrics.jsonl").exists() for run in runs)
    assert (asked, looked) == ([3], []), "how they are evaluated is no question then"
    for found in (tmp_path / "data" / "together").glob("*.json"):
        found.write_text("[damaged")
    together_seconds = 5.0
    assert set(together(runs, configs)) == {"done"}
    assert (asked, looked) == ([3, 3], [pays.LOOKED])


GROWING = ["batch_schedule=exponential", "batch_schedule.initial=4", "batch_schedule.every=1", "train.samples=6000"]


@pytest.mark.parametrize("large", [0.03, 3.0])
def test_a_batch_that_grows_is_asked_at_the_sizes_it_comes_to(
    large: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second a step alone at 64 samples, and `large` together: what small ones gain is lost by large ones."""
    asked: list[int] = []

    def together_in(trial: pays.Trial, size: int, alone: float) -> float:
        asked.append(size)
        return 0.001 if size < 50 else large

    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(pays.Trial, "alone", lambda trial, size: 0.01 if size < 50 else 1.0)
    monkeypatch.setattr(pays.Trial, "together", together_in)
    monkeypatch.delenv(TOGETHER)
    runs, configs = prepared(tmp_path / "runs", "seed=0,1", *GROWING)
    if large < 1:
        assert set(together(runs, configs)) == {"done"}
    else:
        with pytest.raises(ApartError, match="take as long as alone"):
            together(runs, configs)
    assert asked == [64, 16, 4]


@pytest.mark.parametrize(
    ("steps", "groups", "tried"),
    [
        ({128: 100, 1: 1}, 1, [128]),
        ({8: 1000, 64: 125, 512: 16, 4096: 2, 3: 1}, 1, [8, 64, 512]),
        ({4: 10, 9: 10}, 8, [8, 9]),
        ({3: 1}, 1, [3]),
    ],
)
def test_what_an_epoch_leaves_is_no_size_to_try(steps: dict[int, int], groups: int, tried: list[int]) -> None:
    assert pays._tried(steps, groups) == tried


@pytest.mark.filterwarnings("ignore:own. x_test has no samples")
def test_a_data_set_without_a_test_split_is_tried_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pays, "LEAST", 0.0)
    monkeypatch.setattr(pays, "WORTH", math.inf)
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv(TOGETHER)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 5), dtype=np.float32), rng.integers(0, 2, 64)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:0], y_test=y[:0])
    grid = ["dataset=npz", f"dataset.file={tmp_path / 'own.npz'}", "model=logistic", "seed=0,1"]
    runs, configs = prepared(tmp_path / "runs", *grid)
    assert set(together(runs, configs)) == {"done"}


@pytest.mark.parametrize("shared", [False, True])
def test_evaluations_are_shared_where_they_are_quicker(
    shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    monkeypatch.delenv(TOGETHER)
    monkeypatch.setattr(pays.Trial, "alone", lambda trial, size: 10.0)
    monkeypatch.setattr(pays.Trial, "together", lambda trial, size, alone: 1.0)
    monkeypatch.setattr(pays.Trial, "looked_at_alone", lambda trial, size: 1.0)
    monkeypatch.setattr(pays.Trial, "looked_at_together", lambda trial, size, alone: 0.5 if shared else 2.0)
    looked: list[bool] = []
    ahead = look.Look.ahead

    def counted(self: look.Look, group: group.Group) -> None:
        looked.append(True)
        ahead(self, group)

    monkeypatch.setattr(look.Look, "ahead", counted)
    runs, configs = prepared(tmp_path / "together", "seed=0,1")
    assert set(together(runs, configs)) == {"done"}
    assert bool(looked) is shared
    alone, configs = prepared(tmp_path / "alone", "seed=0,1")
    assert {trained(run, config) for run, config in zip(alone, configs, strict=True)} == {"done"}
    check_same(runs, alone, 1e-9)


def test_the_trial_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = pays.Trial.looked_at_together
    monkeypatch.setattr(pays, "LEAST", 0.0)
    monkeypatch.setattr(pays, "WORTH", math.inf)
    monkeypatch.setattr(pays.Trial, "looked_at_together", lambda *asked: 0.0 * looked_at(*asked))
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    grid = ["dataset=linear_regression", "model=linear", "train.loss=mse", "optimizer=shb,adam", "seed=0,1"]
    ends = []
    for name in ("not", "tried"):
        if name == "tried":
            assert not (tmp_path / "data").exists(), "not where somebody said how many"
            monkeypatch.delenv(TOGETHER)
        runs, configs = prepared(tmp_path / name, *grid)
        assert set(together(runs, configs)) == {"done"}
        ends.append([rows(run) for run in runs])
    assert ends[0] == ends[1]
    assert len([*(tmp_path / "data" / "together").iterdir()]) == 4


def test_a_trial_makes_its_models_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For all sizes and for evaluations: one run alone, and those that are tried together."""
    _, configs = prepared(tmp_path, "seed=0,1,2", *GROWING)
    sessions = [Session.build(config, torch.device("cpu"), 0, 1) for config in configs]
    made: list[int] = []
    build = Session.build
    monkeypatch.setattr(Session, "build", lambda config, *rest: made.append(config.seed) or build(config, *rest))
    trial = pays.Trial(sessions)
    for size in (64, 16, 4):
        assert trial.together(size, trial.alone(size)) > 0
    assert trial.looked_at_together(100, trial.looked_at_alone(100)) > 0
    assert made == [0, 0, 1, 2]


def test_what_is_too_short_for_a_trial_is_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of ten seconds, whose step of half a second is to be tried twice, with two at a time: 2 s of 20."""
    monkeypatch.delenv(TOGETHER)
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(pays.Trial, "alone", lambda trial, size: 0.5)
    monkeypatch.setattr(pays.Trial, "looked_at_alone", lambda trial, size: 1.0)
    monkeypatch.setattr(pays, "_seconds", lambda *asked: 0.01)
    runs, configs = prepared(tmp_path / "runs", "seed=0,1", "batch_schedule.size=32", "train.samples=640")
    monkeypatch.setattr(pays, "WORTH", 0.09)
    with pytest.raises(ApartError, match="too large a share"):
        together(runs, configs)
    assert not any(run.folder.joinpath("metrics.jsonl").exists() for run in runs), "nothing was written"
    monkeypatch.setattr(pays, "WORTH", 0.11)
    assert set(together(runs, configs)) == {"done"}


def test_a_model_that_vmap_cannot_follow_is_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOGETHER)
    monkeypatch.setattr(pays, "WORTH", math.inf)
    runs, configs = prepared(tmp_path, "model=looks", "seed=0,1")
    with pytest.raises(ApartError, match=r"vmap|data-dependent|item"):
        together(runs, configs)


@pytest.mark.parametrize(
    "choice",
    [
        *("model=padded", "model=listed", "model=assigned", "model=drawn", "model=hooked", "model=backward"),
        *("optimizer=replaces", "optimizer=noisy"),
    ],
)
def test_code_that_reaches_around_the_stack_trains_alone(choice: str, tmp_path: Path) -> None:
    runs, configs = prepared(tmp_path, choice, "seed=0,1,2")
    with pytest.raises(ApartError, match=r"would be another than alone|random numbers are drawn|differ in|meta"):
        together(runs, configs)
    assert not any(run.stream("metrics").exists() for run in runs)


def test_models_that_differ_beside_their_parameters_are_apart(tmp_path: Path) -> None:
    runs, configs = prepared(tmp_path, "model=lucky", "seed=0,1")
    with pytest.raises(ApartError, match=r"differ in Lucky\.scale, which is no parameter"):
        together(runs, configs)


ALONE = {
    "several ranks": ["nproc=2"],
    "a batch that adapts": ["batch_schedule=norm_test"],
    "a compiled model": ["train.compile=true"],
    "channels_last": ["train.channels_last=true", "model=cnn_mnist"],
}


@pytest.mark.parametrize("reason", ALONE)
def test_what_trains_alone_says_why(reason: str) -> None:
    assert fusable.why_alone(one(*ALONE[reason]).tree) == reason


def test_keys_differ_where_steps_do() -> None:
    base = ["dataset=digits", "model=mlp", "train.device=cpu"]

    def key(*overrides: str) -> str:
        (planned,) = compose([*base, *overrides])
        return fusable.key(planned.tree)

    same = [["optimizer.lr=0.3"], ["seed=5"], ["optimizer=adam"], ["lr_schedule=cosine"]]
    other = [
        *(["batch_schedule.size=64"], ["train.epochs=3"], ["model.hidden=[8]"], ["optimizer=heun"], ["optimizer=rk4"]),
        *(["optimizer=vr_sgd", "train.groups=8"], ["log.steps=true"], ["train.precision=float64"]),
    ]
    assert {key(*overrides) for overrides in same} == {key()}
    assert len({key(*overrides) for overrides in other} | {key()}) == len(other) + 1
