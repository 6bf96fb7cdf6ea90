"""The two-stage model of He and Ferguson: every size, and what of it is theirs; the `networks` stand beside it.

Stage 1 is unsupervised: an auto-encoder reconstructs log-mel segments of which stretches of time and frequency are
masked, and what its bottleneck holds of a segment is the segment's embedding. Stage 2 is supervised: a bidirectional
LSTM reads the embeddings of a song's consecutive segments, and a classifier learns the song's label.

What the published abstract says: contiguous segments, an auto-encoder whose inputs have frequency and time masking,
its representation of each segment in time order into a bidirectional LSTM. Chosen here, because it is not known:
all sizes, the kind of layers, the widths of the masks, the optimiser and its steps, the mean over time before the
classifier. Width and epochs of stage 2 were chosen among eleven settings by the log-loss of 143 songs of 4Q. The
choice barely moves the accuracy (0.50 to 0.57): a wider or longer one is only surer of what it gets wrong. So the
figures are those of the idea, and not of its authors' model.

Source: N. He and S. Ferguson, "Music emotion recognition based on segment-level two-stage learning", International
Journal of Multimedia Information Retrieval 11, 2022. Masks: Park et al., SpecAugment, 2019.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoEncoderConfig:
    """Stage 1.

    Attributes
    ----------
    channels : tuple of int
        Output channels of the encoder's convolutions, each of stride 2; the decoder mirrors them.
    embedding : int
        Width of the bottleneck.
    time_masks, frequency_masks : int
        Masked stretches of a segment.
    max_time_mask, max_frequency_mask : float
        The widest stretch, as a share of the frames and of the bands.
    epochs : int
        Passes over the training clips.
    clip_s : float
        Audio of each clip in a pass, in seconds: so many segments of it, at random places, that a pass costs the
        same for every segment duration.
    batch_size, learning_rate : int, float
        Segments a step, and the highest rate of Adam.
    """

    channels: tuple[int, ...] = (16, 32, 64, 64)
    embedding: int = 128
    time_masks: int = 2
    max_time_mask: float = 0.25
    frequency_masks: int = 2
    max_frequency_mask: float = 0.2
    epochs: int = 6
    clip_s: float = 10.0
    batch_size: int = 64
    learning_rate: float = 2e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceConfig:
    """Stage 2.

    Attributes
    ----------
    hidden : int
        Width of the LSTM in each direction.
    dropout : float
        Before the LSTM and before the classifier.
    epochs : int
        Passes over the training songs; the last one is taken.
    batch_size, learning_rate : int, float
        Songs a step, and the highest rate of AdamW.
    clip_norm : float
        Norm to which the gradient is clipped.
    """

    hidden: int = 32
    dropout: float = 0.5
    epochs: int = 15
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    clip_norm: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoStageConfig:
    """Both stages."""

    autoencoder: AutoEncoderConfig = field(default_factory=AutoEncoderConfig)
    sequence: SequenceConfig = field(default_factory=SequenceConfig)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        plain = asdict(self)
        plain["autoencoder"]["channels"] = list(self.autoencoder.channels)
        return plain
