"""The contract of every model, and the parameter counts and options of the published ones."""

from __future__ import annotations

import importlib
import inspect
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional as F

import batchlab.conf
from batchlab.runner.models import MLP, CifarCNN, CifarResNet, Linear, MnistCNN, WideResNet, imagenet_resnet

CONF = Path(next(iter(batchlab.conf.__path__))) / "model"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
DIGITS, MNIST, CIFAR, TABLE = (1, 8, 8), (1, 28, 28), (3, 32, 32), (7,)
OF_IDS: dict[str, tuple[int, int | tuple[int, ...]]] = {"transformer": (6, 11), "dlrm": (5, (0, 0, 3, 4, 5))}
"""Models of ids: of how many, and from which vocabulary."""


def configured(name: str, shape: tuple[int, ...], classes: int, **overrides: Any) -> nn.Module:
    """The model of a conf file, as the runner builds it, for numbers unless `vocabulary` is given."""
    node = yaml.safe_load((CONF / f"{name}.yaml").read_text()) | overrides
    assert node.pop("name") == name
    module, _, target = node.pop("_target_").rpartition(".")
    made = getattr(importlib.import_module(module), target)
    if "vocabulary" in inspect.signature(made).parameters:
        node = {"vocabulary": None} | node
    model = made(shape=shape, classes=classes, **node)
    assert isinstance(model, nn.Module)
    return model


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def seeded(name: str, shape: tuple[int, ...], classes: int, **overrides: Any) -> nn.Module:
    torch.manual_seed(3)
    return configured(name, shape, classes, **overrides)


def sizes_of(length: int, vocabulary: int | tuple[int, ...]) -> tuple[int, ...]:
    """How many ids each column has; 0: counts."""
    return (vocabulary,) * length if isinstance(vocabulary, int) else vocabulary


@pytest.mark.parametrize("name", NAMES)
def test_contract(name: str) -> None:
    """Digits or ids in, logits out; every parameter is used; the same seed draws the same weights."""
    if name in OF_IDS:
        length, vocabulary = OF_IDS[name]
        model, again = (seeded(name, (length,), 10, vocabulary=vocabulary) for _ in range(2))
        x = torch.stack([torch.randint(n or 99, (4,)) for n in sizes_of(length, vocabulary)], 1)
    else:
        model, again, x = seeded(name, DIGITS, 10), seeded(name, DIGITS, 10), torch.randn(4, *DIGITS)
    for p, q in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)
    out = model(x)
    assert out.shape == ((4, 6, 10) if name == "transformer" else (4, 10))
    assert out.dtype == torch.float32
    assert torch.equal(out, again(x))
    F.cross_entropy(out.flatten(0, -2), torch.arange(out.numel() // 10) % 10).backward()
    for label, parameter in model.named_parameters():
        assert parameter.grad is not None, label
        assert torch.isfinite(parameter.grad).all(), label


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_a_table_give_one_number_or_are_refused_with_the_way_out(name: str) -> None:
    try:
        shape = seeded(name, TABLE, 1)(torch.randn(5, *TABLE)).shape
    except ValueError as error:
        said = str(error)
    else:
        said = "model=mlp" if shape == (5, 1) else f"outputs of {shape}"
    assert "model=mlp" in said


def test_the_models_of_tables_are_not_refused() -> None:
    assert all(seeded(name, TABLE, 1) for name in ("linear", "logistic", "mlp"))


@pytest.mark.parametrize(
    ("name", "shape"), [("cnn_mnist", (1, 3, 8)), ("cnn_cifar", (3, 7, 32)), ("resnet8", (1, 3, 3))]
)
def test_images_that_are_too_small_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="too small"):
        configured(name, shape, 10)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "parameters"),
    [
        ("logistic", MNIST, 10, 7_850),
        ("cnn_mnist", MNIST, 10, 28_938),
        ("cnn_cifar", CIFAR, 10, 541_094),
        ("resnet18", CIFAR, 10, 11_173_962),
        ("resnet18", CIFAR, 100, 11_220_132),
        ("wrn28_10", CIFAR, 10, 36_479_194),
        ("wrn28_10", CIFAR, 100, 36_536_884),
        ("linear", (10,), 1, 11),
    ],
)
def test_published_parameter_counts(name: str, shape: tuple[int, ...], classes: int, parameters: int) -> None:
    assert count(configured(name, shape, classes)) == parameters


