"""What the system does not give ends in one line and exit code 3; closed streams end nothing."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import soundfile
import tiny_bundle as tiny

from mertag.cli import console
from mertag.errors import reason_of
from mertag.files import read_regular
from mertag.listen.bundle import Bundle

MERTAG = [sys.executable, "-m", "mertag"]


@pytest.fixture
def song(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "song.flac", tiny.music(3 * 22_050), 22_050)
    return tmp_path / "song.flac"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "memory ran out"),
        (OSError(errno.ENOMEM, "x"), "memory ran out"),
        (ImportError("libx.so: failed to map segment from shared object"), "memory ran out"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (OSError(errno.EAGAIN, "x"), "ulimit -u"),
        (OSError(errno.EMFILE, "x"), "ulimit -n"),
        (RecursionError(), "nested too deep"),
    ],
)
def test_what_is_used_up_is_one_line_and_not_a_mistake_in_mertag(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        console.run(command)
    assert ended.value.code == console.ExitCode.CANNOT_RUN
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mertag: error: ")
    assert said in line


def test_a_small_file_takes_little_memory_whatever_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x" * 1_000)
    tracemalloc.start()
    assert read_regular(tmp_path / "small", 1 << 31) == b"x" * 1_000
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.command
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit")
@pytest.mark.parametrize("megabytes", [1_000, 500])
def test_a_limit_of_memory_works_or_is_a_reason(tiny_bundle: Bundle, song: Path, megabytes: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes * 1_000_000,) * 2)

    command = [*MERTAG, "tag", "--model", str(tiny_bundle.folder), str(song)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False)
    assert done.returncode in (0, 3), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.command
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_end_nothing(tiny_bundle: Bundle, song: Path, closed: str, tmp_path: Path) -> None:
    command = f'"$@" {closed}'
    words = [*MERTAG, "tag", "--model", str(tiny_bundle.folder), "--report", str(tmp_path / "report.json"), str(song)]
    done = subprocess.run(["sh", "-c", command, "sh", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (
        '"analysed": 1' in (tmp_path / "report.json").read_text()
        or '"tagged": 1' in (tmp_path / "report.json").read_text()
    )


@pytest.mark.parametrize(
    ("error", "said"), [(MemoryError(), "ulimit -v"), (RuntimeError("can't start new thread"), "ulimit -u")]
)
def test_a_file_for_which_too_little_is_given_fails_with_that_reason(error: Exception, said: str) -> None:
    assert said in reason_of(error)
    assert "unexpected" not in reason_of(error)
