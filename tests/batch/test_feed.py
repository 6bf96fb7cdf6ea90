"""The feed: every song once, in order, those that need no analysis apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mertag.batch import feed as feed_module
from mertag.batch.events import FileDone, Status
from mertag.batch.feed import Feed, Later, Prepared, Song

SKIPPED, ANALYSE, LATER = "skipped", "analyse", "later"


def prepared(kinds: list[str], index: int) -> Prepared:
    path = Path(f"/{index}")
    if kinds[index] == ANALYSE:
        return Song(index=index, path=path)
    if kinds[index] == LATER:
        return Later(index=index)
    return FileDone(index=index, path=path, status=Status.SKIPPED, reason="x")


@given(
    kinds=st.lists(st.sampled_from([SKIPPED, ANALYSE, LATER]), max_size=40),
    most=st.integers(1, 5),
    threads=st.sampled_from([0, 3]),
)
def test_every_song_comes_once_and_in_order(kinds: list[str], most: int, threads: int) -> None:
    analysed: list[int] = []
    others: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed_module, "MOST_WAITING", most)
        feed = Feed(range(len(kinds)), lambda index: prepared(kinds, index), threads=threads)
        while True:
            others.extend(item.index for item in feed.ready())  # type: ignore[union-attr]
            if feed.exhausted:
                break
            sent = list(feed.round())
            assert sent  # a round without a song would go on for ever
            assert len(feed.waiting) <= most
            songs = [feed._under_way[number] for number in range(len(sent))]
            assert [song.path for song in songs] == sent
            analysed.extend(song.index for song in songs)
            assert [song.index for song in feed.forgotten()] == [song.index for song in songs]
        feed.close()
    assert analysed == [i for i, kind in enumerate(kinds) if kind == ANALYSE]
    assert others == [i for i, kind in enumerate(kinds) if kind != ANALYSE]


def test_songs_are_looked_at_a_few_ahead_and_no_further() -> None:
    looked: list[int] = []

    def look(index: int) -> Prepared:
        looked.append(index)
        return Song(index=index, path=Path(f"/{index}"))

    feed = Feed(range(1000), look, threads=2)
    assert not list(feed.ready())
    next(feed.round())
    feed.close()
    assert len(looked) <= 8
