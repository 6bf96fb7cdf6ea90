"""A real Ray cluster of two nodes, and a real S3 server: the rows of one machine, once each, whatever is killed."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tiny_bundle as tiny

from mertag.batch.cluster import tag_catalogue
from mertag.batch.cluster.catalogue import read_catalogue
from mertag.batch.cluster.plan import plan
from mertag.batch.cluster.ray_data import RayEngine, connected, nodes
from mertag.batch.cluster.workers import Listening
from mertag.library import parquet
from mertag.library.accounting import Event, FileDone, Finished, Note, Summary
from mertag.library.parquet import Row
from mertag.library.store import Store
from mertag.listen.bundle import Bundle
from mertag.listen.tagger import Tagged, Tagger
from mertag.listen.windows import WindowRule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ray = pytest.importorskip("ray")
pytest.importorskip("s3fs")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("cryptography")  # of moto's server
moto_server = pytest.importorskip("moto.server")

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
RATE = 22_050


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start an S3 server, and say to all processes of the test where it is; yield the folder of the faults."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    faults = tmp_path_factory.mktemp("faults")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "FAULT_DIR": str(faults),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_worker_niceness": "0",  # else the workers come last, wherever anything else runs
        }.items():
            patch.setenv(name, value)
        yield faults
    server.stop()


@pytest.fixture(scope="module")
def cluster(environment: Path) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "object_store_memory": 200 << 20}
    made = Cluster(initialize_head=True, head_node_args=options | {"include_dashboard": False})
    made.add_node(**options)
    ray.init(address=made.address, log_to_driver=False, logging_level=logging.CRITICAL)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    rule = WindowRule(single_max_s=3.0, window_s=2.0, hop_s=1.0)
    return tiny.build(tmp_path_factory.mktemp("bundle"), window_rule=rule)


@dataclass
class Bucket:
    """Songs in a bucket, the same on the disk, and a place for rows."""

    folder: Path
    url: str
    out: Store

    def rows(self) -> dict[str, Row]:
        found: list[Row] = []
        for name in self.out.names():
            with self.out.opened(name) as file:
                found += parquet.rows_of(pq.read_table(file))
        names = [row["path"].rpartition("/")[2] for row in found]
        assert max(Counter(names).values(), default=1) == 1, "no song has two rows"
        return dict(zip(names, found, strict=True))

    def sidecars(self) -> list[str]:
        names = Store(self.url, command="tag").names()
        return [name.removesuffix(".mertag.json") for name in names if name.endswith(".mertag.json")]


@pytest.fixture
def bucket(environment: Path, tmp_path: Path) -> Bucket:
    import s3fs

    for path in environment.iterdir():
        path.unlink()
    rng, folder = np.random.default_rng(11), tmp_path / "songs"
    folder.mkdir()
    for i in range(24):
        sound = 0.3 * rng.standard_normal(round(RATE * (1 + i % 5)))
        soundfile.write(folder / f"song_{i:02}.flac", sound.clip(-1, 1), RATE)
    (folder / "bad.mp3").write_bytes(bytes(3000))
    soundfile.write(folder / "short.wav", np.zeros(100), RATE)
    name = f"music-{os.getpid()}-{tmp_path.name.replace('_', '-')}"
    store = s3fs.S3FileSystem()
    store.mkdir(name)
    made = Bucket(folder, f"s3://{name}/songs", Store(f"s3://{name}/rows", command="tag"))
    upload(made)
    return made


def upload(bucket: Bucket) -> None:
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).put(str(bucket.folder) + "/", bucket.url + "/", recursive=True)


def run(
    bucket: Bucket,
    bundle: Bundle,
    *,
    faulty: bool = False,
    on_first: Any = None,
    segments: bool = False,
    sidecars: bool = False,
) -> tuple[list[Event], Summary]:
    steps = None
    if faulty:
        sys.path.insert(0, str(HERE))
        import faulty_steps

        steps = faulty_steps.decode, faulty_steps.DyingListener
    with connected(None) as there, Tagger(bundle, device="cpu", workers=1) as tagger:
        shares = plan(nodes(there), "cpu")
        listening = Listening(segments=segments)
        engine = RayEngine(there, bundle=bundle, plan=shares, listening=listening, steps=steps)
        entries = read_catalogue([bucket.url])
        events: list[Event] = []
        key = tagger.model_key
        for event in tag_catalogue(
            entries, engine=engine, store=bucket.out, model_key=key, segments=segments, sidecars=sidecars
        ):
            events.append(event)
            if isinstance(event, FileDone) and on_first is not None:
                on_first()
                on_first = None
    last = events[-1]
    assert isinstance(last, Finished)
    assert sum(last.summary.counts.values()) == last.summary.found == len(list(bucket.folder.iterdir()))
    assert sorted(bucket.rows()) == sorted(path.name for path in bucket.folder.iterdir())
    return events, last.summary


def test_rows_from_a_store_are_those_of_one_machine(cluster: Any, bucket: Bucket, bundle: Bundle) -> None:
    _, summary = run(bucket, bundle, segments=True)
    assert (summary.tagged, summary.skipped, summary.failed) == (24, 1, 1)
    rows = bucket.rows()
    with Tagger(bundle, device="cpu", workers=1, timelines=True) as tagger:
        for outcome in tagger.tag_many(sorted(bucket.folder.iterdir())):
            row = rows[Path(outcome.path).name]
            assert row["path"] == f"{bucket.url}/{Path(outcome.path).name}"
            if isinstance(outcome, Tagged):
                found = parquet.emotion_of(row)
                assert found is not None
                assert found.quadrant is outcome.emotion.quadrant
                assert found.quadrant_probabilities == pytest.approx(outcome.emotion.quadrant_probabilities, abs=1e-5)
                assert outcome.timeline is not None
                for n, p in enumerate(outcome.timeline.quadrant_probabilities.T, start=1):
                    np.testing.assert_allclose(row[f"segment_p_q{n}"], p, atol=1e-5)
            else:
                assert row["reason"] == outcome.reason
    for n_written in (24, 0):
        events, again = run(bucket, bundle, segments=True, sidecars=True)
        assert all(event.remembered for event in events if isinstance(event, FileDone))
        assert (again.tagged, again.unchanged, again.failed) == (n_written, 24 - n_written, 1)
        assert len(bucket.sidecars()) == 24


def test_a_worker_process_that_is_killed_costs_nothing_but_time(cluster: Any, bucket: Bucket, bundle: Bundle) -> None:
    for name in ("task_once.flac", "actor_once.flac"):
        shutil.copy(bucket.folder / "song_03.flac", bucket.folder / name)
    upload(bucket)
    _, summary = run(bucket, bundle, faulty=True)
    faults = Path(os.environ["FAULT_DIR"])
    assert (faults / "task_once.flac").exists(), "a task was killed"
    assert (faults / "actor_once.flac").exists(), "an actor was killed"
    assert (summary.tagged, summary.failed) == (26, 1)


def test_a_song_that_no_worker_survives_costs_itself(cluster: Any, bucket: Bucket, bundle: Bundle) -> None:
    shutil.copy(bucket.folder / "song_03.flac", bucket.folder / "task_always.flac")
    upload(bucket)
    events, summary = run(bucket, bundle, faulty=True)
    assert (summary.tagged, summary.failed) == (24, 2)
    row = bucket.rows()["task_always.flac"]
    assert (row["status"], row["reason"]) == ("failed", "every worker that had it died or failed (3 times)")
    tried = (Path(os.environ["FAULT_DIR"]) / "decoded.txt").read_text().split().count("task_always.flac")
    assert 3 <= tried <= 9, "bounded: three times, with two retries of Ray's each"
    assert any(isinstance(event, Note) and "tried again" in event.text for event in events)


def test_a_node_that_dies_amid_the_run_costs_nothing_but_time(cluster: Any, bucket: Bucket, bundle: Bundle) -> None:
    node = cluster.add_node(num_cpus=2, object_store_memory=200 << 20)
    os.environ["FAULT_SLOW_S"] = "0.3"

    def kill() -> None:
        cluster.remove_node(node, allow_graceful=False)

    _, summary = run(bucket, bundle, faulty=True, on_first=kill)
    assert (summary.tagged, summary.skipped, summary.failed) == (24, 1, 1)


def test_a_driver_that_is_killed_is_resumed(cluster: Any, bucket: Bucket, bundle: Bundle) -> None:
    program = [sys.executable, "-m", "mertag", "tag", bucket.url, "--engine", "ray", "--parquet", bucket.out.url]
    program += ["--ray-address", cluster.address, "--model", str(bundle.folder), "--device", "cpu", "--sidecar"]
    first = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while not bucket.out.names() and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    _, said = first.communicate()
    done = bucket.rows()
    assert done, said
    second = subprocess.run(program, capture_output=True, text=True, check=False, timeout=500)
    assert second.returncode == 1, second.stderr
    (counts,) = re.findall(r"found 26 = (\d+) tagged \+ (\d+) unchanged \+ 1 skipped \+ 1 failed", second.stderr)
    assert sum(map(int, counts)) == 24, second.stderr
    assert ".cc:" not in second.stderr, "what Ray says to itself is not for the terminal"
    assert len(bucket.sidecars()) == 24
    rows = bucket.rows()
    assert sorted(rows) == sorted(path.name for path in bucket.folder.iterdir())
    assert {name: rows[name] for name in done} == done
