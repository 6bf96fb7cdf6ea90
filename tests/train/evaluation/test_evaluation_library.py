"""Anybody's classifier, in the same folds and the same tables as mertag's own methods."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from toy_evaluation import toy_dataset, toy_songs
from toy_training import music_folders
from typer.testing import CliRunner

from mertag.cli.app import app
from mertag.emotion import Target
from mertag.errors import ConfigError, DatasetError
from mertag_train.data.datasets import Song, read
from mertag_train.evaluation import Vectors, evaluate, features_of, read_parquet, write_parquet

pytestmark = pytest.mark.command


def test_ten_lines_measure_a_method_of_ones_own(tmp_path: Path) -> None:
    class Loudness:
        def fit(self, paths: list[Path], y: Any) -> None:
            self.model = LogisticRegression(C=100).fit(self.levels(paths), y)

        def predict_proba(self, paths: list[Path]) -> Any:
            return self.model.predict_proba(self.levels(paths))

        def levels(self, paths: list[Path]) -> Any:
            return [[np.log10(soundfile.read(path)[0].std())] for path in paths]

    report = evaluate(Loudness(), read("folder", music_folders(tmp_path / "music", per_class=4)), n_folds=2)

    assert {s.system.method: s.first.accuracy for s in report.summaries if s.system.target is Target.QUADRANT} == {
        "majority": 0.25,
        "loudness": 1.0,
    }
    assert "| loudness | 1.000 |" in str(report)
    (mine,) = (s for s in report.summaries if s.system.method == "loudness" and s.system.target is Target.QUADRANT)
    assert mine.songs_per_s is not None
    assert mine.songs_per_s > 1
    assert "-0.750" in str(report)  # the majority against it, with its interval


def vectors(noise: float = 0.1) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    return np.eye(4)[[song.targets[Target.QUADRANT] for song in toy_songs()]] + noise * rng.normal(size=(32, 4))


class Backwards:
    """Has its classes in another order than their numbers."""

    def fit(self, X: Any, y: Any) -> Backwards:
        self.model, self.classes_ = LogisticRegression().fit(X, y), np.arange(4)[::-1]
        return self

    def predict_proba(self, X: Any) -> Any:
        return self.model.predict_proba(X)[:, ::-1]


def accuracy(report: Any, method: str, target: Target = Target.QUADRANT) -> float:
    (found,) = (s for s in report.summaries if (s.system.method, s.system.target) == (method, target))
    return float(found.first.accuracy)


def test_vectors_come_as_an_array_by_song_or_from_a_parquet_file_and_give_the_same(tmp_path: Path) -> None:
    dataset, values = toy_dataset(), vectors().astype(np.float32)
    by_song = {song.id: row for song, row in zip(dataset.songs, values, strict=True)}
    table = Vectors(ids=tuple(by_song), values=values)
    write_parquet(table, tmp_path / "x.parquet")
    given = (values, by_song, table, tmp_path / "x.parquet", str(tmp_path / "x.parquet"))
    reports = [evaluate(LogisticRegression(), dataset, one, n_folds=3).json for one in given]
    made = [report["systems"] for report in reports]
    assert all(one == made[0] for one in made)
    assert all(report["songs_per_s"] == [] for report in reports)  # nobody listened to songs
    assert {s["method"] for s in made[0]} == {"majority", "logistic-regression"}


def test_columns_are_put_in_order_by_the_classes_that_a_method_names() -> None:
    assert accuracy(evaluate(Backwards(), toy_dataset(), vectors(), n_folds=3), "backwards") == 1.0


def test_songs_are_given_whole_and_an_axis_by_its_name() -> None:
    class ByArtist:
        def fit(self, songs: list[Song], y: Any) -> None:
            assert set(np.unique(y)) == {0, 1}
            self.known = {song.artist: k for song, k in zip(songs, y, strict=True)}

        def predict_proba(self, songs: list[Song]) -> Any:
            said = [self.known.get(song.artist) for song in songs]
            return [[0.5, 0.5] if k is None else [1.0 - k, k] for k in said]

    songs = tuple(replace(song, path=Path(f"{song.id}.wav")) for song in toy_songs(64))
    alone = {
        group: accuracy(
            evaluate(ByArtist(), toy_dataset(songs), "songs", targets=["arousal"], group=group, n_folds=4),
            "by-artist",
            Target.AROUSAL,
        )
        for group in ("recording", "artist")
    }
    assert alone["recording"] > 0.7  # it knows the artist's other song
    assert alone["artist"] == 0.5


def test_results_are_kept_and_stand_in_the_commands_tables(tmp_path: Path) -> None:
    out, dataset = tmp_path / "evaluation", toy_dataset(name="4q")
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(5))
    evaluate(pipeline, dataset, vectors(), name="forest", n_folds=3, out=out, seeds=2)
    result = CliRunner().invoke(app, ["evaluate", "--table", "3", "--out", str(out), "--json"])
    rows = json.loads(result.stdout)["sheets"][0]["rows"]
    assert next(row["Q-acc. ours"] for row in rows if row["Method"] == "forest").startswith(("9", "100"))
    kept = json.loads((out / "4q-recording/results/forest/quadrant/song/seed-1.fold-0.json").read_text())
    assert kept["settings"]["class"] == "sklearn.pipeline.Pipeline"
    assert kept["settings"]["parameters"]["randomforestclassifier__n_estimators"] == 5


def test_finished_folds_are_kept_only_if_asked_for_and_of_the_same_parameters(tmp_path: Path) -> None:
    def run(method: Any, **options: Any) -> list[bool]:
        seen: list[bool] = []
        evaluate(
            method,
            toy_dataset(),
            vectors(),
            name="mine",
            n_folds=3,
            out=tmp_path,
            beside=(),
            on_task=lambda done, total, result, kept: seen.append(kept),
            **options,
        )
        return seen

    assert run(LogisticRegression()) == [False] * 3
    assert run(LogisticRegression()) == [False] * 3
    assert run(LogisticRegression(), resume=True) == [True] * 3
    with pytest.raises(ConfigError, match=r"parameters\.C: 1\.0 there, 2\.0 here"):
        run(LogisticRegression(C=2.0), resume=True)


def test_what_cannot_be_is_said() -> None:
    dataset = toy_dataset()
    with pytest.raises(ConfigError, match="one of mertag's own methods"):
        evaluate(DummyClassifier(), dataset, vectors(), name="majority")
    with pytest.raises(ConfigError, match="not lower case"):
        evaluate(DummyClassifier(), dataset, vectors(), name="../x")
    with pytest.raises(ConfigError, match=r"shape \(31, 4\): one row for each of the 32 songs"):
        evaluate(DummyClassifier(), dataset, vectors()[1:])
    with pytest.raises(ConfigError, match="neither 'paths' nor 'songs'"):
        evaluate(DummyClassifier(), dataset, "wavs")
    with pytest.raises(ConfigError, match="mertag evaluate --method proposed"):
        evaluate(DummyClassifier(), dataset, vectors(), beside=["proposed"])
    with pytest.raises(DatasetError, match="none of the 32 songs"):
        evaluate(DummyClassifier(), dataset, {"other": [1.0]})
    with pytest.raises(DatasetError, match="has audio here"):
        evaluate(DummyClassifier(), dataset)


class Certain:
    def fit(self, X: Any, y: Any) -> None: ...

    def predict_proba(self, X: Any) -> Any:
        return np.ones((len(X), 4))


def test_numbers_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(DatasetError, match="'certain', fold '0': it gave probabilities that do not sum to 1"):
        evaluate(Certain(), toy_dataset(), vectors(), n_folds=3)


def test_songs_without_a_vector_are_left_out_and_counted() -> None:
    dataset = toy_dataset()
    some = {song.id: row for song, row in zip(dataset.songs, vectors(), strict=True) if song.id != "clip3"}
    made = evaluate(LogisticRegression(), dataset, some, n_folds=3)
    assert (made.protocol.songs, made.protocol.missing_audio) == (31, 1)


# ---- vectors


def test_features_of_songs_are_written_with_their_names_and_read_back(tmp_path: Path) -> None:
    import pyarrow.parquet

    dataset = read("folder", music_folders(tmp_path / "music", per_class=2, duration_s=2.0))
    found = features_of(dataset, cache=tmp_path / "cache", workers=1)
    write_parquet(found, tmp_path / "features.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "features.parquet")
    assert table.column_names == ["song_id", *found.names]
    again = read_parquet(tmp_path / "features.parquet")
    assert (again.ids, again.names) == (found.ids, found.names)
    np.testing.assert_array_equal(again.values, found.values)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a"], "x": [1.0]}, "no column 'song_id'; the columns are id, x"),
        ({"song_id": ["a", "a"], "x": [1.0, 2.0]}, "song 'a' stands twice"),
        ({"song_id": ["a"], "x": ["loud"]}, "does not hold numbers"),
        ({"song_id": ["a"], "x": [None]}, "NaN|numbers"),
        ({"song_id": ["a", "b"], "x": [[1.0], [1.0, 2.0]]}, "does not hold numbers"),
        ({"song_id": ["a"]}, "give columns of numbers"),
    ],
)
def test_a_parquet_file_that_is_something_else_is_refused(tmp_path: Path, columns: Any, message: str) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    with pytest.raises(DatasetError, match=message):
        read_parquet(tmp_path / "x.parquet")
    (tmp_path / "y.parquet").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="not readable as Parquet"):
        read_parquet(tmp_path / "y.parquet")
