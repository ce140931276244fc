"""Normalised stochastic heavy ball."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.optim.optimizer import ParamsT
from typing_extensions import override

from batchlab.optimizers.dense import FRACTION, NON_NEGATIVE, Limits, check_group, taking_back

__all__ = ["NSHB"]


class NSHB(torch.optim.SGD):
    r"""Normalised stochastic heavy ball (arXiv 2508.03105).

    .. math::

        m_t = \beta m_{t-1} + (1 - \beta) g_t, \quad m_{-1} = 0, \qquad x_{t+1} = x_t - \eta_t m_t

    g_t is the mini-batch gradient, plus `weight_decay` * x_t (the paper has no weight decay). No bias
    correction: the first step is (1 - beta) lr g_0 long, and at a constant rate the iterates are those of
    SHB, which is torch's SGD with momentum, at lr (1 - beta).

    This is torch's SGD with dampening = momentum but for one thing: torch does not dampen the first step, so
    here the buffer begins at 0 and no step is a first one. torch's own foreach, fused and sparse paths do the
    work.

    Args:
        params: parameters or groups of them; a group may have its own lr, momentum and weight_decay.
        lr: eta_0, at least 0.
        momentum: beta in [0, 1), fixed for a group once it is added.
        weight_decay: coupled, at least 0.
        foreach: one call for all tensors of a group; None = torch's choice.
        fused: torch's fused kernel, the fastest on CPU and GPU; dense floating-point tensors only.

    Raises:
        ValueError: a hyper-parameter out of its range, or complex parameters.

    Example:
        >>> x = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = NSHB([x], lr=1.0, momentum=0.9)
        >>> optimizer.step(lambda: (0.5 * x.square()).sum().backward())
        >>> round(x.item(), 4)
        0.9
    """

    limits: ClassVar[Limits] = {"lr": NON_NEGATIVE, "momentum": FRACTION, "weight_decay": NON_NEGATIVE}

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params, lr, momentum, momentum, weight_decay, foreach=foreach, fused=fused
        )  # dampening is momentum

    @override
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        with taking_back(self):
            super().add_param_group(param_group)
            group = self.param_groups[-1]
            check_group(group, self.limits, "NSHB")
        group["dampening"] = group["momentum"]
        for parameter in group["params"]:
            self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
