"""`evaluate`: anybody's method in the same folds and the same tables as those of mertag.

>>> from sklearn.linear_model import LogisticRegression                                     # doctest: +SKIP
>>> report = evaluate(LogisticRegression(), read("4q", "data/4q"), "features.parquet")      # doctest: +SKIP
>>> print(report)                                                                           # doctest: +SKIP

With `out`, results are kept as ``mertag evaluate --out`` keeps them: the same command then prints the paper's tables
with this method in them, and adds other methods on the same folds.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from mertag.emotion import Target
from mertag.errors import ConfigError, DatasetError
from mertag_train.data.datasets.base import Dataset, default_targets
from mertag_train.data.folds import Group
from mertag_train.evaluation import output, protocol, runner
from mertag_train.evaluation.methods import METHODS
from mertag_train.evaluation.methods import method as find_method
from mertag_train.evaluation.methods.estimator import Estimator, EstimatorMethod, Inputs
from mertag_train.evaluation.results import RESULTS, Result
from mertag_train.evaluation.vectors import Vectors, fingerprint, read_parquet

if TYPE_CHECKING:
    from mertag_train.evaluation.methods.base import Method

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
Given = Literal["paths", "songs"] | Vectors | Mapping[str, npt.ArrayLike] | npt.NDArray[Any] | str | Path


def evaluate(
    method: Estimator,
    dataset: Dataset,
    inputs: Given = "paths",
    *,
    name: str | None = None,
    targets: Sequence[Target | str] | None = None,
    group: Group = "recording",
    n_folds: int | None = None,
    folds_file: Path | None = None,
    seeds: int = 1,
    beside: Sequence[str] = ("majority",),
    out: Path | str | None = None,
    resume: bool = False,
    on_task: Callable[[int, int, Result, bool], None] = lambda done, total, result, kept: None,
) -> output.Report:
    """Measure a method by cross-validation, on the folds that all methods have.

    Parameters
    ----------
    method : object with ``fit(X, y)`` and ``predict_proba(X)``
        It is copied, unfitted, for each fold, as `sklearn.base.clone` does. `y` are class numbers, int64 of shape
        (n_songs,), in the order of `mertag.emotion.CLASS_NAMES`: Q1 to Q4; V- and V+; A- and A+.
    dataset : Dataset
        What `mertag_train.data.datasets.read` gives. Songs that cannot be given to the method are left out, and
        counted.
    inputs : "paths", "songs", or vectors
        What `X` is: a list of paths of audio files; a list of `Song`, with id, artist and path; or, of one's own
        vectors, an array of shape (n_songs, ...). These are given as `Vectors`, as a Parquet file (`read_parquet`), by
        song id, or as an array with a row for each of `dataset.songs`.
    name : str or None
        As it stands in tables; None for the name of its class. Lower case, words joined by hyphens.
    targets : sequence of Target or str, or None
        What is predicted, one after the other; None for what the data set was rated for.
    group : {"recording", "artist"}
        What never stands on both sides of a fold.
    n_folds, folds_file
        How many folds (None for those of `out`, or ten), or a file ``song_id,fold`` of others.
    seeds : int
        How often, each time with another seed: it becomes every ``random_state`` of the method.
    beside : sequence of str
        Methods of mertag that are measured, too: those that use no segments. Others are run by ``mertag evaluate``.
    out : path or None
        Where results are kept, as by ``mertag evaluate --out``; None to keep none.
    resume : bool
        Keep the finished folds of an earlier call. They are those of the same class and parameters, but nobody can see
        whether its code is what it was; so by default all are run anew.
    on_task : callable
        Told ``(done, total, result, kept)`` after each fold.

    Returns
    -------
    Report
        Figures, tables, and every two methods compared; printed, it shows the main ones.

    Raises
    ------
    ConfigError
        If the name, a target or the inputs cannot be, or results are there with other parameters.
    DatasetError
        If folds cannot be made, or the probabilities are none.
    """
    called = name or _name_of(method)
    if not NAME.fullmatch(called) or called in METHODS:
        taken = "is one of mertag's own methods" if called in METHODS else "is not lower case, words joined by hyphens"
        raise ConfigError(f"a method called {called!r}: that {taken}. Give another name.")
    songs, given = _inputs(dataset, inputs)
    mine = EstimatorMethod(name=called, summary=called, estimator=method, inputs=given)
    methods: list[Method] = [mine, *(_beside(other) for other in beside)]
    wanted = [_target(target, songs) for target in targets or default_targets(songs)]
    with TemporaryDirectory(prefix="mertag-evaluation-") as scratch:
        root = Path(scratch if out is None else out)
        folder, fixed, dealt, judged = protocol.prepare(
            root, songs, targets=wanted, group=group, n_folds=n_folds, folds_file=folds_file
        )
        if not resume:
            shutil.rmtree(folder / RESULTS / called, ignore_errors=True)
        tasks = runner.plan(methods, targets=wanted, segments_s=(1.0,), seeds=range(seeds), folds=dealt.names)
        around = replace(_surroundings(songs, group), songs=judged, own={mine.name: mine})
        runner.run(folder, fixed, dealt, tasks, around, on_task=on_task)
        made = output.make_report(folder)
        if out is not None:
            output.write_report(folder, made, pictures=False)
    return made


def _name_of(method: object) -> str:
    """Return the name of a class in lower case, words joined by hyphens."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", type(method).__name__)
    return "-".join(words).casefold() or "method"


