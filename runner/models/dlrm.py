"""A small deep learning recommendation model, on counts and categories."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from batchlab.runner.models.numbers import size

__all__ = ["DLRM"]


class DLRM(nn.Module):
    """The architecture of Naumov et al. (arXiv 1906.00091), written from its description.

    Counts go through log(1 + x) and a network to a vector, each category has a vector of the same width in its table;
    the inner products of all pairs of these F vectors, and the counts' vector itself, go through the second network.
    Two classes instead of one logit: under cross entropy this is the binary log loss of the difference of the two.

    Args:
        shape: (T,), of one sample.
        classes: outputs.
        vocabulary: of each of the T columns how many categories it has; 0 is a column of counts.
        width: of the F vectors.
        bottom: widths of the hidden layers of the counts' network.
        top: widths of the hidden layers of the second network.
    """

    pairs: Tensor

    def __init__(
        self,
        *,
        shape: Sequence[int],
        classes: int,
        vocabulary: int | Sequence[int] | None,
        width: int = 16,
        bottom: Sequence[int] = (32,),
        top: Sequence[int] = (32,),
    ) -> None:
        super().__init__()
        if vocabulary is None or isinstance(vocabulary, int) or len({n == 0 for n in vocabulary}) == 1:
            raise ValueError(
                "this model needs counts and categories such as those of dataset=clicks, a vocabulary of each column: "
                "take model=mlp"
            )
        width = size("width", width)
        self.counts = [column for column, n in enumerate(vocabulary) if n == 0]
        self.categories = [column for column, n in enumerate(vocabulary) if n]
        self.tables = nn.ModuleList(nn.Embedding(vocabulary[column], width) for column in self.categories)
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            edge = table.num_embeddings**-0.5
            nn.init.uniform_(table.weight, -edge, edge)
        self.bottom = nn.Sequential(*_network("bottom", [len(self.counts), *bottom, width]), nn.ReLU())
        rows, columns = torch.tril_indices(vectors := 1 + len(self.tables), vectors, -1)
        self.register_buffer("pairs", rows * vectors + columns, persistent=False)
        self.top = nn.Sequential(*_network("top", [width + len(self.pairs), *top, classes]))

    def forward(self, x: Tensor) -> Tensor:
        """(N, T) counts and ids to (N, classes)."""
        counts = x[:, self.counts].clamp(min=0)
        seen = counts.to(next(self.bottom.parameters()).dtype).log1p()
        first: Tensor = self.bottom(seen)
        others = [table(x[:, column]) for table, column in zip(self.tables, self.categories, strict=True)]
        out: Tensor = self.top(torch.cat([first, interactions(first, others, self.pairs)], 1))
        return out


def interactions(first: Tensor, others: Sequence[Tensor], pairs: Tensor) -> Tensor:
    """The inner products of all pairs of vectors, each pair once.

    Args:
        first: (N, width).
        others: as many again of the same shape, F in all.
        pairs: (F (F - 1) / 2,) places of the pairs in the F x F matrix of products, row by row.
    """
    vectors = torch.stack([first, *(other.to(first.dtype) for other in others)], 1)
    return (vectors @ vectors.mT).flatten(1)[:, pairs]


def _network(name: str, widths: Sequence[int]) -> list[nn.Module]:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for wide, narrow in pairwise([size(name, width) for width in widths]):
        layers += [nn.Linear(wide, narrow), nn.ReLU()]
    return layers[:-1]
