"""What `--format latex` writes is LaTeX: compiled where TeX is at hand."""

import shutil
import subprocess

import pytest

from batchlab.results.compare.table import load_table
from batchlab.results.show.render import render
from batchlab.results.show.sheet import Column, Sheet, Text
from batchlab.results.show.table_sheet import table_sheet

TEX = next(filter(None, map(shutil.which, ("pdflatex", "lualatex", "xelatex"))), None)
NASTY = r"a|b *c* _d_ <e> & 50 % $x$ #1 {f} ~ ^ \ `g` [h] ± ≥ ≤ − × ∞ Δ → † ‡ --"


@pytest.mark.slow
@pytest.mark.skipif(TEX is None, reason="no TeX here")
def test_tables_with_effects_mixtures_losses_and_any_text_compile(lab, curve, tmp_path):
    for name, shift in (("shb", 0.0), ("adam", 0.1), ("sgd", 0.2)):
        for lr in (0.1, 0.2):
            for seed in range(3):
                state = "diverged" if (name, seed) == ("sgd", 2) else "done"
                lab.run(f"{name}{lr}{seed}", curve([0.4 + lr + shift + 0.01 * seed * seed]), state, lr=lr, seed=seed,
                        optimizer=name)  # fmt: skip
    asked = [{"cols": ["optimizer.lr"]}, {}]
    sheets = [table_sheet(load_table(lab.store, baseline="optimizer=shb", **more)) for more in asked]
    heads = [Column((NASTY, "a")), Column((NASTY, "b")), Column(("[x]",), "right")]
    rows = [[Text("[a"), Text("*b", bold=True, detail=f"{NASTY}\n{NASTY}"), Text(NASTY)], [Text("")] * 3]
    sheets += [Sheet(NASTY, heads, rows, [NASTY]), Sheet("empty", heads, [], [], [], NASTY)]
    tables = "\n".join(render(sheet, "latex") for sheet in sheets)
    whole = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{tables}\end{{document}}"
    (tmp_path / "t.tex").write_text(whole, encoding="utf-8")
    command = [str(TEX), "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").exists()
