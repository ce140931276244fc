"""The transformer against torch's own layer with the same weights, its causality and its size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from batchlab.runner.models import Transformer


def model(**options: Any) -> Transformer:
    torch.manual_seed(0)
    made = Transformer(**({"shape": (10,), "classes": 9, "vocabulary": 11, "width": 12, "heads": 3} | options)).double()
    with torch.no_grad():  # so that no weight or bias is of no consequence
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def tokens(n: int = 4, length: int = 10) -> Tensor:
    return torch.randint(11, (n, length), generator=torch.Generator().manual_seed(1))


def torchs(made: Transformer, x: Tensor) -> Tensor:
    """The same by `nn.TransformerEncoderLayer`, masked."""
    hidden = made.tokens.weight[x] + made.positions.weight[: x.shape[1]]
    for block in made.blocks:
        layer = nn.TransformerEncoderLayer(
            12, 3, 48, dropout=0.0, activation="gelu", batch_first=True, norm_first=True, dtype=torch.float64
        )
        pairs = (
            (layer.norm1, block.norm1), (layer.norm2, block.norm2), (layer.self_attn.out_proj, block.out),
            (layer.linear1, block.up), (layer.linear2, block.down),
        )  # fmt: skip
        for theirs, ours in pairs:
            theirs.load_state_dict(ours.state_dict())
        with torch.no_grad():
            layer.self_attn.in_proj_weight.copy_(block.qkv.weight)
            layer.self_attn.in_proj_bias.copy_(block.qkv.bias)
        hidden = layer(hidden, src_mask=nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=torch.float64))
    return made.head(nn.functional.layer_norm(hidden, (12,), made.norm.weight, made.norm.bias))


def test_as_torchs_own_layers() -> None:
    made = model(layers=3)
    torch.testing.assert_close(made(tokens()), torchs(made, tokens()), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("place", range(10))
def test_no_token_sees_what_follows(place: int) -> None:
    made, x = model(), tokens()
    other = x.clone()
    other[:, place] = (other[:, place] + 1) % 11
    before, after = made(x), made(other)
    assert torch.equal(before[:, :place], after[:, :place])
    assert ((before[:, place:] - after[:, place:]).abs().amax((0, 2)) > 0).all(), "and each sees what came before"


def test_shorter_sequences() -> None:
    made = model()
    torch.testing.assert_close(made(tokens()[:, :4]), made(tokens())[:, :4])


@pytest.mark.parametrize(("v", "t", "w", "layers", "c"), [(96, 64, 64, 2, 96), (5, 3, 8, 1, 7), (11, 6, 16, 3, 2)])
def test_size(v: int, t: int, w: int, layers: int, c: int) -> None:
    made = Transformer(shape=(t,), classes=c, vocabulary=v, width=w, layers=layers)
    number = sum(p.numel() for p in made.parameters())
    assert number == (v + t) * w + layers * (12 * w * w + 13 * w) + 2 * w + (w + 1) * c
    assert (v, number) in ((96, 116_576), (5, number), (11, number))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"heads": 5}, "width=12 must be divisible by heads=5"),
        ({"layers": 0}, "layers=0 must be a whole number"),
        ({"width": 0}, "width=0"),
        ({"vocabulary": None}, "needs tokens, .* take model=mlp"),
        ({"vocabulary": (0, 3)}, "needs tokens"),
        ({"shape": (3, 4, 4)}, "needs tokens"),
    ],
    ids=str,
)
def test_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        model(**options)
