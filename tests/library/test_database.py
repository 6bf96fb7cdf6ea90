"""The state file: several processes, damage, strangers' files, kills."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mertag.errors import ConfigError, StateError
from mertag.library.state.database import SCHEMA, Database

ADD_RUN = "INSERT INTO runs (kind, command, version, owner, started_s) VALUES ('tag', 'mertag tag', '0', 'me', 1.0)"


def add_run(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(ADD_RUN)


def add_and_fail(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(ADD_RUN)
        raise ZeroDivisionError


def count(database: Database) -> object:
    return database.rows("SELECT count(*) FROM runs")[0][0]


def add_many(path: Path, n: int) -> None:
    with Database(path) as database:
        for _ in range(n):
            add_run(database)


def test_what_is_written_is_there_again_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.sqlite"
    with Database(path) as database:
        add_run(database)
    with Database(path) as database:
        assert count(database) == 1


def test_a_transaction_that_raises_leaves_nothing(tmp_path: Path) -> None:
    with Database(tmp_path / "s") as database:
        with pytest.raises(ZeroDivisionError):
            add_and_fail(database)
        assert count(database) == 0


@pytest.mark.parametrize("content", [b"not a database, but more than a header long " * 40, os.urandom(5000)])
def test_a_damaged_file_is_set_aside_whole_and_said(tmp_path: Path, content: bytes) -> None:
    path, said = tmp_path / "state.sqlite", list[str]()
    path.write_bytes(content)
    with Database(path, notify=said.append) as database:
        add_run(database)
        assert count(database) == 1
    (aside,) = tmp_path.glob("state.sqlite.aside-*")
    assert aside.read_bytes() == content
    assert len(said) == 1
    assert aside.name in said[0]


def test_another_programs_database_is_set_aside_whole(tmp_path: Path) -> None:
    path, said = tmp_path / "library.db", list[str]()
    theirs = sqlite3.connect(path)
    theirs.execute("CREATE TABLE songs (title TEXT)")
    theirs.commit()
    theirs.close()
    before = path.read_bytes()
    Database(path, notify=said.append).close()
    (aside,) = tmp_path.glob("library.db.aside-*")
    assert aside.read_bytes() == before
    assert "another program" in said[0]


def test_a_file_of_a_newer_mertag_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "s"
    Database(path).close()
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    newer.close()
    with pytest.raises(StateError, match="newer mertag"):
        Database(path)
    assert not list(tmp_path.glob("*.aside-*"))


def test_a_folder_in_its_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        Database(tmp_path)


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=add_many, args=(path, 20)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with Database(path) as database:
        assert count(database) == 60


def test_a_killed_writer_leaves_a_file_that_opens_with_all_that_was_committed(tmp_path: Path) -> None:
    path, told = tmp_path / "s", tmp_path / "told"
    code = (
        "import sys\nfrom pathlib import Path\nfrom mertag.library.state.database import Database\n"
        "database = Database(Path(sys.argv[1]))\nn = 0\n"
        "while True:\n"
        "    with database.transaction() as c:\n"
        f'        c.execute("{ADD_RUN}")\n'
        "    n += 1\n    print(n, flush=True)\n"
    )
    with told.open("w") as out:
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=out)
        deadline = time.monotonic() + 30
        while (not told.exists() or told.read_text().count("\n") < 20) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    committed = int(told.read_text().splitlines()[-1])
    said: list[str] = []
    with Database(path, notify=said.append) as database:
        assert count(database) in (committed, committed + 1)
    assert not said
