"""What an optimizer's signal-to-noise ratio did to each layer."""

from __future__ import annotations

from batchlab.optimizers.needs import SummarisesLayers
from batchlab.runner.measures.measure import Measure, Subject
from batchlab.runner.measures.probe import Probe


class LayerGSNR(Measure):
    """A row per layer in layers.parquet, as the optimizer's `gsnr_summary` gives it (see `GSNR`).

    It is taken of the first step after each evaluation. The last step before one may be an epoch's remainder: a few
    samples, whose noise is not that of a whole batch.
    """

    when = "step"
    stream = "layers"

    def check(self, subject: Subject) -> None:
        """Refuse optimizers without a `gsnr_summary`.

        Raises:
            ValueError: the run's optimizer has none.
        """
        if not isinstance(subject.optimizer, SummarisesLayers):
            raise ValueError(
                f"{type(subject.optimizer).__name__} has no gsnr_summary(): only the vr_ optimizers, and others built "
                "on GSNR, measure it; choose one, or leave out measure=gsnr"
            )

    def measure(self, probe: Probe) -> list[dict[str, float | int | str]]:
        """Rows with the columns of `gsnr_summary`."""
        assert isinstance(probe.optimizer, SummarisesLayers)
        return probe.optimizer.gsnr_summary()
