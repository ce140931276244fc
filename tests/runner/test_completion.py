"""What Tab offers, asked as the shells ask."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.results.store.runs import RunStore, SweepEntry
from batchlab.runner import cli
from batchlab.runner.line import completion, offered
from batchlab.runner.plan.schema import ConfigError, RunConfig

HEAVY = ("torch", "pandas", "pyarrow", "numpy", "hydra", "omegaconf", "rich.live", "sympy")
RUN = """
optimizer: {name: %s, lr: 0.1, betas: [0.9, 0.99]}
lr_schedule: {name: constant}
batch_schedule: {name: constant, size: 32}
model: {name: mlp}
dataset: {name: digits, root: /data}
seed: %d
nproc: 1
train: {epochs: 1.0, compile: false}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of a sweep, and one that its record alone knows."""
    store = RunStore(tmp_path_factory.mktemp("runs"))
    for run_id, optimizer, seed in (("a", "shb", 0), ("b", "nshb", 1)):
        store.run(run_id).write_config(RUN % (optimizer, seed))
    store.run("b").write_state(state="done", sealed={}, quantities={"macro_f1": {"better": "up"}})
    entries = [SweepEntry(i, {"case": "i, ii"}, [f"optimizer={o}"]) for i, o in (("a", "shb"), ("c", "heun"))]
    store.write_sweep("first", entries)
    store.write_sweep("second", [SweepEntry("b")])
    return store.root


def tab(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What bash is told, which has taken the line's last word apart at `=` and `:`."""
    words = [part for word in line.split(" ") for part in re.findall(r"[=:]+|[^=:]+", word) or [""]]
    monkeypatch.setenv("_BATCHLAB_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setattr(sys, "argv", ["batchlab"])
    cli.main()
    return capsys.readouterr().out.split()


OFFERED = {
    "papers": ("reproduce v", ["vrgd"]),
    "all papers": ("reproduce a", ["adadagrad", "all"]),
    "callbacks": ("runs export tens", ["tensorboard"]),
    "a callback": ("sweep +callback=ml", ["mlflow"]),
    "a callback's key": (
        "sweep +callback=mlflow callback.mlflow.ex",
        ["callback.mlflow.experiment=", "callback.mlflow.experiment=batchlab"],
    ),
    "a choice that a value is for": ("sweep optimizer=shb,adam optimizer.lr@a", ["optimizer.lr@adam="]),
    "what all contenders have": ("sweep optimizer=shb,adam optimizer.mom", []),
    "what a chosen one has": ("compare optimizer=adam --tune optimizer.be", ["optimizer.betas="]),
    "keys that move together": ("sweep seed=0,1 optimizer.lr=1,2 --zip seed,op", ["seed,optimizer.lr"]),
    "data sets": ("data prepare ci", ["cifar10", "cifar100"]),
    "scale": ("reproduce vrgd --scale la", ["laptop"]),
    "format": ("table --format la", ["latex"]),
    "format in one word": ("table --format=la", ["latex"]),
    "choice": ("sweep optimizer=vr_a", ["vr_adam", "vr_adamw"]),
    "next choice": ("sweep optimizer=shb,nsh", ["shb,nshb"]),
    "none twice": ("sweep optimizer=nshb,nsh", []),
    "executor": ("train executor=", ["local", "ray", "slurm", "torchrun"]),
    "experiment": ("show experiment=vrgd_to", ["vrgd_toy"]),
    "measure": ("compare +measure=gs", ["gsnr"]),
    "measures in a list": ("sweep measure=[scores,gs", ["[scores,gsnr"]),
    "axis": ("sweep optimi", ["optimizer.", "optimizer="]),
    "block": ("sweep trai", [f"train.{key}=" for key in offered.document(offered.PACKAGED / "config.yaml")["train"]]),
    "key": ("sweep train.ep", ["train.epochs=", "train.epochs=10.0"]),
    "key that is said": ("sweep see", ["seed=", "seed=0"]),
    "keys of the usual choice": ("sweep optimizer.m", ["optimizer.momentum=", "optimizer.momentum=0.9"]),
    "keys of a choice": ("sweep optimizer=adam optimizer.b", ["optimizer.betas="]),
    "keys of a measure": ("sweep measure.sc", []),
    "words": ("sweep train.precision=f", ["float32", "float64"]),
    "switch": ("sweep train.compile=", ["true", "false"]),
    "nothing of a choice that there is not": ("sweep optimizer=nothing optimizer.", []),
    "tuned": ("compare --tune optimizer.lr", ["optimizer.lr=", "optimizer.lr=0.1"]),
    "sweeps, the latest first": ("table --runs {root} --sweep ", ["second", "first"]),
    "sweep of a status": ("status --runs {root} f", ["first"]),
    "axes that tell apart": (
        "table --runs {root} --rows ",
        [
            "optimizer",
            "seed",
            "lr_schedule",
            "batch_schedule",
            "model",
            "dataset",
        ],
    ),
    "all that begin so": ("table --runs {root} --cols batch", ["batch_schedule", "batch_schedule.size"]),
    "several axes": ("plot --runs {root} --hue optimizer,se", ["optimizer,seed"]),
    "labels": ("table --runs {root} --sweep first --rows ca", ["case"]),
    "values": ("table --runs {root} --where optimizer=", ["shb", "heun", "nshb"]),
    "values of a sweep": ("table --runs {root} --sweep second --where optimizer=", ["nshb"]),
    "next value": ("table --runs {root} --where optimizer=shb,ns", ["shb,nshb"]),
    "next value or condition": (
        "table --runs {root} --where optimizer=shb,",
        ["shb,heun", "shb,nshb", *(f"shb,{axis}=" for axis in ("seed", *offered.CHOICES[1:]))],
    ),
    "next condition": ("table --runs {root} --where optimizer=shb,see", ["shb,seed="]),
    "value of the next": ("table --runs {root} --or optimizer=shb,seed=", ["0", "1"]),
    "left out": ("sweep --skip optimizer=nsh", ["nshb"]),
    "condition": ("runs rm --runs {root} --where se", ["seed=", "seed=0", "seed=1"]),
    "value of a key": ("runs list --runs {root} --where train.compile=", ["false"]),
    "nothing that changes no number": ("table --runs {root} --where dataset.", []),
    "baseline": ("table --runs {root} --baseline optimizer=h", ["heun"]),
    "metric": ("table --metric test_", ["test_accuracy", "test_loss"]),
    "metric of their own": ("table --runs {root} --metric ma", ["macro_f1", "max:"]),
    "least": ("plot --metric min:test_l", ["test_loss"]),
    "clock": ("plot --x s", ["samples", "steps", "seconds"]),
    "nothing where nothing is": ("table --runs {root}/none --sweep ", []),
}


@pytest.mark.parametrize(("line", "expected"), OFFERED.values(), ids=OFFERED.keys())
def test_what_is_offered(
    line: str, expected: list[str], root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)  # no ./conf
    assert tab(f"batchlab {line.format(root=root)}", monkeypatch, capsys) == expected


def test_a_users_own_files_are_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the packaged ones, with what they build on; one that cannot be read has no keys."""
    folder = tmp_path / "conf" / "optimizer"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("defaults: [shb, _self_]\nname: mine\n_target_: a.B\nzeal: 3\n")
    (folder / "broken.yaml").write_text("lr: [")
    monkeypatch.chdir(tmp_path)
    assert tab("batchlab sweep optimizer=mi", monkeypatch, capsys) == ["mine"]
    mine = tab("batchlab sweep optimizer=mine optimizer.", monkeypatch, capsys)
    assert {"optimizer.zeal=", "optimizer.lr=", "optimizer.momentum="} <= {*mine}
    assert not [text for text in mine if "name" in text or "_target_" in text]
    assert tab("batchlab sweep optimizer=broken optimizer.", monkeypatch, capsys) == []


@pytest.mark.parametrize("key", offered.WORDS)
def test_words_that_are_offered_are_taken(key: str) -> None:
    """And nothing else is."""
    from batchlab.runner.launch.executors.local import LocalExecutor
    from batchlab.runner.plan.config import compose

    block, _, name = key.partition(".")
    tree = compose([])[0].tree

    def taken(word: str) -> bool:
        try:
            if block == "executor":
                LocalExecutor(**{name: word})  # type: ignore[arg-type]
            else:
                RunConfig.of(tree | {block: tree[block] | {name: word}})
        except ConfigError:
            return False
        return True

    assert [taken(word) for word in (*offered.WORDS[key], "nothing")] == [*[True] * len(offered.WORDS[key]), False]


@given(st.lists(st.text("ab.,[", min_size=1, max_size=3), min_size=1, max_size=4), st.text("=:", max_size=1))
def test_words_are_put_together_again(parts: list[str], end: str) -> None:
    """At each `=` and `:` that bash breaks them."""
    word = "=".join(parts) + end
    broken = re.findall(r"[=:]+|[^=:]+", word)
    whole, cut = completion.rejoined(["batchlab", "sweep", *broken])
    assert whole == ["batchlab", "sweep", word]
    assert cut == word[: max(word.rfind("="), word.rfind(":")) + 1]
    assert completion.rejoined(["batchlab", *broken, ""]) == (["batchlab", word, ""], "")


def test_nothing_heavy_is_imported(root: Path) -> None:
    lines = ["sweep optimizer=", "sweep optimizer.", f"table --runs {root} --where optimizer=", "table --metric min:"]
    code = f"""
import os, sys
from batchlab.runner import cli
sys.argv = ["batchlab"]
for line in {lines!r}:
    words = ["batchlab", *line.split(" ")]
    os.environ |= {{"_BATCHLAB_COMPLETE": "complete_bash", "COMP_WORDS": "\\n".join(words)}}
    os.environ["COMP_CWORD"] = str(len(words) - 1)
    cli.main()
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stderr == "[]\n"
    assert "vr_adam" in done.stdout


@pytest.mark.parametrize(
    ("shell", "variables", "expected"),
    [
        (
            "zsh",
            {"_TYPER_COMPLETE_ARGS": "batchlab sweep optimizer=vr_ada"},
            '"optimizer=vr_adam"\n"optimizer=vr_adamw"',
        ),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "batchlab sweep optimizer=shb,nsh", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
            "optimizer=shb,nshb\n",
        ),
    ],
)
def test_shells_that_leave_words_whole(shell: str, variables: dict[str, str], expected: str) -> None:
    environment = os.environ | {"_BATCHLAB_COMPLETE": f"complete_{shell}"} | variables
    code = "import sys; sys.argv = ['batchlab']; from batchlab.runner.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert expected in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_in_bash_itself(tmp_path: Path) -> None:
    """The script that `--show-completion` prints, and its function as readline calls it."""
    command = tmp_path / "batchlab"
    command.write_text(f"#!{sys.executable}\nfrom batchlab.runner.cli import main\nmain()\n")
    command.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = """
source <(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION=1 batchlab --show-completion bash)
complete -p batchlab
for words in 'sweep optimizer = vr_ada' 'sweep optimizer =' 'sweep lr_schedule = cosine opti'; do
    COMP_WORDS=(batchlab $words); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _batchlab_completion batchlab
    echo "${COMPREPLY[@]}"
done
"""
    done = subprocess.run(["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    registered, two, every, keys = done.stdout.splitlines()
    assert registered.endswith("-F _batchlab_completion batchlab")
    assert two == "vr_adam vr_adamw"
    assert every.split() == [*offered.files("optimizer")]
    assert keys == "optimizer. optimizer="
