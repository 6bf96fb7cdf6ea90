"""A run over a catalogue with an engine that loses what it is told to: every song ends with one row."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fake_tagger import FakeTagger

from mertag.batch.cluster import MOST_TRIES, sidecars, tag_catalogue
from mertag.batch.cluster.catalogue import Entry
from mertag.batch.cluster.units import deal, rows_there
from mertag.batch.one_song import Song, Steps
from mertag.batch.options import BatchOptions
from mertag.errors import ConfigError, MertagError
from mertag.library import parquet
from mertag.library.accounting import Event, FileDone, Finished, Found, Note, Status, Summary
from mertag.library.parquet import Row
from mertag.library.store import Store

pytest.importorskip("pyarrow")
import pyarrow.parquet as pq

KEY = FakeTagger().model_key


class FakeEngine:
    """Rows from names, unit by unit; `lose` says how often a song is lost, `ends_after` when the whole thing dies."""

    def __init__(
        self,
        lose: dict[str, int] | None = None,
        ends_after: int | None = None,
        fault: str = "",
        segments: bool = False,
        sidecars: bool = False,
    ) -> None:
        self.segments, self.sidecars = segments, sidecars
        self.lose, self.ends_after, self.fault = Counter(lose or {}), ends_after, fault
        self.given: Counter[str] = Counter()
        self.blocks: list[int] = []

    def rows(self, blocks: Sequence[Sequence[Entry]]) -> Iterator[list[Row]]:
        tagger, steps = FakeTagger(timelines=self.segments), Steps(BatchOptions(), {}, None)
        self.blocks.append(len(blocks))
        for block in blocks:
            found = []
            for entry in block:
                self.given[entry.id] += 1
                if self.lose[entry.id] > 0:
                    self.lose[entry.id] -= 1
                    continue
                (outcome,) = tagger.tag_many([Path(entry.address)])
                done = steps.write(Song(index=0, path=Path(entry.address)), outcome, remembered=False)
                done = dataclasses.replace(done, path=entry.address)
                beside = sidecars.written(done) if self.sidecars else {}
                found.append(beside | parquet.row(done, id=entry.id, model_key=KEY) | {"index": entry.index})
            yield found
            if self.ends_after is not None:
                self.ends_after -= 1
                if self.ends_after == 0:
                    raise MertagError("the cluster is gone")


def songs(n: int, *, special: Sequence[str] = ()) -> list[Entry]:
    names = [*(f"q{1 + i % 4}_{i:03}.flac" for i in range(n - len(special))), *special]
    return [Entry(i, name, f"/music/{name}") for i, name in enumerate(names)]


def run(entries: list[Entry], engine: FakeEngine, folder: Path, **options: int) -> tuple[list[Event], Summary]:
    store = Store(str(folder), command="tag")
    events = list(tag_catalogue(entries, engine=engine, store=store, model_key=KEY, **options))
    assert isinstance(events[0], Found)
    assert isinstance(events[-1], Finished)
    summary = events[-1].summary
    assert summary.found == len(entries) == sum(summary.counts.values())
    return events, summary


def ids(folder: Path) -> list[str]:
    return sorted(row["id"] for row in rows_there(Store(str(folder), command="tag"), KEY))


def test_every_song_has_one_row_and_one_event(tmp_path: Path) -> None:
    entries = songs(50, special=["bad_a.flac", "short_b.flac"])
    events, summary = run(entries, FakeEngine(), tmp_path / "out")
    assert ids(tmp_path / "out") == sorted(entry.id for entry in entries)
    assert sorted(event.index for event in events if isinstance(event, FileDone)) == list(range(50))
    assert (summary.tagged, summary.skipped, summary.failed) == (48, 1, 1)
    assert len(list((tmp_path / "out").iterdir())) > 1, "several units"


def test_a_second_run_computes_nothing_and_adds_up_alike(tmp_path: Path) -> None:
    entries = songs(50, special=["bad_a.flac"])
    _, first = run(entries, FakeEngine(), tmp_path)
    again = FakeEngine()
    events, second = run(entries, again, tmp_path)
    assert not again.given
    assert second.counts == first.counts
    assert all(event.remembered for event in events if isinstance(event, FileDone))
    assert second.failed_as_before == 1


def test_units_have_segments_where_they_are_asked_for(tmp_path: Path) -> None:
    entries = songs(50, special=["bad_a.flac"])
    run(entries, FakeEngine(segments=True), tmp_path / "with", segments=True)
    found = [row for path in (tmp_path / "with").iterdir() for row in pq.read_table(path).to_pylist()]
    assert {row["id"]: len(row["segment_p_q1"] or ()) for row in found} == {
        entry.id: 0 if entry.id == "bad_a.flac" else 28 for entry in entries
    }
    for segments in (True, False):  # either way nothing is left to do
        again = FakeEngine(segments=segments)
        run(entries, again, tmp_path / "with", segments=segments)
        assert not again.given


def test_songs_that_have_a_row_get_their_sidecars_without_being_heard_again(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    names = ["q1_a.flac", "q2_b.flac", "q3_c.flac", "bad_d.flac"]
    entries = [Entry(i, name, f"local://{tmp_path}/music/{name}") for i, name in enumerate(names)]
    beside = {name: tmp_path / "music" / f"{name}.mertag.json" for name in names}

    def counts(engine: FakeEngine) -> tuple[int, int, int]:
        _, summary = run(entries, engine, tmp_path / "out", sidecars=True)
        return summary.tagged, summary.unchanged, summary.failed

    run(entries, FakeEngine(), tmp_path / "out")
    assert not any(path.exists() for path in beside.values())
    beside["q3_c.flac"].write_text("mine")
    again = FakeEngine(sidecars=True)
    assert counts(again) == (2, 0, 2)
    assert json.loads(beside["q2_b.flac"].read_text())["emotion"]["quadrant"] == "Q2"
    assert beside["q3_c.flac"].read_text() == "mine"
    beside["q1_a.flac"].unlink()
    beside["q3_c.flac"].unlink()
    assert counts(again) == (2, 1, 1)
    assert not again.given
    assert not beside["bad_d.flac"].exists()


def test_a_sidecar_that_cannot_be_written_fails_and_the_row_is_kept(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    entries = [Entry(i, f"q1_{i}.flac", str(tmp_path / "music" / f"q1_{i}.flac")) for i in range(10)]
    (tmp_path / "music" / "q1_3.flac.mertag.json").write_text("mine")
    events, summary = run(entries, FakeEngine(sidecars=True), tmp_path / "out", sidecars=True)
    assert (summary.tagged, summary.failed) == (9, 1)
    (failed,) = [event for event in events if isinstance(event, FileDone) and event.status is Status.FAILED]
    assert (failed.index, "not written by mertag" in failed.reason) == (3, True)
    rows = rows_there(Store(str(tmp_path / "out"), command="tag"), KEY)
    assert {row["status"] for row in rows} == {"tagged"}, "all were listened to"


def test_rows_without_the_segments_that_are_wanted_are_an_error(tmp_path: Path) -> None:
    run(songs(20), FakeEngine(), tmp_path)
    with pytest.raises(ConfigError, match="without segment probabilities; name another folder"):
        run(songs(20), FakeEngine(segments=True), tmp_path, segments=True)


def test_a_run_that_died_is_resumed_and_no_song_comes_twice(tmp_path: Path) -> None:
    entries = songs(100)
    engine, events = FakeEngine(ends_after=3), []
    store = Store(str(tmp_path), command="tag")
    with pytest.raises(MertagError, match="the cluster is gone"):
        events.extend(tag_catalogue(entries, engine=engine, store=store, model_key=KEY))
    done = ids(tmp_path)
    assert 0 < len(done) < 100
    rest = FakeEngine()
    run(entries, rest, tmp_path)
    assert not set(done) & set(rest.given)
    assert ids(tmp_path) == sorted(entry.id for entry in entries)


def test_the_summary_also_comes_when_the_engine_dies(tmp_path: Path) -> None:
    run_ = tag_catalogue(
        songs(100), engine=FakeEngine(ends_after=2), store=Store(str(tmp_path), command="tag"), model_key=KEY
    )
    events: list[Event] = []
    with pytest.raises(MertagError):
        events.extend(run_)
    summary = events[-1].summary  # type: ignore[union-attr]
    assert sum(summary.counts.values()) == 100
    assert summary.not_reached == 100 - summary.tagged > 0


def test_what_a_worker_lost_is_tried_again_alone_and_counted(tmp_path: Path) -> None:
    entries = songs(40)
    engine = FakeEngine(lose={entries[3].id: 1, entries[20].id: 2})
    events, summary = run(entries, engine, tmp_path)
    assert summary.tagged == 40
    assert engine.given[entries[3].id] == 2
    assert engine.given[entries[20].id] == 3
    assert engine.blocks[1:] == [2, 1], "each alone"
    assert ids(tmp_path) == sorted(entry.id for entry in entries)
    assert any(isinstance(event, Note) and "tried again" in event.text for event in events)


def test_a_song_that_no_worker_survives_fails_after_a_bounded_number_of_tries(tmp_path: Path) -> None:
    entries = songs(20)
    engine = FakeEngine(lose={entries[5].id: 99})
    _, summary = run(entries, engine, tmp_path)
    assert (summary.tagged, summary.failed) == (19, 1)
    assert engine.given[entries[5].id] == MOST_TRIES
    (row,) = [row for row in rows_there(Store(str(tmp_path), command="tag"), KEY) if row["id"] == entries[5].id]
    assert (row["status"], "3 times" in row["reason"]) == ("failed", True)


def test_where_nothing_works_at_all_the_reason_is_said_once(tmp_path: Path) -> None:
    entries = songs(20)
    engine = FakeEngine(lose=dict.fromkeys((entry.id for entry in entries), 99), fault="No module named 'mertag'")
    with pytest.raises(MertagError, match="no worker could listen to a song: No module named 'mertag'"):
        list(tag_catalogue(entries, engine=engine, store=Store(str(tmp_path), command="tag"), model_key=KEY))
    assert not ids(tmp_path), "no row says that a song failed"


def test_a_row_that_comes_twice_counts_once(tmp_path: Path) -> None:
    class Twice(FakeEngine):
        def rows(self, blocks: Sequence[Sequence[Entry]]) -> Iterator[list[Row]]:
            for found in super().rows(blocks):
                yield [dict(row) for row in found]
                yield found

    entries = songs(30)
    _, summary = run(entries, Twice(), tmp_path)
    assert summary.tagged == 30
    assert ids(tmp_path) == sorted(entry.id for entry in entries)


def test_new_songs_are_added_and_old_rows_stay(tmp_path: Path) -> None:
    run(songs(30), FakeEngine(), tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    engine = FakeEngine()
    run(songs(500), engine, tmp_path)
    assert len(engine.given) == 470
    assert before < {path.name for path in tmp_path.iterdir()}
    assert ids(tmp_path) == sorted(entry.id for entry in songs(500))


def test_another_model_takes_nothing_from_the_rows_of_the_first(tmp_path: Path) -> None:
    run(songs(10), FakeEngine(), tmp_path)
    units = deal(songs(10), n_songs=10, model_key="another")
    assert not {unit.name for unit in units} & {path.name for path in tmp_path.iterdir()}
    assert not list(rows_there(Store(str(tmp_path), command="tag"), "another"))


def test_two_runs_deal_alike(tmp_path: Path) -> None:
    entries = songs(1000)
    units = deal(entries, n_songs=1000, model_key=KEY)
    assert units == deal(entries, n_songs=1000, model_key=KEY)
    assert sorted(entry.index for unit in units for entry in unit.entries) == list(range(1000))
    assert 2 < max(len(unit.entries) for unit in units) < 40


def test_partial_files_and_foreign_ones_are_not_seen(tmp_path: Path) -> None:
    run(songs(10), FakeEngine(), tmp_path)
    whole = next(tmp_path.iterdir())
    (tmp_path / ".mertag-12-0123456789abcdef.tmp").write_bytes(whole.read_bytes()[:100])
    (tmp_path / "notes.txt").write_text("mine")
    _, summary = run(songs(10), FakeEngine(), tmp_path)
    assert summary.tagged == 10


def test_a_unit_that_another_run_has_written_meanwhile_stays_as_it_is(tmp_path: Path) -> None:
    entries = songs(8)

    class Beside(FakeEngine):
        def rows(self, blocks: Sequence[Sequence[Entry]]) -> Iterator[list[Row]]:
            run(entries, FakeEngine(), tmp_path)
            self.before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
            yield from super().rows(blocks)

    engine = Beside()
    _, summary = run(entries, engine, tmp_path)
    assert summary.tagged == 8
    assert engine.before == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_a_run_stops_after_so_many_failures(tmp_path: Path) -> None:
    entries = songs(60, special=[f"bad_{i}.flac" for i in range(20)])
    _, summary = run(entries, FakeEngine(), tmp_path, stop_at_failures=1)
    assert summary.not_reached > 0
    assert summary.failed >= 1


def test_what_cannot_be_read_is_a_failure_without_a_row(tmp_path: Path) -> None:
    entries = [*songs(3), Entry(3, "/music/locked", "/music/locked", "the folder cannot be read: Permission denied")]
    _, summary = run(entries, FakeEngine(), tmp_path)
    assert (summary.tagged, summary.failed) == (3, 1)
    assert len(ids(tmp_path)) == 3


def test_a_folder_of_rows_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(MertagError):
        list(
            tag_catalogue(
                songs(3), engine=FakeEngine(), store=Store(str(tmp_path / "file"), command="tag"), model_key=KEY
            )
        )


KILLED = """
import sys, time
from mertag.batch.cluster import tag_catalogue
from mertag.library.store import Store
from test_run import KEY, FakeEngine, songs

class Slow(FakeEngine):
    def rows(self, blocks):
        for rows in super().rows(blocks):
            yield rows
            time.sleep(0.05)

for event in tag_catalogue(songs(400), engine=Slow(), store=Store(sys.argv[1], command="tag"), model_key=KEY):
    print(type(event).__name__, flush=True)
"""


@pytest.mark.command
def test_a_driver_that_is_killed_leaves_whole_units_only_and_is_resumed(tmp_path: Path) -> None:
    tests = Path(__file__).resolve().parents[2]
    search = os.pathsep.join(str(folder) for folder in (tests.parent, tests, Path(__file__).parent))
    program = [sys.executable, "-c", KILLED, str(tmp_path)]
    driver = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": search})
    assert driver.stdout is not None
    for line in driver.stdout:
        if line == "FileDone\n":
            break
    driver.kill()
    driver.communicate()
    done = ids(tmp_path)
    assert 0 < len(done) < 400
    rest = FakeEngine()
    run(songs(400), rest, tmp_path)
    assert not set(done) & set(rest.given)
    assert ids(tmp_path) == sorted(entry.id for entry in songs(400))
