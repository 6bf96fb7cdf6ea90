"""From a finished run to a bundle: export, prove, seal. Nothing is left where the bundle should be unless all holds."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from mertag.audio import decode_all
from mertag.bundle import CARD_NAME, Bundle, write_bundle
from mertag.emotion import CLASS_NAMES, Target
from mertag.errors import ConfigError, ExportError, FileError, ParityError
from mertag.manifest import Head, Manifest, Precision
from mertag_train.datasets import Dataset, Song, read
from mertag_train.experiment import cutting_of
from mertag_train.run import Run
from mertag_train.song import window_features

from .card import model_card
from .golden import write_golden
from .parity import (
    AGREEMENT_LIMIT,
    SEGMENT_LIMIT,
    SONG_LIMIT,
    Check,
    Clip,
    decision_agreement,
    largest_difference,
    run_graph,
    run_librosa,
    run_torch,
    session,
    song_parity,
)
from .quantise import quantise
from .segment import SegmentGraph, export_segment
from .song import export_song

PARITY_CLIPS = 6
CALIBRATION_CLIPS = 32
CALIBRATION_SEGMENTS = 4
LICENCE_NAME = "LICENSE-WEIGHTS"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What is made of a run.

    Attributes
    ----------
    name, version : str
        Of the bundle; they go into tags.
    precisions : tuple of Precision
        Which segment graphs.
    check_songs : int
        On how many songs the decisions of int8 and fp16 are compared with fp32.
    """

    name: str
    version: str
    precisions: tuple[Precision, ...] = (Precision.INT8, Precision.FP16)
    check_songs: int = 24


def export_run(
    run: Run,
    out: Path,
    options: ExportOptions,
    *,
    data_dir: Path | None = None,
    overwrite: bool = False,
    on_check: Callable[[Check], None] = lambda check: None,
    on_step: Callable[[str], None] = lambda what: None,
) -> Bundle:
    """Make a bundle of a run.

    Parameters
    ----------
    run : Run
        A finished run.
    out : Path
        The bundle's folder.
    options : ExportOptions
        What is made.
    data_dir : Path or None
        Where the run's data set lies now; None for where it lay then.
    overwrite : bool
        Replace a bundle that is there.
    on_check, on_step : callables
        Told each comparison, and what is being done.

    Raises
    ------
    ParityError
        If a graph does not do what was trained; no bundle is left.
    ExportError
        If no song of the data set can be decoded.
    ConfigError
        If `out` exists.
    """
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists; name another --out, or give --overwrite")
    dataset = read(run.dataset["name"], data_dir or Path(run.dataset["root"]), **run.dataset.get("options", {}))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        bundle = _make(run, dataset, folder, Path(scratch), options, on_check, on_step)
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)
    return Bundle(folder=out, manifest=bundle.manifest, id=bundle.id)


