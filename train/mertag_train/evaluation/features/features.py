"""Hand-made features of a clip: what is known of its timbre, loudness, harmony and rhythm, as one vector.

Conventions: 22,050 Hz mono; whole frames of 2,048 samples every 512 (93 ms, 23 ms), Hann, no padding; librosa's
definitions unless said otherwise. Every number is a statistic over the frames of the clip; `FEATURE_NAMES` says
which stands where::

    mfcc<i>.mean .std           timbre; 20 coefficients of 128 Slaney mels in dB, from -60 up (no top_db: loudness
                                counts)
    mfcc<i>.delta_std           how fast it changes, and how fast the change does: slopes over 9 frames
    mfcc<i>.delta2_std
    centroid.* bandwidth.*      Hz
    rolloff.*                   Hz, below which 85 % of the magnitude lies
    flatness.*                  dB; near 0 for noise, far below for tones
    zero_crossings.*            share of neighbouring samples whose signs differ
    contrast<i>.*               dB between peaks and valleys of 7 bands
    loudness.*                  dB of the frame's root mean square; mean, std, 5th and 95th percentile
    loudness.low_share          share of frames quieter than half of the mean root mean square
    chroma<i>.*                 12 pitch classes from C, the loudest of a frame at 1
    key.major .minor            best correlation of the mean chroma with a major and with a minor key profile
    key.mode                    their difference: above 0 for major
    tonnetz<i>.*                6 tonal centroids of the chroma
    onset.*                     spectral flux of the mels in dB
    onset.rate                  peaks of the flux a second
    tempo                       beats a minute; 117 where there is no beat at all (librosa's prior)
    pulse                       height of the flux's autocorrelation at its best beat, 0 to 1

One STFT serves them all. It is made in blocks, so that memory does not grow with a long song. Nothing here is
random; no function compiles with numba when it is called. About 0.2 s of CPU for 30 s of music. librosa is loaded
when the first clip is computed: names and version are had without it.

Sources: MFCC: Davis and Mermelstein, 1980. Contrast: Jiang et al., 2002. Tonnetz: Harte et al., 2006. Key
profiles: Temperley, "What's key for key?", 1999. Tempo: Ellis, 2007.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mertag.errors import TooShortError
from mertag.listen.windows import FrontEnd
from mertag_train.arrays import AnyFloats, Floats32

VERSION = 1
"""Raised whenever the same clip would get another vector."""

SAMPLE_RATE = FrontEnd().sample_rate
N_FFT, HOP = 2_048, 512
N_MELS, N_MFCC, N_CONTRAST, N_CHROMA, N_TONNETZ = 128, 20, 7, 12, 6
SPECTRAL = ("centroid", "bandwidth", "rolloff", "flatness", "zero_crossings")
AMIN = 1e-10
MEL_AMIN = 1e-6
"""Mel power below which the logarithm is cut: 114 dB under a full-scale sine, where only encoders differ."""
SLOPE_FRAMES = 9
BLOCK_FRAMES = 2_584  # one minute

LAG_FRAMES = 384
"""How far the flux is compared with itself: 8.9 s."""
BEAT_LAGS = slice(11, 87)
"""Lags of a beat, 30 to 235 beats a minute."""
ONSET_GAP_FRAMES = 3  # two onsets within 70 ms are one
ONSET_HEIGHT = 1.0  # standard deviations of the flux, over its median

MAJOR = np.array([5.0, 2.0, 3.5, 2.0, 4.5, 4.0, 2.0, 4.5, 2.0, 3.5, 1.5, 4.0])
MINOR = np.array([5.0, 2.0, 3.5, 4.5, 2.0, 4.0, 2.0, 4.5, 3.5, 2.0, 1.5, 4.0])
"""How well each pitch class fits a key on C (Temperley)."""


def _mean_std(*of: str) -> tuple[str, ...]:
    return tuple(f"{name}.{statistic}" for statistic in ("mean", "std") for name in of)


FEATURE_NAMES: tuple[str, ...] = (
    *(f"mfcc{i}.{statistic}" for statistic in ("mean", "std", "delta_std", "delta2_std") for i in range(N_MFCC)),
    *_mean_std(*SPECTRAL, *(f"contrast{i}" for i in range(N_CONTRAST))),
    *(f"loudness.{statistic}" for statistic in ("mean", "std", "p05", "p95", "low_share")),
    *_mean_std(*(f"chroma{i}" for i in range(N_CHROMA))),
    *("key.major", "key.minor", "key.mode"),
    *_mean_std(*(f"tonnetz{i}" for i in range(N_TONNETZ))),
    *("onset.mean", "onset.std", "onset.rate", "tempo", "pulse"),
)
"""What each number of a vector is."""


def clip_features(waveform: npt.ArrayLike) -> Floats32:
    """Return the features of a clip, float32, shape (len(FEATURE_NAMES),): all finite, for silence too.

    Parameters
    ----------
    waveform : array, shape (n_samples,)
        Mono, 22,050 Hz; ValueError is raised if it has less than one frame (`N_FFT` samples), or more dimensions.
    """
    import librosa
    from librosa.onset import onset_strength

    y = np.asarray(waveform, dtype=np.float32)
    if y.ndim != 1 or len(y) < N_FFT:
        raise ValueError(f"expected at least {N_FFT} samples in one dimension, got shape {y.shape}")
    rows = _frame_rows(y)
    mfcc = librosa.feature.mfcc(S=rows["mel"], n_mfcc=N_MFCC)
    slopes = [librosa.feature.delta(mfcc, width=SLOPE_FRAMES, order=order, mode="nearest") for order in (1, 2)]
    spectral = np.concatenate([rows["spectral"], rows["contrast"]])
    tonnetz = librosa.feature.tonnetz(chroma=rows["chroma"])
    found = [
        *(mfcc.mean(axis=1), mfcc.std(axis=1), *(slope.std(axis=1) for slope in slopes)),
        *(spectral.mean(axis=1), spectral.std(axis=1)),
        _loudness(rows["rms"][0]),
        *(rows["chroma"].mean(axis=1), rows["chroma"].std(axis=1)),
        key_fit(rows["chroma"].mean(axis=1)),
        *(tonnetz.mean(axis=1), tonnetz.std(axis=1)),
        _rhythm(onset_strength(S=rows["mel"], sr=SAMPLE_RATE, hop_length=HOP)),
    ]
    return np.concatenate(found).astype(np.float32)


def decode_features(path: Path, *, front_end: FrontEnd, chunk_s: float) -> Iterator[Floats32]:
    """Yield the features of a file, as one chunk: what a `mertag.listen.decode.pool.DecoderPool` runs in its processes.

    FileError is raised as by `mertag.listen.decode.audio.decode`, and TooShortError for less than one frame.
    """
    from mertag.listen.decode.audio import decode_all

    waveform = decode_all(path, front_end=front_end)
    if len(waveform) < N_FFT:
        raise TooShortError(path, f"shorter than {N_FFT / SAMPLE_RATE:.2f} s: no features can be computed")
    yield clip_features(waveform)


def _frame_rows(y: Floats32) -> Mapping[str, AnyFloats]:
    """Return what is known of each frame, arrays of shape (n_rows, n_frames), by name."""
    n_frames = 1 + (len(y) - N_FFT) // HOP
    firsts = range(0, n_frames, BLOCK_FRAMES)
    ends = [(min(first + BLOCK_FRAMES, n_frames) - 1) * HOP + N_FFT for first in firsts]
    blocks = [_block_rows(y[first * HOP : end]) for first, end in zip(firsts, ends, strict=True)]
    return {name: np.concatenate([block[name] for block in blocks], axis=1) for name in blocks[0]}


def _block_rows(y: Floats32) -> Mapping[str, AnyFloats]:
    import librosa

    magnitude = np.abs(librosa.stft(y, n_fft=N_FFT, hop_length=HOP, center=False))
    power = magnitude**2
    mel = librosa.feature.melspectrogram(S=power, sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS)
    centroid = librosa.feature.spectral_centroid(S=magnitude, sr=SAMPLE_RATE)
    frames = librosa.util.frame(y, frame_length=N_FFT, hop_length=HOP)
    spectral = [
        centroid,
        librosa.feature.spectral_bandwidth(S=magnitude, sr=SAMPLE_RATE, centroid=centroid),
        librosa.feature.spectral_rolloff(S=magnitude, sr=SAMPLE_RATE),
        10 * np.log10(librosa.feature.spectral_flatness(S=power, power=1.0, amin=AMIN)),
        np.mean(np.signbit(frames[1:]) != np.signbit(frames[:-1]), axis=0, keepdims=True),
    ]
    return {
        "mel": librosa.power_to_db(mel, amin=MEL_AMIN, top_db=None),
        "spectral": np.concatenate(spectral),
        "contrast": librosa.feature.spectral_contrast(S=magnitude, sr=SAMPLE_RATE, n_bands=N_CONTRAST - 1),
        "rms": np.sqrt(np.mean(np.square(frames), axis=0, keepdims=True)),
        # Tuning is not estimated: that takes as long as all the rest.
        "chroma": librosa.feature.chroma_stft(S=power, sr=SAMPLE_RATE, tuning=0.0),
    }


def _loudness(rms: AnyFloats) -> AnyFloats:
    db = 20 * np.log10(np.maximum(rms, np.sqrt(AMIN)))
    low_share = np.mean(rms < 0.5 * rms.mean())
    return np.array([db.mean(), db.std(), *np.percentile(db, (5, 95)), low_share])


def key_fit(chroma: AnyFloats) -> AnyFloats:
    """Return how well a mean chroma, shape (12,), fits the best major key, the best minor key, and the difference.

    Pearson's correlation with each of the 24 rotated profiles; 0 for a chroma without any difference.
    """
    if np.ptp(chroma) == 0:
        return np.zeros(3)
    best = [max(np.corrcoef(chroma, np.roll(profile, key))[0, 1] for key in range(12)) for profile in (MAJOR, MINOR)]
    return np.array([*best, best[0] - best[1]])


def _rhythm(flux: AnyFloats) -> AnyFloats:
    import librosa
    from scipy.signal import find_peaks

    height = np.median(flux) + ONSET_HEIGHT * flux.std()
    onsets, _ = find_peaks(flux, height=max(height, AMIN), distance=ONSET_GAP_FRAMES)
    duration_s = len(flux) * HOP / SAMPLE_RATE
    centred = flux - flux.mean()
    similar = np.zeros(LAG_FRAMES)
    lags = librosa.autocorrelate(centred, max_size=LAG_FRAMES)
    if lags[0] > AMIN:
        similar[: len(lags)] = lags / lags[0]
    tempo = librosa.feature.tempo(tg=np.maximum(similar, 0)[:, None], sr=SAMPLE_RATE, hop_length=HOP, aggregate=None)
    pulse = max(0.0, similar[BEAT_LAGS].max())
    return np.array([flux.mean(), flux.std(), len(onsets) / duration_s, tempo[0], pulse])
