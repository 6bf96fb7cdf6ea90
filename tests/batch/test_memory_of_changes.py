"""What a run with a memory does about files that changed, moved or were copied, and about another model."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from distinct_songs import song
from fake_tagger import FakeTagger, emotion
from remembering import BOTH, OTHER_MODEL, Library, counts

from mertag.batch import BatchOptions, FileDone, Note
from mertag.emotion import Quadrant
from mertag.library import sidecar, tags
from mertag.library.tags import TagOptions
from mertag.outcomes import Outcome


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
