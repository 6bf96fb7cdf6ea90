"""Playlists of rules, against what their players document, and beets' against beets itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mertag.errors import ConfigError
from mertag.library.playlists.choose import Range, Wanted
from mertag.library.playlists.rules import FORMATS
from mertag.library.playlists.write import file_name, write_playlist

MOODS = ("Happy", "Sehr <froh> & müde")
NARROW = Wanted(min_confidence=0.6, valence=Range.parse("0.7.."), arousal=Range.parse("0.1..0.3"), limit=50)


def test_navidrome_reads_the_rules() -> None:
    files = FORMATS["nsp"](MOODS, NARROW)
    assert list(files) == [f"{mood}.nsp" for mood in MOODS]
    content = json.loads(files["Happy.nsp"])
    assert set(content) <= {"name", "comment", "all", "sort", "order", "limit"}
    assert content["all"] == [
        {"is": {"mood": "Happy"}},
        {"gt": {"mertag_confidence": 0.5995}},
        {"gt": {"mertag_valence": 0.6995}},
        {"gt": {"mertag_arousal": 0.0995}},
        {"lt": {"mertag_arousal": 0.3005}},
    ]
    assert (content["sort"], content["order"], content["limit"]) == ("mertag_confidence", "desc", 50)
    plain = json.loads(FORMATS["nsp"](MOODS, Wanted())["Happy.nsp"])
    assert (plain["all"], plain["sort"]) == ([{"is": {"mood": "Happy"}}], "random")
    assert "limit" not in plain


def test_kodi_reads_the_rules() -> None:
    for mood, text in zip(MOODS, FORMATS["xsp"](MOODS, NARROW).values(), strict=True):
        root = ElementTree.fromstring(text.encode())
        assert (root.tag, root.attrib) == ("smartplaylist", {"type": "songs"})
        assert [child.tag for child in root] == ["name", "match", "rule", "limit", "order"]
        rule = root.find("rule")
        assert rule is not None
        assert rule.attrib == {"field": "moods", "operator": "is"}
        assert rule.findtext("value") == root.findtext("name") == mood
        assert root.findtext("limit") == "50"


def test_beets_finds_the_songs_by_its_queries() -> None:
    library = pytest.importorskip("beets.library", reason="beets is not installed")
    yaml = pytest.importorskip("yaml")
    (text,) = FORMATS["beets"](MOODS, NARROW).values()
    playlists = yaml.safe_load(text)["smartplaylist"]["playlists"]
    assert [p["name"] for p in playlists] == [f"{mood}.m3u8" for mood in MOODS]
    items = [
        library.Item(mood=mood, mood_confidence=confidence, valence=valence, arousal=0.2)
        for mood in MOODS
        for confidence, valence in ((0.9, 0.8), (0.7, 0.7), (0.5, 0.8), (0.9, 0.6))
    ]
    from beets.dbcore import types

    figures = dict.fromkeys(("mood_confidence", "valence", "arousal"), types.FLOAT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library.Item, "_types", {**library.Item._types, **figures})
        for mood, playlist in zip(MOODS, playlists, strict=True):
            query, sort = library.parse_query_string(playlist["query"], library.Item)
            found = sort.sort([item for item in items if query.match(item)])
            assert [(item.mood, item.mood_confidence) for item in found] == [(mood, 0.9), (mood, 0.7)]


def test_foobar2000_compares_whole_numbers() -> None:
    (text,) = FORMATS["foobar2000"](MOODS, NARROW).values()
    query = text.splitlines()[3]
    assert re.fullmatch(
        r'mood IS "Happy" AND "\$replace\(%mertag_confidence%,\.,\)" GREATER 599'
        r' AND "\$replace\(%mertag_valence%,\.,\)" GREATER 699'
        r' AND "\$replace\(%mertag_arousal%,\.,\)" GREATER 99 AND "\$replace\(%mertag_arousal%,\.,\)" LESS 301'
        r" SORT DESCENDING BY %mertag_confidence%",
        query,
    )


def test_musicbee_has_its_rules_as_text() -> None:
    (text,) = FORMATS["musicbee"](MOODS, NARROW).values()
    assert "Mood | is | Happy" in text
    assert "MERTAG_CONFIDENCE | is in range | 0.6 | 1" in text
    assert "limit to 50 songs" in text


def test_rules_hold_for_whole_percentages_too() -> None:
    content = json.loads(FORMATS["nsp"](MOODS, NARROW, scale=100)["Happy.nsp"])
    figures = {(how, *rule[how].items()) for rule in content["all"][1:] for how in rule}
    assert figures == {
        ("gt", ("mertag_confidence", 59.5)),
        ("gt", ("mertag_valence", 69.5)),
        ("gt", ("mertag_arousal", 9.5)),
        ("lt", ("mertag_arousal", 30.5)),
    }
    (text,) = FORMATS["foobar2000"](MOODS, NARROW, scale=100).values()
    wanted = "%mertag_valence% GREATER 69 AND %mertag_arousal% GREATER 9 AND %mertag_arousal% LESS 31"
    assert f'mood IS "Happy" AND %mertag_confidence% GREATER 59 AND {wanted} SORT' in text
    (text,) = FORMATS["musicbee"](MOODS, NARROW, scale=100).values()
    assert "MERTAG_AROUSAL | is in range | 10 | 30" in text
    for without in ("xsp", "beets"):
        assert FORMATS[without](MOODS, NARROW, scale=100) == FORMATS[without](MOODS, NARROW)


def test_what_is_the_same_is_not_written_again_and_what_is_not_ours_not_replaced(tmp_path: Path) -> None:
    place = tmp_path / "new" / "a.m3u8"
    content = b"#EXTM3U\n# made by mertag playlists\nx\n"
    assert write_playlist(place, content, dry_run=True)
    assert not place.exists()
    assert write_playlist(place, content)
    before = place.stat()
    assert not write_playlist(place, content)
    assert (place.stat().st_ino, place.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert write_playlist(place, content + b"y\n")
    place.write_bytes(b"#EXTM3U\nmine\n")
    with pytest.raises(ConfigError, match="did not make it"):
        write_playlist(place, content)
    assert place.read_bytes() == b"#EXTM3U\nmine\n"


def test_a_playlist_without_songs_only_takes_the_place_of_an_old_one(tmp_path: Path) -> None:
    place = tmp_path / "a.m3u8"
    empty = b"#EXTM3U\n# made by mertag playlists\n"
    assert not write_playlist(place, empty, has_songs=False)
    assert not place.exists()
    place.write_bytes(empty + b"song.mp3\n")
    assert write_playlist(place, empty, has_songs=False)
    assert place.read_bytes() == empty


@pytest.mark.parametrize(
    ("name", "safe"), [("a/b", "a_b"), ("What?", "What_"), ("..", "_"), ("0.2,0.9 to sad", "0.2,0.9 to sad")]
)
def test_names_are_safe_for_every_file_system(name: str, safe: str) -> None:
    assert file_name(name) == safe
