"""Runs: a number, a beginning, an end, whether they still live. Claims: one run has a song, others come back later."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mertag.errors import StateError
from mertag.library.state.database import Database
from mertag.library.state.runs import Run, is_under_way, remove_stale_claims

CLAIMS_AND_DIES = """
import os, signal, sys
from pathlib import Path
from mertag.library.state.database import Database
from mertag.library.state.runs import Run
run = Run(Database(Path(sys.argv[1])), kind="tag", command="mertag tag")
assert run.claim(b"/music/a.mp3")
os.kill(os.getpid(), signal.SIGKILL)
"""


def owner(database: Database, run: int) -> str:
    return str(database.rows("SELECT owner FROM runs WHERE id = ?", (run,))[0][0])


def test_a_run_has_a_row_with_its_command_and_is_under_way_until_it_is_finished(tmp_path: Path) -> None:
    with Database(tmp_path / "s") as database:
        with Run(database, kind="tag", command="mertag tag x") as run:
            assert is_under_way(database, owner(database, run.id))
            assert database.rows("SELECT kind, command, finished_s FROM runs") == [("tag", "mertag tag x", None)]
        assert not is_under_way(database, owner(database, run.id))
        assert database.rows("SELECT finished_s >= started_s FROM runs") == [(1,)]
        run.finish()  # again: nothing


def test_runs_are_numbered_and_never_share_a_number(tmp_path: Path) -> None:
    with Database(tmp_path / "s") as database:
        ids = []
        for _ in range(3):
            with Run(database, kind="tag", command="") as run:
                ids.append(run.id)
    assert ids == [1, 2, 3]


def test_a_command_with_bytes_that_are_no_text_is_kept_readable(tmp_path: Path) -> None:
    with Database(tmp_path / "s") as database, Run(database, kind="tag", command="caf\udce9"):
        assert database.rows("SELECT command FROM runs") == [("caf\\udce9",)]


def test_a_run_leaves_no_file_behind_but_the_state(tmp_path: Path) -> None:
    with Database(tmp_path / "s") as database, Run(database, kind="tag", command=""):
        assert list(tmp_path.glob("s.run-*"))
    assert {path.name for path in tmp_path.iterdir()} == {"s", "s.lock"}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_run_that_was_killed_is_over_and_its_claims_are_void(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", CLAIMS_AND_DIES, str(tmp_path / "s")], cwd=root, check=False)
    with Database(tmp_path / "s") as database:
        assert database.rows("SELECT what FROM claims") == [(b"/music/a.mp3",)]
        remove_stale_claims(database)
        assert not database.rows("SELECT what FROM claims")
        assert not is_under_way(database, owner(database, 1))
    assert not list(tmp_path.glob("s.run-*"))


def test_claims_of_a_run_that_lives_are_left_alone(tmp_path: Path) -> None:
    with Database(tmp_path / "s") as database, Run(database, kind="tag", command="") as run:
        assert run.claim(b"/a")
        remove_stale_claims(database)
        assert database.rows("SELECT what FROM claims") == [(b"/a",)]


@pytest.mark.parametrize("text", ["", "me", "host 1 ../../etc/passwd", "host 1 0123456789abcdeg"])
def test_an_owner_that_mertag_did_not_write_is_no_run(tmp_path: Path, text: str) -> None:
    with Database(tmp_path / "s") as database:
        assert not is_under_way(database, text)


def test_a_state_that_cannot_take_the_row_leaves_no_lock_file(tmp_path: Path) -> None:
    database = Database(tmp_path / "s")
    database.close()
    with pytest.raises(StateError):
        Run(database, kind="tag", command="")
    assert not list(tmp_path.glob("s.run-*"))


def give_back(database: Database, run: Run, what: bytes) -> None:
    with database.transaction() as connection:
        run.release(connection, [what])


def test_what_one_run_has_no_other_gets_until_it_is_given_back(database: Database) -> None:
    with Run(database, kind="tag", command="") as first, Run(database, kind="tag", command="") as second:
        assert first.claim(b"/a")
        assert not second.claim(b"/a")
        assert second.claim(b"/b")
        give_back(database, first, b"/a")
        assert second.claim(b"/a")


def test_a_run_cannot_have_the_same_twice(database: Database) -> None:
    with Run(database, kind="tag", command="") as run:
        assert run.claim(b"/a")
        assert not run.claim(b"/a")


def test_nobody_gives_back_what_another_has(database: Database) -> None:
    with Run(database, kind="tag", command="") as first, Run(database, kind="tag", command="") as second:
        assert first.claim(b"/a")
        give_back(database, second, b"/a")
        second.release_all()
        assert not second.claim(b"/a")


def test_a_run_that_ends_gives_everything_back(database: Database) -> None:
    with Run(database, kind="tag", command="") as first:
        assert first.claim(b"/a")
    with Run(database, kind="tag", command="") as second:
        assert second.claim(b"/a")


def test_of_many_threads_and_connections_exactly_one_gets_it(tmp_path: Path) -> None:
    got: list[int] = []
    barrier = threading.Barrier(6)

    def try_all() -> None:
        with Database(tmp_path / "s") as database, Run(database, kind="tag", command="") as run:
            barrier.wait()
            got.extend(n for n in range(20) if run.claim(str(n).encode()))
            barrier.wait()

    threads = [threading.Thread(target=try_all) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(20))
