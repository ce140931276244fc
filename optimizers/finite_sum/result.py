"""What a finite-sum solver reports, and the rule it stops by."""

import math
from dataclasses import dataclass

from batchlab.optimizers.finite_sum.regularizer import Vector


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts since the solver's start.

    Attributes:
        stage: stages done.
        gradients: component gradients evaluated.
        iterations: inner iterations done.
        seconds: time in the stages, without evaluation and compilation.
        processor_seconds: what of it the solver's thread had a processor for; NaN after a state that does not say.
    """

    stage: int = 0
    gradients: int = 0
    iterations: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Record:
    """A solver at the end of a stage.

    Attributes:
        stage, gradients, iterations, seconds: as in `Progress`.
        passes: gradients / n.
        value: P(x).
        gap: P(x) - optimum; without an optimum the duality gap, where a gap is to be reached; else nan.
        residual: norm of the gradient mapping; nan unless a residual is to be reached.
        restarts: how often the method started its momentum anew.
    """

    stage: int
    gradients: int
    passes: float
    iterations: int
    seconds: float
    value: float
    gap: float
    residual: float
    restarts: int


@dataclass(frozen=True, slots=True)
class Result:
    """What `Solver.solve` came to.

    Attributes:
        x: the solution, shape (d,).
        records: of the call, in order; the first is where it began.
        reason: for the stop: gap, residual, passes, callback or diverged.
    """

    x: Vector
    records: list[Record]
    reason: str

    @property
    def converged(self) -> bool:
        """Whether the wanted gap or residual was reached."""
        return self.reason in ("gap", "residual")

    @property
    def value(self) -> float:
        """P(x) of the solution."""
        return self.records[-1].value


@dataclass(frozen=True, slots=True)
class StopRule:
    """When `Solver.solve` is there; its arguments say what each means.

    Raises:
        ValueError: a gap or a residual below 0.
    """

    gap: float | None
    optimum: float | None
    residual: float | None

    def __post_init__(self) -> None:
        for name in ("gap", "residual"):
            value = getattr(self, name)
            if value is not None and not value >= 0.0:
                raise ValueError(f"{name}={value} must not be negative")

    @property
    def needs_certificate(self) -> bool:
        """Whether the gap is the duality gap, for want of an optimum."""
        return self.gap is not None and self.optimum is None

    def verdict(self, record: Record) -> str | None:
        """The reason to stop at this record; None to go on."""
        if not math.isfinite(record.value):
            return "diverged"
        if self.gap is not None and record.gap <= self.gap:
            return "gap"
        if self.residual is not None and record.residual <= self.residual:
            return "residual"
        return None
