"""How each kind of layer is applied so that its per-sample gradients can be had."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten
from typing_extensions import override

from batchlab.optimizers.moments.layers import Call, ConvCall, EmbeddingCall, ExpandedCall, LinearCall

Apply = Callable[..., Any]  # (run, unit, forward, *args, **kwargs) -> what forward(*args, **kwargs) gives


class NotSampleWise(Exception):
    """A layer cannot be treated by itself."""


class Pass(Protocol):
    """What a unit tells of its uses in one forward and backward pass (`per_sample.Pass` keeps it)."""

    samples: int

    def rows(self, unit: Unit, inputs: Sequence[Any]) -> list[bool]:
        """Which of the inputs have one row per sample.

        Raises:
            NotSampleWise: none of them.
        """

    def expect(self, unit: Unit) -> None:
        """A use whose gradient will come."""

    def arrived(self, unit: Unit, call: Call) -> None:
        """The gradient of one use."""

    def later(self, unit: Unit, call: Call) -> None:
        """A use that is ready only when the backward pass is over."""


@dataclass(frozen=True)
class Unit:
    """A module whose parameters' gradients are taken together; `params` by their names in it."""

    name: str
    module: nn.Module
    params: dict[str, nn.Parameter]
    apply: Apply


def units_of(model: nn.Module, wanted: set[int]) -> Iterator[Unit]:
    """The units of a model: known layers, and the smallest modules that hold the other parameters.

    Args:
        model: to be divided.
        wanted: ids of the parameters whose gradients are wanted.
    """
    seen: set[int] = set()

    def visit(module: nn.Module, name: str) -> Iterator[Unit]:
        if id(module) in seen:
            return
        seen.add(id(module))
        own = {n: p for n, p in module.named_parameters(recurse=False) if id(p) in wanted}
        apply = _known(module)
        if own and apply is not None:
            yield Unit(name, module, own, apply)
        elif own:
            yield replay(name, module, wanted)
        else:
            for child, part in module.named_children():
                yield from visit(part, f"{name}.{child}" if name else child)

    yield from visit(model, "")


def replay(name: str, module: nn.Module, wanted: set[int]) -> Unit:
    """A module of any kind, as one unit."""
    return Unit(name, module, {n: p for n, p in module.named_parameters() if id(p) in wanted}, _replayed)


def _known(module: nn.Module) -> Apply | None:
    """How to apply a module whose forward is exactly that of a layer we know."""
    if not {"weight"} <= set(module._parameters) <= {"weight", "bias"} or "forward" in vars(module):
        return None  # a parametrized weight, or a forward that someone has put in
    for layer, apply in KNOWN.items():
        if isinstance(module, layer) and type(module).forward is layer.forward and not module._modules:
            return apply
    return None


@contextmanager
def _hidden(unit: Unit) -> Iterator[None]:
    """Keep the unit's parameters out of autograd's sight."""
    try:
        for parameter in unit.params.values():
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in unit.params.values():
            parameter.requires_grad_(True)


class _Attach(torch.autograd.Function):
    """Puts a tensor that needs no gradient into the graph, in place, so that a hook can see its gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, anchor: Tensor) -> Tensor:
        ctx.mark_dirty(tensor)
        return tensor

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> tuple[None, None]:
        return None, None


def _hook(tensor: Tensor, hook: Callable[[Tensor], None]) -> Tensor:
    register: Callable[[Callable[[Tensor], None]], object] = tensor.register_hook
    register(hook)
    return tensor


def _tap(output: Tensor, hook: Callable[[Tensor], None]) -> Tensor:
    if not output.requires_grad:
        anchor = torch.empty(0, device=output.device, requires_grad=True)
        output = _Attach.apply(output.clone() if output._is_view() else output, anchor)
    return _hook(output, hook)


def _tapped(
    call: Callable[[Any, Sequence[str], Tensor, Tensor], Call], run: Pass, unit: Unit, forward: Apply, input: Tensor
) -> Any:
    """A layer whose `call` needs its input and its output's gradient."""
    run.rows(unit, [input])
    with _hidden(unit):
        output = forward(input)
    if not torch.is_grad_enabled():
        return output
    run.expect(unit)
    source = input.detach()
    return _tap(output, lambda d: run.arrived(unit, call(unit.module, list(unit.params), source, d)))


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
            _hook(copy.requires_grad_(), partial(_expanded_arrived, run, unit, name))
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


