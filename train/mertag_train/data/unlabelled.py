"""Music without a label, for what is learnt without one: stretches of songs, their log-mels, what a teacher hears.

Of each song a few stretches are heard, by default the 30 s in its middle, so that an hour's mix counts no more than a
song, and memory does not grow with the length of files. Of a long file the first `MOST_S` seconds count. A file that
cannot be read or heard is left out and named; so is one that is a labelled song's, byte for byte: it would stand on
both sides of a split.

The log-mels are a store (`mertag_train.data.store`) of their own in the user's cache, under a name that changes with
the files; the stretch k of a file has the id ``unlabelled/<path below the folder>#<k>``.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mertag.errors import ConfigError, DatasetError, FileError
from mertag.files import json_digest, path_text
from mertag.library.find import find_audio
from mertag.listen.silence import SILENT_DBFS
from mertag.listen.windows import FrontEnd
from mertag_train.arrays import Floats32, Ints
from mertag_train.data.datasets.base import Song
from mertag_train.data.store import (
    INDEX,
    MOST_PEAK,
    SCHEMA,
    Clip,
    LogMelStore,
    as_loud_as_can_be,
    clip_of,
    log_mels_cache,
    open_store,
    write_store,
)

if TYPE_CHECKING:
    from mertag.listen.decode.pool import DecoderPool

VERSION = 1
"""Raised whenever the same files would give other stretches."""
MOST_S = 20 * 60.0
"""Of a file, so many seconds from its start are looked at: what has to be held until its end is known."""
LEAST_S = 1.0
"""A file that is shorter is no song."""
SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretches:
    """What is heard of a song: at most `count` stretches of `duration_s` seconds, the middles of equal parts of it.

    A shorter song is heard whole.
    """

    count: int = 1
    duration_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.count < 1 or not self.duration_s > 0:
            raise ConfigError(f"stretches of a song must be 1 or more, of above 0 s, not {self.count}")

    def of(self, waveform: Floats32, sample_rate: int) -> list[Floats32]:
        """Return the stretches of a song's samples (n,), in order."""
        length = round(self.duration_s * sample_rate)
        n = len(waveform)
        if n <= length:
            return [waveform]
        count = min(self.count, n // length)
        starts = [min(round((k + 0.5) * n / count - length / 2), n - length) for k in range(count)]
        return [waveform[start : start + length] for start in starts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlabelled:
    """Songs without a label.

    Attributes
    ----------
    root : Path
        Where they were looked for.
    rule : Stretches
        What is heard of each.
    paths : mapping of str to Path
        The files by their path below `root`, as text: those that are in the store, and those that are left out of it.
    store : LogMelStore
        The stretches; `LogMelStore.left_out` names the files that cannot be read or heard, and why.
    labelled : tuple of Path
        Files that were there and are labelled songs.
    pseudo_labels : bool
        Whether they are also for self-learning, where a network learns what it says of them itself.
    """

    root: Path
    rule: Stretches
    paths: Mapping[str, Path]
    store: LogMelStore
    labelled: tuple[Path, ...] = ()
    pseudo_labels: bool = True

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the names and durations of all stretches, in hexadecimal."""
        return json_digest(sorted(zip(self.store.ids, self.store.n_samples.tolist(), strict=True)))

    def to_json(self) -> dict[str, Any]:
        """Return what a training has on record of them, as plain JSON values, without a path."""
        known = {**asdict(self.rule), "stretches": len(self.store.ids), "sha256": self.fingerprint}
        return {**known, "pseudo_labels": True} if self.pseudo_labels else known

    def in_words(self) -> tuple[str, ...]:
        """Return what is to be said of them before they are learnt from, line by line."""
        hours = float(self.store.n_samples.sum()) / self.store.front_end.sample_rate / 3600
        n = len({source_of(clip) for clip in self.store.ids})
        said = [
            f"without a label: {n} songs in {path_text(self.root)}, {len(self.store.ids)} stretches of at most "
            f"{self.rule.duration_s:g} s, {hours:.1f} hours in all"
        ]
        if self.labelled:
            said.append(f"left out: {len(self.labelled)} files that are labelled songs")
        out = [f"  {name}: {why}" for name, why in self.store.left_out.items()]
        if out:
            said += [f"left out: {len(out)} files that cannot be read or heard", *out[:SHOWN]]
            said += [f"  and {len(out) - SHOWN} more"] if len(out) > SHOWN else []
        return tuple(said)

    def beside(self, store: LogMelStore) -> tuple[LogMelStore, Ints]:
        """Return labelled clips and these in one store, its frames in memory, and the positions of these in it."""
        mine = self.store
        if store.front_end != mine.front_end:
            raise DatasetError("songs with and without labels have log-mels of other front ends")
        power = [_power(each) for each in (store, mine)]
        joined = replace(
            store,
            frames=np.concatenate([store.frames, mine.frames]),
            ids=(*store.ids, *mine.ids),
            offsets=np.concatenate([store.offsets, store.offsets[-1] + mine.offsets[1:]]),
            n_samples=np.concatenate([store.n_samples, mine.n_samples]),
            power=None if store.power is None else np.concatenate(power, axis=1),
        )
        return joined, np.arange(len(store.ids), len(joined.ids), dtype=np.int64)


def _power(store: LogMelStore) -> Any:
    if store.power is not None:
        return store.power
    return np.concatenate([as_loud_as_can_be(n, store.front_end) for n in store.n_samples.tolist()], axis=1)


def source_of(stretch: str) -> str:
    """Return the path, below the folder, of the file that a stretch is of, by the stretch's id."""
    return stretch.removeprefix("unlabelled/").rpartition("#")[0]


def unlabelled(
    root: Path,
    labelled: Sequence[Song],
    front_end: FrontEnd,
    *,
    rule: Stretches,
    workers: int = 1,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> Unlabelled:
    """Return the music in a folder and the folders below it, its log-mels computed if they are not in the cache.

    `labelled` are the songs that it must not hold; `workers` processes decode, and `on_clip` is told (done, total).

    Raises
    ------
    ConfigError
        If there is no such folder.
    DatasetError
        If no file in it can be heard, or the store cannot be written.
    """
    refused: list[str] = []
    found = list(find_audio([root], on_error=lambda path, why: refused.append(f"{path_text(path)}: {why}")))
    known = _same_files(found, labelled)
    paths = {path_text(path.relative_to(root) if path != root else path.name): path for path in found}
    paths = {name: path for name, path in paths.items() if path not in known}
    if not paths:
        why = f"; {refused[0]}" if refused else f"; {len(known)} files in it are labelled songs" if known else ""
        raise DatasetError(f"--unlabelled {path_text(root)}: there is no music without a label{why}. Name another one")
    folder = _cache_folder(paths, front_end, rule)
    if not (folder / INDEX).exists():
        left_out: dict[str, str] = {}
        write_store(folder, _clips(paths, front_end, rule, workers, on_clip, left_out), front_end, left_out=left_out)
    return Unlabelled(root=root, rule=rule, paths=paths, store=open_store(folder), labelled=tuple(sorted(known)))


def _same_files(found: Iterable[Path], labelled: Sequence[Song]) -> set[Path]:
    """Return the files whose bytes are those of a labelled song."""
    of_size: dict[int, list[Path]] = defaultdict(list)
    for song in labelled:
        if song.path is not None:
            of_size[song.path.stat().st_size].append(song.path)
    same: set[Path] = set()
    for path in found:
        try:
            candidates = of_size.get(path.stat().st_size, [])
            if candidates and sha256_of(path) in {sha256_of(each) for each in candidates}:
                same.add(path)
        except OSError:  # it will be named as one that cannot be read
            continue
    return same


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache_folder(paths: Mapping[str, Path], front_end: FrontEnd, rule: Stretches) -> Path:
    """Return where the log-mels of files are kept; it changes when a file does."""
    seen = []
    for name, path in paths.items():
        try:
            found = path.stat()
            seen.append((name, found.st_size, found.st_mtime_ns))
        except OSError:
            seen.append((name, -1, -1))
    key = json.dumps([SCHEMA, VERSION, asdict(front_end), asdict(rule), sorted(seen)], sort_keys=True)
    return log_mels_cache() / f"unlabelled-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _clips(
    paths: Mapping[str, Path],
    front_end: FrontEnd,
    rule: Stretches,
    workers: int,
    on_clip: Callable[[int, int], None],
    left_out: dict[str, str],
) -> Iterator[Clip]:
    """Yield the stretches of files; a file that cannot be read, or is no music, is put into `left_out`."""
    # Here: they need audio libraries, a store that is there does not.
    import torch

    from mertag.listen.decode.pool import DecoderPool
    from mertag_train.data.frontend import LogMel

    log_mel = LogMel(front_end)
    names = list(paths)
    with DecoderPool(workers=workers, front_end=front_end) as pool, torch.inference_mode():
        each = stretches_of(pool, enumerate(paths.values()), front_end.sample_rate, rule)
        for done, (index, found) in enumerate(each, start=1):
            on_clip(done, len(names))
            if isinstance(found, FileError):
                left_out[names[index]] = found.reason
                continue
            if why := _no_music(found, front_end.sample_rate):
                left_out[names[index]] = why
                continue
            for k, waveform in enumerate(found, start=1):
                yield clip_of(f"unlabelled/{names[index]}#{k}", waveform, front_end, log_mel)


def _no_music(stretches: Sequence[Floats32], sample_rate: int) -> str:
    """Return why nothing can be learnt from the stretches of a file; "" if something can."""
    peak = max(float(np.abs(waveform).max(initial=0.0)) for waveform in stretches)
    if peak > MOST_PEAK:
        return f"samples of up to {peak:.0f} times full scale: no music"
    if len(stretches[0]) < LEAST_S * sample_rate:
        return f"shorter than {LEAST_S:g} s"
    if peak < 10 ** (SILENT_DBFS / 20):
        return f"silent: nothing in it is louder than {SILENT_DBFS:.0f} dBFS"
    return ""


def stretches_of(
    pool: DecoderPool, paths: Iterable[tuple[int, Path]], sample_rate: int, rule: Stretches
) -> Iterator[tuple[int, list[Floats32] | FileError]]:
    """Yield the index of each file with its stretches at the pool's rate in Hz, or with what is wrong with it.

    They are the same at any rate, to within a sample.
    """
    most = round(MOST_S * sample_rate)
    chunks: dict[int, list[Floats32]] = defaultdict(list)
    held: dict[int, int] = defaultdict(int)
    for piece in pool.decode(paths):
        if piece.chunk is not None and held[piece.index] < most:
            chunks[piece.index].append(np.array(piece.chunk))
            held[piece.index] += len(piece.chunk)
        if piece.last:
            held.pop(piece.index, None)
            of_file = np.concatenate([np.zeros(0, dtype=np.float32), *chunks.pop(piece.index, [])])[:most]
            yield piece.index, piece.error or rule.of(of_file, sample_rate)
