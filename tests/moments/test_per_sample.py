"""Every statistic against b separate backward passes."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from batchlab.optimizers.moments import GradientMoments

SAMPLES = 7


class Twice(nn.Module):
    """One linear and one convolutional layer, each used twice, and a GroupNorm used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.GroupNorm(2, 4)
        self.middle, self.out = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        x = F.relu(self.norm(self.conv(x))).mean((2, 3))
        return self.out(torch.tanh(self.middle(torch.tanh(self.middle(x)))))


class Tied(nn.Module):
    """A language model whose output layer is its table, with a causal convolution and LayerNorm between."""

    def __init__(self, functional: bool = False) -> None:
        super().__init__()
        self.table, self.norm = nn.Embedding(11, 6, padding_idx=0), nn.LayerNorm(6)
        self.conv, self.out = nn.Conv1d(6, 6, 3), nn.Linear(6, 11, bias=False)
        self.functional = functional
        if functional:
            del self.out
        else:
            self.out.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.table(x))
        h = h + self.conv(F.pad(h.transpose(1, 2), (2, 0))).transpose(1, 2)
        return F.linear(h, self.table.weight) if self.functional else self.out(h)


class Positions(nn.Module):
    """A table of positions: its input has as many rows as positions, here as many as samples."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.place, self.out = nn.Embedding(11, 5), nn.Embedding(SAMPLES, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.table(x) + self.place(torch.arange(x.shape[1]))
        return self.out(torch.tanh(h).mean(1))


class Scale(nn.Module):
    """A layer of a kind that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(5) + 0.5)

    def forward(self, x: Tensor, table: Tensor | None = None, power: float = 1.0) -> tuple[Tensor, Tensor]:
        shift = 0 if table is None else table.sum(0)
        return x * self.scale**power + shift * self.scale, self.scale.sum() * x.sum(1)


