"""Muon for a network's hidden matrices, AdamW for the rest, in one optimizer."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT
from typing_extensions import override

from batchlab.optimizers.dense import FRACTION, NON_NEGATIVE, DenseOptimizer, parts

Adjust = Literal["match_rms_adamw", "original"]
METHODS = ("muon", "adamw")
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a, b, c of Jordan's quintic, which lifts small singular values fastest and leaves all of them at about 1."""


class Muon(DenseOptimizer):
    r"""Momentum, orthogonalised.

    A hidden matrix W (m, n) with gradient G moves, at momentum mu, weight decay lambda and learning rate lr, by

        M <- mu M + (1 - mu) G
        U = mu M + (1 - mu) G          (Nesterov's; without it U = M)
        O = NS(U)                       (about U V^T of the singular value decomposition, all singular values about 1)
        W <- (1 - lr lambda) W - lr s O

    with s = 0.2 sqrt(max(m, n)), which gives O the size of AdamW's steps (`match_rms_adamw`), or s =
    sqrt(max(1, m / n)) (`original`). NS takes X = U / |U|_F and, `ns_steps` times, X <- a X + (b A + c A^2) X with
    A = X X^T. Weights of convolutions are matrices of one row per output channel.

    **Which parameters.** Hidden matrices are the parameters of at least two dimensions; vectors and scalars are
    AdamW's. With `model`, AdamW also has every embedding, and the output layer: the last module, in the order of
    registration, that has a matrix of its own. Without it every matrix is Muon's. A group with `method="adamw"`, or
    "muon", decides for itself. `methods()` lists names.

    Sources: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks" (a web page); Liu et al.,
    arXiv 2502.16982, for `match_rms_adamw` and the weight decay. From memory, and compared with `torch.optim.Muon`,
    which has matrices only and takes NS in bfloat16; here it is in float32, or the parameters' float64.

    Args:
        params: parameters, named or not, or groups of them.
        lr: learning rate, at least 0; with `match_rms_adamw` one that suits AdamW.
        momentum: mu, in [0, 1).
        nesterov: see above.
        weight_decay: lambda, at least 0, decoupled, of both methods.
        ns_steps: iterations, at least 1.
        adjust: s, see above.
        adamw_ratio: AdamW's learning rate is so many times lr.
        betas, eps: AdamW's.
        foreach: matrices of one shape stacked, as many as `DenseOptimizer` says; None chooses by device.
        model: of which the parameters are.

    Raises:
        ValueError: an option beyond its limits, an unknown method, complex parameters; at a step, sparse gradients.

    >>> w = nn.Parameter(torch.eye(2))
    >>> w.grad = torch.tensor([[3.0, 0.0], [0.0, 1e-1]])
    >>> Muon([w], lr=1.0, weight_decay=0.0, adjust="original").step()
    >>> bool((w.diagonal().abs() < 0.4).all())  # both singular values of the step are about 1
    True
    """

    limits: ClassVar = (
        dict.fromkeys(("lr", "weight_decay", "eps", "adamw_ratio"), NON_NEGATIVE)
        | dict.fromkeys(("momentum", "betas"), FRACTION)
        | {"ns_steps": (1, math.inf)}
    )

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.1,
        ns_steps: int = 5,
        adjust: Adjust = "match_rms_adamw",
        adamw_ratio: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        foreach: bool | None = None,
        model: nn.Module | None = None,
    ) -> None:
        if adjust not in ("match_rms_adamw", "original"):
            raise ValueError(f"adjust={adjust!r}: choose match_rms_adamw or original")
        self._apart = set() if model is None else not_hidden(model)
        own = {"momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps, "adjust": adjust}
        adamw = {"adamw_ratio": adamw_ratio, "betas": betas, "eps": eps, "foreach": foreach}
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay} | own | adamw)

    @override
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        method = param_group.get("method")
        if method not in (None, *METHODS):
            raise ValueError(f"method={method!r}: choose muon or adamw")
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group["methods"] = [method or self._method(p) for p in group["params"]]

    def _method(self, parameter: Tensor) -> str:
        hidden = parameter.dim() >= 2 and parameter.numel() > 0 and parameter not in getattr(self, "_apart", ())
        return "muon" if hidden else "adamw"

    def methods(self) -> dict[str, list[str]]:
        """Names of the parameters by the method that moves them; of a nameless one its shape."""
        found: dict[str, list[str]] = {method: [] for method in METHODS}
        for group in self.param_groups:
            names = group.get("param_names") or [str(tuple(p.shape)) for p in group["params"]]
            for name, method in zip(names, group["methods"], strict=True):
                found[method].append(name)
        return found

    @override
    def update(self, group: dict[str, Any]) -> None:
        for method, move in (("muon", self._muon), ("adamw", self._adamw)):
            pairs = zip(group["params"], group["methods"], strict=True)
            own = [p for p, whose in pairs if whose == method and p.grad is not None]
            for params in parts(own, group["foreach"]):
                move(params, [self.dense_gradient(p) for p in params], group)

    def _muon(self, params: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        lr, mu = float(group["lr"]), group["momentum"]
        for p in params:
            if "m" not in self.state[p]:
                self.state[p]["m"] = torch.zeros_like(p)
        m = [self.state[p]["m"] for p in params]
        torch._foreach_lerp_(m, gradients, 1 - mu)
        u = list(torch._foreach_lerp(gradients, m, mu)) if group["nesterov"] else m
        torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        same: dict[tuple[int, int], list[int]] = {}  # matrices of one shape are multiplied together
        for place, p in enumerate(params):
            same.setdefault((len(p), p.numel()), []).append(place)
        for places in same.values():
            moves = orthogonal(torch.stack([u[place].flatten(1) for place in places]), group["ns_steps"])
            for place, move in zip(places, moves, strict=True):
                step = lr * scale(move.shape[0], move.shape[1], group["adjust"])
                params[place].sub_(move.view_as(params[place]), alpha=step)

    def _adamw(self, params: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = float(group["lr"]) * group["adamw_ratio"], group["betas"]
        for p, g in zip(params, gradients, strict=True):
            state = self.state[p]
            if "m" not in state:
                state.update(m=torch.zeros_like(p), v=torch.zeros_like(p), step=0)
            state["step"] += 1
            state["m"].lerp_(g, 1 - beta1)
            state["v"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
            c1, c2 = 1 - beta1 ** state["step"], 1 - beta2 ** state["step"]
            p.mul_(1 - lr * group["weight_decay"])
            p.addcdiv_(state["m"], state["v"].sqrt().div_(math.sqrt(c2)).add_(group["eps"]), value=-lr / c1)


def scale(rows: int, columns: int, adjust: Adjust) -> float:
    """What an orthogonal matrix (rows, columns) is multiplied by, beside the learning rate."""
    return 0.2 * math.sqrt(max(rows, columns)) if adjust == "match_rms_adamw" else math.sqrt(max(1.0, rows / columns))


def orthogonal(matrices: Tensor, steps: int) -> Tensor:
    """About U V^T of each U S V^T, by Newton and Schulz's iteration with Jordan's coefficients.

    Args:
        matrices: (k, m, n), of float32 or float64; zeros stay zeros.
        steps: of the iteration.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def not_hidden(model: nn.Module) -> set[Tensor]:
    """Parameters of a model's embeddings and of its output layer: the last module with a matrix of its own."""
    found: set[Tensor] = set()
    last: list[nn.Parameter] = []
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            found.update(own)
        if any(p.dim() >= 2 for p in own):
            last = own
    return found | set(last)
