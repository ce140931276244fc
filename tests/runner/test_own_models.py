"""A user's own model: any module class or factory, given what it takes, tried on its data before anything starts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from runs import one
from shell import in_one_line as batchlab

from batchlab.results.store.runs import RunStore
from batchlab.runner.plan import trial
from batchlab.runner.plan.schema import ConfigError, RunConfig
from batchlab.runner.plan.trial import Inputs, try_model
from batchlab.runner.plan.validate import validate
from batchlab.runner.train.session import Session

OWN = '''
import functools
import torch
from torch import nn

NUMBER = 3

def mlp(inputs, outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, outputs))

class Plain(nn.Sequential):
    def __init__(self, width=8):
        super().__init__(*mlp(64, 10))

class Sized(nn.Sequential):
    def __init__(self, classes, inputs=64):
        assert type(classes) is int
        super().__init__(*mlp(inputs, classes))

class Shaped(nn.Sequential):
    def __init__(self, *, shape):
        super().__init__(*mlp(shape[0] * shape[1] * shape[2], 10))

class Places(nn.Sequential):
    def __init__(self, width, shape, classes, /):
        super().__init__(nn.Flatten(), nn.Linear(shape[1] * shape[2], width), nn.Linear(width, classes))

class Loose(nn.Sequential):
    def __init__(self, **options):
        self.options = options
        super().__init__(*mlp(64, 10))

def stars(*shape, **classes):
    assert not shape and not classes
    return mlp(64, 10)

class Strict(nn.Sequential):
    def __init__(self, in_channels, num_classes):
        assert type(in_channels) is type(num_classes) is int
        super().__init__(nn.Conv2d(in_channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, num_classes))

class Net(nn.Module):
    @classmethod
    def small(cls, classes):
        return mlp(64, classes)

def factory(classes=3):
    return mlp(64, classes)

partly = functools.partial(mlp, 64)

def lazy():
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(10))

def half():
    return mlp(64, 10).half()

def still():
    return mlp(64, 10).eval()

class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(144, 10))

class Numbers(Normed):
    """Asks for numbers, which nothing has on the meta device."""
    def forward(self, x):
        return super().forward(x / x.abs().max().item())

class Born(Normed):
    def __init__(self):
        super().__init__()
        self.scale = float(self[0].weight.detach().abs().max())

class Vast(nn.Module):
    def __init__(self, inputs=64, asks=False):
        super().__init__()
        self.asks, self.a, self.b = asks, nn.Linear(inputs, 10**9), nn.Linear(10**9, 10)
    def forward(self, x):
        return self.b(self.a(x.flatten(1))) * (x.max().item() if self.asks else 1)

class Doubled(Plain):
    def forward(self, x):
        out = super().forward(x)
        return out, out

class Aux(Plain):
    """As torchvision's Inception: more than the outputs, but only while it trains."""
    def forward(self, x):
        out = super().forward(x)
        return (out, out) if self.training else out

class Judged(Plain):
    def forward(self, x):
        out = super().forward(x)
        return out if self.training else out.argmax(1)

class Counts(Plain):
    def forward(self, x):
        out = super().forward(x)
        return out if self.training else out.long()

class Detached(Plain):
    def forward(self, x):
        return super().forward(x).detach()

class Whole(Plain):
    def forward(self, x):
        return super().forward(x).mean()

class Names(Plain):
    def forward(self, x):
        return {"logits": super().forward(x)}

class Halved(Plain):
    def forward(self, x):
        return super().forward(x.half())

class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        raise RuntimeError("no licence")

def frozen():
    return mlp(64, 10).requires_grad_(False)

def nothing():
    return nn.Flatten()

def no_model():
    return [1]

def broken_off():
    pass

