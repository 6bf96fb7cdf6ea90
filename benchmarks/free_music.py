"""Half-minutes of music under free licences, from Debian's packages of games: what can be learnt from without a label.

    python benchmarks/free_music.py OUT
    mertag train --dataset 4q --data-dir DIR --unlabelled OUT

Needs ``apt-get``, ``dpkg`` and ``ffmpeg`` on a Debian with package lists. Of each song of 40 s and more one, two (from
75 s on) or three (from 150 s on) stretches of 30 s are cut, evenly spread, in mono at 22,050 Hz as FLAC, named by the
song's hash: the same song in two packages counts once. Each package's licences are in its ``copyright`` file.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

PACKAGES = [
    "asc-music",
    "colobot-common-sounds",
    "extremetuxracer-data",
    "freedroidrpg-data",
    "freeorion-data",
    "fretsonfire-songs-muldjord",
    "fretsonfire-songs-sectoid",
    "frozen-bubble-data",
    "hedgewars-data",
    "hyperrogue-music",
    "lincity-ng-data",
    "lugaru-data",
    "megaglest-data",
    "naev-data",
    "neverball-common",
    "nexuiz-music",
    "openclonk-data",
    "parsec47-data",
    "powermanga-data",
    "pushover-data",
    "redeclipse-data",
]
"""Those that the bundled model has heard: 500 stretches of 210 songs."""

AUDIO = frozenset({".ogg", ".oga", ".opus", ".mp3", ".flac"})
ARCHIVES = frozenset({".pk3", ".wz", ".zip"})
STRETCH_S, LEAST_S = 30.0, 40.0


def main() -> None:
    """Fetch, cut, and say how much there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--packages", nargs="+", default=PACKAGES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for package in options.packages:
        with tempfile.TemporaryDirectory() as scratch:
            songs = [cut(song, options.out) for song in songs_of(package, Path(scratch))]
            print(f"{package}: {sum(n > 0 for n in songs)} songs, {sum(songs)} stretches", flush=True)


def songs_of(package: str, scratch: Path) -> Iterator[Path]:
    """Yield the audio files of a package, those in its archives too."""
    subprocess.run(["apt-get", "download", "-qq", package], cwd=scratch, check=True)
    (file,) = scratch.glob("*.deb")
    content = scratch / "content"
    subprocess.run(["dpkg", "-x", str(file), str(content)], check=True)
    for archive in [path for path in content.rglob("*") if path.suffix.lower() in ARCHIVES and path.is_file()]:
        with zipfile.ZipFile(archive) as held:
            wanted = [name for name in held.namelist() if Path(name).suffix.lower() in AUDIO]
            held.extractall(archive.with_suffix(".content"), wanted)
    yield from sorted(path for path in content.rglob("*") if path.suffix.lower() in AUDIO and path.is_file())


def cut(song: Path, out: Path) -> int:
    """Cut a song; return how many stretches it gave: none if it is short, unreadable, or there already."""
    asked = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(song)]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    duration_s = float(said) if said.replace(".", "", 1).isdigit() else 0.0
    name = hashlib.sha256(song.read_bytes()).hexdigest()[:12]
    if duration_s < LEAST_S or (out / f"{name}-0.flac").exists():
        return 0
    count = 1 + (duration_s >= 75) + (duration_s >= 150)
    for k in range(count):
        start_s = (duration_s - STRETCH_S) * (k + 0.5) / count
        where = ["-ss", f"{start_s:.2f}", "-t", f"{STRETCH_S:g}", "-i", str(song), "-ac", "1", "-ar", "22050"]
        made = ["ffmpeg", "-v", "error", "-nostdin", *where, "-y", str(out / f"{name}-{k}.flac")]
        subprocess.run(made, check=True)
    return count


if __name__ == "__main__":
    main()
