"""How many floating-point operations training takes for a sample, counted once a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

from batchlab.datasets import evaluation_batches
from batchlab.runner.measures.untouched import untouched
from batchlab.runner.train.session import Session

TIMES = 3
"""A backward pass is taken to cost twice its forward pass: gradients of inputs and of weights."""
SAMPLES = 2
_KNOWN: WeakKeyDictionary[nn.Module, float | None] = WeakKeyDictionary()


def _product(left: Tensor, right: Tensor) -> int:
    """(..., n, k) times (..., k, m)."""
    return 2 * left.numel() * right.shape[-1]


def _convolved(x: Tensor, weight: Tensor, out: Tensor, transposed: bool) -> int:
    """Each output number, or of a transposed convolution each input number, meets the weights of one channel."""
    return 2 * (x if transposed else out).numel() * math.prod(weight.shape[1:])


aten = torch.ops.aten
COUNTED: Mapping[Any, Callable[[Sequence[Any], Tensor], int]] = {
    aten.mm.default: lambda given, out: _product(given[0], given[1]),
    aten.bmm.default: lambda given, out: _product(given[0], given[1]),
    aten.addmm.default: lambda given, out: _product(given[1], given[2]),
    aten.baddbmm.default: lambda given, out: _product(given[1], given[2]),
    aten.convolution.default: lambda given, out: _convolved(given[0], given[1], out, given[6]),
}
"""What the operators that all products are made of take. torch's own counter imports a compiler for GPUs, or warns that
there is none; the test holds this to it."""


class Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's base class has no types
    """Counts within its block."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in COUNTED:
            self.total += COUNTED[func](args, out)
        return out


def flops_per_sample(session: Session) -> float | None:
    """Three times the operations of a forward pass, a multiplication and an addition being two.

    Matrix products, convolutions and attention are counted; what is done number by number (activations, normalization,
    the loss, the optimizer's step) is not, nor what an optimizer does beyond a gradient of each sample.

    Args:
        session: Of the run; it is left as it was, random states and BatchNorm's included.

    Returns:
        None where nothing can be counted: a model that refuses two samples, or has none of these.
    """
    if session.model not in _KNOWN:
        try:
            _KNOWN[session.model] = _counted(session)
        except Exception:  # a user's model may refuse what training never asks of it; a count is no reason to fail
            _KNOWN[session.model] = None
    return _KNOWN[session.model]


def _counted(session: Session) -> float | None:
    whole, model = session.dataset, session.model
    some = replace(
        whole,
        x_train=whole.x_train[:SAMPLES],
        y_train=whole.y_train[:SAMPLES],
        x_test=whole.x_test[:0],
        y_test=whole.y_test[:0],
        x_validation=None,
        y_validation=None,
    )
    device = next(model.parameters()).device
    x, _ = next(evaluation_batches(some, "train", device=device, batch=SAMPLES, dtype=session.probe.dtype))
    with untouched(model), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), Counter() as counter:  # attention as products
        session.probe.forward(model.eval(), x)
    return TIMES * counter.total / len(x) if counter.total else None
