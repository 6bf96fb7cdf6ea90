"""The tag wing as a whole, on a song of every container."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import av
import mutagen
import numpy as np
import pytest
from crafted_songs import UNPLAYABLE
from mutagen.apev2 import APEv2File

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError, UnsupportedFormatError
from mertag.library.tags import (
    TagOptions,
    audio_digest,
    plan_tags,
    read_tags,
    remove_tags,
    taggable,
    write_tags,
)

pytestmark = pytest.mark.usefixtures("fast_disk")
Song = Callable[[str], Path]

HAPPY = {
    "MOOD": ("Happy",),
    "MERTAG_QUADRANT": ("Q1",),
    "MERTAG_VALENCE": ("0.700",),
    "MERTAG_AROUSAL": ("0.850",),
    "MERTAG_CONFIDENCE": ("0.600",),
    "MERTAG_MODEL": ("tiny@1.0.0+0123abcd",),
}


def decoded(path: Path) -> np.ndarray:
    if path.name in UNPLAYABLE:
        return np.zeros(0)
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])


def state(path: Path) -> tuple[bytes, int, int]:
    return path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino


def by_mutagen(path: Path) -> mutagen.FileType:
    return APEv2File(path) if path.name == "a.tta" else mutagen.File(path)


def foreign_tags(path: Path) -> dict[str, str]:
    tags = by_mutagen(path).tags
    pairs = tags.items() if hasattr(tags, "items") else tags or []
    ours = ("MOOD", "MERTAG", "TMOO")
    return {str(k): repr(v) for k, v in pairs if not any(o in str(k).upper() for o in ours)}


def assert_kept(path: Path, before: Mapping[str, object], after: Mapping[str, object]) -> None:
    """Check that foreign tags are as before; in a file that got its first ID3v2 tag, that none is missing."""
    if path.name in ("v1.mp3", "ape.mp3", "ape and v1.mp3"):
        assert set(before) <= set(after)
        if path.name != "ape and v1.mp3":  # there, the longer of two titles wins
            assert {name: after[name] for name in before} == before
    else:
        assert after == before


def moods_by_mutagen(path: Path) -> list[str]:
    tags = by_mutagen(path).tags or ()
    for key in ("TMOO", "TXXX:MOOD", "----:com.apple.iTunes:MOOD", "WM/Mood", "mood", "Mood"):
        if key in tags:
            values = getattr(tags[key], "text", tags[key])
            values = [values] if isinstance(values, str) else list(values)
            return [v.decode() if isinstance(v, bytes) else str(v) for v in values]
    return []


def test_every_container_gets_the_fields_and_keeps_its_audio(any_song: Path, happy: SongEmotion) -> None:
    audio, digest, foreign = decoded(any_song), audio_digest(any_song), foreign_tags(any_song)

    change = write_tags(any_song, happy)

    assert change.changed
    assert change.old == {}
    assert change.new == HAPPY == read_tags(any_song)
    assert moods_by_mutagen(any_song) == ["Happy"]
    assert_kept(any_song, foreign, foreign_tags(any_song))
    assert audio_digest(any_song) == digest
    np.testing.assert_array_equal(decoded(any_song), audio)
    assert [p.name for p in any_song.parent.iterdir()] == [any_song.name]


def test_writing_twice_writes_once(any_song: Path, happy: SongEmotion) -> None:
    write_tags(any_song, happy)
    before = state(any_song)

    assert write_tags(any_song, happy).changed is False
    assert state(any_song) == before


def test_planning_writes_nothing_and_foretells_the_write(any_song: Path, happy: SongEmotion) -> None:
    before = state(any_song)

    plan = plan_tags(any_song, happy)

    assert state(any_song) == before
    assert plan == write_tags(any_song, happy)


def test_a_second_model_replaces_the_mood_of_the_first(any_song: Path, happy: SongEmotion, sad: SongEmotion) -> None:
    write_tags(any_song, happy)
    foreign = foreign_tags(any_song)

    change = write_tags(any_song, sad)

    assert change.old["MOOD"] == ("Happy",)
    assert change.new["MOOD"] == ("Sad",)
    assert moods_by_mutagen(any_song) == ["Sad"]
    assert read_tags(any_song)["MERTAG_MODEL"] == ("other@2.0.0+fedc9876",)
    assert foreign_tags(any_song) == foreign


def test_two_moods_are_two_values_and_are_recognised_as_ours(
    any_song: Path, happy: SongEmotion, sad: SongEmotion
) -> None:
    write_tags(any_song, happy, TagOptions(moods=2))
    assert read_tags(any_song)["MOOD"] == ("Happy", "Angry")
    assert "\0".join(moods_by_mutagen(any_song)).split("\0") == ["Happy", "Angry"]

    write_tags(any_song, sad)
    assert read_tags(any_song)["MOOD"] == ("Sad",)


def test_someone_elses_mood_stays_unless_it_is_to_be_overwritten(any_song: Path, happy: SongEmotion) -> None:
    write_tags(any_song, happy)
    foreign_mood(any_song)

    change = write_tags(any_song, happy)
    assert read_tags(any_song)["MOOD"] == ("Dreamy", "Blue / 2") == change.new["MOOD"]
    assert read_tags(any_song)["MERTAG_QUADRANT"] == ("Q1",)

    write_tags(any_song, happy, TagOptions(overwrite=True))
    assert read_tags(any_song)["MOOD"] == ("Happy",)


def foreign_mood(path: Path) -> None:
    """Write a mood as another tagger does, without our fields."""
    from mutagen.id3 import TMOO, TXXX

    song = by_mutagen(path)
    values = ["Dreamy", "Blue / 2"]
    for key in [k for k in dict(song.tags) if "MERTAG" in str(k).upper() or "MOOD" in str(k).upper()]:
        del song.tags[key]
    if path.name == "v23.mp3":
        song.tags.add(TXXX(encoding=1, desc="Mood", text=values))
        song.tags.update_to_v23()
        song.save(v2_version=3, v23_sep=None)
        return
    if hasattr(song.tags, "getall"):
        song.tags.add(TMOO(encoding=3, text=values))
    elif path.suffix == ".m4a":
        song.tags["----:com.apple.iTunes:mood"] = [v.encode() for v in values]
    elif path.suffix == ".wma":
        song.tags["WM/Mood"] = "Dreamy"
        song.save()
        write_second_asf_mood(path)
        return
    else:
        song.tags["mOOd"] = values
    song.save()


def write_second_asf_mood(path: Path) -> None:
    """Repeat the descriptor WM/Mood: mutagen would put a second one elsewhere."""
    from mertag.library.tags import asf
    from mertag.library.tags.container import Source

    source = Source(io.BytesIO(path.read_bytes()))
    pieces = asf.read(source).rebuilt({"MOOD": ("Dreamy", "Blue / 2")})
    path.write_bytes(b"".join(p if isinstance(p, bytes) else source.peek(p.start, len(p)) for p in pieces))


def test_below_the_least_confidence_there_is_no_mood_but_the_figures(any_song: Path, happy: SongEmotion) -> None:
    write_tags(any_song, happy, TagOptions(min_confidence=0.61))

    assert read_tags(any_song) == {k: v for k, v in HAPPY.items() if k != "MOOD"}
    assert moods_by_mutagen(any_song) == []

    write_tags(any_song, happy, TagOptions(min_confidence=0.6))
    assert read_tags(any_song) == HAPPY
    write_tags(any_song, happy, TagOptions(min_confidence=0.61))
    assert "MOOD" not in read_tags(any_song)


def test_removing_takes_out_what_was_written_and_nothing_else(any_song: Path, happy: SongEmotion) -> None:
    digest, foreign = audio_digest(any_song), foreign_tags(any_song)
    write_tags(any_song, happy)

    change = remove_tags(any_song)

    assert (change.changed, change.old, change.new) == (True, HAPPY, {})
    assert read_tags(any_song) == {}
    assert moods_by_mutagen(any_song) == []
    assert_kept(any_song, foreign, foreign_tags(any_song))
    assert audio_digest(any_song) == digest
    assert remove_tags(any_song).changed is False


def test_a_container_is_known_by_its_content(song: Song, happy: SongEmotion) -> None:
    mislabelled = song("a.flac").rename(song("a.ogg").with_name("flac called.mp3"))

    assert taggable(mislabelled)
    assert write_tags(mislabelled, happy).container == "FLAC"
    assert mutagen.flac.FLAC(mislabelled)["mood"] == ["Happy"]


@pytest.mark.parametrize("name", ["raw.aac", "a.mka"])
def test_what_has_no_tag_format_is_refused_untouched(name: str, song: Song, happy: SongEmotion) -> None:
    path = song(name)
    before = state(path)

    assert not taggable(path)
    with pytest.raises(UnsupportedFormatError, match="writes"):
        write_tags(path, happy)
    assert state(path) == before


def test_what_is_no_file_of_audio_is_refused(tmp_path: Path, happy: SongEmotion) -> None:
    (tmp_path / "a.mp3").write_text("my shopping list\n" * 99)
    (tmp_path / "empty.mp3").touch()
    for path in (tmp_path, tmp_path / "a.mp3", tmp_path / "empty.mp3"):
        assert not taggable(path)
        with pytest.raises(UnsupportedFormatError):
            write_tags(path, happy)
    with pytest.raises(TagWriteError, match="cannot be read"):
        write_tags(tmp_path / "absent.mp3", happy)


def test_a_pipe_does_not_hang(tmp_path: Path, happy: SongEmotion) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.mp3")
    with pytest.raises(UnsupportedFormatError, match="regular"):
        write_tags(tmp_path / "pipe.mp3", happy)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
def test_ffprobe_reads_the_mood_and_the_titles_it_read_before(any_song: Path, happy: SongEmotion) -> None:
    before = ffprobe(any_song)

    write_tags(any_song, happy)

    after = ffprobe(any_song)
    assert {after.pop(k, None) for k in ("mood", "tmoo", "wm/mood")} == {None, "Happy"}
    after = {k: v for k, v in after.items() if not k.startswith("mertag")}
    assert after.pop("encoder", None) == before.pop("encoder", None)
    assert_kept(any_song, before, after)


def ffprobe(path: Path) -> dict[str, str]:
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", str(path)]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    tags = {**found["streams"][0].get("tags", {}), **found["format"].get("tags", {})}
    return {key.lower(): value for key, value in tags.items()}


def test_taglib_reads_the_mood_and_every_tag_it_read_before(any_song: Path, happy: SongEmotion) -> None:
    if any_song.name == "a.tta":
        pytest.skip("TagLib reads no APE tags in True Audio")
    before = by_taglib(any_song)

    write_tags(any_song, happy)

    after = by_taglib(any_song)
    assert after["MOOD"] == ["Happy"]
    if any_song.suffix != ".wma":  # there, TagLib lists only the names that it knows
        assert after["MERTAG_QUADRANT"] == ["Q1"]
    assert_kept(any_song, before, {k: v for k, v in after.items() if k != "MOOD" and not k.startswith("MERTAG")})


def by_taglib(path: Path) -> dict[str, list[str]]:
    taglib = pytest.importorskip("taglib")
    with taglib.File(path) as found:
        return dict(found.tags)