class Nameless(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.last = nn.Linear(64, classes)
    def run(self, x):
        return self.last(x.flatten(1))

class Masked(Nameless):
    def forward(self, x, mask):
        return self.run(x)

class Words(Nameless):
    def __init__(self, classes, vocabulary):
        super().__init__(classes)
        self.table = nn.Embedding(vocabulary, 64)
'''


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_models.py").write_text(OWN)
    (tmp_path / "own_broken.py").write_text("def net(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("BATCHLAB_DATA", str(tmp_path / "data"))


def own(target: str, lines: str = "") -> str:
    """Write conf/model/own.yaml; the override that chooses it."""
    Path("conf/model").mkdir(parents=True, exist_ok=True)
    path = target if "." in target else f"own_models.{target}"
    Path("conf/model/own.yaml").write_text(f"name: own\n_target_: {path}\n{lines}\n")
    return "model=own"


TAKEN = {
    "no argument of its own": ("Plain", ""),
    "classes alone": ("Sized", ""),
    "shape alone": ("Shaped", ""),
    "by place only": ("Places", "width: 5"),
    "any argument": ("Loose", "depth: 3"),
    "any argument of the same name": ("stars", ""),
    "named": ("Strict", "in_channels: ${shape[0]}\nnum_classes: ${classes}"),
    "named with a dot": ("Strict", "in_channels: ${shape.0}\nnum_classes: ${ classes }"),
    "a factory": ("factory", ""),
    "a partial function": ("partly", "outputs: ${classes}"),
    "a class method": ("own_models.Net.small", ""),
    "Hydra's _partial_": ("factory", "_partial_: true"),
    "a value beside what it takes": ("Shaped", "shape: [1, 4, 16]"),
    "lazy layers": ("lazy", ""),
    "in half precision": ("half", ""),
    "in eval mode": ("still", ""),
    "BatchNorm": ("Normed", ""),
    "numbers in its forward": ("Numbers", ""),
    "numbers in its constructor": ("Born", ""),
}


@pytest.mark.parametrize("case", TAKEN)
def test_what_is_taken_trains(case: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    choice = own(*TAKEN[case])
    code, said = batchlab("sweep", choice, "--dry-run", monkeypatch=monkeypatch, capfd=capfd)
    assert (code, "warning" in said) == (0, False), said
    planned = one(choice)
    session = Session.build(RunConfig.of(planned.tree), torch.device("cpu"), 0, 1)
    assert {p.dtype for p in session.model.parameters()} == {torch.float32}
    session.gradient(session.take(16))
    assert all(p.grad is not None for p in session.model.parameters())


REFUSED = {
    "another input size": (
        "Sized",
        "inputs: 100",
        r"model=own does not take the inputs of dataset=digits, \(n, 1, 8, 8\): RuntimeError: .*mat1 and mat2 .*2x64.*"
        r"change model\.inputs, write \$\{shape\} .* in conf/model/own\.yaml, or let own_models\.Sized take `shape`",
    ),
    "other channels": ("Strict", "in_channels: 3\nnum_classes: 10", r"expected input\[2, 1, 8, 8\] to have 3 channels"),
    "other classes": (
        "factory",
        "classes: 7",
        r"model=own gives outputs \(n, 7\) where one tensor \(n, 10\) is needed for the 10 classes of dataset=digits; "
        r"change model\.classes, write \$\{classes\}",
    ),
    "a name that is not said": (
        "Strict",
        "num_classes: ${classes}",
        r"missing .*'in_channels'.*conf/model/own\.yaml can",
    ),
    "a dimension that is not there": ("Sized", "inputs: ${shape[3]}", r"\$\{shape\[3\]\} .* shape \(1, 8, 8\)"),
    "a name within a text": ("Sized", "inputs: 2${classes}", r"2\$\{classes\} is not to be had"),
    "a part of a number": ("Sized", "inputs: ${classes[0]}", "is not to be had"),
    "an argument it has not": ("Plain", "depth: 3", r"model\.depth: own_models\.Plain takes no such argument"),
    "shape to any argument": (
        "batchlab.runner.models.MLP",
        "hidden: [8]\nshape: [7]",
        r"does not take the inputs of dataset=digits",
    ),
    "a tuple": ("Doubled", "", r"model=own gives a tuple of 2 where one tensor \(n, 10\) .* return the outputs alone"),
    "a tuple in train mode": ("Aux", "", r"model=own gives a tuple of 2"),
    "labels in eval mode": ("Judged", "", r"model=own in eval mode gives outputs \(n\)"),
    "whole numbers": ("Counts", "", r"in eval mode gives outputs of type int64 where floating-point ones"),
    "a dict": ("Names", "", r"gives a dict of 1"),
    "one number": ("Whole", "", r"gives outputs \(\) of 2 samples"),
    "no gradient": ("Detached", "", r"no gradient leads back from"),
    "another type within": ("Halved", "", r"does not take the inputs .*(dtype|Half)"),
    "frozen": ("frozen", "", r"model=own has nothing to train: all its parameters are frozen"),
    "no parameters": ("nothing", "", r"model=own has nothing to train: it has no parameters"),
    "what raises": ("Fails", "", r"model=own: RuntimeError: no licence"),
    "no module": ("no_model", "", r"model=own: own_models\.no_model makes no Module"),
    "None": ("broken_off", "", r"own_models\.broken_off makes no Module"),
    "a number": ("NUMBER", "", r"own_models\.NUMBER is of type int: `_target_` names a class or a function"),
    "nothing of that name": ("Missing", "", r"cannot import own_models\.Missing"),
    "no Python": ("own_broken.net", "", r"cannot import own_broken\.net \(SyntaxError: .*own_broken\.py, line 1"),
    "too large and other inputs": ("Vast", "inputs: 100", r"does not take the inputs .*100"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_before_it_starts(
    case: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    target, lines, message = REFUSED[case]
    choice = own(target, lines)
    code, said = batchlab("sweep", "--dry-run", choice, "train.epochs=1", monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2, said
    assert re.search(message, said), said
    assert "Traceback" not in said
    assert said.startswith("batchlab: ")


@pytest.mark.slow
def test_nothing_is_started_where_one_model_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = ("sweep", own("factory", "classes: 10"), "model.classes=10,7", "train.epochs=1")
    code, said = batchlab(*asked, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2, said
    assert "outputs (n, 7)" in said
    assert not list(Path().glob("runs/*/config.yaml"))


def test_a_model_too_large_to_be_made_here_is_tried_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("batchlab.datasets.memory.at_hand", lambda: 10**15)
    code, said = batchlab("sweep", own("Vast"), "--dry-run", monkeypatch=monkeypatch, capfd=capfd)
    assert (code, "warning" in said) == (0, False), said
    code, said = batchlab("sweep", own("Vast", "asks: true"), "--dry-run", monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0, said
    assert "warning: model=own was not tried on dataset=digits: it is too large to be made here" in said


def test_data_that_is_not_here_yet_is_known_from_its_declaration(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    choice = own("factory")
    code, said = batchlab("sweep", choice, "dataset=mnist", "--dry-run", monkeypatch=monkeypatch, capfd=capfd)
    assert code == 2, said
    assert "does not take the inputs of dataset=mnist, (n, 1, 28, 28)" in said
    code, said = batchlab(
        "sweep", choice, "dataset=npz", "dataset.file=x", "--dry-run", monkeypatch=monkeypatch, capfd=capfd
    )
    assert code == 2, "a file of one's own does not arrive by itself"
    assert "no file" in said


@pytest.mark.slow
def test_torchvision_as_it_is(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Three channels, seven classes: the number of classes reaches it as a number."""
    draw = np.random.default_rng(0)
    parts = {f"x_{part}": draw.integers(0, 256, (28, 32, 32, 3), np.uint8) for part in ("train", "test")}
    parts |= {f"y_{part}": np.arange(28) % 7 for part in ("train", "test")}
    Path("data").mkdir()
    np.savez("data/seven.npz", **parts)
    data = ("dataset=npz", "dataset.file=seven", "train.epochs=1", "batch_schedule.size=7", "train.device=cpu")
    choice = own("torchvision.models.resnet18", "num_classes: ${classes}")
    code, said = batchlab("train", choice, *data, monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0, said
    (run,) = RunStore(Path("runs")).runs()
    tree = yaml.safe_load(run.config.read_text())
    assert tree["model"]["num_classes"] == "${classes}", "as it is written, in a run's identity too"
    session = Session.build(RunConfig.load(run.config), torch.device("cpu"), 0, 1)
    assert session.model.fc.out_features == 7
    code, said = batchlab("train", choice, *data, "~model.num_classes", monkeypatch=monkeypatch, capfd=capfd)
    assert (code, "gives outputs (n, 1000)" in said) == (2, True), said


def test_names_in_overrides_and_by_way_of_other_keys() -> None:
    choice = own("Strict", "channels: ${shape[0]}\nin_channels: ${model.channels}\nnum_classes: 3")
    tree = one(choice, "~model.channels", "model.in_channels=${shape[0]}", "model.num_classes=${classes}").tree
    assert tree["model"] == {
        "name": "own",
        "_target_": "own_models.Strict",
        "in_channels": "${shape[0]}",
        "num_classes": "${classes}",
    }
    assert one(choice).tree["model"]["in_channels"] == "${shape[0]}"
    with pytest.raises(ValueError, match=r"a value in optimizer leads to \$\{shape\[0\]\}"):
        one(choice, "optimizer.lr=${model.channels}")
    with pytest.raises(ValueError, match=r"\$\{classes\} leads nowhere"):
        one(choice, "optimizer.lr=${classes}")


def test_a_key_of_the_users_own_comes_first() -> None:
    """As ever: runs that have one keep their identity."""
    choice = own("Strict", "in_channels: 1\nnum_classes: ${classes}")
    assert one(choice, "+classes=10").tree["model"]["num_classes"] == 10


def test_a_name_and_its_number_are_spelt_in_one_way() -> None:
    dotted = one(own("Strict", "in_channels: ${ shape.0 }\nnum_classes: ${classes}")).run_id
    assert one(own("Strict", "in_channels: ${shape[0]}\nnum_classes: ${classes}")).run_id == dotted


def test_options_of_any_name_are_not_given_what_they_do_not_ask_for() -> None:
    own("Loose", "depth: 3\nsize: ${shape}")
    model = Session.build(RunConfig.of(one("model=own").tree), torch.device("cpu"), 0, 1).model
    assert model.options == {"depth": 3, "size": [1, 8, 8]}


@pytest.mark.parametrize("target", ["Normed", "Numbers", "Born", "lazy"])
def test_nothing_is_left_of_the_trial(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random states, modes and buffers are as before, and no accelerator is asked."""
    planned = one(own(target))
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: pytest.fail("CUDA was touched"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("CUDA was asked"))
    torch.manual_seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    validate([planned])
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()
    model, _ = try_model(planned.tree["model"], Inputs("digits", (1, 8, 8), 10))
    assert all(module.training for module in model.modules())
    norm = model[1]
    if norm.running_mean.device.type == "cpu":
        assert not norm.running_mean.any()
        assert norm.num_batches_tracked == 0


def test_lazy_weights_are_the_seeds() -> None:
    own("lazy")
    first, second, other = (
        Session.build(RunConfig.of(one("model=own", f"seed={seed}").tree), torch.device("cpu"), 0, 1).model
        for seed in (0, 0, 1)
    )
    for a, b, c in zip(first.parameters(), second.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.dim() < 2 or not torch.equal(a, c)
    assert first[1].num_batches_tracked == 0, "no statistics of the inputs that only gave it its shapes"


@pytest.mark.slow
def test_each_choice_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    fits = trial._fits
    monkeypatch.setattr(trial, "_fits", lambda *given: (tried.append(given[2]["_target_"]), fits(*given)))
    plans = [one(own("Plain"), f"seed={seed}", f"optimizer.lr={lr}") for seed in range(5) for lr in (0.1, 0.2)]
    validate([*plans, *(one("model=mlp", f"seed={seed}") for seed in range(3))])
    assert tried == ["own_models.Plain"], "batchlab's own are held to their sizes by tests"


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("Nameless", r"; name Nameless's method that takes inputs and gives outputs `forward`"),
        ("Masked", r"; Masked\.forward is called with the inputs alone: give its other arguments a default"),
        ("Words", r"model=own: it takes a `vocabulary`, and .* no ids: set dataset\.vocabulary=N where they are"),
    ],
)
def test_the_way_out_is_the_causes(target: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        validate([one(own(target))])
    assert "${shape}" not in str(caught.value)
