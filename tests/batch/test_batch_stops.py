"""A run that stops early, for whatever reason, accounts for every file all the same."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from batch_runs import NOTHING_WRITTEN, TAGS, StopsAfter, adds_up, audio, done, iter_into, summary
from fake_tagger import FakeTagger
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.batch import BatchOptions, Event, FileDone, Finished, Found, Status, one_song, tag_library
from mertag.errors import DeviceError, TagWriteError, UnsupportedFormatError
from mertag.files import BeforeReplace
from mertag.library import find as library
from mertag.library import sidecar, tags
from mertag.outcomes import Outcome


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
