"""Types of numbers, kinds of inputs and outputs, and layers that nobody knows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from batchlab.tests.moments.table_models import (
    SAMPLES,
    WIDE,
    Case,
    Net,
    after_conv,
    around,
    images,
    losses_of,
    parameter,
    put,
    sequences,
    two,
    vectors,
)


def in_type(dtype: torch.dtype) -> Callable[[], nn.Module]:
    """A body of one type under a head of another."""

    def rule(m: Any, x: Tensor) -> Any:
        return m.outer(m.inner(x.to(dtype)).tanh().to(m.outer.weight.dtype))

    head = torch.float64 if dtype == torch.float32 else torch.float32
    return lambda: Net(rule, inner=nn.Linear(WIDE, 6, dtype=dtype), outer=nn.Linear(6, 3, dtype=head))


def kwargs_of(criterion: str) -> dict[str, Any]:
    pick: Callable[[Any], Tensor] = (lambda out: out[1]) if criterion == "tuple" else (lambda out: out["logits"])
    return {"criterion": lambda out, y: losses_of(pick(out), y)}


class Pair:
    """What a model returns: no tuple, no dict."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits


def cloned(m: Any, x: Tensor) -> Any:
    return m.outer(m.inner(x.clone()).tanh())


TYPES: dict[str, Case] = {
    "float32": Case(lambda: around(nn.LayerNorm(WIDE)).float(), lambda: vectors().float(), close=1e-5),
    "float32, convolutions": Case(lambda: after_conv(nn.GroupNorm(2, 4)).float(), lambda: images().float(), close=1e-5),
    "float32, unknown": Case(lambda: around(nn.PReLU()).float(), lambda: vectors().float(), "vmap", close=1e-5),
    "float64 head on float32": Case(in_type(torch.float32), vectors, close=1e-5),
    "bfloat16 body": Case(in_type(torch.bfloat16), vectors, close=2e-2),
    "bfloat16": Case(lambda: around(nn.Tanh()).bfloat16(), lambda: vectors().bfloat16(), close=5e-2),
    "float16": Case(lambda: around(nn.Tanh()).half(), lambda: vectors().half(), close=1e-2),
    "uint8 images": Case(
        lambda: Net(lambda m, x: m.conv(x.to(m.conv.weight.dtype) / 255), conv=nn.Conv2d(2, 3, 2)),
        lambda: torch.randint(0, 256, (SAMPLES, 2, 4, 4), dtype=torch.uint8),
    ),
    "complex input": two(lambda m, x: m.outer(m.inner(x.abs()).tanh()), lambda: torch.complex(vectors(), vectors())),
    "complex inside": two(lambda m, x: m.outer(torch.fft.fft(m.inner(x)).abs()), sequences),
    "complex parameter": Case(lambda: Net(lambda m, x: (x * m.w).abs(), w=nn.Parameter(torch.randn(4) + 1j)), vectors,
                              "refused"),
    "bool input": two(lambda m, x: m.outer(m.inner(x.to(m.inner.weight)).tanh()), lambda: vectors() > 0),
    "input that wants a gradient": two(lambda m, x: m.outer(m.inner(x).tanh()), lambda: vectors().requires_grad_()),
    "inference tensor as input": two(
        lambda m, x: m.outer(m.inner(x).tanh()), lambda: torch.inference_mode()(vectors)(), twin=two(cloned).model
    ),
    "not contiguous": two(lambda m, x: m.outer(m.inner(x).tanh()), lambda: torch.randn(WIDE, SAMPLES).t()),
    "pair as input": two(lambda m, x: m.outer(m.inner(x[0] + x[1]).tanh()), lambda: (vectors(), vectors()), "refused",
                         alone=False),
    "dict as output": two(lambda m, x: {"logits": m.outer(m.inner(x).tanh()), "n": 1}, **kwargs_of("dict")),
    "tuple as output": two(lambda m, x: (m.inner(x), m.outer(m.inner(x).tanh())), **kwargs_of("tuple")),
    "unknown layer with a dict": Case(
        lambda: Net(lambda m, x: m.last(m.scale(x)["h"]), last=nn.Linear(WIDE, 2),
                    scale=Net(lambda m, x: OrderedDict(h=x * m.w, n=3, s=m.w.sum() * x[:, 0]), w=parameter(WIDE))),
        vectors, "vmap",
    ),
    "unknown layer with an object": Case(
        lambda: Net(lambda m, x: m.last(m.scale(x).logits), last=nn.Linear(WIDE, 2),
                    scale=Net(lambda m, x: Pair(x * m.w), w=parameter(WIDE))),
        vectors, "vmap",
    ),
    "unknown layer given an object": Case(
        lambda: Net(lambda m, x: m.last(m.scale((x, Pair(m.first(x))))), first=nn.Linear(WIDE, WIDE),
                    last=nn.Linear(WIDE, 2), scale=Net(lambda m, x: x[0] * m.w + x[1].logits, w=parameter(WIDE))),
        vectors, "vmap",
    ),
    "unknown layer given a context": Case(
        lambda: Net(lambda m, x: m.last(put(m.scale, context=m.first(x))(x)),
                    first=nn.Linear(WIDE, WIDE), last=nn.Linear(WIDE, 2),
                    scale=Net(lambda m, x: x * m.w + m.context, w=parameter(WIDE))),
        vectors, "vmap",
    ),
    "unknown layer without rows": Case(
        lambda: Net(lambda m, x: m.last(x * m.scale(3)), last=nn.Linear(WIDE, 2),
                    scale=Net(lambda m, n: m.w * n, w=parameter(WIDE))),
        vectors, "vmap",
    ),
    "unknown layer with one tensor twice": Case(
        lambda: Net(lambda m, x: (lambda a, b, c: m.last(a.tanh() + 2 * b) + c)(*m.scale(x)), last=nn.Linear(WIDE, 2),
                    scale=Net(lambda m, x: (lambda h: (h, h, h[:, :2]))(x * m.w), w=parameter(WIDE))),
        vectors, "vmap",
    ),
    "unknown layer that is the input's": Case(
        lambda: around(Net(lambda m, x: x, w=parameter(WIDE))), vectors, "vmap"
    ),
    "unknown layer in place": Case(
        lambda: around(Net(lambda m, x: x.mul_(m.w), w=parameter(WIDE))), vectors, "vmap"
    ),
    "unknown layer on its own buffer": Case(
        lambda: around(Net(lambda m, x: x * m.w + m.b, w=parameter(WIDE), b=torch.randn(SAMPLES, 1, WIDE)[0])),
        vectors, "vmap",
    ),
}  # fmt: skip
