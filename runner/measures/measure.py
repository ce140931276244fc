"""`Measure`: one thing that is measured of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

from torch import nn
from torch.optim import Optimizer

from batchlab.results.compare.quantities import Direction, Quantity

if TYPE_CHECKING:
    from batchlab.datasets import Dataset
    from batchlab.runner.measures.probe import Known, Probe

Row: TypeAlias = Mapping[str, Any]
When: TypeAlias = Literal["evaluation", "trained", "step", "end"]
MeasureStream: TypeAlias = Literal["metrics", "layers", "examples"]


@dataclass(frozen=True)
class Subject:
    """What a measure may ask before a run begins.

    Attributes:
        model: on the meta device: names, shapes and modules, no values. None in a dry run without data, which its
            shapes hang on: leave out what cannot be told.
        optimizer: of the run's kind, on a parameter of its own.
        dataset: the run's; None in a dry run without data.
    """

    model: nn.Module | None
    optimizer: Optimizer
    dataset: Dataset | None


class Measure(ABC):
    """One thing that is measured of a run; its constructor takes the keys of its YAML file.

    A measure may put the model into another mode, run it, draw random numbers of torch and call `backward`: modes,
    buffers, torch's random states and every `.grad` (None when it is called) are put back after it, see `untouched`.
    The parameters are not, nor is what else it reaches through the probe: it must not change them. All ranks call it at
    the same time, so that it may sum over them; only what rank 0 returns is written.

    Attributes:
        when: "evaluation", at every evaluation, the one before the first step included; "trained", at every other
            evaluation; "step", after the first step that follows each evaluation; "end", at the evaluation at which the
            budget is spent.
        stream: the file its rows go to. "metrics": `measure` returns one row, columns of metrics.parquet, so `when` is
            not "step". "layers": it returns rows of its own for layers.parquet, "examples" for
            examples.parquet.
        quantities: what tables and plots must know of the columns: which direction is better, unit, scale. A column
            that is not listed is known by its name (see `batchlab.results.compare`).
        columns: what it gives beside those of `quantities`, to be known before anything runs; of the class itself, as
            one that inherits may give others.

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
    stream: ClassVar[MeasureStream] = "metrics"
    quantities: ClassVar[Mapping[str, Quantity]] = {}
    columns: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def measure(self, probe: Probe) -> Row | Sequence[Row]:
        """The numbers now.

        Args:
            probe: the run at this moment.

        Returns:
            column -> number; for "layers" and "examples" a sequence of rows.
        """

    def asks(self, probe: Probe) -> Collection[Known]:
        """What of `Probe.known` this measure is made of, where it looks at nothing else of the run.

        Where all of it is known already, `measure` runs no model, and nothing has to be put back after it.

        Args:
            probe: the run at this moment.

        Returns:
            Nothing where it looks at more, as by default.
        """
        return ()

    def check(self, subject: Subject) -> None:  # noqa: B027 - most measures take anything
        """See that this run can be measured, before any run starts.

        Args:
            subject: the run's model, optimizer and data set; of a dry run without data the optimizer alone.

        Raises:
            ValueError: it cannot; the message names the way out.
        """

    def state_dict(self) -> dict[str, Any]:
        """What the next `measure` depends on, for the checkpoint; each rank keeps its own.

        Returns:
            Tensors, numbers, texts and None, in lists and dicts (not NumPy's numbers: `float(x)`, `x.item()`).
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `state_dict` gave on this rank, its tensors on the run's device.

        Args:
            state: empty where the checkpoint has none of this measure.
        """


def check_declarations(measure: Measure) -> None:
    """See that what a measure declares of itself is among the known words.

    Raises:
        ValueError: of `when`, `stream` or `quantities`; the message names it and what it may be.
    """
    for name, known in (("when", get_args(When)), ("stream", get_args(MeasureStream))):
        if (value := getattr(measure, name)) not in known:
            raise ValueError(f"{name}={value!r}: choose one of {', '.join(known)}")
    if (measure.when, measure.stream) == ("step", "metrics"):
        raise ValueError("a row of metrics is one per evaluation, so `when` cannot be step")
    if not isinstance(measure.quantities, Mapping):
        raise ValueError(f"quantities={measure.quantities!r} must map a column's name to its Quantity")
    for column, quantity in measure.quantities.items():
        if not isinstance(column, str):
            raise ValueError(f"quantities: {column!r} is no column's name")
        if not isinstance(quantity, Quantity):
            raise ValueError(f'quantities: {column} must be a Quantity, as Quantity("up"), got {quantity!r}')
        if quantity.better is not None and quantity.better not in get_args(Direction):
            raise ValueError(f'quantities: {column} has better={quantity.better!r}: choose "up", "down" or None')
