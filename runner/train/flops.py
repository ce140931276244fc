"""How many floating-point operations training takes for a sample, counted once a run."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from batchlab.datasets import evaluation_batches
from batchlab.runner.measures.untouched import untouched
from batchlab.runner.train.session import Session

TIMES = 3
"""A backward pass is taken to cost twice its forward pass: gradients of inputs and of weights."""
SAMPLES = 2
_KNOWN: WeakKeyDictionary[nn.Module, float | None] = WeakKeyDictionary()


def flops_per_sample(session: Session) -> float | None:
    """Three times the operations of a forward pass, a multiplication and an addition being two.

    Matrix products, convolutions and attention are counted; what is done number by number (activations, normalization,
    the loss, the optimizer's step) is not, nor what an optimizer does beyond a gradient of each sample.

    Args:
        session: Of the run; it is left as it was, random states and BatchNorm's included.

    Returns:
        None where nothing can be counted: a model that refuses two samples, or has none of these.
    """
    if session.model not in _KNOWN:
        try:
            _KNOWN[session.model] = _counted(session)
        except Exception:  # a user's model may refuse what training never asks of it; a count is no reason to fail
            _KNOWN[session.model] = None
    return _KNOWN[session.model]


def _counted(session: Session) -> float | None:
    whole, model = session.dataset, session.model
    some = replace(
        whole,
        x_train=whole.x_train[:SAMPLES],
        y_train=whole.y_train[:SAMPLES],
        x_test=whole.x_test[:0],
        y_test=whole.y_test[:0],
        x_validation=None,
        y_validation=None,
    )
    device = next(model.parameters()).device
    x, _ = next(evaluation_batches(some, "train", device=device, batch=SAMPLES, dtype=session.probe.dtype))
    with untouched(model), torch.no_grad(), FlopCounterMode(display=False) as counter:
        session.probe.forward(model.eval(), x)
    total = counter.get_total_flops()
    return TIMES * total / len(x) if total else None
