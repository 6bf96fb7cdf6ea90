"""What may happen to the owner of worker processes: none outlives it, or is left by it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from named_files import ODD, POSIX, endings, is_gone, listed

from mertag.errors import FileError
from mertag.listen.decode.pool import DecoderPool

pytestmark = pytest.mark.command


ROOT = Path(__file__).parents[3]


def test_closing_early_ends_the_busy_workers_and_the_pool_goes_on() -> None:
    with DecoderPool(workers=2, decoder=ODD) as pool:
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


def test_one_pool_decodes_one_list_at_a_time() -> None:
    with DecoderPool(workers=1, decoder=ODD) as pool:
        pieces = pool.decode(listed("a"))
        next(pieces)
        with pytest.raises(RuntimeError, match="already decoding"):
            next(pool.decode(listed("b")))


def test_an_error_of_the_list_of_paths_comes_out_and_leaves_no_process() -> None:
    def paths() -> Iterator[tuple[int, Path]]:
        yield 0, Path("hang")
        raise FileError("/somewhere", "the folder cannot be read")

    with DecoderPool(workers=2, decoder=ODD) as pool:
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
    path.write_text(textwrap.dedent(SCRIPT.format(search=[str(ROOT), str(Path(__file__).parent)], names=names)))
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


def test_a_script_needs_no_main_guard_and_leaves_nothing(tmp_path: Path) -> None:
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
def test_no_worker_outlives_its_owner(tmp_path: Path, signal_: signal.Signals) -> None:
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
def test_ctrl_c_does_not_reach_the_workers() -> None:
    with DecoderPool(workers=1, decoder=ODD) as pool:
        pieces = pool.decode(listed("steps-1"))
        next(pieces)
        (pid,) = pool.pids
        assert os.getpgid(pid) != os.getpgid(0)
        os.kill(pid, signal.SIGINT)
        assert endings(pieces) == {"steps-1": None}
