"""Every link of a page leads somewhere: the file is there, and the heading too. Those elsewhere are well formed."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"(?<!\\)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]*(?:\([^()\s]*\))?[^()\s]*)\)")


@cache
def prose(page: Path) -> str:
    """A page without its blocks of code and its words of code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^(?: {4}.*\n)+", "", text, flags=re.MULTILINE)


@cache
def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them: lower case, signs left out, blanks to hyphens, repeated ones numbered."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} (.*)$", prose(page), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def links(page: Path) -> list[str]:
    return LINK.findall(re.sub(r"`[^`\n]*`", "code", prose(page)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            assert re.fullmatch(r"(https://[\w.-]+\.[a-z]+(/\S*)?|mailto:\S+@\S+)", link), link
            continue
        place, _, anchor = link.partition("#")
        there = (page.parent / place).resolve() if place else page
        assert there.exists(), f"{link}: there is no such file"
        assert there.is_relative_to(ROOT), link
        assert not anchor or (there.suffix == ".md" and anchor in anchors(there)), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", [p for p in PAGES if p.parent != ROOT], ids=lambda page: page.name)
def test_a_page_of_the_docs_stays_within_the_docs(page: Path) -> None:
    """The site has nothing beside them."""
    for link in links(page):
        if not re.match(r"[a-z]+:", link):
            assert (page.parent / link.partition("#")[0]).resolve().is_relative_to(ROOT / "docs"), link


def test_the_site_s_order_has_every_page() -> None:
    """What an index does not list cannot be found from the side of the site."""
    listed = {ROOT / "docs" / "index.md"}
    for index in (ROOT / "docs").rglob("index.md"):
        for link in re.findall(r"^- \[[^\]]+\]\(([^)#]+\.md)\)", index.read_text(), re.MULTILINE):
            page = (index.parent / link).resolve()
            assert page not in listed, f"{link} stands twice"
            listed.add(page)
    assert listed == set((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [("## Where time goes", "where-time-goes"), ("### `lr`, and eta", "lr-and-eta"), ("# A & B", "a--b")],
)
def test_an_anchor_is_made_as_it_is_where_pages_are_read(heading: str, anchor: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{heading}\n\ntext\n\n{heading}\n")
    assert anchors(page) == {anchor, f"{anchor}-1"}
