"""Worker processes: streams in order, as many at once as are asked for, and no more ahead than is wanted."""

from __future__ import annotations

import os
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from named_files import ODD, endings, listed

from mertag.errors import ConfigError, DecodeError, UnsupportedFormatError
from mertag.listen.decode.audio import decode_all
from mertag.listen.decode.pool import CHUNKS_AHEAD, DecoderPool
from mertag.listen.windows import FrontEnd

pytestmark = pytest.mark.command


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


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_file_comes_whole_in_order_and_ends_once(songs: list[Path], workers: int) -> None:
    chunks: dict[int, list[np.ndarray]] = {i: [] for i in range(len(songs))}
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


def test_files_interleave() -> None:
    with DecoderPool(workers=2, decoder=ODD) as pool:
        endings(pool.decode(listed("a", "b")))  # now both processes are up
        order = [piece.index for piece in pool.decode(listed("steps-1", "steps-2"))]
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


def test_a_path_is_taken_only_when_a_worker_is_free() -> None:
    taken: list[int] = []

    def paths() -> Iterator[tuple[int, Path]]:
        for i in range(50):
            taken.append(i)
            yield i, Path(f"/nowhere/{i}")

    with DecoderPool(workers=2, decoder=ODD) as pool:
        done = 0
        for piece in pool.decode(paths()):
            done += piece.last
            assert len(taken) <= done + 2
    assert done == 50


def test_processes_are_started_only_for_files_that_there_are() -> None:
    with DecoderPool(workers=8, decoder=ODD) as pool:
        assert pool.pids == frozenset()
        for _ in pool.decode(listed("a", "b")):
            assert len(pool.pids) <= 2
        pool.start()
        assert len(pool.pids) == 8


def test_as_many_processes_start_as_are_asked_for_and_no_more_than_there_may_be() -> None:
    with DecoderPool(workers=2, decoder=ODD) as pool:
        pool.start(1)
        (first,) = pool.pids
        assert endings(pool.decode(listed("a"))) == {"a": None}
        assert pool.pids == {first}
        pool.limit(3)
        pool.start(9)
        assert len(pool.pids) == 3
        with pytest.raises(RuntimeError):
            pool.limit(0)


def test_a_slow_consumer_holds_the_decoder_back(tmp_path: Path) -> None:
    with DecoderPool(workers=1, decoder="odd_decoders:endless") as pool:
        pieces = pool.decode([(0, tmp_path / "500")])
        for used in range(1, 6):
            next(pieces)
            time.sleep(0.1)
            # one in the pipe, and one being made
            assert int((tmp_path / "count").read_text()) <= used + CHUNKS_AHEAD + 2
        pieces.close()  # type: ignore[attr-defined]


def test_memory_does_not_grow_with_the_track(tmp_path: Path) -> None:

    def peak(n_chunks: int) -> int:
        with DecoderPool(workers=1, decoder="odd_decoders:endless") as pool:
            tracemalloc.start()
            for _ in pool.decode([(0, tmp_path / str(n_chunks))]):
                pass
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        return most

    assert peak(400) < (CHUNKS_AHEAD + 4) * 400_000 + 1_000_000


def test_thousands_of_tiny_files_pass() -> None:
    with DecoderPool(workers=2, decoder=ODD) as pool:
        before = None
        count: Counter[bool] = Counter()
        for piece in pool.decode((i, Path(f"/nowhere/{i}")) for i in range(2000)):
            count[piece.last] += 1
            before = before or pool.pids
        assert pool.pids >= (before or frozenset())
    assert count == {True: 2000, False: 4000}


@pytest.mark.realdata
def test_every_odd_file_ends_once_and_nothing_is_printed(real_data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = [path for path in sorted((real_data / "tagged-files").rglob("*")) if path.is_file()]
    with DecoderPool(workers=2, timeout_s=60.0) as pool:
        ends = Counter(piece.index for piece in pool.decode(enumerate(files)) if piece.last)
    assert ends == Counter(range(len(files)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.realdata
def test_real_clips_come_as_they_do_without_workers(real_data: Path) -> None:
    clips = sorted((real_data / "4q").rglob("*.mp3"))[::100] + sorted((real_data / "music").glob("*.ogg"))[:2]
    lengths: Counter[int] = Counter()
    with DecoderPool(workers=2) as pool:
        for piece in pool.decode(enumerate(clips)):
            assert piece.error is None
            lengths[piece.index] += 0 if piece.chunk is None else len(piece.chunk)
    assert [lengths[i] for i in range(len(clips))] == [len(decode_all(clip)) for clip in clips]
