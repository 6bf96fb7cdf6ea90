"""A run with a memory: nothing is analysed twice, nothing is opened without need, nothing that is heard is lost."""

from __future__ import annotations

import builtins
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import pytest
import soundfile
from distinct_songs import song
from fake_tagger import FakeTagger, emotion

from mertag.batch import BatchOptions, Event, FileDone, Finished, Note, Status, Summary, tag_library, threads
from mertag.emotion import Quadrant
from mertag.errors import ConfigError, StateError, TagWriteError
from mertag.library import sidecar, tags
from mertag.library.state.analyses import open_state
from mertag.library.state.runs import Run
from mertag.library.tags import TagOptions
from mertag.outcomes import Outcome

TAGS = BatchOptions(write_tags=True)
BOTH = BatchOptions(write_tags=True, sidecar=True)
OTHER_MODEL = "other@2+11111111"


class Library:
    """A folder of music with a state file beside it, over which runs are made."""

    def __init__(self, folder: Path) -> None:
        self.music, self.state = folder / "music", folder / "state" / "s"
        self.music.mkdir()
        self.analysed: list[str] = []
        self.events: list[Event] = []

    def add(self, *names: str) -> list[Path]:
        return [song(self.music / name) for name in names]

    def run(self, options: BatchOptions = TAGS, *, tagger: FakeTagger | None = None, **more: object) -> Summary:
        tagger = tagger or FakeTagger()
        self.events = []
        try:
            with open_state(self.state, command="test") as state:
                for event in tag_library([self.music], tagger=tagger, options=options, state=state, **more):  # type: ignore[arg-type]
                    self.events.append(event)
        finally:
            self.analysed = sorted(path.name for path in tagger.analysed)
        (found,) = [e.summary for e in self.events if isinstance(e, Finished)]
        assert found.found == found.tagged + found.unchanged + found.skipped + found.failed
        return found

    @property
    def results(self) -> dict[str, FileDone]:
        return {e.path.name: e for e in self.events if isinstance(e, FileDone)}

    @property
    def notes(self) -> list[str]:
        return [e.text for e in self.events if isinstance(e, Note)]


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def counts(s: Summary) -> tuple[int, int, int, int]:
    return s.tagged, s.unchanged, s.skipped, s.failed


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of all music files and sidecars that are opened from now on."""
    names: list[str] = []
    real_open, real_io, real_os = builtins.open, io.open, os.open

    def noting(real: Callable[..., object]) -> Callable[..., object]:
        def call(path: object, *rest: object, **more: object) -> object:
            if not isinstance(path, int):
                name = Path(os.fsdecode(path)).name  # type: ignore[call-overload]
                if name.endswith((".flac", ".wav", ".mp3", ".json")):
                    names.append(name)
            return real(path, *rest, **more)

        return call

    monkeypatch.setattr(builtins, "open", noting(real_open))
    monkeypatch.setattr(io, "open", noting(real_io))
    monkeypatch.setattr(os, "open", noting(real_os))
    return names


@pytest.mark.parametrize("options", [TAGS, BatchOptions(sidecar=True), BOTH])
def test_a_second_run_analyses_nothing_opens_nothing_and_has_the_same_emotions(
    library: Library, opened: list[str], options: BatchOptions
) -> None:
    library.add("q1_a.flac", "q2_b.wav", "short_c.flac")
    assert counts(library.run(options)) == (2, 0, 1, 0)
    first = {name: (r.emotion, r.remembered) for name, r in library.results.items()}
    assert not any(remembered for _, remembered in first.values())
    assert opened
    opened.clear()
    assert counts(library.run(options)) == (0, 2, 1, 0)
    assert (library.analysed, opened) == ([], [])
    assert {name: r.emotion for name, r in library.results.items()} == {n: e for n, (e, _) in first.items()}
    assert all(r.remembered for r in library.results.values())
    assert library.results["short_c.flac"].reason == "too short: 1.0 s"


def test_a_run_without_outputs_has_all_results_from_memory(library: Library, opened: list[str]) -> None:
    library.add("q1_a.flac", "q2_b.wav")
    library.run(BatchOptions())
    opened.clear()
    assert counts(library.run(BatchOptions())) == (2, 0, 0, 0)
    assert (library.analysed, opened) == ([], [])
    assert library.results["q2_b.wav"].emotion == emotion(Quadrant.Q2)


def test_what_was_only_shown_is_written_without_another_analysis(library: Library) -> None:
    (path,) = library.add("q2_a.flac")
    library.run(BatchOptions())
    library.run(BatchOptions(write_tags=True, dry_run=True))
    assert library.analysed == []
    assert "MOOD" not in tags.read_tags(path)
    assert library.run().tagged == 1
    assert library.analysed == []
    assert tags.read_tags(path)["MOOD"] == ("Angry",)


def test_a_dry_run_remembers_what_it_heard(library: Library) -> None:
    library.add("q2_a.flac")
    s = library.run(BatchOptions(write_tags=True, dry_run=True))
    assert (s.tagged, s.run, library.analysed) == (1, None, ["q2_a.flac"])
    assert library.run().tagged == 1
    assert library.analysed == []


def test_failures_are_tried_again(library: Library) -> None:
    library.add("bad_a.flac")
    for _ in range(2):
        assert library.run().failed == 1
        assert library.analysed == ["bad_a.flac"]


def test_a_moved_and_renamed_file_is_recognised_by_its_audio(library: Library) -> None:
    (path,) = library.add("q2_a.flac")
    library.run()
    (library.music / "elsewhere").mkdir()
    path.rename(library.music / "elsewhere" / "q1_renamed.flac")
    assert counts(library.run()) == (0, 1, 0, 0)
    assert library.analysed == []
    assert library.results["q1_renamed.flac"].emotion == emotion(Quadrant.Q2)


def test_a_copy_is_analysed_once_and_both_are_tagged(library: Library) -> None:
    for name in ("q2_a.flac", "q2_b.flac", "q2_c.flac"):
        song(library.music / name, like="the same")
    assert counts(library.run()) == (3, 0, 0, 0)
    assert len(library.analysed) == 1
    assert all(tags.read_tags(path)["MOOD"] == ("Angry",) for path in library.music.iterdir())


def test_copies_of_a_damaged_song_fail_each(library: Library) -> None:
    for name in ("bad_a.flac", "bad_b.flac"):
        song(library.music / name, like="the same")
    assert counts(library.run()) == (0, 0, 0, 2)


def test_a_file_whose_tags_someone_changed_is_tagged_again_without_an_analysis(library: Library) -> None:
    (path,) = library.add("q2_a.flac")
    library.run()
    tags.remove_tags(path)
    assert library.run().tagged == 1
    assert library.analysed == []
    assert tags.read_tags(path)["MOOD"] == ("Angry",)


def test_a_file_with_other_audio_under_the_same_name_is_analysed(library: Library) -> None:
    (path,) = library.add("q2_a.flac")
    library.run()
    song(path, like="new audio")
    assert library.run().tagged == 1
    assert library.analysed == ["q2_a.flac"]


def test_a_sidecar_that_is_gone_or_changed_is_written_again(library: Library) -> None:
    (path,) = library.add("q2_a.flac")
    options = BatchOptions(sidecar=True)
    library.run(options)
    beside = sidecar.sidecar_path(path)
    content = beside.read_bytes()
    beside.unlink()
    assert library.run(options).tagged == 1
    assert library.analysed == []
    assert beside.read_bytes() == content
    beside.write_bytes(content.replace(b"Angry", b"Happy"))
    assert library.run(options).tagged == 1
    assert beside.read_bytes() == content


@pytest.mark.parametrize(
    ("tag", "mood"),
    [(TagOptions(min_confidence=0.9), None), (TagOptions(moods=2), ("Angry", "Happy"))],
)
def test_new_options_write_new_tags_without_an_analysis(
    monkeypatch: pytest.MonkeyPatch, library: Library, tag: TagOptions, mood: tuple[str, ...] | None
) -> None:
    monkeypatch.setattr("mertag.library.tags.fields.SECOND_FROM", 0.1)  # the tagger of the tests is sure of its mood
    (path,) = library.add("q2_a.flac")
    library.run()
    options = BatchOptions(write_tags=True, tag=tag)
    assert library.run(options).tagged == 1
    assert library.analysed == []
    assert tags.read_tags(path).get("MOOD") == mood
    assert library.run(options).unchanged == 1


def test_a_file_without_a_tag_format_is_not_opened_again(library: Library, opened: list[str]) -> None:
    (library.music / "q1_a.mp3").write_text("no tag format")
    assert counts(library.run()) == (0, 0, 1, 0)
    opened.clear()
    assert counts(library.run()) == (0, 0, 1, 0)
    assert opened == []
    assert "no tag format" in library.results["q1_a.mp3"].reason
    assert library.run(BatchOptions(sidecar=True)).tagged == 1  # but a sidecar it can have
    assert library.analysed == ["q1_a.mp3"]
    assert library.run(BatchOptions(sidecar=True)).unchanged == 1
    assert library.analysed == []


def test_another_model_says_beforehand_what_it_analyses_again_and_why(library: Library) -> None:
    library.add("q1_a.flac", "q2_b.flac")
    library.run()
    library.add("q3_new.flac")
    assert library.run(tagger=FakeTagger(model=OTHER_MODEL)).tagged == 3
    said = [e for e in library.events if not isinstance(e, FileDone)][1]
    assert isinstance(said, Note)
    assert said.text == (
        "2 songs were analysed with the model fake@1+00000000, and this run uses other@2+11111111: "
        "they are analysed again"
    )
    assert len(library.analysed) == 3
    assert library.run(tagger=FakeTagger(model=OTHER_MODEL)).unchanged == 3
    assert library.notes == []
    assert library.run().tagged == 3  # the first model's results are still there
    assert library.analysed == ["q3_new.flac"]


def test_retag_writes_what_is_remembered_and_skips_the_rest_with_the_reason(library: Library) -> None:
    library.add("q1_a.flac", "q2_b.flac", "short_c.flac")
    library.run(BatchOptions())
    library.add("q3_new.flac")
    options = BatchOptions(write_tags=True, retag=True)
    assert counts(library.run(options)) == (2, 0, 2, 0)
    assert library.analysed == []
    assert library.results["q3_new.flac"].reason == (
        "never analysed with the model fake@1+00000000; run without --retag to analyse it"
    )
    assert counts(library.run(options, tagger=FakeTagger(model=OTHER_MODEL))) == (0, 0, 4, 0)
    assert "--retag analyses nothing" in library.notes[0]
    assert "remembered only with the model fake@1" in library.results["q1_a.flac"].reason


def test_retag_without_a_state_and_with_force_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no state"):
        next(tag_library([tmp_path], tagger=FakeTagger(), options=BatchOptions(retag=True)))
    with pytest.raises(ConfigError, match="choose one"):
        BatchOptions(retag=True, force=True)


def test_force_analyses_again_and_opens_every_file(library: Library, opened: list[str]) -> None:
    for name in ("q1_a.flac", "q1_b.flac"):
        song(library.music / name, like="the same")
    library.run()
    opened.clear()
    assert library.run(BatchOptions(write_tags=True, force=True)).unchanged == 2
    assert len(library.analysed) == 1  # once is enough for two copies
    assert {"q1_a.flac", "q1_b.flac"} <= set(opened)


def test_a_file_that_changes_during_its_analysis_leaves_no_wrong_memory(library: Library) -> None:
    (path,) = library.add("q2_a.flac")
    before = path.read_bytes()

    class ChangesIt(FakeTagger):
        def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
            for outcome in super().tag_many(paths):
                song(outcome.path, like="changed meanwhile")
                yield outcome

    library.run(BatchOptions(), tagger=ChangesIt())
    path.write_bytes(before)
    library.run(BatchOptions())
    assert library.analysed == ["q2_a.flac"]


def test_an_analysis_is_kept_before_its_tags_are_written(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.add("q1_a.flac")
    seen: list[object] = []
    real = tags.write_tags

    def looks(*args: object, **more: object) -> object:
        with open_state(library.state, command="another process") as other:
            seen.append(other.run.database.rows("SELECT count(*) FROM analyses")[0][0])
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(tags, "write_tags", looks)
    library.run()
    assert seen == [1]


def test_an_analysis_survives_a_write_that_fails(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.add("q1_a.flac")
    with monkeypatch.context() as patch:

        def refuse(path: Path, *_: object, **__: object) -> None:
            raise TagWriteError(path, "no space left")

        patch.setattr(tags, "write_tags", refuse)
        assert library.run().failed == 1
    assert library.run().tagged == 1
    assert library.analysed == []


class NotedBy:
    """A journal that says what it was told, or refuses."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.told: list[tuple[str, str, bool]] = []
        self.withdrawn: list[str] = []

    def before_replace(self, kind: Literal["tags", "sidecar"]) -> Noted:
        return Noted(self, kind)


