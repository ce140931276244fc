"""The ways to per-sample gradients, from the quickest to the one that always works.

1. Layer by layer, from one forward and one backward pass: each layer with parameters (a `Unit`, units.py) is applied
   with its parameters out of autograd's sight, and a hook on its output takes the output's gradient: from that and
   the layer's input a `Call` (layers.py) gets the per-sample gradients in place of the batch's own. Where a parameter
   is used several times (a layer applied twice, tied weights) the uses wait for each other, so that the cross terms of
   ||sum of uses||^2 are there. Layers that we do not know are run again for every sample (replay.py).
2. The whole model as one such layer, under `torch.func.vmap`.
3. A backward pass for every sample, over the graph of one forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from batchlab.optimizers.moments.known import known
from batchlab.optimizers.moments.passes import Learnt, Pass, patched
from batchlab.optimizers.moments.replay import Whole, replay, replayed
from batchlab.optimizers.moments.truth import Batch, gradients_of, rounding
from batchlab.optimizers.moments.units import NotSampleWise, Unit

CACHE_BYTES, ELSEWHERE_BYTES = 4 << 20, 256 << 20  # memory to work in: a core's cache; a GPU, to keep it busy
WHOLE = "the model"
ENOUGH = 16  # samples to be judged on; fewer are taken in until there are more
Way = Literal["layers", "whole", "samples"]
SLOWER: dict[Way, str] = {
    "whole": "the whole model goes through torch.func.vmap, which is exact but several times slower",
    "samples": "every sample takes a backward pass of its own, which is exact and very slow",
}


@dataclass
class Plan:
    """How a model, in its present modes, is measured.

    Attributes:
        way: to the gradients.
        judged_at: samples that it was judged on: one does not show whether samples are apart.
        alike: whether the inputs of these were all the same, which shows it no better.
        batches: that were measured.
        last: of these that was judged.
        due: batch that is to be judged again.
        reruns: whether layers are run again for single samples.
        unreached: places of parameters that have no gradient.
        learnt: what was found out on the way.
    """

    way: Way = "layers"
    judged_at: int = 0
    alike: bool = False
    batches: int = 0
    last: int = 0
    due: int = 1
    reruns: bool = False
    unreached: set[int] = field(default_factory=set)
    learnt: Learnt = field(default_factory=Learnt)

    def stands(self, x: Tensor) -> bool:
        """Whether a batch need not be judged: what depends on the data is looked at again, ever rarer."""
        enough = min(len(x), ENOUGH)
        if self.judged_at < enough or (self.batches >= self.due and enough >= min(self.judged_at, ENOUGH)):
            return False
        return not self.alike or alike(x)

    def judged(self, x: Tensor) -> None:
        """It was judged on this batch."""
        self.alike = alike(x) and (self.alike or not self.judged_at)
        self.judged_at = max(self.judged_at, len(x))
        self.last, self.due = self.batches, 2 * self.batches

    def doubt(self) -> str:
        """What to say of the batches since the last that was judged; empty where there are none."""
        between = self.batches - self.last - 1
        if not self.last or not between:
            return ""
        return (
            f"statistics of the batches {self.last + 1} to {self.batches - 1}, since the last one that was judged, may "
            "be wrong too; use estimator=groups, or a new GradientMoments from the start"
        )


def alike(x: Tensor) -> bool:
    """Whether all of several samples are the same."""
    return len(x) > 1 and torch.equal(x, x[:1].expand_as(x))


class Ways:
    """Takes batches through the ways.

    Args:
        params: the parameters.
        chunk_bytes: memory to work in at a time (one sample's gradient of one layer at least).
    """

    def __init__(self, params: Sequence[Tensor], chunk_bytes: int | None = None) -> None:
        self.params = params
        self.chunk_bytes = chunk_bytes or (CACHE_BYTES if params[0].device.type == "cpu" else ELSEWHERE_BYTES)

    @property
    def index(self) -> dict[int, int]:
        """Places of the parameters by their ids, which a copy of this object has others of."""
        return {id(p): i for i, p in enumerate(self.params)}

    def run(
        self, batch: Batch, plan: Plan, sums: Sequence[Tensor], squares: Sequence[Tensor] | None, judging: bool = False
    ) -> tuple[Tensor, Pass]:
        """One forward and backward pass in the plan's way.

        Args:
            batch: to be measured.
            plan: of its model.
            sums: per parameter, gain the samples' gradients.
            squares: per parameter, gain the squares of these; None where they are not wanted.
            judging: keep the shares of the norms, and take in uses that were not met before.

        Returns:
            The losses (n,), and the pass with the samples' squared norms.

        Raises:
            NotSampleWise: this way is none for the model.
        """
        for parameter in self.params:
            if parameter.requires_grad:
                parameter.grad = None
        eps = rounding(self.params, batch.x.device)
        run = Pass(len(batch.x), self.index, self.chunk_bytes, plan.learnt, sums, squares, eps=eps)
        if judging:
            run.shares, run.learning = {}, True
        if plan.way == "samples":
            losses = batch.losses()
            for sample, loss in enumerate(losses):
                run.take(sample, gradients_of(loss, self.params))
            return losses.detach(), run
        if plan.way == "whole":
            whole = replay(WHOLE, Whole(batch.model), self.wanted(batch.model))
            losses = batch.losses_of(replayed(run, whole, whole.module.forward, batch.x), batch.y, len(batch.x))
            _go_back(run, losses)
        else:
            with patched(self.units(batch.model), run):
                losses = batch.losses()
                _go_back(run, losses)
        run.finish()
        leaks = [place for place, p in enumerate(self.params) if p.requires_grad and p.grad is not None]
        if leaks:
            names = {id(p): name for name, p in batch.model.named_parameters()}
            who = ", ".join(names.get(id(self.params[place]), "of the loss") for place in leaks)
            raise NotSampleWise(f"parameters ({who}) are used outside the layer they belong to", after_backward=True)
        return losses.detach(), run

    def probe(self, model: nn.Module, plan: Plan, x: Tensor) -> None:
        """Look at a batch of another size: an input with as many rows as samples now and then has a row per sample."""
        others = 2 if len(x) != 2 else 3
        run = Pass(others, self.index, self.chunk_bytes, plan.learnt, [], None, probing=True)
        try:
            with torch.no_grad(), patched(self.units(model), run):
                model(x[:1].expand(others, *x.shape[1:]).clone())
        except torch.OutOfMemoryError:
            raise
        except Exception:  # a model for batches of one size: the judgement has to do without
            plan.learnt.row_inputs.clear()

    def taken(self, model: nn.Module, plan: Plan) -> dict[str, str]:
        """How each unit of the model is measured, by its name; "" is the model as a whole."""
        if plan.way == "samples":
            return {"": "loop"}
        units = {"": None} if plan.way == "whole" else {u.name: u for u in self.units(model)}
        by_replay = {name: "loop" if (name or WHOLE) in plan.learnt.one_by_one else "vmap" for name in units}
        return {name: "one pass" if u and u.apply is not replayed else by_replay[name] for name, u in units.items()}

    def units(self, model: nn.Module) -> list[Unit]:
        """The units that the model is divided into."""
        return list(units_of(model, self.wanted(model)))

    def wanted(self, model: nn.Module) -> set[int]:
        """Ids of the parameters whose gradients are wanted."""
        index = self.index
        return {id(p) for p in model.parameters() if p.requires_grad and id(p) in index}


def _go_back(run: Pass, losses: Tensor) -> None:
    if run.early:
        raise NotSampleWise("it differentiates in its forward pass, and that is differentiated again")
    run.going_back = True
    losses.sum().backward()  # type: ignore[no-untyped-call]


def units_of(model: nn.Module, wanted: set[int]) -> Iterator[Unit]:
    """The units of a model: known layers, and the smallest modules that hold the other parameters.

    Args:
        model: to be divided.
        wanted: ids of the parameters whose gradients are wanted.
    """
    seen: set[int] = set()

    def visit(module: nn.Module, name: str) -> Iterator[Unit]:
        if id(module) in seen:
            return
        seen.add(id(module))
        own = {n: p for n, p in module.named_parameters(recurse=False) if id(p) in wanted}
        if own and isinstance(module, torch.jit.ScriptModule):
            raise NotSampleWise(f"{name or 'the model'} is scripted")
        if own and (apply := known(module)) is not None:
            yield Unit(name, module, own, apply)
        elif own:
            yield replay(name, module, wanted)
        else:
            for child, part in module.named_children():
                yield from visit(part, f"{name}.{child}" if name else child)

    yield from visit(model, "")
