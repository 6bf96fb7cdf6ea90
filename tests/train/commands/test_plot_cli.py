"""`mertag plot`: a picture where it was asked for, nobody else's file lost, and exit codes that mean something."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from file_names import named
from tiny_bundle import music
from typer.testing import CliRunner

from mertag.cli.app import app
from mertag.errors import ConfigError
from mertag.files import path_text
from mertag.listen.bundle import Bundle
from mertag_train.commands.plot import SUFFIX, check_place, default_place, drawn_by_mertag, title_of

pytestmark = pytest.mark.command

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("songs") / named("A $ong - 愛 (live).wav")
    with file.open("wb") as opened:
        soundfile.write(opened, music(3 * 22_050), 22_050, format="WAV")
    return file


@pytest.fixture
def mertag(no_settings: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_bundle: Bundle) -> Run:
    """Run `mertag plot` in an empty folder."""
    monkeypatch.setenv("MERTAG_BUNDLE", str(tiny_bundle.folder))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(*args: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["plot", *map(str, args)])
        return result.exit_code, result.stdout, result.stderr

    return run


def test_a_song_gives_a_png_in_the_current_folder_and_the_second_run_replaces_it(mertag: Run, song: Path) -> None:
    code, out, err = mertag(song, "--device", "cpu")
    picture = Path(f"{song.stem}.emotion.png")
    assert (code, out) == (0, f"{path_text(picture)}\n")
    assert "model tiny@1" in err
    assert "confidence 0." in err
    assert drawn_by_mertag(picture.read_bytes())
    assert [*Path().iterdir()] == [picture]
    before = picture.stat().st_ino
    assert mertag(song, "--quiet") == (0, f"{path_text(picture)}\n", "")
    assert picture.stat().st_ino != before


def test_json_is_one_document_with_every_song(mertag: Run, song: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged.wav").write_bytes(b"RIFF")
    code, out, err = mertag(song, tmp_path / "damaged.wav", "--json")
    assert code == 1
    drawn, failed = json.loads(out)["pictures"]
    assert drawn["picture"] == {"path": f"{path_text(song.stem)}.emotion.png"}
    assert drawn["emotion"]["quadrant"].startswith("Q")
    assert (failed["song"], failed["picture"]) == ({"path": str(tmp_path / "damaged.wav")}, None)
    assert failed["reason"] in err
    code, out, _ = mertag(tmp_path / "damaged.wav", "--json")
    assert (code, [one["picture"] for one in json.loads(out)["pictures"]]) == (1, [None])


def test_verbose_says_why_that_device(mertag: Run, song: Path) -> None:
    assert "info: CPUExecutionProvider; " in mertag(song, "--verbose")[2]
    assert "info: " not in mertag(song)[2]


def test_the_name_decides_the_format(mertag: Run, song: Path) -> None:
    assert mertag(song, "--out", "x.SVG", "--quiet") == (0, "x.SVG\n", "")
    content = Path("x.SVG").read_bytes()
    assert drawn_by_mertag(content)
    assert path_text(song.stem) in content.decode()
    code, out, err = mertag(song, "--out", "x.jpg")
    assert (code, out) == (2, "")
    assert ".png or .svg" in err


def test_a_finer_hop_gives_more_segments_and_a_warning(mertag: Run, song: Path) -> None:
    code, _, err = mertag(song, "--out", "x.svg", "--segment-hop", "0.1")
    assert code == 0
    assert "warning: the segment hop is 0.1 s" in err
    assert "26 segments of 0.5 s every 0.1 s" in Path("x.svg").read_text(encoding="utf-8")


def test_a_file_of_someone_else_is_replaced_only_on_request(mertag: Run, song: Path) -> None:
    Path("x.png").write_bytes(b"\x89PNG\r\n\x1a\nholiday")
    code, out, err = mertag(song, "--out", "x.png")
    assert (code, out) == (2, "")
    assert "mertag did not draw it" in err
    assert Path("x.png").read_bytes().endswith(b"holiday")
    assert mertag(song, "--out", "x.png", "--overwrite", "-q")[0] == 0
    assert drawn_by_mertag(Path("x.png").read_bytes())


@pytest.mark.parametrize("n_samples", [0, 5_000])
def test_a_song_without_a_segment_is_exit_code_1_and_leaves_nothing(mertag: Run, n_samples: int) -> None:
    soundfile.write("short.wav", np.full(n_samples, 0.1, np.float32), 22_050)
    code, out, err = mertag("short.wav", "--quiet")
    assert (code, out) == (1, "")
    assert err.startswith("mertag: error: short.wav: ")
    assert err.count("\n") == 1
    assert [*Path().iterdir()] == [Path("short.wav")]


def test_what_is_no_audio_is_exit_code_1(mertag: Run) -> None:
    Path("notes.mp3").write_text("not music\n" * 100)
    code, out, err = mertag("notes.mp3", "--quiet")
    assert (code, out) == (1, "")
    assert err.startswith("mertag: error: notes.mp3: ")


def test_no_such_file_and_a_folder_are_usage_errors(mertag: Run, tmp_path: Path) -> None:
    assert mertag("absent.mp3")[0] == 2
    code, _, err = mertag(tmp_path)
    assert code == 2
    assert "name songs" in err


def test_a_missing_bundle_is_exit_code_3(mertag: Run, song: Path) -> None:
    assert mertag(song, "--model", "nowhere")[0] == 3


def test_the_song_itself_is_never_the_place_of_its_picture(tmp_path: Path, song: Path) -> None:
    disguised = tmp_path / "song.png"
    shutil.copy(song, disguised)
    with pytest.raises(ConfigError, match="the song itself"):
        check_place(disguised, song=disguised, overwrite=True)


def test_places_that_cannot_be_are_refused_before_anything_is_analysed(tmp_path: Path, song: Path) -> None:
    with pytest.raises(ConfigError, match="create it first"):
        check_place(tmp_path / "no" / "x.png", song=song, overwrite=True)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ConfigError, match="this is a folder"):
        check_place(tmp_path / "folder.png", song=song, overwrite=True)
    assert check_place(tmp_path / "new.svg", song=song, overwrite=False) == "svg"


def test_a_long_name_stays_within_what_file_systems_take() -> None:
    assert default_place(Path("/music/song.mp3")) == Path("song.emotion.png")
    place = default_place(Path("/music") / named("愛" * 83 + ".mp3"))
    assert len(os.fsencode(place)) <= 255
    assert place.name == named("愛" * 81) + SUFFIX


def test_several_songs_have_a_picture_each_and_one_that_cannot_be_heard_stops_none(
    mertag: Run, song: Path, tmp_path: Path
) -> None:
    other = tmp_path / song.name
    shutil.copy(song, other)
    Path("notes.mp3").write_text("not music\n" * 100)
    pictures = tmp_path / "pictures"
    code, _, err = mertag(song, other, "--out", "x.png")
    assert code == 2
    assert "need a folder" in err
    pictures.mkdir()
    code, out, err = mertag(song, "notes.mp3", other, "--out", pictures, "--quiet")
    assert code == 1
    assert err.startswith("mertag: error: notes.mp3: ")
    names = [f"{song.stem}.emotion.png", f"{song.stem} (2).emotion.png"]
    assert out.splitlines() == [path_text(pictures / name) for name in names]
    assert sorted(path.name for path in pictures.iterdir()) == sorted(names)


def test_artist_and_title_of_the_tags_are_the_title(tmp_path: Path) -> None:
    import mutagen

    path = tmp_path / "01.flac"
    soundfile.write(path, music(800), 22_050)
    file = mutagen.File(path)
    file["TITLE"] = "愛の歌"
    file.save()
    assert title_of(path) == "愛の歌"
    file["ARTIST"] = "Zoë"
    file.save()
    assert title_of(path) == "Zoë – 愛の歌"


def test_without_tags_a_title_is_the_file_s_name_without_its_suffix() -> None:
    assert title_of(Path("/m/No. 5 in F.hq.ogg")) == "No. 5 in F.hq"
    assert title_of(Path("/m/.ogg")) == ".ogg"


@pytest.mark.realdata
def test_a_real_song_of_some_minutes_has_its_windows(mertag: Run, real_data: Path) -> None:
    song = next((real_data / "music").glob("Karissa*.ogg"))
    assert mertag(song, "--out", "x.svg", "--segment-hop", "1")[0] == 0
    text = Path("x.svg").read_text(encoding="utf-8")
    assert "decision: mean of" in text
    assert "minutes:seconds" in text
