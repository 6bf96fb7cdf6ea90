"""The log-mel store: what is written is read, a killed or failed write harms nothing, damage is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import mertag
from mertag.errors import DatasetError
from mertag.listen.windows import FrontEnd
from mertag_train.data.store import STALE_S, Clip, LogMelStore, open_store, write_store

FRONT_END = FrontEnd()
ROOT = Path(mertag.__file__).resolve().parents[1]


def clip(index: int, seconds: int = 1) -> Clip:
    n_samples = seconds * 22_050
    shape = (FRONT_END.n_frames(n_samples), 128)
    return Clip(f"clip {index}", n_samples, np.random.default_rng(index).normal(-40, 10, shape).astype(np.float32))


def write(folder: Path, *indices: int) -> LogMelStore:
    return write_store(folder, (clip(i, 1 + i % 2) for i in indices), FRONT_END)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "store", 0, 1, 2)
    store = open_store(tmp_path / "deep" / "store")
    assert store.ids == ("clip 0", "clip 1", "clip 2")
    assert store.front_end == FRONT_END
    for index in range(3):
        _, n_samples, logmel, _ = clip(index, 1 + index % 2)
        assert store.n_samples[index] == n_samples
        np.testing.assert_array_equal(store.clip(index), logmel)
    assert store.index_of(["clip 2", "clip 0"]).tolist() == [2, 0]
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["store"]


def test_a_store_is_replaced_by_a_new_one(tmp_path: Path) -> None:
    write(tmp_path / "store", 0, 1)
    assert write(tmp_path / "store", 2).ids == ("clip 2",)


def test_a_clip_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"1 of 2 clips are not in the log-mel store, such as 'other'.*name another"):
        write(tmp_path / "store", 0).index_of(["clip 0", "other"])


def test_a_folder_that_holds_anything_else_is_never_replaced(tmp_path: Path) -> None:
    music = tmp_path / "Music"
    music.mkdir()
    (music / "song.mp3").write_bytes(b"all my music")
    with pytest.raises(
        DatasetError, match=r"holds 'song\.mp3', so it is no log-mel store; name a folder that is empty"
    ):
        write(music, 0)
    (tmp_path / "file").write_text("text")
    with pytest.raises(DatasetError, match="no log-mel store"):
        write(tmp_path / "file", 0)
    assert (music / "song.mp3").read_bytes() == b"all my music"
    assert (tmp_path / "file").read_text() == "text"
    (tmp_path / "empty").mkdir()
    assert write(tmp_path / "empty", 0).ids == ("clip 0",)


def test_an_error_while_computing_leaves_the_old_store_and_no_litter(tmp_path: Path) -> None:
    write(tmp_path / "store", 0)

    def broken() -> Iterator[tuple[str, int, np.ndarray]]:
        yield clip(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "store", broken(), FRONT_END)
    assert open_store(tmp_path / "store").ids == ("clip 0",)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_no_clip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no clip"):
        write(tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_write_leaves_the_old_store_and_a_later_one_takes_the_litter_away(tmp_path: Path) -> None:
    write(tmp_path / "store", 0)
    code = (
        "import sys, time; from pathlib import Path; import numpy as np\n"
        "from mertag.listen.windows import FrontEnd; from mertag_train.data.store import write_store\n"
        "def clips():\n"
        "    yield 'new', 22050, np.zeros((42, 128))\n"
        "    print('writing', flush=True); time.sleep(60)\n"
        f"write_store(Path({str(tmp_path / 'store')!r}), clips(), FrontEnd())\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'train'}"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    assert open_store(tmp_path / "store").ids == ("clip 0",)
    (litter,) = (path for path in tmp_path.iterdir() if path.name != "store")
    write(tmp_path / "store", 1)
    assert litter.exists()  # young: it may be that of a run that is still computing
    for path in (litter, *litter.iterdir()):
        os.utime(path, (time.time() - 2 * STALE_S,) * 2)
    write(tmp_path / "store", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_full_disk_is_said_and_the_old_store_stays(tmp_path: Path) -> None:
    write(tmp_path / "store", 0)

    def full() -> Iterator[tuple[str, int, np.ndarray]]:
        yield clip(2)
        raise OSError(28, "No space left on device")

    with pytest.raises(DatasetError, match=r"cannot be written.*No space left.*--log-mels"):
        write_store(tmp_path / "store", full(), FRONT_END)
    assert open_store(tmp_path / "store").ids == ("clip 0",)


def cut_frames(folder: Path) -> None:
    os.truncate(folder / "logmel.npy", 1000)


def empty_frames(folder: Path) -> None:
    os.truncate(folder / "logmel.npy", 0)


def no_frames(folder: Path) -> None:
    (folder / "logmel.npy").unlink()


def cut_index(folder: Path) -> None:
    os.truncate(folder / "index.json", 40)


def pickled_frames(folder: Path) -> None:
    np.save(folder / "logmel.npy", np.array([{"code": 1}], dtype=object), allow_pickle=True)


def other_frames(folder: Path) -> None:
    np.save(folder / "logmel.npy", np.zeros((7, 128), np.float32))


def changed_index(key: str, value: object):
    def change(folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text())
        (folder / "index.json").write_text(json.dumps({**index, key: value}))

    change.__name__ = f"{key}={value}"
    return change


@pytest.mark.parametrize(
    "damage",
    [
        cut_frames,
        empty_frames,
        no_frames,
        cut_index,
        pickled_frames,
        other_frames,
        changed_index("schema", 99),
        changed_index("ids", ["only one"]),
        changed_index("ids", ["twice", "twice"]),
        changed_index("n_samples", [22_050, 22_050]),
        changed_index("front_end", {"n_fft": 1024, "unknown": 1}),
    ],
    ids=lambda damage: damage.__name__,
)
def test_damage_is_named_with_a_remedy(damage, tmp_path: Path) -> None:
    write(tmp_path / "store", 0, 1)
    damage(tmp_path / "store")
    with pytest.raises(DatasetError, match=r"store: .*(delete its index.json and logmel.npy)") as caught:
        open_store(tmp_path / "store")
    assert str(tmp_path / "store") in str(caught.value)
