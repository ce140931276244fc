"""Common ground of batchlab's own optimizers: real, dense parameters; hyper-parameters checked per group."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

Closure = Callable[[], float]


class DenseOptimizer(Optimizer):
    """An optimizer whose groups hold real parameters with dense gradients.

    `limits` maps a hyper-parameter to the half-open interval [low, high) it must lie in; every group is
    checked, also those added later. Whatever a subclass computes is written once, over lists of tensors:
    `foreach=False` hands it one tensor at a time, `foreach=True` all of a group, and None (the default)
    chooses: all of a group on an accelerator, where the number of launches counts, one at a time on a CPU,
    where a tensor then stays in the cache.
    """

    def __init__(self, params: ParamsT, defaults: dict[str, Any], limits: dict[str, tuple[float, float]]) -> None:
        self.limits = limits
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for name, (low, high) in self.limits.items():
            check_range(name, group[name], low, high)
        if any(torch.is_complex(p) for p in group["params"]):
            raise ValueError(
                f"{type(self).__name__} takes no complex parameters; optimize torch.view_as_real(parameter) instead"
            )

    def dense_gradient(self, parameter: Tensor) -> Tensor:
        """The gradient of `parameter`, which has one; ValueError where it is sparse."""
        gradient = parameter.grad
        assert gradient is not None
        if gradient.layout is not torch.strided:
            raise ValueError(f"{type(self).__name__} takes no sparse gradients; build the embedding with sparse=False")
        return gradient

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Closure) -> float: ...

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> float | None:
        """One step. `closure`, if given, evaluates loss and gradients first, and its loss is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self.update(group)
        return loss

    def update(self, group: dict[str, Any]) -> None:
        """Move the parameters of `group` that have a gradient."""
        raise NotImplementedError


def check_range(name: str, value: float, low: float, high: float) -> None:
    """ValueError unless low <= value < high."""
    if not low <= float(value) < high:
        bound = f"at least {low:g}" if high == math.inf else f"in [{low:g}, {high:g})"
        raise ValueError(f"{name} must be {bound}, not {value}")


def split(tensors: list[Tensor], foreach: bool | None) -> list[list[int]]:
    """The places in `tensors` that one call of an update takes, all of one device and dtype."""
    if foreach is None:
        foreach = any(tensor.device.type != "cpu" for tensor in tensors)
    if not foreach:
        return [[i] for i in range(len(tensors))]
    alike: dict[tuple[torch.device, torch.dtype], list[int]] = {}
    for i, tensor in enumerate(tensors):
        alike.setdefault((tensor.device, tensor.dtype), []).append(i)
    return list(alike.values())


def parts(tensors: list[Tensor], foreach: bool | None) -> Iterator[list[Tensor]]:
    """`tensors` in the lists that one call of an update takes."""
    for places in split(tensors, foreach):
        yield [tensors[i] for i in places]


def blocks(rows: Sequence[list[Tensor]], size: int = 1 << 16) -> list[list[list[Tensor]]]:
    """Cut aligned tensors into pieces that stay in a CPU's cache through all passes of an element-wise update.

    Args:
        rows: lists of tensors, of which `rows[i][j]` has the shape of `rows[0][j]` for all i.
        size: elements of a piece.

    Returns:
        Calls to make instead of one with `rows`: flat views of the same memory, each list of length 1, where
        the rows hold a single CPU tensor each, with the same dense layout; else `rows` themselves.
    """
    first = rows[0][0]
    if len(rows[0]) > 1 or first.device.type != "cpu" or first.numel() <= size or not _dense(first):
        return [list(rows)]
    if any(row[0].stride() != first.stride() for row in rows):
        return [list(rows)]
    pieces = [torch.split(torch.as_strided(row[0], (first.numel(),), (1,)), size) for row in rows]
    return [[[piece] for piece in aligned] for aligned in zip(*pieces, strict=True)]


def _dense(tensor: Tensor) -> bool:
    """Whether the elements fill one stretch of memory, in whatever order of dimensions."""
    return bool(torch.ops.aten.is_non_overlapping_and_dense(tensor))
