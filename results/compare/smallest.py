"""The smallest effect of interest: what is smaller does not matter, and can be told from what does."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from batchlab.results.compare.claims import Claim
from batchlab.results.compare.metrics import CLOCKS

FORM = "a number, in the unit that the metric is shown in (0.5: half a point of accuracy), or a share (5%)"


@dataclass(frozen=True)
class Smallest:
    """The smallest effects of interest, by the scale on which a metric is compared.

    Attributes:
        difference: Of metrics that are compared by differences, in the unit that they are shown in. None: not stated.
        share: Of metrics that are compared by ratios: 0.05 is 5 % more or less. None: not stated.
    """

    difference: float | None = None
    share: float | None = None

    @classmethod
    def parse(cls, texts: Iterable[str | float]) -> Smallest:
        """Read `0.5`, `5%`, or one of each.

        >>> Smallest.parse(["0.5", "5%"])
        Smallest(difference=0.5, share=0.05)

        Raises:
            ValueError: For another form, what is not positive, or two of a kind.
        """
        found: dict[str, float] = {}
        for text in texts:
            number, percent, rest = str(text).strip().partition("%")
            try:
                value = float(number)
            except ValueError:
                value = math.nan
            kind = "share" if percent else "difference"
            if not 0 < value < math.inf or rest or kind in found:
                raise ValueError(f"a smallest effect of {text}: it is {FORM}, once each")
            found[kind] = value / 100 if percent else value
        return cls(**found)

    def texts(self) -> list[str]:
        """What `parse` reads, to twelve digits: the same request is then the same plan."""
        difference = [] if self.difference is None else [f"{self.difference:.12g}"]
        return difference + ([] if self.share is None else [f"{100 * self.share:.12g}%"])

    def of(self, claim: Claim) -> float | None:
        """The effect on the scale on which the claim is tested; None where none is stated, or the claim has its own."""
        if claim.margin or claim.distance or claim.metric.reduce in CLOCKS:
            return None  # a time to a target is only known to an evaluation
        quantity = claim.metric.quantity
        if quantity.log:
            return None if self.share is None else math.log1p(self.share)
        return None if self.difference is None else self.difference / quantity.scale

    def text(self, claim: Claim) -> str:
        """`0.5 points`, `5 %`; empty where `of` gives none."""
        if self.of(claim) is None:
            return ""
        quantity = claim.metric.quantity
        if quantity.log:
            return f"{100 * (self.share or 0):g} %"
        unit = "point" if quantity.apart == "points" and self.difference == 1 else quantity.apart
        return f"{self.difference:g} {unit}".rstrip()