@pytest.mark.parametrize("depth", [8, 20, 32, 56])
@pytest.mark.parametrize("shortcut", ["A", "B", "every_stage"])
def test_cifar_resnets_have_the_parameters_of_their_layers(depth: int, shortcut: str) -> None:
    """Weights of each convolution, and two per channel for the norm after it, added up stage by stage."""

    def conv_and_norm(channels: int, filters: int, kernel: int) -> int:
        return channels * filters * kernel**2 + 2 * filters

    n = (depth - 2) // 6
    total = conv_and_norm(3, 16, 3) + 64 * 10 + 10
    for channels, filters in ((16, 16), (16, 32), (32, 64)):
        total += conv_and_norm(channels, filters, 3) + (2 * n - 1) * conv_and_norm(filters, filters, 3)
        if shortcut == "every_stage" or (shortcut == "B" and channels != filters):
            total += conv_and_norm(channels, filters, 1)
    model = configured(f"resnet{depth}", CIFAR, 10, shortcut=shortcut)
    assert count(model) == total
    weighted = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear) and m.weight.shape[2:] != (1, 1)]
    assert len(weighted) == depth


@pytest.mark.parametrize(("depth", "widen"), [(10, 1), (16, 8), (28, 10), (40, 4)])
def test_wide_resnets_have_the_parameters_of_their_layers(depth: int, widen: int) -> None:
    """Three stages of n blocks, each convolution behind a norm of its input; a projection where a stage begins."""
    n, channels = (depth - 4) // 6, 16
    total = 3 * 16 * 9
    for filters in (16 * widen, 32 * widen, 64 * widen):
        for _ in range(n):
            total += 2 * channels + 9 * channels * filters + 2 * filters + 9 * filters**2
            total += channels * filters if channels != filters else 0
            channels = filters
    total += 2 * channels + 10 * channels + 10
    with torch.device("meta"):
        model = WideResNet(shape=CIFAR, classes=10, depth=depth, widen=widen)
    assert count(model) == total
    if widen > 1:  # else the first stage projects nothing
        assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == depth + 1  # and the linear layer


def test_a_wide_resnet_written_out() -> None:
    """In float64 and eval mode, from its weights by name."""
    torch.manual_seed(0)
    model = WideResNet(shape=(3, 8, 8), classes=5, depth=10, widen=2).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    w = model.state_dict()

    def ready(x: Tensor, name: str) -> Tensor:
        scale, shift = w[f"{name}.weight"] / (1 + 1e-5) ** 0.5, w[f"{name}.bias"]
        return (x * scale[:, None, None] + shift[:, None, None]).clamp(min=0)

    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    y = F.conv2d(x, w["conv.weight"], padding=1)
    for i, stride in enumerate((1, 2, 2)):
        a = ready(y, f"blocks.{i}.norm1")
        b = ready(F.conv2d(a, w[f"blocks.{i}.conv1.weight"], stride=stride, padding=1), f"blocks.{i}.norm2")
        side = torch.einsum(
            "oc,nchw->nohw", w[f"blocks.{i}.projection.weight"][:, :, 0, 0], a[:, :, ::stride, ::stride]
        )
        y = F.conv2d(b, w[f"blocks.{i}.conv2.weight"], padding=1) + side
    expected = ready(y, "norm").mean((2, 3)) @ w["classifier.weight"].T + w["classifier.bias"]
    torch.testing.assert_close(model(x), expected)


def test_dropout_of_a_wide_resnet_drops_in_training_alone() -> None:
    model = WideResNet(shape=DIGITS, classes=10, depth=10, widen=1, dropout=0.3, norm="group")
    x = torch.randn(4, *DIGITS)
    seen: list[Tensor] = []
    model.blocks[0].dropout.register_forward_hook(lambda _, args, out: seen.append((out == 0) & (args[0] != 0)))
    assert not torch.equal(model(x), model(x))
    assert 0.2 < seen[0].sum() / (0.5 * seen[0].numel()) < 0.4  # about half are 0 behind the ReLU
    model.eval()
    assert torch.equal(model(x), model(x))
    assert not any(isinstance(m, nn.Dropout) for m in WideResNet(shape=DIGITS, classes=10, depth=10, widen=1).modules())


def test_the_zero_padded_shortcut_by_hand() -> None:
    """With all convolutions at 0 a block passes its input on: every second pixel, and zeros in the new channels."""
    model = CifarResNet(shape=CIFAR, classes=10, depth=8)
    seen: dict[int, Tensor] = {}
    for i, block in enumerate(model.blocks):
        block.register_forward_hook(lambda _, args, out, i=i: seen.update({i: out[:, :16]}))
        for module in block.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.zeros_(module.weight)
    model.eval()
    x = torch.randn(2, *CIFAR)
    features = F.relu(model.norm(model.conv(x)))
    logits = model(x)
    torch.testing.assert_close(seen[0], features)
    torch.testing.assert_close(seen[1], features[:, :, ::2, ::2])
    torch.testing.assert_close(seen[2], features[:, :, ::4, ::4])
    pooled = F.pad(features[:, :, ::4, ::4].mean((2, 3)), (0, 48))
    torch.testing.assert_close(logits, model.classifier(pooled))


