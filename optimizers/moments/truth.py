"""What plain autograd says of a batch: the judge of every quicker way to per-sample gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from batchlab.optimizers.moments.flat import exact
from batchlab.optimizers.moments.state import ModelState, random_states, same_states

Losses = Callable[[Tensor, Tensor], Tensor]  # (output, targets) -> the samples' losses, (n,)
Gradients = list[Tensor | None]


@dataclass
class Truth:
    """A batch by plain autograd: its losses (n,), and gradients, aligned with `params`; None: not reached.

    Attributes:
        sums: gradients of the sum of the losses.
        ends: gradients of the first sample's loss and of the last's.
    """

    losses: Tensor
    sums: Gradients
    ends: tuple[Gradients, Gradients]

    @classmethod
    def of(cls, model: nn.Module, losses_of: Losses, x: Tensor, y: Tensor, params: Sequence[Tensor]) -> Truth:
        """One forward and three backward passes.

        Raises:
            ValueError: plain autograd cannot do it either.
        """
        with torch.enable_grad():
            losses = losses_of(model(x), y)
        sums = gradients_of(losses.sum(), params)
        return cls(losses.detach(), sums, (gradients_of(losses[0], params), gradients_of(losses[-1], params)))

    @property
    def finite(self) -> bool:
        """Whether there is anything to compare with."""
        given = [g for g in (*self.sums, *self.ends[0], *self.ends[1]) if g is not None]
        return all(bool(g.isfinite().all()) for g in (self.losses, *given))

    @torch.no_grad()
    def differs(
        self, losses: Tensor, sums: Sequence[Tensor], shares: Mapping[tuple[int, ...], Tensor], eps: float
    ) -> str | None:
        """Where a quicker way is not exact, or None.

        Args:
            losses: the samples' losses (n,).
            sums: the samples' gradients added up, aligned with `params`.
            shares: squared norms (n,) of the samples' gradients, by the places of the parameters that they count.
            eps: the relative rounding of the coarsest type that takes part.
        """
        loose, floor = _loose(eps), 10 * eps
        if not _close(losses, self.losses, loose, float(self.losses.abs().max())):
            return "the losses are others"
        ends = [[_norm(g) for g in end] for end in self.ends]
        many = len(losses) ** 0.5
        sizes = [max(_norm(g), many * a, many * b) for g, a, b in zip(self.sums, *ends, strict=True)]
        total = sum(s * s for s in sizes) ** 0.5
        for place, (got, want, size) in enumerate(zip(sums, self.sums, sizes, strict=True)):
            error = _norm(got if want is None else _wide(got) - _wide(want))
            if not error <= loose * size + floor * total:
                return f"the sum of parameter {place}'s gradients is {error / max(size, total * floor, 1e-300):.1g} off"
        for places in shares:
            for sample, norms in zip((0, -1), ends, strict=True):
                want = sum(norms[place] ** 2 for place in places) ** 0.5
                got = float(shares[places][sample]) ** 0.5
                if not abs(got - want) <= loose * want + floor * total:
                    return f"a sample's gradient of parameters {places} has the norm {got:.6g}, not {want:.6g}"
        return None


def gradients_of(loss: Tensor, params: Sequence[Tensor]) -> Gradients:
    """Gradients of one number (), dense, aligned with `params`; None where it does not reach. The graph stays.

    Raises:
        ValueError: autograd cannot, e.g. since something was overwritten in place.
    """
    places = [i for i, p in enumerate(params) if p.requires_grad]
    result: Gradients = [None] * len(params)
    if not loss.requires_grad or not places:
        return result
    try:
        given = torch.autograd.grad(loss, [params[i] for i in places], retain_graph=True, allow_unused=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ValueError(
            f"autograd cannot take the gradient of one sample's loss in this model: {error}\n"
            "Mend the model, or use estimator=groups where an ordinary backward pass works"
        ) from error
    for place, gradient in zip(places, given, strict=True):
        if gradient is not None:
            result[place] = (gradient.to_dense() if gradient.is_sparse else gradient).detach()
    return result


def check_apart(model: nn.Module, losses_of: Losses, x: Tensor, y: Tensor, before: ModelState, eps: float) -> None:
    """Raise ValueError where a sample's loss depends on the others in its batch.

    The first sample's loss is taken again with every sample replaced by the first, the last's with the last: the
    same shapes and the same random numbers, so that only what mixes samples can change it.

    Args:
        model: to be asked.
        losses_of: the samples' losses (n,), of the model's output and the targets.
        x: the n samples.
        y: their targets.
        before: the state to start each forward pass from; the model is left in another.
        eps: the relative rounding of the coarsest type that takes part.
    """

    @torch.no_grad()
    def pass_of(x: Tensor, y: Tensor) -> tuple[Tensor, list[Any]]:
        before.restore()
        return losses_of(model(x.clone()), y), random_states(x.device)

    losses, drawn = pass_of(x, y)
    for sample in (0, len(x) - 1):
        among_copies, drawn_then = pass_of(x[sample].expand_as(x), y[sample].expand_as(y).clone())
        if not same_states(drawn, drawn_then):
            continue  # other random numbers: nothing can be told from the difference
        here, there = losses[sample], among_copies[sample]
        if not _close(here, there, _loose(eps), float(losses.abs().max())):
            raise ValueError(
                f"the loss of a sample depends on the others in its batch (it is {float(here):.6g}, and among copies "
                f"of itself {float(there):.6g}), so that no sample has a gradient of its own: use estimator=groups, "
                "to which a group is a batch like any other, or a model and a loss that keep samples apart"
            )


def rounding(params: Sequence[Tensor], device: torch.device) -> float:
    """The relative rounding of the coarsest type that takes part."""
    kinds = {p.dtype for p in params if p.is_floating_point()}
    if torch.is_autocast_enabled(device.type):
        kinds.add(torch.get_autocast_dtype(device.type))
    coarse = max(torch.finfo(kind).eps for kind in kinds)
    tensor_cores = device.type == "cuda" and (torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32)
    return max(coarse, 1e-3) if tensor_cores and torch.float32 in kinds else coarse


def _loose(eps: float) -> float:
    """How far two ways may be apart for rounding: what is wrong is wrong by more."""
    return min(10 * eps**0.5, 0.3)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(exact(tensor.device))


def _norm(tensor: Tensor | None) -> float:
    return 0.0 if tensor is None else torch.linalg.vector_norm(_wide(tensor)).item()


def _close(one: Tensor, other: Tensor, loose: float, size: float) -> bool:
    same: bool = torch.allclose(_wide(one), _wide(other), rtol=loose, atol=loose * size, equal_nan=True)
    return same
