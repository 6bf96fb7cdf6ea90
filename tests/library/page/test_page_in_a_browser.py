"""The page in a real Chromium: it draws, filters, plays, saves a playlist, and asks for nothing; axe finds nothing."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from remembered_library import MadeLibrary, course_of, emotion, made_library

from mertag.library.overview.facts import Facts
from mertag.library.overview.songs import remembered
from mertag.library.page import page as page_of
from mertag.library.state.database import Database

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.command

AXE = Path(__file__).resolve().parents[2] / "vendor" / "axe.min.js"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
NAMES = (b"heard #1 100%.wav", b"caf\xe9.wav")
HOSTILE = "<img src=x onerror=document.title='owned'>"

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> MadeLibrary:
    """Return 60 made songs and two that play, of odd names; the tags of one are hostile. No test changes it."""
    folder = tmp_path_factory.mktemp("library")
    made = made_library(folder / "music", folder / "s", 60)
    tone = np.sin(np.arange(5 * 8000) * 0.3) * 0.1
    for name, title, found in (
        ("heard #1 100%.wav", "Heard", emotion(0.97, 0.5)),
        (b"caf\xe9.wav", HOSTILE, emotion(0.5, 0.02)),
    ):
        path = made.folder / os.fsdecode(name)
        soundfile.write(os.fsencode(path), tone, 8000, format="WAV")
        made.add(
            name, found, facts=Facts(title=title, artist="Zoë", genres=("Noise",), year=1999), course=course_of(found)
        )
    return made


@pytest.fixture(scope="module")
def written_page(library: MadeLibrary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of the library."""
    return written(library, tmp_path_factory.mktemp("page"))


def written(library: MadeLibrary, folder: Path) -> Path:
    """Write the page of a library; return its path."""
    with Database(library.state) as database:
        (folder / "library.html").write_text(page_of(remembered(database, read=False)), encoding="utf-8")
    return folder / "library.html"


