"""What the statistics of the gradient cost: ours beside vmap, BackPACK and plain hooks.

    OMP_NUM_THREADS=1 python benchmarks/bench_moments.py [--batch B] [--repeat N] [--device cpu] [--models NAME...]

Each method computes the mean gradient and, but for the plain ones, the summed variance of the per-sample
gradients of one batch; the exact ones are checked against each other. Methods take turns; a ratio is the median
over turns of its time to that of the plain forward and backward pass of the same turn. On a CPU the time is the
process's own, so that a neighbour's load counts less. BackPACK has no rule for GroupNorm, so that it is timed on
the CIFAR CNN only.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from batchlab.optimizers.moments import GradientMoments
from batchlab.runner.models import CifarCNN, CifarResNet

Method = Callable[[], float | None]  # gives the variance


def losses_of(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, reduction="none")


def plain(model: nn.Module, x: Tensor, y: Tensor) -> Method:
    def run() -> None:
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()

    return run


def ours(model: nn.Module, x: Tensor, y: Tensor, groups: int = 1, **options: object) -> Method:
    moments = GradientMoments(model.parameters(), **options)

    def run() -> float | None:
        for xs, ys in zip(x.chunk(groups), y.chunk(groups), strict=True):
            moments.backward(model, losses_of, xs, ys)
        moments.reduce()
        variance = moments.inner_product_variance() if "inner_products" in options else moments.variance()
        moments.reset()
        return None if "inner_products" in options or options["estimator"] == "groups" else variance

    return run


def accumulated(model: nn.Module, x: Tensor, y: Tensor, groups: int) -> Method:
    def run() -> None:
        model.zero_grad()
        for xs, ys in zip(x.chunk(groups), y.chunk(groups), strict=True):
            (F.cross_entropy(model(xs), ys) / groups).backward()

    return run


def variance_of(norms: Tensor, mean: list[Tensor]) -> float:
    b, g = len(norms), sum(m.double().square().sum() for m in mean)
    return float((norms.double().sum() - b * g) / (b - 1))


def vmapped(model: nn.Module, x: Tensor, y: Tensor) -> Method:
    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, params, (x[None],)), y[None])

    def run() -> float:
        params = {name: p.detach() for name, p in model.named_parameters()}
        rows = vmap(grad(loss), in_dims=(None, 0, 0))(params, x, y)
        norms = sum(r.flatten(1).square().sum(1) for r in rows.values())
        return variance_of(norms, [r.mean(0) for r in rows.values()])

    return run


def hooked(model: nn.Module, x: Tensor, y: Tensor) -> Method:
    """The plain way: the ordinary backward pass, and from hooks unfold and bmm."""
    kept: dict[nn.Module, Tensor] = {}
    norms = torch.zeros(len(x), device=x.device)

    def forward(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept[module] = inputs[0].detach()

    def backward(module: nn.Module, _: object, outputs: tuple[Tensor, ...]) -> None:
        a, d = kept.pop(module), outputs[0]
        if isinstance(module, nn.Linear):
            rows = [torch.einsum("ni,nj->nij", d, a), d]
        elif isinstance(module, nn.Conv2d):
            patches = F.unfold(a, module.kernel_size, module.dilation, module.padding, module.stride)
            rows = [torch.bmm(d.flatten(2), patches.transpose(1, 2))]
            rows += [d.sum((2, 3))] if module.bias is not None else []
        else:
            normal = F.group_norm(a, module.num_groups, eps=module.eps)
            rows = [(d * normal).sum((2, 3)), d.sum((2, 3))]
        for row in rows:
            norms.add_(row.flatten(1).square().sum(1))

    def run() -> float:
        layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.GroupNorm)]
        handles = [m.register_forward_hook(forward) for m in layers]
        handles += [m.register_full_backward_hook(backward) for m in layers]
        norms.zero_()
        model.zero_grad()
        F.cross_entropy(model(x), y, reduction="sum").backward()
        for handle in handles:
            handle.remove()
        return variance_of(norms, [p.grad / len(x) for p in model.parameters() if p.grad is not None])

    return run


def backpacked(model: nn.Module, x: Tensor, y: Tensor) -> Method:
    from backpack import backpack, extend
    from backpack.extensions import BatchL2Grad

    layers = nn.Sequential(*model.features, nn.Flatten(), *model.classifier)
    extended, criterion = extend(layers), extend(nn.CrossEntropyLoss(reduction="sum"))

    def run() -> float:
        extended.zero_grad()
        with backpack(BatchL2Grad()):
            criterion(extended(x), y).backward()
        norms = sum(p.batch_l2 for p in extended.parameters())
        variance = variance_of(norms, [p.grad / len(x) for p in extended.parameters()])
        for p in extended.parameters():
            del p.batch_l2
        return variance

    return run


def measure(methods: dict[str, Method], repeat: int, device: torch.device) -> dict[str, list[float]]:
    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.process_time() if device.type == "cpu" else time.perf_counter()

    times: dict[str, list[float]] = {name: [] for name in methods}
    for turn in range(repeat + 1):
        for name, method in methods.items():
            start = now()
            method()
            if turn:  # the first turn warms up
                times[name].append(now() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--models", nargs="+", default=["cnn", "resnet20"])
    parser.add_argument("--ours", action="store_true", help="leave the slow peers out")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="backpack")
    device = torch.device(arguments.device)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), {device}, batch {arguments.batch}")
    for name in arguments.models:
        torch.manual_seed(0)
        if name == "cnn":
            model: nn.Module = CifarCNN(shape=(3, 32, 32), classes=10)
        else:
            model = CifarResNet(shape=(3, 32, 32), classes=10, depth=20, norm="group")
        model.to(device)
        x = torch.randn(arguments.batch, 3, 32, 32, device=device)
        y = torch.randint(10, (arguments.batch,), device=device)
        methods: dict[str, Method] = {
            "plain forward and backward": plain(model, x, y),
            "exact norm test": ours(model, x, y, estimator="per_sample"),
            "exact, by coordinate": ours(model, x, y, estimator="per_sample", elementwise=True),
            "exact inner-product test": ours(model, x, y, estimator="per_sample", inner_products=True),
            "plain, in 4 micro-batches": accumulated(model, x, y, 4),
            "groups, 4 micro-batches": ours(model, x, y, 4, estimator="groups"),
        }
        if not arguments.ours:
            methods["hooks, unfold and bmm"] = hooked(model, x, y)
            methods["torch.func.vmap"] = vmapped(model, x, y)
            if name == "cnn":
                methods["BackPACK BatchL2Grad"] = backpacked(copy.deepcopy(model), x, y)
        variances = {n: v for n, m in methods.items() if (v := m()) is not None}
        assert max(variances.values()) < 1.0001 * min(variances.values()), variances
        times = measure(methods, arguments.repeat, device)
        base = times["plain forward and backward"]
        print(f"\n{name}: {sum(p.numel() for p in model.parameters()):,} parameters")
        for method, seconds in times.items():
            ratio = statistics.median(s / p for s, p in zip(seconds, base, strict=True))
            print(f"  {method:28s} {1e3 * statistics.median(seconds):8.1f} ms  {ratio:5.2f}x")
        groups = zip(times["groups, 4 micro-batches"], times["plain, in 4 micro-batches"], strict=True)
        overhead = statistics.median(a / b for a, b in groups)
        print(f"  groups over the same micro-batches without statistics {overhead:.3f}x")


if __name__ == "__main__":
    main()
