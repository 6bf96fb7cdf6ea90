"""The log-mels of a data set, computed once a clip, kept on disk as one array and an index, and found there again.

On disk: ``logmel.npy``, float32 or float16, shape (total_frames, n_mels), clip after clip; ``power.npy``, float64,
shape (2, total_hops), by which `mertag.listen.silence.sounding` tells what is silent; ``index.json``, the front end,
each clip's id and number of samples, and the clips that were left out. What decodes audio is loaded only where log-mels
are computed, so that a store can be trained from where no audio library is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mertag.errors import AmplitudeError, DatasetError, FileError
from mertag.listen.silence import hop_sums
from mertag.listen.windows import FrontEnd
from mertag_train.arrays import AnyFloats, Floats, Floats32, Ints
from mertag_train.data.datasets import Dataset, Song

if TYPE_CHECKING:
    from mertag_train.data.frontend import LogMel


class Clip(NamedTuple):
    """Id, number of samples, log-mel (n_frames, n_mels) and, if known, `hop_sums` (2, n_hops) of a clip."""

    id: str
    n_samples: int
    logmel: AnyFloats
    power: Floats | None = None


SCHEMA = 2
FRAMES, POWER, INDEX = "logmel.npy", "power.npy", "index.json"
MOST_PEAK = 10.0
"""A sample this many times full scale is no music: such a clip is left out."""
STALE_S = 24 * 3600.0
"""Age at which what a killed run left half written is taken away."""
SHOWN = 5
"""How many broken clips an error names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMelStore:
    """The log-mels of many clips.

    Attributes
    ----------
    frames : array, shape (total_frames, n_mels)
        dB, clip after clip in the order of `ids`; a memory map when it was opened from disk.
    offsets : int64 array, shape (n_clips + 1,)
        Clip i is ``frames[offsets[i]:offsets[i + 1]]``.
    n_samples : int64 array, shape (n_clips,)
        Duration of each clip in samples.
    power : float64 array, shape (2, total_hops), or None
        `mertag.listen.silence.hop_sums` of each clip, one after the other; None where every segment counts as sounding.
    left_out : mapping of str to str
        Clips that are not here, by id, and why.
    """

    frames: AnyFloats
    ids: tuple[str, ...]
    offsets: Ints
    n_samples: Ints
    front_end: FrontEnd
    power: Floats | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    def clip(self, index: int) -> AnyFloats:
        """Return the log-mel of one clip, shape (n_frames, n_mels)."""
        return self.frames[self.offsets[index] : self.offsets[index + 1]]

    def power_of(self, index: int) -> Floats | None:
        """Return the `hop_sums` of one clip, shape (2, n_hops), None where they are not known."""
        if self.power is None:
            return None
        first, last = (int((self.n_samples[:i] // self.front_end.hop_length).sum()) for i in (index, index + 1))
        return self.power[:, first:last]

    def index_of(self, ids: Sequence[str]) -> Ints:
        """Return the positions of some clips; raise DatasetError for one that is not here."""
        where = {clip_id: i for i, clip_id in enumerate(self.ids)}
        absent = [clip_id for clip_id in ids if clip_id not in where]
        if absent:
            raise DatasetError(
                f"{len(absent)} of {len(ids)} clips are not in the log-mel store, such as {absent[0]!r}; "
                "it was made of other audio: name another one"
            )
        return np.array([where[clip_id] for clip_id in ids], dtype=np.int64)


def log_mels(
    dataset: Dataset,
    front_end: FrontEnd,
    *,
    folder: Path | None = None,
    workers: int = 2,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> LogMelStore:
    """Return the log-mels of a data set's songs with audio, computing those that are not on disk.

    Raises DatasetError if clips cannot be decoded (the first few are named); if the folder holds something else; or if
    the store that is there was made with another front end, or lacks clips whose audio is there.

    Parameters
    ----------
    folder : Path or None
        Where the store lies or shall lie. A store that is there is used as it is, so that training also runs where the
        audio is not. None: in the user's cache, under a name that changes with the audio files.
    on_clip : callable
        Told (done, total) while `workers` processes decode.
    """
    place = folder or cache_folder(dataset, front_end)
    if (place / INDEX).exists():
        store = open_store(place)
        _check_fits(store, place, dataset, front_end)
        return store
    refuse_other_folder(place)  # now, not after an hour of decoding
    songs = dataset.with_audio().songs
    left_out: dict[str, str] = {}
    return write_store(place, _computed(songs, front_end, workers, on_clip, left_out), front_end, left_out=left_out)


def _check_fits(store: LogMelStore, place: Path, dataset: Dataset, front_end: FrontEnd) -> None:
    if store.front_end != front_end:
        raise DatasetError(f"{place}: made with another front end; name another --log-mels folder")
    here = {*store.ids, *store.left_out}
    lacking = [song.id for song in dataset.songs if song.path is not None and song.id not in here]
    if lacking:
        raise DatasetError(
            f"{place}: {len(lacking)} songs of {dataset.name} are not in these log-mels, such as {lacking[0]!r}; "
            "name another --log-mels folder"
        )
    if not any(song.id in here for song in dataset.songs):
        raise DatasetError(f"{place}: no song of {dataset.name} is in these log-mels; name another --log-mels folder")


def _computed(
    songs: tuple[Song, ...],
    front_end: FrontEnd,
    workers: int,
    on_clip: Callable[[int, int], None],
    left_out: dict[str, str],
) -> Iterator[Clip]:
    """Yield what can be heard; what holds no sensible samples is put into `left_out`, what cannot be read is raised."""
    # Here: they need audio libraries, a store that is there does not.
    import torch

    from mertag.listen.decode.pool import DecoderPool
    from mertag_train.data.frontend import LogMel

    log_mel = LogMel(front_end)
    paths = [(index, song.path) for index, song in enumerate(songs) if song.path is not None]
    chunks: dict[int, list[Floats32]] = {}
    broken: list[FileError] = []
    done = 0
    with DecoderPool(workers=workers, front_end=front_end) as pool, torch.inference_mode():
        for piece in pool.decode(paths):
            of_song = chunks.setdefault(piece.index, [])
            if piece.chunk is not None:
                of_song.append(np.array(piece.chunk))
            song_id = songs[piece.index].id
            if isinstance(piece.error, AmplitudeError):
                left_out[song_id] = piece.error.reason
            elif piece.error is not None:
                broken.append(piece.error)
            if not piece.last:
                continue
            done += 1
            on_clip(done, len(songs))
            del chunks[piece.index]
            if piece.error is None:
                waveform = np.concatenate([np.zeros(0, dtype=np.float32), *of_song])
                peak = float(np.abs(waveform).max(initial=0.0))
                if peak > MOST_PEAK:
                    left_out[song_id] = f"samples of up to {peak:.0f} times full scale: no music"
                    continue
                yield clip_of(song_id, waveform, front_end, log_mel)
    if broken:
        named = "; ".join(str(error) for error in broken[:SHOWN])
        more = f"; and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise DatasetError(
            f"{len(broken)} of {len(songs)} clips cannot be read: {named}{more}. Repair them, or remove them"
        )


def clip_of(clip_id: str, waveform: Floats32, front_end: FrontEnd, log_mel: LogMel) -> Clip:
    """Return a clip of its samples (n,), in inference mode."""
    import torch

    frames = np.zeros((0, front_end.n_mels), dtype=np.float32)
    if len(waveform) >= front_end.n_fft:
        frames = log_mel(torch.from_numpy(waveform)).numpy()
    return Clip(clip_id, len(waveform), frames, hop_sums(waveform, front_end))


def cache_folder(dataset: Dataset, front_end: FrontEnd) -> Path:
    """Return where the log-mels of a data set are kept; it changes when an audio file does."""
    stats = [(song.id, song.path.stat()) for song in dataset.songs if song.path is not None]
    seen = [(song_id, found.st_size, found.st_mtime_ns) for song_id, found in stats]
    key = json.dumps([SCHEMA, dataclasses.asdict(front_end), seen], sort_keys=True)
    name = f"{dataset.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    return log_mels_cache() / name


def log_mels_cache() -> Path:
    """Return where log-mels are kept that nobody named a folder for."""
    import platformdirs

    return Path(platformdirs.user_cache_path("mertag")) / "log-mels"


def write_store(
    folder: Path, clips: Iterable[Clip], front_end: FrontEnd, *, left_out: Mapping[str, str] = MappingProxyType({})
) -> LogMelStore:
    """Write clips, one by one, as a store; one that is there is replaced only when all is written.

    `left_out` is read when all clips are written.

    Raises DatasetError if there is no clip, the folder holds anything but a store (nothing in it is touched), or it
    cannot be written.
    """
    refuse_other_folder(folder)
    # A name of its own: two runs may be computing the same log-mels.
    partial = folder.with_name(f"{_partial_prefix(folder)}{secrets.token_hex(8)}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        partial.mkdir()
        _write_parts(partial, clips, front_end, left_out)
        if folder.exists():
            refuse_other_folder(folder)
            shutil.rmtree(folder)
        partial.replace(folder)
    except OSError as error:
        raise DatasetError(
            f"{folder}: the log-mels cannot be written ({os.strerror(error.errno) if error.errno else error}); "
            "free some space, or name another folder with --log-mels"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return open_store(folder)


def refuse_other_folder(folder: Path) -> None:
    """Raise DatasetError if a folder is there and holds anything but a log-mel store."""
    foreign = sorted({path.name for path in folder.iterdir()} - {FRAMES, POWER, INDEX}) if folder.is_dir() else []
    if foreign or (folder.exists() and not folder.is_dir()):
        what = f"holds {foreign[0]!r}, so it is" if foreign else "is"
        raise DatasetError(f"{folder}: {what} no log-mel store; name a folder that is empty or not there yet")


def _write_parts(partial: Path, clips: Iterable[Clip], front_end: FrontEnd, left_out: Mapping[str, str]) -> None:
    ids: list[str] = []
    n_samples: list[int] = []
    n_frames: list[int] = []
    powers: list[Floats] = []
    # Raw first: how many frames there will be is known only at the end, and the header of a .npy holds it.
    with (partial / "frames.raw").open("wb") as raw:
        for clip_id, samples, logmel, *power in clips:
            raw.write(np.ascontiguousarray(logmel, dtype=np.float32).tobytes())
            ids.append(clip_id)
            n_samples.append(samples)
            n_frames.append(len(logmel))
            powers.append(power[0] if power and power[0] is not None else as_loud_as_can_be(samples, front_end))
    if not ids:
        why = "".join(f"; {clip}: {reason}" for clip, reason in list(left_out.items())[:SHOWN])
        raise DatasetError(f"there is no clip to compute a log-mel of{why}")
    shape = (sum(n_frames), front_end.n_mels)
    frames = np.memmap(partial / "frames.raw", dtype=np.float32, mode="r", shape=shape)
    np.save(partial / FRAMES, frames)
    del frames
    np.save(partial / POWER, np.concatenate(powers, axis=1))
    (partial / "frames.raw").unlink()
    index = {
        "schema": SCHEMA,
        "front_end": dataclasses.asdict(front_end),
        "ids": ids,
        "n_samples": n_samples,
        "n_frames": n_frames,
        "left_out": dict(left_out),
    }
    (partial / INDEX).write_text(json.dumps(index), encoding="utf-8")


def as_loud_as_can_be(n_samples: int, front_end: FrontEnd) -> Floats:
    """Return the `hop_sums` (2, n_hops) of a full-scale square wave: what is not known to be silent sounds."""
    n_hops = n_samples // front_end.hop_length
    return np.stack([np.zeros(n_hops), np.full(n_hops, float(front_end.hop_length))])


def _partial_prefix(folder: Path) -> str:
    return f".{folder.name}.partial-"


def _remove_stale(folder: Path) -> None:
    """Take away what runs that were killed long ago left half written beside a store."""
    for left in folder.parent.iterdir():
        if not left.name.startswith(_partial_prefix(folder)):
            continue
        with suppress(OSError):  # its writer is alive, and has just finished it
            newest = max(path.stat().st_mtime for path in (left, *left.iterdir()))
            if time.time() - newest > STALE_S:
                shutil.rmtree(left)


def open_store(folder: Path) -> LogMelStore:
    """Open a store, memory-mapped; raise DatasetError if there is none, or its parts do not belong together."""
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["schema"] != SCHEMA:
            raise ValueError(f"schema {index['schema']}, expected {SCHEMA}")
        frames = np.load(folder / FRAMES, mmap_mode="r", allow_pickle=False)
        store = LogMelStore(
            frames=frames,
            ids=tuple(index["ids"]),
            offsets=np.concatenate([[0], np.cumsum(index["n_frames"])]).astype(np.int64),
            n_samples=np.array(index["n_samples"], dtype=np.int64),
            front_end=FrontEnd(**index["front_end"]),
            power=np.load(folder / POWER, allow_pickle=False),
            left_out={str(clip): str(reason) for clip, reason in index["left_out"].items()},
        )
        expected = [store.front_end.n_frames(n) for n in store.n_samples.tolist()]
    except Exception as error:  # numpy raises almost anything for a damaged file
        raise DatasetError(f"{folder}: not a readable log-mel store ({error}); {_REMEDY}") from error
    whole = (
        frames.ndim == 2
        and frames.shape == (store.offsets[-1], store.front_end.n_mels)
        and np.issubdtype(frames.dtype, np.floating)
        and len(set(store.ids)) == len(store.ids) == len(expected)
        and np.array_equal(np.diff(store.offsets), expected)
        and store.power is not None
        and store.power.shape == (2, int((store.n_samples // store.front_end.hop_length).sum()))
    )
    if not whole:
        raise DatasetError(f"{folder}: the parts of the log-mel store do not belong together; {_REMEDY}")
    return store


_REMEDY = f"name another folder, or, if mertag made this one, delete its {INDEX} and {FRAMES}: they are made anew"
