"""Names that look like markup, in what commands print: they come out as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from batchlab.datasets.files import write_npz
from batchlab.results.store.run import State
from batchlab.results.store.runs import RunStore
from batchlab.runner import commands, execute

STRANGE = ["[red]x", "[/]", "[bold]a[/bold]", "[link=http://a]b", "$x$", "a_b*c"]


@pytest.mark.parametrize("name", STRANGE)
def test_folders_sweeps_and_files(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, short = tmp_path / name, name.replace("/", "")
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BATCHLAB_DATA", str(folder))
    (folder / "conf" / "optimizer").mkdir(parents=True)
    (folder / "conf" / "optimizer" / f"{short}.yaml").write_text("_target_: torch.optim.SGD\n")
    arrays = {"x_train": np.zeros((2, 2)), "y_train": np.arange(2), "x_test": np.zeros((1, 2)), "y_test": np.arange(1)}
    write_npz(folder / f"{short}.npz", arrays)

    def said(*_: object) -> str:
        return capsys.readouterr().out

    assert f"optimizer: {min([short, 'ab2'])}, " in said(commands.show([], axes=True))
    assert f"in {folder}: `batchlab status" in said(execute.hint("s", folder))
    listed = said(commands.list_data())
    assert f"\n {short} " in listed
    assert f"data root: {folder}" in listed
    RunStore(folder).run("a").write_state(state=State.INTERRUPTED)
    page = folder / f"{short}.html"
    assert said(commands.report(page, None, folder)) == f"{page}\n"
    assert said(commands.prepare_data(["digits"])) == f"digits: {folder / 'digits.npz'}\n"
