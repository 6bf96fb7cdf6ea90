"""Decoders that crash, hang or eat memory, and names and tags made to fool a terminal: each costs its file only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_bundle
from in_process import run_here

from mertag.errors import DecodeError
from mertag.library import tags
from mertag.listen.decode.worker import LEAST_BYTES_PER_S, guarded
from mertag.listen.windows import FrontEnd

pytestmark = pytest.mark.command

ROOT = Path(__file__).resolve().parents[3]
RATE = 22_050
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

FAULTY = """
import ctypes, os, time
import numpy as np
from mertag.listen.decode import audio

def decode(path, *, front_end, chunk_s):
    '''Do to this process what the file's name says, in the midst of the file; else decode it.'''
    chunks = audio.decode(path, front_end=front_end, chunk_s=0.5)
    yield next(chunks)
    what = path.name.partition("_")[0]
    if what == "segfault":
        ctypes.string_at(1)
    elif what == "abort":
        os.abort()
    elif what == "exit":
        os._exit(0)
    elif what == "spin":
        while True:
            pass
    elif what == "stuck":  # in C, holding the interpreter's lock: no thread of this process runs any more
        ctypes.PyDLL(None).sleep(1000)
    elif what == "eat":
        eaten = []
        while True:
            eaten.append(np.empty(4_000_000, np.float32))
    elif what == "bomb":
        yield np.ones(2_000_000_000, np.float32)
    elif what == "drip":
        while True:
            time.sleep(0.2)
            yield np.zeros(10, np.float32)
    elif what == "shout":
        os.write(1, b"garbage" * 1000)
        os.write(2, b"garbage" * 1000)
    yield from chunks
"""

PROGRAM = """
import sys
sys.path[:0] = {search!r}
from mertag.listen.decode import pool as decoding
decoding._TICK_S, decoding._MOST_TIMEOUTS = 0.1, 2.0
made = decoding.DecoderPool
limits = dict(timeout_s=2.0, memory_limit_bytes=600 << 20)
decoding.DecoderPool = lambda **options: made(**options | limits, decoder="faulty:decode")
from mertag.cli import main
main()
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle.build(tmp_path_factory.mktemp("bundle")).folder


@POSIX
def test_whatever_a_decoder_does_to_itself_the_run_goes_on_and_adds_up(bundle: Path, tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    faults = {
        "segfault": "crashed on it (SIGSEGV)",
        "abort": "crashed on it (SIGABRT)",
        "exit": "ended in the midst of it (exit status 0)",
        "spin": "made no progress for 2 s",
        "stuck": "made no progress for 2 s",
        "drip": "was not done after 4 s",
    }
    if sys.platform == "linux":  # only Linux enforces the limit
        faults |= dict.fromkeys(("eat", "bomb"), "needs more memory to decode than a decoder may take")
    sound = ("a", "m", "shout", "z")
    for i, name in enumerate((*faults, *sound)):
        soundfile.write(music / f"{name}_{i}.flac", tiny_bundle.music(2 * RATE, seed=i), RATE)
    before = {path.name: path.read_bytes() for path in music.iterdir()}
    (tmp_path / "faulty.py").write_text(FAULTY)
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM.format(search=[str(ROOT), str(tmp_path)])))
    command = [
        sys.executable,
        program,
        "tag",
        music,
        "--model",
        bundle,
        "--device",
        "cpu",
        "--write-tags",
        "--workers",
        "4",
    ]
    run = subprocess.run(
        [*map(str, command), "--jsonl", "-", "--report", str(tmp_path / "report.json")],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=240,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    assert b"garbage" not in run.stdout + run.stderr
    records = {Path(r["path"]).name.partition("_")[0]: r for r in map(json.loads, run.stdout.splitlines())}
    for name, reason in faults.items():
        assert records[name]["status"] == "failed"
        assert reason in records[name]["reason"], records[name]
    for name in sound:
        assert records[name]["status"] == "tagged"
    for path in music.iterdir():
        if path.name.partition("_")[0] in sound:
            assert "MOOD" in tags.read_tags(path)
        else:
            assert path.read_bytes() == before[path.name]
    s = json.loads((tmp_path / "report.json").read_text())["summary"]
    assert (s["found"], s["tagged"], s["failed"]) == (len(before), len(sound), len(faults))


def test_a_decoder_that_finds_no_end_is_stopped_by_what_a_file_of_its_size_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mertag.listen.decode.worker.MOST_AUDIO_S", 100.0)
    song = tmp_path / "song"
    song.write_bytes(bytes(50 * LEAST_BYTES_PER_S))
    taken_s = 0.0

    def endless(path: Path, *, front_end: FrontEnd, chunk_s: float) -> object:
        while True:
            yield np.zeros(RATE, np.float32)

    def take() -> None:
        nonlocal taken_s
        for chunk in guarded(endless, song, front_end=FrontEnd(), chunk_s=30.0):  # type: ignore[arg-type]
            taken_s += len(chunk) / RATE

    with pytest.raises(DecodeError, match="the decoder found no end"):
        take()
    assert taken_s == 150


def terminal_is_safe(data: bytes) -> bool:
    """Return whether no terminal would obey anything in it, and no text changes its direction."""
    text = data.decode()
    obeyed = any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in text)
    return not obeyed and not any(c in text for c in "\u202e\u2066\u2028")


EVIL = "\x1b]0;owned\x07\x1b[2J\r\n\u202egpj\x9b31m"
EVIL_NAME = os.fsdecode(EVIL.encode())  # also where the names of files are ASCII


@pytest.mark.skipif(sys.platform != "linux", reason="file names that are any bytes")
@pytest.mark.parametrize("option", [("--dry-run",), ("--write-tags", "--verbose", "--csv", "-"), (), ("--report", "-")])
def test_nothing_in_tags_or_names_reaches_the_terminal_raw(
    bundle: Path, tmp_path: Path, option: tuple[str, ...]
) -> None:
    import mutagen.flac

    folder = tmp_path / f"music {EVIL_NAME}"
    folder.mkdir()
    for name in (f"{EVIL_NAME}.flac", f"short{EVIL_NAME}.flac", f"bad{EVIL_NAME}.flac"):
        with (folder / name).open("wb") as file:
            seconds = 0.1 if name.startswith("short") else 6.0
            soundfile.write(file, tiny_bundle.music(round(seconds * RATE)), RATE, format="FLAC")
        song = mutagen.flac.FLAC(folder / name)
        song["MERTAG_QUADRANT"] = song["TITLE"] = [EVIL, "\x00\x1b[31m"]
        song["MERTAG_MODEL"] = [f"tiny@1{EVIL}"]
        song.save()
    bad = folder / f"bad{EVIL_NAME}.flac"
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    run = run_here("tag", folder, "--model", bundle, "--device", "cpu", *option, env={"MERTAG_CONFIG": ""})
    assert run.returncode == 1, run.stderr
    assert terminal_is_safe(run.stdout)
    assert terminal_is_safe(run.stderr)
    assert b"owned" in run.stdout + run.stderr


@pytest.mark.parametrize("field", ["licence", "dataset", "training_command"])
def test_nothing_in_a_bundle_reaches_the_terminal_raw(tmp_path: Path, field: str) -> None:
    bundle = tiny_bundle.build(tmp_path / "b", **{field: EVIL}).folder
    run = run_here("info", "--model", bundle, "--device", "cpu", env={"MERTAG_CONFIG": ""})
    assert run.returncode == 0, run.stderr
    assert terminal_is_safe(run.stdout + run.stderr)
    assert b"owned" in run.stdout
