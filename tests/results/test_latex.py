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
    compiled(sheets, tmp_path)


def compiled(sheets, folder):
    """What TeX says of a document of these tables, as the docs say to make one."""
    tables = "\n".join(render(sheet, "latex") for sheet in sheets)
    packages = r"\usepackage{booktabs,graphicx}"
    whole = rf"\documentclass{{article}}{packages}\begin{{document}}{tables}\end{{document}}"
    (folder / "t.tex").write_text(whole, encoding="utf-8")
    command = [str(TEX), "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "t.pdf").exists()
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(TEX is None, reason="no TeX here")
def test_a_wide_table_stays_on_the_page(lab, curve, tmp_path):
    for name, shift in (("shb", 0.0), ("adam", 0.1)):
        for schedule in ("constant", "exponential"):
            for seed in range(3):
                rows = curve([0.4, 0.7 + shift + 0.01 * seed * seed])
                for row in rows:
                    row["train_loss"] = 1 - row["test_accuracy"]
                lab.run(f"{name}{schedule}{seed}", rows, seed=seed, optimizer=name, batch_schedule=schedule)
    asked = [("train_loss",), ("test_accuracy", "train_loss", "gradients_to:test_accuracy>=0.75")]
    made = [
        table_sheet(load_table(lab.store, metrics=metrics, cols=cols, baseline="optimizer=shb"))
        for metrics in asked
        for cols in ([], ["batch_schedule"])
    ]
    answer = Sheet("claims", [Column(("claim",)), Column(("p",), "right")], [[Text("a word " * 30), Text("0.02")]])
    for sheet in [*made, answer]:
        assert "Overfull" not in compiled([sheet], tmp_path), sheet.title
    assert "resizebox" not in render(made[0], "latex"), "what fits needs no more than booktabs"


def test_two_dashes_are_two():
    made = render(Sheet("t", [Column(("a",))], [[Text("--b")]], ["add it to --rows"]), "latex")
    assert r"to -\kern0pt-rows" in made
    assert "--" not in made
