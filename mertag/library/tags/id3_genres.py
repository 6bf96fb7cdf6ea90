"""Genres of ID3: the numbers that stand for names.

Source: the list of ID3v1 with Winamp's extensions (0 to 191); id3.org, ID3v2.3.0, 4.2.1 ("TCON"), and
ID3v2.4.0-frames, 4.2.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

GENRES = tuple(
    """
    Blues|Classic Rock|Country|Dance|Disco|Funk|Grunge|Hip-Hop|Jazz|Metal|New Age|Oldies|Other|Pop|R&B|Rap|Reggae|Rock|
    Techno|Industrial|Alternative|Ska|Death Metal|Pranks|Soundtrack|Euro-Techno|Ambient|Trip-Hop|Vocal|Jazz+Funk|Fusion|
    Trance|Classical|Instrumental|Acid|House|Game|Sound Clip|Gospel|Noise|Alt. Rock|Bass|Soul|Punk|Space|Meditative|
    Instrumental Pop|Instrumental Rock|Ethnic|Gothic|Darkwave|Techno-Industrial|Electronic|Pop-Folk|Eurodance|Dream|
    Southern Rock|Comedy|Cult|Gangsta Rap|Top 40|Christian Rap|Pop/Funk|Jungle|Native American|Cabaret|New Wave|
    Psychedelic|Rave|Showtunes|Trailer|Lo-Fi|Tribal|Acid Punk|Acid Jazz|Polka|Retro|Musical|Rock & Roll|Hard Rock|Folk|
    Folk-Rock|National Folk|Swing|Fast-Fusion|Bebop|Latin|Revival|Celtic|Bluegrass|Avantgarde|Gothic Rock|
    Progressive Rock|Psychedelic Rock|Symphonic Rock|Slow Rock|Big Band|Chorus|Easy Listening|Acoustic|Humour|Speech|
    Chanson|Opera|Chamber Music|Sonata|Symphony|Booty Bass|Primus|Porn Groove|Satire|Slow Jam|Club|Tango|Samba|Folklore|
    Ballad|Power Ballad|Rhythmic Soul|Freestyle|Duet|Punk Rock|Drum Solo|A Cappella|Euro-House|Dance Hall|Goa|
    Drum & Bass|Club-House|Hardcore|Terror|Indie|BritPop|Afro-Punk|Polsk Punk|Beat|Christian Gangsta Rap|Heavy Metal|
    Black Metal|Crossover|Contemporary Christian|Christian Rock|Merengue|Salsa|Thrash Metal|Anime|JPop|Synthpop|
    Abstract|Art Rock|Baroque|Bhangra|Big Beat|Breakbeat|Chillout|Downtempo|Dub|EBM|Eclectic|Electro|Electroclash|Emo|
    Experimental|Garage|Global|IDM|Illbient|Industro-Goth|Jam Band|Krautrock|Leftfield|Lounge|Math Rock|New Romantic|
    Nu-Breakz|Post-Punk|Post-Rock|Psytrance|Shoegaze|Space Rock|Trop Rock|World Music|Neoclassical|Audiobook|
    Audio Theatre|Neue Deutsche Welle|Podcast|Indie Rock|G-Funk|Dubstep|Garage Rock|Psybient
    """.replace("\n", "")
    .replace("    ", "")
    .strip()
    .split("|")
)
_WORDS = {"RX": "Remix", "CR": "Cover"}
_REFERENCES = re.compile(r"((?:\((?:\d+|RX|CR)\))*)(.*)", re.DOTALL)


def spelled_out(values: Iterable[str]) -> tuple[str, ...]:
    """Return genres with their numbers as names: ``17``, ``(17)``, ``(4)Eurodisco``, ``(51)(39)``, ``RX``."""
    found: list[str] = []
    for value in values:
        if _is_reference(value):
            found.append(_name(value))
            continue
        match = _REFERENCES.fullmatch(value)
        assert match is not None  # the rest takes anything
        names = [_name(reference) for reference in re.findall(r"\(([^)]*)\)", match[1])]
        rest = match[2][1:] if match[2].startswith("((") else match[2]
        found += names + ([rest] if rest and rest not in names else [])
    return tuple(found)


def _is_reference(value: str) -> bool:
    return value in _WORDS or (value.isascii() and value.isdigit() and int(value) < 256)


def _name(reference: str) -> str:
    if reference in _WORDS:
        return _WORDS[reference]
    number = int(reference)
    return GENRES[number] if number < len(GENRES) else "Unknown"
