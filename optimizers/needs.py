"""What an optimizer's step, a batch schedule and a solver need to be given: declared by them, read by one function.

A class says it with the attribute `needs`; without one, any `torch.optim.Optimizer` is driven as torch drives it.

    class MyOptimizer(torch.optim.Optimizer):
        needs = Moments(elementwise=True)            # step(moments) after each batch, from 2 groups at least

    class MySchedule(BatchSchedule):
        needs = Moments(inner_products=True)         # update(moments) after each step

What cannot work (a `step` that asks for more than was declared, an `update` that nobody would call) is an error when it
is read, before anything is trained.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, get_args, runtime_checkable

from torch import Tensor

from batchlab.optimizers.moments import Estimator, GradientMoments

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = [
    "Closure",
    "FiniteSum",
    "Modes",
    "Moments",
    "MovesBySeveral",
    "Needs",
    "Nothing",
    "SummarisesLayers",
    "ignore",
    "needs_of",
    "union",
]


@dataclass(frozen=True, slots=True)
class Nothing:
    """No more than usual: `step()` once the mean gradient is in `.grad`; of a batch schedule, the clock."""


@dataclass(frozen=True, slots=True)
class Closure:
    """`step(closure)`; each call of the closure evaluates the same mini-batch at the parameters as they are.

    Attributes:
        evaluations: calls per step; None where their number is not fixed (`torch.optim.LBFGS`).
    """

    evaluations: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """`step(moments)`, or a schedule's `update(moments)`: a `GradientMoments` of the batch, already reduced.

    Attributes:
        groups: fewest groups that a batch must come in, at least 1.
        estimator: how the variance is measured; None leaves it to who else needs moments ("groups" if nobody does).
        elementwise, coordinates, inner_products: what else is to be kept, see `GradientMoments`.

    Raises:
        ValueError: fewer than 1 group, or an estimator that there is not.
    """

    groups: int = 2
    estimator: Estimator | None = None
    elementwise: bool = False
    coordinates: bool = False
    inner_products: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.groups, int) or self.groups < 1:
            raise ValueError(f"groups={self.groups!r} must be a whole number, at least 1")
        if self.estimator is not None and self.estimator not in get_args(Estimator):
            raise ValueError(f"estimator={self.estimator!r}: choose one of {', '.join(get_args(Estimator))}, or None")

    def gather(self, params: Iterable[Tensor], process_group: ProcessGroup | None = None) -> GradientMoments:
        """Moments of these parameters that measure what is needed.

        Args:
            params: real parameters on one device.
            process_group: the ranks to reduce over; None is the default group.

        Returns:
            Moments without a group yet, estimated by "groups" where the estimator was left open.
        """
        return GradientMoments(
            params,
            estimator=self.estimator or "groups",
            elementwise=self.elementwise,
            coordinates=self.coordinates,
            inner_products=self.inner_products,
            process_group=process_group,
        )


@dataclass(frozen=True, slots=True)
class FiniteSum:
    """A finite-sum solver: made on a `LinearProblem`, not on parameters; it has no `step` (see `finite_sum.Solver`).

    Attributes:
        batches: whether it draws mini-batches; if not, it takes no `batch_size` and no `seed`.
    """

    batches: bool = True


Needs: TypeAlias = Nothing | Closure | Moments | FiniteSum


@runtime_checkable
class SummarisesLayers(Protocol):
    """An optimizer that can tell what its last step did to each layer, as `GSNR` can."""

    def gsnr_summary(self) -> list[dict[str, float | int | str]]:
        """A row per layer of the last step; `layer` is its name."""


@runtime_checkable
class Modes(Protocol):
    """An optimizer that trains other weights than those it is judged by, as a schedule-free one does."""

    def train(self) -> None:
        """Let the parameters be those that gradients are taken at."""

    def eval(self) -> None:
        """Let the parameters be those that are judged."""


@runtime_checkable
class MovesBySeveral(Protocol):
    """An optimizer of several methods, as `Muon` is one for matrices and AdamW for the rest."""

    def methods(self) -> dict[str, list[str]]:
        """Method -> names of the parameters that it moves."""


def ignore(self: object, moments: GradientMoments) -> None:
    """Learn from the gradient of the step just taken: the `update` of those who do not listen."""


def needs_of(thing: object) -> Needs:
    """What an optimizer, a batch schedule or a solver needs: an instance, or a class that declares it.

    Args:
        thing: with the attribute `needs`, or without one. The word "moments" stands for `Moments()`.

    Raises:
        ValueError: `needs` is none of the declarations, or does not fit the methods that are there.
    """
    kind = thing if isinstance(thing, type) else type(thing)
    name = kind.__name__
    # Not getattr's default where there is one: that would pass over an AttributeError within a property.
    declared: Any = thing.needs if hasattr(kind, "needs") else getattr(thing, "needs", None)  # type: ignore[attr-defined]
    if isinstance(thing, type) and hasattr(type(declared), "__get__"):
        raise ValueError(
            f"{name}.needs is a property, which only an instance can answer: ask one, or declare needs as a plain "
            "attribute of the class (as a solver must: it is asked before there is a problem to make it on)"
        )
    if declared == "moments":
        declared = Moments()
    if declared is not None and not isinstance(declared, Nothing | Closure | Moments | FiniteSum):
        raise ValueError(f"{name}.needs={declared!r}: {_instead(declared)}")
    if hasattr(kind, "planned"):  # a batch schedule
        _check_schedule(declared, _listens(thing), name)
        return Nothing() if declared is None else declared
    step = getattr(kind, "step", None)
    if declared is None:
        return _undeclared(step, name)
    if not isinstance(declared, FiniteSum):
        _check_step(declared, step, name)
    elif callable(step):
        raise ValueError(
            f"{name} declares {declared!r}, which is for a solver made on a problem, but has a step, as an optimizer "
            "has: declare Nothing(), Closure() or Moments() of batchlab.optimizers.needs, or drop needs (a solver has "
            "no method of the name step)"
        )
    return declared


def _instead(declared: object) -> str:
    """What to declare in place of something that declares nothing."""
    if isinstance(declared, type) and issubclass(declared, Nothing | Closure | Moments | FiniteSum):
        return f"that is the class, call it: {declared.__name__}()"
    return "declare Nothing(), Closure(), Moments() or FiniteSum() of batchlab.optimizers.needs"


def _listens(schedule: object) -> bool:
    """Whether a batch schedule, an instance or a class, has an `update` of its own; one set on the instance is."""
    update = getattr(schedule, "update", ignore)
    return getattr(update, "__func__", update) is not ignore


def _check_schedule(declared: Needs | None, listens: bool, name: str) -> None:
    """ValueError for a batch schedule whose `update` nobody would call, or that has none to be called."""
    if isinstance(declared, Closure | FiniteSum):
        raise ValueError(f"{name}.needs={declared!r}: a batch schedule can be given Moments(...) and nothing else")
    if listens and not isinstance(declared, Moments):
        raise ValueError(
            f'{name} has an update(moments) that nobody would call: declare needs = "moments" (or Moments(...) of '
            "batchlab.optimizers.needs)"
        )
    if isinstance(declared, Moments) and not listens:
        raise ValueError(f"{name} declares needs, but has no update(moments) to be given them: write it, or drop needs")


def _check_step(declared: Nothing | Closure | Moments, step: object, name: str) -> None:
    """ValueError for a `step` that cannot be called as declared."""
    found = _signature(step)
    if found is None:
        return
    parameters = list(found.parameters.values())[1:]
    given = {Nothing: (), Closure: ("closure",), Moments: ("moments",)}[type(declared)]
    shown = f"step({', '.join(given)})"
    try:
        found.bind("self", *given)
    except TypeError as error:
        raise ValueError(
            f"{name} declares {declared!r}, so {shown} is called, but its step takes {found}: {error}"
        ) from error
    if isinstance(declared, Moments) and parameters[0].name == "closure":
        raise ValueError(
            f"{name} declares {declared!r}, so {shown} is called, but its step takes a closure: write step(self, "
            "moments), or drop needs"
        )


def _undeclared(step: object, name: str) -> Needs:
    """What the methods themselves say: torch's habit of `step(closure)`, or an error for what nobody could guess."""
    found = _signature(step)
    parameters = list(found.parameters.values())[1:] if found else []
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    names = [p.name for p in required]
    if names == ["closure"] and required[0].kind is not inspect.Parameter.KEYWORD_ONLY:
        return Closure()
    if names:
        raise ValueError(
            f"{name}.step needs {', '.join(names)}: declare what it is given, by place, with needs = Moments(...) or "
            "Closure() of batchlab.optimizers.needs"
        )
    return Nothing()


def _signature(step: object) -> inspect.Signature | None:
    """Of a method, self included; None where it cannot be looked into, or is none."""
    try:
        return inspect.signature(step)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def union(*needs: Needs) -> Moments | None:
    """One measurement for all who need moments; None where nobody does.

    Raises:
        ValueError: two want different estimators.

    >>> union(Nothing(), Moments(groups=8), Moments(estimator="per_sample", inner_products=True))
    Moments(groups=8, estimator='per_sample', elementwise=False, coordinates=False, inner_products=True)
    """
    found: Moments | None = None
    for need in needs:
        if not isinstance(need, Moments):
            continue
        if found is None:
            found = need
            continue
        if need.estimator and found.estimator and need.estimator != found.estimator:
            raise ValueError(f"one wants estimator={found.estimator}, another {need.estimator}: give both the same")
        found = replace(
            found,
            groups=max(found.groups, need.groups),
            estimator=found.estimator or need.estimator,
            elementwise=found.elementwise or need.elementwise,
            coordinates=found.coordinates or need.coordinates,
            inner_products=found.inner_products or need.inner_products,
        )
    return found
