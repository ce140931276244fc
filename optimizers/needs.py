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
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from batchlab.optimizers.moments import Estimator, GradientMoments

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

__all__ = ["Closure", "FiniteSum", "Moments", "Needs", "Nothing", "SummarisesLayers", "ignore", "needs_of", "union"]


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
        groups: fewest groups that a batch must come in.
        estimator: how the variance is measured; None leaves it to who else needs moments ("groups" if nobody does).
        elementwise, coordinates, inner_products: what else is to be kept, see `GradientMoments`.
    """

    groups: int = 2
    estimator: Estimator | None = None
    elementwise: bool = False
    coordinates: bool = False
    inner_products: bool = False

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


def ignore(self: object, moments: GradientMoments) -> None:
    """Learn from the gradient of the step just taken: the `update` of those who do not listen."""


def needs_of(thing: object) -> Needs:
    """What an optimizer, a batch schedule or a solver needs: an instance, or a class that declares it.

    Args:
        thing: with the attribute `needs`, or without one. The word "moments" stands for `Moments()`.

    Raises:
        ValueError: `needs` is none of the declarations, or does not fit the methods that are there.
    """
    declared = getattr(thing, "needs", None)
    name = thing.__name__ if isinstance(thing, type) else type(thing).__name__
    if declared == "moments":
        declared = Moments()
    if declared is not None and not isinstance(declared, Nothing | Closure | Moments | FiniteSum):
        raise ValueError(f"{name}.needs={declared!r}: declare Closure(), Moments() or FiniteSum() of optimizers.needs")
    kind = thing if isinstance(thing, type) else type(thing)
    if hasattr(kind, "planned"):  # a batch schedule
        _check_schedule(declared, getattr(kind, "update", ignore) is not ignore, name)
    return _undeclared(kind, name) if declared is None else declared


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


def _undeclared(kind: type, name: str) -> Needs:
    """What the methods themselves say: torch's habit of `step(closure)`, or an error for what nobody could guess."""
    step = getattr(kind, "step", None)
    required = [p.name for p in _parameters(step) if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if required == ["closure"]:
        return Closure()
    if required:
        raise ValueError(
            f"{name}.step needs {', '.join(required)}: declare what it is given with needs = Moments(...) or "
            "Closure() of batchlab.optimizers.needs"
        )
    return Nothing()


def _parameters(step: object) -> list[inspect.Parameter]:
    """Of a method, without self; none where it cannot be looked into."""
    try:
        return list(inspect.signature(step).parameters.values())[1:]  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []


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
