"""The two gradient norms of `sgdm_schedules`, at the end of a run alone."""

from __future__ import annotations

from batchlab.runner.measures import FullGradientNorm, PaperGradientNorm


class ExactAtTheEnd(FullGradientNorm):
    """`full_gradient_norm`, once: what a pilot needs of it."""

    when = "end"


class PaperAtTheEnd(PaperGradientNorm):
    """`full_gradient_norm_paper`, once: in batches of 8, where a growing one begins, it takes longer than training."""

    when = "end"
