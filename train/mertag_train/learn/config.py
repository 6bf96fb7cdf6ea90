"""Every default of training, in one frozen tree that is saved with each run.

The two recipes are in `mertag_train.learn.recipes`. Units: epochs and counts are numbers, times are seconds, gains are
dB.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mertag.emotion import Target
from mertag.errors import ConfigError
from mertag.listen.windows import FrontEnd, Segmentation, WindowRule
from mertag.strict_json import decode
from mertag_train.data.folds import Group
from mertag_train.learn.passes import AugmentConfig, NetworkConfig, OptimiserConfig
from mertag_train.networks.vgg import MIN_FRAMES

__all__ = [
    "AugmentConfig",
    "ElrConfig",
    "LearnerName",
    "NetworkConfig",
    "OptimiserConfig",
    "PartitionConfig",
    "PretrainingConfig",
    "Recipe",
    "SongClassifier",
    "SongConfig",
    "SongFeatures",
    "SsslConfig",
    "TeacherConfig",
    "TrainConfig",
]

Recipe = Literal["paper", "ours"]
LearnerName = Literal["inherited", "sssl", "soft-labels", "elr", "teacher"]
PseudoLabelsOf = Literal["batch", "epoch"]
SongClassifier = Literal["svm", "svm-linear"]
SongFeatures = Literal["in_sample", "held_out", "cross_fitted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionConfig:
    """Telling clean from noisy labels by their losses.

    Attributes
    ----------
    threshold : float
        Tau: a label counts as clean above this probability.
    least_share : float
        So much of each class counts as clean in any case, those with the smallest losses.
    clip : pair of float
        Quantiles to which losses are clipped before they are scaled to 0..1.
    max_iter, tol, reg_covar : int, float, float
        Of `sklearn.mixture.GaussianMixture`.
    relative_to_clip : bool
        Losses less their clip's mean are told apart (`mertag_train.learn.partition.relative_to_clip`).
    """

    relative_to_clip: bool = False
    threshold: float = 0.5
    least_share: float = 0.1
    clip: tuple[float, float] = (0.01, 0.99)
    max_iter: int = 100
    tol: float = 1e-2
    reg_covar: float = 5e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class SsslConfig:
    """Semi-supervised self-learning (paper, "Semi-supervised Self-learning Framework").

    Attributes
    ----------
    temperature : float
        T of eq. 4.
    mixup_alpha : float
        Both parameters of the Beta distribution that delta of eq. 6 to 8 is drawn from; 0 for no mixup.
    kl_weight : float
        Lambda of eq. 10; 0 is the paper's ablation, "Proposed*".
    kl_ramp_epochs : int
        Over so many epochs after the warm-up lambda grows from 0 to its value.
    refine : bool
        A segment of U keeps a share of its inherited label, the probability that it is clean, beside its
        pseudo-label (the label co-refinement of DivideMix: Li et al., 2020, eq. 3), where the paper takes the
        pseudo-label alone.
    pseudo_labels_of : {"batch", "epoch"}
        Whether a pseudo-label is what the network predicts when its batch comes (the paper), or what it predicted when
        the losses of the epoch were measured: a third cheaper.
    """

    partition: PartitionConfig = field(default_factory=PartitionConfig)
    temperature: float = 0.5
    mixup_alpha: float = 1.0
    kl_weight: float = 1.0
    kl_ramp_epochs: int = 5
    refine: bool = False
    pseudo_labels_of: PseudoLabelsOf = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingConfig:
    """The convolutions learn what a teacher hears, without a label; all networks of a run begin with them.

    As in `TrainConfig`; with 0 `epochs` there is none.
    """

    epochs: int = 0
    crops_per_clip: int = 5
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig:
    """A music tagger whose outputs are further targets (`mertag_train.data.teacher`).

    Attributes
    ----------
    name : str
        ``"musicnn"``, the two taggers that come with mertag, or the name of an ONNX file; empty for none.
    sha256 : str
        Of the file: a run goes on with the same one only.
    weight : float
        Of the squared distance from its standardised outputs, beside the cross-entropy.
    label_share : float
        So much of each label is not inherited but what a classifier on the teacher's outputs says of the segment, one
        that was fitted without the clip (`mertag_train.learn.guide`).
    pretraining : PretrainingConfig
        Learning the teacher's outputs alone, first.
    """

    name: str = ""
    sha256: str = ""
    weight: float = 0.5
    label_share: float = 0.0
    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElrConfig:
    """Early-learning regularisation (Liu et al., 2020), with their values for CIFAR-10.

    The weight is lambda of their eq. 6, the momentum beta of their eq. 9: how slowly the remembered predictions move.
    """

    weight: float = 3.0
    momentum: float = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class SongConfig:
    """The song classifier.

    Attributes
    ----------
    classifier : {"svm", "svm-linear"}
        ``svm``: the paper's, with a radial basis. ``svm-linear``: one linear machine a class, calibrated together
        (`mertag_train.learn.linear`).
    c : float
        Penalty of the errors of either.
    sub_windows_s : tuple of float
        It is also fitted on one stretch of each of these durations a song, so that short excerpts are in its
        range; empty for whole clips only.
    features : {"in_sample", "held_out", "cross_fitted"}
        What the probabilities that it learns from are those of. ``in_sample``: the network's own training songs,
        of which it is surer than of others. ``held_out``: songs that only the song classifier learns from.
        ``cross_fitted``: all training songs, each seen by a network that was trained without it.
    inner_folds : int
        Into how many parts ``cross_fitted`` deals the training songs.
    """

    classifier: SongClassifier = "svm"
    c: float = 1.0
    sub_windows_s: tuple[float, ...] = (6.0, 15.0)
    features: SongFeatures = "held_out"
    inner_folds: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """One training, whole.

    Attributes
    ----------
    learner : {"inherited", "sssl", "soft-labels", "elr"}
        What the network learns from (`mertag_train.learn.learners`).
    epochs : int
        Passes; with random crops, one pass is `crops_per_clip` segments of every clip.
    warm_up_epochs : int
        The first epochs, in which every learner takes the inherited labels as they are.
    crops_per_clip : int
        Random crops of each clip an epoch; 0 for the fixed grid of segments, in which each has an identity. Other
        learners than ``inherited`` know their segments again, so they crop at random in the warm-up only.
    grid_per_clip : int
        So many segments of the fixed grid of each clip an epoch, drawn anew each time; 0 for all.
    fractions : tuple of 3 floats
        Shares of the songs for the network, for the song classifier alone (0 unless it learns from held-out songs),
        and for the figures.
    group : {"artist", "recording"}
        What never stands on two sides of a split.
    """

    recipe: Recipe = "ours"
    targets: tuple[Target, ...] = (Target.QUADRANT,)
    front_end: FrontEnd = field(default_factory=FrontEnd)
    segmentation: Segmentation = field(default_factory=Segmentation)
    window_rule: WindowRule = field(default_factory=WindowRule)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    learner: LearnerName = "inherited"
    sssl: SsslConfig = field(default_factory=SsslConfig)
    elr: ElrConfig = field(default_factory=ElrConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    song: SongConfig = field(default_factory=SongConfig)
    epochs: int = 12
    warm_up_epochs: int = 5
    crops_per_clip: int = 6
    grid_per_clip: int = 0
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
        if self.grid_per_clip < 0 or self.warm_up_epochs < 0:
            raise ConfigError(
                "grid segments a clip and warm-up epochs must be 0 or more, "
                f"not {self.grid_per_clip} and {self.warm_up_epochs}"
            )
        if self.learner not in typing.get_args(LearnerName):
            raise ConfigError(f"learn by {' or '.join(typing.get_args(LearnerName))}, not {self.learner!r}")
        if (self.song.features == "held_out") != (self.fractions[1] > 0):
            raise ConfigError(
                "a share of the songs is for the song classifier alone if, and only if, it learns from held-out "
                f"songs; it learns from {self.song.features} ones, and the shares are {self.fractions}"
            )
        if self.optimiser.batch_size < 1 or not self.optimiser.learning_rate > 0:
            raise ConfigError(
                "the batch size and the learning rate must be above 0, "
                f"not {self.optimiser.batch_size} and {self.optimiser.learning_rate}"
            )
        self._check_segments()

    def _check_segments(self) -> None:
        """Refuse segments too short for the network's five pools, and steps of less than a sample."""
        shortest_s = (self.front_end.n_fft + (MIN_FRAMES - 1) * self.front_end.hop_length) / self.front_end.sample_rate
        duration_s = self.segmentation.duration_s
        if duration_s < shortest_s:
            raise ConfigError(f"a segment of {duration_s} s is too short; the network needs {shortest_s:.2f} s")
        if self.segmentation.hop_samples(self.front_end) < 1:
            raise ConfigError(f"the segment hop must be above 0 s, not {self.segmentation.hop_s}")

    def takes_unlabelled(self, *, pseudo_labels: bool) -> bool:
        """Return whether something is learnt from songs without a label.

        That is in pre-training and, where they may have pseudo-labels, in self-learning.
        """
        return bool(self.teacher.name and self.teacher.pretraining.epochs) or (pseudo_labels and self.learner == "sssl")

    def of_pretraining(self) -> TrainConfig:
        """Return the configuration of the pre-training."""
        first = self.teacher.pretraining
        given = {field.name: getattr(first, field.name) for field in dataclasses.fields(first)}
        augment = dataclasses.replace(self.augment, noise_share=0.0)
        return dataclasses.replace(self, **given, learner="teacher", augment=augment)

    def crops_of_epoch(self, epoch: int) -> int:
        """Return how many random crops of each clip an epoch (from 1) has; 0 for the fixed grid."""
        on_grid = self.learner not in ("inherited", "teacher") and epoch > self.warm_up_epochs
        return 0 if on_grid else self.crops_per_clip

    def to_json(self) -> dict[str, Any]:
        """Return the tree as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainConfig:
        """Read back what `to_json` gave; raise ConfigError on unknown or missing keys, and on wrong values."""
        try:
            config = decode(json.dumps(data), cls)
        except ValueError as error:
            raise ConfigError(f"config: {error}") from error
        strange = sorted(set(_keys(data)) ^ set(_keys(config.to_json())))
        if strange:
            raise ConfigError(f"config: keys that are missing or unknown: {', '.join(strange)}")
        return config


def _keys(value: Any, where: str = "$") -> Iterator[str]:
    """Yield every key of a JSON value, each with the path to it."""
    if not isinstance(value, Mapping | list | tuple):
        return
    for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
        name = f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}"
        yield name
        yield from _keys(inner, name)
