"""Every default of training, in one frozen tree that is saved with each run.

Two recipes: **paper** does what the paper says, **robust** is ours. Units: epochs and counts are numbers, times
are seconds, gains are dB.
"""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from mertag.aggregate import WindowRule
from mertag.emotion import Target
from mertag.errors import ConfigError
from mertag.frontend import FrontEnd, Segmentation

from .vgg import MIN_FRAMES, Architecture

Recipe = Literal["paper", "robust"]
Group = Literal["artist", "recording"]
Schedule = Literal["one_cycle", "cosine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Which network.

    Attributes
    ----------
    architecture : {"compact", "published"}
        See `mertag_train.vgg.SegmentNetwork`.
    dropout : float
        In the head only, where `mertag_train.vgg.SegmentNetwork` says.
    """

    architecture: Architecture = "compact"
    dropout: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserConfig:
    """Stochastic gradient descent with momentum.

    Attributes
    ----------
    learning_rate : float
        The highest rate of the schedule.
    schedule : {"one_cycle", "cosine"}
        ``one_cycle``: up over the first `ramp` of all steps and down along a cosine (Smith and Topin, 2018).
        ``cosine``: one epoch up, then along a cosine.
    ramp : float
        Share of all steps on which ``one_cycle`` climbs.
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
        Both parameters of the Beta distribution of eq. 6 and 7; 0 for none.
    gain_db : float
        A gain drawn from [-gain_db, gain_db] is added to each segment.
    time_masks, frequency_masks : int
        How many stretches are set to the band means (Park et al., SpecAugment, 2019).
    max_time_mask, max_frequency_mask : float
        Widest mask, as a share of the frames and of the bands.
    """

    mixup_alpha: float = 0.4
    gain_db: float = 0.0
    time_masks: int = 1
    max_time_mask: float = 0.25
    frequency_masks: int = 1
    max_frequency_mask: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortCropConfig:
    """Training on short crops first, which cost less each, and on whole segments last.

    Convolutions do not mind the duration of what they see. An early epoch of crops a third as long holds three
    times as many of them, so that every epoch costs the same (progressive learning: Tan and Le, 2021).

    Attributes
    ----------
    share : float
        Share of the epochs, the first ones, that train on short crops; 0 for none.
    duration_s : float
        Duration of a short crop in seconds.
    """

    share: float = 0.0
    duration_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SongConfig:
    """The song classifier.

    Attributes
    ----------
    c : float
        Penalty of the RBF support vector machine.
    sub_windows_s : tuple of float
        It is also fitted on one stretch of each of these durations a song, so that short excerpts are in its
        range; empty for whole clips only.
    """

    c: float = 1.0
    sub_windows_s: tuple[float, ...] = (6.0, 15.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One training, whole.

    Attributes
    ----------
    epochs : int
        Passes; with random crops, one pass is `crops_per_clip` segments of every clip.
    crops_per_clip : int
        Random crops of each clip an epoch; 0 for the fixed grid of segments, in which each has an identity.
    fractions : tuple of 3 floats
        Shares of the songs for the network, for the song classifier, and for the figures.
    group : {"artist", "recording"}
        What never stands on two sides of a split.
    """

    recipe: Recipe = "robust"
    targets: tuple[Target, ...] = (Target.QUADRANT,)
    front_end: FrontEnd = field(default_factory=FrontEnd)
    segmentation: Segmentation = field(default_factory=Segmentation)
    window_rule: WindowRule = field(default_factory=WindowRule)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    short_crops: ShortCropConfig = field(default_factory=ShortCropConfig)
    song: SongConfig = field(default_factory=SongConfig)
    epochs: int = 12
    crops_per_clip: int = 6
    fractions: tuple[float, float, float] = (0.70, 0.15, 0.15)
    group: Group = "artist"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.epochs < 1:
            raise ConfigError(f"epochs must be at least 1, not {self.epochs}")
        if not self.targets or len(set(self.targets)) != len(self.targets):
            raise ConfigError(f"targets must be given once each, not {[str(t) for t in self.targets]}")
        if set(self.targets) not in ({Target.QUADRANT}, {Target.VALENCE, Target.AROUSAL}):
            raise ConfigError(
                "a model has either a quadrant head or a valence and an arousal head: "
                f"--target quadrant or --target valence,arousal, not {','.join(self.targets)}"
            )
        if self.group not in typing.get_args(Group):
            raise ConfigError(f"group by {' or '.join(typing.get_args(Group))}, not {self.group!r}")
        if self.crops_per_clip < 0:
            raise ConfigError(f"crops a clip must be 0 (the fixed grid) or more, not {self.crops_per_clip}")
        if self.optimiser.batch_size < 1 or not self.optimiser.learning_rate > 0:
            raise ConfigError(
                "the batch size and the learning rate must be above 0, "
                f"not {self.optimiser.batch_size} and {self.optimiser.learning_rate}"
            )
        self._check_segments()

    def _check_segments(self) -> None:
        """Refuse segments too short for the network's five pools, and steps of less than a sample."""
        shortest_s = (self.front_end.n_fft + (MIN_FRAMES - 1) * self.front_end.hop_length) / self.front_end.sample_rate
        durations = {"segment": self.segmentation.duration_s}
        if self.short_crops.share:
            durations["short crop"] = self.short_crops.duration_s
        for what, duration_s in durations.items():
            if duration_s < shortest_s:
                raise ConfigError(f"a {what} of {duration_s} s is too short; the network needs {shortest_s:.2f} s")
        if self.segmentation.hop_samples(self.front_end) < 1:
            raise ConfigError(f"the segment hop must be above 0 s, not {self.segmentation.hop_s}")

    def crops_of_epoch(self, epoch: int) -> tuple[Segmentation, int]:
        """Return what is cut in an epoch (from 1): the segmentation, and crops a clip (0: the fixed grid)."""
        short = self.short_crops
        shorter = short.duration_s < self.segmentation.duration_s
        if self.crops_per_clip == 0 or not shorter or epoch > int(short.share * self.epochs):
            return self.segmentation, self.crops_per_clip
        cut = Segmentation(duration_s=short.duration_s, hop_s=self.segmentation.hop_s)
        return cut, round(self.crops_per_clip * self.segmentation.duration_s / short.duration_s)

    def to_json(self) -> dict[str, Any]:
        """Return the tree as plain JSON values."""
        plain: dict[str, Any] = dataclasses.asdict(self)
        return plain

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TrainConfig:
        """Read back what `to_json` gave; raise ConfigError on unknown or missing keys, and on wrong values."""
        built = _build(cls, data, "config")
        assert isinstance(built, cls)
        return built


def _build(kind: Any, value: Any, where: str) -> Any:
    """Return `value`, plain JSON, as an instance of the annotated type `kind`."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        if not isinstance(value, dict) or set(value) != set(hints):
            raise ConfigError(f"{where}: expected the keys {sorted(hints)}, got {value!r}")
        return kind(**{key: _build(hints[key], item, f"{where}.{key}") for key, item in value.items()})
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list | tuple) or (args[-1] is not Ellipsis and len(value) != len(args)):
            raise ConfigError(f"{where}: expected a list, as {kind}, got {value!r}")
        inner = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(_build(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(inner, value, strict=True)))
    choices = args if origin is Literal else tuple(kind) if kind is Target else None
    if choices is not None:
        if value not in choices:
            raise ConfigError(f"{where}: choose among {', '.join(choices)}, not {value!r}")
        return kind(value) if kind is Target else value
    number = isinstance(value, int) if kind is int else isinstance(value, int | float)
    if isinstance(value, bool) or not number:
        raise ConfigError(f"{where}: expected {'a whole number' if kind is int else 'a number'}, got {value!r}")
    return value


PAPER = TrainConfig(
    recipe="paper",
    network=NetworkConfig(architecture="published"),
    optimiser=OptimiserConfig(learning_rate=0.01, schedule="cosine", batch_size=128),
    augment=AugmentConfig(mixup_alpha=0.0, time_masks=0, frequency_masks=0),
    song=SongConfig(sub_windows_s=()),
    epochs=30,
    crops_per_clip=0,
)
"""What the paper says; where it is silent, what its anchors do. Labels are inherited from the clip."""

ROBUST = TrainConfig(
    optimiser=OptimiserConfig(learning_rate=0.03, batch_size=32),
    short_crops=ShortCropConfig(share=0.75),
    epochs=14,
    crops_per_clip=2,
)
"""Ours: the compact network, random crops (short ones first), mixup, masks. Labels are inherited from the clip."""

RECIPES: dict[Recipe, TrainConfig] = {"paper": PAPER, "robust": ROBUST}
