"""Records are JSON that any parser reads, and CSV that any program reads."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import sys
from pathlib import Path

import pytest
from fake_tagger import MODEL, emotion
from hypothesis import given
from hypothesis import strategies as st
from json_schemas import valid

from mertag.batch import FileDone, Status
from mertag.library import records, sidecar


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.mp3"
    path.write_bytes(b"audio")
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are any bytes")
@given(name=st.binary(min_size=1, max_size=40), reason=st.text(st.characters(codec=None)))
def test_a_record_is_one_line_of_ascii_json_and_gives_the_path_back(name: bytes, reason: str) -> None:
    done = FileDone(index=0, path=Path(os.fsdecode(b"/m/" + name)), status=Status.FAILED, reason=reason)
    line = records.to_json(records.record(done))
    assert line.isascii()
    assert line.isprintable()
    content = json.loads(line)
    content["reason"] and content["reason"].encode("utf-8")
    exact = content.get("path_base64")
    given_back = base64.b64decode(exact) if exact else content["path"].encode("utf-8")
    assert given_back == os.fsencode(done.path)


def test_how_much_of_a_song_was_heard_is_told_everywhere(song: Path) -> None:
    part = dataclasses.replace(emotion(), analysed_s=12.5)
    for heard, expected in ((part, 12.5), (emotion(), 30.0)):
        done = FileDone(index=0, path=song, status=Status.TAGGED, emotion=heard)
        assert records.record(done)["emotion"]["analysed_s"] == expected
        row = dict(zip(records.CSV_COLUMNS, records.csv_row(done), strict=True))
        assert (row["duration_s"], row["analysed_s"]) == ("30.000", f"{expected:.3f}")
        assert sidecar.write_sidecar(song, heard)
        assert valid(json.loads(sidecar.sidecar_path(song).read_bytes()), "sidecar")
        assert valid(records.record(done), "record")


def test_a_record_of_a_tagged_and_of_a_failed_file_are_as_their_schema_says(song: Path) -> None:
    tagged = FileDone(index=0, path=song, status=Status.TAGGED, emotion=emotion())
    failed = FileDone(index=0, path=song, status=Status.FAILED, reason="damaged")
    assert valid(records.record(tagged), "record")
    assert valid(records.record(failed), "record")
    assert records.record(failed)["emotion"] is None


def test_a_csv_row_has_a_cell_for_each_column_whatever_became_of_the_file(song: Path) -> None:
    tagged = FileDone(index=0, path=song, status=Status.TAGGED, emotion=emotion())
    failed = FileDone(index=0, path=Path("a\nb\x1b[31m"), status=Status.FAILED, reason="damaged")
    for done in (tagged, failed):
        assert len(records.csv_row(done)) == len(records.CSV_COLUMNS)
    assert records.csv_row(failed)[0] == "a\\x0ab\\x1b[31m"


def test_a_record_is_written_as_ever(song: Path) -> None:
    tagged = FileDone(index=0, path=song, status=Status.TAGGED, emotion=emotion())
    assert records.to_json(records.record(tagged)) == (
        f'{{"schema": 2, "path": "{song}", "status": "tagged", "reason": null, "emotion": {{"quadrant": "Q1", '
        '"label": "Happy", "confidence": 0.7, "valence": 0.8, "arousal": 0.8, "quadrant_probabilities": '
        '{"Q1": 0.7, "Q2": 0.1, "Q3": 0.1, "Q4": 0.1}, "duration_s": 30.0, "analysed_s": 30.0, '
        '"silent_s": 0.0, "n_segments": 28, '
        f'"n_windows": 1, "damage": null}}, "model": "{MODEL}", "change": null, "mood": null, "as_before": false}}'
    )
