"""Statistics of a segment, by hand; and a head that sees them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch

from mertag.listen.windows import FrontEnd
from mertag_train.networks.segment_statistics import MODULATION_BINS, N_CEPSTRA, Statistics, cosines, modulation
from mertag_train.networks.vgg import SegmentNetwork


def test_the_cosines_are_the_orthonormal_dct() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 128)).astype(np.float32)
    expected = scipy.fft.dct(rows, axis=1, norm="ortho")[:, :N_CEPSTRA]
    np.testing.assert_allclose((torch.from_numpy(rows) @ cosines(128)).numpy(), expected, atol=1e-4)


def test_two_frames_by_hand() -> None:
    statistics = Statistics(FrontEnd(n_mels=8))
    statistics.normal = torch.nn.Identity()  # type: ignore[assignment]
    statistics.cosines = torch.eye(8)[:, :1]  # the "cepstrum" is the first band
    first, second = torch.zeros(8), torch.zeros(8)
    first[0], second[0], second[1] = 1.0, 3.0, 8.0
    found = statistics(torch.stack([first, second])[None])[0]
    rest = [0.0] * 6
    middle, spread, change = [2.0, 4.0, *rest, 2.0], [1.0, 4.0, *rest, 1.0], [2.0, 8.0, *rest, 2.0]
    # Loudest less softest: 1 and 8; loudest less mean: 1 - 1/8 and 8 - 11/8.
    contrast = [4.5, (7 / 8 + 53 / 8) / 2]
    expected = torch.tensor([*middle, *spread, *change, *contrast])
    torch.testing.assert_close(found[: len(expected)], expected, rtol=0, atol=1e-3)  # a spread of 0 is 1e-4


def test_a_pulse_shows_in_its_bin_of_the_modulation_spectrum() -> None:
    time = torch.arange(128)
    envelopes = torch.cos(2 * torch.pi * 8 * time / 128)[None, :, None] * 3.0  # eight pulses a segment
    found = modulation(envelopes).reshape(len(MODULATION_BINS))
    expected = np.abs(np.fft.rfft(envelopes[0, :, 0].numpy() * np.hanning(128)))
    for (first, stop), value in zip(MODULATION_BINS, found.tolist(), strict=True):
        assert value == pytest.approx(np.log1p(expected[first:stop].mean()), abs=0.02)
    assert int(found.argmax()) == MODULATION_BINS.index((7, 10))


def test_a_short_segment_has_no_modulation_above_what_its_frames_can_tell() -> None:
    found = modulation(torch.randn(2, 32, 16)).reshape(2, len(MODULATION_BINS), 16)
    assert (found[:, -1] < 1e-3).all()  # bins 26 to 40 of 32 frames
    assert (found[:, 0] > 0).all()


def test_silence_has_finite_statistics_and_gradients() -> None:
    segments = torch.zeros(4, 40, 128, requires_grad=True)
    found = Statistics(FrontEnd())(segments)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert segments.grad is not None
    assert torch.isfinite(segments.grad).all()


def test_a_network_of_statistics_has_no_convolutions_but_sees_the_order_of_frames() -> None:
    torch.manual_seed(0)
    network = SegmentNetwork("statistics", n_classes=4, width=0.25)
    network.train()(torch.randn(8, 64, 128))
    network.eval()
    assert not network.convolves
    assert not [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    segments = torch.randn(3, 64, 128)
    assert network(segments).shape == (3, 4)
    shuffled = torch.cat([segments[:, ::2], segments[:, 1::2]], dim=1)
    assert not torch.allclose(network(segments), network(shuffled), atol=1e-4)
