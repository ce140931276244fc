"""Each sentence of docs/security.md has its test; those that have no other place are here."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from runs import TINY, context, frozen, one, trained
from shell import in_process

from batchlab.datasets.originals import retrieve
from batchlab.datasets.sets.cifar10 import ENTRY, make
from batchlab.results.store.run import Run
from batchlab.runner.plan.build import see_modules_beside_the_user
from batchlab.runner.plan.schema import ConfigError
from batchlab.runner.plan.validate import validate
from batchlab.runner.train import kept

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
SENTENCES = [" ".join(text.split()) for text in re.findall(r"^- (.*?)(?=^- |^$|^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)]
SOURCES = [path for room in ("optimizers", "datasets", "results", "runner") for path in (ROOT / room).rglob("*.py")]
TOUCHES = "from pathlib import Path\nPath('ran').touch()\n"


@pytest.fixture(autouse=True)
def _beside_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "trusted", raising=False)


class Evil:
    """What unpickling it would run."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("ran"),)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_has_its_test(sentence: str) -> None:
    found = re.search(r"\(`(tests/[\w/]+\.py)::(\w+)`\)$", sentence)
    assert found, sentence
    assert re.search(rf"^def {found[2]}\(", (ROOT / found[1]).read_text(), re.MULTILINE), found[0]


def test_the_page_has_sentences_of_each_kind() -> None:
    assert len(SENTENCES) > 30
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    assert len(sections) == 6
    for section in sections:
        bare = re.sub(r"^- .*?(?=^- |^$|\Z)", "", section.partition("\n")[2], flags=re.DOTALL | re.MULTILINE)
        assert not bare.strip(), "a sentence without a test"


def test_the_readme_says_that_the_folder_runs_code() -> None:
    said = " ".join((ROOT / "README.md").read_text().split())
    assert "`./conf` beside you is searched first, and what its `_target_` names is run" in said
    assert "(docs/security.md)" in said


def mine(module: str, name: str = "mine") -> None:
    Path("trusted.py").write_text(module)
    Path("conf/optimizer").mkdir(parents=True, exist_ok=True)
    Path(f"conf/optimizer/{name}.yaml").write_text("_target_: trusted.SGD\nlr: 0.1\n")


def test_a_target_of_the_users_folder_runs() -> None:
    mine(TOUCHES + "from torch.optim import SGD\n", "shb")  # in the packaged one's place
    validate([one("optimizer=shb")])
    assert Path("ran").exists()


def test_the_current_folder_hides_no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != os.getcwd()])
    Path("colorsys.py").write_text(TOUCHES)
    see_modules_beside_the_user()
    assert sys.path[-1] == os.getcwd()
    found = importlib.util.find_spec("colorsys")
    assert found is not None
    assert found.origin is not None
    assert not Path(found.origin).is_relative_to(Path.cwd())


def test_a_dry_run_runs_it_too(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    mine(TOUCHES + "from torch.optim import SGD\n")
    code, _, _ = in_process("sweep", "--dry-run", *TINY, "optimizer=mine", monkeypatch=monkeypatch, capfd=capfd)
    assert code == 0
    assert Path("ran").exists()


@pytest.mark.slow
def test_a_run_folder_is_only_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    mine("from torch.optim import SGD\n")
    run, config = frozen(tmp_path / "runs", "optimizer=mine")
    assert trained(run, config) == "done"
    run.write_state(state="done")
    Path("trusted.py").write_text(TOUCHES)
    monkeypatch.delitem(sys.modules, "trusted")
    for command in (["status"], ["table"], ["table", "--format", "html"], ["plot"], ["report"], ["runs", "list"]):
        code, out, _ = in_process(*command, "--runs", "runs", monkeypatch=monkeypatch, capfd=capfd)
        assert code == 0
        assert out
    assert "trusted" not in sys.modules
    assert not Path("ran").exists()


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "abc").create()
    for _ in range(2):
        kept.write(run, {"evil": Evil()})  # with a digest that is right
    with pytest.raises(ConfigError, match="checkpoint"):
        kept.read(context(run))
    assert not Path("ran").exists()


def calls(tree: ast.AST) -> list[tuple[str, dict[str, str]]]:
    """What is called, and with which keywords."""
    return [
        (ast.unparse(node.func), {str(word.arg): ast.unparse(word.value) for word in node.keywords})
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


def imports(tree: ast.AST) -> set[str]:
    """The top-level packages that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_nothing_else_unpickles() -> None:
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        assert not {"pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"} & imports(tree), path
        for called, words in calls(tree):
            if called == "torch.load":
                assert words.get("weights_only") == "True", path
            if called.rpartition(".")[2] in ("read_array", "load") and called.startswith(("np.", "numpy.")):
                assert words.get("allow_pickle") == "False", path
            assert called not in ("pd.read_pickle", "pandas.read_pickle", "eval", "exec", "yaml.unsafe_load"), path
            if called == "yaml.load":
                assert words.get("Loader") == "_loader()", path


def test_cifars_files_are_checked_before_they_are_read(tmp_path: Path) -> None:
    from torchvision.datasets import CIFAR10

    from batchlab.datasets.sets import cifar10

    assert cifar10.make is make
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    for name, _ in (*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], "")):
        import pickle

        (folder / name).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="is damaged"):
        make(ENTRY, tmp_path)
    assert not Path("ran").exists()


def test_the_page_of_several_machines_says_so_too() -> None:
    said = " ".join((ROOT / "docs" / "machines.md").read_text().split())
    assert "the network is yours: the ranks meet there without passwords" in said


def test_only_originals_download() -> None:
    asking = {"urllib.request", "requests", "http.client", "ftplib", "httpx", "aiohttp", "smtplib"}
    found = {path.relative_to(ROOT).as_posix() for path in SOURCES if asking & imports(ast.parse(path.read_text()))}
    assert found == {"datasets/originals.py"}


def test_what_is_downloaded_is_checked(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"published")
    url = (tmp_path / "there").as_uri()
    retrieve(url, tmp_path / "good", hashlib.md5(b"published").hexdigest())
    with pytest.raises(OSError, match="not the published file"):
        retrieve(url, tmp_path / "bad", hashlib.md5(b"another").hexdigest())
