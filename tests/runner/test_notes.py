"""Keys that a user adds: notes are kept, and what would be taken for a setting is refused."""

from __future__ import annotations

import pytest
from runs import one

from batchlab.runner.plan.checks import ConfigError


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("+metric=macro_f1", r"\+measure=\.\.\.\?; `batchlab table --metric`"),
        ("+metrics=[a,b]", r"\+measure=\.\.\."),
        ("+metric.name=macro_f1", r"\+measure=\.\.\."),
        ("+measures=gsnr", r"\+measure=\.\.\."),
        ("+epochs=5", r"train\.epochs=\.\.\."),
        ("+lr=0.1", r"optimizer\.lr=\.\.\."),
        ("+batch_size=8", r"batch_schedule\.size=\.\.\."),
        ("+seeds=3", r"seed=\.\.\."),
        ("+optimiser=adam", r"optimizer=\.\.\."),
        ("+precision=float64", r"train\.precision=\.\.\."),
    ],
)
def test_what_would_mean_nothing_is_refused(override: str, meant: str) -> None:
    key = override.lstrip("+").partition("=")[0]
    with pytest.raises(ConfigError, match=rf"did you mean {meant}.*\(\+\+{key}=\.\.\. keeps it as a note\)"):
        one(override)


@pytest.mark.parametrize(
    "override", ["+note=first", "+tag=[a,b]", "+who.wrote=me", "+model.note=1", "++metric=macro_f1", "++lr=0.1"]
)
def test_notes_are_kept(override: str) -> None:
    key = override.lstrip("+").partition("=")[0].partition(".")[0]
    noted = one(override)
    assert key in noted.tree
    assert noted.run_id != one().run_id
