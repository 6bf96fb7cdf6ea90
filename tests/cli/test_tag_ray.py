"""`mertag tag --engine ray`: what it refuses, and how a cluster is shared out. For runs see tests/batch/cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mertag.batch.cluster.plan import plan
from mertag.cli.app import app
from mertag.errors import DeviceError


def refused(*args: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["tag", *map(str, args)])
    return done.exit_code, done.stderr


@pytest.mark.parametrize("option", ["--write-id3", "--dry-run"])
def test_nothing_is_written_into_songs_and_the_way_home_is_said(option: str) -> None:
    code, said = refused("s3://bucket", "--engine", "ray", "--parquet", "s3://bucket/out", option)
    assert code == 2
    assert "mertag import" in said
    assert f"--retag {option}" in said


@pytest.mark.parametrize("options", [["--workers", 2], ["--state", "x"], ["--retag"], ["--force"]])
def test_what_is_for_one_machine_is_refused(options: list[object]) -> None:
    code, said = refused("/music", "--engine", "ray", "--parquet", "out", *options)
    assert (code, f"{options[0]} is for --engine local" in said) == (2, True)


def test_nothing_is_written_beside_a_song_that_is_served_by_http(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    code, said = refused("https://host/a.mp3", "--engine", "ray", "--parquet", tmp_path / "out", "--sidecar")
    assert (code, "nothing can be written beside https://host/a.mp3" in said) == (2, True), said
    assert not (tmp_path / "out").exists()


def test_urls_may_stand_in_a_list_of_files(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    (tmp_path / "list").write_text("https://host/a.mp3\n")
    options = ["--files-from", tmp_path / "list", "--engine", "ray", "--parquet", tmp_path / "out", "--sidecar"]
    code, said = refused(*options)
    assert (code, "beside https://host/a.mp3" in said) == (2, True), said


def test_rows_need_a_place() -> None:
    code, said = refused("/music", "--engine", "ray")
    assert (code, "name a folder" in said) == (2, True)


def test_one_machine_takes_no_url_and_no_cluster(tmp_path: Path) -> None:
    assert "is read with --engine ray" in refused("s3://bucket/song.mp3")[1]
    assert "--ray-address is for --engine ray" in refused(tmp_path, "--ray-address", "host:6379")[1]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, said = refused(tmp_path, "--engine", "ray", "--parquet", tmp_path / "out")
    assert (code, "[ray]" in said) == (3, True), said


@pytest.mark.parametrize(
    ("nodes", "device", "actors", "actor_cpus", "threads", "decode_cpus"),
    [
        ([{"CPU": 2}], "auto", 1, 1, 2, 1),
        ([{"CPU": 1}, {"CPU": 1}], "auto", 2, 0.5, 1, 0.5),
        ([{"CPU": 8}], "cpu", 1, 7, 8, 1),
        ([{"CPU": 12}], "cpu", 2, 5, 6, 1),
        ([{"CPU": 16}, {"CPU": 64}, {"CPU": 0}], "cpu", 10, 7, 8, 1),
        ([{"CPU": 16, "GPU": 2}, {"CPU": 32}], "auto", 2, 1, None, 1),
        ([{"CPU": 16, "GPU": 2}, {"CPU": 16}], "cpu", 4, 7, 8, 1),
    ],
)
def test_every_core_is_used_once(
    nodes: list[dict[str, float]],
    device: str,
    actors: int,
    actor_cpus: float,
    threads: int | None,
    decode_cpus: float,
) -> None:
    shares = plan(nodes, device)  # type: ignore[arg-type]
    assert (shares.actors, shares.actor_cpus, shares.threads) == (actors, actor_cpus, threads)
    assert shares.decode_cpus == decode_cpus
    assert shares.actors * shares.actor_cpus < sum(node["CPU"] for node in nodes), "some decode"


def test_a_cluster_that_cannot_do_it_is_refused() -> None:
    with pytest.raises(DeviceError, match="no node of the Ray cluster has a GPU"):
        plan([{"CPU": 8}], "cuda")
    with pytest.raises(DeviceError, match="no node of the Ray cluster has a processor"):
        plan([{"CPU": 0}], "auto")
