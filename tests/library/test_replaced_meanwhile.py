"""Songs that become other ones, or go, between the look at them and the write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from distinct_songs import song
from fake_tagger import FakeTagger

from mertag.batch import BatchOptions, FileDone, tag_library
from mertag.cli.shared import OnlyRemembered
from mertag.library.state.analyses import open_state
from mertag.library.tags import read_tags
from mertag.outcomes import Outcome


class Replacing(FakeTagger):
    """Puts another song in the place of each, once it was heard."""

    def tag_many(self, paths: Iterable[Path]) -> Iterator[Outcome]:
        for outcome in super().tag_many(paths):
            other = song(outcome.path.with_name("other.flac"))
            other.replace(outcome.path)
            yield outcome


def test_a_song_that_another_one_replaced_does_not_get_its_mood(tmp_path: Path) -> None:
    path = song(tmp_path / "music" / "q1_a.flac")
    with open_state(tmp_path / "s", command="x") as state:
        options = BatchOptions(write_tags=True)
        events = list(tag_library([path], tagger=Replacing(), options=options, state=state))
    (done,) = (event for event in events if isinstance(event, FileDone))
    assert done.status == "failed"
    assert not read_tags(path)


@pytest.mark.parametrize("sidecar", [True, False])
def test_a_song_that_goes_meanwhile_does_not_stop_a_run_that_analyses_nothing(tmp_path: Path, sidecar: bool) -> None:
    path = song(tmp_path / "music" / "q1_a.flac")
    with open_state(tmp_path / "s", command="x") as state:
        tagger, options = OnlyRemembered(FakeTagger().model_key), BatchOptions(sidecar=sidecar, retag=True)
        events = tag_library([path], tagger=tagger, options=options, state=state)
        next(events)
        path.unlink()
        (done,) = (event for event in events if isinstance(event, FileDone))
    assert done.status == "failed"
