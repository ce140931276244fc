"""The source files behind a `_target_`: all that it imports from the user's own files, and nothing that it does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchlab.runner.plan.sources import Finder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def written(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def found(target: str) -> set[str]:
    return {*Finder().of(target).files}


def test_all_that_is_imported_from_ones_own_files_and_nothing_else() -> None:
    written(
        {
            "mine/__init__.py": "from .steps import Step",
            "mine/steps.py": "import torch\nfrom batchlab.optimizers import VRSGD\nfrom . import norms\nimport helper",
            "mine/norms.py": "def norm():\n    from .late import late\n    return late",
            "mine/late.py": "import importlib as i\ni.import_module('by_name')\ni.import_module('.near', __package__)",
            "mine/near.py": "",
            "mine/other.py": "",
            "helper.py": "import far.away as away",
            "far/away.py": "from far import nothing_of_this_name",
            "by_name.py": "",
            "unused.py": "import mine",
        }
    )
    package = {f"mine/{name}.py" for name in ("__init__", "steps", "norms", "late", "near")}
    assert found("mine.Step") == package | {"helper.py", "far/away.py", "by_name.py"}
    assert found("mine.steps.Step") == found("mine.Step"), "to import a.b runs a/__init__.py"
    assert found("unused.x") == found("mine.Step") | {"unused.py"}
    assert not {"mine", "helper", "unused"} & sys.modules.keys(), "nothing was imported"


def test_a_method_is_in_the_file_of_its_class_and_a_folder_needs_no_init() -> None:
    written({"nets.py": "import far.away", "far/away.py": ""})
    assert found("nets.Net.small") == found("nets.Net.Inner.small") == {"nets.py", "far/away.py"}
    assert found("far.away.Net.small") == {"far/away.py"}
    assert (Finder().of("torchvision.models.ResNet.small").package, found("far.gone")) == ("torchvision", set())


def test_what_a_package_has_is_its_version_and_what_is_ours_or_pythons_is_nothing() -> None:
    assert (Finder().of("torch.optim.SGD").package, found("torch.optim.SGD")) == ("torch", set())
    for target in ("batchlab.optimizers.SGD", "collections.OrderedDict", "no_such_module.x", "", "x"):
        assert (Finder().of(target).package, found(target)) == ("", set()), target


@pytest.mark.parametrize("text", ["import a b", "\x00", "from ... import x", "from . import y"])
def test_what_cannot_be_read_is_a_file_all_the_same(text: str) -> None:
    written({"broken.py": text})
    assert found("broken.x") == {"broken.py"}


NAMES = ("top", "pack", "pack.one", "pack.sub", "pack.sub.deep", "side")
PATHS = {
    name: f"{name.replace('.', '/')}/__init__.py" if name in ("pack", "pack.sub") else f"{name.replace('.', '/')}.py"
    for name in NAMES
}


def spelt(importer: str, name: str, how: int) -> str:
    """An import of `name` in one of the ways that there are, relative where the importer can."""
    parent, _, last = name.rpartition(".")
    package = importer if importer in ("pack", "pack.sub") else importer.rpartition(".")[0]
    if how == 1 and parent:
        return f"from {parent} import {last}"
    if how == 2 and name.startswith("pack.") and package:
        up = package.count(".") + 1
        return f"from {'.' * up}{parent.removeprefix('pack').lstrip('.')} import {last}"
    return f"import {name}" if how < 3 else f"def f():\n    from {name} import anything"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(arrows=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 3)), max_size=8))
def test_the_closure_of_any_imports(arrows: list[tuple[str, str, int]]) -> None:
    files = dict.fromkeys(NAMES, "")
    reached = {"top"}
    for importer, name, how in arrows:
        files[importer] += spelt(importer, name, how) + "\n"
    for _ in NAMES:
        for importer, name, _ in arrows:
            if importer in reached:
                reached |= {".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 2)}
    written({PATHS[name]: text for name, text in files.items()})
    assert found("top.x") == {PATHS[name] for name in reached}
