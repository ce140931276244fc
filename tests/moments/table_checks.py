"""A case against a backward pass per sample, in float64: what `verdict` says is what the tests are about."""

from __future__ import annotations

import copy
import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from batchlab.optimizers.moments import GradientMoments
from batchlab.tests.moments.table_models import Case, Way

WAY_OUT = re.compile(r"groups|freeze|dummy batch|view_as_real|reduction=", re.DOTALL)


@contextmanager
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the engine's own, and torch's about what is old
            yield
    finally:
        torch.set_default_dtype(before)


def random_states() -> tuple[Any, ...]:
    return torch.get_rng_state(), random.getstate(), np.random.get_state()


def set_random_states(states: tuple[Any, ...]) -> None:
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    np.random.set_state(states[2])


def batch(case: Case) -> tuple[Any, Tensor]:
    torch.manual_seed(1)
    x = case.x()
    return x, torch.rand(len(x[0]) if isinstance(x, tuple) else len(x), 3)


def fresh(case: Case, played: Sequence[tuple[Any, Tensor]] = (), make: Callable[[], nn.Module] | None = None) -> Any:
    """The model as it is after ordinary passes over these micro-batches, and the random state too."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    model = (make or case.model)()
    if any(isinstance(p, nn.UninitializedParameter) for p in model.parameters()):
        model(batch(case)[0])
    for place, p in enumerate(model.parameters()):
        if not p.requires_grad:
            p.grad = torch.full_like(p, place + 1.0)  # the user's, for whatever reason
    torch.manual_seed(2)
    for x, y in played:
        ordinary(case, model, x, y)
    return model


def ordinary(case: Case, model: nn.Module, x: Any, y: Tensor) -> None:
    torch.autograd.backward(case.criterion(model(clone(x)), clone(y)).mean())


def clone(x: Any) -> Any:
    if isinstance(x, tuple):
        return tuple(clone(t) for t in x)
    with torch.inference_mode(x.is_inference()):
        return x.detach().clone().requires_grad_(x.requires_grad)


def by_hand(
    case: Case,
    parts: Sequence[tuple[Any, Tensor]],
    played: Sequence[tuple[Any, Tensor]] = (),
    frozen: bool = False,
) -> Tensor:
    """One row per sample of the parts, from a backward pass each, on a model of its own.

    Args:
        case: makes the models.
        parts: micro-batches.
        played: others, before them.
        frozen: whether parameters that are not trained have columns too.
    """
    rows, played = [], list(played)
    for x, y in parts:
        for i in range(len(y)):
            model = fresh(case, played, case.twin)
            for p in model.parameters():
                p.grad = None
            if case.alone:
                loss = case.criterion(model(clone(x)[i : i + 1]), clone(y)[i : i + 1]).sum()
            else:
                loss = case.criterion(model(clone(x)), clone(y))[i]
            if loss.requires_grad:
                torch.autograd.backward(loss)
            params = list(model.parameters()) if frozen else trained(model)
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
            rows.append(flatten(gradients))
        played.append((x, y))
    return torch.stack(rows)


def trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def flatten(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.detach().to_dense().reshape(-1).double() for t in tensors])


def split(x: Tensor, y: Tensor, sizes: Sequence[int]) -> list[tuple[Any, Tensor]]:
    sizes = [*sizes, len(y) - sum(sizes)]
    return list(zip(torch.split(x, sizes), torch.split(y, sizes), strict=True))


def measured(case: Case, parts: Sequence[tuple[Any, Tensor]], steps: int, **options: Any) -> str:
    """What comes of it: "exact", "refused: why", or the difference between the statistics and those by hand."""
    played: list[tuple[Any, Tensor]] = []
    model = fresh(case)
    moments = GradientMoments(trained(model), estimator="per_sample", **{"inner_products": True, **options})
    for step in range(steps):  # the third time with what was learnt about the model, in two batches that were judged
        try:
            for x, y in parts:
                moments.backward(model, case.criterion, clone(x), clone(y))
            moments.reduce()
        except Exception as error:
            if not (WAY_OUT.search(str(error)) if isinstance(error, ValueError) else raises(case, type(error))):
                raise
            return f"refused: {error}"
        states = random_states()
        rows = by_hand(case, parts, played)
        set_random_states(states)
        if wrong := differences(case, moments, rows):
            return wrong
        if step and step == steps - 1 and case.way != "refused" and (way := way_taken(moments, model)) != case.way:
            return f"exact by {way}"
        moments.reset()
        played += parts
    return "exact"


def way_taken(moments: GradientMoments, model: nn.Module) -> Way:
    """How the engine had the gradients."""
    order: list[Way] = ["one pass", "vmap", "loop"]
    return max((cast(Way, way) for way in moments.measured_by(model).values()), key=order.index, default="one pass")


def raises(case: Case, kind: type[Exception] = Exception) -> bool:
    """Whether the model cannot be trained in the ordinary way either."""
    try:
        ordinary(case, fresh(case), *batch(case))
    except Exception as error:
        return isinstance(error, kind)
    return False


def differences(case: Case, moments: GradientMoments, rows: Tensor) -> str:
    mean, close = rows.mean(0), case.close
    scale = rows.square().mean().sqrt().item()
    along = rows @ mean
    rest = rows - along[:, None] * mean / (mean @ mean)
    expected = {
        "norm_squared": mean @ mean,
        "variance": rows.var(0).sum(),
        "inner_product_variance": along.var(),
        "orthogonal_variance": rest.var(0).sum(),
    }
    if not moments.inner_products:
        del expected["inner_product_variance"], expected["orthogonal_variance"]
    given = {name: torch.tensor(getattr(moments, name)(), dtype=torch.float64) for name in expected}
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in moments.params]
    given["mean gradient"], expected["mean gradient"] = flatten(gradients), mean
    atol = dict.fromkeys(expected, close * scale**2) | {"mean gradient": close * scale}
    atol["inner_product_variance"] = close * along.square().mean().item()
    if moments.elementwise:
        given["second_moments"], expected["second_moments"] = flatten(moments.second_moments()), rows.square().mean(0)
        given["coordinate_variance"], expected["coordinate_variance"] = (
            flatten(moments.coordinate_variance()), rows.var(0)
        )  # fmt: skip
        atol |= {"second_moments": close * scale**2, "coordinate_variance": 10 * close * scale**2}
    wrong = [
        f"{name} is {given[name].flatten()[:3].tolist()}, not {value.flatten()[:3].tolist()}"
        for name, value in expected.items()
        if not torch.allclose(given[name], value, rtol=close, atol=atol[name])
    ]
    if (moments.samples, moments.groups) != (len(rows), len(rows)):
        wrong.append(f"{moments.samples} samples in {moments.groups} groups, not {len(rows)}")
    return "; ".join(wrong)


def look(model: nn.Module) -> dict[str, Any]:
    """Whatever of a model a user may see, gradients of trained parameters excepted."""
    seen: dict[str, Any] = {}
    for name, module in model.named_modules():
        own = {key: value for key, value in vars(module).items() if not isinstance(value, nn.Module)}
        seen[f"{name} type"] = type(module).__qualname__
        seen[f"{name} attributes"] = sorted(own)
        for key, value in own.items():
            if "hooks" in key:
                seen[f"{name}.{key}"] = len(value) if value is not None else 0
            elif isinstance(value, torch.Generator):
                seen[f"{name}.{key}"] = value.get_state()
            elif isinstance(value, SimpleNamespace):
                seen[f"{name}.{key}"] = dict(vars(value))
            elif isinstance(value, list | tuple | set | dict) and not key.startswith("_"):
                seen[f"{name}.{key}"] = inside(value)
            elif isinstance(value, bool | int | float | str):
                seen[f"{name}.{key}"] = value
            elif isinstance(value, Tensor):
                seen[f"{name}.{key}"] = value.detach().clone()
    for name, p in model.named_parameters():
        seen[f"{name} flags"] = (p.requires_grad, p.is_leaf, type(p), len(p._backward_hooks or ()))
        seen[f"{name} value"] = p.detach().clone()
        if not p.requires_grad:
            seen[f"{name} grad"] = copy.deepcopy(p.grad)
    seen |= {f"{name} value": b.detach().clone() for name, b in model.named_buffers()}
    seen["random state"] = torch.get_rng_state()
    seen["Python's random state"], seen["NumPy's"] = random.getstate(), str(np.random.get_state())
    seen["modes"] = (torch.is_grad_enabled(), torch.backends.mha.get_fastpath_enabled(), torch.get_default_dtype())
    return seen


def inside(value: Any) -> Any:
    """What a container holds at any depth, to be compared."""
    if isinstance(value, Tensor):
        return [round(number, 9) for number in value.detach().double().flatten().tolist()]
    if isinstance(value, dict):
        return {key: inside(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [inside(part) for part in value]
    return value if isinstance(value, bool | int | float | str) else type(value).__name__


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    def same(a: Any, b: Any) -> bool:
        if isinstance(a, Tensor):
            return isinstance(b, Tensor) and a.shape == b.shape and torch.allclose(a.double(), b.double(), atol=1e-12)
        return bool(a == b)

    keys = [*before, *(key for key in after if key not in before)]
    return [key for key in keys if not same(before.get(key), after.get(key))]


def left_as_found(case: Case) -> str:
    """What of the model differs from what ordinary passes leave (or none of them, if refused); or "exact"."""
    x, y = batch(case)
    model, other = fresh(case), fresh(case, (), case.twin)
    untouched, state = look(model), random_states()
    moments = GradientMoments(model.parameters(), estimator="per_sample", inner_products=True)
    for _ in range(3):  # judged twice, and as it was judged
        mine, targets = clone(x), clone(y)
        failed: Exception | None = None
        try:
            moments.backward(model, case.criterion, mine, targets)
            moments.reduce()
        except Exception as error:
            failed = error
        left, after = look(model), random_states()
        moments.reset()
        if failed is not None:
            untrainable = raises(case, type(failed))
            if not isinstance(failed, ValueError) and not untrainable:
                raise failed
            if not (wrong := changes(untouched, left)) or untrainable:
                return "; ".join(wrong) or "exact"
        theirs, wanted = clone(x), clone(y)
        set_random_states(state)
        torch.autograd.backward(case.criterion(other(theirs), wanted).mean())
        wrong = changes(look(other), left)
        if failed is None and not isinstance(x, tuple) and not torch.equal(mine, theirs):
            wrong.append("the input")
        if failed is None and not torch.equal(targets, wanted):
            wrong.append("the targets")
        if wrong or failed:
            return "; ".join(wrong) or "exact"
        untouched, state = left, after
    return "exact"


def verdict(case: Case, test: str) -> str:
    with float64():
        if test == "left":
            return left_as_found(case)
        x, y = batch(case)
        if isinstance(x, tuple):
            return measured(case, [(x, y)], 1)
        if test == "whole":
            found = measured(case, [(x, y)], 3)
            if found.startswith("refused: the inner products"):  # then the others must be exact, or refused too
                alone = measured(case, [(x, y)], 3, inner_products=False)
                return found if alone == "exact" else alone
            return found
        return measured(case, split(x, y, case.splits), 1, elementwise=True, chunk_bytes=1)
