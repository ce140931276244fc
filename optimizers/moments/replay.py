"""A module of any kind, run again for single samples: under torch.func.vmap, or one after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten
from typing_extensions import override

from batchlab.optimizers.moments.layers import Call
from batchlab.optimizers.moments.state import ModelState, random_states, same_states
from batchlab.optimizers.moments.units import Apply, NotSampleWise, Pass, Unit, hidden, short, tap


class Whole(nn.Module):
    """A model with its own hooks as one layer."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model gives."""
        return self.model(*args, **kwargs)


def called_with(
    module: nn.Module, params: Mapping[str, Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
) -> Any:
    """What the module gives with other parameters, tied ones included: `torch.func.functional_call`, place by place.

    (By itself it replaces a layer that a model has under two names twice, and leaves the first replacement in it.)

    Args:
        module: to be called.
        params: in place of its parameters, by their names in `named_parameters`.
        args: for the module.
        kwargs: for the module.
    """
    given = {id(p): params[name] for name, p in module.named_parameters() if name in params}
    places = {
        f"{prefix}.{name}" if prefix else name: given[id(p)]
        for prefix, part in module.named_modules()
        for name, p in part._parameters.items()
        if id(p) in given
    }
    return torch.func.functional_call(module, places, args, dict(kwargs or {}), tie_weights=False)


def autocast_as_now(device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """Makes contexts with the automatic mixed precision that is on now."""
    kind = device.type
    return partial(torch.autocast, kind, dtype=torch.get_autocast_dtype(kind), enabled=torch.is_autocast_enabled(kind))


@dataclass
class ReplayCall(Call):
    """One application of a module, to be run again for single samples from the state that it was in."""

    run: Pass
    unit: Unit
    before: ModelState
    inputs: list[Any]
    spec: TreeSpec
    rows: list[bool]
    autocast: Callable[[], AbstractContextManager[Any]]
    outputs: dict[int, Tensor]  # by their place
    gradients: dict[int, Tensor] = field(default_factory=dict)  # of these

    @property
    @override
    def ready(self) -> bool:
        return bool(self.gradients)

    def __post_init__(self) -> None:
        self.params = list(self.unit.params)
        moving = [t for t, row in zip(self.inputs, self.rows, strict=True) if row]
        self.bytes = sum(p.numel() * p.element_size() for p in self.unit.params.values())
        self.bytes += sum(t[0].numel() * t.element_size() for t in moving)
        self.versions = [t._version for t in self.inputs if isinstance(t, Tensor)]

    def took(self, place: int, gradient: Tensor) -> None:
        """The gradient of an output has come."""
        if self.run.in_backward():
            self.gradients[place] = gradient

    @override
    def blocks(self, samples: slice) -> list[Tensor]:
        if self.versions != [t._version for t in self.inputs if isinstance(t, Tensor)]:
            raise NotSampleWise(f"what {self.unit.name} was applied to has been overwritten in place since", True)
        now = ModelState(self.unit.module)
        try:
            with self.autocast():
                if self.unit.name not in self.run.one_by_one:
                    try:
                        self.before.restore()
                        return self._at_once(samples)
                    except torch.OutOfMemoryError:
                        raise
                    except Exception as why:  # whatever vmap, or the module under it, makes of what it cannot do
                        self.run.go_one_by_one(self.unit, why)
                return self._one_by_one(samples)
        finally:
            now.restore()

    def _at_once(self, samples: slice) -> list[Tensor]:
        params = {name: p.detach() for name, p in self.unit.params.items()}
        moving = [t[samples] for t, row in zip(self.inputs, self.rows, strict=True) if row]
        given = {place: d[samples] for place, d in self.gradients.items()}

        def of_one(moving: list[Tensor], given: dict[int, Tensor]) -> tuple[dict[str, Tensor], dict[int, Tensor]]:
            parts = iter([t[None] for t in moving])

            def outputs(params: dict[str, Tensor]) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
                leaves = self._leaves(params, [next(parts) if row else None for row in self.rows])
                alone = {place: leaves[place] for place in given}
                if any(output.shape != (1, *given[place].shape) for place, output in alone.items()):
                    raise NotSampleWise("it gives another shape for one sample")
                firsts = {place: output[0] for place, output in alone.items()}
                return firsts, firsts

            vjp: Any = torch.func.vjp
            _, pull, again = vjp(outputs, params, has_aux=True)
            return pull(given)[0], again

        gradients, again = torch.func.vmap(of_one)(moving, given)
        for place, output in again.items():
            self.run.compare(self.unit, output, self.outputs[place][samples])
        return [gradients[name] for name in self.params]

    def _one_by_one(self, samples: slice) -> list[Tensor]:
        blocks = [p.new_zeros(samples.stop - samples.start, *p.shape) for p in self.unit.params.values()]
        for place, sample in enumerate(range(samples.start, samples.stop)):
            self.before.restore()
            only = slice(sample, sample + 1)
            params = {name: p.detach().requires_grad_() for name, p in self.unit.params.items()}
            moving = [t[only] if row else None for t, row in zip(self.inputs, self.rows, strict=True)]
            try:
                with torch.enable_grad():
                    leaves = self._leaves(params, moving)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                raise NotSampleWise(f"{self.unit.name} cannot be run for one sample: {short(error)}", True) from error
            for k in self.gradients:
                self.run.compare(self.unit, leaves[k].detach(), self.outputs[k][only])
            reached = [(leaves[k], d[only]) for k, d in self.gradients.items() if leaves[k].requires_grad]
            if not reached:
                continue
            outputs, given = zip(*reached, strict=True)
            gradients = torch.autograd.grad(outputs, list(params.values()), given, allow_unused=True)
            for block, gradient in zip(blocks, gradients, strict=True):
                if gradient is not None:
                    block[place] = gradient.to_dense() if gradient.is_sparse else gradient
        return blocks

    def _leaves(self, params: dict[str, Tensor], moving: Sequence[Tensor | None]) -> list[Any]:
        inputs = [t if row is None else row for t, row in zip(self.inputs, moving, strict=True)]
        args, kwargs = tree_unflatten(inputs, self.spec)
        return tree_flatten(called_with(self.unit.module, params, args, kwargs))[0]


def replay(name: str, module: nn.Module, wanted: set[int]) -> Unit:
    """A module of any kind, as one unit.

    Args:
        name: in the model.
        module: the module.
        wanted: ids of the parameters whose gradients are wanted.
    """
    return Unit(name, module, {n: p for n, p in module.named_parameters() if id(p) in wanted}, replayed)


def replayed(run: Pass, unit: Unit, forward: Apply, *args: Any, **kwargs: Any) -> Any:
    """Apply the unit, so that it can be run again.

    Raises:
        NotSampleWise: its inputs or outputs are not rows of samples, it draws random numbers (which a second run
            would draw anew), or it changes its input.
    """
    inputs, spec = tree_flatten((args, kwargs))
    rows = run.rows(unit, inputs)
    device = next(iter(unit.params.values())).device
    tensors = [t for t in inputs if isinstance(t, Tensor)]
    before, versions, drawn = ModelState(unit.module), [t._version for t in tensors], random_states(device)
    with hidden(unit):
        output = forward(*args, **kwargs)
    if not same_states(drawn, random_states(device)):
        raise NotSampleWise(f"{unit.name} draws random numbers")
    if versions != [t._version for t in tensors]:
        raise NotSampleWise(f"{unit.name} changes its input in place")
    leaves, output_spec = tree_flatten(output)
    floats = [k for k, t in enumerate(leaves) if isinstance(t, Tensor) and t.is_floating_point()]
    if any(leaves[k].dim() == 0 or len(leaves[k]) != run.samples for k in floats):
        raise NotSampleWise(f"{unit.name} gives something that has not one row per sample")
    if not torch.is_grad_enabled():
        return output
    run.expect(unit)
    sources = [t.detach() if isinstance(t, Tensor) else t for t in inputs]
    outputs = {k: leaves[k].detach().clone() for k in floats}  # which may be written over later
    call = ReplayCall(run, unit, before, sources, spec, rows, autocast_as_now(device), outputs)
    run.later(unit, call)
    for k in floats:
        leaves[k] = tap(leaves[k], partial(call.took, k), tensors)
    return tree_unflatten(leaves, output_spec)
