"""Worker processes: streams in order, and every way in which a decoder, its file or its owner may fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from mertag.errors import ConfigError, DecodeError, FileError, MertagError, UnsupportedFormatError
from mertag.listen.decode.audio import decode_all
from mertag.listen.decode.pool import CHUNKS_AHEAD, Decoded, DecoderPool
from mertag.listen.windows import FrontEnd

pytestmark = pytest.mark.command

Floats = npt.NDArray[np.float32]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
ROOT = Path(__file__).parents[3]

ODD_DECODERS = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from mertag.errors import SilentError

CHUNK = np.arange(1000, dtype=np.float32)

def by_name(path, *, front_end, chunk_s):
    '''Do what the name of the file says, after one chunk.'''
    yield CHUNK
    what = path.name.split("-")[0]
    if what == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "exit":
        os._exit(3)
    elif what == "hang":
        time.sleep(1000)
    elif what == "slow":
        for _ in range(8):
            time.sleep(0.3)
            yield CHUNK
    elif what == "late":
        time.sleep(1.5)
    elif what == "raise":
        raise IndexError("list index out of range")
    elif what == "silent":
        raise SilentError(path, "nothing but silence")
    elif what == "greedy":
        yield np.ones(2_000_000_000, np.float32)
    elif what == "print":
        print("to standard output")
        os.write(1, b"to file descriptor 1")
        os.write(2, b"to file descriptor 2")
    yield CHUNK + 1

def endless(path, *, front_end, chunk_s):
    for n in range(int(path.name)):
        (path.parent / "count").write_text(str(n + 1))
        yield np.full(100_000, n, np.float32)
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the import name of a decoder that does what file names say."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "odd_decoders.py").write_text(ODD_DECODERS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "odd_decoders", raising=False)
    return "odd_decoders:by_name"


def listed(*names: str) -> list[tuple[int, Path]]:
    return [(i, Path("/nowhere") / name) for i, name in enumerate(names)]


def endings(found: Iterator[Decoded]) -> dict[str, str | None]:
    """Return why each file failed, None where it did not; each must end once, without a chunk."""
    ends: dict[str, str | None] = {}
    for piece in found:
        assert piece.last is (piece.chunk is None)
        if piece.last:
            assert piece.path.name not in ends
            ends[piece.path.name] = None if piece.error is None else piece.error.reason
            assert piece.error is None or piece.error.path == piece.path
    return ends


def is_gone(pid: int, within_s: float = 10.0) -> bool:
    """Return whether a process ends; a zombie that nobody collects has ended."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            if sys.platform == "linux" and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("songs")
    rng = np.random.default_rng(0)
    paths = []
    for i, suffix in enumerate(("flac", "wav", "ogg", "flac", "aiff")):
        samples = (rng.standard_normal((44100 * (3 + 5 * i), 1 + i % 2)) * 0.1).astype(np.float32)
        paths.append(folder / f"{i}.{suffix}")
        soundfile.write(paths[-1], samples, 44100)
    return paths


# What it gives


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_file_comes_whole_in_order_and_ends_once(songs: list[Path], workers: int) -> None:
    chunks: dict[int, list[Floats]] = {i: [] for i in range(len(songs))}
    ended: list[int] = []
    with DecoderPool(workers=workers, chunk_s=2.0) as pool:
        for piece in pool.decode(enumerate(songs)):
            assert piece.path == songs[piece.index]
            assert piece.index not in ended
            if piece.chunk is not None:
                assert piece.chunk.dtype == np.float32
                assert piece.chunk.flags.writeable
                chunks[piece.index].append(piece.chunk)
            else:
                assert piece.last
                assert piece.error is None
                ended.append(piece.index)
    assert sorted(ended) == list(range(len(songs)))
    for i, song in enumerate(songs):
        np.testing.assert_array_equal(np.concatenate(chunks[i]), decode_all(song))


