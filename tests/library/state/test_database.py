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
from mertag.library.state.database import MIGRATIONS, Database

SCHEMA_ONE = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    command TEXT NOT NULL,
    version TEXT NOT NULL,
    owner TEXT NOT NULL,
    started_s REAL NOT NULL,
    finished_s REAL
);
CREATE TABLE analyses (
    audio BLOB NOT NULL,
    model TEXT NOT NULL,
    result TEXT NOT NULL,
    analysed_s REAL NOT NULL,
    PRIMARY KEY (audio, model)
) WITHOUT ROWID;
CREATE TABLE files (
    path BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    audio BLOB NOT NULL,
    settled TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX files_by_audio ON files (audio);
CREATE TABLE claims (
    what BLOB PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id)
) WITHOUT ROWID;
CREATE TABLE writes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES runs (id),
    path BLOB NOT NULL,
    kind TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0,
    old_digest BLOB,
    new_digest BLOB NOT NULL,
    old_size INTEGER NOT NULL,
    new_size INTEGER NOT NULL,
    old_mtime_ns INTEGER NOT NULL,
    delta BLOB NOT NULL
);
CREATE INDEX writes_by_run ON writes (run);
CREATE INDEX writes_by_path ON writes (path);
"""
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
    newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    newer.close()
    with pytest.raises(StateError, match="newer mertag"):
        Database(path)
    assert not list(tmp_path.glob("*.aside-*"))


def user_version(path: Path) -> int:
    connection = sqlite3.connect(path)
    [(version,)] = connection.execute("PRAGMA user_version").fetchall()
    connection.close()
    return int(version)


def schema_one(path: Path) -> Path:
    """Make a state file as the first version of mertag made it, with one run."""
    connection = sqlite3.connect(path)
    connection.executescript(f"{SCHEMA_ONE} PRAGMA application_id = 0x6d657274; PRAGMA user_version = 1;")
    connection.execute(ADD_RUN)
    connection.commit()
    connection.close()
    return path


def tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name in names}
    connection.close()
    return found


def test_a_file_of_the_first_schema_opens_and_is_migrated_to_what_a_new_one_is(tmp_path: Path) -> None:
    path = schema_one(tmp_path / "first")
    with Database(path) as database:
        assert count(database) == 1
        add_run(database)
    Database(tmp_path / "new").close()
    assert user_version(path) == user_version(tmp_path / "new") == len(MIGRATIONS)
    assert tables(path) == tables(tmp_path / "new")


def test_each_step_is_taken_once_and_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = schema_one(tmp_path / "s")
    more = ("ALTER TABLE runs ADD COLUMN host TEXT;", "UPDATE runs SET host = owner; CREATE TABLE later (x);")
    monkeypatch.setattr("mertag.library.state.database.MIGRATIONS", (*MIGRATIONS, *more))
    for made in (path, tmp_path / "new", path):
        Database(made).close()
        assert user_version(made) == len(MIGRATIONS) + 2
        assert "later" in tables(made)
    with Database(path) as database:
        assert database.rows("SELECT host FROM runs") == [("me",)]


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = schema_one(tmp_path / "s")
    with monkeypatch.context() as patched:
        broken = "CREATE TABLE half (x); INSERT INTO nowhere VALUES (1);"
        patched.setattr("mertag.library.state.database.MIGRATIONS", (*MIGRATIONS, broken))
        with pytest.raises(StateError, match="does not work"):
            Database(path)
    assert user_version(path) == len(MIGRATIONS)
    assert "half" not in tables(path)
    with Database(path) as database:
        assert count(database) == 1


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