class Unknown(nn.Module):
    """Unknown layers, one with keywords and two outputs, one used twice; an attention; a parametrized layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.inner = Scale(), nn.Linear(4, 5)
        self.attention = nn.MultiheadAttention(5, 1, batch_first=True)
        self.out = nn.utils.parametrizations.weight_norm(nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        table = torch.linspace(-1, 1, SAMPLES * 5, dtype=x.dtype).view(SAMPLES, 5)  # rows, but not of samples
        x, extra = self.scale(torch.tanh(self.inner(x)), table=table, power=2.0)
        x = self.scale(x)[0]
        h = x[:, None] * torch.linspace(0.5, 1, 3, dtype=x.dtype)[:, None]
        return self.out(self.attention(h, h, h, need_weights=False)[0].mean(1)) + extra[:, None]


def convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.GroupNorm(4, 8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, stride=2, padding="valid", groups=2),
        nn.Conv2d(8, 6, (3, 1), padding=(2, 0), dilation=(2, 1), padding_mode="circular"),
        nn.GroupNorm(3, 6, affine=False),
        nn.Conv2d(6, 64, 3, padding="same"),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 2, stride=2),  # few positions, many weights: by Gram matrices
        nn.Flatten(),
        nn.LazyLinear(3),
    )


def images(size: int = 19) -> Tensor:
    return torch.randn(SAMPLES, 3, size, size)


def tokens(length: int = 9) -> Tensor:
    return torch.randint(0, 11, (SAMPLES, length))


def bias_only() -> nn.Module:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 17 * 17, 3))
    layers[0].requires_grad_(False)
    layers[3].weight.requires_grad_(False)
    return layers


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "mlp": (
        lambda: nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 9, bias=False), nn.ReLU(), nn.Linear(9, 3)),
        lambda: torch.randn(SAMPLES, 6),
    ),
    "wide sequences": (
        lambda: nn.Sequential(nn.Linear(40, 60), nn.RMSNorm(60), nn.Tanh(), nn.Flatten(), nn.Linear(240, 3)),
        lambda: torch.randn(SAMPLES, 4, 40),
    ),
    "long sequences": (
        lambda: nn.Sequential(nn.Linear(4, 5), nn.LayerNorm((30, 5)), nn.Flatten(), nn.Linear(150, 3)),
        lambda: torch.randn(SAMPLES, 30, 4),
    ),
    "convolutions": (convolutions, images),
    "few positions": (
        lambda: nn.Sequential(nn.Conv1d(40, 60, 3, stride=2, padding=2, dilation=2), nn.Flatten(), nn.Linear(300, 3)),
        lambda: torch.randn(SAMPLES, 40, 9),
    ),
    "volume": (
        lambda: nn.Sequential(nn.Conv3d(1, 4, 3, bias=False), nn.Flatten(), nn.LazyLinear(3)),
        lambda: torch.randn(SAMPLES, 1, 5, 4, 4),
    ),
    "twice": (Twice, lambda: torch.randn(SAMPLES, 4, 6, 6)),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(11, 6, padding_idx=0), nn.Tanh(), nn.Flatten(), nn.Linear(54, 3)),
        tokens,
    ),
    "tied": (Tied, tokens),
    "unknown": (Unknown, lambda: torch.randn(SAMPLES, 4)),
    "bias only": (bias_only, images),
}
WHOLE: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "tied by function": (lambda: Tied(functional=True), tokens),
    "positions": (Positions, lambda: tokens(SAMPLES)),
}


def losses_of(output: Tensor, target: Tensor) -> Tensor:
    return (output.flatten(1)[:, :3].softmax(1) - target).square().sum(1) + output.flatten(1).square().mean(1)


def build(name: str, dtype: torch.dtype) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(sum(map(ord, name)))
    make, draw = (MODELS | WHOLE)[name]
    model, x = make(), draw()
    model(x)  # lazy layers take their sizes
    x = x.to(dtype) if x.is_floating_point() else x
    return model.to(dtype), x, torch.rand(SAMPLES, 3, dtype=dtype)


def brute_force(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """One row per sample: b separate backward passes, in float64."""
    rows = []
    params = [p for p in model.parameters() if p.requires_grad]
    for i in range(len(x)):
        loss = losses_of(model(x[i : i + 1]), y[i : i + 1]).sum()
        gradients = torch.autograd.grad(loss, params, allow_unused=True)
        pairs = zip(params, gradients, strict=True)
        rows.append(torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1).double() for p, g in pairs]))
    return torch.stack(rows)


def flatten(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t.detach().reshape(-1).double() for t in tensors])


def compare(name: str, dtype: torch.dtype, chunk_bytes: int | None, splits: list[int], elementwise: bool) -> None:
    model, x, y = build(name, dtype)
    rows = brute_force(model.double(), x.double() if x.is_floating_point() else x, y.double())
    model.to(dtype)
    b, mean = len(x), rows.mean(0)
    params = [p for p in model.parameters() if p.requires_grad]
    moments = GradientMoments(
        params, estimator="per_sample", elementwise=elementwise, inner_products=True, chunk_bytes=chunk_bytes
    )
    for _ in range(2):  # the second time with what was learnt about the model
        total = sum(
            moments.backward(model, losses_of, xs, ys).item()
            for xs, ys in zip(x.split(splits), y.split(splits), strict=True)
        )
        moments.reduce()
        close = 1e-10 if dtype == torch.float64 else 1e-5
        assert total == pytest.approx(losses_of(model(x), y).sum().item(), rel=close)
        assert (moments.samples, moments.groups) == (b, b)
        scale = rows.square().mean().sqrt().item()
        torch.testing.assert_close(
            flatten([torch.zeros_like(p) if p.grad is None else p.grad for p in params]),
            mean, rtol=close, atol=close * scale,
        )  # fmt: skip
        assert moments.norm_squared() == pytest.approx((mean @ mean).item(), rel=close)
        assert moments.variance() == pytest.approx(rows.var(0).sum().item(), rel=close)
        along = rows @ mean
        assert moments.inner_product_variance() == pytest.approx(along.var().item(), rel=close)
        rest = rows - along[:, None] * mean / (mean @ mean)
        assert moments.orthogonal_variance() == pytest.approx(rest.var(0).sum().item(), rel=close)
        if elementwise:
            torch.testing.assert_close(
                flatten(moments.second_moments()), rows.square().mean(0), rtol=close, atol=close * scale**2
            )
            torch.testing.assert_close(
                flatten(moments.coordinate_variance()), rows.var(0), rtol=10 * close, atol=close * scale**2
            )
        moments.reset()
        assert all(p.grad is None for p in params)
        assert all("forward" not in vars(m) for m in model.modules())
        assert all(p.requires_grad for p in params)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_statistics_are_those_of_separate_backward_passes(name: str, dtype: torch.dtype) -> None:
    compare(name, dtype, None, [SAMPLES], elementwise=False)


@pytest.mark.parametrize("name", MODELS)
def test_chunks_and_micro_batches_and_squares(name: str) -> None:
    compare(name, torch.float64, 1, [3, 1, 3], elementwise=True)  # a chunk is one sample


@pytest.mark.parametrize("name", WHOLE)
def test_what_does_not_go_layer_by_layer_is_still_exact(name: str) -> None:
    with pytest.warns(RuntimeWarning, match="whole model"):
        compare(name, torch.float64, None, [SAMPLES], elementwise=True)


class Watch(TorchDispatchMode):
    """Notes the largest tensor made, and every time that a value is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.largest, self.waits = 0, []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, list | tuple) else [result]:
            if isinstance(tensor, Tensor) and not tensor._is_view():
                self.largest = max(self.largest, tensor.numel())
        if any(name in str(function) for name in ("_local_scalar_dense", "nonzero", "_unique", "masked_select")):
            self.waits.append(str(function))
        return result


