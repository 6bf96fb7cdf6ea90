"""Several runs with one memory: each song is analysed by one, and claims of the dead are void."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import soundfile
from fake_tagger import FakeTagger
from remembering import TAGS, Library, counts

from mertag.batch import BatchOptions, Finished, Summary, tag_library
from mertag.library import tags
from mertag.library.state.analyses import open_state
from mertag.library.state.runs import Run
from mertag.outcomes import Outcome


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


def test_a_dead_runs_claim_of_a_song_is_void(library: Library) -> None:
    (path,) = library.add("q1_a.flac")
    with open_state(library.state, command="") as state:
        dead = Run(state.run.database, kind="tag", command="")
        assert dead.claim(os.fsencode(path))
        os.close(dead._descriptor)  # as its end would
    assert library.run().tagged == 1
    assert library.notes == []
    assert soundfile.info(path).frames == 800
