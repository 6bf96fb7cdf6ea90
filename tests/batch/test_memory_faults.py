"""A memory, a journal or a write that fails: nothing that was heard is lost, and nothing is written unnoted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fake_tagger import FakeTagger
from remembering import BOTH, TAGS, Library, NotedBy, counts

from mertag.batch import BatchOptions, Finished, Note
from mertag.errors import StateError, TagWriteError
from mertag.library import tags
from mertag.library.state.analyses import open_state
from mertag.outcomes import Outcome


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
