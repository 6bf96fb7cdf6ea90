"""The two steps of a worker give what a run on one machine gives, whatever becomes of a song on the way."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny_bundle as tiny

from mertag.batch.cluster import workers
from mertag.batch.cluster.workers import Listener, Listening, decode_songs, decoded_columns, row_columns
from mertag.library import parquet, tags
from mertag.listen.bundle import Bundle
from mertag.listen.decode.pool import DecoderPool
from mertag.listen.tagger import Tagged, Tagger
from mertag.listen.windows import WindowRule

pa = pytest.importorskip("pyarrow")
RATE = 22_050


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    rule = WindowRule(single_max_s=3.0, window_s=2.0, hop_s=1.0)
    return tiny.build(tmp_path_factory.mktemp("bundle"), window_rule=rule)


@pytest.fixture(scope="module")
def listener(bundle: Bundle) -> Listener:
    files = {path.name: path.read_bytes() for path in bundle.folder.iterdir()}
    return Listener(files, Listening(device="cpu", threads=1))


@pytest.fixture(autouse=True)
def fresh_pool() -> Iterator[None]:
    yield
    if workers._pool.cache_info().currsize:
        workers._pool(tiny.FRONT_END).close()
        workers._pool.cache_clear()


def music(folder: Path) -> list[str]:
    rng = np.random.default_rng(5)
    for i, seconds in enumerate((2, 5, 9, 0.01)):
        soundfile.write(folder / f"{i}.flac", 0.3 * rng.standard_normal(round(RATE * seconds)).clip(-3, 3), RATE)
    soundfile.write(folder / "silent.flac", np.zeros(RATE * 2), RATE)
    (folder / "bad.mp3").write_bytes(bytes(3000))
    (folder / "text.mp3").write_text("not a song at all\n" * 30)
    return [*(str(path) for path in sorted(folder.iterdir())), str(folder / "gone.mp3"), f"local://{folder}/1.flac"]


def table(addresses: list[str]) -> Any:
    schema = pa.schema([decoded_columns().field(name) for name in ("index", "id", "address")])
    rows = [{"index": 100 + i, "id": f"id {i}", "address": os.fsencode(a)} for i, a in enumerate(addresses)]
    return pa.Table.from_pylist(rows, schema)


def rows_of(addresses: list[str], listener: Listener, *, segments: bool = False) -> dict[str, dict[str, Any]]:
    decoded = list(decode_songs(table(addresses), front_end=tiny.FRONT_END))
    assert len(decoded) == len(addresses)
    assert all(one.schema == decoded_columns() for one in decoded)
    found = listener(pa.concat_tables(decoded))
    assert found.schema == row_columns(segments=segments)
    rows = {row["path"]: row for row in parquet.rows_of(found)}
    assert sorted(rows) == sorted(addresses)
    assert {row["index"] - 100: row["id"] for row in rows.values()} == {i: f"id {i}" for i in range(len(addresses))}
    return rows


def test_rows_are_those_of_one_machine(bundle: Bundle, listener: Listener, tmp_path: Path) -> None:
    addresses = music(tmp_path)
    rows = rows_of(addresses, listener)
    with Tagger(bundle, device="cpu", workers=1) as tagger:
        expected = {addresses[outcome.index]: outcome for outcome in tagger.tag_many(addresses)}
        key = tagger.model_key
    for address, outcome in expected.items():
        row = rows[address]
        assert row["model_key"] == key
        if isinstance(outcome, Tagged):
            assert row["status"] == "tagged"
            found = parquet.emotion_of(row)
            assert found is not None
            assert found.quadrant_probabilities == pytest.approx(outcome.emotion.quadrant_probabilities, abs=1e-5)
            same = {"quadrant_probabilities": (0,) * 4, "confidence": 0, "valence": 0, "arousal": 0}
            assert dataclasses.replace(found, **same) == dataclasses.replace(outcome.emotion, **same)
        else:
            assert (row["status"], row["reason"]) == (
                "failed" if type(outcome).__name__ == "Failed" else "skipped",
                outcome.reason,
            )
    statuses = [row["status"] for row in rows.values()]
    assert (statuses.count("tagged"), statuses.count("skipped"), statuses.count("failed")) == (4, 3, 2)


def test_segments_are_those_of_one_machine(bundle: Bundle, tmp_path: Path) -> None:
    addresses = music(tmp_path)
    files = {path.name: path.read_bytes() for path in bundle.folder.iterdir()}
    rows = rows_of(addresses, Listener(files, Listening(threads=1, segments=True)), segments=True)
    with Tagger(bundle, device="cpu", workers=1) as tagger:
        for address, row in rows.items():
            if row["status"] != "tagged":
                assert row["segment_start_s"] is None
                continue
            timeline = tagger.segments(address)
            np.testing.assert_allclose(row["segment_start_s"], timeline.times_s, rtol=1e-6)
            for n, p in enumerate(timeline.quadrant_probabilities.T, start=1):
                np.testing.assert_allclose(row[f"segment_p_q{n}"], p, atol=1e-5)


def test_a_worker_writes_sidecars_beside_songs_by_path_and_url(bundle: Bundle, tmp_path: Path) -> None:
    music(tmp_path)
    (tmp_path / "2.flac.mertag.json").write_text("mine")
    files = {path.name: path.read_bytes() for path in bundle.folder.iterdir()}
    listener = Listener(files, Listening(threads=1, sidecars=True))
    addresses = [str(tmp_path / "0.flac"), f"local://{tmp_path}/1.flac", f"local://{tmp_path}/2.flac"]
    addresses += [str(tmp_path / "bad.mp3")]
    rows = rows_of(addresses, listener)
    assert [rows[address]["sidecar_changed"] for address in addresses] == [True, True, None, None]
    assert [rows[address]["status"] for address in addresses] == ["tagged", "tagged", "tagged", "failed"]
    assert "not written by mertag" in rows[addresses[2]]["sidecar_trouble"]
    for name in ("0.flac", "1.flac"):
        content = json.loads((tmp_path / f"{name}.mertag.json").read_text())
        assert content["file"] == name
    assert (tmp_path / "2.flac.mertag.json").read_text() == "mine"
    assert not (tmp_path / "bad.mp3.mertag.json").exists()
    assert rows_of(addresses[:1], listener)[addresses[0]]["sidecar_changed"] is False, "it says so already"


def test_a_row_has_the_digest_by_which_a_memory_knows_the_song(listener: Listener, tmp_path: Path) -> None:
    music(tmp_path)
    path = tmp_path / "1.flac"
    rows = rows_of([str(path), f"local://{path}"], listener)
    assert {row["audio"] for row in rows.values()} == {tags.audio_digest(path)}


def test_a_song_that_is_too_long_to_be_sent_has_the_same_row(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [a for a in music(tmp_path) if a.endswith(("1.flac", "2.flac"))]
    sent = rows_of(addresses, listener)
    monkeypatch.setattr(workers, "MOST_SAMPLES_S", 4.0)
    decoded = list(decode_songs(table(addresses), front_end=tiny.FRONT_END))
    assert [one.column("samples").to_pylist() for one in decoded] == [[None]] * len(addresses)
    assert rows_of(addresses, listener) == sent


@pytest.mark.command
def test_a_song_that_kills_its_decoder_costs_itself(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "killing.py").write_text(
        "import os, signal\nfrom mertag.listen.decode import audio\n"
        "def decode(path, **options):\n"
        "    if path.name == '1.flac':\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return (yield from audio.decode(path, **options))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    addresses = [a for a in music(tmp_path) if a.endswith("flac")]
    with DecoderPool(workers=2, front_end=tiny.FRONT_END, decoder="killing:decode") as pool:
        monkeypatch.setattr(workers, "_pool", lambda front_end: pool)
        rows = rows_of([a for a in addresses if not a.startswith("local")], listener)
        monkeypatch.undo()
    killed = rows[str(tmp_path / "1.flac")]
    assert (killed["status"], killed["reason"]) == ("failed", "the decoder crashed on it (SIGKILL)")
    assert rows[str(tmp_path / "2.flac")]["status"] == "tagged"


def test_a_damaged_song_is_refused_where_that_is_asked_for(bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    soundfile.write(path, 0.2 * np.random.default_rng(1).standard_normal(RATE * 4), RATE)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - RATE * 2)
    files = {one.name: one.read_bytes() for one in bundle.folder.iterdir()}
    for strict, status in ((False, "tagged"), (True, "failed")):
        rows = rows_of([str(path)], Listener(files, Listening(threads=1, strict=strict)))
        assert rows[str(path)]["status"] == status
        assert "missing" in (rows[str(path)]["damage"] or "") or rows[str(path)]["damage"]