def test_files_interleave(odd: str) -> None:
    with DecoderPool(workers=2, decoder=odd) as pool:
        endings(pool.decode(listed("a", "b")))  # now both processes are up
        order = [piece.index for piece in pool.decode(listed("slow-1", "slow-2"))]
    switches = sum(a != b for a, b in pairwise(order))
    assert switches > 1


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_of_files_are_given_and_not_raised(tmp_path: Path, songs: list[Path], workers: int) -> None:
    (tmp_path / "a.mp3").write_bytes(b"MThd" + bytes(100))
    (tmp_path / "b.flac").touch()
    paths = [tmp_path / "a.mp3", songs[0], tmp_path / "b.flac", tmp_path / "missing.mp3"]
    with DecoderPool(workers=workers) as pool:
        errors = {piece.path: piece.error for piece in pool.decode(enumerate(paths)) if piece.last}
    assert errors[songs[0]] is None
    assert isinstance(errors[paths[0]], UnsupportedFormatError)
    assert isinstance(errors[paths[2]], DecodeError)
    assert str(errors[paths[3]]) == f"{paths[3]}: cannot be read: No such file or directory"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_text_work(tmp_path: Path, songs: list[Path]) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n.flac"))
    path.write_bytes(songs[0].read_bytes())
    with DecoderPool(workers=1) as pool:
        pieces = list(pool.decode([(7, path)]))
    assert [(piece.index, piece.path, piece.error) for piece in pieces] == [(7, path, None)] * 2


def test_the_rate_is_the_front_ends(songs: list[Path]) -> None:
    with DecoderPool(workers=1, front_end=FrontEnd(sample_rate=16000)) as pool:
        n = sum(len(piece.chunk) for piece in pool.decode([(0, songs[0])]) if piece.chunk is not None)
    assert n == 48000


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigError, match="workers"):
        DecoderPool(workers=-1)
    with pytest.raises(ConfigError, match="time limit"):
        DecoderPool(workers=1, timeout_s=0.0)


# Bounded and lazy


def test_a_path_is_taken_only_when_a_worker_is_free(odd: str) -> None:
    taken: list[int] = []

    def paths() -> Iterator[tuple[int, Path]]:
        for i in range(50):
            taken.append(i)
            yield i, Path(f"/nowhere/{i}")

    with DecoderPool(workers=2, decoder=odd) as pool:
        done = 0
        for piece in pool.decode(paths()):
            done += piece.last
            assert len(taken) <= done + 2
    assert done == 50


def test_processes_are_started_only_for_files_that_there_are(odd: str) -> None:
    with DecoderPool(workers=8, decoder=odd) as pool:
        assert pool.pids == frozenset()
        for _ in pool.decode(listed("a", "b")):
            assert len(pool.pids) <= 2
        pool.start()
        assert len(pool.pids) == 8


def test_as_many_processes_start_as_are_asked_for_and_no_more_than_there_may_be(odd: str) -> None:
    with DecoderPool(workers=2, decoder=odd) as pool:
        pool.start(1)
        (first,) = pool.pids
        assert endings(pool.decode(listed("a"))) == {"a": None}
        assert pool.pids == {first}
        pool.limit(3)
        pool.start(9)
        assert len(pool.pids) == 3
        with pytest.raises(RuntimeError):
            pool.limit(0)


def test_a_slow_consumer_holds_the_decoder_back(tmp_path: Path, odd: str) -> None:
    del odd
    with DecoderPool(workers=1, decoder="odd_decoders:endless") as pool:
        pieces = pool.decode([(0, tmp_path / "500")])
        for used in range(1, 6):
            next(pieces)
            time.sleep(0.3)
            # one in the pipe, and one being made
            assert int((tmp_path / "count").read_text()) <= used + CHUNKS_AHEAD + 2
        pieces.close()  # type: ignore[attr-defined]


def test_memory_does_not_grow_with_the_track(tmp_path: Path, odd: str) -> None:
    del odd

    def peak(n_chunks: int) -> int:
        with DecoderPool(workers=1, decoder="odd_decoders:endless") as pool:
            tracemalloc.start()
            for _ in pool.decode([(0, tmp_path / str(n_chunks))]):
                pass
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    assert peak(400) < (CHUNKS_AHEAD + 4) * 400_000 + 1_000_000


def test_thousands_of_tiny_files_pass(odd: str) -> None:
    with DecoderPool(workers=2, decoder=odd) as pool:
        before = None
        count: Counter[bool] = Counter()
        for piece in pool.decode((i, Path(f"/nowhere/{i}")) for i in range(3000)):
            count[piece.last] += 1
            before = before or pool.pids
        assert pool.pids >= (before or frozenset())
    assert count == {True: 3000, False: 6000}


# What may go wrong in a worker


@POSIX
def test_a_crash_costs_one_file(odd: str) -> None:
    names = ["a", "segfault-1", "b", "exit-2", "killed-3", "c", "segfault-4", "d"]
    with DecoderPool(workers=2, decoder=odd) as pool:
        ends = endings(pool.decode(listed(*names)))
    assert ends == {
        **dict.fromkeys("abcd"),
        "segfault-1": "the decoder crashed on it (SIGSEGV)",
        "segfault-4": "the decoder crashed on it (SIGSEGV)",
        "killed-3": "the decoder crashed on it (SIGKILL)",
        "exit-2": "the decoder ended in the midst of it (exit status 3)",
    }


