"""Claims: one run has a song, the others come back later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mertag.library.state.claims import Claims
from mertag.library.state.database import Database
from mertag.library.state.runs import Run


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "s") as database:
        yield database


def give_back(database: Database, run: Run, what: bytes) -> None:
    with database.transaction() as connection:
        Claims(run).release(connection, [what])


def test_what_one_run_has_no_other_gets_until_it_is_given_back(database: Database) -> None:
    with Run(database, kind="tag", command="") as first, Run(database, kind="tag", command="") as second:
        assert Claims(first).take(b"/a")
        assert not Claims(second).take(b"/a")
        assert Claims(second).take(b"/b")
        give_back(database, first, b"/a")
        assert Claims(second).take(b"/a")


def test_a_run_cannot_have_the_same_twice(database: Database) -> None:
    with Run(database, kind="tag", command="") as run:
        assert Claims(run).take(b"/a")
        assert not Claims(run).take(b"/a")


def test_nobody_gives_back_what_another_has(database: Database) -> None:
    with Run(database, kind="tag", command="") as first, Run(database, kind="tag", command="") as second:
        assert Claims(first).take(b"/a")
        give_back(database, second, b"/a")
        Claims(second).release_all()
        assert not Claims(second).take(b"/a")


def test_a_run_that_ends_gives_everything_back(database: Database) -> None:
    with Run(database, kind="tag", command="") as first:
        assert Claims(first).take(b"/a")
    with Run(database, kind="tag", command="") as second:
        assert Claims(second).take(b"/a")


def test_of_many_threads_and_connections_exactly_one_gets_it(tmp_path: Path) -> None:
    got: list[int] = []
    barrier = threading.Barrier(6)

    def try_all() -> None:
        with Database(tmp_path / "s") as database, Run(database, kind="tag", command="") as run:
            barrier.wait()
            got.extend(n for n in range(20) if Claims(run).take(str(n).encode()))
            barrier.wait()

    threads = [threading.Thread(target=try_all) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(20))
