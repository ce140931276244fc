"""AdaGrad with one step size for all parameters."""

from __future__ import annotations

from functools import reduce
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT
from typing_extensions import override

from batchlab.optimizers.dense import NON_NEGATIVE, DenseOptimizer, parts

__all__ = ["AdaGradNorm"]


class AdaGradNorm(DenseOptimizer):
    r"""AdaGrad-Norm (arXiv 2402.11215): one scalar v over all parameters of all groups.

    .. math::

        v_t = v_{t-1} + \|g_t\|^2, \qquad x_{t+1} = x_t - \eta_t \, g_t / (\sqrt{v_t} + \epsilon)

    With a norm test for the batch size it is AdAdaGrad-Norm. No step is longer than lr.

    Deviations: `eps` keeps a gradient of zero at the first step from giving 0 / 0 (1e-10 as in torch's
    AdaGrad); `weight_decay` adds weight_decay * x to g before its norm is taken.

    With per_row=True there is one v for every output row of every tensor instead, :math:`v_r = v_r +
    \|g_r\|^2`, as the authors' code has it and the paper's algorithm does not. Rows are counted along the
    first dimension, so that each entry of a bias is a row of its own: our reading, as the source we work from
    does not say.

    Args:
        params: parameters or groups of them; a group may have its own lr, weight_decay and per_row. Groups
            without per_row share the one v.
        lr: eta_0, at least 0.
        per_row: see above.
        initial: v before the first step, at least 0.
        eps: added to sqrt(v), at least 0.
        weight_decay: coupled, at least 0.
        foreach: all tensors of a group at a time (True), one at a time (False), or by device (None).

    Sparse gradients are used as they are, touching no other entries, unless per_row or weight_decay is set.

    Raises:
        ValueError: a hyper-parameter out of its range, complex parameters, or sparse gradients with per_row
            or weight_decay.

    Example:
        >>> x = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
        >>> optimizer = AdaGradNorm([x], lr=1.0)
        >>> (0.5 * x.square()).sum().backward()
        >>> optimizer.step()
        >>> x.detach()  # one step of length 1 towards 0
        tensor([2.4000, 3.2000])
    """

    limits: ClassVar = dict.fromkeys(("lr", "initial", "eps", "weight_decay"), NON_NEGATIVE)

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        *,
        per_row: bool = False,
        initial: float = 0.0,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
    ) -> None:
        defaults = {"lr": lr, "per_row": per_row, "initial": initial, "eps": eps}
        super().__init__(params, defaults | {"weight_decay": weight_decay, "foreach": foreach})
        # The shared v belongs to no parameter. A group's entries travel in `state_dict` as they are.
        device, dtype = self._home()
        self.param_groups[0]["v"] = torch.full((), initial, dtype=dtype, device=device)

    def _home(self) -> tuple[torch.device, torch.dtype]:
        """Where v is: the first parameter's device (the first group may be empty), and the widest type of them all."""
        params = [p for group in self.param_groups for p in group["params"]]
        device = params[0].device if params else torch.device("cpu")
        return device, reduce(torch.promote_types, {p.dtype for p in params}, torch.float32)

    @override
    def update(self, group: dict[str, Any]) -> None:
        if group is self.param_groups[0]:
            self._observe()  # all groups' gradients, before any group moves
        params = [p for p in group["params"] if p.grad is not None]
        move = self._move_rows if group["per_row"] else self._move
        for part in parts(params, group["foreach"]):
            move(part, [self._gradient(p, group) for p in part], group)

    def _gradient(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        gradient = parameter.grad
        assert gradient is not None
        decay = group["weight_decay"]
        if gradient.layout is torch.strided:
            return gradient.add(parameter, alpha=decay) if decay else gradient
        if group["per_row"] or decay:
            raise ValueError(
                "AdaGradNorm takes sparse gradients only without per_row and weight_decay: "
                "unset them, or build the embedding with sparse=False"
            )
        return gradient.coalesce()

    def _observe(self) -> None:
        first = self.param_groups[0]
        device, dtype = self._home()
        v = first["v"] = first["v"].to(device, dtype)  # read on another device perhaps, or before a wider group came
        for group in self.param_groups:
            params = [] if group["per_row"] else [p for p in group["params"] if p.grad is not None]
            for part in parts(params, group["foreach"]):
                gradients = [self._gradient(p, group) for p in part]
                entries = [g.values() if g.is_sparse else g for g in gradients]
                norms = torch._foreach_norm(entries, 2, dtype=v.dtype)
                v += torch.stack([norm.to(device) for norm in norms]).square().sum()

    def _move(self, params: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        v: Tensor = self.param_groups[0]["v"]
        scale = (-float(group["lr"]) / (v.sqrt() + group["eps"])).to(params[0].device)
        torch._foreach_add_(params, torch._foreach_mul(gradients, scale))

    def _move_rows(self, params: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        squares = [_row_sums(g) for g in torch._foreach_mul(gradients, gradients)]
        for parameter, square in zip(params, squares, strict=True):
            if "v" not in self.state[parameter]:
                self.state[parameter]["v"] = torch.full_like(square, group["initial"])
        v = [self.state[parameter]["v"] for parameter in params]
        torch._foreach_add_(v, squares)
        scales = torch._foreach_sqrt(v)
        torch._foreach_add_(scales, group["eps"])
        torch._foreach_addcdiv_(params, gradients, scales, value=-float(group["lr"]))


def _row_sums(square: Tensor) -> Tensor:
    """Sums over all but the first dimension, shaped to be broadcast against `square`."""
    return square if square.dim() < 2 else square.flatten(1).sum(1).view(-1, *[1] * (square.dim() - 1))
