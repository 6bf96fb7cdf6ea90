"""A run accounts for every file it found, whatever happens to any of them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fake_tagger import FakeTagger, emotion
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.batch import BatchOptions, Event, FileDone, Finished, Found, Status, Summary, one_song, tag_library
from mertag.emotion import Quadrant
from mertag.errors import ConfigError, DeviceError, TagWriteError, UnsupportedFormatError
from mertag.files import BeforeReplace
from mertag.library import find as library
from mertag.library import sidecar, tags
from mertag.outcomes import Outcome

NOTHING_WRITTEN = BatchOptions()
TAGS = BatchOptions(write_tags=True)


def audio(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(800, np.float32), 8000)
    return path


def done(events: Iterable[Event]) -> dict[str, FileDone]:
    return {e.path.name: e for e in events if isinstance(e, FileDone)}


def summary(events: Iterable[Event]) -> Summary:
    (found,) = [e.summary for e in events if isinstance(e, Finished)]
    return found


def adds_up(s: Summary) -> bool:
    listed = sum(len(group.paths) for group in s.reasons)
    return s.found == s.tagged + s.unchanged + s.skipped + s.failed == s.tagged + listed


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


def test_fail_fast_stops_at_the_first_failure_and_the_rest_counts_as_skipped(tmp_path: Path) -> None:
    for name in ("a_1.flac", "bad_2.flac", "q1_3.flac", "q1_4.flac"):
        audio(tmp_path / name)
    events = list(tag_library([tmp_path], tagger=FakeTagger(), options=BatchOptions(fail_fast=True)))
    s = summary(events)
    assert (s.tagged, s.failed, s.skipped, s.not_reached) == (1, 1, 2, 2)
    assert adds_up(s)


def test_a_run_stops_when_so_many_files_have_failed(tmp_path: Path) -> None:
    for name in ("bad_1.flac", "bad_2.flac", "bad_3.flac", "a_0.flac", "q1_4.flac"):
        audio(tmp_path / name)
    events = list(tag_library([tmp_path], tagger=FakeTagger(), options=BatchOptions(max_failures=2)))
    s = summary(events)
    assert (s.tagged, s.failed, s.not_reached) == (1, 2, 2)
    assert [g.reason for g in s.reasons if not g.reached] == ["not reached (stopped after 2 failures)"]
    never = summary(tag_library([tmp_path], tagger=FakeTagger(), options=BatchOptions(max_failures=4)))
    assert (never.tagged, never.failed, never.not_reached) == (2, 3, 0)


def test_failures_before_any_analysis_count_too(tmp_path: Path) -> None:
    for i in range(5):
        (tmp_path / f"{i}.flac").touch()
    audio(tmp_path / "q1_z.flac")
    s = summary(tag_library([tmp_path], tagger=FakeTagger(), options=BatchOptions(write_tags=True, max_failures=3)))
    assert s.failed >= 3
    assert adds_up(s)


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


class StopsAfter(FakeTagger):
    def __init__(self, n: int, error: BaseException | None) -> None:
        super().__init__()
        self.n, self.error = n, error

    def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        for i, outcome in enumerate(super().tag_many(paths)):
            if i == self.n:
                if self.error is not None:
                    raise self.error
                return
            yield outcome


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DeviceError("the GPU is lost"), RuntimeError("a bug")])
def test_whatever_stops_a_run_the_summary_comes_first_and_adds_up(tmp_path: Path, error: BaseException) -> None:
    for i in range(4):
        audio(tmp_path / f"q1_{i}.flac")
    events: list[Event] = []
    with pytest.raises(type(error)):
        events.extend(iter_into(events, tag_library([tmp_path], tagger=StopsAfter(2, error), options=TAGS)))
    s = summary(events)
    assert (s.tagged, s.skipped, s.not_reached) == (2, 2, 2)
    assert adds_up(s)


def iter_into(events: list[Event], source: Iterator[Event]) -> list[Event]:
    for event in source:
        events.append(event)  # noqa: PERF402  so that those before an error are kept
    return []


def test_an_error_thrown_in_by_the_caller_is_answered_with_a_summary(tmp_path: Path) -> None:
    for i in range(3):
        audio(tmp_path / f"q1_{i}.flac")
    events = tag_library([tmp_path], tagger=FakeTagger(), options=NOTHING_WRITTEN)
    assert isinstance(next(events), Found)
    assert isinstance(next(events), FileDone)
    finished = events.throw(OSError("the disk is full"))
    assert isinstance(finished, Finished)
    assert (finished.summary.tagged, finished.summary.not_reached) == (1, 2)
    with pytest.raises(OSError, match="disk is full"):
        next(events)


def test_a_song_that_the_tagger_forgot_is_a_failed_file(tmp_path: Path) -> None:
    class Forgetful(FakeTagger):
        def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
            yield from list(super().tag_many(paths))[1:]

    for i in range(3):
        audio(tmp_path / f"q1_{i}.flac")
    s = summary(tag_library([tmp_path], tagger=Forgetful(), options=NOTHING_WRITTEN))
    assert (s.tagged, s.failed) == (2, 1)
    assert adds_up(s)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("writers", [0, 1, 3])
def test_an_interrupt_while_files_are_written_waits_until_they_are_written_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, writers: int
) -> None:
    for i in range(12):
        audio(tmp_path / f"q1_{i:02}.flac")
    real = tags.write_tags
    begun: list[str] = []

    def interrupted(path: Path, *rest: object, **more: object) -> object:
        begun.append(path.name)
        if len(begun) == 1:
            os.kill(os.getpid(), number)
        time.sleep(0.05)  # long enough for the interrupt to come in the middle
        return real(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(tags, "write_tags", interrupted)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    events: list[Event] = []
    with pytest.raises(KeyboardInterrupt):
        iter_into(
            events,
            tag_library([tmp_path], tagger=FakeTagger(), options=BatchOptions(write_tags=True, writers=writers)),
        )
    s = summary(events)
    assert 1 <= s.tagged < 12
    assert s.tagged + s.not_reached == 12
    assert adds_up(s)
    assert sorted(done(events)) == sorted(begun)
    tagged = {path.name for path in tmp_path.iterdir() if "MOOD" in tags.read_tags(path)}
    assert tagged == set(begun)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_failure_that_stops_the_run_does_not_cost_what_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("q1_1.flac", "q1_2.flac", "q1_3.flac", "bad_4.flac", "q1_5.flac"):
        audio(tmp_path / name)
    real = tags.write_tags

    def slow(path: Path, *rest: object, **more: object) -> object:
        time.sleep(0.1)
        return real(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(tags, "write_tags", slow)
    events = list(tag_library([tmp_path], tagger=FakeTagger(), options=BatchOptions(write_tags=True, fail_fast=True)))
    tagged = {path.name for path in tmp_path.iterdir() if "MOOD" in tags.read_tags(path)}
    assert {name for name, d in done(events).items() if d.status is Status.TAGGED} == tagged
    assert adds_up(summary(events))
    assert summary(events).failed == 1


KINDS = ("q1", "short", "bad", "untaggable", "unwritable", "unchanged", "strange", "precheck")


@settings(max_examples=150, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(KINDS), max_size=12),
    reverse=st.booleans(),
    with_sidecar=st.booleans(),
    with_tags=st.booleans(),
    dry_run=st.booleans(),
    max_failures=st.none() | st.integers(1, 4),
    stop_after=st.none() | st.integers(0, 6),
)
def test_found_is_always_the_sum_of_the_four_ends(
    kinds: list[str],
    reverse: bool,
    with_sidecar: bool,
    with_tags: bool,
    dry_run: bool,
    max_failures: int | None,
    stop_after: int | None,
) -> None:
    songs = [Path(f"/nowhere/{kind}_{i}.mp3") for i, kind in enumerate(kinds)]
    kind_of = dict(zip(songs, kinds, strict=True))
    replaced: list[Path] = []

    def taggable(path: Path) -> bool:
        if kind_of[path] == "precheck":
            raise OSError(5, "Input/output error")
        return kind_of[path] != "untaggable"

    def replace(path: Path, before_replace: BeforeReplace | None) -> None:
        assert (before_replace is None) == dry_run
        if before_replace is not None and kind_of[path] != "unchanged":
            before_replace(path, path)
            replaced.append(path)

    def write(path: Path, heard: object, _: object, *, before_replace: BeforeReplace | None = None) -> tags.TagChange:
        kind = kind_of[path]
        if kind == "untaggable":
            raise UnsupportedFormatError(path, "no tag format")
        replace(path, before_replace)
        if kind == "unwritable":
            raise TagWriteError(path, "no space")
        if kind == "strange":
            raise ZeroDivisionError
        return tags.TagChange(path=path, container="MP3", old={}, new={}, changed=kind != "unchanged")

    def write_sidecar(path: Path, heard: object, *, before_replace: BeforeReplace | None = None) -> bool:
        replace(path, before_replace)
        return kind_of[path] != "unchanged"

    tagger = FakeTagger(reverse=reverse) if stop_after is None else StopsAfter(stop_after, KeyboardInterrupt())
    events: list[Event] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "find_audio", lambda *_, **__: iter(songs))
        patch.setattr(Path, "stat", lambda *_, **__: os.stat_result((0o644, 0, 0, 1, 0, 0, 1000, 0, 0, 0)))
        patch.setattr(one_song, "remove_leftovers", lambda _: [])
        patch.setattr(os, "access", lambda *_: True)
        patch.setattr(tags, "taggable", taggable)
        for name in ("plan_tags", "write_tags"):
            patch.setattr(tags, name, write)
        for name in ("plan_sidecar", "write_sidecar"):
            patch.setattr(sidecar, name, write_sidecar)
        options = BatchOptions(write_tags=with_tags, sidecar=with_sidecar, dry_run=dry_run, max_failures=max_failures)
        try:
            iter_into(events, tag_library([Path("/nowhere")], tagger=tagger, options=options))
        except KeyboardInterrupt:
            assert stop_after is not None
    s = summary(events)
    assert s.found == len(songs)
    assert adds_up(s)
    results = [e for e in events if isinstance(e, FileDone)]
    assert len({r.index for r in results}) == len(results) == s.found - s.not_reached
    assert all(r.reason for r in results if r.status is not Status.TAGGED)
    assert all(songs[r.index] == r.path for r in results)
    ends = {"q1": Status.TAGGED, "short": Status.SKIPPED, "bad": Status.FAILED}
    if with_tags or with_sidecar:
        ends["unchanged"] = Status.UNCHANGED
    if with_tags:
        ends |= {"unwritable": Status.FAILED, "strange": Status.FAILED}
    assert all(r.status is ends[kind] for r in results if (kind := kind_of[r.path]) in ends)
    written = {r.path for r in results if r.status is Status.TAGGED and (with_tags or with_sidecar) and not dry_run}
    assert written <= set(replaced)
