"""Statistics of a segment, by hand; and a head that sees them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch

from mertag.errors import ConfigError
from mertag_train.config import NetworkConfig, TrainConfig
from mertag_train.statistics import N_CEPSTRA, Statistics, cosines
from mertag_train.vgg import SegmentNetwork


def test_the_cosines_are_the_orthonormal_dct() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 128)).astype(np.float32)
    expected = scipy.fft.dct(rows, axis=1, norm="ortho")[:, :N_CEPSTRA]
    np.testing.assert_allclose((torch.from_numpy(rows) @ cosines(128)).numpy(), expected, atol=1e-4)


def test_two_frames_by_hand() -> None:
    statistics = Statistics(2)
    statistics.normal = torch.nn.Identity()  # type: ignore[assignment]
    statistics.cosines = torch.eye(2)  # the "cepstrum" is the bands themselves
    found = statistics(torch.tensor([[[1.0, 4.0], [3.0, -2.0]]]))
    middle, spread, change = [2.0, 1.0], [1.0, 3.0], [2.0, 6.0]
    torch.testing.assert_close(found, torch.tensor([[*middle, *middle, *spread, *spread, *change, *change]]))


def test_silence_has_finite_statistics_and_gradients() -> None:
    segments = torch.zeros(4, 40, 128, requires_grad=True)
    found = Statistics(128)(segments)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert segments.grad is not None
    assert torch.isfinite(segments.grad).all()


def test_the_head_sees_a_change_that_the_convolutions_do_not() -> None:
    torch.manual_seed(0)
    network = SegmentNetwork("compact", n_classes=4, width=1 / 16, statistics=True)
    network.train()(torch.randn(8, 64, 128))
    network.eval()
    for module in network.trunk.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.zeros_(module.weight)  # blind
    one, other = torch.randn(1, 64, 128), torch.randn(1, 64, 128) + 1
    assert not torch.allclose(network(one), network(other), atol=1e-6)
    blind = SegmentNetwork("compact", n_classes=4, width=1 / 16).eval()
    for module in blind.trunk.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.zeros_(module.weight)
    assert torch.allclose(blind(one), blind(other))


def test_a_glimpse_is_for_training_and_for_the_convolutions_only() -> None:
    torch.manual_seed(0)
    network = SegmentNetwork("compact", n_classes=4, width=1 / 16, dropout=0.0, glimpse_frames=32, statistics=True)
    segments = torch.randn(8, 128, 128)
    widths: list[int] = []
    network.trunk.register_forward_pre_hook(lambda _, inputs: widths.append(inputs[0].shape[3]))
    network.train()(segments)
    network.eval()(segments)
    assert widths == [32, 128]
    at = {int(torch.randint(128 - 32 + 1, ())) for _ in range(50)}
    assert len(at) > 10  # another place each time


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (NetworkConfig(architecture="published", statistics=True), "compact network, not the published one"),
        (NetworkConfig(glimpse_frames=31), "a glimpse must have 32 frames or more"),
        (NetworkConfig(glimpse_frames=-1), "a glimpse must have 32 frames or more"),
    ],
)
def test_what_cannot_be_is_refused(network: NetworkConfig, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        TrainConfig(network=network)
