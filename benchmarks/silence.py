"""Whether silence changes the mood: clips alone, and with minutes of digital silence between them and their repetition.

    python benchmarks/silence.py CLIPS... --most 20 --seconds 300

Printed is a line for each clip: quadrant and probabilities alone and with the silence, and the largest difference of a
probability. Files are made in a temporary folder, as FLAC.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from material import RATE, read

from mertag import SongEmotion, Tagger
from mertag.library.find import find_audio


def main() -> None:
    """Tag each clip twice; print both results, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, help="clips, and folders of them")
    parser.add_argument("--most", type=int, default=20, help="only so many, spread evenly over what is found")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long the silence is")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    found = list(find_audio(options.clips))
    places = np.linspace(0, len(found) - 1, min(options.most, len(found))).round().astype(int)
    same, differences = 0, []
    with tempfile.TemporaryDirectory() as folder, Tagger(device="cpu", threads=options.threads) as tagger:
        for path in (found[place] for place in places):
            made = with_silence(path, Path(folder) / "made.flac", options.seconds)
            alone, silent = tagger.tag(path), tagger.tag(made)
            difference = np.abs(np.subtract(said(alone), said(silent))).max()
            same += alone.quadrant is silent.quadrant
            differences.append(difference)
            print(f"{path.name}: {shown(alone)}; {shown(silent)}, {silent.silent_s:.0f} s silent; {difference:.3f}")
    print(
        f"{same} of {len(differences)} keep their quadrant; largest difference of a probability: "
        f"median {np.median(differences):.3f}, most {max(differences):.3f}"
    )


def with_silence(path: Path, made: Path, seconds: float) -> Path:
    """Write a clip, silence, and the clip again."""
    music = read(path).T
    gap = np.zeros((round(seconds * RATE), music.shape[1]), np.float32)
    soundfile.write(made, np.concatenate([music, gap, music]), RATE)
    return made


def said(emotion: SongEmotion) -> list[float]:
    """Return the probabilities of the quadrants."""
    return list(emotion.quadrant_probabilities)


def shown(emotion: SongEmotion) -> str:
    """Return quadrant and probabilities as text."""
    return f"{emotion.quadrant} ({' '.join(f'{p:.2f}' for p in said(emotion))})"


if __name__ == "__main__":
    main()
