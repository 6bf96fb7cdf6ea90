"""The song classifier: what the statistics of a song's segments say of it (paper, "Song-level Decisions").

``svm`` is the paper's: a support vector machine with a radial basis on seven statistics a class, calibrated by a
sigmoid. Of four classes its scores are little more than votes between pairs, which do not say how sure it is.
``svm-linear`` is ours: one linear machine a class against the rest, on the logarithms of the mean probabilities;
multinomial logistic regression makes probabilities of their scores, those that machines which have not seen the song
give it. On disk it is what it was fitted on, as plain arrays: fitting is exact and quick, so that it is fitted again
where it is needed, and the saved probabilities show that it is the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from mertag.errors import DatasetError, TrainingError
from mertag.listen.windows import song_features, windows
from mertag_train.arrays import AnyFloats, Floats, Floats32, Ints
from mertag_train.data.datasets.base import MIN_SONGS_PER_CLASS
from mertag_train.learn.config import SongClassifier, TrainConfig
from mertag_train.learn.linear import fit_linear

MAX_CALIBRATION_FOLDS = 5
KINDS: tuple[SongClassifier, ...] = ("svm", "svm-linear")

SAME_PROBABILITY = 1e-6
"""By how much a classifier that is fitted again may differ: rounding, on another processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SongTable:
    """What a song classifier is fitted on.

    The features (n_rows, 7 * n_classes) are as the exported classifier sees them. Each row has a class and a song: rows
    of one song never stand on two sides of the calibration.
    """

    features: Floats32
    label: Ints
    song: Ints

    def without(self, songs: Ints) -> SongTable:
        """Return the rows of all other songs."""
        rows = ~np.isin(self.song, songs)
        return SongTable(features=self.features[rows], label=self.label[rows], song=self.song[rows])


def window_features(probabilities: AnyFloats, n_samples: int, config: TrainConfig) -> Floats:
    """Return the features of each window of one song of `n_samples`, shape (n_windows, 7 * n_classes).

    Its segments on the fixed grid have the `probabilities` (n_segments, n_classes); ValueError if there is none.
    """
    found = windows(
        np.arange(len(probabilities), dtype=np.int64) * config.segmentation.hop_samples(config.front_end),
        segment_samples=config.segmentation.segment_samples(config.front_end),
        n_samples=n_samples,
        sample_rate=config.front_end.sample_rate,
        rule=config.window_rule,
    )
    return np.stack([song_features(probabilities[window]) for window in found])


def song_table(
    probabilities: Sequence[AnyFloats],
    n_samples: Sequence[int],
    labels: Ints,
    config: TrainConfig,
    *,
    sub_windows_s: Sequence[float] = (),
    seed: int = 0,
) -> SongTable:
    """Return the rows to fit a song classifier on; TrainingError if no song has a segment.

    The segment `probabilities` (n_segments, n_classes), durations in samples and classes are those of each song; songs
    without a segment are left out. Each song also gives one stretch of each of `sub_windows_s` seconds, at a random
    place.
    """
    rng = np.random.default_rng(seed)
    rows: list[Floats] = []
    song: list[int] = []
    for index, (p, length) in enumerate(zip(probabilities, n_samples, strict=True)):
        if len(p) == 0:
            continue
        of_song = list(window_features(p, int(length), config))
        for duration_s in sub_windows_s:
            span = max(1, round((duration_s - config.segmentation.duration_s) / config.segmentation.hop_s) + 1)
            if span < len(p):
                first = int(rng.integers(0, len(p) - span + 1))
                of_song.append(song_features(p[first : first + span]))
        rows.extend(of_song)
        song.extend([index] * len(of_song))
    if not rows:
        raise TrainingError("no song is as long as one segment")
    return SongTable(
        features=np.stack(rows).astype(np.float32),
        label=labels[song].astype(np.int64),
        song=np.array(song, dtype=np.int64),
    )


def fit(table: SongTable, *, n_classes: int, c: float = 1.0, seed: int = 0, kind: SongClassifier = "svm") -> Pipeline:
    """Fit the song classifier: a pipeline whose ``predict_proba`` has one column for each of `n_classes` classes.

    `c` and `kind` are as in `mertag_train.learn.config.SongConfig`; `seed` is that of the folds of the calibration.
    Raises DatasetError if a class has fewer than two songs.
    """
    songs_of = [len(set(table.song[table.label == k].tolist())) for k in range(n_classes)]
    if min(songs_of) < MIN_SONGS_PER_CLASS:
        raise DatasetError(
            f"the song classifier needs two songs of each class, and has {songs_of}; add songs, or use larger shares"
        )
    folds = StratifiedGroupKFold(min(MAX_CALIBRATION_FOLDS, *songs_of), shuffle=True, random_state=seed)
    cv = list(folds.split(table.features, table.label, table.song))
    if kind == "svm-linear":
        return fit_linear(table.features, table.label, cv, c=c)
    model = CalibratedClassifierCV(SVC(kernel="rbf", C=c), method="sigmoid", ensemble=False, cv=cv)
    return make_pipeline(StandardScaler(), model).fit(table.features, table.label)


def predict_songs(
    classifier: Pipeline, probabilities: Sequence[AnyFloats], n_samples: Sequence[int], config: TrainConfig
) -> Floats:
    """Return the song probabilities, shape (n_songs, n_classes): the mean over each song's windows.

    Of each song are the `probabilities` (n_segments, n_classes) of its segments and its duration in samples. Raises
    ValueError if there is no song, or one has no segment.
    """
    found = [
        classifier.predict_proba(window_features(p, int(n), config).astype(np.float32)).mean(0)
        for p, n in zip(probabilities, n_samples, strict=True)
    ]
    return np.stack(found)


def save(path: Path, table: SongTable, classifier: Pipeline, *, c: float, seed: int, kind: SongClassifier) -> None:
    """Write what the classifier was fitted on, and what it says of it, as plain arrays."""
    np.savez_compressed(
        path,
        features=table.features,
        label=table.label,
        song=table.song,
        probabilities=classifier.predict_proba(table.features),
        n_classes=len(classifier.classes_),
        c=c,
        seed=seed,
        kind=KINDS.index(kind),
    )


def load(path: Path) -> tuple[SongTable, Pipeline]:
    """Fit the saved classifier again.

    Raises TrainingError if the file cannot be read, or the classifier is not the one that was saved (another
    scikit-learn).
    """
    try:
        with np.load(path, allow_pickle=False) as saved:
            table = SongTable(features=saved["features"], label=saved["label"], song=saved["song"])
            expected = saved["probabilities"]
            n_classes, c, seed = int(saved["n_classes"]), float(saved["c"]), int(saved["seed"])
            kind = KINDS[int(saved["kind"])]
        classifier = fit(table, n_classes=n_classes, c=c, seed=seed, kind=kind)
        difference = float(np.abs(classifier.predict_proba(table.features) - expected).max())
    except Exception as error:  # numpy, zipfile and zlib raise almost anything for a damaged file
        raise TrainingError(
            f"{path}: not a readable song classifier ({error}); copy the run anew, or train it again"
        ) from error
    if not difference <= SAME_PROBABILITY:
        raise TrainingError(
            f"{path}: fitted again, the song classifier differs by {difference:.1e} from the one that was saved; "
            "use the scikit-learn version of the run (its metrics.json names it)"
        )
    return table, classifier
