"""What MkDocs calls while it builds the site: pages made from the code, files from outside docs/, drawings.

docs/ is written to be read in the repository, too: links there may lead out of it (`../CONTRIBUTING.md`), and
drawings are pictures. On the site such a link leads to the copy that the site holds, and a drawing becomes part of the
page, so that it has the colours of the page.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "website"), *(str(ROOT / source) for source in (".", "train", "export"))]

import command_reference  # noqa: E402  (beside this file, which MkDocs loads without its folder)

FROM_THE_REPOSITORY = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "LICENSE": "LICENSE.txt",
    "mertag/models/default/MODEL_CARD.md": "model-card.md",
    "mertag/models/LICENSE-WEIGHTS": "LICENSE-WEIGHTS.txt",
    **{f"mertag/schemas/{path.name}": f"schemas/{path.name}" for path in (ROOT / "mertag/schemas").glob("*.json")},
    **{
        path.relative_to(ROOT).as_posix(): path.relative_to(ROOT).as_posix()
        for path in (ROOT / "examples").rglob("*")
        if path.suffix in (".py", ".ipynb", ".yml")
    },
}
"""Files outside docs/ that are part of the site, and their place in it."""

LINK = re.compile(r"(?<=\]\()(?P<target>[^)#\s:]+)(?P<anchor>#[^)\s]*)?(?=\))")
DRAWING = re.compile(r'<img [^>]*src="(?P<source>[^"]+\.svg)"[^>]*>')


def on_files(files: Files, config: Any) -> Files:
    """Add the pages and files that do not lie in docs/."""
    for source, place in FROM_THE_REPOSITORY.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "commands.md", content=command_reference.page()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let links lead to the site's own copies."""
    places = {source: place for place, source in FROM_THE_REPOSITORY.items()}
    here = places.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def on_the_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link["target"]))
        place = FROM_THE_REPOSITORY.get(target) or target.removeprefix("docs/")
        return posixpath.relpath(place, posixpath.dirname(page.file.src_uri) or ".") + (link["anchor"] or "")

    return LINK.sub(on_the_site, markdown)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Put drawings into the page itself."""
    folder = posixpath.dirname(page.file.src_uri)

    def drawn(image: re.Match[str]) -> str:
        return (ROOT / "docs" / folder / image["source"]).read_text(encoding="utf-8")

    return DRAWING.sub(drawn, html)