def test_a_hang_costs_one_file_and_its_time(odd: str) -> None:
    start = time.monotonic()
    with DecoderPool(workers=2, decoder=odd, timeout_s=4.0) as pool:
        ends = endings(pool.decode(listed("a", "hang-1", "b", "slow-2", "c")))
    assert ends.pop("hang-1") == "the decoder made no progress for 4 s and was stopped"
    assert ends == dict.fromkeys(["a", "b", "slow-2", "c"])  # slow in all, but it goes on
    assert time.monotonic() - start < 60


def test_a_pool_says_that_nothing_came_if_asked_to(odd: str) -> None:
    with DecoderPool(workers=1, decoder=odd, report_idle=True) as pool:
        pieces = [(piece.chunk is None, piece.last) for piece in pool.decode(listed("late-1"))]
    assert pieces[-1] == (True, True)
    assert (True, False) in pieces[1:-1]


@POSIX
def test_a_worker_that_is_stopped_from_outside_is_replaced(odd: str) -> None:
    with DecoderPool(workers=1, decoder=odd, timeout_s=2.0) as pool:
        pieces = pool.decode(listed("slow-1", "a"))
        next(pieces)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        ends = endings(pieces)
        assert is_gone(pid)
    assert ends == {"slow-1": "the decoder made no progress for 2 s and was stopped", "a": None}


def test_a_slow_consumer_is_not_taken_for_a_hang(tmp_path: Path, odd: str) -> None:
    del odd
    with DecoderPool(workers=1, decoder="odd_decoders:endless", timeout_s=2.0) as pool:
        for piece in pool.decode([(0, tmp_path / "12")]):
            assert piece.error is None
            if piece.chunk is not None and piece.chunk[0] in (0, 5):
                time.sleep(4.0)


@POSIX
def test_a_worker_that_dies_between_two_files_costs_nothing(odd: str) -> None:
    with DecoderPool(workers=1, decoder=odd) as pool:
        assert endings(pool.decode(listed("a"))) == {"a": None}
        (pid,) = pool.pids
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)
        assert endings(pool.decode(listed("b", "c"))) == {"b": None, "c": None}
        assert pid not in pool.pids


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit")
def test_a_file_that_takes_too_much_memory_fails_alone(odd: str) -> None:
    with DecoderPool(workers=1, decoder=odd, memory_limit_bytes=1 << 30) as pool:
        ends = endings(pool.decode(listed("greedy-1", "a")))
    assert ends == {"greedy-1": "needs more memory to decode than a decoder may take", "a": None}


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_decoder_raises_costs_its_file(odd: str, workers: int) -> None:
    with DecoderPool(workers=workers, decoder=odd) as pool:
        errors = {piece.path.name: piece.error for piece in pool.decode(listed("raise", "silent", "a")) if piece.last}
    assert errors["a"] is None
    assert type(errors["raise"]) is DecodeError
    assert errors["raise"].reason == "the decoder failed: IndexError: list index out of range"
    assert type(errors["silent"]).__name__ == "SilentError"


def test_what_a_decoder_prints_goes_nowhere(odd: str, capfd: pytest.CaptureFixture[str]) -> None:
    with DecoderPool(workers=1, decoder=odd) as pool:
        assert endings(pool.decode(listed("print-1", "a"))) == {"print-1": None, "a": None}
    assert capfd.readouterr() == ("", "")


def test_workers_that_cannot_start_end_the_run_with_their_reason() -> None:
    with (
        DecoderPool(workers=2, decoder="no_such_module:decode") as pool,
        pytest.raises(MertagError, match="do not start: ModuleNotFoundError: No module named 'no_such_module'"),
    ):
        list(pool.decode(listed("a", "b")))
    assert pool.pids == frozenset()


# What may happen to its owner


def test_closing_early_ends_the_busy_workers_and_the_pool_goes_on(odd: str) -> None:
    with DecoderPool(workers=2, decoder=odd) as pool:
        pieces = pool.decode(listed("hang-1", "hang-2", "a"))
        next(pieces)
        old = pool.pids
        start = time.monotonic()
        pieces.close()  # type: ignore[attr-defined]
        assert time.monotonic() - start < 3
        assert all(is_gone(pid) for pid in old)
        assert endings(pool.decode(listed("a", "b"))) == {"a": None, "b": None}
        last = pool.pids
    assert all(is_gone(pid) for pid in last)
    pool.close()


