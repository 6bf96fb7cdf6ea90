"""The rivals of self-learning: mixup, soft labels and early learning, by hand."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from toy_learners import PLAIN, made, sssl_config, without_dropout
from toy_training import toy_config

from mertag_train.learn.learners.base import mix
from mertag_train.learn.learners.rivals import ElrLearner, SoftLabelLearner, elr_penalty

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("tiny_network")]


def test_the_mixed_cross_entropy_is_that_of_equations_6_to_8() -> None:
    # Three segments of 2 frames, whose logits are their own first band: x = (1, 0), (0, 2), (3, 3).
    frames = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]).repeat_interleave(2, dim=0)
    labels = torch.tensor([0, 1, 0])
    delta, partner = 0.3, np.array([1, 2, 0])
    x = torch.stack([frames[0], frames[2], frames[4]])
    targets = nn.functional.one_hot(labels, 2).float()
    rows = torch.from_numpy(partner)
    found = cross_entropy(mix(x, rows, delta), mix(targets, rows, delta))

    values = [(1.0, 0.0), (0.0, 2.0), (3.0, 3.0)]
    total = 0.0
    for row in range(3):
        other = int(partner[row])
        mixed = [delta * a + (1 - delta) * b for a, b in zip(values[row], values[other], strict=True)]
        log_sum = math.log(sum(math.exp(value) for value in mixed))
        total += delta * (log_sum - mixed[int(labels[row])]) + (1 - delta) * (log_sum - mixed[int(labels[other])])
    assert float(found) == pytest.approx(total / 3, rel=1e-5)


def test_mixup_draws_one_weight_and_one_permutation() -> None:
    found = made(toy_config())
    drawn = [found.partners(0.4, 10) for _ in range(300)]
    assert all(0 <= delta <= 1 and sorted(partner.tolist()) == list(range(10)) for delta, partner in drawn)
    assert np.mean([delta for delta, _ in drawn]) == pytest.approx(0.5, abs=0.07)
    assert np.var([delta for delta, _ in drawn]) == pytest.approx(1 / (4 * 1.8), rel=0.15)  # Beta(a, a): 1/(4(2a+1))
    delta, partner = found.partners(0.0, 4)
    assert (delta, partner.tolist()) == (1.0, [0, 1, 2, 3])


def test_soft_labels_are_the_predictions_at_the_beginning_of_the_epoch() -> None:
    found = made(without_dropout(sssl_config()))
    soft = SoftLabelLearner(replace(found.setting, config=replace(found.setting.config, learner="soft-labels")))
    soft.begin(3)
    network, chosen = copy.deepcopy(soft.setting.network), np.array([3, 1])
    with torch.no_grad():
        targets = torch.softmax(network.eval()(soft.cut(chosen)), dim=1)
        expected = cross_entropy(network.train()(soft.cut(chosen)), targets)
    torch.testing.assert_close(soft.loss(chosen).detach(), expected)
    assert 0 <= soft.figures()["inherited_label_kept"] <= 1


def test_the_penalty_of_early_learning_by_hand() -> None:
    p, t = torch.tensor([[0.7, 0.3], [0.2, 0.8]]), torch.tensor([[0.6, 0.4], [0.0, 0.5]])
    expected = (math.log(1 - 0.7 * 0.6 - 0.3 * 0.4) + math.log(1 - 0.8 * 0.5)) / 2
    assert float(elr_penalty(p, t)) == pytest.approx(expected)


def test_early_learning_remembers_each_segment_by_its_place() -> None:
    found = made(without_dropout(toy_config(learner="elr", crops_per_clip=0, augment=PLAIN)))
    assert isinstance(found, ElrLearner)
    found.begin(1)
    chosen = np.array([6, 2])
    with torch.no_grad():
        said = torch.softmax(copy.deepcopy(found.setting.network).train()(found.cut(chosen)), dim=1)
    found.loss(chosen)
    memory = found.state_dict()["memory"]
    torch.testing.assert_close(memory[chosen], 0.3 * said, atol=1e-4, rtol=0)
    assert float(memory.sum()) == pytest.approx(0.6, abs=1e-4)
