"""Per-sample gradients of the layers that we know, from a layer's input and its output's gradient.

A `Call` is one application of one layer. It gives the gradients of single samples for a slice of the batch
(`blocks`), and where something cheaper is known, their squared norms and their sum for the whole batch at once
(`norms_and_sums`), without ever forming them:

- a linear layer on vectors: ||g_i||^2 = ||x_i||^2 ||d_i||^2, x the input, d the gradient of the output
  (Goodfellow, arXiv 1510.01799);
- on sequences, and for convolutions on few positions: the product of two Gram matrices,
  ||sum_t d_t x_t^T||^2 = sum_{s,t} <x_s, x_t> <d_s, d_t> (Li et al., arXiv 2110.05679, "ghost norm").
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from batchlab.optimizers.moments.flat import exact, square_sum

Convolution: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d

# A convolution's per-sample gradients, formed one chunk after another, cost about 100 multiply-adds per entry
# beyond the batch's own gradient (they are written and read); copying out a patch costs about 80 per entry.
BLOCK_COST, PATCH_COST = 100, 80


class Call(ABC):
    """One application of one layer to a batch.

    Attributes:
        params: names of the layer's parameters that gradients are wanted of, in the order they are given in.
        bytes: memory that the work on one sample touches.
    """

    params: Sequence[str]
    bytes: int

    @property
    def ready(self) -> bool:
        """Whether a gradient of its output has come."""
        return True

    @abstractmethod
    def blocks(self, samples: slice) -> Sequence[Tensor]:
        """Gradients of these c samples, per parameter a tensor (c, *shape)."""

    def norms_and_sums(self, chunk: int) -> tuple[Tensor, Sequence[Tensor]] | None:
        """Squared norms (b,) and the sums of the gradients, where there is something cheaper than blocks."""
        return None

    def squares(self) -> Sequence[Tensor] | None:
        """Sums of the squared gradients per coordinate, where there is something cheaper than blocks."""
        return None


class LinearCall(Call):
    """y = x W^T + bias; x (b, ..., in), d (b, ..., out)."""

    def __init__(self, layer: nn.Linear, params: Sequence[str], x: Tensor, d: Tensor) -> None:
        self.params = params
        positions = math.prod(x.shape[1:-1])  # -1 would be ambiguous for a layer of width 0
        self.x = x.to(d.dtype).reshape(len(x), positions, x.shape[-1])
        self.d = d.reshape(len(d), positions, d.shape[-1])
        self.bytes = d.element_size() * (layer.weight.numel() + self.x[0].numel() + self.d[0].numel())

    @override
    def blocks(self, samples: slice) -> list[Tensor]:
        x, d = self.x[samples], self.d[samples]
        give = {"weight": lambda: d.transpose(1, 2) @ x, "bias": lambda: d.sum(1)}
        return [give[name]() for name in self.params]

    @override
    def norms_and_sums(self, chunk: int) -> tuple[Tensor, list[Tensor]] | None:
        positions, wide, high = self.x.shape[1], self.x.shape[2], self.d.shape[2]
        if positions > 1 and positions * positions * (wide + high) > BLOCK_COST * wide * high:
            return None
        norms, sums = [], []
        for name in self.params:
            rows = self.d.sum(1)
            if name == "weight":
                norms.append(outer_norms(self.x, self.d, chunk))
                sums.append(self.d.flatten(0, 1).t() @ self.x.flatten(0, 1))
            else:
                norms.append(square_sum(rows))
                sums.append(rows.sum(0))
        return torch.stack(norms).sum(0), sums

    @override
    def squares(self) -> list[Tensor] | None:
        if self.x.shape[1] > 1:
            return None
        x, d = self.x[:, 0].square(), self.d[:, 0].square()
        return [d.t() @ x if name == "weight" else d.sum(0) for name in self.params]


class ConvCall(Call):
    """Convolutions in 1, 2 or 3 dimensions; x (b, in, *size), d (b, out, *size')."""

    def __init__(self, layer: Convolution, params: Sequence[str], x: Tensor, d: Tensor) -> None:
        self.layer, self.params = layer, params
        self.padding = list(layer.padding) if isinstance(layer.padding, tuple) else []
        if layer.padding_mode != "zeros" or not self.padding:
            mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
            x = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
            self.padding = [0] * (x.dim() - 2)
        self.x, self.d = x.to(d.dtype), d
        self.weight = layer.weight.detach().to(d.dtype)
        self.bytes = d.element_size() * (layer.weight.numel() + x[0].numel() + d[0].numel())

    def _weight_gradient(self, x: Tensor, d: Tensor, weight: Tensor, groups: int) -> Tensor:
        layer, n = self.layer, x.dim() - 2
        gradient: Tensor = torch.ops.aten.convolution_backward(
            d, x, weight, None, layer.stride, self.padding, layer.dilation, False, [0] * n, groups, [False, True, False]
        )[1]
        return gradient

    @override
    def blocks(self, samples: slice) -> list[Tensor]:
        """The batch's own kernel with the samples as groups of channels: one pass gives all gradients apart."""
        x, d = self.x[samples], self.d[samples]
        c, weight = len(x), self.weight
        blocks = []
        for name in self.params:
            if name == "bias":
                blocks.append(d.flatten(2).sum(2))
                continue
            apart = self._weight_gradient(
                x.reshape(1, -1, *x.shape[2:]),
                d.reshape(1, -1, *d.shape[2:]),
                weight.new_empty(1).expand(c * len(weight), *weight.shape[1:]),  # only its shape matters
                c * self.layer.groups,
            )
            blocks.append(apart.view(c, *weight.shape))
        return blocks

    @override
    def norms_and_sums(self, chunk: int) -> tuple[Tensor, list[Tensor]] | None:
        positions, patch, out = math.prod(self.d.shape[2:]), self.weight[0].numel(), len(self.weight)
        grams = positions * positions * (patch + out) + PATCH_COST * positions * patch
        if "weight" not in self.params or self.layer.groups > 1 or grams > BLOCK_COST * patch * out:
            return None
        d = self.d.flatten(2).transpose(1, 2)
        norms = torch.cat([outer_norms(self._patches(s), d[s], chunk) for s in slices(len(d), chunk)])
        sums = {"weight": self._weight_gradient(self.x, self.d, self.weight, 1)}
        if "bias" in self.params:
            rows = d.sum(1)
            norms = norms + square_sum(rows)
            sums["bias"] = rows.sum(0)
        return norms, [sums[name] for name in self.params]

    def _patches(self, samples: slice) -> Tensor:
        """What the kernel sees at each position, (c, positions, in * kernel); the order within is immaterial."""
        n, layer = self.x.dim() - 2, self.layer
        x = F.pad(self.x[samples], [p for pad in reversed(self.padding) for p in (pad, pad)]).contiguous()
        size = [len(x), *self.d.shape[2:], x.shape[1], *layer.kernel_size]
        strides = x.stride()[2:]
        stride = [s * step for s, step in zip(strides, layer.stride, strict=True)]
        dilation = [s * step for s, step in zip(strides, layer.dilation, strict=True)]
        windows = x.as_strided(size, [x.stride(0), *stride, x.stride(1), *dilation])
        return windows.reshape(len(x), math.prod(size[1 : n + 1]), -1)


class EmbeddingCall(Call):
    """Rows of a table; x (b, ...) indices, d (b, ..., width)."""

    def __init__(self, layer: nn.Embedding, params: Sequence[str], x: Tensor, d: Tensor) -> None:
        self.layer, self.params = layer, params
        self.x = x.reshape(len(x), -1).long()  # tokens may be int32, what they are scattered by may not
        d = d.reshape(*self.x.shape, d.shape[-1])
        self.d = d if layer.padding_idx is None else d * (self.x != layer.padding_idx).unsqueeze(2)
        self.bytes = d.element_size() * layer.weight.numel()

    @override
    def blocks(self, samples: slice) -> list[Tensor]:
        x, d = self.x[samples], self.d[samples]
        block = d.new_zeros(len(x), *self.layer.weight.shape)
        return [block.scatter_add_(1, x.unsqueeze(2).expand_as(d), d)]

    @override
    def norms_and_sums(self, chunk: int) -> tuple[Tensor, list[Tensor]]:
        rows, _, owner = self._rows()
        squares = square_sum(rows)
        norms = squares.new_zeros(len(self.x)).index_add_(0, owner, squares)
        total = self.d.new_zeros(self.layer.weight.shape).index_add_(0, self.x.flatten(), self.d.flatten(0, 1))
        return norms, [total]

    @override
    def squares(self) -> list[Tensor]:
        rows, row, _ = self._rows()
        return [rows.new_zeros(self.layer.weight.shape).index_add_(0, row, rows.square())]

    def _rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of the rows that each sample touched, their row in the table, and their sample.

        An index that comes up twice in a sample is added up first. Sorting keeps the result's size known
        beforehand (b times the length), so that a GPU need not be waited for; rows left over are zero.
        """
        x, order = self.x.sort(dim=1)
        new = torch.ones_like(x, dtype=torch.bool)
        new[:, 1:] = x[:, 1:] != x[:, :-1]
        place = new.flatten().cumsum(0) - 1
        d = self.d.gather(1, order.unsqueeze(2).expand_as(self.d)).flatten(0, 1)
        rows = torch.zeros_like(d).index_add_(0, place, d)
        sample = torch.arange(len(x), device=x.device).repeat_interleave(x.shape[1])
        row, owner = torch.zeros_like(place), torch.zeros_like(place)
        return rows, row.scatter_(0, place, x.flatten()), owner.scatter_(0, place, sample)


class ExpandedCall(Call):
    """A layer that was given its own copy of the (small) parameters for every sample: autograd did the work."""

    def __init__(self, params: Sequence[str], gradients: Sequence[Tensor]) -> None:
        self.params, self.gradients = params, gradients
        self.bytes = sum(g[0].numel() * g.element_size() for g in gradients)

    @override
    def blocks(self, samples: slice) -> list[Tensor]:
        return [gradient[samples] for gradient in self.gradients]


def outer_norms(x: Tensor, d: Tensor, chunk: int) -> Tensor:
    """||sum_t d_t x_t^T||^2 of each sample, (b, T, in) and (b, T, out) -> (b,)."""
    if x.shape[1] == 1:
        return square_sum(x[:, 0]) * square_sum(d[:, 0])
    wide = torch.promote_types(x.dtype, torch.float32)
    parts = []
    for s in slices(len(x), chunk):
        gram = (x[s] @ x[s].transpose(1, 2)).to(wide) * (d[s] @ d[s].transpose(1, 2)).to(wide)
        parts.append(gram.sum((1, 2)).to(exact(x.device)))
    return torch.cat(parts)


def slices(length: int, chunk: int) -> list[slice]:
    """0, ..., length - 1 in slices of `chunk`, the last perhaps shorter."""
    return [slice(start, min(start + chunk, length)) for start in range(0, length, chunk)]
