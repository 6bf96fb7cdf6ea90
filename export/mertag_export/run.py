"""From a finished run to a bundle: export, prove, seal. Nothing is left where the bundle should be unless all holds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from mertag.emotion import CLASS_NAMES, Target
from mertag.errors import BundleError, ConfigError, ExportError, ParityError
from mertag.listen.bundle import CARD_NAME, Bundle, write_bundle
from mertag.listen.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Head, Manifest, Precision, check_file_name
from mertag_export.card import LICENCE_NAME, Licence, licence_of, model_card
from mertag_export.graphs import Clip, Probabilities, run_segment_graph, session, write_golden
from mertag_export.parity import (
    MEAN_LIMIT,
    SEGMENT_LIMIT,
    SONG_LIMIT,
    Check,
    agreement_limit,
    calibration,
    clips_of,
    dataset_of,
    decision_agreement,
    largest_difference,
    mean_difference,
    run_librosa,
    run_torch,
    song_difference,
)
from mertag_export.quantise import quantise
from mertag_export.segment import SegmentGraph, export_segment, shared_groups
from mertag_export.song import export_song
from mertag_train.data.datasets import Dataset
from mertag_train.learn.song import window_features
from mertag_train.runs.run import Run

PARITY_CLIPS = 6
"""Songs on which torch and librosa are run, too: they are slow."""
CALIBRATION_CLIPS, CALIBRATION_SEGMENTS = 32, 4
"""Songs of the training part, and segments of each, that show int8 its ranges."""

OnCheck = Callable[[Check], None]
OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What is made of a run.

    Attributes
    ----------
    name, version : str
        Of the bundle; they go into tags.
    precisions : tuple of Precision
        Which segment graphs.
    licence : Licence or None
        Terms of the weights; None for what follows from the data set.
    check_songs : int
        On how many songs of the run's test part the graphs are compared.

    Raises
    ------
    ConfigError
        If the name or the version cannot stand in a tag, or no precision is named.
    """

    name: str
    version: str
    precisions: tuple[Precision, ...] = (Precision.INT8, Precision.FP16)
    licence: Licence | None = None
    check_songs: int = 24

    def __post_init__(self) -> None:
        for what in ("name", "version"):
            try:
                check_file_name(getattr(self, what), f"the model's {what}")
            except BundleError as error:
                raise ConfigError(str(error)) from error
        if not self.precisions:
            raise ConfigError(f"name at least one precision: {', '.join(Precision)}")


def export_run(
    run: Run,
    out: Path,
    options: ExportOptions,
    *,
    data_dir: Path | None = None,
    overwrite: bool = False,
    on_check: OnCheck = lambda check: None,
    on_step: OnStep = lambda what: None,
) -> Bundle:
    """Make a bundle of a finished run in the folder `out`.

    Parameters
    ----------
    data_dir : Path or None
        Where the run's data set lies now; None for where it lay then.
    overwrite : bool
        Replace a bundle that is there; never anything else.
    on_check, on_step : callables
        Called with each comparison, and with what is being done.

    Raises
    ------
    ParityError
        If a graph does not do what was trained. No bundle is written; one that was there stays.
    ExportError
        If no song of the data set can be decoded, or the bundle cannot be written.
    DatasetError
        If the data set is not where it was.
    ConfigError
        If `out` exists, and may not or cannot be replaced.
    """
    check_destination(out, overwrite=overwrite)
    dataset = dataset_of(run, data_dir)
    with new_folder_for(out) as folder, TemporaryDirectory(dir=folder.parent) as scratch:
        bundle = _Export(run, dataset, folder, Path(scratch), options, on_check, on_step).make()
    return replace(bundle, folder=out)


