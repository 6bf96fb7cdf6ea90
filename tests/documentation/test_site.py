"""The site builds without a warning, names every command and option, and asks nothing of any network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from documented import ROOT

from mertag.cli.app import COMMANDS, load_command

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("mkdocs", reason="the site needs the extra docs")
pytestmark = pytest.mark.command


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site, built as `just docs` builds it: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Page(HTMLParser):
    """What a page loads by itself, and what it says."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        place = found.get("src") or (found.get("href") if tag == "link" else None)
        if place:
            self.loads.append(place)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page(file: Path) -> Page:
    return Page(file.read_text(encoding="utf-8"))


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    loads = {place for file in pages for place in page(file).loads}
    assert any(place.endswith(".css") for place in loads)
    assert [place for place in loads if re.match(r"(\w+:)?//", place) and not place.startswith("data:")] == []
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"url\([\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_the_search_works_in_a_page_that_is_opened_from_the_disk(site: Path, browser: Browser) -> None:
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.goto((site / "start.html").as_uri())
    page.fill(".md-search__input", "journal")
    page.get_by_role("heading", name="Taking back").first.wait_for()
    assert said == []
    page.close()


def test_a_page_that_loads_from_elsewhere_is_found() -> None:
    assert Page('<script src="https://cdn.example/x.js"></script>').loads == ["https://cdn.example/x.js"]
    assert Page('<a href="https://example.org">a link</a>').loads == []


def test_the_page_of_commands_has_every_option_of_every_command(site: Path) -> None:
    text = (site / "commands.html").read_text(encoding="utf-8")
    parts = dict(re.findall(r'<h2 id="([\w-]+)">(.*?)(?=<h2 id=|</article>)', text, re.DOTALL))
    assert list(parts) == list(COMMANDS)
    for name, part in parts.items():
        words = " ".join(Page(part).words)
        options = [option for parameter in load_command(name).params for option in parameter.opts]
        assert [option for option in options if option.startswith("-") and option not in words] == [], name


def test_the_public_names_of_python_have_their_docstrings(site: Path) -> None:
    import mertag

    text = (site / "python.html").read_text(encoding="utf-8")
    documented = set(re.findall(r'<h\d id="mertag\.(\w+)"', text))
    assert set(mertag.__all__) - {"__version__"} <= documented
    assert "spread evenly over it" in text  # of Tagger's parameters


def test_what_lies_outside_of_docs_is_on_the_site(site: Path) -> None:
    card = ROOT / "mertag" / "models" / "default" / "MODEL_CARD.md"
    assert card.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") in " ".join(
        page(site / "model-card.html").words
    )
    assert (site / "schemas" / "record.json").read_bytes() == (ROOT / "mertag" / "schemas" / "record.json").read_bytes()
    assert 'href="schemas/record.json"' in (site / "ci.html").read_text(encoding="utf-8")


def test_drawings_are_part_of_their_page(site: Path) -> None:
    text = (site / "how.html").read_text(encoding="utf-8")
    assert text.count('<svg class="drawing"') == 3
    assert ".svg" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
