"""What an error advises mends it: each piece of advice is read from the message and followed to the letter."""

from __future__ import annotations

import re

import pytest
from runs import TINY

from batchlab.runner.plan.config import compose
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate

SET = re.compile(r"((?:train|optimizer|batch_schedule|lr_schedule|model|dataset|nproc)[\w.]*=[^\s,;()]+)")
"""An override that a message gives in full."""
TURN = re.compile(r"(raise|lower|shorten) ((?:\w+\.)*\w+)")
"""A key that it wants to have another value: which one is left to the user."""
ON = re.compile(r"on (clock=\w+) or (clock=\w+)")
NUMBER = re.compile(r"(?:set|or|give) (optimizer\.\w+)(?=,| or| \(| a number|$)")
"""One that it wants to be a number."""
LEAVE = re.compile(r"leave out (measure=\w+)")

STEEP = ("batch_schedule=norm_test", "batch_schedule.initial=8")
SOLVER = ("optimizer=svrg", "dataset=breast_cancer", "model=logistic", "batch_schedule.size=4")
CASES = {
    "few samples": ("train.samples=50",),
    "few samples for the first of growing batches": (
        *("train.samples=50", "batch_schedule=exponential", "batch_schedule.initial=64"),
    ),
    "few samples for stages": ("train.samples=50", "batch_schedule=stagewise", "batch_schedule.sizes=[64,128]"),
    "few samples for tests": ("train.samples=50", "batch_schedule=norm_test", "train.groups=8"),
    "a small part of an epoch": ("train.epochs=0.01",),
    "less than a sample": ("train.epochs=1e-9",),
    "more than the data": ("batch_schedule.size=5000",),
    "more than the data at first": ("batch_schedule=exponential", "batch_schedule.initial=5000"),
    "a warm-up of all epochs": ("lr_schedule=cosine", "lr_schedule.warmup=3", "train.epochs=3"),
    "a warm-up of all samples": ("lr_schedule=cosine", "lr_schedule.warmup=3", "train.samples=1442"),
    "an end within a warm-up in shares": (
        *("lr_schedule=cosine", "lr_schedule.warmup=null", "lr_schedule.end=0.5", "train.epochs=10"),
    ),
    "one stair of growth": ("lr_schedule=growth", "lr_schedule.every=20", "train.epochs=3"),
    "one stair of batches": ("batch_schedule=exponential_capped", "batch_schedule.every=20", "train.epochs=3"),
    "steps that are not known": (*STEEP, "train.groups=8", "lr_schedule=linear"),
    "steps that the batches make": ("batch_schedule=exponential", "batch_schedule.clock=steps"),
    "no groups": STEEP,
    "fewer samples than groups": (*STEEP, "train.groups=8", "batch_schedule.initial=1"),
    "each sample's gradient": ("model=resnet8", *STEEP, "batch_schedule.estimator=per_sample"),
    "a regression": ("dataset=linear_regression", "model=linear"),
    "no regression": ("train.loss=mse",),
    "a solver's loss": ("train.loss=squared_hinge",),
    "a measure of others": ("+measure=gsnr",),
    "a small share": ("dataset.validation=0.0001",),
    "a large share": ("dataset.validation=0.9999", "batch_schedule.size=4"),
    "a solver's first stage": (*SOLVER, "train.epochs=2.5"),
    "a solver's first stage in samples": (*SOLVER, "train.samples=1000"),
    "less than a solver's first pass": (*SOLVER, "train.samples=100"),
    "a solver's batch": (*SOLVER, "batch_schedule.size=457", "train.epochs=9"),
    "a solver's model": (*SOLVER, "model=mlp"),
    "a solver's schedules": (*SOLVER, "lr_schedule=cosine", "batch_schedule=exponential"),
    "a solver's ranks": (*SOLVER, "nproc=2"),
    "a solver's images": (*SOLVER, "dataset=digits"),
    "momentum without convexity": (*SOLVER, "optimizer=acc_prox_svrg", "optimizer.l2=0.0"),
    "a tuned step": (*SOLVER, "optimizer.step_size=tuned", "optimizer.l1=0.0", "optimizer.l2=0.0"),
}


