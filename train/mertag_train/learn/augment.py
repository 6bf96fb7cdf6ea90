"""Augmentation of log-mel segments, and made-up sounds that are no music.

A network that has only ever heard music is sure of anything: white noise is Angry. Shown such sounds with the label
that nothing is known, it learns to say so (outlier exposure: Hendrycks et al., 2019). They are drawn band by band, or
played: made as a waveform and seen through the front end. Networks of statistics learn to know drawn noise, and are
then as sure of real noise as before: its neighbouring bands have much in common.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from mertag.listen.windows import FrontEnd
from mertag_train.arrays import Floats, Floats32
from mertag_train.data.frontend import mel_centres_hz, quick_log_mel
from mertag_train.learn.config import AugmentConfig

EQUALISER_KNOTS = 5
"""Bands, spread evenly over all, at which a random equaliser draws its gains."""

FLOOR_DB = -100.0
"""Of a log-mel: 10 log10 of 1e-10."""
NOISE_FRAMES = 4_096
"""Length of the white noise that played noise is cut from."""


def augment(segments: Tensor, fill: Tensor, config: AugmentConfig, rng: np.random.Generator) -> Tensor:
    """Return segments (batch, n_frames, n_mels) in dB with another pitch, equaliser and gain, and hidden stretches.

    Hidden stretches of time and frequency are set to `fill` (n_mels,), the band means in dB.
    """
    batch, n_frames, n_mels = segments.shape
    device = segments.device
    if config.pitch_bands:
        # Moved by up to so many bands either way; the outermost band fills what becomes free.
        moved = rng.integers(-config.pitch_bands, config.pitch_bands + 1, size=(batch, 1))
        source = torch.from_numpy(np.clip(np.arange(n_mels) + moved, 0, n_mels - 1)).to(device)
        segments = segments.gather(2, source[:, None, :].expand(batch, n_frames, n_mels))
    if config.equaliser_db:
        curve = random_curves(batch, n_mels, config.equaliser_db, rng)
        segments = segments + torch.from_numpy(curve).to(device)[:, None, :]
    if config.gain_db:
        gain = rng.uniform(-config.gain_db, config.gain_db, size=(batch, 1, 1)).astype(np.float32)
        segments = segments + torch.from_numpy(gain).to(device)
    hidden = torch.zeros(batch, n_frames, n_mels, dtype=torch.bool, device=device)
    for _ in range(config.time_masks):
        hidden |= _stretches(batch, n_frames, config.max_time_mask, rng).to(device)[:, :, None]
    for _ in range(config.frequency_masks):
        hidden |= _stretches(batch, n_mels, config.max_frequency_mask, rng).to(device)[:, None, :]
    return torch.where(hidden, fill, segments)


def random_curves(batch: int, n_mels: int, most_db: float, rng: np.random.Generator) -> Floats32:
    """Return one gain a band, shape (batch, n_mels), in dB: straight lines between `EQUALISER_KNOTS` random gains."""
    gains = rng.uniform(-most_db, most_db, size=(batch, EQUALISER_KNOTS))
    place = np.linspace(0, EQUALISER_KNOTS - 1, n_mels)
    below = np.minimum(place.astype(np.int64), EQUALISER_KNOTS - 2)
    share = place - below
    return ((1 - share) * gains[:, below] + share * gains[:, below + 1]).astype(np.float32)


def _stretches(batch: int, length: int, widest: float, rng: np.random.Generator) -> Tensor:
    """Return one random stretch a row, True inside: shape (batch, length)."""
    width = rng.integers(0, int(widest * length) + 1, size=(batch, 1))
    start = rng.integers(0, length - width + 1)
    place = np.arange(length)[None, :]
    return torch.from_numpy((place >= start) & (place < start + width))


def not_music(count: int, n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats32:
    """Return log-mels of made-up sounds, shape (count, n_frames, n_mels), in dB.

    Each is noise, tones or clicks, by chance; of any level.
    """
    found = np.empty((count, n_frames, n_mels), dtype=np.float32)
    for row, kind in enumerate(rng.choice(3, size=count, p=(0.5, 0.25, 0.25))):
        found[row] = (_noise, _tones, _clicks)[kind](n_frames, n_mels, rng)
    return np.maximum(found, FLOOR_DB)


def _noise(n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats32:
    """Return noise of a smooth random spectrum.

    Its power in a band is gamma distributed, and the steadier the wider the band is: high ones hold several bins of
    the Fourier transform.
    """
    spectrum = random_curves(1, n_mels, rng.uniform(0, 30), rng)[0] + rng.uniform(-80, 10)
    shape = rng.choice([1.0, 2.0, 4.0, 1000.0]) * np.linspace(1, rng.uniform(1, 10), n_mels)
    power = rng.gamma(shape, 1 / shape, size=(n_frames, n_mels))
    return np.asarray(spectrum + 10 * np.log10(np.maximum(power, 1e-10)), dtype=np.float32)


def _tones(n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats32:
    """Return a few steady lines, with the skirts that a window leaves, above a floor."""
    bands = np.arange(n_mels)
    spectrum = np.full(n_mels, rng.uniform(FLOOR_DB, -70))
    for centre in rng.integers(0, n_mels, size=rng.integers(1, 7)):
        line = rng.uniform(-40, 30) - rng.uniform(3, 15) * np.abs(bands - centre)
        spectrum = np.maximum(spectrum, line)
    return np.asarray(spectrum + rng.normal(0, rng.uniform(0, 1), size=(n_frames, n_mels)), dtype=np.float32)


def _clicks(n_frames: int, n_mels: int, rng: np.random.Generator) -> Floats32:
    """Return short broad-band events, regular or not, above a floor."""
    spectrum = random_curves(1, n_mels, 20.0, rng)[0] + rng.uniform(-50, 0)
    floor = rng.uniform(FLOOR_DB, -60)
    period = int(rng.integers(4, 60))
    regular = np.arange(n_frames) % period == rng.integers(0, period)
    hit = regular if rng.random() < 0.5 else rng.random(n_frames) < 1 / period
    return np.where(hit[:, None], spectrum, floor + rng.normal(0, 1, size=(n_frames, n_mels))).astype(np.float32)


def played_not_music(count: int, n_frames: int, front_end: FrontEnd, rng: np.random.Generator) -> Floats32:
    """Return log-mels of such sounds as a microphone would hear them, shape (count, n_frames, n_mels), in dB."""
    found = np.empty((count, n_frames, front_end.n_mels), dtype=np.float32)
    kinds = (_played_noise, _played_tones, _played_clicks, _played_speech)
    for row, kind in enumerate(rng.choice(len(kinds), size=count, p=(0.45, 0.25, 0.18, 0.12))):
        found[row] = kinds[kind](n_frames, front_end, rng)
    return np.maximum(found, FLOOR_DB)


def _played_noise(n_frames: int, front_end: FrontEnd, rng: np.random.Generator) -> Floats32:
    """Return white noise behind a smooth filter that also falls by up to 9 dB an octave, steady or not."""
    white = _white(front_end)
    start = rng.integers(0, len(white) - n_frames + 1)
    colour = random_curves(1, front_end.n_mels, rng.uniform(0, 20), rng)[0]
    octaves = np.log2(np.maximum(mel_centres_hz(front_end), 20) / 1000)
    level = rng.uniform(-90, 5) + colour - rng.uniform(-3, 9) * octaves
    swell = random_curves(1, n_frames, rng.choice([0.0, 0.0, 3.0, 12.0]), rng)[0]
    return np.asarray(white[start : start + n_frames] + level + swell[:, None], dtype=np.float32)


@functools.cache
def _white(front_end: FrontEnd) -> Floats32:
    """Return the log-mel of a long stretch of white noise of variance 1, from which others are cut."""
    n_samples = (NOISE_FRAMES - 1) * front_end.hop_length + front_end.n_fft
    return quick_log_mel(np.random.default_rng(0).standard_normal(n_samples), front_end)


def _played_tones(n_frames: int, front_end: FrontEnd, rng: np.random.Generator) -> Floats32:
    """Return one to three steady tones with their overtones, above a little noise."""
    time_s = np.arange((n_frames - 1) * front_end.hop_length + front_end.n_fft) / front_end.sample_rate
    sound = 10 ** rng.uniform(-6, -2) * rng.standard_normal(len(time_s))
    for _ in range(rng.integers(1, 4)):
        lowest_hz, fall = float(np.exp(rng.uniform(np.log(40), np.log(4_000)))), rng.uniform(0.5, 2)
        for overtone in range(1, rng.integers(2, 10)):
            if lowest_hz * overtone < front_end.sample_rate / 2:
                sound += overtone**-fall * np.sin(2 * np.pi * (lowest_hz * overtone * time_s + rng.random()))
    return quick_log_mel(10 ** rng.uniform(-2.5, 0) * sound, front_end)


def _played_clicks(n_frames: int, front_end: FrontEnd, rng: np.random.Generator) -> Floats32:
    """Return short bursts of noise, regular or not, above a little noise."""
    n_samples = (n_frames - 1) * front_end.hop_length + front_end.n_fft
    sound = 10 ** rng.uniform(-6, -2) * rng.standard_normal(n_samples)
    period = int(front_end.sample_rate * rng.uniform(0.05, 1.5))
    at = np.arange(rng.integers(0, period), n_samples, period)
    if rng.random() < 0.5:
        at = rng.integers(0, n_samples, size=len(at))
    length = int(front_end.sample_rate * 10 ** rng.uniform(-4.3, -1.7))
    burst = np.exp(-np.arange(4 * length + 1) / max(length, 1))
    for start in map(int, at):
        stop = min(start + len(burst), n_samples)
        sound[start:stop] += (burst * rng.standard_normal(len(burst)))[: stop - start]
    return quick_log_mel(10 ** rng.uniform(-2.5, 0) * sound, front_end)


def _played_speech(n_frames: int, front_end: FrontEnd, rng: np.random.Generator) -> Floats32:
    """Return babble: syllables, most of them voiced, each with formants of its own, and pauses, above a little noise.

    A train of pulses, or noise, through resonances: the source and the filter of Fant, 1960.
    """
    n_samples = (n_frames - 1) * front_end.hop_length + front_end.n_fft
    sound = 10 ** rng.uniform(-5, -2) * rng.standard_normal(n_samples)
    voice_hz, rate_hz = float(np.exp(rng.uniform(np.log(75), np.log(320)))), rng.uniform(2.5, 7)
    at = 0
    while at < n_samples:
        length = int(front_end.sample_rate / rate_hz * rng.uniform(0.5, 1.6))
        if rng.random() > 0.15:  # else a pause
            syllable = _syllable(length, voice_hz * np.exp(rng.uniform(-0.2, 0.2)), front_end.sample_rate, rng)
            sound[at : at + length] += syllable[: n_samples - at]
        at += length
    return quick_log_mel(10 ** rng.uniform(-2.5, 0) * sound, front_end)


def _syllable(length: int, voice_hz: float, rate_hz: int, rng: np.random.Generator) -> Floats:
    """Return one syllable of about unit level; its pitch glides."""
    hz = np.fft.rfftfreq(length, 1 / rate_hz)
    formants: tuple[float, ...]
    if rng.random() < 0.75:
        phase = np.cumsum(voice_hz * np.linspace(1, np.exp(rng.uniform(-0.25, 0.25)), length)) / rate_hz
        source = np.diff(np.floor(phase), prepend=0.0)
        formants = (rng.uniform(250, 900), rng.uniform(800, 2_500), rng.uniform(2_300, 3_500))
    else:
        source, formants = rng.standard_normal(length), (rng.uniform(2_000, 7_000),)
    spectrum = np.fft.rfft(source)
    for formant_hz in formants:
        ratio, width = hz / formant_hz, rng.uniform(0.06, 0.2)
        spectrum = spectrum / np.sqrt(np.square(1 - np.square(ratio)) + np.square(width * ratio))
    swell = np.sin(np.pi * np.arange(length) / length) ** rng.uniform(0.3, 1.5)
    shaped = np.fft.irfft(spectrum, length) * swell
    return np.asarray(0.2 * shaped / (np.sqrt(np.mean(np.square(shaped))) + 1e-9))
