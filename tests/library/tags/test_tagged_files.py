"""The files of other tag libraries' own test suites: each is written well, or refused and untouched."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import mutagen
import pytest

from mertag.emotion import SongEmotion
from mertag.errors import FileError
from mertag.library.tags import TagOptions, audio_digest, read_tags, remove_tags, write_tags
from mertag.library.tags.container import Range
from mertag.library.tags.safe_write import open_original, replace_file

pytestmark = [pytest.mark.realdata, pytest.mark.usefixtures("fast_disk")]

OURS = ("MOOD", "TMOO", "MERTAG")
LEAST_WRITTEN = 120
"""How many of the 154 files are sound and of a kind that can be tagged."""


def seen_by_mutagen(path: Path) -> tuple[dict[str, str], Any]:
    """Return foreign tags and duration as mutagen sees them; nothing where it cannot read."""
    with contextlib.suppress(Exception):
        found = mutagen.File(path)
        tags = found.tags
        pairs = tags.items() if hasattr(tags, "items") and not isinstance(tags, list) else list(tags or [])
        foreign = {str(k): repr(v) for k, v in pairs if not any(o in str(k).upper() for o in OURS)}
        foreign.pop("COMM::eng", None)  # may repeat an ID3v1 comment
        return foreign, found.info.length
    return {}, None


def seen_by_taglib(path: Path) -> dict[str, list[str]]:
    """Return foreign tags as TagLib lists them; nothing where it cannot read."""
    taglib = pytest.importorskip("taglib")
    try:
        with taglib.File(path) as found:
            return {k: v for k, v in found.tags.items() if not k.startswith(OURS)}
    except OSError:
        return {}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "tagged-files").rglob("*") if path.is_file())


def test_every_file_is_written_well_or_refused_untouched(
    real_data: Path, tmp_path: Path, happy: SongEmotion, sad: SongEmotion
) -> None:
    written = 0
    for original in files(real_data):
        path = Path(shutil.copyfile(original, tmp_path / f"song{original.suffix}"))
        before = path.read_bytes()
        seen, listed = seen_by_mutagen(path), seen_by_taglib(path)
        try:
            change = write_tags(path, happy, TagOptions(overwrite=True))
        except FileError:
            assert path.read_bytes() == before, original
            path.unlink()
            continue
        written += 1
        assert change.changed, original
        assert read_tags(path)["MOOD"] == ("Happy",), original
        assert audio_digest(path) == audio_digest(original), original
        if seen[1] is not None:
            after = seen_by_mutagen(path)
            if not seen[0]:  # no tags that mutagen knows: a new one may repeat others
                after = {}, after[1]
            assert after == seen, original
            assert mutagen.File(path).tags, original
        after_by_taglib = seen_by_taglib(path)
        assert {name: after_by_taglib.get(name) for name in listed} == listed, original
        status, data = path.stat(), path.read_bytes()

        assert write_tags(path, happy).changed is False, original
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (status.st_ino, status.st_mtime_ns), original
        assert path.read_bytes() == data, original

        assert write_tags(path, sad).new["MOOD"] == ("Sad",), original
        remove_tags(path)
        assert read_tags(path) == {}, original
        assert audio_digest(path) == audio_digest(original), original
        assert [p.name for p in tmp_path.iterdir()] == [path.name], original
        path.unlink()
    assert written >= LEAST_WRITTEN


def shared(a: bytes, b: bytes) -> int:
    """Return how many bytes two files begin with in common."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def test_every_file_that_was_written_goes_back_to_its_old_bytes(
    real_data: Path, tmp_path: Path, happy: SongEmotion
) -> None:
    written, kept_bytes, library_bytes = 0, 0, 0
    for original in files(real_data):
        path = Path(shutil.copyfile(original, tmp_path / f"song{original.suffix}"))
        old = path.read_bytes()
        journal: list[tuple[int, bytes, int]] = []

        def note(before: Path, after: Path, journal: list[tuple[int, bytes, int]] = journal) -> None:
            a, b = before.read_bytes(), after.read_bytes()
            head = shared(a, b)
            tail = shared(a[head:][::-1], b[head:][::-1])
            journal.append((head, a[head : len(a) - tail], tail))

        try:
            write_tags(path, happy, TagOptions(overwrite=True, preserve_mtime=True), before_replace=note)
        except FileError:
            assert not journal, original
            assert path.read_bytes() == old, original
            path.unlink()
            continue
        written += 1
        ((head, middle, tail),) = journal
        kept_bytes, library_bytes = kept_bytes + len(middle), library_bytes + len(old)
        size = path.stat().st_size
        with open_original(path) as new:
            pieces = [Range(0, head), middle, Range(size - tail, size)]
            replace_file(new, pieces, check=lambda copy: None, preserve_mtime=True)
        assert path.read_bytes() == old, original
        path.unlink()
    assert written >= LEAST_WRITTEN
    print(f"{written} files of {library_bytes} bytes; what gives the old bytes back: {kept_bytes} bytes")


@pytest.mark.parametrize("folder", ["4q", "pmemo", "eim", "music"])
def test_songs_of_real_collections_are_written(
    folder: str, real_data: Path, tmp_path: Path, happy: SongEmotion
) -> None:
    suffixes = {".mp3", ".ogg", ".oga"}
    found = sorted(p for p in (real_data / folder).rglob("*") if p.suffix.lower() in suffixes)
    assert found
    for original in found[:: max(1, len(found) // 8)]:
        path = Path(shutil.copyfile(original, tmp_path / original.name))
        seen = seen_by_mutagen(path)

        assert write_tags(path, happy).changed

        assert audio_digest(path) == audio_digest(original)
        assert seen_by_mutagen(path) == seen
        path.unlink()
