"""An optimizer of one's own whose state is not all in its `state_dict` is refused; those that have a file pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from batchlab.optimizers.needs import Nothing, needs_of
from batchlab.runner.plan.build import is_solver
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.conf.files import PACKAGED
from batchlab.runner.plan.optimizer import stand_in
from batchlab.runner.plan.resumed import goes_on, try_resuming

FILES = sorted((PACKAGED / "optimizer").glob("*.yaml"))


class Own(torch.optim.Optimizer):
    """Momentum whose buffer lies in `self.state`."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
        self.m: dict[torch.Tensor, torch.Tensor] = {}

    def buffer(self, p):
        return self.state[p].setdefault("m", torch.zeros_like(p))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.buffer(p)
                m.lerp_(p.grad, 0.1)
                p.sub_(m.sign(), alpha=group["lr"])


class Outside(Own):
    """Beside it."""

    def buffer(self, p):
        return self.m.setdefault(p, torch.zeros_like(p))


class Counting(Own):
    """A plain number is forgotten too."""

    steps = 0

    def step(self):
        self.steps += 1
        for group in self.param_groups:
            for p in group["params"]:
                p.data.sub_(p.grad, alpha=group["lr"] / self.steps)


class Kept(Counting):
    """Unless its state says it."""

    def state_dict(self):
        return super().state_dict() | {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]
        super().load_state_dict({key: value for key, value in state.items() if key != "steps"})


class Draws(Own):
    """Random numbers go on where they were."""

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(torch.randn_like(p), alpha=group["lr"])


class Diverges(Own):
    """What is no number is the same as what is none."""

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                p.fill_(float("nan"))


class Fails(Own):
    """What a trial cannot step is not refused by it."""

    def step(self):
        raise RuntimeError("only in a run")


def node(kind: type) -> dict[str, object]:
    return {"name": "own", "_target_": f"{__name__}.{kind.__name__}", "lr": 0.1}


@pytest.mark.parametrize("kind", [Outside, Counting])
def test_what_is_forgotten_is_refused(kind: type) -> None:
    with pytest.raises(ConfigError, match=r"^optimizer=own: after its state_dict is loaded its next steps are others"):
        try_resuming(node(kind))


@pytest.mark.parametrize("kind", [Own, Kept, Draws, Diverges, Fails])
def test_what_goes_on_passes_and_leaves_no_trace(kind: type) -> None:
    before = torch.get_rng_state()
    try_resuming(node(kind))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_all_that_have_a_file_go_on(file: Path) -> None:
    """Stepped indeed: `goes_on` raises where they cannot be, which `resumes` would hide."""
    choice = yaml.safe_load(file.read_text())
    if is_solver(choice):
        return
    if isinstance(needs_of(stand_in(choice)), Nothing):
        assert goes_on(choice)
