"""VGG16 on log-mel segments, as published and compact.

A segment is (batch, n_frames, n_mels), float, in dB. Inside, images are (batch, channels, n_mels, n_frames).

Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015,
configuration D; "we only modify the input channel and output number of classification" (paper, "Experiment
Setup"). Batch norm: Ioffe and Szegedy, 2015.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from mertag.listen.windows import FrontEnd

Architecture = Literal["compact", "published"]

DEFAULT_FRONT_END = FrontEnd()

MIN_FRAMES = 32
"""The shortest segment: five pools halve it to one column."""

TEACHER_DROPOUT = 0.2

# Output channels of the 13 convolutions; a pool follows each group.
GROUPS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def _trunk(*, batch_norm: bool, width: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 1
    for group in GROUPS:
        for published in group:
            wide = round(width * published)
            layers.append(nn.Conv2d(channels, wide, kernel_size=3, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(wide))
            layers.append(nn.ReLU(inplace=True))
            channels = wide
        layers.append(nn.MaxPool2d(kernel_size=2))
    return nn.Sequential(*layers)


class SegmentNetwork(nn.Module):
    """Log-mel segment to class logits.

    The mean and standard deviation of each mel band over the training fold are stored inside, so that a network is
    complete in itself. `embed` and `classify` are apart, so that several dropout passes can share one pass through the
    convolutions.

    Parameters
    ----------
    architecture : {"compact", "published"}
        ``published``: VGG16 with a 7 x 7 adaptive pool and 4096-4096-K (134 M weights). ``compact``: the same
        convolutions with batch norm, the mean over time, 512 x n_mels/32 -> 512 -> K (16 M weights).
    front_end : FrontEnd
        Of the log-mels; `n_mels` must be a multiple of 32.
    dropout : float
        Probability of dropping, in the head only: before both linear layers of ``compact``, and before the second and
        the third of ``published``.
    width : float
        Share of the channels given above, in the convolutions and in the head.
    n_taught : int
        Outputs of the `teacher` head, a linear one on the embedding that serves the training only; 0 for none.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        architecture: Architecture,
        *,
        n_classes: int,
        front_end: FrontEnd = DEFAULT_FRONT_END,
        dropout: float = 0.5,
        width: float = 1.0,
        n_taught: int = 0,
    ) -> None:
        super().__init__()
        self.architecture: Architecture = architecture
        self.n_classes = n_classes
        n_mels = front_end.n_mels
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("std", torch.ones(n_mels))
        self.trunk = _trunk(batch_norm=architecture == "compact", width=width)
        channels, hidden = round(width * 512), round(width * (4096 if architecture == "published" else 512))
        if architecture == "published":
            seen = channels * 7 * 7
            before: list[nn.Module] = [nn.Linear(seen, hidden), nn.ReLU(inplace=True)]
            before += [nn.Dropout(dropout), nn.Linear(hidden, hidden)]
        else:
            seen = channels * (n_mels // 32)
            before = [nn.Dropout(dropout), nn.Linear(seen, hidden)]
        last = nn.Linear(hidden, n_classes)
        self.head = nn.Sequential(*before, nn.ReLU(inplace=True), nn.Dropout(dropout), last)
        self._initialise()
        self.teacher: nn.Sequential | None = None
        if n_taught:
            taught = nn.Linear(seen, n_taught)
            nn.init.normal_(taught.weight, std=0.01)
            self.teacher = nn.Sequential(nn.Dropout(TEACHER_DROPOUT), taught)

    def _initialise(self) -> None:
        """He initialisation (He et al., 2015); without it the published form does not leave its plateau."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Small logits to begin with: the first loss is then ln K.
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        nn.init.normal_(last.weight, std=0.01)

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Take the convolutions and the teacher's head of another network of this kind; the head stays as it is."""
        mine = {name: value for name, value in weights.items() if not name.startswith("head.")}
        self.load_state_dict({**self.state_dict(), **mine})

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Store the mean and standard deviation of each mel band, shape (n_mels,), in dB."""
        self.mean.copy_(mean)
        self.std.copy_(std)

    @property
    def batch_normed(self) -> bool:
        """Whether there is batch norm: what is said of a row then depends on its batch while training."""
        return self.architecture != "published"

    @contextlib.contextmanager
    def running_statistics_kept(self) -> Iterator[None]:
        """Within it, batch norm does not learn the statistics of what it sees."""
        normed = [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)]
        for module in normed:
            module.track_running_stats = False  # in training: normalise by the batch, note nothing
        try:
            yield
        finally:
            for module in normed:
                module.track_running_stats = True

    def image(self, normal: Tensor) -> Tensor:
        """Return segments (batch, n_frames, n_mels) as the convolutions take them: (batch, 1, n_mels, n_frames)."""
        return normal.transpose(1, 2).unsqueeze(1).contiguous(memory_format=torch.channels_last)

    def summarise(self, seen: Tensor) -> Tensor:
        """Return the embedding (batch, features) of the trunk's output (batch, 512, n_mels/32, n_frames/32)."""
        compact = self.architecture == "compact"
        return (seen.mean(dim=3) if compact else nn.functional.adaptive_avg_pool2d(seen, (7, 7))).flatten(1)

    def embed(self, segments: Tensor) -> Tensor:
        """Return what is seen in segments (batch, n_frames, n_mels) in dB: shape (batch, features)."""
        return self.summarise(self.trunk(self.image((segments - self.mean) / self.std)))

    def classify(self, embedding: Tensor) -> Tensor:
        """Return the logits, shape (batch, n_classes), of embeddings (batch, features)."""
        logits: Tensor = self.head(embedding)
        return logits

    def forward(self, segments: Tensor) -> Tensor:
        """Return the logits, shape (batch, n_classes), of segments (batch, n_frames, n_mels) in dB."""
        return self.classify(self.embed(segments))