def _beside(name: str) -> Method:
    found = find_method(name)
    if found.uses_segments:
        raise ConfigError(
            f"{name} trains networks: run `mertag evaluate --method {name}` with the same --out, and both stand in its "
            "tables."
        )
    return found


def _target(target: Target | str, dataset: Dataset) -> Target:
    if target not in dataset.targets:
        raise ConfigError(f"{dataset.name} has no {target} labels; it has {', '.join(dataset.targets)}.")
    return Target(target)


def _inputs(dataset: Dataset, given: Given) -> tuple[Dataset, Inputs]:
    """Return the songs that can be given to the method, and what is given of them."""
    if isinstance(given, str) and given in ("paths", "songs"):
        return dataset.with_audio(), Inputs(kind="songs" if given == "songs" else "paths")
    if isinstance(given, (str, Path)):
        if not Path(given).is_file():
            raise ConfigError(f"inputs {str(given)!r}: neither 'paths' nor 'songs', and there is no such file.")
        given = read_parquet(Path(given))
    vectors = _vectors(dataset, given)
    kept = tuple(song for song in dataset.songs if song.id in vectors)
    if not kept:
        raise DatasetError(f"none of the {len(dataset.songs)} songs of {dataset.name} has a vector among those given.")
    shapes = {np.shape(vectors[song.id]) for song in kept}
    if len(shapes) > 1:
        raise ConfigError(f"the vectors have different shapes: {', '.join(map(str, sorted(shapes)[:3]))}.")
    without = tuple(song.id for song in dataset.songs if song.id not in vectors)
    own = {song.id: vectors[song.id] for song in kept}
    judged = replace(dataset, songs=kept, missing_audio=without)
    return judged, Inputs(kind="vectors", vectors=own, fingerprint=fingerprint(own))


def _vectors(dataset: Dataset, given: Any) -> Mapping[str, Any]:
    if isinstance(given, Vectors):
        return given.by_song()
    if isinstance(given, Mapping):
        return given
    rows = np.asarray(given)
    if rows.ndim < 2 or len(rows) != len(dataset.songs):
        raise ConfigError(
            f"inputs of the shape {rows.shape}: one row for each of the {len(dataset.songs)} songs of {dataset.name} "
            "is understood; or give them by song id."
        )
    return {song.id: row for song, row in zip(dataset.songs, rows, strict=True)}


def _surroundings(dataset: Dataset, group: Group) -> runner.Surroundings:
    import torch

    from mertag_train.evaluation.vectors import user_cache
    from mertag_train.learn.config import TrainConfig

    def none() -> NoReturn:
        raise ConfigError("log-mels are for methods that use segments; run these with `mertag evaluate`.")

    return runner.Surroundings(
        dataset=dataset,
        songs=dataset.songs,
        group=group,
        config=TrainConfig(),
        recipes={},
        log_mels=none,
        frames=none,
        device=torch.device("cpu"),
        cache=user_cache(dataset),
        workers=os.cpu_count() or 1,
    )