def _make(
    run: Run,
    dataset: Dataset,
    folder: Path,
    scratch: Path,
    options: ExportOptions,
    on_check: Callable[[Check], None],
    on_step: Callable[[str], None],
) -> Bundle:
    config, targets = run.config, run.config.targets
    front_end, segmentation, cutting = config.front_end, config.segmentation, cutting_of(config)
    checks: list[Check] = []

    def check(what: str, value: float, limit: float, *, agreement: bool = False) -> None:
        found = Check(what=what, value=value, limit=limit, agreement=agreement)
        checks.append(found)
        on_check(found)
        if not found.passed:
            raise ParityError(f"{found}: the exported model does not do what was trained; no bundle was written")

    on_step("decoding songs to compare on")
    clips = _clips(run, dataset, "test", options.check_songs)
    n_frames = segmentation.segment_frames(front_end)
    graph = SegmentGraph(front_end, run.networks, n_frames=n_frames).eval()
    example = torch.from_numpy(clips[0].waveform), torch.from_numpy(clips[0].starts)

    on_step("exporting fp32")
    fp32 = scratch / "segment.fp32.onnx"
    export_segment(graph, fp32, *example)
    opened = session(fp32)
    exact = [run_graph(opened, clip, targets) for clip in clips]
    few = clips[:PARITY_CLIPS]
    in_torch = [run_torch(graph, clip) for clip in few]
    with_librosa = [run_librosa(run.networks, clip, front_end, segmentation) for clip in few]
    check("segments, ONNX fp32 against torch", largest_difference(exact[: len(few)], in_torch), SEGMENT_LIMIT)
    check(
        "segments, ONNX fp32 against librosa and torch",
        largest_difference(exact[: len(few)], with_librosa),
        SEGMENT_LIMIT,
    )

    songs: dict[Target, str] = {}
    for target in targets:
        songs[target] = f"song.{target}.onnx"
        export_song(run.classifiers[target], folder / songs[target], n_classes=len(CLASS_NAMES[target]))
        features = np.concatenate(
            [window_features(p[target], len(c.waveform), cutting) for p, c in zip(exact, clips, strict=True)]
        )
        difference = song_parity(folder / songs[target], run.classifiers[target], features.astype(np.float32))
        check(f"songs, ONNX against scikit-learn ({target})", difference, SONG_LIMIT)

    segment: dict[Precision, str] = {}
    for precision in options.precisions:
        on_step(f"making {precision}")
        path = folder / f"segment.{precision}.onnx"
        if precision is Precision.FP32:
            shutil.copyfile(fp32, path)
        elif precision is Precision.FP16:
            half = SegmentGraph(front_end, run.networks, n_frames=n_frames, half=True)
            export_segment(half, path, *example)
        else:
            quantise(fp32, path, _calibration(_clips(run, dataset, "train", CALIBRATION_CLIPS)))
        segment[precision] = path.name
        if precision is not Precision.FP32:
            opened = session(path)
            found = [run_graph(opened, clip, targets) for clip in clips]
            agree = decision_agreement(found, exact, clips, run.classifiers, cutting)
            check(
                f"song decisions on {len(clips)} songs, {precision} against fp32",
                agree,
                AGREEMENT_LIMIT,
                agreement=True,
            )

    on_step("sealing the bundle")
    write_golden(folder, segment=segment, song=songs, front_end=front_end, segmentation=segmentation, targets=targets)
    licence = (files("mertag") / "models" / LICENCE_NAME).read_text(encoding="utf-8")
    (folder / LICENCE_NAME).write_text(licence, encoding="utf-8")
    card = model_card(run, name=options.name, version=options.version, licence=licence.strip(), checks=checks)
    (folder / CARD_NAME).write_text(card, encoding="utf-8")
    return write_bundle(
        folder,
        Manifest(
            name=options.name,
            version=options.version,
            heads=tuple(Head(target=t, classes=CLASS_NAMES[t], song=songs[t]) for t in targets),
            segment=segment,
            licence="research use only; see LICENSE-WEIGHTS",
            front_end=front_end,
            segmentation=segmentation,
            window_rule=config.window_rule,
            dataset=f"{run.dataset['name']}, {run.dataset['songs']} songs",
            training_command=run.command,
            metrics=dict(run.metrics),
        ),
    )


def _clips(run: Run, dataset: Dataset, fold: str, count: int) -> list[Clip]:
    """Return some decoded songs of one part of the run, spread evenly over it."""
    of_part = sorted((s for s in dataset.songs if run.fold_of.get(s.id) == fold and s.path), key=lambda s: s.id)
    chosen: Sequence[Song] = of_part
    if len(of_part) > count:
        chosen = [of_part[i] for i in np.linspace(0, len(of_part) - 1, count).round().astype(int)]
    front_end, segmentation = run.config.front_end, run.config.segmentation
    clips: list[Clip] = []
    trouble = ""
    for song in chosen:
        assert song.path is not None
        try:
            waveform = decode_all(song.path, front_end=front_end)
        except FileError as error:
            trouble = f" ({error})"
            continue
        starts = segmentation.start_frames(len(waveform), front_end)
        if len(starts):
            clips.append(Clip(id=song.id, waveform=waveform, starts=starts))
    if not clips:
        raise ExportError(
            f"parity is proved on the audio of {run.dataset['name']}, and none of its {fold} songs can be read"
            f"{trouble}; name its folder with --data-dir"
        )
    return clips


def _calibration(clips: Sequence[Clip]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return some segments of each clip, as the inputs of the graph."""
    return [
        (c.waveform, c.starts[np.linspace(0, len(c.starts) - 1, min(CALIBRATION_SEGMENTS, len(c.starts))).astype(int)])
        for c in clips
    ]
