"""What a segment network can learn from noisy labels, behind `mertag_train.learn.learners.base.Learner`.

A new learner is a class, in a file of its own or among the rivals, and a line in `LEARNERS`.
"""

from __future__ import annotations

from mertag_train.learn.config import LearnerName
from mertag_train.learn.learners.base import Clips, InheritedLearner, Learner, Setting, TeacherLearner
from mertag_train.learn.learners.rivals import ElrLearner, SoftLabelLearner
from mertag_train.learn.learners.sssl import SsslLearner

__all__ = ["LEARNERS", "Clips", "Learner", "Setting"]

LEARNERS: dict[LearnerName, type[Learner]] = {
    "inherited": InheritedLearner,
    "sssl": SsslLearner,
    "soft-labels": SoftLabelLearner,
    "elr": ElrLearner,
    "teacher": TeacherLearner,
}
