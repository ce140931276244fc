"""What plain autograd says of a batch: the judge of every quicker way to per-sample gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from batchlab.optimizers.moments.flat import exact

Gradients = list[Tensor | None]
NOTHING = 1e-16  # a gradient of that norm is none: its square is no float32
FEW = 8  # samples that are looked at one by one, and parted from one another in six ways


@dataclass(frozen=True)
class Losses:
    """The samples' losses (n,), of a model's output and the targets.

    Attributes:
        criterion: gives them.
        weights: that they are multiplied by, (n,).
    """

    criterion: Callable[[Any, Any], Tensor]
    weights: Tensor | None = None

    def __call__(self, output: Any, y: Any, samples: int) -> Tensor:
        """The losses.

        Raises:
            ValueError: the criterion gives another shape.
        """
        losses = self.criterion(output, y)
        if not isinstance(losses, Tensor) or losses.dim() != 1 or len(losses) != samples:
            what = f"shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else f"a {type(losses).__name__}"
            raise ValueError(
                f"the criterion gave {what} for {samples} samples: it must give one loss "
                'each, shape (n,); pass reduction="none" and average over all but the first dimension'
            )
        return losses if self.weights is None else losses * self.weights.to(losses.dtype)


@dataclass(frozen=True)
class Batch:
    """The n samples x, samples first, and their targets y, for a model and the samples' losses."""

    model: nn.Module
    losses_of: Losses
    x: Tensor
    y: Any

    def losses(self) -> Tensor:
        """The losses (n,), of an ordinary forward pass."""
        return self.losses_of(self.model(self.x), self.y, len(self.x))

    def data(self) -> list[Tensor]:
        """x, and whatever tensors y holds."""
        return [t for t in (self.x, *tree_leaves(self.y)) if isinstance(t, Tensor) and not t.is_nested]

    def of(self, order: Tensor) -> Batch:
        """A batch of some of its samples (copies), by their places (m,)."""
        return replace(self, x=self.x[order], y=targets_of(self.y, order, len(self.x)))


@dataclass
class Truth:
    """A batch by plain autograd: its losses (n,), and gradients, aligned with `params`; None: not reached.

    Attributes:
        sums: gradients of the sum of the losses.
        alone: gradients of single samples' losses, by the sample.
    """

    losses: Tensor
    sums: Gradients
    alone: dict[int, Gradients]

    @classmethod
    def of(cls, batch: Batch, params: Sequence[Tensor]) -> Truth:
        """One forward pass, a backward pass for the batch, and some for single samples.

        Raises:
            ValueError: plain autograd cannot do it either.
        """
        with torch.enable_grad():
            losses = batch.losses()
        sums = gradients_of(losses.sum(), params)
        return cls(losses.detach(), sums, {i: gradients_of(losses[i], params) for i in some_of(len(losses))})

    @property
    def finite(self) -> bool:
        """Whether there is anything to compare with."""
        given = [g for gradients in (self.sums, *self.alone.values()) for g in gradients if g is not None]
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
        slack, floor = loose(eps), 10 * eps
        if not close(losses, self.losses, slack, float(self.losses.abs().max())):
            return "the losses are others"
        norms = {sample: [norm_of(g) for g in gradients] for sample, gradients in self.alone.items()}
        typical = [len(losses) ** 0.5 * max(of_one) for of_one in zip(*norms.values(), strict=True)]
        sizes = [max(norm_of(g), size) for g, size in zip(self.sums, typical, strict=True)]
        total = sum(s * s for s in sizes) ** 0.5
        for place, (got, want, size) in enumerate(zip(sums, self.sums, sizes, strict=True)):
            error = norm_of(got if want is None else wide(got) - wide(want))
            if not error <= slack * size + floor * total + NOTHING:
                return f"the sum of parameter {place}'s gradients is {error / max(size, total * floor, 1e-300):.1g} off"
        for places in shares:
            for sample, by_place in norms.items():
                want = sum(by_place[place] ** 2 for place in places) ** 0.5
                got = float(shares[places][sample]) ** 0.5
                if not abs(got - want) <= slack * want + floor * total + NOTHING:
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


def some_of(samples: int) -> list[int]:
    """All of a few samples; of many, four from the first to the last."""
    return list(range(samples)) if samples <= FEW else [round(k * (samples - 1) / 3) for k in range(4)]


def targets_of(y: Any, order: Tensor, samples: int) -> Any:
    """The targets of some samples: of what has an entry per sample these entries, inside of others too.

    Args:
        y: all targets: a tensor, an array, or sequences, mappings, named tuples and dataclasses of such.
        order: the samples' places (m,).
        samples: in all.

    Raises:
        ValueError: another kind of object, of which nobody knows what belongs to which sample.
    """
    if y is None or isinstance(y, (str, int, float, complex)):
        return y
    if isinstance(y, Tensor) and not y.is_nested:
        return y[order.to(y.device)] if y.dim() and len(y) == samples else y
    if hasattr(y, "__array__") and hasattr(y, "take") and not isinstance(y, Tensor):
        return y[order.cpu().numpy()] if y.ndim and len(y) == samples else y

    def inside(part: Any) -> Any:
        return targets_of(part, order, samples)

    if isinstance(y, Mapping):
        return {key: inside(value) for key, value in y.items()}
    if isinstance(y, tuple) and hasattr(y, "_fields"):
        return type(y)(*map(inside, y))
    if isinstance(y, (list, tuple)):
        columns = all(isinstance(t, Tensor) and t.dim() and len(t) == samples for t in y)
        by_sample = len(y) == samples and not columns
        return type(y)([y[k] for k in order.tolist()] if by_sample else map(inside, y))
    if is_dataclass(y) and not isinstance(y, type):
        return replace(y, **{part.name: inside(getattr(y, part.name)) for part in fields(y) if part.init})
    raise ValueError(
        f"targets of type {type(y).__name__} cannot be cut into samples, which per-sample statistics must once: give "
        "tensors with a row per sample (in a dictionary, a list, a dataclass), or use estimator=groups"
    )


def rounding(params: Sequence[Tensor], device: torch.device) -> float:
    """The relative rounding of the coarsest type that takes part."""
    kinds = {p.dtype for p in params if p.is_floating_point()}
    if torch.is_autocast_enabled(device.type):
        kinds.add(torch.get_autocast_dtype(device.type))
    coarse = max(torch.finfo(kind).eps for kind in kinds)
    tensor_cores = device.type == "cuda" and (torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32)
    return max(coarse, 1e-3) if tensor_cores and torch.float32 in kinds else coarse


def loose(eps: float) -> float:
    """How far two ways may be apart for rounding: what is wrong is wrong by more."""
    return min(10 * math.sqrt(eps), 0.1)


def wide(tensor: Tensor) -> Tensor:
    """The tensor in the widest float."""
    widened: Tensor = tensor.to(exact(tensor.device))
    return widened


def norm_of(tensor: Tensor | None) -> float:
    """The Euclidean norm; of None, 0."""
    norm: Tensor = torch.linalg.vector_norm(torch.zeros(()) if tensor is None else wide(tensor))
    return float(norm)


def close(one: Tensor, other: Tensor, loose: float, size: float) -> bool:
    """Whether two tensors are the same but for `loose`, relative to each entry and to `size`."""
    same: bool = torch.allclose(wide(one), wide(other), rtol=loose, atol=loose * size, equal_nan=True)
    return same
