"""What n seeds can see, against a simulation and published numbers."""

from dataclasses import replace

import numpy as np
import pytest

from batchlab.results.compare.claims import Claim, Side
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.power import detectable, power
from batchlab.results.compare.stats import paired_test
from batchlab.results.show.claims_sheet import claims_sheet, power_note


@pytest.mark.parametrize(("n", "family"), [(3, 1), (5, 4), (8, 12)])
def test_the_least_effect_is_detected_as_often_as_said(n, family):
    generator, alpha = np.random.default_rng(0), 0.05 / family
    effect = detectable(n, alpha)
    found = np.mean([paired_test(generator.normal(effect, 1, n), np.zeros(n)).p < alpha for _ in range(4000)])
    assert found == pytest.approx(0.8, abs=0.02)


def test_textbook_sample_sizes():
    """Cohen: for a power of 0.8 at 5 % a paired effect of 0.5 takes 34 pairs, one of 0.8 takes 15 and one of 1 10."""
    for effect, n in ((0.5, 34), (0.8, 15), (1.0, 10)):
        assert power(effect, n) >= 0.8 > power(effect, n - 1)
    assert power(0.0, 7) == pytest.approx(0.05)


def test_two_seeds_and_a_large_family_still_have_a_number():
    assert 100 < detectable(2, 0.05 / 12) < 1000


def test_a_sheet_of_claims_says_it(frame_of):
    generator = np.random.default_rng(0)
    runs = [
        ({"side": side, "seed": seed}, {"test_accuracy": float(generator.normal()), "train_loss": 1.0 + seed})
        for side in "AB"
        for seed in range(5)
    ]
    sides = Side("A", {"side": "A"}), (Side("B", {"side": "B"}),)
    asked = [Claim("x", "", "ours", *sides, Metric("test_accuracy"), margin=0.1 * i) for i in range(4)]
    (note,) = [note for note in claims_sheet(judge(frame_of(runs), asked)).notes if note.startswith("power")]
    assert f"at n = 5 (Holm over 4 claims) one of {detectable(5, 0.05 / 4):.2g} standard deviations" in note
    assert "80%" in note
    assert not any(note.startswith("power") for note in claims_sheet(judge(frame_of([]), asked)).notes)
    made = judge(frame_of(runs), asked)
    (note,) = power_note([*made[:3], replace(made[3], level=0.001)])  # as a look leaves one that others were decided at
    assert note.count("n = 5") == 1
    assert f"one of {detectable(5, 0.001):.2g} standard" in note
    two = frame_of([run for run in runs if run[0]["seed"] < 2])
    (note,) = [note for note in claims_sheet(judge(two, 3 * asked)).notes if note.startswith("power")]
    assert note.endswith("at n = 2 (Holm over 12 claims) one of more than 100 standard deviations")
