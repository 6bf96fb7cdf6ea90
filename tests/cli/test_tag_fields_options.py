"""`mertag tag --join --fields --labels`: from the command line, the environment and the configuration file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from command_line import Run
from fake_tagger import FACTS
from typer.testing import CliRunner

from mertag.cli.app import app
from mertag.library import tags


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "music" / "q2_b.flac"
    path.parent.mkdir()
    soundfile.write(path, np.zeros(800, np.float32), 8000)
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.toml"
    path.write_text('Q1 = "Joyful"\nQ2 = "Fierce"\n')
    return path


def test_the_options_reach_the_file(monkeypatch: pytest.MonkeyPatch, mertag: Run, song: Path, labels: Path) -> None:
    monkeypatch.setattr("mertag.library.tags.fields.SECOND_FROM", 0.1)  # the tagger of the tests is sure of its mood
    options = ("--write-id3", "--moods", 2, "--join", " + ", "--labels", labels)
    assert mertag("tag", song, *options).exit_code == 0
    assert tags.read_tags(song)["MOOD"] == ("Fierce + Joyful",)

    assert mertag("tag", song, "--write-id3", "--fields", "mood,model", "--fields", "quadrant").exit_code == 0
    assert tags.read_tags(song) == {
        "MOOD": ("Angry",),
        "MERTAG_QUADRANT": ("Q2",),
        "MERTAG_MODEL": (FACTS["model"],),
    }


def test_a_dry_run_shows_own_labels(mertag: Run, song: Path, labels: Path) -> None:
    result = mertag("tag", song, "--dry-run", "--labels", labels)
    assert "MOOD: (none) -> Fierce" in result.stdout
    assert tags.read_tags(song) == {}


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    mertag: Run, song: Path, labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mertag.library.tags.fields.SECOND_FROM", 0.1)  # the tagger of the tests is sure of its mood
    config = tmp_path / "config.toml"
    config.write_text(f'[tag]\nlabels = "{labels}"\nfields = ["mood", "model"]\njoin = "; "\nmoods = 2\n')
    monkeypatch.setenv("MERTAG_CONFIG", str(config))
    mertag("tag", song, "--write-id3")
    assert tags.read_tags(song)["MOOD"] == ("Fierce; Joyful",)
    assert "MERTAG_QUADRANT" not in tags.read_tags(song)

    monkeypatch.setenv("MERTAG_TAG_JOIN", "|")
    monkeypatch.setenv("MERTAG_TAG_FIELDS", "mood,quadrant,model")
    mertag("tag", song, "--write-id3")
    assert tags.read_tags(song)["MOOD"] == ("Fierce|Joyful",)
    assert "MERTAG_QUADRANT" in tags.read_tags(song)

    other = tmp_path / "other.json"
    other.write_text('{"Q2": "Tense"}')
    mertag("tag", song, "--write-id3", "--join", "&", "--fields", "mood", "--labels", other)
    assert set(tags.read_tags(song)) == {"MOOD", "MERTAG_MOOD"}
    assert tags.read_tags(song)["MOOD"] == ("Tense&Happy",)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--fields", "title"], "there is no field 'title'"),
        (["--fields", ""], "there is no field ''"),
        (["--join", "\n"], "give 1 to 64 printable"),
        (["--labels", "absent.toml"], "absent.toml: the labels cannot be read"),
    ],
)
def test_what_cannot_be_is_a_usage_error_and_nothing_runs(
    mertag: Run, song: Path, options: list[str], reason: str
) -> None:
    before = song.read_bytes()
    result = mertag("tag", song, "--write-id3", *options)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert song.read_bytes() == before


def test_scale_middle_and_comment_come_from_the_file_too_and_undo_gives_every_byte_back(
    mertag: Run, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, state = song.read_bytes(), tmp_path / "state.sqlite"
    config = tmp_path / "config.toml"
    config.write_text('[tag]\nscale = 100\nbalanced = "Balanced"\ncomment-field = true\n')
    monkeypatch.setenv("MERTAG_CONFIG", str(config))
    assert mertag("tag", song, "--write-id3", "--state", state).exit_code == 0
    fields = tags.read_tags(song)
    assert fields["COMMENT"] == fields["MERTAG_COMMENT"] == fields["MOOD"]
    assert fields["MERTAG_VALENCE"][0].isdigit()
    assert "1 unchanged" in mertag("tag", song, "--write-id3", "--state", state).stderr

    assert CliRunner().invoke(app, ["undo", "--yes", "--state", str(state)]).exit_code == 0
    assert song.read_bytes() == old


def test_a_scale_that_cannot_be_is_a_usage_error(mertag: Run, song: Path) -> None:
    result = mertag("tag", song, "--scale", 10)
    assert result.exit_code == 2
    assert "give 1 or 100" in result.stderr