@pytest.fixture
def open_page(browser: Browser, written_page: Path) -> Iterator[Open]:
    """Open the page of a library; at the end, nothing but the page and songs was asked for, and no error was said."""
    asked: list[str] = []
    errors: list[str] = []
    contexts = []

    def opened(*, of: Path = written_page, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": DESK, "accept_downloads": True} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None
        )
        page.goto(of.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []
    assert all(url.endswith((".wav", "/library.html")) and url.startswith("file:") for url in asked)


def until(page: Page, condition: str) -> None:
    """Wait until something holds; Playwright's own way needs `eval`, which the page's policy forbids."""
    deadline_s = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < deadline_s, condition
        page.wait_for_timeout(50)


def shown(page: Page) -> int:
    """Return how many songs the page says it shows."""
    said = page.locator("#shown").inner_text()
    return int(re.findall(r"\d+", said)[0])


def colours_on_the_map(page: Page) -> int:
    """Return how many different colours the map's canvas has: none but the background if nothing is drawn."""
    count: int = page.evaluate(
        """() => {
            const canvas = document.querySelector('#map canvas');
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            const found = new Set();
            for (let i = 0; i < data.length; i += 4) found.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
            return found.size;
        }"""
    )
    return count


@pytest.mark.parametrize("viewport", [DESK, PHONE])
def test_the_controls_of_a_song_that_plays_stay_in_sight(open_page: Open, viewport: dict[str, int]) -> None:
    page = open_page(viewport=viewport)
    audio = "document.getElementById('audio')"
    at = f"{audio}.getBoundingClientRect()"
    in_sight = f"{at}.top >= 0 && {at}.bottom <= innerHeight && {at}.left >= 0 && {at}.right <= innerWidth"
    page.evaluate("scrollTo({ top: document.body.scrollHeight, behavior: 'instant' })")
    page.wait_for_timeout(200)
    assert not page.evaluate(in_sight)  # nothing plays
    page.locator("#songs button").filter(has_text="Heard").first.click()
    until(page, f"{audio}.currentTime > 0.1")
    until(page, in_sight)
    assert page.evaluate("document.getElementById('deck').classList.contains('away')")
    page.evaluate("document.getElementById('player').scrollIntoView({ behavior: 'instant' })")
    until(page, "!document.getElementById('deck').classList.contains('away')")


@pytest.mark.parametrize("viewport", [DESK, PHONE])
def test_no_name_of_a_mood_lies_over_the_songs_in_the_corners(open_page: Open, viewport: dict[str, int]) -> None:
    page = open_page(viewport=viewport)
    ink = """(whole) => {
        const canvas = document.querySelector("#map canvas");
        const copy = document.createElement("canvas");
        [copy.width, copy.height] = [canvas.width, canvas.height];
        const probe = copy.getContext("2d", { willReadFrequently: true });
        probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
        probe.fillRect(0, 0, 1, 1);
        const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
        probe.clearRect(0, 0, 1, 1);
        probe.drawImage(canvas, 0, 0);
        const [outer, inner] = [canvas, document.querySelector("#map .u-over")].map((e) => e.getBoundingClientRect());
        const box = whole ? outer : inner;
        const area = [box.left - outer.left, box.top - outer.top, box.width, box.height].map(Math.round);
        const { data } = probe.getImageData(...area);
        let n = 0;
        for (let i = 0; i < data.length; i += 4) n += data[i] === r && data[i + 1] === g && data[i + 2] === b;
        return n;
    }"""
    until(page, f"({ink})(true) > 0")  # the names are drawn
    assert page.evaluate(ink, False) == 0


def place_of(page: Page, valence: float, arousal: float) -> tuple[float, float]:
    """Return where on the screen a place of the whole map is, once it is in sight."""
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map .u-over").bounding_box()
    assert box is not None
    x, y = ((value + 0.02) / 1.04 for value in (valence, arousal))
    return box["x"] + x * box["width"], box["y"] + (1 - y) * box["height"]


def test_the_map_is_drawn_and_a_dot_says_its_song(open_page: Open) -> None:
    page = open_page()
    assert colours_on_the_map(page) > 8
    page.mouse.move(*place_of(page, 0.97, 0.5))
    tip = page.locator("#tip")
    tip.wait_for(state="visible")
    said = tip.inner_text()
    for part in ("Heard", "Zoë", "Happy", "confidence"):
        assert part in said


def test_a_click_plays_the_file_from_its_place_and_shows_its_course(open_page: Open) -> None:
    page = open_page()
    page.mouse.click(*place_of(page, 0.97, 0.5))
    until(page, "document.getElementById('audio').currentTime > 0.2")
    assert "Heard" in page.locator("#playing").inner_text()
    assert page.locator("#course canvas").is_visible()
    assert "valence" in page.locator("#course-said").inner_text()
    assert page.locator("#player-error").inner_text() == ""


def test_a_file_whose_name_is_no_text_plays_too_and_hostile_text_stays_text(open_page: Open) -> None:
    page = open_page()
    page.locator("#search").fill("onerror")
    until(page, "document.querySelectorAll('#songs tr').length === 1")
    button = page.locator("#songs .play").first
    assert button.inner_text().strip() == HOSTILE
    button.click()
    until(page, "document.getElementById('audio').currentTime > 0.2")
    assert page.title() == "A music library by mood"
    assert page.locator("main img").count() == 0


def test_search_moods_confidence_and_groups_filter(open_page: Open) -> None:
    page = open_page()
    assert shown(page) == 62
    page.get_by_role("checkbox", name="Angry").uncheck()
    without_angry = shown(page)
    assert 0 < without_angry < 62
    page.locator("#confidence").fill("60")
    sure = shown(page)
    assert 0 < sure < without_angry
    assert page.locator("#songs td:last-child").all_inner_texts() == sorted(
        page.locator("#songs td:last-child").all_inner_texts(), key=lambda text: -int(text.split()[0])
    )
    page.get_by_role("button", name="Clear all filters").click()
    assert shown(page) == 62
    assert page.locator("#moods :checked").count() == 4
    page.get_by_role("button", name="Noise", exact=True).click()
    assert shown(page) == 2
    assert "Noise" in page.locator("#group-said").inner_text()
    page.get_by_role("button", name="Show all again").click()
    page.locator("#search").fill("zoe hea")
    until(page, "document.querySelectorAll('#songs tr').length === 1")
    page.get_by_role("button", name="Clear all filters").click()
    page.locator("#in-view").check()
    for _ in range(6):
        page.get_by_role("button", name="Zoom in").click()
    until(page, "!document.getElementById('shown').textContent.startsWith('All')")
    assert shown(page) < 62


def test_the_list_is_saved_as_a_playlist_with_the_exact_bytes_of_each_name(
    open_page: Open, library: MadeLibrary
) -> None:
    page = open_page()
    page.get_by_role("button", name="Noise", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as playlist (M3U8)").click()
    saved = Path(download.value.path()).read_bytes().splitlines()
    assert download.value.suggested_filename == "mertag.m3u8"
    assert saved[0] == b"#EXTM3U"
    assert saved[1].startswith(b"#EXTINF:200,Zo\xc3\xab \xe2\x80\x93 ")
    entries = [line for line in saved if not line.startswith(b"#")]
    assert set(entries) == {
        os.fsencode(library.folder) + b"/" + name for name in (b"heard #1 100%.wav", b"caf\xe9.wav")
    }
    assert all(os.path.exists(entry) for entry in entries)  # noqa: PTH110  bytes


def test_the_map_is_used_by_keys_alone(open_page: Open) -> None:
    page = open_page()
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#announce").inner_text()
    assert "confidence" in first
    for _ in range(60):  # to the rightmost song
        page.keyboard.press("ArrowRight")
    last = page.locator("#announce").inner_text()
    assert last != first
    page.keyboard.press("+")
    page.keyboard.press("0")
    page.locator("#search").fill("heard")
    until(page, "document.querySelectorAll('#songs tr').length === 1")
    page.locator("#map").focus()
    page.keyboard.press("ArrowUp")
    assert "Heard" in page.locator("#announce").inner_text()
    page.keyboard.press("Enter")
    until(page, "document.getElementById('audio').currentTime > 0.1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    open_page: Open, scheme: str, viewport: dict[str, int]
) -> None:
    page = open_page(viewport=viewport, color_scheme=scheme)
    page.mouse.click(*place_of(page, 0.97, 0.5))
    until(page, "document.getElementById('audio').currentTime > 0.1")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    # All that axe looked at would be 900 kB, which take four times as long as its work.
    named = "found.violations.map((v) => [v.id, v.nodes.map((node) => node.html)])"
    assert page.evaluate(f"axe.run({{resultTypes: ['violations']}}).then((found) => {named})") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]


def test_dark_and_light_can_be_chosen(open_page: Open) -> None:
    page = open_page(color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Dark or light").click()
    assert page.evaluate(background) == "rgb(255, 255, 255)" != dark


def test_a_song_that_cannot_be_played_is_said_and_named(
    browser: Browser, library: MadeLibrary, written_page: Path
) -> None:
    page = browser.new_page()
    page.goto(written_page.as_uri())
    page.locator("#songs .play").first.click()  # an empty file
    until(page, "document.getElementById('player-error').textContent")
    said = page.locator("#player-error").inner_text()
    assert "cannot be played here" in said
    assert str(library.folder) in unquote(said)
    page.close()


@pytest.mark.slow
@pytest.mark.timeout(1200)  # forty thousand files
def test_forty_thousand_dots_pan_at_thirty_frames_a_second(open_page: Open, tmp_path: Path) -> None:
    page = open_page(of=written(made_library(tmp_path / "many", tmp_path / "many.sqlite", 40_000), tmp_path))
    x, y = place_of(page, 0.5, 0.5)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -100)
    page.mouse.down()
    page.evaluate(
        """() => {
            window.frames_ = [];
            const note = (now) => { window.frames_.push(now); requestAnimationFrame(note); };
            requestAnimationFrame(note);
        }"""
    )
    for i in range(120):
        page.mouse.move(x + 40 * np.sin(i / 5), y + 40 * np.cos(i / 7))
    page.mouse.up()
    times = page.evaluate("window.frames_")
    rate_hz = 1000 * (len(times) - 1) / (times[-1] - times[0])
    print(f"{rate_hz:.0f} frames a second")
    assert rate_hz >= 30
