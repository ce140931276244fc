"""Training FLOPs of a sample: against layers counted by hand, without a trace, and in run.json."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from runs import context, frozen, one, trained
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.store.runs import RunStore
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.flops import Counter, flops_per_sample
from batchlab.runner.train.launched import TOGETHER
from batchlab.runner.train.session import Session
from batchlab.runner.train.together import train_together


def session(*overrides: str) -> Session:
    return Session.build(RunConfig.of(one(*overrides).tree), torch.device("cpu"), 0, 1)


def by_hand(made: Session) -> float:
    """Two operations for each multiplication, of every layer as its output's shape says; three times that."""
    total = 0.0

    def seen(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Linear):
            total += 2 * layer.in_features * output.numel()
        elif isinstance(layer, nn.Conv2d):
            kernel = layer.kernel_size[0] * layer.kernel_size[1]
            total += 2 * layer.in_channels // layer.groups * kernel * output.numel()

    hooks = [layer.register_forward_hook(seen) for layer in made.model.modules()]
    with torch.no_grad():
        made.model.eval()(torch.zeros(1, *made.dataset.shape))
    for hook in hooks:
        hook.remove()
    made.model.train()
    return 3 * total


@pytest.mark.parametrize("model", ["mlp", "resnet8", "cnn_mnist", "logistic"])
def test_layers_are_counted_as_by_hand(model: str) -> None:
    made = session(f"model={model}")
    assert flops_per_sample(made) == by_hand(made) > 0


@pytest.mark.parametrize("choices", [("model=resnet18",), ("model=transformer", "dataset=text"), ("model=linear",)])
def test_it_is_what_torch_counts(choices: tuple[str, ...]) -> None:
    made = session(*choices)
    x, _ = next(iter(made.probe.batches("train")))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        made.model.eval()(x[:4])
    assert flops_per_sample(made) == 3 * counter.get_total_flops() / 4 > 0


def test_a_transposed_convolution_and_a_batched_product() -> None:
    layer, x = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), torch.zeros(2, 4, 5, 5)
    a, b = torch.zeros(2, 3, 4), torch.zeros(2, 4, 5)
    with torch.no_grad(), FlopCounterMode(display=False) as theirs:
        layer(x), torch.baddbmm(torch.zeros(2, 3, 5), a, b)
    with torch.no_grad(), Counter() as ours:
        layer(x), torch.baddbmm(torch.zeros(2, 3, 5), a, b)
    assert ours.total == theirs.get_total_flops() > 0


def test_the_run_is_left_as_it_was() -> None:
    made = session("model=resnet8", "train.precision=bfloat16")
    assert any(isinstance(m, nn.BatchNorm2d) for m in made.model.modules())
    made.model.train()
    next(made.model.parameters()).grad = torch.ones_like(next(made.model.parameters()))
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    assert flops_per_sample(made) is not None
    assert all(torch.equal(value, before[name]) for name, value in made.model.state_dict().items())
    assert all(module.training for module in made.model.modules())
    gradient = next(made.model.parameters()).grad
    assert gradient is not None
    assert (gradient == 1).all()
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]


class Refuses(nn.Module):
    """Of no two samples."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("only batches of 64")


def test_what_cannot_be_counted_is_none() -> None:
    made = session()
    made.model = Refuses()
    assert flops_per_sample(made) is None
    made.model = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Softmax(1))
    made.model.register_parameter("weight", nn.Parameter(torch.ones(())))
    assert flops_per_sample(made) is None, "nothing that is counted"


def test_a_run_says_it_and_has_a_clock_of_it(tmp_path: Path) -> None:
    run, config = frozen(tmp_path)
    assert trained(run, config) == "done"
    made = session()
    each = run.read_state().info["flops_per_sample"]
    assert each == flops_per_sample(made)
    frame = load(RunStore(tmp_path), columns={"test_accuracy", "flops"})
    flops, gradients = frame.column("flops")[0], frame.column("gradients")[0]
    assert flops.tolist() == (each * gradients).tolist()
    spent = Metric.parse("flops_to:test_accuracy>=0").measure(frame).values
    assert spent.tolist() == [0.0], "the first row"


def test_runs_of_a_group_say_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOGETHER, "2")
    store = RunStore(tmp_path)
    runs = []
    for lr in (0.1, 0.2):
        planned = one("train.precision=float64", f"optimizer.lr={lr}")
        run = store.run(planned.run_id)
        run.write_config(yaml.safe_dump(planned.tree, sort_keys=False))
        runs.append(run)
    train_together([RunConfig.load(run.config) for run in runs], [context(run) for run in runs])
    said = [run.read_state().info.get("flops_per_sample") for run in runs]
    assert said == [flops_per_sample(session())] * 2


@pytest.mark.slow
def test_a_session_that_saw_triton_ends_in_silence() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "batched_product"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1].startswith("1 passed")