@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_group_norm_keeps_samples_apart_and_batch_norm_does_not(name: str) -> None:
    x = torch.randn(6, *DIGITS)
    for norm, apart in (("group", True), ("batch", False)):
        model = configured(name, DIGITS, 10, norm=norm).train()
        whole, alone = model(x)[:2], model(x[:2])
        assert torch.allclose(whole, alone, atol=1e-4) is apart
        holds = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
        assert holds is not apart


def test_models_with_norm_layers_say_so_in_their_conf() -> None:
    """The runner refuses per-sample statistics on BatchNorm by reading `norm`, without building the model."""
    for name in (name for name in NAMES if name not in OF_IDS):
        node = yaml.safe_load((CONF / f"{name}.yaml").read_text())
        model = configured(name, DIGITS, 10)
        normed = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
        assert (node.get("norm") == "batch") is normed, name


def test_norm_options_reach_every_layer() -> None:
    for name in ("resnet8", "resnet18"):
        model = configured(name, CIFAR, 10, bn_momentum=0.003, norm_eps=1e-3)
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms
        assert {(m.momentum, m.eps) for m in norms} == {(0.003, 1e-3)}
        groups = [
            m for m in configured(name, CIFAR, 10, norm="group", groups=4).modules() if isinstance(m, nn.GroupNorm)
        ]
        assert len(groups) == len(norms)
        assert {m.num_groups for m in groups} == {4}


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: CifarResNet(shape=CIFAR, classes=10, depth=18), "6n"),
        (lambda: CifarResNet(shape=CIFAR, classes=10, shortcut="C"), "every_stage"),
        (lambda: CifarResNet(shape=CIFAR, classes=10, norm="layer"), "batch or group"),
        (lambda: CifarResNet(shape=CIFAR, classes=10, norm="group", groups=5), "groups=5"),
        (lambda: imagenet_resnet(shape=CIFAR, classes=10, depth=34), "18 or 50"),
        (lambda: MLP(shape=CIFAR, classes=10, hidden=[]), "hidden"),
        *(
            (lambda width=width: MLP(shape=CIFAR, classes=10, hidden=[8, width]), rf"^hidden={width} must be a whole")
            for width in (0, -1, 1.5, True, 1e12)
        ),
        *(
            (
                lambda key=key, value=value: CifarResNet(shape=CIFAR, classes=10, **{key: value}),
                f"^{key}={value} must be",
            )
            for key, values in {
                "width": (0, -16, 1.5, True, 10**12),
                "groups": (0, -1),
                "depth": (0, 6 * 10**9 + 2),
                "bn_momentum": (7, -0.1, math.nan),
                "norm_eps": (0.0, -1e-5),
            }.items()
            for value in values
        ),
        (lambda: WideResNet(shape=CIFAR, classes=10, depth=20), "6n"),
        (lambda: WideResNet(shape=CIFAR, classes=10, widen=0), "^widen=0 must be"),
        (lambda: WideResNet(shape=CIFAR, classes=10, dropout=1.5), "^dropout=1.5 must be"),
        (lambda: WideResNet(shape=CIFAR, classes=10, norm="group", groups=5), "groups=5"),
        (lambda: imagenet_resnet(shape=CIFAR, classes=10, groups=0), "groups=0 must be"),
        (lambda: imagenet_resnet(shape=CIFAR, classes=10, bn_momentum=7), "bn_momentum=7 must be"),
    ],
)
def test_options_that_make_no_model_are_refused(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


def test_an_option_without_effect_warns() -> None:
    with pytest.warns(UserWarning, match="bn_momentum"):
        CifarResNet(shape=CIFAR, classes=10, norm="group", bn_momentum=0.003)


def test_the_stem_for_small_images_keeps_every_pixel() -> None:
    model = imagenet_resnet(shape=DIGITS, classes=10)
    sizes: list[torch.Size] = []
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        stage.register_forward_hook(lambda _, args, out: sizes.append(out.shape[1:]))
    model.eval()(torch.randn(1, *DIGITS))
    assert sizes == [(64, 8, 8), (128, 4, 4), (256, 2, 2), (512, 1, 1)]


def test_linear_begins_at_zero_when_asked() -> None:
    assert not any(p.any() for p in Linear(shape=(10,), classes=1, bias=False, zero_init=True).parameters())
    assert count(Linear(shape=(10,), classes=1, bias=False)) == 10


def test_cnns_adapt_to_the_digits() -> None:
    assert count(MnistCNN(shape=DIGITS, classes=10)) == 14_538
    assert count(CifarCNN(shape=DIGITS, classes=10)) == 60_806


def test_torchvision_is_imported_only_by_its_own_models() -> None:
    program = "import sys, batchlab.runner.models; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
