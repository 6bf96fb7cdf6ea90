"""Pack a data set for training on a machine that has neither the audio nor what decodes it.

    python benchmarks/pack_training.py 4q DATA pack --log-mels LOG_MELS
    python benchmarks/pack_training.py music DATA pack

Writes log-mels, labels, artists and what the teacher says of the clips into a folder, in pieces that can be copied one
by one (`packed.py` says what is in them). 719 clips of 30 s are 95 MB. ``music`` packs a folder of clips without labels
(`free_music.py`).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import platformdirs
from packed import PIECE_BYTES, write_pack

from mertag.listen.windows import FrontEnd
from mertag_train.data.datasets import Dataset, read
from mertag_train.data.datasets.base import Song
from mertag_train.data.embedding_model import EmbeddingModel, path_of
from mertag_train.data.store import log_mels
from mertag_train.data.teacher import hear


def main() -> None:
    """Pack; say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="as of `mertag train --dataset`, or music")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--log-mels", type=Path, help="where they lie, or shall lie; else in the user's cache")
    parser.add_argument("--teacher", default="musicnn", help="musicnn, none, or an ONNX file")
    parser.add_argument("--piece-mb", type=float, default=PIECE_BYTES / 1e6, help="of a piece, before compression")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode")
    options = parser.parse_args()
    began = time.perf_counter()
    dataset = clips_in(options.data_dir) if options.dataset == "music" else read(options.dataset, options.data_dir)
    dataset = dataset.with_audio()
    store = log_mels(dataset, FrontEnd(), folder=options.log_mels, workers=options.workers)
    path, teacher = path_of(options.teacher), None
    if path is not None:
        cache = Path(platformdirs.user_cache_path("mertag"))
        teacher = hear(dataset.songs, store, EmbeddingModel(path), cache=cache, workers=options.workers)
    files = write_pack(options.out, dataset, store, teacher, piece_bytes=round(options.piece_mb * 1e6))
    sizes = {file: file.stat().st_size / 1e6 for file in files}
    for file, size in sizes.items():
        print(f"{file}: {size:.1f} MB")
    total, took_s = sum(sizes.values()), time.perf_counter() - began
    print(f"{len(store.ids)} clips, {total:.1f} MB in {len(files)} files, {took_s:.0f} s")


def clips_in(folder: Path) -> Dataset:
    """Return the clips of a folder as a data set in which nothing is labelled."""
    paths = sorted(folder.glob("*.flac"))
    songs = tuple(Song(id=f"u{p.stem}", path=p, group=p.stem, artist="", targets={}) for p in paths)
    return Dataset(
        name="music", root=folder, songs=songs, missing_audio=(), unlabelled=(), targets=(), labelling="none"
    )


if __name__ == "__main__":
    main()
