"""Own labels, joined moods and a choice of fields: what is written, and whose mood a mood still is."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_songs import emotion

from mertag.emotion import QUADRANTS, SongEmotion
from mertag.errors import ConfigError
from mertag.library.tags import TagOptions, fields_of, read_labels, read_tags, remove_tags, write_tags
from mertag.library.tags.fields import mood_is_ours, planned, without_ours
from mertag.library.tags.options import CHOOSABLE, DEFAULT_LABELS, LONGEST_LABEL, NOT_OURS, SPLIT_BY_PLAYERS

MakeEmotion = Callable[..., SongEmotion]
GERMAN = ("Fröhlich", "Wütend", "Traurig", "Gelassen")
ROTATED = (*DEFAULT_LABELS[1:], DEFAULT_LABELS[0])


# What is written


def test_own_labels_are_written_and_marked_as_ours(happy: SongEmotion) -> None:
    fields = planned(happy, TagOptions(labels=GERMAN, moods=2), {})
    assert fields["MOOD"] == ("Fröhlich", "Wütend") == fields["MERTAG_MOOD"]
    assert fields["MERTAG_QUADRANT"] == ("Q1",)


def test_joined_moods_are_one_value(happy: SongEmotion) -> None:
    assert planned(happy, TagOptions(moods=2, join="; "), {})["MOOD"] == ("Happy; Angry",)
    assert planned(happy, TagOptions(moods=1, join="; "), {}) == planned(happy, TagOptions(), {})


def test_a_label_that_two_quadrants_share_is_written_once(happy: SongEmotion) -> None:
    shared = TagOptions(labels=("Lively", "Lively", "Calm", "Calm"), moods=2)
    assert planned(happy, shared, {})["MOOD"] == ("Lively",)
    assert planned(happy, replace(shared, join=" + "), {})["MOOD"] == ("Lively",)


def test_only_the_chosen_fields_are_written_and_the_others_of_a_former_run_go(
    happy: SongEmotion, sad: SongEmotion
) -> None:
    before = planned(happy, TagOptions(), {})
    chosen = TagOptions(fields=fields_of(["quadrant,model", "MOOD"]))
    assert planned(sad, chosen, before) == {
        "MOOD": ("Sad",),
        "MERTAG_QUADRANT": ("Q3",),
        "MERTAG_MODEL": ("other@2.0.0+fedc9876",),
    }
    assert planned(sad, TagOptions(fields=fields_of(["mood"])), before) == {"MOOD": ("Sad",), "MERTAG_MOOD": ("Sad",)}


def test_without_the_mood_among_the_fields_ours_goes_and_someone_elses_stays(
    happy: SongEmotion, sad: SongEmotion
) -> None:
    figures = TagOptions(fields=fields_of(["valence", "arousal"]), overwrite=True)
    assert set(planned(sad, figures, planned(happy, TagOptions(labels=GERMAN), {}))) == {
        "MERTAG_VALENCE",
        "MERTAG_AROUSAL",
    }
    assert planned(sad, figures, {"MOOD": ("Dreamy",)})["MOOD"] == ("Dreamy",)


# Whose mood it is

label = st.text(min_size=1, max_size=12).filter(
    lambda text: text.isprintable() and text == text.strip() and not set(text) & set(SPLIT_BY_PLAYERS)
)
any_options = st.builds(
    TagOptions,
    labels=st.just(DEFAULT_LABELS) | st.just(GERMAN) | st.just(ROTATED) | st.tuples(label, label, label, label),
    moods=st.sampled_from([1, 2]),
    join=st.sampled_from([None, "; ", "/"]),
    fields=st.sets(st.sampled_from(CHOOSABLE), min_size=1).map(lambda keys: fields_of(keys)),
    overwrite=st.booleans(),
    min_confidence=st.sampled_from([0.0, 0.5, 1.0]),
)
shares = st.lists(st.integers(1, 1000), min_size=4, max_size=4).map(lambda n: tuple(x / sum(n) for x in n))


@given(runs=st.lists(st.tuples(any_options, shares), min_size=1, max_size=4))
def test_a_mood_of_ours_is_known_as_ours_after_any_runs_and_goes_without_a_trace(
    runs: list[tuple[TagOptions, tuple[float, ...]]],
) -> None:
    fields: dict[str, tuple[str, ...]] = {}
    for options, probabilities in runs:
        heard = emotion(*probabilities)
        fields = planned(heard, options, fields)
        assert ("MOOD" in fields) is ("MOOD" in options.fields and heard.confidence >= options.min_confidence)
        assert mood_is_ours(fields) is ("MOOD" in fields)
        assert planned(heard, options, fields) == fields  # a second run has nothing to do
    assert without_ours(fields) == {}


@given(
    runs=st.lists(st.tuples(any_options, shares), min_size=1, max_size=4),
    theirs=st.lists(st.sampled_from([*DEFAULT_LABELS, *GERMAN, "Dreamy"]), min_size=1, max_size=2, unique=True),
)
def test_a_mood_of_its_owners_stays_through_any_runs_even_if_the_model_agrees(
    runs: list[tuple[TagOptions, tuple[float, ...]]], theirs: list[str]
) -> None:
    fields: dict[str, tuple[str, ...]] = {"MOOD": tuple(theirs)}
    for options, probabilities in runs:
        gentle = replace(options, overwrite=False)
        fields = planned(emotion(*probabilities), gentle, fields)
        assert fields["MOOD"] == tuple(theirs)
        assert planned(emotion(*probabilities), gentle, fields) == fields
    assert without_ours(fields) == {"MOOD": tuple(theirs)}


def test_a_mood_that_the_model_agrees_with_is_noted_as_not_ours(happy: SongEmotion, sad: SongEmotion) -> None:
    fields = planned(happy, TagOptions(), {"MOOD": ("Happy",)})
    assert fields["MERTAG_MOOD"] == (NOT_OURS,)
    assert planned(sad, TagOptions(), fields)["MOOD"] == ("Happy",)
    assert "MERTAG_MOOD" not in planned(sad, TagOptions(), fields)  # the quadrant no longer claims it
    assert planned(sad, TagOptions(overwrite=True), fields)["MOOD"] == ("Sad",)


def test_a_mood_that_its_owner_changed_after_a_run_is_its_owners(happy: SongEmotion) -> None:
    fields = planned(happy, TagOptions(labels=GERMAN), {})
    assert not mood_is_ours({**fields, "MOOD": ("Wütend",)})
    assert not mood_is_ours({**fields, "MOOD": ("Happy",)})
    assert mood_is_ours(fields)


def test_every_container_holds_own_labels_and_gives_them_back(
    any_song: Path, happy: SongEmotion, sad: SongEmotion, fast_disk: None
) -> None:
    unusual = TagOptions(labels=("楽しい", "怒り", "Ünglücklich ♥", "ÿþ"), moods=2, join=" / ")

    write_tags(any_song, happy, unusual)
    assert read_tags(any_song)["MOOD"] == ("楽しい / 怒り",) == read_tags(any_song)["MERTAG_MOOD"]
    assert write_tags(any_song, happy, unusual).changed is False

    write_tags(any_song, sad, TagOptions(labels=GERMAN))
    assert read_tags(any_song)["MOOD"] == ("Traurig",)
    write_tags(any_song, sad, TagOptions(fields=fields_of(["mood"])))
    assert read_tags(any_song) == {"MOOD": ("Sad",), "MERTAG_MOOD": ("Sad",)}
    remove_tags(any_song)
    assert read_tags(any_song) == {}


# What is refused


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"join": ""}, "printable"),
        ({"join": "\n"}, "printable"),
        ({"join": "\0"}, "printable"),
        ({"join": " " * 65}, "printable"),
        ({"fields": ()}, "fields"),
        ({"fields": ("MERTAG_MOOD",)}, "fields"),
        ({"fields": ("TITLE",)}, "fields"),
        ({"labels": ("a", "b", "c")}, "one for each"),
        ({"labels": ("a", "b", "c", "")}, "label of Q4 is ''"),
        ({"labels": ("a", " b", "c", "d")}, "label of Q2 is ' b'"),
        ({"labels": ("a/b", "b", "c", "d")}, "split it at '/'"),
        ({"labels": ("a\x1b[2J", "b", "c", "d")}, "printable"),
        ({"labels": ("\ud800", "b", "c", "d")}, "printable"),
        ({"labels": ("\ufeffa", "b", "c", "d")}, "printable"),
        ({"labels": ("a" * (LONGEST_LABEL + 1), "b", "c", "d")}, "up to 64"),
    ],
)
def test_options_that_cannot_be_are_refused_with_a_reason(options: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason.replace("(", r"\(")):
        TagOptions(**options)  # type: ignore[arg-type]


def test_fields_are_named_as_people_name_them() -> None:
    assert fields_of([" Model , MOOD", "mertag_valence"]) == ("MOOD", "MERTAG_VALENCE", "MERTAG_MODEL")
    assert fields_of(CHOOSABLE) == CHOOSABLE
    for wrong in (["title"], [""], ["mood,"], ["MERTAG_MOOD_"]):
        with pytest.raises(ConfigError, match="the fields are mood, quadrant"):
            fields_of(wrong)
    with pytest.raises(ConfigError, match="no field is left"):
        fields_of([])


# The file of labels


@pytest.mark.parametrize(
    "text",
    [
        'Q1 = "Fröhlich"\nQ3 = "Traurig"  # sorry\n',
        '\ufeffQ1 = "Fröhlich"\r\nQ3 = "Traurig"\r\n',
        json.dumps({"Q3": "Traurig", "Q1": "Fröhlich"}),
        '\n  {"Q1": "Fr\\u00f6hlich", "Q3": "Traurig"}',
    ],
)
def test_labels_are_read_from_toml_and_json_and_the_others_keep_their_names(text: str, tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(text.encode())
    assert read_labels(path) == ("Fröhlich", "Angry", "Traurig", "Relaxed")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Q5 = 'x'", "'Q5' is no quadrant; those are Q1, Q2, Q3, Q4"),
        (b"[Q1]\nx = 1", "label of Q1 is no text"),
        (b"Q1 = 5", "label of Q1 is no text"),
        (b"Q1 = 'a/b'", "players would split it"),
        (b"Q1 = ''", "give a word"),
        (b"Q1 = 'a'\nQ1 = 'b'", "neither valid TOML nor JSON"),
        (b'{"Q1": "a", "Q1": "b"}', "a key is repeated"),
        (b'{"Q1": "a"', "neither valid TOML nor JSON"),
        (b'["Happy"]', "'Happy' is no quadrant"),
        (b"\xff\xfe", "neither valid TOML nor JSON"),
        (b'{"Q1":' * 20_000, "more than 65536 bytes"),
        (b'{"Q1":' * 9_000, "neither valid TOML nor JSON"),
        (b'Q1 = "' + b"[" * 70_000, "more than 65536 bytes"),
        (b"Q1 = " + b"[" * 60_000, "neither valid TOML nor JSON"),
    ],
)
def test_a_file_that_holds_no_labels_is_refused_by_name(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as caught:
        read_labels(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 1000


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_labels(path)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_file_of_labels_causes_anything_but_labels_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed labels"
    path.write_bytes(content)
    with contextlib.suppress(ConfigError):
        assert len(read_labels(path)) == len(QUADRANTS)
