"""Layer-wise trust ratios: what LARS and LAMB share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT
from typing_extensions import override

from batchlab.optimizers.dense import DenseOptimizer, parts


class TrustRatioOptimizer(DenseOptimizer):
    """An optimizer that scales each layer's step, a layer being one parameter tensor, by its norm.

    Args:
        params: parameters or groups. Shapes are free; real and dense.
        exclude: which parameters take the plain step, with neither trust ratio nor weight decay: None those of at
            most one dimension (biases, normalisation weights), True the whole group, False none of it.
        foreach: all tensors of a group at a time (True), one at a time (False), or by device (None).
        defaults: the optimizer's other hyper-parameters.

    Raises:
        ValueError: hyper-parameters out of range, complex parameters, sparse gradients.
    """

    def __init__(self, params: ParamsT, exclude: bool | None, foreach: bool | None, **defaults: float) -> None:
        super().__init__(params, {**defaults, "exclude": exclude, "foreach": foreach})

    @override
    def update(self, group: dict[str, Any]) -> None:
        alike: dict[tuple[bool, int], list[Tensor]] = {}
        for p in group["params"]:
            if p.grad is not None:
                trusted = p.ndim > 1 if group["exclude"] is None else not group["exclude"]
                alike.setdefault((trusted, self.state[p].get("step", 0)), []).append(p)
        for (trusted, step), parameters in alike.items():
            for part in parts(parameters, group["foreach"]):
                self.move(part, group, trusted, step)

    @abstractmethod
    def move(self, x: list[Tensor], group: dict[str, Any], trusted: bool, step: int) -> None:
        """Step parameters by their gradients.

        Args:
            x: the parameters, all of one device and dtype.
            group: their group.
            trusted: whether they have a trust ratio and weight decay, or are excluded.
            step: steps that they have taken before this one.
        """


def norms(tensors: list[Tensor]) -> Tensor:
    """Euclidean norm of each of n tensors, shape (n,), without waiting for the device."""
    return torch.stack(list(torch._foreach_norm(tensors)))


def trust_ratio(weights: Tensor, steps: Tensor, coefficient: float = 1.0) -> Tensor:
    """The factor of each layer's step.

    Args:
        weights: norms of n layers, shape (n,).
        steps: norms of their steps, shape (n,).
        coefficient: factor of all ratios.

    Returns:
        coefficient weights / steps, shape (n,), and 1 where a norm is 0: a layer at zero could never leave it else.
        (A norm that is NaN is not: it must show.)
    """
    return torch.where((weights == 0) | (steps == 0), 1.0, weights * coefficient / steps)
