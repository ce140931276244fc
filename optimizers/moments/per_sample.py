"""The gradient of every single sample of a micro-batch, in the quickest way that is exact for the model.

1. Layer by layer, from one forward and one backward pass: each layer with parameters (a `Unit`, units.py) is applied
   with its parameters out of autograd's sight, and a hook on its output takes the output's gradient: from that and
   the layer's input a `Call` (layers.py) gets the per-sample gradients in place of the batch's own. Where a parameter
   is used several times (a layer applied twice, tied weights) the uses wait for each other, so that the cross terms of
   ||sum of uses||^2 are there. Layers that we do not know are run again for every sample (replay.py).
2. The whole model as one such layer, under `torch.func.vmap`.
3. A backward pass for every sample, over the graph of one forward pass.

The first batch of a model is also put through plain autograd (truth.py), which says whether samples have gradients of
their own at all, and judges the ways in this order: the first that gives the same is taken from then on. All of it
works on chunks of samples, in bounded memory.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from batchlab.optimizers.moments.known import known
from batchlab.optimizers.moments.passes import Learnt, Pass, patched, short
from batchlab.optimizers.moments.replay import Whole, replay, replayed
from batchlab.optimizers.moments.state import ModelState, set_torch_random_states, torch_random_states
from batchlab.optimizers.moments.truth import Losses, Truth, check_apart, gradients_of, rounding
from batchlab.optimizers.moments.units import NotSampleWise, Unit

CACHE_BYTES, ELSEWHERE_BYTES = 4 << 20, 256 << 20  # memory to work in: a core's cache; a GPU, to keep it busy
Way = Literal["layers", "whole", "samples"]
SLOWER: dict[Way, str] = {
    "whole": "the whole model goes through torch.func.vmap, which is exact but several times slower",
    "samples": "every sample takes a backward pass of its own, which is exact and very slow",
}


@dataclass
class Plan:
    """How a model, in its present modes, is measured."""

    way: Way = "layers"
    judged_at: int = 0  # samples that it was judged on: one does not show whether samples are apart
    learnt: Learnt = field(default_factory=Learnt)
    unreached: set[int] = field(default_factory=set)  # places of parameters that have no gradient


class PerSample:
    """Adds the per-sample gradients of a model's micro-batches to running sums.

    Args:
        params: the parameters.
        chunk_bytes: memory to work in at a time (one sample's gradient of one layer at least).
    """

    def __init__(self, params: Sequence[Tensor], chunk_bytes: int | None = None) -> None:
        self.params = params
        self.index = {id(p): i for i, p in enumerate(params)}
        self.chunk_bytes = chunk_bytes or (CACHE_BYTES if params[0].device.type == "cpu" else ELSEWHERE_BYTES)
        self._plans: weakref.WeakKeyDictionary[nn.Module, dict[tuple[int, ...], Plan]] = weakref.WeakKeyDictionary()

    def backward(
        self,
        model: nn.Module,
        losses_of: Losses,
        x: Tensor,
        y: Any,
        sums: Sequence[Tensor],
        squares: Sequence[Tensor] | None,
    ) -> tuple[Tensor, Tensor, list[bool]]:
        """Forward and backward of one micro-batch.

        Args:
            model: whose trainable parameters are those of this object.
            losses_of: the samples' losses (n,), of the model's output and the targets.
            x: the n samples.
            y: their targets.
            sums: per parameter, gain the samples' gradients.
            squares: per parameter, gain the squares of these; None where they are not wanted.

        Returns:
            The losses (n,), the samples' squared gradient norms (n,), and which parameters had a gradient.

        Raises:
            ValueError: samples have no gradients of their own, or none of the ways is exact.
        """
        model = getattr(model, "_orig_mod", model)  # the layers of a compiled model are reached only without it
        plan = self.plan(model)
        if plan.judged_at < min(len(x), 2):
            check_samples_apart(model)
            self._check_given(model)
            before = ModelState(model, losses_of.criterion, device=x.device, parameters=True)
            try:
                return self._judge(model, plan, before, losses_of, x, y, sums, squares)
            except ValueError:
                before.restore()
                raise
        drawn = torch_random_states(x.device)
        try:
            losses, run = self._run(model, plan, losses_of, x, y, sums, squares)
        except NotSampleWise as why:
            # Another use of the model than at first: a layer that only some batches reach. A forward pass can be taken
            # back where it leaves no traces but in the random state.
            if why.after_backward or any(True for _ in model.buffers()):
                raise ValueError(
                    f"the model is used otherwise than in its first batch ({why}): use estimator=groups, or a new "
                    "GradientMoments for what has changed"
                ) from why
            set_torch_random_states(x.device, drawn)
            plan.judged_at = 0
            return self.backward(model, losses_of, x, y, sums, squares)
        return losses, run.norms, self._seen(plan, run)

    def plan(self, model: nn.Module) -> Plan:
        """How this model is measured in its present modes."""
        modes = (*(mode_of(m) for m in model.modules()), *(p.requires_grad for p in self.params))
        return self._plans.setdefault(model, {}).setdefault(modes, Plan())

    def _judge(
        self,
        model: nn.Module,
        plan: Plan,
        before: ModelState,
        losses_of: Losses,
        x: Tensor,
        y: Any,
        sums: Sequence[Tensor],
        squares: Sequence[Tensor] | None,
    ) -> tuple[Tensor, Tensor, list[bool]]:
        data = [t for t in (x, *tree_leaves(y)) if isinstance(t, Tensor)]
        kept = [t.detach().clone() for t in data]
        given, eps = kept[0], rounding(self.params, x.device)

        def again() -> Tensor:
            """The batch and the model as they were."""
            before.restore()
            with torch.no_grad():
                for tensor, before_use in zip(data, kept, strict=True):
                    if not torch.equal(tensor, before_use):
                        tensor.copy_(before_use)
            return x

        frozen = {name: p for name, p in model.named_parameters() if not p.requires_grad}
        sizes = [torch.linalg.vector_norm(p.detach()) for p in frozen.values()]
        truth = Truth.of(model, losses_of, again(), y, self.params)
        moved = [n for (n, p), size in zip(frozen.items(), sizes, strict=True) if torch.linalg.vector_norm(p) != size]
        if moved:
            raise ValueError(
                f"the forward pass changes parameters that are not trained ({', '.join(moved)}): register them as "
                "buffers, which can be put back, or use estimator=groups"
            )
        if len(x) > 1 and truth.finite:
            check_apart(model, losses_of, given, y, before, eps)
        plan.unreached = {i for i, g in enumerate(truth.sums) if g is None}
        again()
        self._probe(model, plan, given)
        why = ""
        for way in get_args(Way):
            plan.way = way
            if way != "layers":
                plan.learnt.row_inputs.clear()
            trial = [torch.zeros_like(t) for t in sums]
            trial_squares = None if squares is None else [torch.zeros_like(t) for t in squares]
            try:
                losses, run = self._run(model, plan, losses_of, again(), y, trial, trial_squares, judging=True)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # plain autograd can do it: a way that cannot is not for this model
                why = why or short(error)
                continue
            wrong = truth.differs(losses, trial, run.shares or {}, eps) if truth.finite else None
            if wrong is None:
                break
            why = why or wrong
        else:
            raise ValueError(
                f"per-sample gradients of this model cannot be had exactly ({why}): use estimator=groups, which takes "
                "any model that an ordinary backward pass can train"
            )
        if plan.way in SLOWER:
            warnings.warn(
                f"per-sample gradients layer by layer do not fit this model ({why}): {SLOWER[plan.way]}; "
                "estimator=groups costs nothing",
                RuntimeWarning,
                stacklevel=5,
            )
        plan.judged_at = len(x) if truth.finite else 0
        for total, part in zip((*sums, *(squares or ())), (*trial, *(trial_squares or ())), strict=True):
            total.add_(part)
        return losses, run.norms, self._seen(plan, run)

    def _run(
        self,
        model: nn.Module,
        plan: Plan,
        losses_of: Losses,
        x: Tensor,
        y: Any,
        sums: Sequence[Tensor],
        squares: Sequence[Tensor] | None,
        judging: bool = False,
    ) -> tuple[Tensor, Pass]:
        for parameter in self.params:
            if parameter.requires_grad:
                parameter.grad = None
        run = Pass(len(x), self.index, self.chunk_bytes, plan.learnt, sums, squares)
        if judging:
            run.shares, run.learning = {}, True
        if plan.way == "samples":
            losses = losses_of(model(x), y, len(x))
            for sample, loss in enumerate(losses):
                run.take(sample, gradients_of(loss, self.params))
            return losses.detach(), run
        if plan.way == "whole":
            whole = replay("the model", Whole(model), self._wanted(model))
            losses = losses_of(replayed(run, whole, whole.module.forward, x), y, len(x))
            losses.sum().backward()  # type: ignore[no-untyped-call]
        else:
            with patched(list(units_of(model, self._wanted(model))), run):
                losses = losses_of(model(x), y, len(x))
                losses.sum().backward()  # type: ignore[no-untyped-call]
        run.finish()
        leaks = [place for place, p in enumerate(self.params) if p.requires_grad and p.grad is not None]
        if leaks:
            names = {id(p): name for name, p in model.named_parameters()}
            who = ", ".join(names.get(id(self.params[place]), "of the loss") for place in leaks)
            raise NotSampleWise(f"parameters ({who}) are used outside the layer they belong to", after_backward=True)
        return losses.detach(), run

    def _wanted(self, model: nn.Module) -> set[int]:
        return {id(p) for p in model.parameters() if p.requires_grad and id(p) in self.index}

    def _seen(self, plan: Plan, run: Pass) -> list[bool]:
        guessed = run.replayed & plan.unreached  # what is run again has a gradient of zero where it has none
        return [seen and place not in guessed for place, seen in enumerate(run.seen)]

    def _check_given(self, model: nn.Module) -> None:
        stepping = [n for n, p in model.named_parameters() if getattr(p, "_post_accumulate_grad_hooks", None)]
        if stepping:
            raise ValueError(
                f"{', '.join(stepping)}: hooks that run after a gradient has been accumulated do not meet the samples' "
                "gradients; remove them, or use estimator=groups"
            )
        strange = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in self.index]
        if strange:
            raise ValueError(
                f"GradientMoments was not given {', '.join(strange)}, which the model trains: give it all of "
                "model.parameters(), or freeze the others with requires_grad_(False)"
            )

    def _probe(self, model: nn.Module, plan: Plan, x: Tensor) -> None:
        """Look at a batch of another size: an input with as many rows as samples now and then has a row per sample."""
        others = 2 if len(x) != 2 else 3
        run = Pass(others, self.index, self.chunk_bytes, plan.learnt, [], None, probing=True)
        try:
            with torch.no_grad(), patched(list(units_of(model, self._wanted(model))), run):
                model(x[:1].expand(others, *x.shape[1:]).clone())
        except torch.OutOfMemoryError:
            raise
        except Exception:  # a model for batches of one size: the judgement has to do without
            plan.learnt.row_inputs.clear()


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


def mode_of(module: nn.Module) -> int:
    """A number that changes with a module's mode, its switches and its hooks."""
    hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
    switches = sum(value is True for value in vars(module).values())
    return 1000 * (hooks + len(module._backward_hooks) + len(module._backward_pre_hooks)) + switches


def check_samples_apart(model: nn.Module) -> None:
    """Raise ValueError where a layer makes a sample's gradient depend on the others in its batch.

    Args:
        model: with BatchNorm in train mode, or an embedding that divides by how often an index comes in the batch.
    """
    for name, module in model.named_modules():
        batch = isinstance(module, nn.modules.batchnorm._BatchNorm)
        instance = isinstance(module, nn.modules.instancenorm._InstanceNorm)
        if (batch and (module.training or module.running_mean is None)) or (
            instance and module.training and module.track_running_stats
        ):
            raise ValueError(
                f"{name or 'the model'} ({type(module).__name__}) mixes the samples of a batch, so that no sample "
                "has a gradient of its own: use estimator=groups, to which a group is a batch like any other, or "
                "a model with GroupNorm"
            )
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.scale_grad_by_freq:
            raise ValueError(
                f"{name or 'the model'} ({type(module).__name__}, scale_grad_by_freq=True) divides by how often an "
                "index comes in the whole batch, so that no sample has a gradient of its own: use estimator=groups, "
                "or switch it off"
            )
