"""The song graph gives what scikit-learn gives, in float32 what it gives in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from mertag.listen.windows import song_features
from mertag_export.graphs import run_song_graph, session
from mertag_export.parity import SONG_LIMIT, agreement_limit, song_difference
from mertag_export.song import export_song
from mertag_train.learn.config import SongClassifier
from mertag_train.learn.song import SongTable, fit

pytestmark = pytest.mark.command


def songs(n: int, n_classes: int, seed: int, clearness: float) -> tuple[np.ndarray, np.ndarray]:
    """Return features and labels of songs whose segments lean to their class; f7 is often the same in many."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        lean = np.full(n_classes, 0.6)
        lean[i % n_classes] += clearness * rng.random()
        p = rng.dirichlet(lean * rng.uniform(1, 6), size=rng.choice([1, 2, 28])).astype(np.float32)
        rows.append(song_features(p))
    return np.array(rows, dtype=np.float32), np.arange(n) % n_classes


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("clearness", [0.3, 2.0])
@pytest.mark.parametrize("kind", ["svm", "svm-linear"])
def test_the_song_graph_equals_scikit_learn(
    kind: SongClassifier, n_classes: int, clearness: float, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    features, label = songs(120, n_classes, 0, clearness)
    classifier = fit(SongTable(features=features, label=label, song=np.arange(120)), n_classes=n_classes, kind=kind)
    recwarn.clear()
    path = tmp_path / "song.onnx"
    export_song(classifier, path, n_classes=n_classes)
    assert not recwarn.list
    unseen, _ = songs(2_000, n_classes, 1, clearness)
    assert song_difference(session(path), classifier, np.concatenate([features, unseen])) <= SONG_LIMIT
    assert [o.name for o in onnx.load(path).graph.output] == ["probabilities"]
    assert run_song_graph(session(path), unseen[:1]).shape == (1, n_classes)


def test_one_song_may_differ_of_however_few() -> None:
    assert agreement_limit(100) == 0.97
    assert agreement_limit(20) == pytest.approx(0.95)
    assert agreement_limit(3) == pytest.approx(2 / 3)
