"""Try a model on its data set's inputs before anything starts."""

from __future__ import annotations

import inspect
import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from batchlab.datasets import Dataset, Entry, evaluation_batches
from batchlab.optimizers.moments.state import random_states, set_random_states
from batchlab.runner.measures.untouched import untouched
from batchlab.runner.plan import sizes
from batchlab.runner.plan.build import arguments, locate
from batchlab.runner.plan.checks import ConfigError
from batchlab.runner.plan.model import Unable, batch_of, file_of, make_model, parameters_of, said
from batchlab.runner.plan.schema import Node

LARGE = 2**26
"""Numbers in a model (a quarter of a gigabyte) above which none is made here only to be tried."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Inputs:
    """What is known of a run's data, before it trains.

    Attributes:
        name: of the data set.
        shape: of one input.
        classes: None for regression.
        dataset: where it is at hand.
        target: shape of one target.
        vocabulary: of ids how many there are, as in `Dataset`; None where inputs are no ids.
    """

    name: str
    shape: tuple[int, ...]
    classes: int | None
    dataset: Dataset | None = None
    target: tuple[int, ...] = ()
    vocabulary: int | Sequence[int] | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> Inputs:
        """Of a data set that is at hand."""
        return cls(dataset.name, dataset.shape, dataset.classes, dataset, dataset.target_shape, dataset.vocabulary)

    @property
    def outputs(self) -> int:
        """Of a model, as `Dataset.outputs`."""
        return math.prod(self.target) if self.classes is None else self.classes

    @property
    def plain(self) -> bool:
        """Whether samples are numbers with a label, or numbers to regress: what each of our models takes."""
        return self.vocabulary is None and (self.classes is None or not self.target)

    @property
    def batch(self) -> str:
        """The inputs of n samples, in messages."""
        return f"{'' if self.vocabulary is None else 'ids '}{batch_of(self.shape)}"

    def some(self, dtype: torch.dtype) -> Tensor:
        """Inputs of two samples, real ones where there are any."""
        return self._two(dtype)[0]

    def targets(self, dtype: torch.dtype) -> Tensor:
        """The targets of the same."""
        return self._two(dtype)[1]

    def _two(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        if self.dataset is None:
            kind = dtype if self.classes is None else torch.int64
            return torch.zeros(2, *self.shape, dtype=dtype), torch.zeros(2, dtype=kind)
        two = replace(self.dataset, x_train=self.dataset.x_train[:2], y_train=self.dataset.y_train[:2])
        return next(evaluation_batches(two, "train", device=CPU, batch=2, dtype=dtype))


def known_beforehand(node: Node) -> Inputs | None:
    """What is known of a data set that is not here: of a published one, what its file declares; else nothing.

    Args:
        node: a `dataset` choice.
    """
    reader = locate(node, "dataset")
    entry = getattr(sys.modules.get(getattr(reader, "__module__", "")), "ENTRY", None)
    return Inputs(str(node["name"]), entry.shape, entry.classes) if isinstance(entry, Entry) else None


def try_model(node: Node, inputs: Inputs, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, tuple[int, ...]]:
    """The model, which takes the data set's inputs and gives what the loss needs.

    It is tried on two samples on the CPU, in train and in eval mode; a large one without memory for its numbers, on the
    meta device, which knows shapes but overlooks types. Random states, also Python's and NumPy's, are as before.

    Args:
        node: a `model` choice.
        inputs: what is known of the data.
        dtype: of its parameters in training.

    Returns:
        A model to look at, not to train, and the shape of one of its outputs.

    Raises:
        ConfigError: naming the model, the data set and what does not fit.
    """
    before = random_states(CPU)
    try:
        return _tried(node, inputs, dtype)
    finally:
        set_random_states(CPU, before)


def _tried(node: Node, inputs: Inputs, dtype: torch.dtype) -> tuple[nn.Module, tuple[int, ...]]:
    known = inputs.plain and _keeps_contract(node)
    model: nn.Module | None = None
    try:
        with torch.device("meta"):
            model = make_model(node, inputs.shape, inputs.outputs, inputs.vocabulary)
    except ConfigError:
        if known:
            raise
    if model is not None and known:
        return model, (inputs.outputs,)
    if model is not None and sum(p.numel() for p in model.parameters()) > LARGE:
        return model, _try_without_numbers(model, node, inputs, dtype)
    real = make_model(node, inputs.shape, inputs.outputs, inputs.vocabulary)
    out = _fits(real, inputs.some(dtype), node, inputs, dtype)
    return real if model is None else model, out


def _try_without_numbers(model: nn.Module, node: Node, inputs: Inputs, dtype: torch.dtype) -> tuple[int, ...]:
    """Shapes can be tried on the meta device; warn where the model asks for numbers."""
    kind = dtype if inputs.vocabulary is None else torch.int64
    try:
        return _fits(model, torch.empty(2, *inputs.shape, dtype=kind, device="meta"), node, inputs, dtype)
    except Unable as error:
        why = error.__cause__
        if not isinstance(why, NotImplementedError) and "meta" not in str(why).lower():
            raise
        warnings.warn(
            f"model={node['name']} was not tried on dataset={inputs.name}: it is too large to be made here, and "
            f"without its numbers it cannot run ({said(why)})",
            stacklevel=2,
        )
        return (*(() if inputs.classes is None else inputs.target), inputs.outputs)


def _keeps_contract(node: Node) -> bool:
    """One of batchlab's own that is told its data set's sizes needs no trial: tests hold it to them."""
    return (
        str(node.get("_target_")).startswith("batchlab.runner.models.")
        and not {"shape", "classes", "vocabulary"} & node.keys()
    )


def _fits(model: nn.Module, x: Tensor, node: Node, inputs: Inputs, dtype: torch.dtype) -> tuple[int, ...]:
    """See that a model can be trained on inputs x (n, *shape); the shape of one output in train mode."""
    found: tuple[int, ...] = ()
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        none = "all its parameters are frozen" if any(True for _ in model.parameters()) else "it has no parameters"
        raise ConfigError(f"model={node['name']} has nothing to train: {none}")
    with _as_trained(model, x, dtype, node, inputs), untouched(model):
        for mode in ("train", "eval"):
            model.train(mode == "train")
            with torch.set_grad_enabled(mode == "train"):
                out = model(x)
            fault = _misfit(out, len(x), node, inputs)
            if not fault and mode == "train" and not out.requires_grad:
                fault = "gives outputs that no gradient leads back from: is its forward detached, or under no_grad?"
            if fault:
                where = "" if mode == "train" else " in eval mode"
                raise ConfigError(f"model={node['name']}{where} {fault}")
            found = tuple(out.shape[1:]) if mode == "train" else found
    return found


@contextmanager
def _as_trained(model: nn.Module, x: Tensor, dtype: torch.dtype, node: Node, inputs: Inputs) -> Iterator[None]:
    """A model as a run begins with it; what its forward raises says which inputs it does not take."""
    try:
        model.to(x.device, dtype)
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise Unable(
            f"model={node['name']} does not take the inputs of dataset={inputs.name}, {inputs.batch}: "
            f"{said(error)}{_callable(model, x) or _advice(node, 'shape')}"
        ) from error


def _callable(model: nn.Module, x: Tensor) -> str:
    """What is wrong with a model that cannot be called with inputs alone; nothing where it can."""
    kind = type(model)
    if kind.forward is nn.Module.forward:
        return f"; name {kind.__name__}'s method that takes inputs and gives outputs `forward`"
    try:
        inspect.signature(model.forward).bind(x)
    except TypeError:
        return f"; {kind.__name__}.forward is called with the inputs alone: give its other arguments a default"
    except ValueError:  # one of C says nothing of its arguments
        return ""
    return ""


def _misfit(out: object, n: int, node: Node, inputs: Inputs) -> str:
    """What is wrong with the outputs of n samples; nothing where they can be trained with."""
    if inputs.classes is None:
        wanted, for_what = [(n, inputs.outputs), (n, *inputs.target)], f"the numbers of dataset={inputs.name}"
    else:
        wanted = [(n, *inputs.target, inputs.classes)]
        for_what = f"the {inputs.classes} classes of dataset={inputs.name}"
        if inputs.target:
            for_what = f"labels {batch_of(inputs.target)} of {for_what}, which come last"
    needed = f"one tensor {batch_of(wanted[0][1:])} is needed for {for_what}"
    if not isinstance(out, Tensor):
        several = f" of {len(out)}" if isinstance(out, (tuple, list, dict)) else ""
        return f"gives a {type(out).__name__}{several} where {needed}: let its forward return the outputs alone"
    if tuple(out.shape) not in wanted:
        got = batch_of(out.shape[1:]) if out.shape[:1] == (n,) else f"{tuple(out.shape)} of {n} samples"
        return f"gives outputs {got} where {needed}{_advice(node, 'classes')}"
    if not out.is_floating_point():
        return f"gives outputs of type {str(out.dtype).removeprefix('torch.')} where floating-point ones are needed"
    return ""


def _advice(node: Node, name: str) -> str:
    """How a model can be told the data set's sizes, where it is not."""
    if name in parameters_of(locate(node, "model")) and name not in node:
        return f" (it was given {name})"
    if sizes.names(node, name):
        return f" ({file_of(node)} gives it ${{{name}}})"
    keys = " or ".join(f"model.{key}" for key in arguments(node))
    change = f"change {keys}, " if keys else ""
    write = "${classes}" if name == "classes" else "${shape} or ${shape[0]}"
    return f"; {change}write {write} in {file_of(node)}, or let {node['_target_']} take `{name}`"
