"""What models do with layers: parameters used elsewhere, rows that are not samples, hooks, randomness, mixing."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from batchlab.tests.moments.table_models import (
    SAMPLES,
    WIDE,
    Backwards,
    Case,
    Experts,
    Net,
    OwnBatchNorm,
    Posed,
    around,
    attention,
    losses_of,
    mixed_with_mean,
    parameter,
    sequences,
    tie,
    tokens,
    two,
    untrained,
    vectors,
)


def two_parents() -> nn.Module:
    child = nn.Linear(WIDE, WIDE)
    parts = {n: Net(lambda m, x: m.child(x).tanh() * m.w, child=child, w=parameter(WIDE)) for n in ("a", "b")}
    return Net(lambda m, x: m.b(m.a(x)), **parts)


def steps_first(m: Any, x: Tensor) -> Any:
    return m.outer(m.inner(x.transpose(0, 1)).tanh()).transpose(0, 1)


def chunks(m: Any, x: Tensor) -> Any:
    return m.outer(torch.cat([m.inner(part) for part in torch.split(x, 2)]).tanh())


def only_in_batches(m: Any, x: Tensor) -> Any:
    """The table is read once per sample's place where there are several: rows that one sample alone does not have."""
    return m.outer(m.inner(x).tanh() + (m.place(torch.arange(len(x))).sum(0) if len(x) > 1 else 0))


def shuffled(m: Any, x: Tensor) -> Any:
    """The rows in another order, as packed sequences have them; the layer is used in both orders."""
    order = x.detach()[:, 0].argsort()
    return m.outer((m.inner(x) + m.inner(2 * x[order])[order.argsort()]).tanh())


def some(m: Any, x: Tensor, where: bool) -> Any:
    """A layer for some of the samples."""
    reach = x.detach()[:, 0] > 0
    h = m.outer(m.inner(x).tanh())
    if where:
        return torch.where(reach[:, None], h + m.extra(x), h)
    return h.index_add(0, reach.nonzero().squeeze(1), m.extra(x[reach]))


def ends_in_place(m: Any, x: Tensor, padded: bool = False) -> Any:
    """The first and the last row where they were, those between in another order; or the ends count for nothing."""
    order = torch.cat([torch.arange(len(x))[:1], torch.arange(len(x))[1:-1].flip(0), torch.arange(len(x))[1:][-1:]])
    out = m.outer((m.inner(x) + m.inner(2 * x[order])[order.argsort()]).tanh())
    return out * (x[:, :1].detach() < 0.5) if padded else out


def many(samples: int = 20) -> Tensor:
    return torch.randn(samples, WIDE)


def mixed_among_many(m: Any, x: Tensor) -> Any:
    """Some in the middle see each other."""
    h = m.inner(x)
    return m.outer(torch.cat([h[:8], h[8:11] + h[8:11].flip(0).tanh(), h[11:]]))


def two_exchanged(m: Any, x: Tensor) -> Any:
    """Two of many rows change places in one use of a layer."""
    order = torch.arange(len(x))
    order[8:10] = order[8:10].flip(0)
    return m.outer((m.inner(x) + m.inner(2 * x[order])[order.argsort()]).tanh())


def padded_ends() -> Tensor:
    x = vectors()
    x[:, 0] = torch.tensor([1.0, 0, 0, 0, 1])
    return x


def mixed_between(m: Any, x: Tensor) -> Any:
    """The samples but for the first and the last see each other."""
    h = m.inner(x)
    middle = h[1:-1]
    return m.outer(torch.cat([h[:1], middle + middle.flip(0).tanh(), h[1:][-1:]]))


def alike(m: Any, x: Tensor) -> Any:
    """Samples of one kind see each other, others do not."""
    kind = x.detach()[:, 0] > 0
    h = m.inner(x)
    return m.outer(((kind[:, None] == kind) / 2.0 + torch.eye(len(x))) @ h)


