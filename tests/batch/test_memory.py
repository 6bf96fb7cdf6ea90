"""A run with a memory: nothing is analysed twice, nothing is opened without need, nothing that is heard is lost."""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from distinct_songs import song
from fake_tagger import FakeTagger, emotion
from remembering import BOTH, OTHER_MODEL, TAGS, Library, counts

from mertag.batch import BatchOptions, FileDone, Status, tag_library, threads
from mertag.emotion import Quadrant
from mertag.errors import ConfigError
from mertag.library import tags
from mertag.library.state.analyses import open_state
from mertag.outcomes import Outcome


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


def test_every_run_has_a_row_and_the_summary_its_number_if_something_was_written(library: Library) -> None:
    library.add("q1_a.flac")
    assert [library.run().run, library.run().run, library.run(BOTH).run] == [1, None, 3]
    with open_state(library.state, command="") as state:
        rows = state.run.database.rows("SELECT id, kind, finished_s IS NULL FROM runs")
    assert rows == [(1, "tag", 0), (2, "tag", 0), (3, "tag", 0), (4, "tag", 1)]


def test_statuses_are_the_same_with_and_without_a_memory(library: Library) -> None:
    library.add("q1_a.flac", "bad_b.flac", "short_c.flac", "q4_d.wav")
    (library.music / "text.mp3").write_text("no audio")
    (library.music / "empty.mp3").touch()
    without = list(tag_library([library.music], tagger=FakeTagger(), options=BatchOptions(dry_run=True)))
    library.run(BatchOptions(dry_run=True))
    plain = {e.path.name: e.status for e in without if isinstance(e, FileDone)}
    assert {name: r.status for name, r in library.results.items()} == plain
    assert plain["bad_b.flac"] is Status.FAILED
