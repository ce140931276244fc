"""LAMB: Adam whose step in each layer has the length of the layer's own norm."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT
from typing_extensions import override

from batchlab.optimizers.dense import FRACTION, NON_NEGATIVE
from batchlab.optimizers.scope import Scope
from batchlab.optimizers.trust import TrustRatioOptimizer, norms, trust_ratio


class LAMB(TrustRatioOptimizer):
    r"""Layer-wise adaptive moments.

    For each layer (parameter tensor) with weights w and gradient g at its step t = 1, 2, ..., all products,
    roots and quotients element-wise, |.| the Euclidean norm over the layer and lambda the weight decay:

        m <- beta1 m + (1 - beta1) g,        m^ = m / (1 - beta1^t)
        v <- beta2 v + (1 - beta2) g^2,      v^ = v / (1 - beta2^t)
        u  = m^ / (sqrt(v^) + eps) + lambda w
        w <- w - lr |w| / |u| u              (the ratio is 1 where |w| or |u| is 0)

    Excluded parameters (see `exclude`) take w <- w - lr m^ / (sqrt(v^) + eps).

    Source: You et al., arXiv 1904.00962, Algorithm 2 with the identity for phi, from memory, not checked
    against the paper; it is the base of VR-LAMB (arXiv 2309.13681). Said otherwise than there: the exclusion,
    and the 1 for a norm of 0, are what later practice agreed on. Gradients are not clipped by their global
    norm, and |w| is not bounded, as some implementations do.

    Args:
        lr: learning rate, at least 0.
        beta1, beta2: decay of the first and of the second moment, each in [0, 1).
        eps: at least 0.
        weight_decay: lambda, at least 0.
        params, exclude, foreach: see `TrustRatioOptimizer`, which also says what is refused.

    >>> w = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
    >>> w.grad = torch.tensor([[0.0, 2.0]])
    >>> LAMB([w], lr=0.1, weight_decay=0.0).step()  # u = (0, 1), |w| = 5
    >>> [round(value, 4) for value in w.flatten().tolist()]
    [3.0, 3.5]
    """

    scope: ClassVar[Scope] = "tensors"
    limits: ClassVar = dict.fromkeys(("lr", "eps", "weight_decay"), NON_NEGATIVE) | dict.fromkeys(
        ("beta1", "beta2"), FRACTION
    )

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        exclude: bool | None = None,
        foreach: bool | None = None,
    ) -> None:
        own = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, exclude, foreach, **own)

    @override
    def move(self, x: list[Tensor], group: dict[str, Any], trusted: bool, step: int) -> None:
        g = [self.dense_gradient(p) for p in x]
        for p in x:
            if step == 0:
                self.state[p].update(m=torch.zeros_like(p), v=torch.zeros_like(p))
            self.state[p]["step"] = step + 1
        m, v = ([self.state[p][key] for p in x] for key in ("m", "v"))
        lr, beta1, beta2, eps = float(group["lr"]), group["beta1"], group["beta2"], group["eps"]
        torch._foreach_lerp_(m, g, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, g, g, value=1 - beta2)
        # With c = c1 / sqrt(c2), the ratio of the bias corrections, m^ / (sqrt(v^) + eps) is
        # m / (sqrt(v) + eps sqrt(c2)) divided by c, and so is all of u: a factor of the step, not a pass over it.
        c1, c2 = 1 - beta1 ** (step + 1), 1 - beta2 ** (step + 1)
        c = c1 / math.sqrt(c2)
        u = list(torch._foreach_sqrt(v))
        torch._foreach_add_(u, eps * math.sqrt(c2))
        if u[0].device.type == "cpu":  # one pass, and no memory of its own, which on a CPU takes as long again
            for root, moment in zip(u, m, strict=True):
                torch.div(moment, root, out=root)
        else:
            torch._foreach_reciprocal_(u)
            torch._foreach_mul_(u, m)
        if trusted:
            if group["weight_decay"]:
                torch._foreach_add_(u, x, alpha=c * group["weight_decay"])
            ratio = trust_ratio(norms(x), norms(u) / c)
            torch._foreach_addcmul_(x, u, list((-lr / c * ratio).unbind()))
        else:
            torch._foreach_add_(x, u, alpha=-lr / c)
