"""LARS: momentum SGD whose step in each layer is proportional to the layer's own norm."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT
from typing_extensions import override

from batchlab.optimizers.dense import FRACTION, NON_NEGATIVE
from batchlab.optimizers.scope import Scope
from batchlab.optimizers.trust import TrustRatioOptimizer, norms, trust_ratio


class LARS(TrustRatioOptimizer):
    r"""Layer-wise adaptive rate scaling.

    For each layer (parameter tensor) with weights w, gradient g and momentum buffer m, lr the learning rate,
    mu the momentum, beta the weight decay, eta the trust coefficient and |.| the Euclidean norm over the
    layer:

        rate = eta |w| / (|g| + beta |w|)        (1 where |w| or |g| is 0)
        m   <- mu m + lr rate (g + beta w)
        w   <- w - m

    Excluded parameters (see `exclude`) take m <- mu m + lr g, w <- w - m.

    Source: You, Gitman and Ginsburg, arXiv 1708.03888, Algorithm 1, from memory, not checked against the
    paper; it is the base of VR-LARS (arXiv 2309.13681). Said otherwise than there: the exclusion, and the 1
    for a layer of norm 0, are what later practice agreed on. As in the algorithm the learning rate enters the
    momentum, so a change of lr acts on the new gradient only; `torch.optim.SGD` and other implementations of
    LARS multiply the whole momentum by the current lr. At a constant lr the two are the same.

    Args:
        lr: learning rate, at least 0.
        momentum: mu, in [0, 1).
        weight_decay: beta, at least 0.
        trust_coefficient: eta, at least 0.
        params, exclude, foreach: see `TrustRatioOptimizer`, which also says what is refused.

    >>> w = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
    >>> w.grad = torch.tensor([[0.0, 2.0]])
    >>> LARS([w], lr=1.0, trust_coefficient=0.1).step()
    >>> w.tolist()  # rate 0.1 * 5 / 2
    [[3.0, 3.5]]
    """

    scope: ClassVar[Scope] = "tensors"
    limits: ClassVar = dict.fromkeys(("lr", "weight_decay", "trust_coefficient"), NON_NEGATIVE) | {"momentum": FRACTION}

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        exclude: bool | None = None,
        foreach: bool | None = None,
    ) -> None:
        own = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust_coefficient": trust_coefficient}
        super().__init__(params, exclude, foreach, **own)

    @override
    def move(self, x: list[Tensor], group: dict[str, Any], trusted: bool, step: int) -> None:
        g = [self.dense_gradient(p) for p in x]
        m = [self._momentum(p) for p in x]
        lr, beta = float(group["lr"]), group["weight_decay"]
        torch._foreach_mul_(m, group["momentum"])
        if trusted:
            w, length = norms(x), norms(g)
            steps = torch.where(length == 0, 0.0, length + beta * w)
            ratio = trust_ratio(w, steps, group["trust_coefficient"])
            # The rate as a 0-dimensional factor of addcmul: no temporary of the parameter's size, no wait for
            # the device.
            torch._foreach_addcmul_(m, g, list((lr * ratio).unbind()))
            if beta:
                torch._foreach_addcmul_(m, x, list((lr * beta * ratio).unbind()))
        else:
            torch._foreach_add_(m, g, alpha=lr)
        torch._foreach_sub_(x, m)

    def _momentum(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        buffer: Tensor = state["momentum"]
        return buffer
