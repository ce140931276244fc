"""A batch schedule of anybody's own: whatever has `planned(clock)`, or is such a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from typing_extensions import override

from batchlab.optimizers.batch.base import BatchSchedule
from batchlab.optimizers.clock import Clock

__all__ = ["PlannedByFunction", "Sizes", "as_schedule"]


@runtime_checkable
class Sizes(Protocol):
    """What a batch schedule must have; `BatchSchedule` says what else it may have, `needs` and `update` for example."""

    def planned(self, clock: Clock) -> int:
        """Samples in the coming global batch, not yet limited to the training set: a whole number, at least 1."""


@dataclass(frozen=True)
class PlannedByFunction:
    """A function `sizes(clock, **keys)` as a schedule.

    Args:
        function: of the clock alone.
        keys: its other arguments.
    """

    function: Callable[..., int]
    keys: dict[str, Any]

    def planned(self, clock: Clock) -> int:
        """What the function gives."""
        return self.function(clock, **self.keys)


def as_schedule(made: Sizes) -> BatchSchedule:
    """A batch schedule of the library's, which asks another for all that it has.

    Args:
        made: with `planned(clock)`; one that is a `BatchSchedule` is returned as it is.
    """
    if isinstance(made, BatchSchedule):
        return made
    called = getattr(made.function, "__name__", "") if isinstance(made, PlannedByFunction) else type(made).__name__
    kind: type[_Own] = type(called or "PlannedByFunction", (_Own,), {})  # whose name messages give
    return kind(made)


class _Own(BatchSchedule):
    """Delegates to an object that need not have more than `planned`."""

    def __init__(self, made: Sizes) -> None:
        self.made: Any = made
        self.needs = getattr(made, "needs", None)
        for name in ("update", "record", "state_dict", "load_state_dict", "changes"):
            if hasattr(made, name):
                setattr(self, name, getattr(made, name))

    @property
    def limit(self) -> int | None:
        """Of the object, where it has one."""
        limit: int | None = getattr(self.made, "limit", None)
        return limit

    @property
    def listening(self) -> bool:
        """Of the object, where it says so; else whether it listens at all."""
        return bool(getattr(self.made, "listening", super().listening))

    @override
    def planned(self, clock: Clock) -> int:
        try:
            size: int = self.made.planned(clock)
        except ValueError:
            raise
        except Exception as error:  # a user's own may index, divide or look into what is not there
            said = f"{type(error).__name__}: {error}"
            raise ValueError(f"{type(self).__name__}.planned raises {said} (at step {clock.steps})") from error
        return size
