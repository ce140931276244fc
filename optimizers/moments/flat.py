"""One flat vector for a whole list of parameters: one kernel where a list takes sixty, one all-reduce."""

from collections.abc import Sequence

import torch
from torch import Tensor

ROW = (
    1024  # summing 500,000 squares in one float32 chain loses 4e-5; rows of 1,024 added in float64 lose 5e-8
)


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The dtype that sums are kept in: float64 for float64, else float32 (bfloat16 gradients included)."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def exact(device: torch.device) -> torch.dtype:
    """The widest float of a device: float64, except on Apple's GPU, which has none."""
    return torch.float32 if device.type == "mps" else torch.float64


class Layout:
    """Where each parameter lies in a flat vector of `length` entries (padded with zeros to whole rows).

    Views keep the parameter's own strides (channels_last included), so that foreach optimizers take their
    fast path on the gradients handed out.
    """

    def __init__(self, params: Sequence[Tensor]) -> None:
        self.params = params
        self.device = params[0].device
        self.dtype = accumulator(
            torch.float64 if any(p.dtype == torch.float64 for p in params) else params[0].dtype
        )
        for parameter in params:
            if parameter.device != self.device:
                raise ValueError(
                    f"parameters on {self.device} and {parameter.device}: the moments of a model are kept in one "
                    "buffer; move the parameters to one device, or use one GradientMoments for each device"
                )
            if parameter.is_complex():
                raise ValueError("complex parameters: pass torch.view_as_real(parameter) instead")
        self.size = sum(p.numel() for p in params)
        self.length = -(-self.size // ROW) * ROW

    def views(self, flat: Tensor) -> list[Tensor]:
        """The parts of `flat` (length,) in the shapes of the parameters; they share its memory."""
        views, start = [], flat.storage_offset()
        for parameter in self.params:
            strides = parameter.stride() if _dense(parameter) else _contiguous(parameter.shape)
            views.append(flat.as_strided(parameter.shape, strides, start))
            start += parameter.numel()
        return views

    def zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape or (self.length,), dtype=self.dtype, device=self.device)


def squared_norms(rows: Tensor) -> Tensor:
    """Squared norms of the last dimension, (..., length) -> (...), added up in float64."""
    wide = exact(rows.device)
    parts: Tensor = torch.linalg.vector_norm(rows.view(*rows.shape[:-1], -1, ROW), dim=-1)
    return parts.to(wide).square().sum(-1)


def _dense(tensor: Tensor) -> bool:
    """Whether the strides are a permutation of contiguous ones (no gaps, no overlap)."""
    expected = 1
    for stride, size in sorted(
        (st, si) for st, si in zip(tensor.stride(), tensor.shape, strict=True) if si > 1
    ):
        if stride != expected:
            return False
        expected *= size
    return True


def _contiguous(shape: torch.Size) -> list[int]:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * size)
    return strides[::-1] if shape else []