class _Export:
    """The steps of an export: each graph is made, compared with what it comes from, then part of the bundle."""

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        folder: Path,
        scratch: Path,
        options: ExportOptions,
        on_check: OnCheck,
        on_step: OnStep,
    ) -> None:
        self.run, self.config, self.targets = run, run.config, run.config.targets
        self.dataset, self.folder, self.options = dataset, folder, options
        self.on_check, self.on_step = on_check, on_step
        self.n_frames = self.config.segmentation.segment_frames(self.config.front_end)
        self.fp32, self.shared = scratch / "segment.fp32.onnx", scratch / "segment.shared.onnx"
        self.checks: list[Check] = []

    def make(self) -> Bundle:
        """Run all steps; return the sealed bundle."""
        self.on_step("decoding songs to compare on")
        clips = clips_of(self.run, self.dataset, "test", self.options.check_songs)
        self.on_step(f"exporting fp32, comparing it on {len(clips)} songs")
        self._export(self.fp32, clips[0])
        exact = self._answers(self.fp32, clips)
        self._prove_fp32(exact, clips)
        songs = {target: self._song(target, exact, clips) for target in self.targets}
        segment = {precision: self._segment(precision, exact, clips) for precision in self.options.precisions}
        self.on_step("sealing the bundle")
        return self._seal(segment, songs)

    def _check(self, what: str, value: float, limit: float, *, agreement: bool = False) -> None:
        found = Check(what=what, value=value, limit=limit, agreement=agreement)
        self.checks.append(found)
        self.on_check(found)
        if not found.passed:
            raise ParityError(f"{found}: the exported model does not do what was trained; no bundle was written")

    def _export(self, path: Path, example: Clip, *, half: bool = False, shared_groups: int = 0) -> None:
        graph = SegmentGraph(
            self.config.front_end,
            self.run.networks,
            n_frames=self.n_frames,
            half=half,
            shared_groups=shared_groups,
        )
        export_segment(graph, path, torch.from_numpy(example.waveform), torch.from_numpy(example.starts))

    def _answers(self, path: Path, clips: list[Clip]) -> list[Probabilities]:
        opened = session(path)
        return [run_segment_graph(opened, clip, self.targets) for clip in clips]

    def _prove_fp32(self, exact: list[Probabilities], clips: list[Clip]) -> None:
        """Compare the fp32 graph with the torch module, and with librosa before the torch networks."""
        front_end, segmentation, networks = self.config.front_end, self.config.segmentation, self.run.networks
        few = clips[:PARITY_CLIPS]
        graph = SegmentGraph(front_end, networks, n_frames=self.n_frames)
        in_torch = [run_torch(graph, clip) for clip in few]
        with_librosa = [run_librosa(networks, clip, front_end, segmentation) for clip in few]
        for other, found in (("torch", in_torch), ("librosa and torch", with_librosa)):
            difference = largest_difference(exact[: len(few)], found)
            self._check(f"segments, ONNX fp32 against {other}", difference, SEGMENT_LIMIT)

    def _song(self, target: Target, exact: list[Probabilities], clips: list[Clip]) -> str:
        """Make and prove the song graph of a target; return its file name."""
        name = f"song.{target}.onnx"
        classifier = self.run.classifiers[target]
        export_song(classifier, self.folder / name, n_classes=len(CLASS_NAMES[target]))
        features = [window_features(p[target], len(c.waveform), self.config) for p, c in zip(exact, clips, strict=True)]
        rows = np.concatenate(features).astype(np.float32)
        difference = song_difference(session(self.folder / name), classifier, rows)
        self._check(f"songs, ONNX against scikit-learn ({target})", difference, SONG_LIMIT)
        return name

    def _segment(self, precision: Precision, exact: list[Probabilities], clips: list[Clip]) -> str:
        """Make and prove the segment graph of a precision; return its file name."""
        self.on_step(f"making {precision}")
        path = self.folder / f"segment.{precision}.onnx"
        if precision is Precision.FP32:
            shutil.copyfile(self.fp32, path)
            return path.name
        if precision is Precision.FP16:
            self._export(path, clips[0], half=True)
        else:
            ranges = clips_of(self.run, self.dataset, "train", CALIBRATION_CLIPS)
            quantise(self._to_quantise(clips[0]), path, calibration(ranges, CALIBRATION_SEGMENTS))
        found = self._answers(path, clips)
        self._check(f"segments, {precision} against fp32, mean", mean_difference(found, exact), MEAN_LIMIT[precision])
        agree = decision_agreement(found, exact, clips, self.run.classifiers, self.config)
        what = f"song decisions on {len(clips)} songs, {precision} against fp32"
        self._check(what, agree, agreement_limit(len(clips)), agreement=True)
        return path.name

    def _to_quantise(self, example: Clip) -> Path:
        """Return the fp32 graph that int8 is made of: the exact one where segments have nothing to share."""
        groups = shared_groups(self.config.segmentation)
        if not groups:
            return self.fp32
        self._export(self.shared, example, shared_groups=groups)
        return self.shared

    def _seal(self, segment: dict[Precision, str], songs: dict[Target, str]) -> Bundle:
        """Write what belongs to the graphs, and the manifest last."""
        run, config, options, folder = self.run, self.config, self.options, self.folder
        licence = options.licence or licence_of(run.dataset["name"], run.dataset["citation"])
        card = model_card(run, name=options.name, version=options.version, licence=licence, checks=self.checks)
        (folder / LICENCE_NAME).write_text(licence.text, encoding="utf-8")
        (folder / CARD_NAME).write_text(card, encoding="utf-8")
        write_golden(folder, segment=segment, song=songs, front_end=config.front_end, segmentation=config.segmentation)
        return write_bundle(
            folder,
            Manifest(
                name=options.name,
                version=options.version,
                heads=tuple(Head(target=t, classes=CLASS_NAMES[t], song=songs[t]) for t in self.targets),
                segment=segment,
                licence=licence.summary,
                front_end=config.front_end,
                segmentation=config.segmentation,
                window_rule=config.window_rule,
                dataset=f"{run.dataset['name']}, {run.dataset['songs']} songs",
                training_command=run.command,
                metrics={**run.metrics, "cross_validation": run.cross_validation, "confidence": run.confidence}
                if run.cross_validation
                else dict(run.metrics),
                shared=tuple(p for p in segment if p is Precision.INT8 and shared_groups(config.segmentation)),
            ),
        )


