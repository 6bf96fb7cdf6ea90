"""An owner's tags stay visible to three readers after a write and after a removal, wherever they stand."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from crafted_songs import ape_tag, id3v1, id3v22, noise
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen.id3 import COMM, ID3, TALB, TIT2, TMOO, TXXX
from three_readers import assert_nothing_hidden, three_readers

from mertag.emotion import SongEmotion
from mertag.errors import TagWriteError
from mertag.library.tags import TagOptions, ffmpeg_worker, read_tags, readers, remove_tags, write_tags
from mertag.library.tags.readers import FFmpegReader, hidden

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.usefixtures("fast_disk")
Song = Callable[[str], Path]
Encoded = Callable[[str], Path]


def id3(tmp_path: Path, *, title: str = "Cafe del Mar", mood: str = "", version: int = 4) -> bytes:
    """Return an ID3v2 tag as mutagen writes it."""
    tags = ID3()
    tags.add(TIT2(encoding=3, text=title))
    tags.add(TALB(encoding=3, text="Album"))
    tags.add(COMM(encoding=3, lang="eng", text="Hello"))
    tags.add(TXXX(encoding=3, desc="REPLAYGAIN_TRACK_GAIN", text="-6.10 dB"))
    if mood:
        tags.add(TMOO(encoding=3, text=mood))
    path = tmp_path / "tag"
    path.unlink(missing_ok=True)
    tags.save(path, v1=0, v2_version=version)
    return path.read_bytes()


def without_ape(data: bytes) -> bytes:
    return data[: data.index(b"APETAGEX")]


def written_and_removed(path: Path, happy: SongEmotion) -> None:
    """Write and remove, and check what the readers see; the removal gives back every byte if the tag was new."""
    before, old = three_readers(path), dict(read_tags(path))
    assert write_tags(path, happy, TagOptions(moods=2)).changed
    assert_nothing_hidden(before, three_readers(path))
    remove_tags(path)
    after = three_readers(path)
    assert_nothing_hidden(before, after)
    assert_nothing_hidden(after, before)
    assert read_tags(path) == old


@pytest.mark.parametrize("name", ["a.wv", "sv7.mpc", "sv8.mpc", "a.ape"])
@pytest.mark.parametrize("front", [False, True])
def test_a_first_ape_tag_repeats_older_tags_and_goes_whole(
    name: str, front: bool, song: Song, tmp_path: Path, happy: SongEmotion
) -> None:
    path = song(name)
    head = id3(tmp_path, title="Cafe del Mar, the long version of it", version=3) if front else b""
    path.write_bytes(head + without_ape(path.read_bytes()) + id3v1("Cafe del Mar, the long version"))
    old = path.read_bytes()
    written_and_removed(path, happy)
    assert path.read_bytes() == old


@pytest.mark.parametrize("name", ["bare.mp3", "bare.tta", "a.wav", "a.aiff", "a.dsf"])
def test_a_removal_leaves_no_empty_tag(name: str, song: Song, happy: SongEmotion) -> None:
    path = song(name)
    old = path.read_bytes()
    written_and_removed(path, happy)
    assert path.read_bytes() == old


def test_a_mood_in_an_older_tag_is_seen_again_after_a_removal(song: Song, tmp_path: Path, happy: SongEmotion) -> None:
    path = song("a.wv")
    path.write_bytes(id3(tmp_path, mood="Dreamy") + without_ape(path.read_bytes()))
    old = path.read_bytes()
    assert write_tags(path, happy).new["MOOD"] == ("Dreamy",)
    write_tags(path, happy, TagOptions(overwrite=True))
    assert read_tags(path)["MOOD"] == ("Happy",)
    remove_tags(path)
    assert path.read_bytes() == old


@pytest.mark.parametrize("junk", [bytes(700), noise(300), b"HTTP/1.1 200 OK\r\n\r\n", bytes(100_000)])
def test_the_tag_behind_junk_is_edited_in_place(junk: bytes, song: Song, tmp_path: Path, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    path.write_bytes(junk + id3(tmp_path, mood="Dreamy") + path.read_bytes())
    written_and_removed(path, happy)
    assert path.read_bytes().startswith(junk + b"ID3")
    assert read_tags(path) == {"MOOD": ("Dreamy",)}


@pytest.mark.parametrize(("name", "chunk"), [("a.wav", b"id3 "), ("a.wav", b"ID3 "), ("a.aiff", b"ID3 ")])
def test_the_chunk_behind_the_declared_end_is_edited_in_place(
    name: str, chunk: bytes, song: Song, tmp_path: Path, happy: SongEmotion
) -> None:
    path = song(name)
    tag = id3(tmp_path, mood="Dreamy")
    length = struct.pack("<I" if name == "a.wav" else ">I", len(tag))
    declared = path.read_bytes()[:8]
    path.write_bytes(path.read_bytes() + chunk + length + tag + bytes(len(tag) % 2))
    written_and_removed(path, happy)
    assert path.read_bytes()[:8] == declared
    assert path.read_bytes().count(b"ID3\x04") == 1


@pytest.mark.parametrize(
    "differs", [{"Title": "Another song"}, {"Genre": "Indie folk"}, {"Track": "02/09"}, {"Artist": "Иван"}]
)
def test_ape_and_id3v1_tags_that_contradict_each_other_both_stay_in_sight(
    differs: dict[str, str], song: Song, happy: SongEmotion
) -> None:
    path = song("bare.mp3")
    path.write_bytes(path.read_bytes() + ape_tag(**{"Title": "Song", "Artist": "Somebody", **differs}) + id3v1("Song"))
    before = path.read_bytes()
    written_and_removed(path, happy)
    assert path.read_bytes() == before
    write_tags(path, happy)
    with pytest.importorskip("taglib").File(path) as file:
        assert file.tags["MOOD"] == ["Happy"]


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("older", [id3v1("Song"), ape_tag(Title="Song"), ape_tag(Title="Song") + id3v1("Song")])
def test_an_empty_tag_in_front_of_older_ones_hides_nothing(
    version: int, older: bytes, song: Song, happy: SongEmotion
) -> None:
    path = song("bare.mp3")
    path.write_bytes(b"ID3" + bytes((version, 0, 0, 0, 0, 0, 100)) + bytes(100) + path.read_bytes() + older)
    written_and_removed(path, happy)


@pytest.mark.parametrize("kind", ["bare.mp3", "a.wv"])
def test_a_long_text_in_an_older_tag_stays_in_sight(kind: str, song: Song, happy: SongEmotion) -> None:
    path = song(kind)
    data = path.read_bytes()
    if kind == "a.wv":
        tags = ID3()
        tags.add(TIT2(encoding=3, text="Song"))
        tags.add(COMM(encoding=3, lang="eng", text="la " * 30_000))
        tags.save(path.with_suffix(".id3"), v1=0)
        path.write_bytes(path.with_suffix(".id3").read_bytes() + without_ape(data))
    else:
        path.write_bytes(data + ape_tag(Title="Song", Lyrics="la " * 30_000))
    written_and_removed(path, happy)


def test_what_ffmpeg_would_no_longer_see_is_a_refusal(
    song: Song, happy: SongEmotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mertag.library.tags.id3.contradicted", lambda source: False)
    path = song("bare.mp3")  # TagLib shows the APEv2 tag of this file, FFmpeg the ID3v1 tag
    path.write_bytes(path.read_bytes() + ape_tag(Title="One", Artist="A") + id3v1("Another"))
    old = path.read_bytes()
    with pytest.raises(
        TagWriteError, match=r"FFmpeg.* saw 'title' .*'Another' and would see 'One'.*make its tags alike"
    ):
        write_tags(path, happy)
    assert path.read_bytes() == old


def test_what_ffmpeg_saw_may_stand_under_another_name_or_be_longer() -> None:
    assert not hidden({"title": "Cafe del"}, {"Title": "Cafe del Mar"})
    assert not hidden({"date": "1999", "track": "7"}, {"Year": "1999", "TRACKNUMBER": "7"})
    assert not hidden({"performer": "X", "TMOO": "Sad", "0:MERTAG_MODEL": "m"}, {"conductor": "X"})
    assert not hidden(None, None)
    assert "nothing" in hidden({"title": "Cafe"}, {"artist": "X"})
    assert "could not read the new one" in hidden({"title": "Cafe"}, None)


def test_a_reader_that_dies_or_hangs_is_started_again(encoded: Encoded, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, path = FFmpegReader(), encoded("v23.mp3")
    assert (reader.seen(path, path.name) or {})["title"] == "Café del Mar"
    assert reader._process is not None
    reader._process.kill()
    reader._process.wait()
    assert (reader.seen(path, path.name) or {})["artist"] == "Ünknown"
    hanging = FFmpegReader(limit_s=0.0)
    assert hanging.seen(path, path.name) is None
    assert reader.seen(path.with_name("not there"), path.name) is None


def test_a_fault_that_is_not_the_files_is_said(encoded: Encoded, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(file: object, **options: object) -> None:
        raise TypeError("open() got an unexpected keyword argument")

    monkeypatch.setattr(ffmpeg_worker.av, "open", changed)
    path = encoded("v23.mp3")
    assert ffmpeg_worker.answer(json.dumps([str(path), path.name])) == (
        "TypeError: open() got an unexpected keyword argument"
    )
    assert ffmpeg_worker.answer(json.dumps([str(path.with_name("not there")), path.name])) is None
    says = [sys.executable, "-c", "input(); print('\"TypeError: changed\"')"]
    with subprocess.Popen(says, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        monkeypatch.setattr(readers, "_start", lambda: process)
        with pytest.raises(RuntimeError, match="FFmpeg's reader of tags failed: TypeError: changed"):
            FFmpegReader().seen(path, path.name)


TEXTS = ["Cafe del Mar", "Another"]
TAILS = ["", "v1", "ape", "ape v1", "v24 at the end", "lyrics v1"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_tags_stacked_and_misplaced_stay_visible_or_the_file_is_untouched(
    data: st.DataObject, encoded: Encoded, tmp_path: Path, happy: SongEmotion
) -> None:
    draw = data.draw
    name = draw(st.sampled_from(["bare.mp3", "a.wv", "sv8.mpc", "a.wav", "a.aiff", "a.flac", "bare.tta"]))
    texts = st.sampled_from(TEXTS)
    audio = encoded(name).read_bytes()
    audio = without_ape(audio) if b"APETAGEX" in audio else audio

    def front() -> bytes:
        kind = draw(st.sampled_from(["", "v22", "v23", "v24", "v23 v24"]))
        tags = {"v22": id3v22(), "v23": id3(tmp_path, title=draw(texts), version=3)}
        return b"".join(tags.get(part) or id3(tmp_path, title=draw(texts), mood="Dreamy") for part in kind.split())

    def tail() -> bytes:
        kind = draw(st.sampled_from(TAILS))
        found = ape_tag(Title=draw(texts), Artist="Somebody") if "ape" in kind else b""
        if kind == "v24 at the end":
            tag = id3(tmp_path, title=draw(texts))
            found = (
                tag[:5] + bytes((tag[5] | 0x10,)) + tag[6:] + b"3DI" + tag[3:5] + bytes((tag[5] | 0x10,)) + tag[6:10]
            )
        found += b"LYRICSBEGININD0000200000021LYRICS200" if kind == "lyrics v1" else b""
        return found + (id3v1(draw(texts)) if "v1" in kind.split() else b"")

    if name in ("a.wav", "a.aiff"):
        order = "<I" if name == "a.wav" else ">I"

        def chunk(kind: bytes, content: bytes) -> bytes:
            return kind + struct.pack(order, len(content)) + content + bytes(len(content) % 2)

        parts = st.sampled_from(["", "id3", "info"])
        made = {"": b"", "id3": chunk(b"ID3 ", id3(tmp_path, title=draw(texts)))}
        info = b"INFO" + b"INAM" + struct.pack("<I", 12) + TEXTS[0].encode()
        made["info"] = chunk(b"LIST", info) if name == "a.wav" else b""
        inside, behind = made[draw(parts)], made[draw(parts)]
        body = audio[8:] + inside
        song = audio[:4] + struct.pack(order, len(body)) + body + behind
    else:
        junk = draw(st.sampled_from([b"", b"", bytes(333), noise(50)])) if name == "bare.mp3" else b""
        song = junk + (front() if name != "bare.tta" else b"") + audio + (tail() if name != "a.flac" else b"")

    path = tmp_path / name
    path.write_bytes(song)
    shutil.copyfile(path, tmp_path / "old")
    before = three_readers(path)
    try:
        write_tags(path, happy)
    except TagWriteError:
        assert path.read_bytes() == song
        return
    assert_nothing_hidden(before, three_readers(path))
    remove_tags(path)
    assert_nothing_hidden(before, three_readers(path))


@pytest.mark.skipif(os.name != "posix", reason="asks for a process as POSIX does")
def test_the_reader_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, np.zeros(100), 8_000)
    code = (
        "import sys; from pathlib import Path; from mertag.library.tags.readers import ffmpeg; "
        "assert ffmpeg.seen(Path(sys.argv[1]), 'song.wav') is not None; print(ffmpeg._process.pid)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(song)], capture_output=True, text=True, check=True, cwd=ROOT)
    with pytest.raises(ProcessLookupError):
        os.kill(int(run.stdout), 0)
