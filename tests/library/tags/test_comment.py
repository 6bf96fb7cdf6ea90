"""The mood in the comment: every container, every encoding, the owner's words untouched, and gone without a trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mutagen
import pytest
from crafted_songs import id3v22
from hypothesis import given
from hypothesis import strategies as st
from made_songs import emotion
from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.id3 import COMM, ID3, Encoding
from mutagen.mp4 import MP4
from three_readers import three_readers

from mertag.emotion import SongEmotion
from mertag.errors import ConfigError, TagWriteError
from mertag.library.tags import TagOptions, fields_of, read_tags, remove_tags, write_tags
from mertag.library.tags.comment import Comment, fits
from mertag.library.tags.fields import planned, without_ours
from mertag.library.tags.id3_bytes import unsynchronise

Song = Callable[[str], Path]
MakeEmotion = Callable[..., SongEmotion]
COMMENTED = TagOptions(comment_field=True)
WORDS = "Great intro, drop at 1:04 – 8A Ünd"


def comments_of(path: Path) -> list[str]:
    """Return the comments of a file as mutagen sees them."""
    found = mutagen.File(path)
    if isinstance(found, ASF):
        return [str(value) for value in found.get("Description", [])]
    if isinstance(found, MP4):
        return list(found.get("\xa9cmt", []))
    if isinstance(found.tags, ID3):
        return [str(frame) for frame in found.tags.getall("COMM") if not frame.desc]
    if isinstance(found.tags, APEv2):
        return [str(found.tags["Comment"])] if "Comment" in found.tags else []
    return list(found.tags["COMMENT"]) if "COMMENT" in found.tags else []


def comment(path: Path, text: str) -> None:
    """Have mutagen write a comment."""
    found: Any = mutagen.File(path)
    if found.tags is None:
        found.add_tags()
    if isinstance(found, ASF):
        found["Description"] = text
    elif isinstance(found, MP4):
        found["\xa9cmt"] = text
    elif isinstance(found.tags, ID3):
        found.tags.add(COMM(encoding=Encoding.UTF8, lang="eng", text=text))
    else:
        found.tags["Comment"] = text
    found.save()


def test_a_mood_comes_into_a_comment_that_was_not_there_and_goes_without_a_trace(
    any_song: Path, happy: SongEmotion, sad: SongEmotion, fast_disk: None
) -> None:
    old = dict(read_tags(any_song))
    before = three_readers(any_song)
    write_tags(any_song, happy, COMMENTED)
    assert read_tags(any_song)["COMMENT"] == ("Happy",) == read_tags(any_song)["MERTAG_COMMENT"]
    assert write_tags(any_song, happy, COMMENTED).changed is False
    write_tags(any_song, sad, COMMENTED)
    assert read_tags(any_song)["COMMENT"] == ("Sad",)
    assert any("[MOOD: Sad]" in str(tags) for tags in three_readers(any_song).values()) or not any(before.values())
    remove_tags(any_song)
    assert read_tags(any_song) == old
    assert three_readers(any_song) == before


CONTAINERS = ["v24.mp3", "v23.mp3", "a.wav", "a.aiff", "a.flac", "a.ogg", "a.opus", "a.oga", "a.m4a", "a.wma", "a.wv"]


@pytest.mark.parametrize("words", [WORDS, ""])
@pytest.mark.parametrize("name", CONTAINERS)
def test_the_owners_words_stay_and_the_mood_follows_them(
    name: str, words: str, song: Song, happy: SongEmotion, sad: SongEmotion
) -> None:
    path = song(name)
    comment(path, words)
    if not comments_of(path):
        pytest.skip("mutagen writes no empty comment here")
    old = path.read_bytes()
    write_tags(path, happy, COMMENTED)
    assert comments_of(path) == [f"{words} [MOOD: Happy]"]
    write_tags(path, sad, COMMENTED)
    assert comments_of(path) == [f"{words} [MOOD: Sad]"]
    write_tags(path, sad)  # a run without the option takes it out, as it takes out what else it does not write
    assert comments_of(path) == [words]
    write_tags(path, sad, COMMENTED)
    remove_tags(path)
    assert comments_of(path) == [words]
    if name in ("a.flac", "a.ogg", "a.wv"):  # where no padding is left behind
        assert old.count(words.encode()) == path.read_bytes().count(words.encode())


@pytest.mark.parametrize("encoding", [Encoding.LATIN1, Encoding.UTF16, Encoding.UTF16BE, Encoding.UTF8])
@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("unsync", [False, True])
def test_an_id3_comment_keeps_its_bytes(
    encoding: Encoding, version: int, unsync: bool, song: Song, happy: SongEmotion
) -> None:
    path = song("bare.mp3")
    tags = ID3()
    tags.add(COMM(encoding=encoding, lang="deu", desc="iTunNORM", text=" 0000 [MOOD: none of yours]"))
    tags.add(COMM(encoding=encoding, lang="fra", text="ÿà la carte"))
    tags.save(path, v2_version=version, v1=0)
    if unsync:
        data = path.read_bytes()
        length = int("".join(f"{byte:07b}" for byte in data[6:10]), 2)
        body = unsynchronise(data[10 : 10 + length])
        size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
        if version == 4:
            pytest.skip("of 2.4, single frames are unsynchronised: below")
        path.write_bytes(data[:5] + b"\x80" + size + body + data[10 + length :])
    before = ID3(path).getall("COMM")
    write_tags(path, happy, COMMENTED)
    written = {frame.desc: frame for frame in ID3(path).getall("COMM")}
    assert written[""].text == ["ÿà la carte [MOOD: Happy]"]
    assert (written[""].lang, written[""].encoding) == ("fra", before[-1].encoding if version == 4 else mine(encoding))
    assert written["iTunNORM"].text == [" 0000 [MOOD: none of yours]"]
    remove_tags(path)
    assert ID3(path).getall("COMM") == before


def mine(encoding: Encoding) -> Encoding:
    """Return what mutagen makes of an encoding in 2.3."""
    return Encoding.LATIN1 if encoding is Encoding.LATIN1 else Encoding.UTF16


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_a_frame_of_2_4_keeps_its_flags(flags: int, song: Song, happy: SongEmotion) -> None:
    content = b"\x00eng\x00caf\xe9 \xff\xe0"
    coded = unsynchronise(content) if flags & 2 else content
    coded = (len(content).to_bytes(4, "big") if flags & 1 else b"") + coded
    frame = b"COMM" + len(coded).to_bytes(4, "big") + bytes((0, flags)) + coded
    path = song("bare.mp3")
    old = b"ID3\x04\0\0" + len(frame).to_bytes(4, "big") + frame + path.read_bytes()
    path.write_bytes(old)
    write_tags(path, happy, COMMENTED)
    assert ID3(path).getall("COMM")[0].text == ["café ÿà [MOOD: Happy]"]
    assert path.read_bytes()[19] == flags
    remove_tags(path)
    assert frame in path.read_bytes()


def test_id3_2_2_has_comments_of_three_letters(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    path.write_bytes(id3v22() + path.read_bytes())
    write_tags(path, happy, COMMENTED)
    assert b"COM\x00\x00\x12\x00eng\x00[MOOD: Happy]" in path.read_bytes()


def test_a_comment_that_cannot_hold_the_mood_is_refused_with_a_reason(song: Song, happy: SongEmotion) -> None:
    path = song("bare.mp3")
    ID3().save(path)
    tags = ID3()
    tags.add(COMM(encoding=Encoding.LATIN1, lang="eng", text="mine"))
    tags.save(path)
    old = path.read_bytes()
    with pytest.raises(TagWriteError, match="latin-1, which has no '楽'"):
        write_tags(path, happy, replace(COMMENTED, labels=("楽しい", "怒り", "悲しい", "穏やか")))
    assert path.read_bytes() == old


def test_a_file_is_told_apart_from_the_same_file_with_other_words(song: Song, happy: SongEmotion) -> None:
    from mertag.library.tags.container import Source, foreign_digests
    from mertag.library.tags.detect import open_container

    path = song("a.flac")
    found = []
    for text in ("one [MOOD: Happy]", "one", "two [MOOD: Happy]"):
        comment(path, text)
        with path.open("rb") as file:
            source = Source(file)
            found.append(dict(foreign_digests(source, open_container(source))))
    assert found[0] == found[1] != found[2]


# Whose mood it is


def test_a_mood_that_its_owner_wrote_into_the_comment_stays(song: Song, happy: SongEmotion, sad: SongEmotion) -> None:
    path = song("a.flac")
    comment(path, "warm up [MOOD: Sunny]")
    write_tags(path, happy, COMMENTED)
    assert comments_of(path) == ["warm up [MOOD: Sunny]"]
    remove_tags(path)
    assert comments_of(path) == ["warm up [MOOD: Sunny]"]
    write_tags(path, happy, replace(COMMENTED, overwrite=True))
    assert comments_of(path) == ["warm up [MOOD: Happy]"]


def test_a_mood_that_its_owner_changed_in_the_comment_is_its_owners(song: Song, happy: SongEmotion) -> None:
    path = song("a.flac")
    write_tags(path, happy, COMMENTED)
    comment(path, "[MOOD: Calm] mine")
    write_tags(path, happy, COMMENTED)
    assert comments_of(path) == ["[MOOD: Calm] mine"]


def test_the_comment_repeats_the_mood_that_the_song_has(happy: SongEmotion) -> None:
    assert planned(happy, COMMENTED, {"MOOD": ("Dreamy",)})["COMMENT"] == ("Dreamy",)
    assert planned(happy, replace(COMMENTED, moods=2), {})["COMMENT"] == ("Happy, Angry",)
    assert planned(happy, replace(COMMENTED, moods=2, join="; "), {})["COMMENT"] == ("Happy; Angry",)
    assert "COMMENT" not in planned(happy, replace(COMMENTED, min_confidence=0.9), {})
    assert planned(happy, replace(COMMENTED, fields=fields_of(["model"])), {})["COMMENT"] == ("Happy",)
    for hostile in ("a]b", "a\nb", "a\0b", "x" * 300, "[MOOD: b"):
        assert "COMMENT" not in planned(happy, COMMENTED, {"MOOD": (hostile,)})
        assert not fits(hostile)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(text, text, st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]))
def test_what_is_put_into_a_comment_comes_out_again(words: str, mood: str, codec: str) -> None:
    if not fits(mood) or "[MOOD: " in words:
        return
    old = Comment(text=words.encode(codec), codec=codec, around=bytes)
    new = replace(old, text=old.with_mood(mood))
    assert new.mood == mood
    assert new.rest == old.text
    assert replace(old, text=new.with_mood("Other")).rest == old.text


@given(st.binary(max_size=60))
def test_bytes_that_are_no_utf_8_come_out_again(words: bytes) -> None:
    old = Comment(text=words, codec="utf-8", around=bytes)
    new = replace(old, text=old.with_mood("Happy"))
    assert new.text == words + b" [MOOD: Happy]"
    assert new.rest == words


# Scale and the middle


def test_whole_numbers_are_written_for_players_that_compare_no_decimals(make_emotion: MakeEmotion) -> None:
    fields = planned(make_emotion(0.6, 0.253, 0.047, 0.1), TagOptions(scale=100), {})
    assert fields["MERTAG_VALENCE"] == ("70",)
    assert fields["MERTAG_AROUSAL"] == ("85",)
    assert fields["MERTAG_CONFIDENCE"] == ("60",)
    assert planned(make_emotion(1.0, 0, 0, 0), TagOptions(scale=100), {})["MERTAG_CONFIDENCE"] == ("100",)
    assert without_ours(planned(make_emotion(), TagOptions(scale=100, moods=2), {})) == {}


shares = st.lists(st.integers(1, 1000), min_size=4, max_size=4).map(lambda n: tuple(x / sum(n) for x in n))


@given(shares, st.sampled_from([1, 2]), st.sampled_from([1, 100]), st.sampled_from([None, "Balanced"]))
def test_a_mood_is_known_as_ours_on_any_scale_and_in_the_middle(
    probabilities: tuple[float, ...], moods: int, scale: int, balanced: str | None
) -> None:
    options = TagOptions(moods=moods, scale=scale, balanced=balanced, comment_field=True)
    fields = planned(emotion(*probabilities), options, {})
    assert without_ours(fields) == {}
    assert planned(emotion(*probabilities), options, fields) == fields


def test_the_middle_is_where_neither_axis_is_clear(make_emotion: MakeEmotion) -> None:
    middle = TagOptions(balanced="Balanced", moods=2)
    assert planned(make_emotion(0.28, 0.26, 0.24, 0.22), middle, {})["MOOD"] == ("Balanced",)
    assert planned(make_emotion(0.28, 0.26, 0.24, 0.22), middle, {})["MERTAG_QUADRANT"] == ("Q1",)
    for clear in ((0.45, 0.35, 0.1, 0.1), (0.45, 0.1, 0.1, 0.35), (0.4, 0.2, 0.2, 0.2)):
        assert planned(make_emotion(*clear), middle, {})["MOOD"] != ("Balanced",)
    assert planned(make_emotion(0.28, 0.26, 0.24, 0.22), TagOptions(), {})["MOOD"] == ("Happy",)


@pytest.mark.parametrize("options", [{"scale": 10}, {"scale": 0}, {"balanced": ""}, {"balanced": "a;b"}])
def test_what_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"give|leave it out"):
        TagOptions(**options)
