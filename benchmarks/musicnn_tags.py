"""What MSD-musicnn says of the clips of 4Q by itself: the probabilities of its 50 tags, a JSON object a clip.

    python benchmarks/musicnn_tags.py --data-dir DIR

As the package musicnn hears by default: windows of 3 s side by side, and the mean of the probabilities over them. The
network is the first of the two taggers that come with the training (`mertag_train.networks.taggers`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from mertag_train.arrays import Floats32
from mertag_train.data.datasets import read
from mertag_train.data.embedding_model import BUNDLED, EmbeddingModel
from mertag_train.data.embeddings import embeddings

TAGS = (
    *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock"),
    *("jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow"),
    *("electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient"),
    *("acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening"),
    *("sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad"),
    *("House", "happy"),
)
"""In the order of the network's outputs: ``MSD_LABELS`` of the package musicnn."""


def main() -> None:
    """Print one line of JSON: by song id, the probability of each tag."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=int, default=1, help="only every so many clips")
    given = parser.parse_args()
    songs = [song for song in read("4q", given.data_dir).songs if song.path is not None][:: given.every]
    with tempfile.TemporaryDirectory(prefix="mertag-musicnn-") as folder:
        model = EmbeddingModel(write_tags_alone(Path(folder) / "musicnn.onnx"), threads=given.threads)
        heard = embeddings(songs, model, cache=Path(folder))
    print(json.dumps({clip: probabilities(logits) for clip, logits in heard.items()}))


def write_tags_alone(path: Path) -> Path:
    """Write MSD-musicnn with its tags as only output, and return the path."""
    import onnx
    from onnx.utils import Extractor

    both = onnx.load(BUNDLED)
    joined = next(node for node in both.graph.node if "embeddings" in node.output)
    tags = joined.input[2]  # after the units of the two taggers
    alone = Extractor(both).extract_model([both.graph.input[0].name], [tags])
    onnx.helper.set_model_props(alone, {"sample_rate": "16000", "output": tags})
    onnx.save_model(alone, path)
    return path


def probabilities(logits: Floats32) -> dict[str, float]:
    """Return the mean probability of each tag over the windows, of logits (n_windows, 50)."""
    mean = (1 / (1 + np.exp(-logits.astype(np.float64)))).mean(0)
    return dict(zip(TAGS, mean.tolist(), strict=True))


if __name__ == "__main__":
    main()