def test_one_pool_decodes_one_list_at_a_time(odd: str) -> None:
    with DecoderPool(workers=1, decoder=odd) as pool:
        pieces = pool.decode(listed("a"))
        next(pieces)
        with pytest.raises(RuntimeError, match="already decoding"):
            next(pool.decode(listed("b")))


def test_an_error_of_the_list_of_paths_comes_out_and_leaves_no_process(odd: str) -> None:
    def paths() -> Iterator[tuple[int, Path]]:
        yield 0, Path("hang")
        raise FileError("/somewhere", "the folder cannot be read")

    with DecoderPool(workers=2, decoder=odd) as pool:
        with pytest.raises(FileError, match="cannot be read"):
            list(pool.decode(paths()))
        assert pool.pids == frozenset()


SCRIPT = """
import sys, threading, time
sys.path[:0] = {search!r}
from pathlib import Path
from mertag.listen.decode.pool import DecoderPool
print("imported", flush=True)
pool = DecoderPool(workers=2, decoder="odd_decoders:by_name")
for piece in pool.decode((i, Path(name)) for i, name in enumerate({names!r})):
    if piece.chunk is None:
        print("ended", piece.path, flush=True)
    else:
        print("pids", *pool.pids, flush=True)
print("done")
"""


def script(tmp_path: Path, *names: str) -> subprocess.Popen[str]:
    """Start a script of an owner without care: no main guard, no context manager."""
    path = tmp_path / "owner.py"
    path.write_text(textwrap.dedent(SCRIPT.format(search=[str(ROOT), str(tmp_path / "modules")], names=names)))
    return subprocess.Popen(
        [sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )


def pids_of(owner: subprocess.Popen[str], n: int) -> list[int]:
    assert owner.stdout is not None
    for line in owner.stdout:
        words = line.split()
        if words[0] == "pids" and len(words) == n + 1:
            return [int(word) for word in words[1:]]
    raise AssertionError("the script ended early")


def test_a_script_needs_no_main_guard_and_leaves_nothing(tmp_path: Path, odd: str) -> None:
    del odd
    owner = script(tmp_path, "a", "b", "c")
    out, err = owner.communicate(timeout=60)
    assert err == ""
    assert owner.returncode == 0
    lines = out.splitlines()
    assert lines.count("imported") == 1
    assert sum(line.startswith("ended") for line in lines) == 3
    pids = {int(word) for line in lines if line.startswith("pids") for word in line.split()[1:]}
    assert all(is_gone(pid) for pid in pids)


@POSIX
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_owner(tmp_path: Path, odd: str, signal_: signal.Signals) -> None:
    del odd
    owner = script(tmp_path, "hang-1", "hang-2")
    pids = pids_of(owner, 2)
    owner.send_signal(signal_)
    _, err = owner.communicate(timeout=20)
    assert all(is_gone(pid) for pid in pids)
    if signal_ is signal.SIGINT:
        assert err.strip().splitlines()[-1] == "KeyboardInterrupt"
    else:
        assert err == ""


@POSIX
def test_ctrl_c_does_not_reach_the_workers(odd: str) -> None:
    with DecoderPool(workers=1, decoder=odd) as pool:
        pieces = pool.decode(listed("slow-1"))
        next(pieces)
        (pid,) = pool.pids
        assert os.getpgid(pid) != os.getpgid(0)
        os.kill(pid, signal.SIGINT)
        assert endings(pieces) == {"slow-1": None}


# Real files


@pytest.mark.realdata
def test_every_odd_file_ends_once_and_nothing_is_printed(real_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = [path for path in sorted((real_data / "tagged-files").rglob("*")) if path.is_file()]
    with DecoderPool(workers=2, timeout_s=60.0) as pool:
        ends = Counter(piece.index for piece in pool.decode(enumerate(files)) if piece.last)
    assert ends == Counter(range(len(files)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.realdata
def test_real_clips_come_as_they_do_without_workers(real_data: Path) -> None:
    clips = sorted((real_data / "4q").rglob("*.mp3"))[::60] + sorted((real_data / "music").glob("*.ogg"))
    lengths: Counter[int] = Counter()
    with DecoderPool(workers=2) as pool:
        for piece in pool.decode(enumerate(clips)):
            assert piece.error is None
            lengths[piece.index] += 0 if piece.chunk is None else len(piece.chunk)
    assert [lengths[i] for i in range(len(clips))] == [len(decode_all(clip)) for clip in clips]
