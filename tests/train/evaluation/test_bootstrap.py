"""The difference between two methods, with an interval that knows whose the songs are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_evaluation import toy_dataset, toy_songs

from mertag.emotion import Target
from mertag_train.data.folds import bound_groups
from mertag_train.evaluation.bootstrap import paired_bootstrap
from mertag_train.evaluation.protocol import prepare, read_artists
from mertag_train.evaluation.summary import compare, summarise


def test_where_each_song_has_its_own_artist_it_is_the_usual_interval() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(400) < 0.8, rng.random(400) < 0.7
    found = paired_bootstrap(first, second, range(400))
    difference = first.astype(float) - second
    error = difference.std() / np.sqrt(400)
    assert found.value == pytest.approx(difference.mean())
    assert found.interval == pytest.approx((found.value - 1.96 * error, found.value + 1.96 * error), abs=0.01)


def test_songs_of_one_artist_widen_the_interval_as_they_should() -> None:
    rng = np.random.default_rng(0)
    artists = np.repeat(np.arange(40), 10)
    better = np.repeat(rng.random(40) < 0.6, 10)  # whole artists are won or lost
    second = ~better
    alone, together = (paired_bootstrap(better, second, owners) for owners in (range(400), artists))
    width = [high - low for low, high in (alone.interval, together.interval)]
    assert width[1] / width[0] == pytest.approx(np.sqrt(10), rel=0.1)
    assert together.n_artists == 40
    assert paired_bootstrap(better, second, artists) == together  # nothing is left to chance


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        paired_bootstrap(np.ones(3, bool), np.ones(3, bool), [1, 2])


def test_whose_the_songs_are_is_kept_with_the_folds_and_no_name_with_it(tmp_path: Path) -> None:
    folder, *_, songs = prepare(tmp_path, toy_dataset(), targets=(Target.QUADRANT,), group="recording", n_folds=3)
    artists = read_artists(folder)
    assert artists is not None
    assert artists.keys() == {song.id for song in songs}
    assert len(set(artists.values())) == len(bound_groups(toy_songs(), "artist")) == 16
    assert "artist 0" not in (folder / "artists.csv").read_text()
    (folder / "artists.csv").unlink()
    assert read_artists(folder) is None
    assert compare(summarise([], ("0",)), None) == []
