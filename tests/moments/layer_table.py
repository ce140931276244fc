"""Every layer of torch.nn, in the forms that it can take; CASES has what models do with them as well."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from batchlab.tests.moments.table_habits import HABITS
from batchlab.tests.moments.table_models import (
    SAMPLES,
    WIDE,
    Case,
    Net,
    after_conv,
    around,
    images,
    sequences,
    tokens,
    untrained,
    vectors,
)
from batchlab.tests.moments.table_sequences import SEQUENCES
from batchlab.tests.moments.table_types import TYPES
from batchlab.tests.moments.table_uses import USES


def convolution(cls: Any, dims: int, size: int = 0, **options: Any) -> Case:
    options = {"kernel_size": 3, **options}
    size = size or (7 if dims == 1 else 5 if dims == 2 else 4)
    return Case(
        lambda: nn.Sequential(cls(2, 4, **options), nn.Tanh(), cls(4, 2, kernel_size=1)),
        partial(images, size, dims),
    )


def transposed(dims: int, **options: Any) -> Case:
    cls: Any = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
    return Case(
        lambda: nn.Sequential(cls(2, 4, **{"kernel_size": 2, **options}), nn.Tanh(), nn.Flatten(), nn.LazyLinear(2)),
        partial(images, 3, dims), "vmap",
    )  # fmt: skip


def lazy(cls: Any, dims: int, *args: Any, way: Any = "one pass", evaluate: bool = False) -> Case:
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dims]
    return Case(
        lambda: nn.Sequential(conv(2, 4, 1), cls(*args), nn.Flatten(), nn.LazyLinear(2)).train(not evaluate),
        partial(images, 4, dims), way,
    )  # fmt: skip


def table(**options: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Embedding(9, WIDE, **options), nn.Tanh(), nn.Flatten(), nn.LazyLinear(2))


def pretrained(freeze: bool) -> nn.Module:
    layer = nn.Embedding.from_pretrained(torch.randn(9, WIDE), freeze=freeze)  # type: ignore[no-untyped-call]
    return nn.Sequential(layer, nn.Linear(WIDE, 2))


def bag(mode: str = "mean", **options: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.EmbeddingBag(9, WIDE, mode=mode, **options), nn.Tanh(), nn.Linear(WIDE, 2))


CONVS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMS: dict[int, Any] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCES: dict[int, Any] = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
LAZY: dict[str, Any] = {n: getattr(nn, n) for n in dir(nn) if n.startswith("Lazy")}

LAYERS: dict[str, Case] = {
    "Linear": Case(lambda: around(nn.Tanh()), vectors),
    "Linear on sequences": Case(lambda: around(nn.Tanh()), sequences),
    "Linear on long sequences": Case(lambda: around(nn.Tanh()), partial(sequences, 70)),
    "Linear on images, no bias": Case(lambda: nn.Linear(5, 2, bias=False), images),
    "Linear, only the bias": Case(lambda: untrained(around(nn.Tanh()), "0.weight"), sequences),
    "Linear, only the weight": Case(lambda: untrained(around(nn.Tanh()), "0.bias"), sequences),
    "Linear of one feature": Case(lambda: nn.Sequential(nn.Linear(1, 1), nn.Tanh()), partial(vectors, 1)),
    "Bilinear": Case(
        lambda: Net(lambda m, x: m.both(m.inner(x), x), inner=nn.Linear(WIDE, 3), both=nn.Bilinear(3, WIDE, 2)),
        vectors, "vmap",
    ),
    "Conv2d, bias only": Case(lambda: untrained(after_conv(nn.Tanh()), "0.weight"), images),
    "Conv2d, weight only": Case(lambda: untrained(after_conv(nn.Tanh()), "0.bias"), images),
    "Conv2d, channels last": Case(
        lambda: after_conv(nn.Tanh()).to(memory_format=torch.channels_last),
        lambda: images().contiguous(memory_format=torch.channels_last),
    ),
    "Conv2d, expanded input": Case(lambda: after_conv(nn.Tanh()), lambda: images(channels=1).expand(-1, 2, -1, -1)),
    "Conv1d on one position": Case(lambda: after_conv(nn.Tanh(), 1), partial(images, 2, 1)),
    "ConvTranspose2d, output_size": Case(
        lambda: Net(
            lambda m, x: m.up(m.down(x), output_size=x.shape[2:]),
            down=nn.Conv2d(2, 4, 2, stride=2), up=nn.ConvTranspose2d(4, 2, 2, stride=2),
        ),
        images, "vmap",
    ),
    "Embedding": Case(table(), tokens),
    "Embedding of one token": Case(table(), lambda: tokens()[:, 0]),
    "Embedding of rows of rows": Case(table(), lambda: torch.randint(0, 9, (SAMPLES, 2, 3))),
    "Embedding, int32": Case(table(), lambda: tokens().int()),
    "Embedding, padding": Case(table(padding_idx=0), lambda: tokens().clamp(max=2)),
    "Embedding, last row is padding": Case(table(padding_idx=-1), lambda: tokens().clamp(min=7)),
    "Embedding, max_norm": Case(table(max_norm=0.5), tokens),
    "Embedding, sparse": Case(table(sparse=True), tokens),
    "Embedding, scale_grad_by_freq": Case(table(scale_grad_by_freq=True), tokens, "refused"),
    "Embedding, pretrained and frozen": Case(lambda: pretrained(True), tokens),
    "Embedding, pretrained": Case(lambda: pretrained(False), tokens),
    "EmbeddingBag, mean": Case(bag(), tokens, "vmap"),
    "EmbeddingBag, sum": Case(bag("sum"), tokens, "vmap"),
    "EmbeddingBag, max": Case(bag("max"), tokens, "vmap"),
    "EmbeddingBag, padding": Case(bag(padding_idx=1), lambda: tokens().clamp(max=2), "vmap"),
    "EmbeddingBag, max_norm": Case(bag(max_norm=0.5), tokens, "loop"),
    "EmbeddingBag, sparse": Case(bag(sparse=True), tokens, "loop"),
    "EmbeddingBag, scale_grad_by_freq": Case(bag(scale_grad_by_freq=True), tokens, "refused"),
    "EmbeddingBag, weights": Case(
        lambda: Net(
            lambda m, x: m.out(m.bag(x, per_sample_weights=m.weigh(x).squeeze(2))),
            bag=nn.EmbeddingBag(9, WIDE, mode="sum"), weigh=nn.Embedding(9, 1), out=nn.Linear(WIDE, 2),
        ),
        tokens, "vmap",
    ),
    **{
        f"EmbeddingBag, offsets{', last' * last}": Case(
            partial(
                lambda last: Net(
                    lambda m, x: m.out(m.bag(x.flatten(), torch.arange(len(x) + last) * x.shape[1])),
                    bag=nn.EmbeddingBag(9, WIDE, include_last_offset=last), out=nn.Linear(WIDE, 2),
                ), last,
            ),
            tokens, "vmap",
        ) for last in (False, True)
    },
    "LayerNorm": Case(lambda: around(nn.LayerNorm(WIDE)), vectors),
    "LayerNorm on sequences, no bias": Case(lambda: around(nn.LayerNorm(WIDE, bias=False)), sequences),
    "LayerNorm over two dimensions": Case(lambda: around(nn.LayerNorm((3, WIDE))), sequences),
    "LayerNorm without parameters": Case(lambda: around(nn.LayerNorm(WIDE, elementwise_affine=False)), vectors),
    "LayerNorm, only the bias": Case(lambda: untrained(around(nn.LayerNorm(WIDE)), "1.weight"), sequences),
    "RMSNorm": Case(lambda: around(nn.RMSNorm(WIDE)), vectors),
    "RMSNorm over two dimensions": Case(lambda: around(nn.RMSNorm((3, WIDE), eps=0.1)), sequences),
    "GroupNorm": Case(lambda: after_conv(nn.GroupNorm(2, 4)), images),
    "GroupNorm on vectors": Case(lambda: around(nn.GroupNorm(2, WIDE)), vectors),
    "GroupNorm, only the bias": Case(lambda: untrained(after_conv(nn.GroupNorm(4, 4)), "1.weight"), images),
    "LocalResponseNorm": Case(lambda: after_conv(nn.LocalResponseNorm(2, 0.5)), images),
    "CrossMapLRN2d": Case(lambda: after_conv(nn.CrossMapLRN2d(2, 0.5)), images),
    "SyncBatchNorm, eval": Case(lambda: after_conv(nn.SyncBatchNorm(4)).eval(), images, "vmap"),
    "SyncBatchNorm": Case(lambda: after_conv(nn.SyncBatchNorm(4)), images, "refused", splits=(3,)),
    "PReLU": Case(lambda: around(nn.PReLU()), vectors, "vmap"),
    "PReLU by channel": Case(lambda: after_conv(nn.PReLU(4)), images, "vmap"),
    "RReLU, eval": Case(lambda: around(nn.RReLU()).eval(), vectors),
    "Fold and Unfold": Case(
        lambda: nn.Sequential(
            nn.Unfold(2), nn.Flatten(1), nn.Unflatten(1, (8, 16)), nn.Linear(16, 16), nn.Tanh(), nn.Fold(5, 2)
        ),
        images,
    ),
    "ParameterList": Case(
        lambda: Net(lambda m, x: (x @ m.list[0]).tanh() @ m.list[1],
                    list=nn.ParameterList([torch.randn(WIDE, 3), torch.randn(3, 2)])),
        vectors, "vmap",
    ),
    "ParameterDict": Case(
        lambda: Net(lambda m, x: (x @ m.parts["a"]).tanh() * m.parts["b"],
                    parts=nn.ParameterDict({"a": torch.randn(WIDE, 3), "b": torch.randn(3)})),
        vectors, "vmap",
    ),
}  # fmt: skip
for dims in (1, 2, 3):
    LAYERS |= {
        f"Conv{dims}d": convolution(CONVS[dims], dims),
        f"Conv{dims}d, groups": convolution(CONVS[dims], dims, groups=2, bias=False),
        f"Conv{dims}d, dilation": convolution(CONVS[dims], dims, stride=2, padding=1, dilation=2, kernel_size=2),
        f"Conv{dims}d, same, even kernel": convolution(CONVS[dims], dims, padding="same", kernel_size=2),
        f"Conv{dims}d, few positions": convolution(CONVS[dims], dims, 3, stride=2, padding=1),
        f"Conv{dims}d, few positions, same": convolution(CONVS[dims], dims, 2, padding="same", kernel_size=2),
        f"Conv{dims}d, few positions, circular": convolution(CONVS[dims], dims, 2, padding=1, padding_mode="circular"),
        f"Conv{dims}d, steps left over": convolution(CONVS[dims], dims, stride=3, kernel_size=2),
        **{
            f"Conv{dims}d, {mode}": convolution(CONVS[dims], dims, padding=1, padding_mode=mode)
            for mode in ("reflect", "replicate", "circular")
        },
        f"ConvTranspose{dims}d": transposed(dims),
        f"ConvTranspose{dims}d, strided": transposed(dims, stride=2, output_padding=1, groups=2, padding=1, dilation=2),
        f"BatchNorm{dims}d, eval": Case(
            partial(lambda dims: after_conv(NORMS[dims](4), dims).eval(), dims), partial(images, 4, dims), "vmap"
        ),
        f"BatchNorm{dims}d": Case(
            partial(lambda dims: after_conv(NORMS[dims](4), dims), dims), partial(images, 4, dims), "refused"
        ),
        f"BatchNorm{dims}d, frozen": Case(
            partial(lambda dims: untrained(after_conv(NORMS[dims](4), dims), "1.weight", "1.bias"), dims),
            partial(images, 4, dims), "refused",
        ),
        f"BatchNorm{dims}d, eval without statistics": Case(
            partial(lambda dims: after_conv(NORMS[dims](4, track_running_stats=False), dims).eval(), dims),
            partial(images, 4, dims), "refused",
        ),
        f"InstanceNorm{dims}d": Case(
            partial(lambda dims: after_conv(INSTANCES[dims](4, affine=True), dims), dims),
            partial(images, 4, dims), "vmap",
        ),
        f"InstanceNorm{dims}d, eval": Case(
            partial(lambda dims: after_conv(INSTANCES[dims](4, 1e-5, 0.1, True, True), dims).eval(), dims),
            partial(images, 4, dims), "vmap",
        ),
        f"InstanceNorm{dims}d, running statistics": Case(
            partial(lambda dims: after_conv(INSTANCES[dims](4, 1e-5, 0.1, True, True), dims), dims),
            partial(images, 4, dims), "refused",
        ),
        f"LazyConv{dims}d": lazy(LAZY[f"LazyConv{dims}d"], dims, 3, 2),
        f"LazyConvTranspose{dims}d": lazy(LAZY[f"LazyConvTranspose{dims}d"], dims, 3, 2, way="vmap"),
        f"LazyBatchNorm{dims}d, eval": lazy(LAZY[f"LazyBatchNorm{dims}d"], dims, way="vmap", evaluate=True),
        f"LazyInstanceNorm{dims}d": lazy(
            partial(LAZY[f"LazyInstanceNorm{dims}d"], affine=True, track_running_stats=False), dims, way="vmap"
        ),
    }  # fmt: skip
# Layers without parameters, between two that have some: their derivatives are taken every way that there is.
POINTWISE = [
    "CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid",
    "LogSoftmax", "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softmin", "Softplus", "Softshrink",
    "Softsign", "Tanh", "Tanhshrink", "Identity",
]  # fmt: skip
for name in POINTWISE:
    make: Any = getattr(nn, name)
    LAYERS[name] = Case(
        partial(lambda make, half: around(make(), 4, 2 if half else 4), make, name == "GLU"), vectors,
    )  # fmt: skip
POOLS: dict[str, tuple[int, ...]] = {
    "AvgPool": (2,), "MaxPool": (2,), "AdaptiveAvgPool": (2,), "AdaptiveMaxPool": (2,), "LPPool": (2, 2),
    "ReflectionPad": (1,), "CircularPad": (1,), "ReplicationPad": (1,),
}  # fmt: skip
for dims in (1, 2, 3):
    for name, args in POOLS.items():
        make = partial(getattr(nn, f"{name}{dims}d"), *args)
        LAYERS[f"{name}{dims}d"] = Case(
            partial(lambda make, dims: after_conv(make(), dims), make, dims), partial(images, 4, dims)
        )
for title, make in {
    "PixelShuffle": partial(nn.PixelShuffle, 1), "PixelUnshuffle": partial(nn.PixelUnshuffle, 1),
    "ChannelShuffle": partial(nn.ChannelShuffle, 2), "Upsample": partial(nn.Upsample, scale_factor=2),
    "Upsample, bicubic": partial(nn.Upsample, scale_factor=2, mode="bicubic"), "Softmax2d": nn.Softmax2d,
    "UpsamplingBilinear2d": partial(nn.UpsamplingBilinear2d, scale_factor=2),
}.items():  # fmt: skip
    LAYERS[title] = Case(partial(lambda make: after_conv(make()), make), images)
for title, make in {
    "Dropout": nn.Dropout, "AlphaDropout": nn.AlphaDropout, "FeatureAlphaDropout": nn.FeatureAlphaDropout,
    "Dropout2d": nn.Dropout2d, "RReLU": nn.RReLU, "FractionalMaxPool2d": partial(nn.FractionalMaxPool2d, 2, 2),
}.items():  # fmt: skip
    LAYERS[title] = Case(partial(lambda make: after_conv(make()), make), images, alone=False)

CASES: dict[str, Case] = LAYERS | SEQUENCES | USES | HABITS | TYPES
