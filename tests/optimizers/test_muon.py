"""Muon against a NumPy transcription, torch's Muon and torch's AdamW, and which parameters are whose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from batchlab.optimizers import Muon
from batchlab.optimizers.muon import orthogonal


def newton_schulz(u: np.ndarray, steps: int) -> np.ndarray:
    """The iteration in float64, on a matrix as it lies."""
    x = u / np.linalg.norm(u)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


def transcribed(w: np.ndarray, gradients: list[np.ndarray], lr: float, decay: float, adjust: str) -> np.ndarray:
    m = np.zeros_like(w)
    for g in gradients:
        m = 0.95 * m + 0.05 * g
        o = newton_schulz(0.95 * m + 0.05 * g, 5)
        rows, columns = w.shape
        s = 0.2 * max(rows, columns) ** 0.5 if adjust == "match_rms_adamw" else max(1, rows / columns) ** 0.5
        w = (1 - lr * decay) * w - lr * s * o
    return w


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (5, 5), (1, 6), (6, 1), (3, 2, 3, 3)])
@pytest.mark.parametrize("adjust", ["match_rms_adamw", "original"])
def test_steps_are_the_transcriptions(shape: tuple[int, ...], adjust: Any) -> None:
    rng = np.random.default_rng(0)
    w, gradients = rng.normal(size=shape), [rng.normal(size=shape) for _ in range(6)]
    p = nn.Parameter(torch.from_numpy(w.copy()))
    twin = nn.Parameter(torch.from_numpy(w.copy()))  # of one shape, and so stacked
    optimizer = Muon([p, twin], lr=0.02, weight_decay=0.1, adjust=adjust)
    for g in gradients:
        p.grad, twin.grad = torch.from_numpy(g.copy()), torch.from_numpy(2 * g)
        optimizer.step()
    flat = [g.reshape(len(g), -1) for g in gradients]
    expected = transcribed(w.reshape(len(w), -1), flat, 0.02, 0.1, adjust).reshape(shape)
    np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(twin.detach().numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
@pytest.mark.parametrize("adjust", ["match_rms_adamw", "original"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_matrices_move_as_torchs_do(shape: tuple[int, int], adjust: Any, nesterov: bool) -> None:
    """But for bfloat16, in which torch's iterates."""
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 160).view(shape)) for _ in range(2))
    ours_ = Muon([ours], lr=0.05, adjust=adjust, nesterov=nesterov)
    theirs_ = torch.optim.Muon([theirs], lr=0.05, adjust_lr_fn=adjust, nesterov=nesterov)
    for _ in range(5):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        ours_.step()
        theirs_.step()
    moved = (ours.detach() - torch.linspace(-1, 1, 160).view(shape)).norm()
    assert (ours - theirs).norm() < 0.02 * moved


def test_the_rest_moves_as_torchs_adamw_does() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 7)) for _ in range(2))
    mine = Muon([ours], lr=0.05, weight_decay=0.1, adamw_ratio=0.2)
    adamw = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1, betas=(0.9, 0.95))
    for _ in range(5):
        ours.grad = torch.randn(7)
        theirs.grad = ours.grad.clone()
        mine.step()
        adamw.step()
    torch.testing.assert_close(ours, theirs)


def test_what_is_orthogonal_stays_so() -> None:
    torch.manual_seed(0)
    u = torch.randn(3, 6, 10, dtype=torch.float64)
    singular = torch.linalg.svdvals(orthogonal(u, 5))
    assert 0.6 < singular.min() <= singular.max() < 1.3
    assert torch.equal(orthogonal(torch.zeros(1, 2, 3), 5), torch.zeros(1, 2, 3))


class Language(nn.Module):
    """Embeddings, a hidden layer, and an output layer, which may be the embedding itself."""

    def __init__(self, *, tied: bool) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 4)
        self.places = nn.Embedding(5, 4)
        self.hidden = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 11, bias=False)
        if tied:
            self.head.weight = self.tokens.weight


CONVOLUTIONS = nn.Sequential(
    nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3, bias=False), nn.Flatten(), nn.Linear(6, 3), nn.ReLU()
)


@pytest.mark.parametrize(
    ("model", "hidden"),
    [
        (nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 5), nn.Linear(5, 2)), {"0.weight", "2.weight"}),
        (CONVOLUTIONS, {"0.weight", "2.weight"}),
        (Language(tied=False), {"hidden.weight"}),
        (Language(tied=True), {"hidden.weight"}),
        (nn.Linear(3, 2), set()),
    ],
)
def test_hidden_matrices_are_muons(model: nn.Module, hidden: set[str]) -> None:
    optimizer = Muon(model.named_parameters(), model=model)
    methods = optimizer.methods()
    assert set(methods["muon"]) == hidden
    assert set(methods["adamw"]) == {name for name, _ in model.named_parameters()} - hidden
    assert len(optimizer.param_groups) == 1


def test_a_group_may_say_its_method() -> None:
    w, v, b = (nn.Parameter(torch.ones(shape)) for shape in ((2, 3), (3, 2), (3,)))
    optimizer = Muon(
        [
            {"params": [w, b], "param_names": ["w", "b"], "lr": 0.5},
            {"params": [v], "param_names": ["v"], "method": "adamw"},
        ],
        lr=0.1,
    )
    assert optimizer.methods() == {"muon": ["w"], "adamw": ["b", "v"]}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"adjust": "rms"}, "choose match_rms_adamw or original"),
        ({"momentum": 1.0}, "momentum"),
        ({"ns_steps": 0}, "ns_steps"),
        ({"adamw_ratio": -1.0}, "adamw_ratio"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"weight_decay": -1.0}, "weight_decay"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Muon([nn.Parameter(torch.ones(2, 2))], **options)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="method='sgd': choose muon or adamw"):
        Muon([{"params": [nn.Parameter(torch.ones(2, 2))], "method": "sgd"}])


def test_half_precision_is_stepped_in_float32() -> None:
    torch.manual_seed(0)
    whole = nn.Parameter(torch.randn(4, 6).bfloat16().float())
    half = nn.Parameter(whole.detach().bfloat16())
    g: Tensor = torch.randn(4, 6).bfloat16()
    whole.grad, half.grad = g.float(), g
    for p in (whole, half):
        Muon([p], lr=0.05).step()
    torch.testing.assert_close(half, whole.bfloat16(), rtol=0, atol=0)
