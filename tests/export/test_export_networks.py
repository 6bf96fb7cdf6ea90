"""The real networks, not the small one: VGG16 compact and as published, with one head and with two."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from small_run import music_folder, sound

import mertag as package
from mertag.emotion import CLASS_NAMES, Target
from mertag.listen.bundle import load_bundle
from mertag.listen.manifest import Precision
from mertag.listen.windows import FrontEnd, Segmentation
from mertag_export.graphs import Clip, check_golden, run_segment_graph, session
from mertag_export.parity import largest_difference, mean_difference, run_librosa, run_torch
from mertag_export.quantise import quantise
from mertag_export.segment import SegmentGraph, export_segment
from mertag_train.data.frontend import LogMel
from mertag_train.networks.vgg import Architecture, SegmentNetwork

ROOT = Path(package.__file__).resolve().parents[1]
FRONT_END, SEGMENTATION = FrontEnd(), Segmentation(duration_s=1.0)
BOTH = (Target.VALENCE, Target.AROUSAL)


def clip(k: int) -> Clip:
    waveform = sound(k, 500)
    return Clip(id=str(k), waveform=waveform, starts=SEGMENTATION.start_frames(len(waveform), FRONT_END)[:3])


def networks(architecture: Architecture, *targets: Target) -> dict[Target, SegmentNetwork]:
    """Return networks that nobody has trained, but which tell sounds apart."""
    torch.manual_seed(0)
    found = {}
    for target in targets:
        network = SegmentNetwork(architecture, n_classes=len(CLASS_NAMES[target])).eval()
        network.set_statistics(torch.full((128,), -50.0), torch.full((128,), 12.0))
        with torch.no_grad():
            log_mel = LogMel(FRONT_END)
            logits = network(torch.stack([log_mel(torch.from_numpy(clip(k).waveform))[:42] for k in range(4)]))
            network.head[-1].weight.mul_(1.0 / logits.std(dim=0).max())
        found[target] = network
    return found


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("architecture", "targets"), [("compact", BOTH), ("published", (Target.QUADRANT,))], ids=["compact", "published"]
)
def test_vgg16_in_onnx_is_vgg16_in_torch(
    architecture: Architecture, targets: tuple[Target, ...], tmp_path: Path
) -> None:
    trained = networks(architecture, *targets)
    n_frames = SEGMENTATION.segment_frames(FRONT_END)
    clips = [clip(k) for k in range(4)]
    graph = SegmentGraph(FRONT_END, trained, n_frames=n_frames)
    in_torch = [run_torch(graph, c) for c in clips]
    assert np.ptp([p[targets[0]][:, 0].mean() for p in in_torch]) > 0.01  # the sounds differ
    example = torch.from_numpy(clips[0].waveform), torch.from_numpy(clips[0].starts)
    fp32 = tmp_path / "fp32.onnx"
    export_segment(graph, fp32, *example)
    assert [output.name for output in onnx.load(fp32).graph.output] == [f"probabilities_{t}" for t in targets]
    opened = session(fp32)
    exact = [run_segment_graph(opened, c, targets) for c in clips]
    assert largest_difference(exact, in_torch) < 1e-4
    assert largest_difference(exact, [run_librosa(trained, c, FRONT_END, SEGMENTATION) for c in clips]) < 1e-4

    half = tmp_path / "fp16.onnx"
    export_segment(SegmentGraph(FRONT_END, trained, n_frames=n_frames, half=True), half, *example)
    opened = session(half)
    assert largest_difference([run_segment_graph(opened, c, targets) for c in clips], exact) < 0.01
    assert half.stat().st_size < 0.55 * fp32.stat().st_size

    int8 = tmp_path / "int8.onnx"
    quantise(fp32, int8, [(c.waveform, c.starts) for c in clips])
    opened = session(int8)
    assert mean_difference([run_segment_graph(opened, c, targets) for c in clips], exact) < 0.03
    assert int8.stat().st_size < 0.3 * fp32.stat().st_size


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("target", ["quadrant", "valence,arousal"])
def test_the_words_alone_train_export_and_tag(target: str, tmp_path: Path) -> None:
    music = music_folder(tmp_path / "music", per_class=14)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "train", ROOT / "export")))}

    def mertag(words: str) -> str:
        command = [sys.executable, "-m", "mertag", *words.split()]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    mertag(f"train --dataset folder --data-dir music --target {target} --segment 1 --epochs 1 --crops 1 --device cpu")
    (line,) = mertag("export --check-songs 4").splitlines()
    assert line.endswith(" ~/Music")
    mertag(line.removeprefix("mertag ").replace("~/Music", "music/Happy/0.flac") + " --device cpu --write-id3")
    (folder,) = (tmp_path / "runs").glob("*/bundle")
    bundle = load_bundle(folder)
    assert {head.target for head in bundle.manifest.heads} == {Target(t) for t in target.split(",")}
    assert set(bundle.manifest.segment) == {Precision.INT8, Precision.FP16}
    check_golden(bundle)
    assert package.tags.read_tags(music / "Happy" / "0.flac")["MERTAG_MODEL"] == (bundle.id,)
