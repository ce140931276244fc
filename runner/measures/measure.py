"""`Measure`: one thing that is measured of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from torch import nn
from torch.optim import Optimizer

if TYPE_CHECKING:
    from batchlab.datasets import Dataset
    from batchlab.results.compare.quantities import Quantity
    from batchlab.runner.measures.probe import Probe

Row: TypeAlias = Mapping[str, Any]
When: TypeAlias = Literal["evaluation", "trained", "step"]


@dataclass(frozen=True)
class Subject:
    """What a measure may ask before a run begins.

    Attributes:
        model: on the meta device: names, shapes and modules, no values.
        optimizer: of the run's kind, on a parameter of its own.
        dataset: the run's.
    """

    model: nn.Module
    optimizer: Optimizer
    dataset: Dataset


class Measure(ABC):
    """One thing that is measured of a run; its constructor takes the keys of its YAML file.

    A measure must change nothing of what it looks at: neither the model (its mode and buffers included), nor its
    gradients, nor any random state that training draws from. All ranks call it at the same time, so that it may sum
    over them; only what rank 0 returns is written.

    Attributes:
        when: "evaluation", at every evaluation, the one before the first step included; "trained", at every other
            evaluation; "step", after the first step that follows each evaluation.
        stream: the file its rows go to. "metrics": `measure` returns one row, columns of metrics.parquet, so `when` is
            not "step". "layers": it returns rows of its own for layers.parquet.
        quantities: what tables and plots must know of the columns: which direction is better, unit, scale. A column
            that is not listed is known by its name (see `batchlab.results.compare`).

    Example:
        >>> class Confidence(Measure):
        ...     quantities = {"confidence": Quantity("up", "mean confidence", "%", 100)}
        ...     def measure(self, probe):
        ...         outputs, _ = probe.predictions("test")
        ...         return {"confidence": float(outputs.softmax(1).amax(1).mean())}
        >>> Confidence().when
        'evaluation'
    """

    when: ClassVar[When] = "evaluation"
    stream: ClassVar[Literal["metrics", "layers"]] = "metrics"
    quantities: ClassVar[Mapping[str, Quantity]] = {}

    @abstractmethod
    def measure(self, probe: Probe) -> Row | Sequence[Row]:
        """The numbers now.

        Args:
            probe: the run at this moment.

        Returns:
            column -> number; for "layers" a sequence of rows.
        """

    def check(self, subject: Subject) -> None:  # noqa: B027 - most measures take anything
        """See that this run can be measured, before any run starts.

        Args:
            subject: the run's model, optimizer and data set.

        Raises:
            ValueError: it cannot; the message names the way out.
        """

    def state_dict(self) -> dict[str, Any]:
        """What the next `measure` depends on, in tensors and plain values, for the checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `state_dict` gave."""
