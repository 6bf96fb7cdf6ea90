"""The emotion of a song without mertag: python plain_onnx.py BUNDLE SONG (up to 45 s, WAV, FLAC, Ogg or MP3).

It needs numpy, onnxruntime, soundfile and soxr. Longer songs are judged so in windows of 30 s, one every 15 s, and
the probabilities averaged: see `mertag/listen/windows.py`.
"""

import json
import os
import sys
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # onnxruntime >= 1.29 reports its use otherwise, once it is imported
import numpy as np
import onnxruntime
import soundfile
import soxr

bundle, song = map(Path, sys.argv[1:])
about = json.loads((bundle / "manifest.json").read_text())["segmentation"]
length, hop = (round(about[key] * 22_050) for key in ("duration_s", "hop_s"))  # of a segment, in samples

audio, rate = soundfile.read(song, dtype="float32", always_2d=True)
waveform = soxr.resample(audio.mean(axis=1), rate, 22_050)  # mono, 22,050 Hz
starts = np.arange(0, len(waveform) - length + 1, hop, dtype=np.int64) // 512  # first frame of each segment
segments = onnxruntime.InferenceSession(bundle / "segment.int8.onnx")
(p,) = segments.run(["probabilities_quadrant"], {"waveform": waveform, "starts": starts})  # (n_segments, 4)
quartiles = np.quantile(p, (0.25, 0.5, 0.75), axis=0)
features = np.concatenate([p.max(0), p.min(0), *quartiles, p.mean(0), (p > 0.5).mean(0)], dtype=np.float32)
songs = onnxruntime.InferenceSession(bundle / "song.quadrant.onnx")
(probabilities,) = songs.run(["probabilities"], {"features": features[None]})[0]
print(dict(zip(("Happy", "Angry", "Sad", "Relaxed"), probabilities.tolist(), strict=True)))
