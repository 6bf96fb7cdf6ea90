"""The pictures of the documentation: the page of an invented library, light, dark and on a phone; and its overview.

    python benchmarks/pictures.py --out docs/pictures

It needs Playwright, Pillow and a Chromium. No song of the library exists: artists, titles and emotions are made up.
"""

from __future__ import annotations

import argparse
import html
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from remembered_library import GENRES, Made, MadeLibrary, course_of, emotion  # noqa: E402

from mertag.library.overview.facts import Facts  # noqa: E402
from mertag.listen.bundle import load_bundle  # noqa: E402

ARTISTS = {
    "Reggae": ("Copper Kites", "Nightbus 47", "Ida Moreau"),
    "Metal": ("Grey Harbour", "Iron Orchard", "Vesper & Lane"),
    "Ambient": ("Solvei", "Glass Motel", "Kōji Tanaka"),
    "Blues": ("Old Tin Radio", "Mira Okafor", "Blind Ferry"),
    "Pop": ("Änne Größe", "The Paper Engines", "Pablo y los Trenes"),
    "Folk": ("Winter Wren", "Hollow Ladder", "June Sister"),
}
WORDS = (
    "Winter",
    "River",
    "Engine",
    "Summer",
    "Wire",
    "Garden",
    "Signal",
    "Stone",
    "Velvet",
    "Static",
    "Window",
    "Ocean",
)
SONGS = 1500
PATIENCE_MS = 300_000
PLAYED = "Lanternlight"
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
TERMINAL = """<!DOCTYPE html><meta charset="utf-8"><style>
body { margin: 0; background: #14171b; color: #e6e9ed; width: max-content }
pre { font: 15px/1.35 "DejaVu Sans Mono", monospace; padding: 1rem 1.25rem; margin: 0 }
b { color: #79b8ff }
</style><pre><b>$ mertag overview ~/Music</b>
%s</pre>"""


def invented(folder: Path, state: Path) -> MadeLibrary:
    """Return a library that is remembered; one of its songs can be played."""
    rng = random.Random(47)
    library = MadeLibrary(folder, state)
    model = load_bundle().id
    songs: list[Made] = []
    for i in range(SONGS):
        genre = rng.choice(list(GENRES))
        artist = rng.choice(ARTISTS[genre])
        album = f"{WORDS[sum(map(ord, artist)) % len(WORDS)]} {WORDS[rng.randrange(3)]}"
        logits = (rng.gauss(1.4 * math.log(centre / (1 - centre)), 1.0) for centre in GENRES[genre])
        valence, arousal = (1 / (1 + math.exp(-logit)) for logit in logits)
        found = emotion(valence, arousal, model=model)
        facts = Facts(
            title=PLAYED if i == 0 else f"{rng.choice(WORDS)} {rng.choice(WORDS)}",
            artist=artist,
            album=album,
            genres=(genre,),
            year=1968 + sum(map(ord, artist + album)) % 56,
            mood=("Chill",) if genre == "Ambient" and i % 9 == 0 else (),
        )
        path = folder / artist / album / f"{i:04} {facts.title}.wav"
        if i == 0:
            path.parent.mkdir(parents=True)
            soundfile.write(path, np.sin(np.arange(8000 * 30) * 0.2) * 0.01, 8000)
        songs.append((path, found, facts, course_of(found), "", None))
    library.add_many(songs)
    return library


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    out: Path = parser.parse_args().out
    from PIL import Image
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as driver:
        home = Path(temporary)
        library = invented(home / "Music", home / "state.sqlite")
        page = home / "library.html"
        command = [sys.executable, "-m", "mertag", "overview", "Music", "--state", str(library.state)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
        subprocess.run([*command, "--html", str(page), "--quiet"], cwd=home, env=environment, check=True)
        said = subprocess.run([*command, "--top", "3"], cwd=home, env=environment, check=True, capture_output=True)
        text = re.sub(r"\nunder .*?\n\n", "\n", said.stdout.decode(), flags=re.DOTALL)  # a temporary place
        (home / "terminal.html").write_text(TERMINAL % html.escape(text), encoding="utf-8")
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--mute-audio"]
        )
        for name, viewport, scheme in (("light", DESK, "light"), ("dark", DESK, "dark"), ("phone", PHONE, "dark")):
            shown = browser.new_page(viewport=viewport, color_scheme=scheme, device_scale_factor=1.5)
            shown.set_default_timeout(PATIENCE_MS)
            shown.goto(page.as_uri())
            shown.locator("#search").fill(PLAYED.lower())
            shown.locator("#songs .play", has_text=PLAYED).first.click()
            shown.get_by_role("button", name="Clear all filters").click()
            shown.wait_for_timeout(1500)
            if name == "phone":
                shown.locator("#map-heading").scroll_into_view_if_needed()
                shown.evaluate("document.querySelector('.map').scrollIntoView()")
            else:
                shown.evaluate("scrollTo(0, 0)")
            shown.wait_for_timeout(300)
            shown.screenshot(path=out / f"page-{name}.png")
        shown = browser.new_page(device_scale_factor=1.5)
        shown.goto((home / "terminal.html").as_uri())
        shown.locator("body").screenshot(path=out / "terminal.png")
        browser.close()
    for picture in sorted(out.glob("*.png")):
        Image.open(picture).convert("RGB").quantize(128).save(picture, optimize=True)
        print(picture, f"{picture.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
