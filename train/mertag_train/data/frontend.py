"""The one log-mel: the torch module that makes the training log-mels and that is exported.

Waveforms are float32, mono, shape (n_samples,), at `FrontEnd.sample_rate` Hz. Log-mels are float32, shape
(n_frames, n_mels), in dB: time first, so that a segment is a slice of rows.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mertag.listen.windows import FrontEnd
from mertag_train.arrays import Floats, Floats32, Ints


def mel_filters(front_end: FrontEnd) -> Floats32:
    """Return librosa's Slaney mel filters, shape (n_mels, n_fft // 2 + 1)."""
    # Here, so that everything that works on a saved store runs without librosa.
    from librosa.filters import mel as slaney_filters

    filters: Floats32 = slaney_filters(
        sr=front_end.sample_rate,
        n_fft=front_end.n_fft,
        n_mels=front_end.n_mels,
        fmin=front_end.fmin_hz,
        fmax=front_end.fmax_hz,
        htk=False,
        norm="slaney",
        dtype=np.float32,
    )
    return filters


def _dft(n: Ints, k: Ints, period: int) -> npt.NDArray[np.complex128]:
    """Return ``exp(-2 pi i n k / period)``, shape (len(n), len(k)), its angles exact by integer arithmetic."""
    angle: Floats = -2 * np.pi * (np.outer(n, k) % period) / period
    return np.cos(angle) + 1j * np.sin(angle)


class LogMel(nn.Module):
    """Waveform to log-mel: equal to librosa within 1e-4 dB, and made of operations that every runtime has.

    ``10 * log10(max(mel @ |rfft(hann * frame)|^2, amin))``, frames uncentred. The transform of N = R * R samples
    is two matrix products of radix R = 32 with a twiddle between them (Cooley and Tukey, 1965), which takes an
    eighth of the arithmetic of one product with the whole basis, and 0.1 MB of weights in place of 4 MB::

        X[k1 + R k2] = sum_{n2} e(n2 k2 / R) e(n2 k1 / N) sum_{n1} x[R n1 + n2] e(n1 k1 / R),  e(t) = exp(-2 pi i t)

    It works in float64, as librosa does inside. A band above an MP3's low-pass may lie 120 dB below the loudest
    one, where float32 arithmetic, TF32 above all, moves it by up to 0.1 dB.

    Raises ValueError if ``n_fft`` of the front end is not twice ``hop_length``, or not a square.
    """

    window: Tensor
    radix_in: Tensor
    twiddle: Tensor
    radix_out: Tensor
    mel: Tensor

    def __init__(self, front_end: FrontEnd) -> None:
        super().__init__()
        n_fft, hop = front_end.n_fft, front_end.hop_length
        radix = math.isqrt(n_fft)
        if n_fft != 2 * hop or radix * radix != n_fft:
            raise ValueError(f"n_fft must be a square and twice hop_length, not {n_fft} and {hop}")
        self.hop_length, self.radix, self.amin = hop, radix, front_end.amin
        n = np.arange(radix)
        k2 = np.arange(radix // 2 + 1)  # the input is real: X[k] for k > N / 2 adds nothing
        inner, twiddle, outer = _dft(n, n, radix), _dft(n, n, n_fft), _dft(n, k2, radix)
        # The mel filters in the order in which the bins come out, k = k1 + R k2; bins above N / 2 weigh nothing.
        bins = n[:, None] + radix * k2[None, :]
        mel = np.zeros((radix, len(k2), front_end.n_mels))
        mel[bins <= n_fft // 2] = mel_filters(front_end).T[bins[bins <= n_fft // 2]]
        for name, array in (
            ("window", 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)),  # periodic Hann
            ("radix_in", np.concatenate([inner.real, inner.imag], axis=0)),
            ("twiddle", np.stack([twiddle.real, twiddle.imag])),
            ("radix_out", np.block([[outer.real, outer.imag], [-outer.imag, outer.real]])),
            ("mel", mel.reshape(-1, front_end.n_mels)),
        ):
            self.register_buffer(name, torch.from_numpy(array.astype(np.float64)), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return the log-mel, shape (n_frames, n_mels), of a waveform, shape (n_samples,), in dB, float32."""
        hop, radix = self.hop_length, self.radix
        blocks = waveform[: waveform.shape[0] // hop * hop].reshape(-1, hop).double()  # (n_frames + 1, hop)
        frames = torch.cat([blocks[:-1], blocks[1:]], dim=1) * self.window  # (n_frames, n_fft)
        # No operand is transposed: onnxruntime up to 1.23 fuses that into a product for which it has no float64 kernel.
        inner = self.radix_in @ frames.reshape(-1, radix, radix)  # (n_frames, re|im of k1, n2)
        real, imaginary = inner[:, :radix], inner[:, radix:]
        cosine, sine = self.twiddle[0], self.twiddle[1]
        turned = torch.cat([real * cosine - imaginary * sine, real * sine + imaginary * cosine], dim=2)
        spectrum = turned @ self.radix_out  # (n_frames, k1, re|im of k2)
        half = radix // 2 + 1
        power = spectrum[..., :half].square() + spectrum[..., half:].square()
        mel = power.flatten(1) @ self.mel  # (n_frames, n_mels)
        return (10.0 * torch.log10(torch.clamp(mel, min=self.amin))).float()
