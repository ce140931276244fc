"""The smallest effect of interest: how it is written, and on which scale it is then compared."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.results.compare.claims import Claim, Side
from batchlab.results.compare.metrics import Metric
from batchlab.results.compare.quantities import Quantity
from batchlab.results.compare.smallest import Smallest

decimals = st.decimals("0.0001", "9999", places=7).map(lambda value: f"{value.normalize():f}")


def claim(metric, **more):
    sides = Side("A", {"side": "A"}), (Side("B", {"side": "B"}),)
    return Claim("A beats B", "", "ours", *sides, metric if isinstance(metric, Metric) else Metric(metric), **more)


@given(difference=decimals, share=decimals, space=st.sampled_from(["", " "]), turned=st.booleans())
def test_what_is_written_is_read_and_written_again(difference, share, space, turned):
    """Seven decimals at most, as people type: none is lost on the way into a plan and back."""
    texts = [f"{space}{difference}{space}", f"{space}{share}{space}%"]
    found = Smallest.parse(reversed(texts) if turned else texts)
    assert found == Smallest(float(difference), float(share) / 100)
    assert Smallest.parse(found.texts()) == found
    assert Smallest.parse([float(difference)]) == Smallest(float(difference)), "a number of a recipe's YAML"


def test_either_may_be_missing():
    assert Smallest.parse([]) == Smallest(None, None)
    assert Smallest.parse([]).texts() == []
    assert Smallest.parse(["5%"]) == Smallest(None, 0.05)
    assert Smallest.parse(["5%"]).texts() == ["5%"]


REFUSED = ["0", "-1", "0%", "-5%", "nan", "inf", "inf%", "half", "", "%", "5%%", "5% of it", "0.5 and 1", "0.5,1"]


@pytest.mark.parametrize("texts", [*([text] for text in REFUSED), ["0.5", "1"], ["5%", "0.5", "6%"]])
def test_another_form_is_refused_in_one_line(texts):
    with pytest.raises(ValueError, match=r"a smallest effect of .*once each") as caught:
        Smallest.parse(texts)
    assert "\n" not in str(caught.value)


BOTH = Smallest(0.5, 0.1)


def test_it_is_on_the_scale_on_which_a_metric_is_compared():
    """Points of accuracy are hundredths as stored; seconds are as stored; ratios are logarithms."""
    assert BOTH.of(claim("test_accuracy")) == pytest.approx(0.005)
    assert BOTH.of(claim("test_loss")) == 0.5
    assert BOTH.of(claim("train_loss")) == pytest.approx(math.log(1.1))
    assert BOTH.of(claim(Metric.parse("steps_to:test_accuracy>=0.9"))) is None, "known to an evaluation only"
    kilo = Metric("mass", declared=Quantity("down", unit="g", scale=1000.0))
    assert BOTH.of(claim(kilo)) == pytest.approx(0.0005)


def test_it_is_said_in_the_unit_that_is_shown():
    assert BOTH.text(claim("test_accuracy")) == "0.5 points"
    assert BOTH.text(claim("test_loss")) == "0.5"
    assert BOTH.text(claim("train_loss")) == "10 %"
    kilo = Metric("mass", declared=Quantity("down", unit="g", scale=1000.0))
    assert BOTH.text(claim(kilo)) == "0.5 g"


@pytest.mark.parametrize("more", [{"margin": 0.01}, {"within": True}, {"apart": True}])
def test_a_claim_of_a_margin_or_a_distance_has_none(more):
    """It says by itself what matters."""
    assert BOTH.of(claim("test_accuracy", **more)) is None
    assert BOTH.text(claim("test_accuracy", **more)) == ""


def test_none_where_none_is_stated_for_the_scale():
    assert Smallest(difference=0.5).of(claim("train_loss")) is None
    assert Smallest(share=0.1).of(claim("test_accuracy")) is None
    assert Smallest(share=0.1).text(claim("test_accuracy")) == ""
