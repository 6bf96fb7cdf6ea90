"""Links between pages, and out of docs/ into the repository, lead to files and headings that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documented import FENCE, PAGES, ROOT, read

LINK = re.compile(r"\]\((?P<target>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
IMAGE = re.compile(r'src="(?P<target>[^"]+)"')


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = FENCE.sub("", read(page))
    broken = []
    for link in [*LINK.finditer(text), *IMAGE.finditer(text)]:
        target, anchor = link["target"], link.groupdict().get("anchor")
        if ":" in target:
            continue
        file = (ROOT / page).parent / target if target else ROOT / page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(link[0])
    assert broken == []


def anchors(file: Path) -> set[str]:
    """Return the anchors of a page: those of its headings, and those that the site gives names of the code."""
    text = FENCE.sub("", file.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {_slug(title) for title in titles} | set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))


def _slug(title: str) -> str:
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())
