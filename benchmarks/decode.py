"""How fast audio is decoded: in this process, and by worker processes.

    python benchmarks/decode.py ~/Music --workers 1 2 4

The difference between one worker and none is what processes cost (start, and passing the samples on).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from mertag.library.find import find_audio
from mertag.listen.decode.pool import DecoderPool


def main() -> None:
    """Print one line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, os.cpu_count() or 1])
    options = parser.parse_args()
    files = list(find_audio(options.paths))
    print(f"{len(files)} files")
    print(f"{'workers':>8} {'seconds':>8} {'first':>6} {'files/s':>8} {'x real time':>12} {'failed':>7}")
    for workers in (0, *options.workers):
        start = time.perf_counter()
        first_s, samples, failed = 0.0, 0, 0
        with DecoderPool(workers=workers) as pool:
            for piece in pool.decode(enumerate(files)):
                first_s = first_s or time.perf_counter() - start
                samples += 0 if piece.chunk is None else len(piece.chunk)
                failed += piece.error is not None
        took_s = time.perf_counter() - start
        speed = samples / 22_050 / took_s
        print(f"{workers:8} {took_s:8.2f} {first_s:6.2f} {len(files) / took_s:8.2f} {speed:12.0f} {failed:7}")


if __name__ == "__main__":
    main()
