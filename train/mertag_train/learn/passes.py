"""How a network is trained on segments: which one, by what optimiser, with what done to the segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mertag_train.networks.vgg import Architecture

Schedule = Literal["one_cycle", "cosine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Which network.

    Attributes
    ----------
    architecture : {"compact", "published"}
        See `mertag_train.networks.vgg.SegmentNetwork`.
    dropout : float
        In the head only, where `mertag_train.networks.vgg.SegmentNetwork` says.
    width : float
        Share of VGG16's channels, in the convolutions and in the head: at 0.5 a quarter of the arithmetic.
    """

    architecture: Architecture = "compact"
    dropout: float = 0.5
    width: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserConfig:
    """Stochastic gradient descent with momentum.

    Attributes
    ----------
    learning_rate : float
        The highest rate of the schedule.
    schedule : {"one_cycle", "cosine"}
        ``one_cycle``: up over the first `ramp` of all epochs and down along a cosine (Smith and Topin, 2018).
        ``cosine``: one epoch up, then along a cosine.
    ramp : float
        Share of all epochs on which ``one_cycle`` climbs.
    clip_norm : float
        Norm to which the gradient is clipped.
    ema_decay : float
        Decay of the exponential moving average of the weights, a step; 0 keeps none. With one, it is the
        average that predicts and that is saved.
    """

    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "one_cycle"
    ramp: float = 0.3
    clip_norm: float = 1.0
    batch_size: int = 64
    ema_decay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """What is done to training segments; never when losses or probabilities are measured.

    Attributes
    ----------
    mixup_alpha : float
        Both parameters of the Beta distribution of eq. 6 and 7, where labels are inherited; 0 for none. That of
        self-learning is `SsslConfig.mixup_alpha`.
    gain_db : float
        A gain drawn from [-gain_db, gain_db] is added to each segment.
    time_masks, frequency_masks : int
        How many stretches are set to the band means (Park et al., SpecAugment, 2019).
    max_time_mask, max_frequency_mask : float
        Widest mask, as a share of the frames and of the bands.
    noise_share : float
        So many of a batch are replaced by sounds that are no music (`mertag_train.learn.augment`), whose label is that
        nothing is known: each class as likely as the others. With inherited labels only.
    """

    mixup_alpha: float = 0.4
    gain_db: float = 0.0
    time_masks: int = 1
    max_time_mask: float = 0.25
    frequency_masks: int = 1
    max_frequency_mask: float = 0.2
    noise_share: float = 0.0
