"""The graph that convolves what overlapping segments have in common once: what it keeps, and what it does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
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
    FusedStatistics,
    SegmentGraph,
    export_segment,
    shared_groups,
    trunk_parts,
)
from mertag_train.data.frontend import LogMel
from mertag_train.networks.segment_statistics import Statistics
from mertag_train.networks.vgg import Ensemble, SegmentNetwork

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


def answer(networks: Mapping[Target, SegmentNetwork | Ensemble], clip: Clip, groups: int) -> np.ndarray:
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


@pytest.mark.parametrize("groups", [0, 4])
def test_an_ensemble_says_the_mean_of_its_members(networks: dict[Target, SmallNetwork], groups: int) -> None:
    torch.manual_seed(1)
    other = SmallNetwork("compact", n_classes=4).eval()
    other.set_statistics(torch.full((128,), -40.0), torch.full((128,), 10.0))
    clip = clip_of(160, [0, 30, 96])
    together = answer({QUADRANT: Ensemble([networks[QUADRANT], other])}, clip, groups)
    by_hand = (answer(networks, clip, groups) + answer({QUADRANT: other}, clip, groups)) / 2
    np.testing.assert_allclose(together, by_hand, atol=1e-6)


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


def with_statistics(seed: int, n_classes: int = 4) -> SegmentNetwork:
    """Return a network of statistics, as a training leaves it: normalised by what it has seen."""
    torch.manual_seed(seed)
    network = SegmentNetwork("statistics", n_classes=n_classes, width=0.25)
    network.set_statistics(torch.full((128,), -50.0), torch.full((128,), 12.0))
    network.train()(torch.randn(32, N_FRAMES, 128) * 15 - 55)
    return network.eval()


@pytest.mark.parametrize("groups", [0, 4])
def test_statistics_are_those_of_the_segment_alone_shared_or_not(groups: int) -> None:
    network = with_statistics(0)
    clip = clip_of(160, [0, 33, 96])
    log_mel = LogMel(FRONT_END)(torch.from_numpy(clip.waveform))
    segments = torch.stack([log_mel[start : start + N_FRAMES] for start in (0, 33, 96)])
    with torch.inference_mode():
        alone = network(segments).softmax(1).numpy()
    graph = SegmentGraph(FRONT_END, {QUADRANT: network}, n_frames=N_FRAMES, shared_groups=groups).eval()
    np.testing.assert_allclose(run_torch(graph, clip)[QUADRANT], alone, atol=1e-5)


def nodes_of(path: Path, op_type: str) -> int:
    return sum(node.op_type == op_type for node in onnx.load(path).graph.node)


@pytest.mark.command
@pytest.mark.parametrize(("groups", "half"), [(4, False), (0, True)])  # as for a CPU, and as for a GPU
def test_the_graph_says_the_same_in_onnx_for_any_lengths_and_holds_networks_of_statistics_as_one(
    networks: dict[Target, SmallNetwork], tmp_path: Path, groups: int, half: bool
) -> None:
    one, two, other = with_statistics(0), with_statistics(1), with_statistics(2)
    other.set_statistics(torch.full((128,), -40.0), torch.full((128,), 9.0))
    members = [one, networks[QUADRANT], other, two]
    clip = clip_of(160, [0, 33, 96])
    alone = [answer({QUADRANT: network}, clip, groups) for network in members]
    graph = SegmentGraph(
        FRONT_END, {QUADRANT: Ensemble(members)}, n_frames=N_FRAMES, shared_groups=groups, half=half
    ).eval()
    export_segment(graph, tmp_path / "g.onnx", torch.from_numpy(clip.waveform), torch.from_numpy(clip.starts))
    assert nodes_of(tmp_path / "g.onnx", "TopK") == 1  # of pitch classes: measured once for all
    assert nodes_of(tmp_path / "g.onnx", "Softmax") == 3  # one for each that is not alike, and one for the convolutions
    opened = session(tmp_path / "g.onnx")
    np.testing.assert_allclose(
        run_segment_graph(opened, clip, [QUADRANT])[QUADRANT], np.mean(alone, axis=0), atol=5e-3 if half else 1e-4
    )
    for other_length in (clip_of(N_FRAMES, [0]), clip_of(100, [36, 0])):
        exact = [answer({QUADRANT: network}, other_length, groups) for network in members]
        found = run_segment_graph(opened, other_length, [QUADRANT])[QUADRANT]
        np.testing.assert_allclose(found, np.mean(exact, axis=0), atol=5e-3 if half else 1e-4)


def test_side_by_side_is_what_each_network_says() -> None:
    several = [with_statistics(seed) for seed in range(3)]
    for network in several:  # as a training leaves it: no factor is 1, none need be far from 0
        assert network.statistics is not None
        torch.nn.init.normal_(network.statistics.normal.weight)
        torch.nn.init.normal_(network.statistics.normal.bias)
    statistics = several[0].statistics
    assert statistics is not None
    with torch.no_grad():
        statistics.normal.weight[:50] = 0.0  # a measure that the first network does not use, others may
    segments = torch.randn(5, N_FRAMES, 128) * 15 - 55
    with torch.inference_mode():
        alone = torch.stack([network(segments).softmax(1) for network in several])
        normal = (segments - several[0].mean) / several[0].std
        together = FusedStatistics(several)(statistics.measure(normal))
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_networks_of_two_heads_measure_once(monkeypatch: pytest.MonkeyPatch) -> None:
    valence, arousal = with_statistics(0, n_classes=2), with_statistics(1, n_classes=2)
    clip = clip_of(160, [0, 33, 96])
    both = {Target.VALENCE: valence, Target.AROUSAL: arousal}
    alone = {
        target: run_torch(SegmentGraph(FRONT_END, {target: network}, n_frames=N_FRAMES).eval(), clip)[target]
        for target, network in both.items()
    }
    measured: list[int] = []
    measure = Statistics.measure

    def counted(self: Statistics, segments: torch.Tensor) -> torch.Tensor:
        measured.append(len(segments))
        return measure(self, segments)

    monkeypatch.setattr(Statistics, "measure", counted)
    found = run_torch(SegmentGraph(FRONT_END, both, n_frames=N_FRAMES).eval(), clip)
    assert measured == [3]
    for target in both:
        np.testing.assert_allclose(found[target], alone[target], atol=1e-6)
