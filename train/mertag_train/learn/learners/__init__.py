"""What a segment network can learn from noisy labels: one learner a file, behind
`mertag_train.learn.learners.base.Learner`.

A new one is a class in a file of its own, and a line in `LEARNERS`.
"""

from __future__ import annotations

from mertag_train.learn.config import LearnerName
from mertag_train.learn.learners.base import Clips, Learner, Setting
from mertag_train.learn.learners.elr import ElrLearner
from mertag_train.learn.learners.inherited import InheritedLearner
from mertag_train.learn.learners.soft_labels import SoftLabelLearner
from mertag_train.learn.learners.sssl import SsslLearner

__all__ = ["LEARNERS", "Clips", "Learner", "Setting", "learner"]

LEARNERS: dict[LearnerName, type[Learner]] = {
    "inherited": InheritedLearner,
    "sssl": SsslLearner,
    "soft-labels": SoftLabelLearner,
    "elr": ElrLearner,
}


def learner(setting: Setting) -> Learner:
    """Return the learner that the configuration names."""
    return LEARNERS[setting.config.learner](setting)
