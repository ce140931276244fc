"""Runs that train together in this process, beside models and optimizers of the user's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from runs import context, rows

from batchlab.results.store.run import Run
from batchlab.results.store.runs import RunStore
from batchlab.runner.plan import fusable
from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import RunConfig
from batchlab.runner.train.launched import TOGETHER
from batchlab.runner.train.together import group, train_together

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


def beside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with models and optimizers of the user's own, where this process is now."""
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