def once(overrides: tuple[str, ...]) -> list[str]:
    """TINY with the overrides, the last of each key, and no key of a block that another choice does not have."""
    plain = {text.split("=")[0]: text for text in (*TINY, *overrides) if not text.startswith("+")}
    if plain["model"] != "model=mlp":
        plain.pop("model.hidden")
    if "train.samples" in plain and "train.epochs" not in {text.split("=")[0] for text in overrides}:
        plain.pop("train.epochs")
    if plain.get("batch_schedule", "batch_schedule=constant") != "batch_schedule=constant":
        plain.pop("batch_schedule.size", None)
    return [*plain.values(), *(text for text in overrides if text.startswith("+"))]


def said(overrides: tuple[str, ...]) -> str:
    """What is said of the runs; empty where they are valid, and no part of them is without effect."""
    try:
        warnings = validate(compose(once(overrides)))
    except ConfigError as error:
        return str(error).split(" (run: ")[0]
    return " ".join(text for text in warnings if "no effect" in text)


def ways(message: str, overrides: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The overrides of each way out that a message names, tried one value after the other."""
    head, *rest = re.split(r": | needs |, which costs |such as ", message)
    advice = " ".join(rest)
    found = [(text,) for text in SET.findall(advice) if text not in once(overrides)]
    if "lr_schedule=constant batch_schedule=constant" in advice:
        found = [("lr_schedule=constant", "batch_schedule=constant")]
    found += [(f"~{text}",) for text in LEAVE.findall(advice)]
    found += [(f"{key}=0.1",) for key in NUMBER.findall(advice)]
    axis = head.split("=")[0]
    found += [(f"{axis}.{clock}",) for pair in ON.findall(advice) for clock in pair]
    for verb, key in TURN.findall(advice):
        dotted = head.split("=")[0] if key == "it" else key if "." in key else f"{axis}.{key}"
        factors = (2, 8, 64, 1e9) if verb == "raise" else (0.5, 0.125, 0.01)
        before = next((text.split("=")[1] for text in reversed(once(overrides)) if text.startswith(f"{dotted}=")), "1")
        values = ["[8]"] if before.startswith("[") else [_number(before, factor) for factor in factors]
        found.append(tuple(f"|{dotted}={value}" for value in values))
    found += [(f"dataset.validation={share}",) for share in re.findall(r"choose at (?:least|most) ([\d.]+)", advice)]
    return found


def _number(text: str, factor: float) -> str:
    value = {"1": 128, "null": 1}.get(text) or float(text)
    value *= factor
    return f"{int(value) if value >= 1 else value}"


@pytest.mark.parametrize("case", CASES)
def test_following_the_advice_mends_it(case: str) -> None:
    overrides = CASES[case]
    message = said(overrides)
    assert message, "there is something to mend"
    offered = ways(message, overrides)
    assert offered, f"no advice in: {message}"
    for way in offered:
        tries = [(text[1:],) for text in way] if way[0].startswith("|") else [way]
        assert any(_mends(overrides, message, step) for step in tries), f"{message}: {way} does not mend it"


def _mends(overrides: tuple[str, ...], message: str, step: tuple[str, ...], depth: int = 3) -> bool:
    """Whether a step leads to runs that are valid, perhaps by way of the next message's advice."""
    taken = overrides
    for text in step:
        taken = tuple(t for t in taken if t != f"+{text[1:]}") if text.startswith("~") else (*taken, text)
    after = said(taken)
    if not after:
        return True
    following = ways(after, taken) if after != message and depth else []
    return any(_mends(taken, after, way, depth - 1) for way in following if not way[0].startswith("|"))


def test_a_warm_up_that_fills_the_run_is_said_to_be_too_long_for_the_budget_that_counts() -> None:
    warm = ("lr_schedule.warmup=5", "train.samples=1442")
    (warning,) = validate(compose(once(warm)))
    assert warning.endswith("shorten lr_schedule.warmup or raise train.samples")
    assert validate(compose(once((*warm, "train.samples=14420")))) == []
    assert validate(compose(once((*warm, "lr_schedule.warmup=0.5")))) == []