def _embedding(layer: nn.Embedding, params: Sequence[str], x: Tensor, d: Tensor) -> Call:
    if layer.scale_grad_by_freq:
        raise ValueError(
            "Embedding(scale_grad_by_freq=True) divides by how often an index comes in the whole batch, so that "
            "no sample has a gradient of its own: use estimator=groups, or switch it off"
        )
    return EmbeddingCall(layer, params, x, d)


KNOWN: dict[type[nn.Module], Apply] = {
    nn.Linear: partial(_tapped, LinearCall),
    nn.Conv1d: partial(_tapped, ConvCall),
    nn.Conv2d: partial(_tapped, ConvCall),
    nn.Conv3d: partial(_tapped, ConvCall),
    nn.Embedding: partial(_tapped, _embedding),
    nn.GroupNorm: partial(_expanded, _group_norm),
    nn.LayerNorm: partial(_expanded, _layer_norm),
    nn.RMSNorm: partial(_expanded, _rms_norm),
}


def autocast_as_now(device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """Makes contexts with the automatic mixed precision that is on now."""
    kind = device.type
    return partial(torch.autocast, kind, dtype=torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind))


@dataclass
class ReplayCall(Call):
    """A module of any kind, run again for single samples under vmap."""

    unit: Unit
    forward: Apply
    inputs: list[Any]
    spec: TreeSpec
    rows: list[bool]
    autocast: Callable[[], AbstractContextManager[Any]]
    gradients: dict[int, Tensor] = field(default_factory=dict)  # of the outputs, by their place

    @property
    @override
    def ready(self) -> bool:
        return bool(self.gradients)

    def __post_init__(self) -> None:
        self.params = list(self.unit.params)
        moving = [t for t, row in zip(self.inputs, self.rows, strict=True) if row]
        self.bytes = sum(p.numel() * p.element_size() for p in self.unit.params.values())
        self.bytes += sum(t[0].numel() * t.element_size() for t in moving)

    @override
    def blocks(self, samples: slice) -> list[Tensor]:
        params = {name: p.detach() for name, p in self.unit.params.items()}
        moving = [t[samples] for t, row in zip(self.inputs, self.rows, strict=True) if row]
        given = {place: d[samples] for place, d in self.gradients.items()}

        def of_one(moving: list[Tensor], given: dict[int, Tensor]) -> dict[str, Tensor]:
            parts = iter(moving)
            inputs = [next(parts)[None] if row else t for t, row in zip(self.inputs, self.rows, strict=True)]
            args, kwargs = tree_unflatten(inputs, self.spec)

            def outputs(params: dict[str, Tensor]) -> dict[int, Tensor]:
                output = torch.func.functional_call(self.unit.module, params, args, kwargs)
                leaves = tree_flatten(output)[0]
                return {place: leaves[place][0] for place in given}

            pull: Callable[..., tuple[dict[str, Tensor]]] = torch.func.vjp(outputs, params)[1]
            return pull(given)[0]

        patched = self.unit.module.__dict__["forward"]
        self.unit.module.__dict__["forward"] = self.forward
        try:
            with self.autocast():
                gradients = torch.func.vmap(of_one)(moving, given)
        except RuntimeError as error:
            raise ValueError(
                f"{self.unit.name} ({type(self.unit.module).__name__}) cannot be run sample by sample under "
                f"torch.func.vmap: {error}\nUse estimator=groups, or layers that are known: "
                f"{', '.join(layer.__name__ for layer in KNOWN)}"
            ) from error
        finally:
            self.unit.module.__dict__["forward"] = patched
        return [gradients[name] for name in self.params]


def _replayed(run: Pass, unit: Unit, forward: Apply, *args: Any, **kwargs: Any) -> Any:
    inputs, spec = tree_flatten((args, kwargs))
    rows = run.rows(unit, inputs)
    with _hidden(unit):
        output = forward(*args, **kwargs)
    leaves, output_spec = tree_flatten(output)
    floats = [k for k, t in enumerate(leaves) if isinstance(t, Tensor) and t.is_floating_point()]
    if any(leaves[k].dim() == 0 or len(leaves[k]) != run.samples for k in floats):
        raise NotSampleWise(f"{unit.name} gives something that has not one row per sample")
    if not torch.is_grad_enabled():
        return output
    run.expect(unit)
    sources = [t.detach() if isinstance(t, Tensor) else t for t in inputs]
    device = next(iter(unit.params.values())).device
    call = ReplayCall(unit, forward, sources, spec, rows, autocast_as_now(device))
    run.later(unit, call)
    for k in floats:
        leaves[k] = _tap(leaves[k], partial(call.gradients.__setitem__, k))
    return tree_unflatten(leaves, output_spec)
