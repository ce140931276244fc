"""How each kind of layer that we know is applied, so that one backward pass gives its per-sample gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from batchlab.optimizers.moments.layers import Call, ConvCall, EmbeddingCall, ExpandedCall, LinearCall
from batchlab.optimizers.moments.units import Apply, NotSampleWise, Pass, Unit, hidden, hook_on, tap


def known(module: nn.Module) -> Apply | None:
    """How to apply a module whose forward is exactly that of a layer we know."""
    if not {"weight"} <= set(module._parameters) <= {"weight", "bias"} or "forward" in vars(module):
        return None  # a parametrized weight, or a forward that someone has put in
    for layer, apply in KNOWN.items():
        if not isinstance(module, layer) or module._modules:
            continue
        own = [getattr(type(module), n, None) is getattr(layer, n, None) for n in ("forward", "_conv_forward")]
        if all(own):
            return apply
    return None


def _tapped(
    call: Callable[[Any, Sequence[str], Tensor, Tensor], Call], run: Pass, unit: Unit, forward: Apply, input: Tensor
) -> Any:
    """A layer whose `call` needs its input and its output's gradient."""
    run.rows(unit, [input])
    with hidden(unit):
        output = forward(input)
    if not torch.is_grad_enabled():
        return output
    run.expect(unit)
    source, version = input.detach(), input._version

    def arrived(d: Tensor) -> None:
        if source._version != version and "weight" in unit.params:
            raise NotSampleWise(f"what {unit.name} was applied to has been overwritten in place since", True)
        run.arrived(unit, call(unit.module, list(unit.params), source, d))

    return tap(output, arrived, ())


def _expanded(
    function: Callable[[Any, Tensor, Tensor | None, Tensor | None], Tensor],
    run: Pass,
    unit: Unit,
    forward: Apply,
    input: Tensor,
) -> Any:
    """A layer with few parameters: each sample gets its own copy of them, and autograd keeps them apart."""
    run.rows(unit, [input])
    if not torch.is_grad_enabled():
        return forward(input)
    run.expect(unit)
    copies: dict[str, Tensor | None] = {"weight": None, "bias": None}
    for name, parameter in unit.module.named_parameters(recurse=False):
        copy = parameter.detach().expand(len(input), *parameter.shape).clone()
        copies[name] = copy
        if name in unit.params:
            hook_on(copy.requires_grad_(), partial(_expanded_arrived, run, unit, name))
    return function(unit.module, input, copies["weight"], copies["bias"])


def _expanded_arrived(run: Pass, unit: Unit, name: str, gradient: Tensor) -> None:
    run.arrived(unit, ExpandedCall([name], [gradient]))


def _group_norm(layer: nn.GroupNorm, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """The samples as groups of channels of one sample: the same numbers, with a weight for each."""
    assert weight is not None
    samples = x.reshape(1, -1, *x.shape[2:])
    flat_bias = None if bias is None else bias.flatten()
    y = F.group_norm(samples, len(x) * layer.num_groups, weight.flatten(), flat_bias, layer.eps)
    return y.reshape(x.shape)


def _scaled(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    assert weight is not None
    shape = [len(x), *[1] * (x.dim() - weight.dim()), *weight.shape[1:]]
    return x * weight.view(shape) if bias is None else torch.addcmul(bias.view(shape), x, weight.view(shape))


def _layer_norm(layer: nn.LayerNorm, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return _scaled(F.layer_norm(x, layer.normalized_shape, eps=layer.eps), weight, bias)


def _rms_norm(layer: nn.RMSNorm, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return _scaled(F.rms_norm(x, list(layer.normalized_shape), eps=layer.eps), weight, bias)


KNOWN: dict[type[nn.Module], Apply] = {
    nn.Linear: partial(_tapped, LinearCall),
    nn.Conv1d: partial(_tapped, ConvCall),
    nn.Conv2d: partial(_tapped, ConvCall),
    nn.Conv3d: partial(_tapped, ConvCall),
    nn.Embedding: partial(_tapped, EmbeddingCall),
    nn.GroupNorm: partial(_expanded, _group_norm),
    nn.LayerNorm: partial(_expanded, _layer_norm),
    nn.RMSNorm: partial(_expanded, _rms_norm),
}
