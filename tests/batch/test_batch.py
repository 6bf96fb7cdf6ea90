"""A run accounts for every file it found, whatever happens to any of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from batch_runs import NOTHING_WRITTEN, TAGS, adds_up, audio, done, summary
from fake_tagger import FakeTagger, emotion

from mertag.batch import BatchOptions, FileDone, Finished, Found, Status, one_song, tag_library
from mertag.emotion import Quadrant
from mertag.errors import ConfigError, TagWriteError
from mertag.library import find as library
from mertag.library import sidecar, tags


def test_events_are_found_then_one_for_each_file_then_finished(tmp_path: Path) -> None:
    for name in ("q1_a.flac", "q2_b.wav"):
        audio(tmp_path / name)
    events = list(tag_library([tmp_path], tagger=FakeTagger(), options=NOTHING_WRITTEN))
    assert [type(e) for e in events] == [Found, FileDone, FileDone, Finished]
    assert {n: d.status for n, d in done(events).items()} == {"q1_a.flac": "tagged", "q2_b.wav": "tagged"}


def test_each_result_goes_to_its_own_file_in_any_order_and_after_files_that_were_settled_before(
    tmp_path: Path,
) -> None:
    for name in ("q1_a.flac", "q2_b.wav", "q3_d.flac"):
        audio(tmp_path / name)
    (tmp_path / "q4_c.mp3").write_text("no tag format")
    events = list(tag_library([tmp_path], tagger=FakeTagger(reverse=True), options=TAGS))
    results = done(events)
    assert results["q1_a.flac"].emotion == emotion(Quadrant.Q1)
    assert results["q3_d.flac"].emotion == emotion(Quadrant.Q3)
    assert results["q4_c.mp3"].emotion is None
    assert sorted(r.index for r in results.values()) == [0, 1, 2, 3]
    assert adds_up(summary(events))


def test_a_second_run_finds_everything_unchanged_and_writes_nothing(tmp_path: Path) -> None:
    songs = [audio(tmp_path / name) for name in ("q1_a.flac", "q2_b.wav")]
    options = BatchOptions(write_tags=True, sidecar=True)
    first = summary(tag_library([tmp_path], tagger=FakeTagger(), options=options))
    assert first.tagged == 2
    before = [p.stat().st_mtime_ns for p in (*songs, *map(sidecar.sidecar_path, songs))]
    second = summary(tag_library([tmp_path], tagger=FakeTagger(), options=options))
    assert (second.tagged, second.unchanged) == (0, 2)
    assert before == [p.stat().st_mtime_ns for p in (*songs, *map(sidecar.sidecar_path, songs))]


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(tmp_path: Path) -> None:
    song = audio(tmp_path / "q2_a.flac")
    before = song.read_bytes()
    options = BatchOptions(write_tags=True, sidecar=True, dry_run=True)
    (result,) = done(tag_library([tmp_path], tagger=FakeTagger(), options=options)).values()
    assert result.status == "tagged"
    assert result.sidecar_changed
    assert result.change is not None
    assert result.change.new["MOOD"] == ("Angry",)
    assert song.read_bytes() == before
    assert list(tmp_path.iterdir()) == [song]


def test_a_file_without_a_tag_format_is_skipped_without_an_analysis(tmp_path: Path) -> None:
    (tmp_path / "q1_a.mp3").write_text("text")
    tagger = FakeTagger()
    (result,) = done(tag_library([tmp_path], tagger=tagger, options=TAGS)).values()
    assert (result.status, tagger.analysed) == (Status.SKIPPED, [])
    assert "no tag format" in result.reason


def test_an_empty_file_is_damaged_not_of_a_format_without_tags(tmp_path: Path) -> None:
    (tmp_path / "q1_a.mp3").touch()
    (result,) = done(tag_library([tmp_path], tagger=FakeTagger(), options=TAGS)).values()
    assert (result.status, result.reason) == (Status.FAILED, "the file is empty")


def test_a_file_without_a_tag_format_is_tagged_by_its_sidecar_with_a_note(tmp_path: Path) -> None:
    song = tmp_path / "q1_a.mp3"
    song.write_text("text")
    options = BatchOptions(write_tags=True, sidecar=True)
    (result,) = done(tag_library([tmp_path], tagger=FakeTagger(), options=options)).values()
    assert result.status is Status.TAGGED
    assert result.reason
    assert sidecar.sidecar_path(song).exists()


def test_a_write_that_fails_is_a_failed_file_with_its_emotion_and_the_sidecar_is_still_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song = audio(tmp_path / "q1_a.flac")

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise TagWriteError(path, "no space left")

    monkeypatch.setattr(tags, "write_tags", refuse)
    options = BatchOptions(write_tags=True, sidecar=True)
    (result,) = done(tag_library([tmp_path], tagger=FakeTagger(), options=options)).values()
    assert (result.status, result.reason) == (Status.FAILED, "no space left")
    assert result.emotion is not None
    assert sidecar.sidecar_path(song).exists()


def test_an_error_that_nobody_foresaw_costs_its_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("q1_a.flac", "q1_b.flac"):
        audio(tmp_path / name)
    real = tags.write_tags

    def strange(path: Path, *rest: object, **more: object) -> object:
        if path.name == "q1_a.flac":
            raise IndexError("index out of range")
        return real(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(tags, "write_tags", strange)
    results = done(tag_library([tmp_path], tagger=FakeTagger(), options=TAGS))
    assert "IndexError" in results["q1_a.flac"].reason
    assert results["q1_b.flac"].status is Status.TAGGED


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_noticed_before_the_analysis(tmp_path: Path) -> None:
    song = audio(tmp_path / "ro" / "q1_a.flac")
    song.parent.chmod(0o555)
    tagger = FakeTagger()
    try:
        (result,) = done(tag_library([tmp_path], tagger=tagger, options=TAGS)).values()
    finally:
        song.parent.chmod(0o755)
    assert (result.status, tagger.analysed) == (Status.FAILED, [])
    assert "folder cannot be written to" in result.reason


def test_a_folder_that_is_said_not_to_be_writable_fails_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio(tmp_path / "q1_a.flac")
    monkeypatch.setattr(os, "access", lambda *_: False)
    tagger = FakeTagger()
    (result,) = done(tag_library([tmp_path], tagger=tagger, options=TAGS)).values()
    assert (result.status, tagger.analysed) == (Status.FAILED, [])


def test_a_listed_file_that_is_gone_fails_alone_where_that_is_asked_for(tmp_path: Path) -> None:
    song = audio(tmp_path / "q1_a.flac")
    options = BatchOptions(missing_fails=True)
    events = list(tag_library([tmp_path / "q1_gone.flac", song], tagger=FakeTagger(), options=options))
    results = done(events)
    assert results["q1_gone.flac"].status is Status.FAILED
    assert results["q1_a.flac"].status is Status.TAGGED
    assert adds_up(summary(events))


def test_a_link_to_nothing_is_a_failed_file_and_the_search_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a_broken.flac").symlink_to(tmp_path / "nowhere")
    audio(tmp_path / "q1_b.flac")
    events = list(tag_library([tmp_path], tagger=FakeTagger(), options=NOTHING_WRITTEN))
    assert done(events)["a_broken.flac"].reason == "a link to nothing"
    assert (summary(events).found, summary(events).tagged, summary(events).failed) == (2, 1, 1)


def test_a_file_with_several_names_is_refused_before_the_analysis_unless_that_is_allowed(
    tmp_path: Path,
) -> None:
    song = audio(tmp_path / "q1_a.flac")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "same.flac").hardlink_to(song)
    tagger = FakeTagger()
    (result,) = done(tag_library([song], tagger=tagger, options=TAGS)).values()
    assert (result.status, tagger.analysed) == (Status.FAILED, [])
    allowed = BatchOptions(write_tags=True, tag=tags.TagOptions(break_hard_links=True))
    (result,) = done(tag_library([song], tagger=tagger, options=allowed)).values()
    assert result.status is Status.TAGGED


def test_copies_that_a_killed_run_left_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio(tmp_path / "q1_a.flac")
    cleaned: list[Path] = []
    monkeypatch.setattr(one_song, "remove_leftovers", cleaned.append)
    list(tag_library([tmp_path], tagger=FakeTagger(), options=TAGS))
    assert cleaned == [tmp_path.resolve()]


def test_shards_share_out_a_library_and_a_list_alike(tmp_path: Path) -> None:
    songs = [audio(tmp_path / f"q1_{i}.flac") for i in range(12)]
    gone = [tmp_path / f"gone_{i}.flac" for i in range(12)]
    for roots, n in (([tmp_path], 12), ([*songs, *gone], 24)):
        ends: list[str] = []
        for number in (1, 2, 3):
            options = BatchOptions(shard=library.Shard(number=number, of=3), missing_fails=True)
            events = list(tag_library(roots, tagger=FakeTagger(), options=options))
            ends += done(events)
            assert adds_up(summary(events))
        assert len(ends) == len(set(ends)) == n


def test_a_listed_path_that_cannot_even_be_looked_at_fails_alone(tmp_path: Path) -> None:
    song = audio(tmp_path / "q1_a.flac")
    listed = [tmp_path / ("x" * 300), song / "below a file", song]
    events = list(tag_library(listed, tagger=FakeTagger(), options=BatchOptions(missing_fails=True)))
    assert (summary(events).tagged, summary(events).failed) == (1, 2)
    assert {d.reason for d in done(events).values()} == {"", "File name too long", "Not a directory"}


def test_a_path_that_does_not_exist_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        list(tag_library([tmp_path / "nowhere"], tagger=FakeTagger(), options=NOTHING_WRITTEN))


def test_an_empty_folder_is_a_run_of_no_files(tmp_path: Path) -> None:
    s = summary(tag_library([tmp_path], tagger=FakeTagger(), options=NOTHING_WRITTEN))
    assert (s.found, s.reasons) == (0, ())
