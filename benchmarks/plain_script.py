"""Tagging as the script that one would write first: librosa, eager fp32 torch, one song at a time.

The weights are those of the bundle, so that decisions can be compared. Batch norm is folded into the convolutions
there already, which makes this script faster than one that loads a training checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import librosa
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from mertag.blocks import SongSegments
from mertag.bundle import Bundle
from mertag.emotion import SongEmotion
from mertag.errors import MertagError
from mertag.judge import judge
from mertag.manifest import Precision
from mertag.runtime import SongModel
from mertag_train.vgg import GROUPS


def network_of(bundle: Bundle) -> nn.Module:
    """Return the bundle's network, fp32: segments (n, n_frames, n_mels) in dB to logits.

    Raises
    ------
    SystemExit
        If it is not the compact VGG16 with one head.
    """
    available = bundle.manifest.segment
    name = available.get(Precision.FP32) or available[Precision.FP16]
    graph = onnx.load_from_string(bundle.read(name)).graph
    values = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    linear = [node for node in graph.node if node.op_type == "Gemm"]
    if (len(convolutions), len(linear)) != (sum(map(len, GROUPS)), 2):
        raise SystemExit("the plain script knows the compact VGG16 with one head only; leave it out with --no-plain")
    given = iter(convolutions)
    layers: list[nn.Module] = []
    for group in GROUPS:
        for _ in group:
            layers += [_filled(nn.Conv2d, values, next(given).input), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(2))
    head = nn.Sequential(*(_filled(nn.Linear, values, node.input) for node in linear))
    return _Network(values["mean.0"], values["std.0"], nn.Sequential(*layers), head).eval()


def _filled(kind: type[nn.Module], values: dict[str, np.ndarray], inputs: list[str]) -> nn.Module:
    weight, bias = (torch.tensor(values[name].astype(np.float32)) for name in inputs[1:3])
    n_out, n_in = weight.shape[:2]
    made = kind(n_in, n_out, **({"kernel_size": 3, "padding": 1} if kind is nn.Conv2d else {}))
    made.load_state_dict({"weight": weight, "bias": bias})
    return made


class _Network(nn.Module):
    def __init__(self, mean: np.ndarray, std: np.ndarray, trunk: nn.Module, head: nn.Sequential) -> None:
        super().__init__()
        self.mean, self.std, self.trunk, self.head = torch.tensor(mean), torch.tensor(std), trunk, head

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        x = ((segments - self.mean) / self.std).transpose(1, 2).unsqueeze(1)
        x = self.trunk(x).mean(dim=3).flatten(1)
        logits: torch.Tensor = self.head[1](torch.relu(self.head[0](x)))
        return logits


def tag_plainly(
    paths: list[Path], *, bundle: Bundle, network: nn.Module, song_model: SongModel
) -> Iterator[tuple[Path, SongEmotion | None]]:
    """Yield the emotion of each song; None for one that has none."""
    front_end, segmentation = bundle.manifest.front_end, bundle.manifest.segmentation
    (head,) = bundle.manifest.heads
    n_frames = segmentation.segment_frames(front_end)
    for path in paths:
        waveform, _ = librosa.load(path, sr=front_end.sample_rate, mono=True)
        power = librosa.feature.melspectrogram(
            y=waveform,
            sr=front_end.sample_rate,
            n_fft=front_end.n_fft,
            hop_length=front_end.hop_length,
            n_mels=front_end.n_mels,
            center=False,
        )
        log_mel = 10 * np.log10(np.maximum(power, front_end.amin)).T.astype(np.float32)
        starts = segmentation.start_frames(len(waveform), front_end)
        if not len(starts):
            yield path, None
            continue
        segments = np.stack([log_mel[start : start + n_frames] for start in starts])
        with torch.no_grad():
            found = torch.softmax(network(torch.from_numpy(segments)), dim=-1).numpy()
        song = SongSegments(key=0, n_samples=len(waveform), n_segments=len(starts), probabilities={head.target: found})
        peak = float(np.abs(waveform).max())
        try:
            yield (
                path,
                judge(song, bundle=bundle, segmentation=segmentation, song_model=song_model, path=path, peak=peak),
            )
        except MertagError:
            yield path, None
