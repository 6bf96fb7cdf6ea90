"""Pack a data set for training on a machine that has neither the audio nor what decodes it.

    python benchmarks/pack_training.py 4q DATA pack --log-mels LOG_MELS

Writes log-mels, labels, artists and what the teacher says of the clips into a folder, in pieces that can be copied one
by one (`packed.py` says what is in them). 719 clips of 30 s are 95 MB.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import platformdirs
from packed import PIECE_BYTES, write_pack

from mertag.listen.windows import FrontEnd
from mertag_train.data.datasets import read
from mertag_train.data.embedding_model import EmbeddingModel, path_of
from mertag_train.data.store import log_mels
from mertag_train.data.teacher import hear


def main() -> None:
    """Pack; say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="as of `mertag train --dataset`")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("--log-mels", type=Path, help="where they lie, or shall lie; else in the user's cache")
    parser.add_argument("--teacher", default="musicnn", help="musicnn, none, or an ONNX file")
    parser.add_argument("--piece-mb", type=float, default=PIECE_BYTES / 1e6, help="of a piece, before compression")
    parser.add_argument("--workers", type=int, default=2, help="processes that decode")
    options = parser.parse_args()
    began = time.perf_counter()
    dataset = read(options.dataset, options.data_dir).with_audio()
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


if __name__ == "__main__":
    main()
