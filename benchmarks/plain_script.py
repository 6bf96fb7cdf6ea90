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

from mertag.emotion import SongEmotion
from mertag.errors import MertagError
from mertag.listen.blocks import SongSegments
from mertag.listen.bundle import Bundle
from mertag.listen.device import SongModel
from mertag.listen.manifest import Precision
from mertag.listen.song import song_emotion
from mertag_train.networks.vgg import GROUPS

CONVOLUTIONS = sum(map(len, GROUPS))


def network_of(bundle: Bundle) -> nn.Module:
    """Return the bundle's network, fp32: segments (n, n_frames, n_mels) in dB to logits.

    Raises
    ------
    SystemExit
        If it is not one compact VGG16, with one head.
    """
    available = bundle.manifest.segment
    name = available.get(Precision.FP32) or available[Precision.FP16]
    graph = onnx.load_from_string(bundle.read(name)).graph
    values = {i.name: numpy_helper.to_array(i).astype(np.float32) for i in graph.initializer}
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]  # the front end has neither
    if [node.op_type for node in layers] != ["Conv"] * CONVOLUTIONS + ["Gemm"] * 2:
        raise SystemExit("the plain script knows one compact VGG16 only; leave it out with --no-plain")
    mean, std = (
        torch.tensor(next(value for name, value in values.items() if name.split(".")[-1] == what))
        for what in ("mean", "std")
    )
    return _Network(mean.reshape(-1), std.reshape(-1), _trunk(layers[:-2], values), _head(layers[-2:], values)).eval()


def _trunk(nodes: list[onnx.NodeProto], values: dict[str, np.ndarray]) -> nn.Module:
    given = iter(nodes)
    layers: list[nn.Module] = []
    for group in GROUPS:
        for _ in group:
            layers += [_filled(nn.Conv2d, values, next(given).input), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def _head(nodes: list[onnx.NodeProto], values: dict[str, np.ndarray]) -> nn.Module:
    inner, outer = (_filled(nn.Linear, values, node.input) for node in nodes)
    return nn.Sequential(inner, nn.ReLU(), outer)


def _filled(kind: type[nn.Module], values: dict[str, np.ndarray], inputs: list[str]) -> nn.Module:
    weight, bias = (torch.tensor(values[name]) for name in inputs[1:3])
    n_out, n_in = weight.shape[:2]
    made = kind(n_in, n_out, **({"kernel_size": 3, "padding": 1} if kind is nn.Conv2d else {}))
    made.load_state_dict({"weight": weight, "bias": bias})
    return made


class _Network(nn.Module):
    def __init__(self, mean: torch.Tensor, std: torch.Tensor, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.mean, self.std, self.trunk, self.head = mean, std, trunk, head

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        normal = (segments - self.mean) / self.std
        seen = self.trunk(normal.transpose(1, 2).unsqueeze(1)).mean(dim=3).flatten(1)
        logits: torch.Tensor = self.head(seen)
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
            emotion = song_emotion(
                song, bundle=bundle, segmentation=segmentation, song_model=song_model, path=path, peak=peak
            )
            yield path, emotion
        except MertagError:
            yield path, None
