"""`mertag tag` as a whole, and as a process, with a real (tiny) bundle, real decoders and real tags."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_bundle
from in_process import run_here

from mertag.library import tags

pytestmark = pytest.mark.command

ROOT = Path(__file__).resolve().parents[2]
NO_SETTINGS = {"MERTAG_CONFIG": ""}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("bundle")).folder


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for name in ("a.flac", "b.mp3", "c.ogg", "d.wav"):
        soundfile.write(folder / name, tiny_bundle.music(3 * 22_050), 22_050)
    soundfile.write(folder / "short.flac", tiny_bundle.music(2_000), 22_050)
    soundfile.write(folder / "silent.flac", np.zeros(3 * 22_050, np.float32), 22_050)
    (folder / "text.mp3").write_text("not audio")
    return folder


def start(*args: object, **options: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **NO_SETTINGS}
    command = [sys.executable, "-m", "mertag", *map(str, args)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        **options,  # type: ignore[call-overload]
    )


def test_a_folder_is_tagged_and_a_second_run_changes_nothing(bundle: Path, music: Path) -> None:
    args = ("tag", music, "--model", bundle, "--device", "cpu", "--write-id3", "--sidecar", "--jsonl", "-")
    for expected in ("tagged", "unchanged"):
        run = run_here(*args, env=NO_SETTINGS)
        records = {Path(r["path"]).name: r for r in map(json.loads, run.stdout.splitlines())}
        statuses = {name: r["status"] for name, r in records.items()}
        songs = ("a.flac", "b.mp3", "c.ogg", "d.wav")
        assert statuses == {
            **dict.fromkeys(songs, expected),
            **dict.fromkeys(("short.flac", "silent.flac", "text.mp3"), "skipped"),
        }, run.stderr.decode()
        assert run.returncode == 0
        for name in songs:
            assert tags.read_tags(music / name)["MOOD"] == (records[name]["emotion"]["label"],)
            assert (music / f"{name}.mertag.json").exists()
        assert b"found 7 = " in run.stderr


def test_info_names_the_model_and_the_provider_in_use(bundle: Path) -> None:
    run = run_here("info", "--json", "--model", bundle, "--device", "cpu", env=NO_SETTINGS)
    facts = json.loads(run.stdout)
    assert facts["model"]["id"].startswith("tiny@1+"), run.stderr
    assert facts["device"]["provider"] == "CPUExecutionProvider"


@pytest.mark.parametrize(
    ("song", "options", "code"),
    [
        ("a.flac", ("--model", "nowhere"), 3),
        ("a.flac", ("--segment-hop", "0"), 2),
        ("damaged.flac", ("--device", "cpu"), 1),
        ("a.flac", ("--device", "cpu", "--workers", "1"), 0),
    ],
)
def test_exit_codes_of_the_real_model(
    bundle: Path, music: Path, song: str, options: tuple[str, ...], code: int
) -> None:
    (music / "damaged.flac").write_bytes(b"fLaC" + bytes(500))
    model = () if "--model" in options else ("--model", bundle)
    run = start("tag", music / song, *model, *options)
    out, err = run.communicate(timeout=120)
    assert run.returncode == code, err.decode()
    assert (out == b"") == (code != 0)
    assert b"Traceback" not in err


def test_an_unusual_segment_hop_is_warned_of(bundle: Path, music: Path) -> None:
    args = ("tag", music / "a.flac", "--model", bundle, "--device", "cpu", "--segment-hop", "0.1", "--quiet")
    run = run_here(*args, env=NO_SETTINGS)
    assert (run.returncode, run.stderr.count(b"warning")) == (0, 1)
    assert b"segment hop" in run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
def test_ctrl_c_reaches_the_whole_process_group_and_leaves_neither_litter_nor_processes(
    bundle: Path, tmp_path: Path
) -> None:
    music, jsonl = tmp_path / "music", tmp_path / "o.jsonl"
    music.mkdir()
    sound = tiny_bundle.music(20 * 22_050)
    for i in range(80):
        soundfile.write(music / f"{i:02}.flac", np.roll(sound, 1000 * i), 22_050)
    run = start(
        "tag", music, "--model", bundle, "--device", "cpu", "--write-id3", "--jsonl", jsonl, start_new_session=True
    )
    deadline_s = time.monotonic() + 120
    while not (jsonl.exists() and jsonl.read_text().count("\n") >= 2):
        assert run.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130, err.decode()
    assert b"Traceback" not in err
    assert b"run the same command again" in err
    with pytest.raises(ProcessLookupError):
        os.killpg(run.pid, 0)
    assert len(list(music.iterdir())) == 80
    tagged = [p for p in music.iterdir() if "MOOD" in tags.read_tags(p)]
    assert len(tagged) == jsonl.read_text().count("\n") < 80
