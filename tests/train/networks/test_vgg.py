"""VGG16 as published and compact: sizes, shapes, the first loss, where dropout is."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from mertag.listen.windows import FrontEnd
from mertag_train.networks.vgg import MIN_FRAMES, Architecture, SegmentNetwork


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def on_meta(architecture: Architecture, **options: Any) -> SegmentNetwork:
    """A network whose weights take no memory: only their shapes are there."""
    with torch.device("meta"):
        return SegmentNetwork(architecture, n_classes=options.pop("n_classes", 4), **options)


@pytest.fixture(scope="module")
def compact() -> SegmentNetwork:
    torch.manual_seed(0)
    return SegmentNetwork("compact", n_classes=4).eval()


def test_the_compact_network_has_15_8_million_weights() -> None:
    # 14,710,464 of VGG16's convolutions less one colour channel's (2 x 64 x 9) and their 4,224 biases, 8,448 of the
    # batch norms, 2048 x 512 + 512 and 512 x 4 + 4 of the head
    convolutions = 14_714_688 - 2 * 64 * 9 - 4_224
    assert count(on_meta("compact")) == convolutions + 2 * 4_224 + (2048 * 512 + 512) + (512 * 4 + 4)
    assert count(on_meta("compact")) / 1e6 == pytest.approx(15.77, abs=0.01)


def test_the_published_network_is_vgg16_with_one_input_channel() -> None:
    # 138,357,544 with three channels and 1000 classes (Simonyan and Zisserman, table 2: 138 M)
    assert count(on_meta("published", n_classes=1000)) == 138_357_544 - 2 * 64 * 9
    assert count(on_meta("published")) / 1e6 == pytest.approx(134.3, abs=0.05)


@pytest.mark.parametrize("architecture", ["compact", "published"])
@pytest.mark.parametrize("n_frames", [MIN_FRAMES, 42, 85, 128, 171, 214])
def test_every_segment_duration_gives_one_row_of_logits(architecture: Architecture, n_frames: int) -> None:
    network = on_meta(architecture).eval()
    segments = torch.zeros(3, n_frames, 128, device="meta")
    assert network(segments).shape == (3, 4)
    assert network.embed(segments).shape == (3, 512 * 4 if architecture == "compact" else 512 * 7 * 7)


def test_another_number_of_bands_fits() -> None:
    network = on_meta("compact", front_end=FrontEnd(n_mels=64)).eval()
    assert network(torch.zeros(2, 42, 64, device="meta")).shape == (2, 4)


def test_a_shorter_segment_does_not_survive_the_pools() -> None:
    with pytest.raises(RuntimeError):
        on_meta("compact").eval()(torch.zeros(1, MIN_FRAMES - 1, 128, device="meta"))


def test_the_first_loss_is_that_of_guessing(compact: SegmentNetwork) -> None:
    with torch.no_grad():
        logits = compact(torch.randn(4, MIN_FRAMES, 128))
    assert float(logits.abs().max()) < 2.0
    loss = nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3]))
    assert float(loss) == pytest.approx(math.log(4), abs=0.25)


def test_forward_is_embed_and_classify(compact: SegmentNetwork) -> None:
    segments = torch.randn(2, MIN_FRAMES, 128)
    with torch.no_grad():
        assert torch.equal(compact(segments), compact.classify(compact.embed(segments)))


def test_the_statistics_are_part_of_the_network(compact: SegmentNetwork) -> None:
    mean, std = torch.linspace(-60, -20, 128), torch.linspace(5, 15, 128)
    plain = torch.randn(2, MIN_FRAMES, 128)
    with torch.no_grad():
        expected = compact(plain)
        compact.set_statistics(mean, std)
        found = compact(plain * std + mean)
        compact.set_statistics(torch.zeros(128), torch.ones(128))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert {"mean", "std"} <= compact.state_dict().keys()


@pytest.mark.parametrize(("architecture", "places"), [("compact", [0, 3]), ("published", [2, 5])])
def test_dropout_stands_in_the_head_only(architecture: Architecture, places: list[int]) -> None:
    network = on_meta(architecture)
    assert [i for i, layer in enumerate(network.head) if isinstance(layer, nn.Dropout)] == places
    assert all(isinstance(network.head[i + 1], nn.Linear) for i in places)
    assert not any(isinstance(layer, nn.Dropout) for layer in network.trunk)


def test_two_dropout_passes_differ_and_share_one_embedding(compact: SegmentNetwork) -> None:
    with torch.no_grad():
        embedding = compact.embed(torch.randn(2, MIN_FRAMES, 128))
        compact.head.train()
        one, other = compact.classify(embedding), compact.classify(embedding)
        compact.head.eval()
        assert not torch.equal(one, other)
        assert torch.equal(compact.classify(embedding), compact.classify(embedding))
