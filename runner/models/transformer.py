"""A small decoder-only transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from batchlab.runner.models.numbers import DEEPEST, size

__all__ = ["Transformer"]
SPREAD = 0.02
"""Standard deviation of all weights to begin with, as GPT-2's are."""


class Block(nn.Module):
    """x + attention(norm(x)), then x + network(norm(x)): norms before what they feed, no dropout.

    Args:
        width: of a token's vector.
        heads: among which it is divided in the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, width) to the same; a token sees itself and those before it."""
        n, length, width = x.shape
        split = self.qkv(self.norm1(x)).view(n, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(n, length, width))
        out: Tensor = x + self.down(gelu(self.up(self.norm2(x))))
        return out


class Transformer(nn.Module):
    """A decoder-only transformer with norms before its layers, learned positions and an output of its own weights.

    With vocabulary V, length T, width w, L layers and C classes it has (V + T) w + L (12 w^2 + 13 w) + 2 w + (w + 1) C
    parameters: 116,576 on `dataset=text`. Every part with parameters is a layer that per-sample statistics know.

    Args:
        shape: (T,), of one sequence.
        classes: outputs for each token.
        vocabulary: how many tokens there are.
        width: of a token's vector.
        layers: how many blocks.
        heads: of the attention; divides `width`.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        classes: int,
        vocabulary: int | Sequence[int] | None,
        width: int = 64,
        layers: int = 2,
        heads: int = 2,
    ) -> None:
        super().__init__()
        if not isinstance(vocabulary, int) or len(shape) != 1:
            raise ValueError(
                "this model needs tokens, ids of one vocabulary such as those of dataset=text: take model=mlp"
            )
        width, heads = size("width", width), size("heads", heads)
        if width % heads:
            raise ValueError(f"width={width} must be divisible by heads={heads}")
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(shape[0], width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(size("layers", layers, DEEPEST))))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=SPREAD)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T) ids to (N, T, classes): the logits at a place are of what follows it."""
        places = torch.arange(x.shape[1], device=x.device).expand(x.shape)
        out: Tensor = self.head(self.norm(self.blocks(self.tokens(x) + self.positions(places))))
        return out
