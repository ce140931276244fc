"""The page of results: what it says of runs whose outcomes are known, and that the one in the repository is true."""

import math
import re

import pytest
from vrgd_book import Book, network

from batchlab.results.compare.claims import Claim, Side, Verdict, observed
from batchlab.results.compare.judge import judge
from batchlab.results.compare.metrics import Metric
from batchlab.results.page.facts import _duration, facts
from batchlab.results.page.page import BEGIN, END, block, page, paper_part, within
from batchlab.results.page.section import Recorded, place_of, section
from batchlab.results.page.verdicts import in_short, verdict_sheet
from batchlab.results.page.write import FIGURES, FOLDER, PAGE, ROOT, digest_of, every, texts, write
from batchlab.results.papers.catalogue import build, known_papers
from batchlab.results.show.render import render
from batchlab.results.store.archive import SUFFIX
from batchlab.results.store.pack import pack
from batchlab.results.store.runs import SweepEntry

DEVIATIONS = ["desk scale: 10,000 of 50,000 images"]


@pytest.fixture(scope="module")
def vrgd():
    """VR as good as its base at batch 256 and 3 points better at 2,048, on CIFAR-10."""
    book = Book()
    network(book, {256: 0.0, 2048: 0.03}, batches=(256, 2048), dataset="cifar10")
    frame = book.frame()
    made = build("vrgd", frame)
    return Recorded(made, "desk", made.first(), frame, DEVIATIONS, {"looks": [3, 5]}, "0123abcd")


def test_a_section_has_answer_figure_table_verdicts_facts_and_caveats(vrgd):
    text = section(vrgd)
    places = [
        "## What came of it, at desk scale",
        "**In short**: ",
        "](../results/vrgd-desk.png)",
        "**Test accuracy by batch size, ours and published**",
        "why they may differ: scale before all. Published: all of CIFAR-10, ResNet-56, 182 epochs. Ours: cifar10",
        "**Verdicts**",
        "**What was run**",
        "3 seeds",
        "looks at 3, 5 seeds",
        "**How that differs from what was published**",
        "- 10,000 of 50,000 images",
        "VR-Adam and VR-LAMB are reconstructions",
        "`batchlab reproduce vrgd --scale desk --recorded --full`",
    ]
    found = [text.find(place) for place in places]
    assert -1 not in found
    assert found == sorted(found)
    assert text.count("10,000 of 50,000") == 1, "not among the caveats once more"


def test_a_published_number_stands_beside_ours_with_the_distance_in_our_spread(vrgd):
    lines = (line for line in section(vrgd).splitlines() if line.startswith(("| Momentum ", "|     ")))
    rows = [line.split("|") for line in lines if " 256 " in line or " 2,048 " in line]
    base, lead, theirs = (rows[1][i].strip() for i in (3, 6, 7))
    assert float(base.split(" ± ")[0]) == pytest.approx(80.0, abs=0.2)
    assert float(lead.split(" ± ")[0]) == pytest.approx(3.0, abs=0.3)
    assert re.fullmatch(r"92\.19 \(-\d+ sd\)", theirs)


def test_each_claim_has_a_line_with_its_verdict_n_and_effect(vrgd):
    sheet = verdict_sheet(vrgd.made.claims)
    said = {row[0].text: row[1] for row in sheet.rows}
    assert said["VR helps more the larger the batch"].text == "holds"
    assert re.fullmatch(r"\(\+3\.\d+ \[\+\S+, \+\S+\] points, n 3\)", said["VR helps more the larger the batch"].detail)
    sides = [(row[0].text, row[0].detail) for row in sheet.rows]
    assert len(set(sides)) == len(sides) == len(vrgd.made.claims)


def test_of_several_rivals_the_one_is_shown_that_the_verdict_rests_on(frame_of):
    """The nearest one: it holds against each only if it holds against that."""
    levels = {"a": 0.9, "b": 0.5, "c": 0.88}
    runs = [
        ({"side": side, "seed": seed}, {"test_accuracy": level + 0.001 * ((seed * 7 + len(side)) % 3) * (side != "a")})
        for side, level in levels.items()
        for seed in range(6)
    ]
    sides = {name: Side(name, {"side": name}) for name in levels}
    asked = Claim("best", "ours", "ours", sides["a"], (sides["b"], sides["c"]), Metric("test_accuracy"))
    (row,) = verdict_sheet(judge(frame_of(runs), [asked])).rows
    assert row[1].text == "holds"
    assert re.fullmatch(r"\(\+1\.9\d* \[.*\] points against c, n 6\)", row[1].detail)


def claim(at):
    return Claim("said", "abstract", "read", Side("a", {}), (Side("b", {}),), Metric("test_accuracy"), at)


