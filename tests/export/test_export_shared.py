"""The graph that convolves what overlapping segments have in common once: what it keeps, and what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from small_run import SmallNetwork, sound

from mertag.emotion import Target
from mertag.listen.bundle import default_bundle_path, load_bundle
from mertag.listen.tagger import Tagger
from mertag.listen.windows import FrontEnd, Segmentation
from mertag_export.graphs import Clip, run_segment_graph, session
from mertag_export.parity import run_torch
from mertag_export.segment import (
    SHARED_GROUPS,
    SegmentGraph,
    export_segment,
    shared_groups,
    trunk_parts,
)
from mertag_train.networks.vgg import SegmentNetwork

FRONT_END = FrontEnd()
N_FRAMES = 64
QUADRANT = Target.QUADRANT


@pytest.fixture(scope="module")
def networks() -> dict[Target, SmallNetwork]:
    torch.manual_seed(0)
    network = SmallNetwork("compact", n_classes=4).eval()
    network.set_statistics(torch.full((128,), -50.0), torch.full((128,), 12.0))
    return {QUADRANT: network}


def clip_of(n_frames: int, starts: list[int]) -> Clip:
    n_samples = FRONT_END.n_fft + (n_frames - 1) * FRONT_END.hop_length
    return Clip(id="", waveform=sound(1, 7)[:n_samples], starts=np.array(starts, dtype=np.int64))


def answer(networks: Mapping[Target, SegmentNetwork], clip: Clip, groups: int) -> np.ndarray:
    graph = SegmentGraph(FRONT_END, networks, n_frames=N_FRAMES, shared_groups=groups).eval()
    return run_torch(graph, clip)[QUADRANT]


@pytest.mark.parametrize("groups", [1, 2, 3, 4])
def test_a_segment_alone_is_what_it_is_in_the_exact_graph(networks: dict[Target, SmallNetwork], groups: int) -> None:
    clip = clip_of(N_FRAMES, [0])
    np.testing.assert_allclose(answer(networks, clip, groups), answer(networks, clip, 0), atol=1e-6)


def test_a_segment_begins_at_the_nearest_column(networks: dict[Target, SmallNetwork]) -> None:
    found = answer(networks, clip_of(160, [0, 7, 8, 16, 23, 24, 32, 96]), 4)
    np.testing.assert_array_equal(found[0], found[1])  # 7 frames are nearer to 0 than to 16
    np.testing.assert_array_equal(found[2], found[3])
    np.testing.assert_array_equal(found[3], found[4])
    np.testing.assert_array_equal(found[5], found[6])
    assert len(np.unique(found, axis=0)) == 4


def test_the_last_segment_never_reaches_past_the_audio(networks: dict[Target, SmallNetwork]) -> None:
    # 89 frames: 5 whole columns. A segment from frame 25 would begin at column 2, of which 4 more are not there.
    found = answer(networks, clip_of(89, [16, 25]), 4)
    np.testing.assert_array_equal(found[0], found[1])


def test_segments_differ_little_from_those_of_the_exact_graph(networks: dict[Target, SmallNetwork]) -> None:
    starts = list(range(0, 96, 43))
    shared, exact = (answer(networks, clip_of(160, starts), groups) for groups in (2, 0))
    assert 0 < np.abs(shared - exact).mean() < 0.05


def test_the_parts_of_the_trunk_are_the_trunk(networks: dict[Target, SmallNetwork]) -> None:
    network = networks[QUADRANT]
    for groups in range(5):
        shared, own = trunk_parts(network, groups)
        assert [*shared, *own] == [*network.trunk]
        assert sum(isinstance(layer, torch.nn.MaxPool2d) for layer in shared) == groups


def test_only_segments_that_overlap_share_anything() -> None:
    assert shared_groups(Segmentation(duration_s=3.0, hop_s=1.0)) == SHARED_GROUPS
    assert shared_groups(Segmentation(duration_s=1.0, hop_s=1.0)) == 0


@pytest.mark.skipif(not default_bundle_path().is_dir(), reason="this checkout holds no bundled model")
def test_the_plain_way_and_the_tagger_agree_on_the_bundled_model(tmp_path: Path) -> None:
    bundle = load_bundle(default_bundle_path())
    waveform = np.concatenate([sound(k, 3, 4.0) for k in range(3)])[: 22_050 * 11 + 12_345]  # half a second over
    soundfile.write(tmp_path / "song.wav", waveform, 22_050, subtype="FLOAT")
    starts = bundle.manifest.segmentation.start_frames(len(waveform), FRONT_END)
    plain = run_segment_graph(
        session(bundle.path("segment.int8.onnx")), Clip(id="", waveform=waveform, starts=starts), (QUADRANT,)
    )
    with Tagger(bundle, device="cpu", precision="int8", workers=0) as tagger:
        found = tagger.segments(tmp_path / "song.wav")
    np.testing.assert_allclose(found.probabilities[QUADRANT], plain[QUADRANT], atol=1e-5)


@pytest.mark.command
@pytest.mark.parametrize(  # as for a CPU; and as for a GPU, where the exported run has a graph of one head
    ("groups", "half"), [(4, False), pytest.param(0, True, marks=pytest.mark.slow)]
)
def test_the_graph_of_two_heads_says_the_same_in_onnx_for_any_lengths(tmp_path: Path, groups: int, half: bool) -> None:
    both: dict[Target, SegmentNetwork] = {}
    for seed, (target, level) in enumerate({Target.VALENCE: -50.0, Target.AROUSAL: -40.0}.items()):
        torch.manual_seed(seed)
        both[target] = SmallNetwork("compact", n_classes=2).eval()
        both[target].set_statistics(torch.full((128,), level), torch.full((128,), 12.0))
    clip = clip_of(160, [0, 33, 96])
    graph = SegmentGraph(FRONT_END, both, n_frames=N_FRAMES, shared_groups=groups, half=half).eval()
    export_segment(graph, tmp_path / "g.onnx", torch.from_numpy(clip.waveform), torch.from_numpy(clip.starts))
    opened = session(tmp_path / "g.onnx")
    for other in (clip, clip_of(N_FRAMES, [0]), clip_of(100, [36, 0])):
        found = run_segment_graph(opened, other, list(both))
        for target, network in both.items():  # each by what its own network knows of the bands
            alone = SegmentGraph(FRONT_END, {target: network}, n_frames=N_FRAMES, shared_groups=groups).eval()
            np.testing.assert_allclose(
                found[target], run_torch(alone, other)[target], atol=5e-3 if half else 1e-4, err_msg=str(target)
            )
