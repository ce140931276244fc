"""DLRM against a NumPy transcription, and its size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from batchlab.runner.models import DLRM

VOCABULARY = (0, 5, 0, 3, 7)


def model(**options: Any) -> DLRM:
    torch.manual_seed(0)
    given = {"shape": (5,), "classes": 2, "vocabulary": VOCABULARY, "width": 4, "bottom": [6], "top": [8, 3]} | options
    return DLRM(**given).double()


def samples(n: int = 9) -> torch.Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.stack([torch.randint(size or 1000, (n,), generator=draw) for size in VOCABULARY], 1)


def by_hand(made: DLRM, x: np.ndarray) -> np.ndarray:
    """One sample after another, one pair after another."""

    def network(layers: Any, h: np.ndarray) -> np.ndarray:
        for layer in layers:
            h = np.maximum(h, 0) if isinstance(layer, torch.nn.ReLU) else layer.weight.numpy() @ h + layer.bias.numpy()
        return h

    rows = []
    for row in x:
        vectors = [network(made.bottom, np.log(1.0 + np.maximum(row[[0, 2]], 0)))]
        vectors += [made.tables[i].weight.numpy()[row[column]] for i, column in enumerate((1, 3, 4))]
        pairs = [vectors[i] @ vectors[j] for i in range(4) for j in range(i)]
        rows.append(network(made.top, np.concatenate([vectors[0], pairs])))
    return np.stack(rows)


@torch.no_grad()
def test_as_by_hand() -> None:
    made, x = model(), samples()
    x[0, 0] = -2  # some logs have counts below 0
    np.testing.assert_allclose(made(x).numpy(), by_hand(made, x.numpy()), rtol=1e-12, atol=1e-12)


def test_size() -> None:
    tables, bottom, top = (5 + 3 + 7) * 4, 2 * 6 + 6 + 6 * 4 + 4, 10 * 8 + 8 + 8 * 3 + 3 + 3 * 2 + 2
    assert sum(p.numel() for p in model().parameters()) == tables + bottom + top
    assert "pairs" not in model().state_dict()
    assert not any(table.sparse for table in model().tables)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vocabulary": None}, "needs counts and categories .* take model=mlp"),
        ({"vocabulary": 9}, "needs counts and categories"),
        ({"vocabulary": (0, 0)}, "needs counts and categories"),
        ({"vocabulary": (3, 5)}, "needs counts and categories"),
        ({"width": 0}, "width=0 must be a whole number"),
        ({"bottom": [0]}, "bottom=0 must be"),
        ({"top": [2.5]}, "top=2.5 must be"),
    ],
    ids=str,
)
def test_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        model(**options)