def test_memory_is_bounded_by_the_chunk() -> None:
    b, model = 64, nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.Flatten(), nn.Linear(4096, 3))
    x, y = torch.randn(b, 32, 8, 8), torch.rand(b, 3)
    moments = GradientMoments(model.parameters(), estimator="per_sample", chunk_bytes=1 << 18)
    for _ in range(2):  # which are judged
        moments.backward(model, losses_of, x, y)
    with Watch() as watch:
        moments.backward(model, losses_of, x, y)
    activations = b * 64 * 8 * 8
    assert watch.largest <= activations < b * model[0].weight.numel() / 4


@pytest.mark.parametrize("estimator", ["groups", "per_sample"])
@pytest.mark.parametrize("name", ["convolutions", "tied", "wide sequences"])
def test_nothing_is_waited_for_before_a_statistic_is_read(estimator: str, name: str) -> None:
    model, x, y = build(name, torch.float32)
    along = estimator == "groups"  # those of single samples are checked at once
    moments = GradientMoments(model.parameters(), estimator=estimator, elementwise=True, inner_products=along)
    for _ in range(3):  # batches 1, 2 and 4 are judged
        with Watch() as watch:
            moments.backward(model, losses_of, x, y)
            moments.backward(model, losses_of, x, y)
            moments.reduce()
        moments.reset()
    assert watch.waits == []


def test_batch_norm_is_refused_with_the_way_out() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    moments = GradientMoments(model.parameters(), estimator="per_sample")
    x, y = torch.randn(SAMPLES, 4), torch.rand(SAMPLES, 3)
    with pytest.raises(ValueError, match=r"BatchNorm1d.*estimator=groups.*GroupNorm"):
        moments.backward(model, losses_of, x, y)
    model.eval()
    moments.backward(model, losses_of, x, y)  # with fixed statistics the samples are apart
    moments.reduce()
    assert moments.variance() == pytest.approx(brute_force(model, x, y).var(0).sum().item(), rel=1e-5)


def test_the_products_see_the_dropout_of_the_backward_pass() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 50), nn.Dropout(0.5), nn.Linear(50, 3)).double()
    x, y = torch.randn(SAMPLES, 6).double(), torch.rand(SAMPLES, 3).double()
    moments = GradientMoments(model.parameters(), estimator="per_sample", inner_products=True)
    for _ in range(2):
        moments.backward(model, losses_of, x, y)
        state = torch.get_rng_state()
        moments.reduce()
        assert torch.equal(state, torch.get_rng_state())
        # The slopes along g sum to b ||g||^2 only with the masks that g was taken with.
        means = [p.grad for p in moments.params if p.grad is not None]
        products = moments._kept[0].by_forward_mode(moments.params, means, False)
        assert products.mean().item() == pytest.approx(moments.norm_squared(), rel=1e-12)
        moments.reset()


def test_bfloat16_autocast_keeps_float32_statistics() -> None:
    torch.manual_seed(0)
    model = convolutions()
    x, y = images(), torch.rand(SAMPLES, 3)
    model(x)
    rows = brute_force(model, x, y)
    moments = GradientMoments(model.parameters(), estimator="per_sample", inner_products=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        moments.backward(model, losses_of, x, y)
    moments.reduce()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
    assert moments.variance() == pytest.approx(rows.var(0).sum().item(), rel=0.03)
    assert moments.inner_product_variance() == pytest.approx((rows @ rows.mean(0)).var().item(), rel=0.1)


def test_measuring_off_is_an_ordinary_backward_pass() -> None:
    model, x, y = build("mlp", torch.float64)
    moments = GradientMoments(model.parameters(), estimator="per_sample", inner_products=True)
    moments.measuring = False
    moments.backward(model, losses_of, x, y)
    moments.reduce()
    expected = torch.autograd.grad(losses_of(model(x), y).mean(), list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-14, atol=0)
    assert math.isnan(moments.variance())
    assert math.isnan(moments.inner_product_variance())
    assert moments.groups == 1


def test_mistakes_name_the_way_out() -> None:
    model, x, y = build("mlp", torch.float32)
    moments = GradientMoments(model.parameters(), estimator="per_sample")
    with pytest.raises(ValueError, match=r"reduction=.none"):
        moments.backward(model, lambda output, target: losses_of(output, target).mean(), x, y)
    with pytest.raises(ValueError, match=r"moments\.backward"):
        moments.observe(3)
    with pytest.raises(ValueError, match="freeze"):
        GradientMoments(list(model.parameters())[:2], estimator="per_sample").backward(model, losses_of, x, y)
    frequent = nn.Sequential(nn.Embedding(11, 4, scale_grad_by_freq=True), nn.Flatten(), nn.Linear(36, 3))
    with pytest.raises(ValueError, match="scale_grad_by_freq"):
        GradientMoments(frequent.parameters(), estimator="per_sample").backward(frequent, losses_of, tokens(), y)
