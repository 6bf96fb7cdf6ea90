"""The taggers: equal to their authors' outputs on real clips, and the ONNX file that comes with mertag to them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from librosa.feature import melspectrogram

from mertag_train.data.embedding_model import BUNDLED, EmbeddingModel
from mertag_train.networks.taggers import (
    HOP_LENGTH,
    N_FFT,
    N_FRAMES,
    N_MELS,
    PADDING,
    SAMPLE_RATE,
    WINDOW_SAMPLES,
    TaggerLogMel,
    Taggers,
)

SHARED = Path(__file__).parents[4] / "shared"
TAGS = ("rock", "pop", "alternative", "indie", "electronic")  # the first five of fifty
ARRAYS = SHARED / "models" / "musicnn"


def tone(seconds: float = 3.0) -> npt.NDArray[np.float32]:
    """Return a chord with a beat, at 16 kHz."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    chord = sum(np.sin(2 * np.pi * f * time) for f in (220.0, 277.2, 329.6))
    return (0.1 * chord * (1 + np.sign(np.sin(4 * np.pi * time)))).astype(np.float32)


def taggers() -> Taggers:
    return Taggers(*(np.load(ARRAYS / f"MSD_{name}.npz", allow_pickle=False) for name in ("musicnn", "vgg")))


def log_mel(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return librosa's log-mel, (n_frames, N_MELS), as the taggers take it."""
    mel = melspectrogram(y=waveform, sr=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, n_mels=N_MELS)
    return np.log10(10_000 * mel + 1).T.astype(np.float32)


def test_the_front_end_is_librosas() -> None:
    waveform = tone()
    found = TaggerLogMel()(torch.from_numpy(waveform)[None])[0].numpy()
    assert found.shape == (N_FRAMES, N_MELS)
    # librosa's frames are centred: pad so that both begin at the same sample.
    expected = log_mel(np.concatenate([np.zeros(N_FFT // 2 + PADDING, np.float32), waveform]))[2:]
    assert found[:-1] == pytest.approx(expected[: N_FRAMES - 1], abs=1e-4)


def test_the_bundled_model_hears_whole_segments() -> None:
    model = EmbeddingModel(BUNDLED)
    assert (model.sample_rate, model.window_samples, model.hop_samples) == (SAMPLE_RATE, WINDOW_SAMPLES, 24_000)
    assert model.embed(tone(6.0)).shape == (3, 200 + 256 + 50 + 50)


def test_the_bundled_models_golden_outputs() -> None:
    (found,) = EmbeddingModel(BUNDLED).embed(tone())
    golden = {550: -9.6072, 522: -5.1078, 93: 2.2433, 238: 1.0766, 95: 0.6466, 236: -0.4098}
    assert [float(found[i]) for i in golden] == pytest.approx(list(golden.values()), abs=2e-3)
    assert found[456:506].argmax() == TAGS.index("electronic")


@pytest.mark.realdata
def test_the_bundled_model_is_the_published_weights() -> None:
    with torch.no_grad():
        expected = taggers()(torch.from_numpy(tone())[None])[0].numpy()
    assert EmbeddingModel(BUNDLED).embed(tone())[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.realdata
def test_outputs_on_real_clips_are_those_of_the_authors() -> None:
    from librosa import load

    module = taggers()
    expected = json.loads((ARRAYS / "expected.json").read_text(encoding="utf-8"))
    for name, wanted in list(expected.items())[:2]:
        (path,) = (SHARED / "data" / "4q").rglob(f"{name}.mp3")
        frames = log_mel(load(path, sr=SAMPLE_RATE)[0])
        starts = range(0, len(frames) - N_FRAMES + 1, 94)
        assert len(starts) == wanted["n_windows"]
        with torch.no_grad():
            units, logits = module.musicnn(torch.from_numpy(np.stack([frames[s : s + N_FRAMES] for s in starts])))
        assert units.mean(0)[:5].numpy() == pytest.approx(wanted["penultimate"], abs=2e-3)
        assert logits.sigmoid().mean(0)[:10].numpy() == pytest.approx(wanted["tags"], abs=2e-3)
