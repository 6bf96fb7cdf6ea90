"""Which songs a catalogue holds: folders, stores and lists, by path and URL."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from mertag.batch.cluster.catalogue import Entry, read_catalogue
from mertag.errors import ConfigError
from mertag.library.find import Shard

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402


@pytest.fixture
def music(tmp_path: Path) -> Path:
    for name in ("a.mp3", "live/b.flac", "live/c.txt", ".hidden/d.mp3", "e.FLAC"):
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "music"


def found(entries: list[Entry]) -> list[str]:
    assert [entry.index for entry in entries] == list(range(len(entries)))
    return [entry.address for entry in entries]


def test_a_folder_and_the_same_folder_by_url_hold_the_same_songs(music: Path) -> None:
    local = found(read_catalogue([str(music)]))
    assert sorted(local) == [str(music / name) for name in ("a.mp3", "e.FLAC", "live/b.flac")]
    assert sorted(found(read_catalogue([music.as_uri()]))) == sorted(local)
    remote = found(read_catalogue([f"local://{music}"]))
    assert sorted(remote) == [f"local://{path}" for path in sorted(local)]


@pytest.mark.parametrize("scheme", ["", "local://"])
def test_patterns_and_shards_narrow_a_store_as_they_do_a_folder(scheme: str, music: Path) -> None:
    source = f"{scheme}{music}"
    assert found(read_catalogue([source], include=["*.flac"])) == [f"{source}/e.FLAC", f"{source}/live/b.flac"]
    assert f"{source}/live/b.flac" not in found(read_catalogue([source], exclude=["live"]))
    parts = [found(read_catalogue([source], shard=Shard(number=n, of=3))) for n in (1, 2, 3)]
    assert sorted(itertools.chain(*parts)) == sorted(found(read_catalogue([source])))


def test_shards_of_a_store_are_those_of_the_folder(music: Path) -> None:
    for number in (1, 2):
        shard = Shard(number=number, of=2)
        local = found(read_catalogue([str(music)], shard=shard))
        assert sorted(found(read_catalogue([f"local://{music}"], shard=shard))) == sorted(f"local://{p}" for p in local)


def test_a_song_that_is_reached_twice_comes_once(music: Path) -> None:
    assert found(read_catalogue([f"local://{music}/a.mp3", f"local://{music}", f"local://{music}/a.mp3"])) == [
        f"local://{music}/{name}" for name in ("a.mp3", "e.FLAC", "live/b.flac")
    ]


def test_of_what_is_listed_a_path_that_is_gone_is_a_song_with_its_trouble(music: Path) -> None:
    listed = [f"{music}/gone.mp3", f"{music}/a.mp3", f"local://{music}/live"]
    entries = read_catalogue([], listed=listed)
    assert [(entry.address, entry.trouble) for entry in entries] == [
        (f"{music}/gone.mp3", "no such file or folder"),
        (f"{music}/a.mp3", ""),
        (f"local://{music}/live/b.flac", ""),
    ]
    with pytest.raises(ConfigError):
        read_catalogue(listed)


@pytest.mark.parametrize("kind", ["csv", "parquet", "remote csv", "remote parquet"])
def test_a_list_gives_songs_their_ids(kind: str, tmp_path: Path) -> None:
    songs = {"id": [7, 8], "other": ["x", "y"], "url": ["s3://bucket/a, b.mp3", "relative.mp3"]}
    path = tmp_path / f"list.{kind.split()[-1]}"
    if path.suffix == ".csv":
        path.write_text('id,other,url\n7,x,"s3://bucket/a, b.mp3"\n8,y,relative.mp3\n', encoding="utf-8-sig")
    else:
        pq.write_table(pa.table(songs), path)
    entries = read_catalogue([f"local://{path}" if "remote" in kind else str(path)])
    assert [(entry.id, entry.address) for entry in entries] == [
        ("7", "s3://bucket/a, b.mp3"),
        ("8", str(Path("relative.mp3").absolute())),
    ]


def test_without_ids_the_address_is_the_id(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("path\n/a.mp3\n")
    assert read_catalogue([str(path)]) == [Entry(0, "/a.mp3", "/a.mp3")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name\na.mp3\n", "no column 'url' or 'path'; it has name"),
        ("", "no column"),
        ("id,url\n1,/a.mp3\n1,/b.mp3\n", "'1' stands for two songs"),
        ("id,url\n1,\n", "row 1 lacks its url"),
        ("id,url\n,/a.mp3\n", "row 1 lacks its id"),
        ("id,url\n1,/a.mp3,3\n", "cannot be read"),
    ],
)
def test_a_list_that_cannot_be_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_catalogue([str(path)])


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.parquet").write_bytes(b"no Parquet")
    for source in (tmp_path / "nothing", tmp_path / "nothing.csv", tmp_path / "no.parquet"):
        with pytest.raises(ConfigError):
            read_catalogue([str(source)])
    with pytest.raises(ConfigError, match="nosuchstore"):
        read_catalogue(["nosuchstore://bucket"])