def test_in_short_counts_the_verdicts_of_each_reading():
    judged = [observed(claim("epochs"), True, "") for _ in range(3)]
    judged += [observed(claim("epochs"), False, ""), observed(claim("steps"), None, "")]
    said = "at equal epochs, 4 claims: 3 hold, 1 does not hold; at equal steps, 1 claim, none decided"
    assert in_short(judged) == said
    assert Verdict.NO_DIFFERENCE not in {item.verdict for item in judged}


def test_readings_of_a_claim_stand_side_by_side_and_a_property_of_the_method_needs_no_column():
    judged = [observed(claim(at), at == "epochs", "seen") for at in ("epochs", "steps")]
    judged.append(observed(Claim("order", "theory", "ours", Side("a", {}), (), Metric("gap"), "method"), True, "2.0"))
    sheet = verdict_sheet(judged)
    assert [column.header[0] for column in sheet.columns] == ["claim", "equal epochs", "equal steps"]
    assert [[cell.text for cell in row] for row in sheet.rows] == [
        ["said", "holds", "does not hold"],
        ["order", "holds", ""],
    ]
    assert sheet.rows[1][1].detail == "(of the method itself: 2.0)"


def test_seeds_are_counted_by_setting(lab, curve):
    for lr, seeds in ((0.1, 3), (0.2, 3), (0.3, 1), (0.4, 2)):
        for seed in range(seeds):
            lab.run(f"r{lr}{seed}", curve([0.1]), seed=seed, lr=lr)
    from batchlab.results.compare.load import load

    said = "\n".join(facts(load(lab.store, columns=())))
    assert "9 judged runs: 6 at settings with 3 seeds, 3 at others with 1 to 2. All are done" in said
    said = "\n".join(facts(load(lab.store, columns=(), where=["optimizer.lr=0.1"])))
    assert "3 judged runs with 3 seeds. All are done" in said


def test_facts_name_hardware_versions_commit_time_and_what_is_not_done(lab, curve):
    for seed, state in enumerate(("done", "done", "diverged", "pending")):
        if state != "pending":
            run = lab.run(f"r{seed}", curve([0.1, 0.9]), state, seed=seed)
            run.write_state(
                hardware={"device": "a processor", "cores": 2, "threads": 1},
                versions={"torch": "2.11", "batchlab": "0.1.0", "other": "1"},
                git="abc+", train_seconds=3600.0, eval_seconds=1200.0, contention=1.9 if seed else 1.0,
            )  # fmt: skip
    entries = [SweepEntry(f"r{seed}", {"tuning": True} if seed == 0 else {}) for seed in range(4)]
    lab.store.write_sweep("s", entries)
    from batchlab.results.compare.load import load

    said = "\n".join(facts(load(lab.store, "s", columns=())))
    for wanted in (
        "digits, resnet8, 3 epochs",
        "2 judged runs with 2 seeds, and 1 run on seeds of their own",
        "Not done: 1 diverged",
        "1 more were planned and not trained",
        "a processor, machine of 2 cores, 1 thread a run. batchlab 0.1.0, torch 2.11. commit abc+; + is a commit",
        "How long: 4 hours",
        "67% of the runs shared their core",
    ):
        assert wanted in said


def test_a_duration_is_a_plain_number():
    said = ((5999.0, "100 minutes"), (6240.0, "104 minutes"), (130.0, "2.2 minutes"), (119.4, "119 seconds"))
    assert [_duration(seconds) for seconds, _ in said] == [text for _, text in said]
    assert _duration(3.6e6) == "1,000 hours"


def test_the_readme_has_a_figure_and_a_table_of_cifar10_between_its_marks(vrgd):
    text = block([vrgd])
    assert text.startswith(BEGIN)
    assert text.endswith(END)
    assert "](docs/results/vrgd-desk.png)" in text
    assert "](docs/papers/vrgd.md); `batchlab reproduce vrgd" in text
    assert "| Momentum " in text
    assert "sd: ours less" not in text, "the table alone"
    assert block([]) == f"{BEGIN}\n{END}"
    readme = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert within(within(readme, text), text) == f"before\n{text}\nafter\n"