class Noted:
    def __init__(self, journal: NotedBy, kind: str) -> None:
        self.journal, self.kind = journal, kind

    def __call__(self, old: Path, new: Path, /) -> None:
        if self.journal.refuses:
            raise TagWriteError(old, "the journal could not be written; the file is untouched")
        assert new.exists()
        self.journal.told.append((self.kind, old.name, old.exists()))

    def withdraw(self) -> None:
        self.journal.withdrawn.append(self.kind)


def test_a_write_that_fails_after_it_was_noted_is_withdrawn(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = library.add("q1_a.flac")
    before = path.read_bytes()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    journal = NotedBy()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", no_space)
        assert library.run(BOTH, journal=journal).failed == 1
    assert len(journal.told) == 2
    assert journal.withdrawn == ["tags", "sidecar"]
    assert path.read_bytes() == before
    assert library.run(BOTH, journal=journal).tagged == 1
    assert library.analysed == []


def test_the_journal_is_told_of_each_replacement_beforehand(library: Library) -> None:
    library.add("q1_a.flac")
    journal = NotedBy()
    assert library.run(BOTH, journal=journal).run == 1
    assert journal.told == [("tags", "q1_a.flac", True), ("sidecar", "q1_a.flac.mertag.json", False)]
    assert library.run(BOTH, journal=journal).run is None
    assert len(journal.told) == 2


def test_what_the_journal_cannot_note_is_not_written(library: Library) -> None:
    (path,) = library.add("q1_a.flac")
    before = path.read_bytes()
    s = library.run(BOTH, journal=NotedBy(refuses=True))
    assert (s.failed, s.run) == (1, None)
    assert "journal could not be written" in library.results["q1_a.flac"].reason
    assert path.read_bytes() == before
    assert list(library.music.iterdir()) == [path]


def test_a_state_that_breaks_in_the_middle_is_said_once_and_the_run_goes_on(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add(*(f"q1_{i}.flac" for i in range(6)))

    class Breaks(FakeTagger):
        def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
            for n, outcome in enumerate(super().tag_many(paths)):
                if n == 2:
                    monkeypatch.setattr("mertag.library.state.database.Database.transaction", broken)
                    monkeypatch.setattr("mertag.library.state.database.Database.rows", broken)
                yield outcome

    def broken(*_: object, **__: object) -> None:
        raise StateError("/state: the state file does not work (disk I/O error)")

    s = library.run(BatchOptions(), tagger=Breaks())
    assert counts(s) == (6, 0, 0, 0)
    warnings = [e for e in library.events if isinstance(e, Note)]
    assert [w.warning for w in warnings] == [True]
    assert "disk I/O error" in warnings[0].text


def test_a_run_that_can_note_no_write_any_more_stops_before_a_night_is_lost(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = library.add(*(f"q1_{i:02}.flac" for i in range(40)))
    before = {path: path.read_bytes() for path in paths}

    class Breaks(FakeTagger):
        def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
            for n, outcome in enumerate(super().tag_many(paths)):
                if n == 2:
                    monkeypatch.setattr("mertag.library.state.database.Database.transaction", broken)
                yield outcome

    def broken(*_: object, **__: object) -> None:
        raise StateError("/state: the state file does not work (database or disk is full)")

    with pytest.raises(StateError, match="is its disk full"):
        library.run(TAGS, tagger=Breaks())
    (summary,) = [e.summary for e in library.events if isinstance(e, Finished)]
    assert summary.failed >= 10
    assert summary.not_reached > 0
    untouched = [path for path, data in before.items() if path.read_bytes() == data]
    assert len(untouched) == 40 - summary.tagged
    monkeypatch.undo()
    s = library.run(TAGS)
    assert s.tagged + s.unchanged == 40


def test_a_song_from_the_far_future_is_tagged_like_any_other(library: Library) -> None:
    (path,) = library.add("q1_a.flac")
    try:
        os.utime(path, ns=(0, 2**63 + 10**9))
    except OSError:
        pytest.skip("no such time on this disk")
    if path.stat().st_mtime_ns < 2**63:
        pytest.skip("no such time on this disk")
    assert library.run(TAGS).tagged == 1
    assert library.run(TAGS).unchanged == 1


def test_results_in_the_state_that_cannot_be_are_analysed_again(library: Library) -> None:
    library.add("q1_a.flac", "q2_b.flac")
    library.run()
    with open_state(library.state, command="") as state, state.run.database.transaction() as connection:
        connection.execute('UPDATE analyses SET result = \'{"quadrant": "Q9"}\'')
    assert library.run().unchanged == 2
    assert library.analysed == ["q1_a.flac", "q2_b.flac"]


def test_songs_that_another_run_has_are_waited_for_and_its_results_taken(library: Library) -> None:
    mine, theirs = library.add("q1_mine.flac", "q2_theirs.flac")
    with open_state(library.state, command="another run") as other:
        assert other.claim(os.fsencode(theirs))
        finished = threading.Timer(1.0, lambda: (other.run.finish(), None))

        class Starts(FakeTagger):
            def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
                yield from super().tag_many(paths)
                if not finished.is_alive() and not finished.finished.is_set():
                    finished.start()

        s = library.run(tagger=Starts())
    assert counts(s) == (2, 0, 0, 0)
    assert library.notes == ["1 song is under way in another run of mertag; waiting for its results"]
    assert mine.exists()


@pytest.mark.parametrize("options", [TAGS, BatchOptions(write_tags=True, force=True)])
def test_of_two_runs_at_once_each_song_is_analysed_by_one_and_counts_add_up(
    library: Library, options: BatchOptions
) -> None:
    names = [path.name for path in library.add(*(f"q1_{i:02}.flac" for i in range(30)))]
    taggers = [FakeTagger(delay_s=0.01), FakeTagger(delay_s=0.005)]
    summaries: list[Summary] = []

    def run(tagger: FakeTagger) -> None:
        with open_state(library.state, command="one of two") as state:
            *_, last = tag_library([library.music], tagger=tagger, options=options, state=state)
        assert isinstance(last, Finished)
        summaries.append(last.summary)

    threads = [threading.Thread(target=run, args=(tagger,)) for tagger in taggers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for tagger in taggers for path in tagger.analysed) == names
    assert all(tagger.analysed for tagger in taggers)
    assert [s.tagged + s.unchanged for s in summaries] == [30, 30]
    assert sum(s.tagged for s in summaries) == 30
    assert all("MOOD" in tags.read_tags(library.music / name) for name in names)


def test_claims_of_an_interrupted_run_do_not_block_the_next_with_the_same_state(library: Library) -> None:
    library.add(*(f"q1_{i}.flac" for i in range(4)))

    class Interrupted(FakeTagger):
        def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
            yield next(iter(super().tag_many(paths)))
            raise KeyboardInterrupt

    with open_state(library.state, command="a program") as state:
        events = tag_library([library.music], tagger=Interrupted(), options=TAGS, state=state)
        with pytest.raises(KeyboardInterrupt):
            for _ in events:
                pass
        *_, last = tag_library([library.music], tagger=FakeTagger(), options=TAGS, state=state)
    assert isinstance(last, Finished)
    assert (last.summary.tagged + last.summary.unchanged, last.summary.failed) == (4, 0)


def test_a_long_row_of_songs_that_need_no_analysis_does_not_pile_up(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "MOST_WAITING", 3)
    library.add(*(f"q1_{i:02}.flac" for i in range(20)))
    library.run(BatchOptions())
    library.add("q1_00a.flac", "q1_07a.flac", "q1_19a.flac")
    most = 0
    rounds = 0

    class Watches(FakeTagger):
        def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
            nonlocal rounds
            rounds += 1
            yield from super().tag_many(paths)

    real = threads.Lookahead.round

    def watched(self: threads.Lookahead) -> Iterator[Path]:
        nonlocal most
        for path in real(self):
            most = max(most, len(self.waiting))
            yield path
        most = max(most, len(self.waiting))

    monkeypatch.setattr(threads.Lookahead, "round", watched)
    tagger = Watches()
    assert library.run(TAGS, tagger=tagger).tagged == 23
    assert len(tagger.analysed) == 3
    assert most <= 3
    assert rounds == 3


def test_two_names_of_one_file_are_both_written_where_that_is_allowed(library: Library) -> None:
    (path,) = library.add("q2_a.flac")
    (library.music / "q2_b.flac").hardlink_to(path)
    options = BatchOptions(write_tags=True, tag=TagOptions(break_hard_links=True))
    assert counts(library.run(options)) == (2, 0, 0, 0)
    assert all(tags.read_tags(p)["MOOD"] == ("Angry",) for p in library.music.iterdir())


def test_songs_that_are_links_are_remembered_by_what_they_point_to(library: Library, tmp_path: Path) -> None:
    real = song(tmp_path / "store" / "q2_real.flac")
    (library.music / "q2_link.flac").symlink_to(real)
    assert library.run(BOTH).tagged == 1
    assert library.run(BOTH).unchanged == 1
    assert library.analysed == []
    assert sidecar.sidecar_path(library.music / "q2_link.flac").exists()


def test_a_library_that_was_moved_as_a_whole_needs_no_analysis(library: Library, tmp_path: Path) -> None:
    library.add("q1_a.flac", "q2_b.flac")
    library.run()
    shutil.copytree(library.music, tmp_path / "new place")
    library.music = tmp_path / "new place"
    assert library.run().unchanged == 2
    assert library.analysed == []


def test_every_run_has_a_row_and_the_summary_its_number_if_something_was_written(library: Library) -> None:
    library.add("q1_a.flac")
    assert [library.run().run, library.run().run, library.run(BOTH).run] == [1, None, 3]
    with open_state(library.state, command="") as state:
        rows = state.run.database.rows("SELECT id, kind, finished_s IS NULL FROM runs")
    assert rows == [(1, "tag", 0), (2, "tag", 0), (3, "tag", 0), (4, "tag", 1)]


def test_a_dead_runs_claim_of_a_song_is_void(library: Library) -> None:
    (path,) = library.add("q1_a.flac")
    with open_state(library.state, command="") as state:
        dead = Run(state.run.database, kind="tag", command="")
        assert dead.claim(os.fsencode(path))
        os.close(dead._descriptor)  # as its end would
    assert library.run().tagged == 1
    assert library.notes == []
    assert soundfile.info(path).frames == 800


def test_statuses_are_the_same_with_and_without_a_memory(library: Library) -> None:
    library.add("q1_a.flac", "bad_b.flac", "short_c.flac", "q4_d.wav")
    (library.music / "text.mp3").write_text("no audio")
    (library.music / "empty.mp3").touch()
    without = list(tag_library([library.music], tagger=FakeTagger(), options=BatchOptions(dry_run=True)))
    library.run(BatchOptions(dry_run=True))
    plain = {e.path.name: e.status for e in without if isinstance(e, FileDone)}
    assert {name: r.status for name, r in library.results.items()} == plain
    assert plain["bad_b.flac"] is Status.FAILED
