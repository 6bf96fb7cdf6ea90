"""What is remembered of songs: analyses to the last digit, files, and which song a file holds."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from distinct_songs import song
from fake_tagger import MODEL, emotion
from hypothesis import given
from hypothesis import strategies as st

from mertag.emotion import QUADRANTS, SongEmotion
from mertag.errors import DecodeError, FileError, StateError
from mertag.library import tags
from mertag.library.state import analyses as state_module
from mertag.library.state.analyses import Places, State, decode, encode, open_state, song_digest
from mertag.library.state.database import Database
from mertag.outcomes import Failed, Skipped, Tagged

AUDIO, OTHER = b"a" * 32, b"b" * 32
PATH = b"/music/a.mp3"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with open_state(tmp_path / "s", command="test") as state:
        yield state


def test_an_analysis_belongs_to_audio_and_model(state: State) -> None:
    state.remember_result(AUDIO, "m1", "{}")
    assert state.result(AUDIO, "m1") == "{}"
    assert state.result(AUDIO, "m2") is None
    assert state.result(OTHER, "m1") is None
    assert state.models(AUDIO) == ["m1"]


def test_a_later_analysis_takes_the_place_of_an_earlier_one(state: State) -> None:
    state.remember_result(AUDIO, "m", "1")
    state.remember_result(AUDIO, "m", "2")
    assert state.result(AUDIO, "m") == "2"
    assert state.result(AUDIO, "m", since_s=state.run.started_s) == "2"
    assert state.result(AUDIO, "m", since_s=state.run.started_s + 3600) is None


def test_an_analysis_is_there_for_another_process_at_once(state: State, tmp_path: Path) -> None:
    for n in range(3):  # not only the first, which waits for the disk
        state.remember_result(AUDIO, f"m{n}", "{}")
    with sqlite3.connect(tmp_path / "s") as other:
        assert other.execute("SELECT count(*) FROM analyses").fetchone() == (3,)


def test_a_file_is_known_with_the_analysis_of_its_audio(state: State) -> None:
    assert state.entry(PATH, "m") is None
    state.remember_file(PATH, size=10, mtime_ns=20, audio=AUDIO, settled="x")
    state.remember_result(AUDIO, "m", "{}")
    entry = state.entry(PATH, "m")
    assert entry is not None
    assert (entry.size, entry.mtime_ns, entry.audio, entry.settled, entry.result) == (10, 20, AUDIO, "x", "{}")
    other = state.entry(PATH, "other model")
    assert other is not None
    assert other.result is None


def settled(state: State) -> tuple[bytes, str]:
    entry = state.entry(PATH, "m")
    assert entry is not None
    return entry.audio, entry.settled


def test_a_run_that_settles_nothing_leaves_what_is_settled_if_the_file_is_the_same(state: State) -> None:
    state.remember_file(PATH, size=10, mtime_ns=20, audio=AUDIO, settled="x")
    state.remember_file(PATH, size=10, mtime_ns=20, audio=AUDIO, settled="")
    assert settled(state) == (AUDIO, "x")
    state.remember_file(PATH, size=10, mtime_ns=20, audio=b"", settled="y")
    assert settled(state) == (AUDIO, "y")
    state.remember_file(PATH, size=10, mtime_ns=21, audio=AUDIO, settled="")
    assert settled(state) == (AUDIO, "")


def test_a_file_with_other_audio_is_not_settled_though_size_and_time_are_the_same(state: State) -> None:
    state.remember_file(PATH, size=10, mtime_ns=20, audio=AUDIO, settled="x")
    state.remember_file(PATH, size=10, mtime_ns=20, audio=OTHER, settled="")
    assert settled(state) == (OTHER, "")


def test_a_path_that_is_no_text_is_kept_as_it_is(state: State) -> None:
    path = os.fsencode("/music/") + b"caf\xe9\xff.mp3"
    state.remember_file(path, size=1, mtime_ns=2, audio=AUDIO, settled="")
    assert state.entry(path, "m") is not None


def test_a_full_state_file_is_said_once_and_raises_nothing(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = state.run.database._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    monkeypatch.setattr(state_module, "REST_S", 0.0)  # else the state is left alone after the first failure
    for n in range(200):
        state.remember_result(AUDIO, f"m{n}", "x" * 500)
    assert state.troubles.qsize() == 1
    said = state.troubles.get()
    assert "full" in said
    assert "the run goes on" in said
    connection.execute("PRAGMA max_page_count = 100000")  # somebody made room
    state.remember_result(AUDIO, "after", "{}")
    assert state.result(AUDIO, "after") == "{}"


def test_a_state_that_failed_is_left_alone_for_a_while(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def broken(*_: object) -> list[tuple[object, ...]]:
        calls.append("")
        raise StateError("the disk is gone")

    monkeypatch.setattr(Database, "rows", broken)
    for _ in range(5):
        assert state.entry(PATH, "m") is None
        assert state.result(AUDIO, "m") is None
    assert len(calls) == 1
    assert state.claim(b"x")  # who cannot ask goes on


def test_damage_inside_is_found_set_aside_and_said_and_the_run_begins(tmp_path: Path) -> None:
    place, said = tmp_path / "s", list[str]()
    with open_state(place, command="test") as state:
        for n in range(50):
            state.remember_result(AUDIO, f"m{n}", "x" * 500)
    content = bytearray(place.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)  # the first page, with the header, stays
    place.write_bytes(content)
    with open_state(place, command="test", notify=said.append) as state:
        assert state.result(AUDIO, "m1") is None
        state.remember_result(AUDIO, "m1", "{}")
        assert state.result(AUDIO, "m1") == "{}"
    (aside,) = tmp_path.glob("s.aside-*")
    assert aside.read_bytes() == content
    assert len(said) == 1
    assert "damaged" in said[0]
    with open_state(place, command="test", notify=said.append) as state:
        assert state.result(AUDIO, "m1") == "{}"
    assert len(said) == 1


def test_damage_that_shows_in_the_middle_of_a_run_is_dealt_with_by_the_next(tmp_path: Path) -> None:
    place, said = tmp_path / "s", list[str]()
    with open_state(place, command="test") as state:
        for n in range(2000):
            state.remember_file(b"/%d" % n, size=1, mtime_ns=1, audio=os.urandom(32), settled="")
    content = bytearray(place.read_bytes())
    assert len(content) > 30 * 4096
    content[20 * 4096 : -8 * 4096] = bytes(len(content) - 28 * 4096)  # well inside
    place.write_bytes(content)
    with open_state(place, command="test", notify=said.append) as state:
        for n in range(2000):
            state.entry(b"/%d" % n, "m")
        assert state.troubles.qsize() == 1
        assert "the next run checks it" in state.troubles.get()
    assert not said
    with open_state(place, command="test", notify=said.append) as state:
        assert state.entry(b"/1", "m") is None
        assert state.troubles.empty()
    assert len(said) == 1
    assert list(tmp_path.glob("s.aside-*"))


def test_a_suspicion_that_proves_wrong_costs_nothing(tmp_path: Path) -> None:
    place, said = tmp_path / "s", list[str]()
    with open_state(place, command="test") as state:
        state.remember_result(AUDIO, "m", "{}")
    (tmp_path / "s.check").touch()
    with open_state(place, command="test", notify=said.append) as state:
        assert state.result(AUDIO, "m") == "{}"
    assert not said
    assert not (tmp_path / "s.check").exists()


A = Path("/music/a.mp3")
p = st.floats(0, 1)


@given(
    st.builds(
        SongEmotion,
        quadrant=st.sampled_from(QUADRANTS),
        confidence=p,
        valence=p,
        arousal=p,
        quadrant_probabilities=st.tuples(p, p, p, p),
        duration_s=st.floats(0, 1e6),
        n_segments=st.integers(1, 10**6),
        n_windows=st.integers(1, 10**6),
        model=st.text(min_size=1),
        silent_s=st.floats(0, 1e6),
        damage=st.text(),
    )
)
def test_an_emotion_comes_back_to_the_last_digit(emotion: SongEmotion) -> None:
    text = encode(Tagged(index=3, path=Path("/elsewhere"), emotion=emotion))
    assert text is not None
    assert decode(text, index=7, path=A) == Tagged(index=7, path=A, emotion=emotion)


@pytest.mark.parametrize("kind", ["too_short", "silent"])
def test_why_a_song_has_none_comes_back_too(kind: str) -> None:
    skipped = Skipped(index=0, path=A, reason="1.0 s of audio", kind=kind)  # type: ignore[arg-type]
    text = encode(skipped)
    assert text is not None
    assert decode(text, index=0, path=A) == skipped


def test_the_text_is_as_ever() -> None:
    tagged = Tagged(index=0, path=A, emotion=dataclasses.replace(emotion(), valence=1e-7, arousal=1 / 3))
    assert encode(tagged) == (
        f'{{"quadrant":"Q1","model":"{MODEL}","confidence":0.7,"valence":1e-07,"arousal":0.3333333333333333,"duration_s":30.0,'
        '"n_segments":28,"n_windows":1,"quadrant_probabilities":'
        "[0.7,0.10000000000000002,0.10000000000000002,0.10000000000000002]}"
    )
    part = encode(Tagged(index=0, path=A, emotion=dataclasses.replace(emotion(), analysed_s=12.5)))
    assert part is not None
    assert part.endswith('02],"analysed_s":12.5}')
    silent = Skipped(index=0, path=A, reason="caf\u00e9", kind="silent")
    assert encode(silent) == '{"skipped":"silent","reason":"caf\\u00e9"}'


def test_failures_and_formats_that_cannot_be_read_yet_are_not_remembered() -> None:
    error = DecodeError(A, "damaged")
    assert encode(Failed(index=0, path=A, reason="damaged", error=error)) is None
    assert encode(Skipped(index=0, path=A, reason="unknown codec", kind="unsupported")) is None


GOOD = json.loads(encode(Tagged(index=0, path=A, emotion=emotion())) or "")


@pytest.mark.parametrize(
    "change",
    [
        {"quadrant": "Q5"},
        {"quadrant": None},
        {"confidence": 1.5},
        {"confidence": "0.5"},
        {"valence": float("nan")},
        {"duration_s": float("inf")},
        {"duration_s": -1},
        {"quadrant_probabilities": [0.5, 0.5]},
        {"quadrant_probabilities": None},
        {"n_segments": 1.5},
        {"n_windows": True},
        {"model": 3},
        {"skipped": "unsupported", "reason": ""},
        {"skipped": "silent"},
        {"skipped": "silent", "reason": 3},
    ],
)
def test_a_result_that_cannot_be_is_no_result(change: dict[str, object]) -> None:
    assert decode(json.dumps(GOOD | change), index=0, path=A) is None


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x)).map(json.dumps))
def test_no_text_at_all_raises(text: str) -> None:
    decode(text, index=0, path=A)


def test_deep_nesting_is_no_result() -> None:
    assert decode("[" * 100_000, index=0, path=A) is None


@pytest.mark.parametrize("name", ["a.flac", "a.wav", "a.mp3", "a.ogg"])
def test_tags_do_not_change_the_digest_and_audio_does(tmp_path: Path, name: str) -> None:
    path = song(tmp_path / name)
    before, digest = song_digest(path)
    assert (before.st_size, before.st_mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    tags.write_tags(path, emotion())
    assert song_digest(path)[1] == digest == bytes.fromhex(tags.audio_digest(path))
    assert song_digest(song(tmp_path / f"other {name}"))[1] != digest


def test_a_file_without_a_tag_format_is_known_by_all_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.mka"
    path.write_bytes(b"no container that mertag tags")
    _, digest = song_digest(path)
    path.write_bytes(b"no container that mertag tagz")
    assert song_digest(path)[1] != digest


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_the_same_samples_at_another_rate_are_another_song(tmp_path: Path, kind: str) -> None:
    digests = set()
    for rate in (8000, 44_100):
        path = tmp_path / f"{rate}"
        soundfile.write(path, np.zeros(800, np.float32), rate, format=kind)
        digests.add(song_digest(path)[1])
    assert len(digests) == 2


def test_a_file_that_changes_while_it_is_read_is_no_known_song(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = song(tmp_path / "a.flac")
    real = tags.audio_digest

    def changed_meanwhile(path: Path) -> str:
        found = real(path)
        song(path, like="other")
        os.utime(path, ns=(1, 1))
        return found

    monkeypatch.setattr(tags, "audio_digest", changed_meanwhile)
    with pytest.raises(FileError, match="is changing it"):
        song_digest(path)


@pytest.mark.parametrize("name", ["gone.flac", ""])
def test_a_file_that_cannot_be_read_is_an_error_of_that_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        song_digest(tmp_path / name)


def test_places_are_real_paths_whatever_leads_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = song(tmp_path / "music" / "a.flac")
    (tmp_path / "link").symlink_to(tmp_path / "music")
    (tmp_path / "music" / "b.flac").symlink_to(path)
    monkeypatch.chdir(path.parent)
    places = Places()
    ways = [path, tmp_path / "link" / "a.flac", tmp_path / "music" / "b.flac", Path("a.flac"), Path("../music/a.flac")]
    for way in (*ways, *reversed(ways)):
        place, status = places.look(way)
        assert place == os.fsencode(os.path.realpath(path))
        assert status.st_size == path.stat().st_size
    with pytest.raises(OSError, match="gone"):
        places.look(path.parent / "gone.flac")


@pytest.mark.skipif(os.name != "posix", reason="roots of POSIX")
def test_a_song_at_the_root_of_everything_has_a_place() -> None:
    assert Places().look(Path("/tmp"))[0] == os.fsencode(os.path.realpath("/tmp"))
