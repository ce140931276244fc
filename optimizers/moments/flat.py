"""One flat vector for a whole list of parameters: one kernel where a list takes sixty, one all-reduce."""

from collections.abc import Sequence

import torch
from torch import Tensor

ROW = 1024  # summing 500,000 squares in one float32 chain loses 4e-5; rows of 1,024 added in float64 lose 5e-8
SHORT = 64  # rows of a squared norm: 500,000 numbers in 8,000 rows lose 6e-10, in 500 of ROW 5e-9


def exact(device: torch.device) -> torch.dtype:
    """The widest float of a device: float64, except on Apple's GPU, which has none."""
    return torch.float32 if device.type == "mps" else torch.float64


class Layout:
    """Where each parameter lies in a flat vector of `length` entries (padded with zeros to whole rows).

    Views keep the parameter's own strides (channels_last included), so that foreach optimizers take their
    fast path on the gradients handed out. Sums are kept in float64 where a parameter is, else in float32
    (bfloat16 gradients included).
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        self.params = params
        self.device = params[0].device
        self.dtype = torch.float64 if any(p.dtype == torch.float64 for p in params) else torch.float32
        for parameter in params:
            if parameter.device != self.device:
                raise ValueError(
                    f"parameters on {self.device} and on {parameter.device}: the moments of a model are kept in "
                    "one buffer; move the parameters to one device, or use one GradientMoments per device"
                )
            if parameter.is_complex():
                raise ValueError("complex parameters: pass torch.view_as_real(parameter) instead")
        self.length = -(-sum(p.numel() for p in params) // ROW) * ROW

    def views(self, flat: Tensor) -> list[Tensor]:
        """The parts of `flat` (length,) in the shapes of the parameters; they share its memory."""
        views, start = [], flat.storage_offset()
        for parameter in self.params:
            strides = parameter.stride() if _dense(parameter) else _contiguous(parameter.shape)
            views.append(flat.as_strided(parameter.shape, strides, start))
            start += parameter.numel()
        return views

    def zeros(self, length: int) -> Tensor:
        """Zeros of shape (length,), on the parameters' device, in the type that sums are kept in."""
        return torch.zeros(length, dtype=self.dtype, device=self.device)


class Sums:
    """What a step adds up, in the one piece of memory that the ranks add up too.

    Attributes:
        gradient: sum over samples of their gradients, (length,).
        squares: sum over groups of n_j g_j^2 per coordinate, (length,) where kept. (`reduce` makes means of both.)
        ledger: room for what few numbers the ranks exchange.
        scatter: sum over groups of n_j ||g_j||^2, float64.
    """

    def __init__(self, params: Sequence[Tensor], *, squares: bool, ledger: int) -> None:
        self.layout = layout = Layout(params)
        copies = 2 if squares else 1
        self.memory = layout.zeros(copies * layout.length + ledger)
        self.gradient = self.memory[: layout.length]
        self.squares = self.memory[layout.length : copies * layout.length]
        self.ledger = self.memory[copies * layout.length :]
        self.scatter = torch.zeros((), dtype=exact(layout.device), device=layout.device)
        self.gradient_views = layout.views(self.gradient)
        self.square_views = layout.views(self.squares) if squares else None

    def add(self, gradients: Sequence[Tensor | None], samples: int, *, squares: bool) -> None:
        """Take in a group's mean gradient, None meaning zero, and where asked its squares by coordinate."""
        pairs = [(place, g) for place, g in enumerate(gradients) if g is not None]
        given = [(g.to_dense() if g.is_sparse else g).to(self.layout.dtype) for _, g in pairs]
        if not given:
            return
        torch._foreach_add_([self.gradient_views[place] for place, _ in pairs], given, alpha=samples)
        self.scatter += samples * squared_norm(given)
        if squares:
            assert self.square_views is not None
            torch._foreach_addcmul_([self.square_views[place] for place, _ in pairs], given, given, value=samples)

    def row(self, gradients: Sequence[Tensor | None]) -> Tensor:
        """A group's gradient, flat."""
        row = self.layout.zeros(self.layout.length)
        for view, gradient in zip(self.layout.views(row), gradients, strict=True):
            if gradient is not None:
                view.copy_(gradient.to_dense() if gradient.is_sparse else gradient)
        return row

    def clear(self) -> None:
        """Forget the step; the memory stays."""
        self.memory.zero_()
        self.scatter.zero_()


def squared_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Squared norm of all tensors together, (), float64.

    A variance is what little two of these differ by where the gradient outweighs its noise. On a CPU the roundings of
    short float32 rows average out, at half the price of squares in float64.
    """
    wide = exact(tensors[0].device)
    if tensors[0].device.type != "cpu":
        return torch.stack(torch._foreach_norm(list(tensors), 2, dtype=wide)).square().sum()
    parts = []
    for flat in (t.detach().reshape(-1) for t in tensors):
        whole = len(flat) // SHORT * SHORT
        parts.append(torch.linalg.vector_norm(flat[whole:]).view(1))
        if whole:
            parts.append(torch.linalg.vector_norm(flat[:whole].view(-1, SHORT), dim=1))
    return torch.cat(parts).to(wide).square().sum()


def square_sum(rows: Tensor) -> Tensor:
    """Squared norms of rows of any shape, (b, ...) -> (b,), float64: short sums of squares are added up in it."""
    wide = torch.promote_types(rows.dtype, torch.float32)
    rows = rows.flatten(1) if rows.dim() > 1 else rows.unsqueeze(1)
    whole = rows.shape[1] // ROW * ROW
    norms: Tensor = torch.linalg.vector_norm(rows[:, whole:], dim=1, dtype=wide).to(exact(rows.device)).square()
    if whole:
        parts = torch.linalg.vector_norm(rows[:, :whole].view(len(rows), -1, ROW), dim=2, dtype=wide)
        norms += parts.to(norms.dtype).square().sum(1)
    return norms


def dots(rows: Tensor, vector: Tensor) -> Tensor:
    """Inner products of the last dimension, (..., length) and (length,) -> (...), added up in float64."""
    parts = rows.view(*rows.shape[:-1], -1, ROW) * vector.view(-1, ROW)
    return parts.sum(-1).to(exact(rows.device)).sum(-1)


def _dense(tensor: Tensor) -> bool:
    """Whether the strides are a permutation of contiguous ones (no gaps, no overlap)."""
    expected = 1
    for stride, size in sorted((st, si) for st, si in zip(tensor.stride(), tensor.shape, strict=True) if si > 1):
        if stride != expected:
            return False
        expected *= size
    return True


def _contiguous(shape: torch.Size) -> list[int]:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * size)
    return strides[::-1] if shape else []