@pytest.mark.parametrize("readme", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_readme_without_the_marks_is_refused(readme):
    with pytest.raises(ValueError, match="the page needs the line"):
        within(readme, "")


def test_runs_of_another_data_set_are_not_for_the_readme():
    book = Book()
    network(book, {32: 0.0, 256: 0.0}, batches=(32, 256))
    made = build("vrgd", book.frame())
    assert block([Recorded(made, "laptop", made.first(), book.frame())]) == f"{BEGIN}\n{END}"
    assert "Table 5" not in render(made.first().tables[0], "markdown")


def test_the_overview_leads_to_each_page(vrgd):
    text = page([vrgd])
    title = "Gradients scaled by their signal-to-noise ratio"
    assert f"| [{title}](papers/vrgd.md) | " in text
    assert "**Verdicts**" not in text


def test_a_papers_part_has_all_its_scales_or_says_that_there_is_none(vrgd):
    assert paper_part([vrgd]).count("## What came of it, at desk scale") == 1
    assert paper_part([vrgd]).startswith(BEGIN)
    assert paper_part([vrgd]).endswith(END)
    assert paper_part([]).splitlines() == [BEGIN, "<!-- from nothing yet -->", END]


def test_a_page_of_nothing_says_so():
    text = page([], known_papers())
    assert "Nothing is recorded yet" in text
    assert "<!-- from nothing yet -->" in text


def test_what_is_written_comes_from_archives_and_stays_until_they_change(lab, tmp_path):
    entries = []
    for case in ("i", "ii", "iii", "iv"):
        for seed in range(3):
            rows = [
                {"epoch": float(e), "steps": e, "train_seconds": float(e), "samples": e, "test_accuracy": 0.1 * e,
                 "full_gradient_norm": math.exp(-e * (1 + (case != "i"))) * (1 + 0.01 * seed)}
                for e in range(3)
            ]  # fmt: skip
            lab.run(f"{case}-{seed}", rows, seed=seed)
            entries.append(SweepEntry(f"{case}-{seed}", {"case": case, "schedule": "constant"}))
    lab.store.write_sweep("sgdm_schedules-desk", entries)
    folder, root = tmp_path / "archives", tmp_path / "root"
    folder.mkdir()
    (root / FIGURES).mkdir(parents=True)
    (root / FIGURES / "gone-desk.png").touch()
    paper = root / PAGE.parent / "papers" / "sgdm_schedules.md"
    paper.parent.mkdir()
    for path in (root / "README.md", paper):
        path.write_text(f"{BEGIN}\n{END}\n")
    archive = folder / f"sgdm_schedules-desk{SUFFIX}"
    pack(lab.store, archive, "sgdm_schedules-desk")
    files = write(root, folder)
    assert files[0] == root / PAGE
    text = (root / PAGE).read_text()
    assert f"<!-- from sgdm_schedules-desk {digest_of(archive)} -->" in text
    assert "Not recorded yet: `adadagrad`, " in text
    assert paper.read_text().startswith(
        f"{BEGIN}\n<!-- from sgdm_schedules-desk {digest_of(archive)} -->\n## What came"
    )
    assert not (root / FIGURES / "gone-desk.png").exists()
    write(root, folder)
    assert (root / PAGE).read_text() == text


# -- the one in the repository ---------------------------------------------------------------------------------------

ARCHIVES = sorted(path for path in FOLDER.glob(f"*{SUFFIX}") if path.name.rpartition("-")[0] in known_papers())
AGAIN = "`make results` writes it again"
ORIGIN = re.compile(r"[\w-]+ [0-9a-f]{16}")


def test_the_pages_and_their_figures_are_of_the_archives_that_are_here():
    origins = [f"{path.name.removesuffix(SUFFIX)} {digest_of(path)}" for path in ARCHIVES]
    assert ORIGIN.findall((ROOT / PAGE).read_text().splitlines()[0]) == origins, AGAIN
    shown = set()
    for paper in known_papers():
        page = ROOT / PAGE.parent / place_of(paper)
        text = page.read_text()
        part = text[text.index(BEGIN) : text.index(END)]
        own = [origin for origin in origins if origin.startswith(f"{paper}-")]
        assert ORIGIN.findall(part.splitlines()[1]) == own, AGAIN
        for place in re.findall(r"\]\((\S+\.png)\)", part):
            figure = (page.parent / place).resolve()
            (origin,) = (name for name in own if name.split()[0] == figure.stem)
            assert origin.encode() in figure.read_bytes(), AGAIN
            shown.add(figure.name)
    assert shown == {figure.name for figure in (ROOT / FIGURES).glob("*.png")}, AGAIN


def test_what_the_readme_shows_is_on_the_paper_s_page():
    readme = (ROOT / "README.md").read_text()
    part = readme[readme.index(BEGIN) : readme.index(END)]
    (origin,) = ORIGIN.findall(part)
    text = (ROOT / PAGE.parent / place_of(origin.rpartition("-")[0])).read_text()
    assert origin in text, AGAIN
    tables = [line for line in part.splitlines() if line.startswith("|")]
    assert tables
    assert all(line in text for line in tables), AGAIN


@pytest.mark.slow
def test_making_it_again_gives_the_committed_texts():
    for path, text in texts(list(every())).items():
        assert text == path.read_text(), AGAIN
