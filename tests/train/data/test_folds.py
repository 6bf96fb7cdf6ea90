"""Folds and splits: nobody on both sides, every class in its share, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mertag.emotion import Quadrant, Target
from mertag.errors import DatasetError
from mertag_train.data.datasets import Song, read
from mertag_train.data.datasets.base import class_counts, targets_of_quadrant
from mertag_train.data.folds import (
    Folds,
    assign_groups,
    bound_groups,
    folds,
    load_folds,
    official_split,
    save_folds,
    split,
    wanted_counts,
)


def song(name: str, quadrant: int, *, group: str | None = None, artist: str | None = None) -> Song:
    targets = targets_of_quadrant(list(Quadrant)[quadrant])
    return Song(id=name, path=None, group=group or name, artist=artist, targets=targets)


def many(*counts: int) -> list[Song]:
    return [song(f"{q}-{i}", q) for q, n in enumerate(counts) for i in range(n)]


libraries = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 40), st.one_of(st.none(), st.integers(0, 25))),
    min_size=40,
    max_size=120,
).map(
    lambda rows: [
        song(f"s{i}", q, group=f"g{g}", artist=None if a is None else f"a{a}") for i, (q, g, a) in enumerate(rows)
    ]
)


@settings(max_examples=60, deadline=None)
@given(songs=libraries, seed=st.integers(0, 5), group=st.sampled_from(["recording", "artist"]))
def test_no_group_is_ever_on_both_sides(songs: list[Song], seed: int, group: str) -> None:
    for make in (
        lambda: folds(songs, Target.VALENCE, n=3, group=group, seed=seed),  # type: ignore[arg-type]
        lambda: split(songs, Target.VALENCE, group=group, seed=seed),  # type: ignore[arg-type]
    ):
        try:
            found = make()
        except DatasetError:
            continue  # the groups allow no such folds, and that is said
        assert set(found.fold_of) == {s.id for s in songs}
        for name, outside, inside in found.pairs():
            assert sorted([*outside, *inside]) == sorted(found.fold_of)
            there = [s for s in songs if s.id in inside]
            elsewhere = [s for s in songs if s.id in outside]
            assert not {s.group for s in there} & {s.group for s in elsewhere}, name
            if group == "artist":
                shared = {s.artist for s in there} & {s.artist for s in elsewhere}
                assert shared <= {None}, name


@settings(max_examples=30, deadline=None)
@given(songs=libraries, seed=st.integers(0, 5), order=st.randoms(use_true_random=False))
def test_the_order_of_the_songs_does_not_matter(songs: list[Song], seed: int, order: object) -> None:
    shuffled = list(songs)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    groups = bound_groups(songs, "artist")
    assert groups == bound_groups(shuffled, "artist")
    assert assign_groups(groups, Target.QUADRANT, [0.5, 0.5], seed=seed) == assign_groups(
        bound_groups(shuffled, "artist"), Target.QUADRANT, [0.5, 0.5], seed=seed
    )


def test_a_chain_of_recordings_and_artists_stays_together() -> None:
    chain = [
        song("a", 0, group="r1", artist="x"),
        song("b", 1, group="r1", artist="y"),  # the recording of a
        song("c", 2, group="r2", artist="y"),  # the artist of b
        song("d", 3, group="r3", artist="z"),
    ]
    assert [[s.id for s in found] for found in bound_groups(chain, "artist")] == [["a", "b", "c"], ["d"]]
    assert [[s.id for s in found] for found in bound_groups(chain, "recording")] == [["a", "b"], ["c"], ["d"]]


def test_songs_without_an_artist_share_none() -> None:
    assert len(bound_groups([song("a", 0), song("b", 0)], "artist")) == 2


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["4q", "pmemo", "eim"])
@pytest.mark.parametrize("target", list(Target))
@pytest.mark.parametrize("group", ["recording", "artist"])
def test_ten_folds_of_the_real_data_sets_hold_every_class_in_its_share(
    real_data: Path, name: str, target: Target, group: str
) -> None:
    dataset = read(name, real_data / name)
    for seed in range(3):
        found = folds(dataset, target, group=group, seed=seed)  # type: ignore[arg-type]
        shares = [n / 10 for n in dataset.counts(target).values()]
        for fold in found.names:
            held = list(class_counts((s for s in dataset.songs if found.fold_of[s.id] == fold), target).values())
            for count, share in zip(held, shares, strict=True):
                assert abs(count - share) <= max(1.0, 0.15 * share)
        assert max(Counter(found.fold_of.values()).values()) <= 1.05 * len(dataset.songs) / 10 + 1


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["4q", "pmemo", "eim"])
def test_a_split_of_the_real_data_sets_holds_every_class_in_its_share(real_data: Path, name: str) -> None:
    dataset = read(name, real_data / name)
    found = split(dataset, Target.QUADRANT, seed=7)
    counts = dataset.counts(Target.QUADRANT).values()
    for part, share in zip(found.names, (0.7, 0.15, 0.15), strict=True):
        held = list(class_counts((s for s in dataset.songs if found.fold_of[s.id] == part), Target.QUADRANT).values())
        for count, n in zip(held, counts, strict=True):
            assert abs(count - share * n) <= 2
    # Artists with several songs stand in every part, not in the largest only.
    artists = Counter(s.artist for s in dataset.songs if s.artist is not None)
    several = {s.id for s in dataset.songs if s.artist is not None and artists[s.artist] >= 3}
    assert all(several & set(found.ids(part)) for part in found.names)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["4q", "pmemo", "eim"])
def test_no_recording_and_no_artist_of_the_real_data_sets_is_on_both_sides(real_data: Path, name: str) -> None:
    songs = {s.id: s for s in read(name, real_data / name).songs}
    for seed in range(3):
        for group in ("recording", "artist"):
            for _, train, test in folds(songs.values(), Target.QUADRANT, group=group, seed=seed).pairs():  # type: ignore[arg-type]
                assert sorted((*train, *test)) == sorted(songs)
                assert not {songs[i].group for i in train} & {songs[i].group for i in test}
                artists = {songs[i].artist for i in train} & {songs[i].artist for i in test} - {None}
                assert not artists or group == "recording"
                # By recording only, artists are on both sides: the test can tell.
                assert artists or group == "artist"


@pytest.mark.realdata
def test_the_repeated_recordings_of_pmemo_never_stand_in_two_folds(real_data: Path) -> None:
    dataset = read("pmemo", real_data / "pmemo")
    for seed in range(5):
        found = folds(dataset, Target.AROUSAL, seed=seed)
        for bound in bound_groups(dataset.songs, "recording"):
            assert len({found.fold_of[s.id] for s in bound}) == 1


@pytest.mark.realdata
def test_the_official_split_is_the_authors(real_data: Path) -> None:
    found = official_split(read("eim", real_data / "eim"))
    assert found.names == ("development", "evaluation")
    assert [len(found.ids(name)) for name in found.names] == [619, 125]


@pytest.mark.realdata
def test_the_official_split_has_artists_on_both_sides_which_is_said(real_data: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"the official split puts .* \(same artist\), into development and evaluation"
    ):
        official_split(read("eim", real_data / "eim"), group="artist")


def test_songs_in_no_official_split_are_named() -> None:
    with pytest.raises(DatasetError, match="'0-0' is in no official split"):
        official_split(many(2, 2))


def test_equal_seeds_give_equal_folds_and_others_do_not() -> None:
    songs = many(20, 20, 20, 20)
    assert folds(songs, Target.QUADRANT, seed=1) == folds(songs, Target.QUADRANT, seed=1)
    assert folds(songs, Target.QUADRANT, seed=1) != folds(songs, Target.QUADRANT, seed=2)
    assert split(songs, Target.QUADRANT, seed=1) != split(songs, Target.QUADRANT, seed=2)


def test_folds_stay_what_they_were() -> None:
    found = folds(many(3, 3), Target.VALENCE, n=3, seed=0)
    # Whoever compares figures with earlier ones relies on it.
    assert [found.ids(name) for name in found.names] == [("0-1", "1-1"), ("0-2", "1-2"), ("0-0", "1-0")]


def test_four_songs_of_a_class_reach_all_three_parts() -> None:
    found = split(many(4, 4, 4, 4), Target.QUADRANT)
    assert [len(found.ids(name)) for name in found.names] == [8, 4, 4]
    assert wanted_counts(4, (0.7, 0.15, 0.15)) == pytest.approx([2, 1, 1])
    assert wanted_counts(2, (0.7, 0.15, 0.15)) == pytest.approx([1.4, 0.3, 0.3])
    assert wanted_counts(100, (0.7, 0.15, 0.15)) == pytest.approx([70, 15, 15])
    assert wanted_counts(4, (1.0, 0.0, 0.0)) == [4, 0, 0]


def test_a_part_with_share_0_stays_empty() -> None:
    found = split(many(10, 10), Target.VALENCE, fractions=(0.8, 0.0, 0.2))
    assert [len(found.ids(name)) for name in found.names] == [16, 0, 4]


def test_a_generator_of_songs_will_do() -> None:
    assert len(folds((s for s in many(10, 10)), Target.VALENCE, n=5).fold_of) == 20


def test_a_fold_with_one_class_is_refused_with_a_remedy() -> None:
    with pytest.raises(DatasetError, match=r"part '\d' holds V\+ songs only: nothing can be measured.*fewer parts"):
        folds(many(30, 3), Target.VALENCE, n=5)
    with pytest.raises(DatasetError, match=r"part 'validation' (holds|is empty)"):
        split(many(2, 2), Target.VALENCE)


def test_a_class_that_is_one_artist_cannot_be_trained_without_him() -> None:
    songs = [*many(10), *(song(f"b{i}", 1, artist="only one") for i in range(5))]
    with pytest.raises(DatasetError, match=r"no V- song is left to train on|holds V\+ songs only"):
        folds(songs, Target.VALENCE, n=2, group="artist")
    folds(songs, Target.VALENCE, n=2, group="recording")


def test_a_class_with_one_song_cannot_be_split() -> None:
    with pytest.raises(DatasetError, match=r"cannot be split by valence: class V- has 1 song"):
        folds(many(5, 1), Target.VALENCE, n=2)


def test_what_no_caller_can_mean_is_a_value_error() -> None:
    songs = many(5, 5)
    with pytest.raises(ValueError, match="at least 2 folds"):
        folds(songs, Target.VALENCE, n=1)
    with pytest.raises(ValueError, match="three shares"):
        split(songs, Target.VALENCE, fractions=(0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="group must be"):
        folds(songs, Target.VALENCE, group="album")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="same id"):
        folds([*songs, songs[0]], Target.VALENCE)
    with pytest.raises(KeyError, match="no fold 'x'"):
        folds(songs, Target.VALENCE, n=2).ids("x")


def test_saved_folds_are_loaded_as_they_were(tmp_path: Path) -> None:
    songs = many(30, 30)
    path = tmp_path / "folds.csv"
    for found in (folds(songs, Target.VALENCE, n=12), split(songs, Target.VALENCE, fractions=(0.8, 0, 0.2))):
        save_folds(found, path)
        assert load_folds(path, songs) == found
    assert path.read_text().startswith("song_id,fold\n0-0,")
    assert [p.name for p in tmp_path.iterdir()] == ["folds.csv"]


def test_ids_with_commas_and_quotes_survive_the_file(tmp_path: Path) -> None:
    songs = [song('a, "b".mp3', 0), song("ü.mp3", 1)]
    found = Folds(fold_of={songs[0].id: "0", songs[1].id: "1"}, names=("0", "1"))
    save_folds(found, tmp_path / "f.csv")
    assert load_folds(tmp_path / "f.csv", songs) == found


def test_folds_that_do_not_fit_the_songs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    songs = [song("a", 0, group="r"), song("b", 1, group="r"), song("c", 1)]
    path.write_text("song_id,fold\na,0\nb,0\n")
    with pytest.raises(DatasetError, match="no line for song 'c'"):
        load_folds(path, songs)
    path.write_text("song_id,fold\na,0\nb,0\nc,1\nd,1\n")
    with pytest.raises(DatasetError, match=r"f\.csv, line 5: no song 'd' in this data set"):
        load_folds(path, songs)
    path.write_text("song_id,fold\nc,1\na,0\nb,1\n")
    with pytest.raises(DatasetError, match=r"f\.csv, line 3: a, b belong together \(same recording\), but stand in"):
        load_folds(path, songs)
    assert load_folds(path, songs, group=None).ids("1") == ("b", "c")


@pytest.mark.realdata
def test_folds_of_all_songs_serve_those_with_audio(real_data: Path, tmp_path: Path) -> None:
    dataset = read("pmemo", real_data / "pmemo")
    save_folds(folds(dataset, Target.VALENCE), tmp_path / "f.csv")
    heard = dataset.with_audio()
    assert set(load_folds(tmp_path / "f.csv", heard).fold_of) == {s.id for s in heard.songs}
