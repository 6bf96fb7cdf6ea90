"""What a machine without audio trains from, in a few files: log-mels, labels, artists, and what a teacher says.

::

    pack.json        the data set, its songs, the front end, the scale of the log-mels, the pieces and their hashes
    piece-0.npz ...  of some clips each: log-mels, power, the teacher's outputs

Log-mels are whole numbers from 0 to 255 between the smallest and the largest there is, 0.5 dB apart over a hundred and
thirty: off by a quarter of a dB at most. A frame is kept as its difference from the one before it, of which compression
makes 0.7 bytes a value. The power is float32, the teacher's outputs float16. numpy only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mertag.emotion import Target
from mertag.errors import DatasetError
from mertag.files import write_whole
from mertag.listen.windows import FrontEnd
from mertag_train.data.datasets.base import Dataset, Song
from mertag_train.data.store import LogMelStore
from mertag_train.data.teacher import TeacherTargets

SCHEMA = 1
INDEX = "pack.json"
PIECE_BYTES = 30_000_000
"""Of a piece, before it is compressed."""
LEVELS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A data set without its audio: what `mertag_train.runs` trains from."""

    dataset: Dataset
    store: LogMelStore
    teacher: TeacherTargets | None


def write_pack(
    folder: Path,
    dataset: Dataset,
    store: LogMelStore,
    teacher: TeacherTargets | None,
    *,
    piece_bytes: int = PIECE_BYTES,
) -> list[Path]:
    """Write the songs of a data set that are in a store, with their log-mels; return the files.

    Raises DatasetError if the folder holds anything.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DatasetError(f"{folder}: not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    low, high = _extremes(store)
    here = set(store.ids)
    step = max(high - low, 1e-3) / LEVELS
    pieces, paths = [], []
    for number, clips in enumerate(_dealt(store, teacher, piece_bytes)):
        arrays: dict[str, Any] = {
            "logmel": np.concatenate([_differences(store.clip(i), low, step) for i in clips]),
        }
        if store.power is not None:
            arrays["power"] = np.concatenate([_power(store, i) for i in clips], axis=1)
        if teacher is not None:
            arrays["teacher"] = np.concatenate([teacher.of_clip(i) for i in clips]).astype(np.float16)
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        data, path = file.getvalue(), folder / f"piece-{number}.npz"
        write_whole(path, data)
        paths.append(path)
        pieces.append({"name": path.name, "clips": len(clips), "sha256": hashlib.sha256(data).hexdigest()})
    index = {
        "schema": SCHEMA,
        "dataset": {"name": dataset.name, "labelling": dataset.labelling, "targets": list(dataset.targets)},
        "songs": [
            {"id": s.id, "group": s.group, "artist": s.artist, "targets": dict(s.targets)}
            for s in dataset.songs
            if s.id in here
        ],
        "front_end": dataclasses.asdict(store.front_end),
        "ids": list(store.ids),
        "n_samples": store.n_samples.tolist(),
        "low_db": low,
        "step_db": step,
        "teacher": None
        if teacher is None
        else {
            "n_windows": np.diff(teacher.offsets).tolist(),
            "window_s": teacher.window_s,
            "hop_s": teacher.hop_s,
        },
        "pieces": pieces,
    }
    write_whole(folder / INDEX, json.dumps(index) + "\n")
    return [folder / INDEX, *paths]


def read_pack(folder: Path) -> Packed:
    """Read a pack; the log-mels are float32, in memory. DatasetError is raised if a piece is missing or damaged."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["schema"] != SCHEMA:
            raise ValueError(f"schema {index['schema']}, expected {SCHEMA}")
        arrays = [_piece(folder, piece) for piece in index["pieces"]]
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(f"{folder}: not a whole pack ({error}); copy all its files there, or pack anew") from error
    front_end, n_samples = FrontEnd(**index["front_end"]), np.array(index["n_samples"], dtype=np.int64)
    offsets = _ends([front_end.n_frames(n) for n in n_samples.tolist()])
    differences = np.concatenate([of_piece["logmel"] for of_piece in arrays])
    frames = np.empty(differences.shape, dtype=np.float32)
    for first, last in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        levels = np.cumsum(differences[first:last], axis=0, dtype=np.uint8)  # modulo 256, as the differences are
        frames[first:last] = levels * np.float32(index["step_db"]) + np.float32(index["low_db"])
    power = np.concatenate([p["power"] for p in arrays], axis=1) if "power" in arrays[0] else None
    store = LogMelStore(
        frames=frames,
        ids=tuple(index["ids"]),
        offsets=offsets,
        n_samples=n_samples,
        front_end=front_end,
        power=None if power is None else power.astype(np.float64),
    )
    return Packed(dataset=_dataset(index, folder), store=store, teacher=_teacher(index, arrays))


def _extremes(store: LogMelStore) -> tuple[float, float]:
    each = [store.clip(i) for i in range(len(store.ids)) if len(store.clip(i))]
    return float(min(clip.min() for clip in each)), float(max(clip.max() for clip in each))


def _dealt(store: LogMelStore, teacher: TeacherTargets | None, piece_bytes: int) -> Iterator[list[int]]:
    """Yield the clips of each piece, one after the other."""
    clips: list[int] = []
    held = 0
    for i in range(len(store.ids)):
        size = store.clip(i).size + (0 if store.power is None else _power(store, i).nbytes)
        size += 0 if teacher is None else 2 * teacher.of_clip(i).size
        if clips and held + size > piece_bytes:
            yield clips
            clips, held = [], 0
        clips.append(i)
        held += size
    yield clips


def _power(store: LogMelStore, index: int) -> np.ndarray:
    found = store.power_of(index)
    assert found is not None
    return found.astype(np.float32)


def _differences(logmel: np.ndarray, low: float, step: float) -> np.ndarray:
    """Return the levels of a clip (n_frames, n_mels), each less the one before it, modulo 256."""
    levels = np.rint((np.asarray(logmel, dtype=np.float64) - low) / step).astype(np.uint8)
    return np.diff(levels, axis=0, prepend=np.zeros((1, levels.shape[1]), dtype=np.uint8))


def _piece(folder: Path, piece: dict[str, Any]) -> dict[str, np.ndarray]:
    data = (folder / piece["name"]).read_bytes()
    if hashlib.sha256(data).hexdigest() != piece["sha256"]:
        raise ValueError(f"{piece['name']} is damaged, or of another pack")
    with np.load(io.BytesIO(data), allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def _ends(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _dataset(index: dict[str, Any], folder: Path) -> Dataset:
    return Dataset(
        name=index["dataset"]["name"],
        root=folder,
        songs=tuple(
            Song(
                id=song["id"],
                path=None,
                group=song["group"],
                artist=song["artist"],
                targets={Target(name): value for name, value in song["targets"].items()},
            )
            for song in index["songs"]
        ),
        missing_audio=(),
        unlabelled=(),
        targets=tuple(Target(name) for name in index["dataset"]["targets"]),
        labelling=index["dataset"]["labelling"],
    )


def _teacher(index: dict[str, Any], arrays: Sequence[dict[str, np.ndarray]]) -> TeacherTargets | None:
    about = index["teacher"]
    if about is None:
        return None
    return TeacherTargets(
        values=np.concatenate([of_piece["teacher"] for of_piece in arrays]).astype(np.float32),
        offsets=_ends(about["n_windows"]),
        window_s=about["window_s"],
        hop_s=about["hop_s"],
    )