USES: dict[str, Case] = {
    # Parameters elsewhere than in their layer
    "used by function": two(lambda m, x: m.outer(m.inner(x).tanh()) + F.linear(x, m.inner.weight)[:, :3], way="vmap"),
    "used only by function": two(lambda m, x: F.linear(F.linear(x, m.inner.weight).tanh(), m.outer.weight), way="vmap"),
    "weight as input": two(lambda m, x: m.outer(m.inner(x)) @ m.outer(m.inner.weight).tanh()[:3], way="vmap"),
    "bias of another": two(lambda m, x: m.outer(m.inner(x).tanh() + m.inner.bias), way="vmap"),
    "tied table": Case(
        lambda: tie(nn.Sequential(nn.Embedding(9, WIDE), nn.Tanh(), nn.Linear(WIDE, 9)), "2.weight", "0.weight"), tokens
    ),
    "tied table, padding": Case(
        lambda: tie(
            nn.Sequential(nn.Embedding(9, WIDE, padding_idx=0), nn.Tanh(), nn.Linear(WIDE, 9)), "2.weight", "0.weight"
        ),
        lambda: tokens().clamp(max=2),
    ),
    "tied table, max_norm": Case(
        lambda: tie(
            nn.Sequential(nn.Embedding(9, WIDE, max_norm=0.3), nn.Tanh(), nn.Linear(WIDE, 9)), "2.weight", "0.weight"
        ),
        tokens, "refused",
    ),
    "tied by function": Case(
        lambda: Net(lambda m, x: F.linear(m.table(x).tanh(), m.table.weight), table=nn.Embedding(9, WIDE)),
        tokens, "vmap",
    ),
    "tied biases": Case(lambda: tie(around(nn.Tanh(), 2), "2.bias", "0.bias"), vectors),
    "tied, one of them transposed": Case(
        lambda: Net(lambda m, x: (m.inner(x).tanh() @ m.inner.weight), inner=nn.Linear(WIDE, 3)), vectors, "vmap"
    ),
    "called twice": two(lambda m, x: m.outer(m.inner(m.inner(x).tanh())), sequences),
    "called on 1 and on 3 rows": two(lambda m, x: m.outer(m.inner(x[:, 0]) + m.inner(x).tanh().sum(1)), sequences),
    "called for a side effect": two(lambda m, x: (m.inner(x), m.outer(x))[1]),
    "called without gradients": two(lambda m, x: m.outer(m.inner(x).tanh() + torch.no_grad()(m.inner)(2 * x))),
    "called once detached": two(lambda m, x: m.outer(m.inner(x).tanh() + m.inner(x).detach() ** 2)),
    "two names": Case(lambda: (lambda layer: nn.Sequential(layer, nn.Tanh(), layer))(nn.Linear(WIDE, WIDE)), vectors),
    "no parameters of its own": Case(lambda: nn.Sequential(nn.Sequential(around(nn.Tanh()))), vectors),
    # Parameters of the model's own
    "gate at the top": two(lambda m, x: m.outer(m.inner(x).tanh()) * m.gate, way="vmap", gate=parameter),
    "gate inside": Case(
        lambda: around(Net(lambda m, x: x * m.gate + m.shift, gate=parameter(), shift=parameter(1))), vectors, "vmap"
    ),
    "position added": Case(lambda: around(Net(lambda m, x: x + m.place, place=parameter(3, 4))), sequences, "vmap"),
    "position added, as many as samples": Case(
        lambda: around(Net(lambda m, x: x + m.place, place=parameter(SAMPLES, 4))), partial(sequences, SAMPLES), "vmap"
    ),
    "cls token": two(
        lambda m, x: m.outer(torch.cat([m.token.expand(len(x), -1, -1), m.inner(x)], 1).tanh().cumsum(1)),
        sequences, "vmap", token=lambda: parameter(1, 1, WIDE),
    ),
    "only in the loss": Case(
        lambda: Net(lambda m, x: (m.inner(x), m.scale), inner=nn.Linear(WIDE, 3), scale=parameter(3)),
        vectors, "loop", criterion=lambda out, y: losses_of(out[0] * out[1], y),
    ),
    "penalty in the loss": Case(
        lambda: Net(lambda m, x: (m.inner(x), m.inner.weight), inner=nn.Linear(WIDE, 3)),
        vectors, "loop", criterion=lambda out, y: losses_of(out[0], y) + out[1].square().sum(),
    ),
    "empty parameter": two(lambda m, x: m.outer(m.inner(x).tanh()) + m.none.sum(), way="vmap",
                           none=lambda: parameter(0, 3)),
    "empty layer": two(lambda m, x: m.outer(m.inner(x).tanh()) + m.empty(x).sum(1, keepdim=True),
                       empty=lambda: nn.Linear(WIDE, 0)),
    "unused layer": two(lambda m, x: m.outer(m.inner(x).tanh()), spare=lambda: nn.Linear(3, 3)),
    "unused parameter": two(lambda m, x: m.outer(m.inner(x).tanh()), way="vmap", spare=lambda: parameter(3)),
    "unused but tied": Case(
        lambda: tie(
            Net(lambda m, x: m.a(x), a=nn.Linear(WIDE, WIDE), b=nn.Linear(WIDE, WIDE)), "b.weight", "a.weight"
        ), vectors,
    ),
    "transposed parameter": Case(
        lambda: Net(lambda m, x: (x @ m.w).tanh(), w=nn.Parameter(torch.randn(3, WIDE).t())), vectors, "vmap"
    ),
    "tied into an unknown layer": Case(
        lambda: tie(
            Net(lambda m, x: m.b(m.a(x).tanh()), a=nn.Linear(WIDE, WIDE),
                b=Net(lambda m, x: x @ m.w, w=parameter(WIDE, WIDE))), "b.w", "a.weight"
        ),
        vectors, "vmap",
    ),
    "child of an unknown layer, used by itself": Case(
        lambda: Net(lambda m, x: m.part(x) + m.part.child(x).tanh(),
                    part=Net(lambda m, x: m.child(x) * m.w, child=nn.Linear(WIDE, 3), w=parameter(3))),
        vectors, "vmap",
    ),
    "child of two unknown layers": Case(two_parents, vectors, "vmap"),
    "used but for a frozen layer": Case(lambda: untrained(around(nn.Linear(4, 4)), "1.weight", "1.bias"), vectors),
    "first layer frozen": Case(lambda: untrained(around(nn.Tanh()), "0.weight", "0.bias"), vectors),
    "frozen parameter beside others": Case(
        lambda: untrained(Net(lambda m, x: m.a(x) * m.gate, a=nn.Linear(WIDE, 3), gate=parameter(3)), "gate"), vectors
    ),
    "loss that nothing reaches": two(lambda m, x: m.outer(m.inner(x)).detach() * x.sum(), way="refused", alone=False),
    "zero for some samples": two(lambda m, x: m.outer(m.inner(x).relu()) * (x[:, :1] > 0)),
    # Branches
    "some samples, by where": two(partial(some, where=True), extra=lambda: nn.Linear(WIDE, 3)),
    "some samples, by index": two(partial(some, where=False), way="loop", extra=lambda: nn.Linear(WIDE, 3)),
    "branch by value": two(lambda m, x: m.outer(m.inner(x) if bool(x[0, 0] > 0) else x), way="refused"),
    "experts, weighed": Case(lambda: Experts(index=False), vectors),
    "experts, by index": Case(lambda: Experts(index=True), vectors, "loop"),
    "experts, by index, spare": Case(lambda: Experts(index=True, spare=True), vectors, "loop"),
    # Rows that are not samples
    "steps first inside": two(steps_first, sequences, "vmap"),
    "steps first inside, as many as samples": two(steps_first, partial(sequences, SAMPLES), "vmap"),
    "steps first inside, one step": two(steps_first, partial(sequences, 1), "vmap"),
    "samples last": two(lambda m, x: m.outer(m.inner(x.permute(1, 2, 0).permute(2, 0, 1)).tanh()), sequences),
    "flattened": two(lambda m, x: m.outer(m.inner(x.flatten(0, 1)).tanh()).view(len(x), -1), sequences, "vmap"),
    "flattened, one step": two(lambda m, x: m.outer(m.inner(x.flatten(0, 1)).tanh()).view(len(x), -1),
                               partial(sequences, 1)),
    "repeated": two(lambda m, x: m.outer(m.inner(x.repeat(2, 1)).tanh()).view(2, len(x), -1).sum(0), way="vmap"),
    "two views": two(
        lambda m, x: (lambda a, b: a * b)(*m.outer(m.inner(torch.cat([x, 2 * x])).tanh()).chunk(2)), way="vmap"
    ),
    "unfolded": two(lambda m, x: m.outer(m.inner(x.unfold(1, 4, 1).flatten(0, 1)).tanh()).view(len(x), -1),
                    partial(vectors, 6), "vmap"),
    "half of the rows": two(lambda m, x: m.outer(m.inner(x).tanh()) + m.extra(x.chunk(2)[0]).sum(), way="refused",
                            extra=lambda: nn.Linear(WIDE, 3)),
    "in chunks of the batch": two(chunks, way="vmap"),
    "sample by sample": two(lambda m, x: torch.stack([m.outer(m.inner(row).tanh()) for row in x]), way="vmap"),
    "other layers for one sample": two(only_in_batches, way="refused", place=lambda: nn.Embedding(9, WIDE)),
    "in another order": two(shuffled, way="vmap"),
    "in another order, but for the ends": two(ends_in_place, way="vmap"),
    "in another order, but for the ends, which are padding": two(
        partial(ends_in_place, padded=True), padded_ends, "vmap"
    ),
    "two of many exchanged": two(two_exchanged, many, "vmap"),
    "table of positions": Case(Posed, partial(tokens, SAMPLES), "vmap"),
    "table of one position": Case(Posed, partial(tokens, 1), "vmap"),
    "squeezed": two(lambda m, x: m.outer(m.inner(x).squeeze().tanh()), alone=False, splits=(3,)),
    "one loss, squeezed": two(lambda m, x: m.outer(m.inner(x).tanh()).squeeze(), outer=1, alone=False, splits=(3,),
                              criterion=lambda out, y: (out - y[:, 0]).square()),
    "not one sample alone": two(lambda m, x: m.outer(m.inner(x).tanh()) if len(x) > 1 else 1 / 0, alone=False,
                                splits=(3,)),
    # Samples that are mixed
    "minus the mean": two(lambda m, x: m.outer(mixed_with_mean(m.inner(x))), way="refused"),
    "batch similarity": two(lambda m, x: m.outer(attention(m.inner(x))), way="refused"),
    "rolled": two(lambda m, x: m.outer(m.inner(x) + m.inner(x).roll(1, 0).tanh()), way="refused"),
    "sample before": two(lambda m, x: m.outer(torch.cat([m.inner(x)[:1], m.inner(x)[1:] * m.inner(x)[:-1]])),
                         way="refused"),
    "summed over samples": two(lambda m, x: m.outer(m.inner(x).cumsum(0).tanh()), way="refused"),
    "contrastive": two(lambda m, x: (lambda h: h @ h.mT)(m.outer(m.inner(x).tanh())), way="refused"),
    "mixed in the criterion": two(
        lambda m, x: m.outer(m.inner(x).tanh()), way="refused", criterion=lambda out, y: losses_of(out - out.mean(0), y)
    ),
    "scaled by the number of samples": two(lambda m, x: m.outer(m.inner(x).tanh()) / len(x), way="refused"),
    "mixed in the backward pass": two(lambda m, x: m.outer(Backwards.apply(m.inner(x), True)), way="refused"),
    "mixed between the ends": two(mixed_between, way="refused"),
    "mixed among many": two(mixed_among_many, many, "refused"),
    "mixed among many, all alike": two(lambda m, x: m.outer(attention(m.inner(x))), many, "refused"),
    "mixed behind dropout": Case(
        lambda: nn.Sequential(nn.Dropout(0.3), Net(lambda m, x: mixed_with_mean(x)), around(nn.Tanh())),
        vectors, "refused", alone=False,
    ),
    "weakly mixed, bfloat16": Case(
        lambda: around(Net(lambda m, x: x + 0.1 * x.mean(0))).bfloat16(), lambda: vectors().bfloat16(), "refused",
        close=5e-2, lacks="mixing of that size passes for bfloat16's rounding", fails=("whole", "parts"),
    ),
    "those alike are mixed": two(alike, way="refused"),
    "weakly mixed, float32": Case(
        lambda: around(Net(lambda m, x: x + 1e-3 * x.mean(0))).float(), lambda: vectors().float(), "refused", close=1e-5
    ),
    "loss of the batch": two(
        lambda m, x: (m.outer(m.inner(x).tanh()), m.inner(x).square().mean()), way="refused",
        criterion=lambda out, y: losses_of(out[0], y) + out[1],
    ),
    "weighed by the targets": two(
        lambda m, x: m.outer(m.inner(x).tanh()), way="refused", criterion=lambda out, y: losses_of(out, y) / y.sum()
    ),
    "user's own function": two(lambda m, x: m.outer(Backwards.apply(m.inner(x), False))),
    "own batch norm": Case(lambda: around(OwnBatchNorm(mixes=True)), vectors, "refused"),
}  # fmt: skip