def check_destination(out: Path, *, overwrite: bool) -> None:
    """Raise ConfigError where something stands that may not be replaced: only a bundle or an empty folder may."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not overwrite:
        raise ConfigError(f"{out} exists; name another --out, or replace it with --overwrite")
    if not _only_a_bundle(out):
        raise ConfigError(f"{out} is not a model bundle, or holds other files, too: --overwrite does not replace it")


@contextmanager
def new_folder_for(out: Path) -> Iterator[Path]:
    """Yield a new folder beside `out` that takes its place when the block ends well, and is removed otherwise.

    If it cannot be written, ExportError is raised, and what was at `out` is still there.
    """
    place = out.resolve()  # a link stays a link to the new bundle
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=place.parent, prefix=".export-") as scratch:
            folder = Path(scratch) / "bundle"
            folder.mkdir()
            yield folder
            _swap(folder, place, Path(scratch) / "replaced")
    except OSError as error:
        raise ExportError(
            f"the bundle cannot be written beside {place} ({error}); make room there, or name another --out"
        ) from error


def _swap(folder: Path, place: Path, aside: Path) -> None:
    if place.exists():
        place.replace(aside)
    try:
        folder.replace(place)
    except OSError:
        if aside.exists():
            aside.replace(place)
        raise


def _only_a_bundle(folder: Path) -> bool:
    """Whether a folder holds a manifest, files that it lists, and nothing else but hidden files."""
    try:
        with (folder / MANIFEST_NAME).open("rb") as file:
            manifest = Manifest.from_json(file.read(MAX_MANIFEST_BYTES))
        entries = list(folder.iterdir())
    except (OSError, BundleError):
        return False
    known = {MANIFEST_NAME, *manifest.files}
    return all(path.is_file() and (path.name in known or path.name.startswith(".")) for path in entries)
