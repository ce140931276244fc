"""Names as they come in figures: what is drawn is read back from the SVG, letter by letter."""

import re
import shutil
import warnings
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchlab.results.compare.load import load
from batchlab.results.compare.metrics import Metric
from batchlab.results.report.write import write_report
from batchlab.results.show.figure import load_figure
from batchlab.results.show.layers_plot import Layers
from batchlab.results.show.lettering import plain
from batchlab.results.store.record import Recorder
from batchlab.results.words import visible

NAMES = [
    "$x^2$", r"$\frac$", "$", "a$b$c$", r"a\$b\$", r"\frac{$1", "_hidden", "__", "100 % {x}", "a_b^c", "été Ω",
    "日本語", "<b> & \"q\" 'r'", "#24292f", "|a|", "~", "`",
]  # fmt: skip


def drawn(made):
    """Every text of a figure's SVG; anything that matplotlib warns of is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = made.svg()
    return [unescape(re.sub(r"<[^>]*>", "", text)) for text in re.findall(r"<text.*?</text>", svg, re.DOTALL)]


def named(lab, curve, name, **more):
    for seed in range(2):
        lab.run(f"a{seed}", curve([0.1, 0.2]), seed=seed, note=name, **more)
    lab.run("b", curve([0.1, 0.3]), note="other")


@pytest.mark.parametrize("name", NAMES)
def test_legend_title_and_panels_have_the_name_as_it_is(lab, curve, name, tmp_path):
    named(lab, curve, name)
    legend = load_figure(lab.store, metric="test_accuracy", hue="optimizer.note", title=f"of {name}")
    shown = drawn(legend)
    assert f"{name} (n 2)" in shown
    assert f"of {name}" in shown
    assert len(legend.figure().legends[0].get_texts()) == 2
    panels = drawn(load_figure(lab.store, metric="test_accuracy", panel="optimizer.note"))
    assert f"optimizer.note {name}" in panels
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert legend.save(tmp_path / "a.png").stat().st_size > 1000
        assert legend.save(tmp_path / "a.pdf").stat().st_size > 1000


@pytest.mark.parametrize("name", NAMES)
def test_layers_have_the_name_as_it_is(lab, curve, name):
    run = lab.run("a", curve([0.1, 0.2]), state="interrupted", note=name)
    with Recorder(run) as recorder:
        for samples in (0, 64):
            for layer in (name, "other"):
                recorder.write("layers", {"samples": samples, "steps": samples, "layer": layer, "mean": 0.5})
    run.write_state(state="done")
    frame = load(lab.store).stream("layers")
    shown = drawn(Layers(frame, (Metric("mean"),), "optimizer.note", title=f"of {name}"))
    assert {name, "other", f"of {name}", f"optimizer.note {name}"} <= {*shown}


@pytest.mark.parametrize("name", ["<script>a</script>", "</svg><b>", "a & b", "'\"><i>", "$x$", "[red]a[/]", "_a"])
def test_a_report_has_the_name_as_it_is(lab, curve, name, tmp_path):
    for seed in range(2):
        lab.run(f"a{seed}", curve([0.1, 0.2]), seed=seed, optimizer=name)
        lab.run(f"b{seed}", curve([0.1, 0.3]), seed=seed, optimizer="other", reason=name, state="failed")
    page = write_report(lab.store, tmp_path / "page.html").read_text()
    for own in (
        r"<script>\n.*?</script>",
        r"<script type.*?</script>",
        r"<script>document.*?</script>",
        r"<b>[^<]*</b>",
    ):
        page = re.sub(own, "", page, flags=re.DOTALL)
    assert not re.search(r"<script|<b>[^0-9]|<i>", page), "no tag of a name's own"
    assert page.count("<svg") == page.count("</svg>")
    bare = unescape(re.sub(r"<[^>]*>", "|", page))
    assert f"|{name}|" in bare, "in a table"
    assert f"|{name} (n 2)|" in bare, "in a figure"


def test_many_long_names_leave_the_panels_their_room(lab, curve):
    for i in range(12):
        lab.run(f"a{i}", curve([0.1, 0.2]), note=f"{i} {'a long name ' * 20}{i}")
    made = load_figure(lab.store, metric="test_accuracy", hue="optimizer.note", title="long " * 60)
    shown = drawn(made)
    figure = made.figure()
    figure.draw_without_rendering()
    assert figure.axes[0].get_position().height * figure.get_figheight() > 1.5
    ends = [text.get_window_extent().x1 for text in figure.legends[0].get_texts()]
    assert max(ends) < figure.bbox.x1
    assert sum(re.fullmatch(r".* \d+ \(n 1\)", text) is not None for text in shown) == 12, "the end of each is there"


def test_letters_that_no_font_has_are_said(lab, curve):
    named(lab, curve, "\U000f0000 \ue123x")
    assert load_figure(lab.store, metric="test_accuracy", hue="optimizer.note").notes == []  # nothing that prints
    for folder in lab.store.runs():
        shutil.rmtree(folder.folder)
    named(lab, curve, "日")
    (note,) = load_figure(lab.store, metric="test_accuracy", hue="optimizer.note").notes or [""]
    assert note == "" or note.startswith("no font here has 日: ")


@given(st.text(max_size=300), st.integers(3, 40), st.integers(1, 4))
def test_what_is_too_long_is_cut_and_nothing_else(text, width, lines):
    shown = plain(text, width, lines).replace(r"\$", "$")
    assert len(shown.split("\n")) <= lines
    assert all(len(line) <= width for line in shown.split("\n"))
    if "…" not in shown:
        assert "".join(shown.split()) == visible("".join(text.split()))
