"""What self-learning makes of labels: its loop by hand, on planted noise."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from toy_learners import NAMES, PLAIN, made, self_learning, sssl_config, without_dropout
from toy_training import planted, same_weights, toy_config

from mertag.errors import TrainingError
from mertag_train.learn.config import NetworkConfig, PartitionConfig
from mertag_train.learn.learners import LEARNERS, Clips
from mertag_train.learn.learners.sssl import SsslLearner, sharpen
from mertag_train.learn.trainer import EpochReport, train_network

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("tiny_network")]


def test_every_learner_has_a_name_that_the_configuration_knows() -> None:
    for name, kind in LEARNERS.items():
        assert type(made(toy_config(learner=name))) is kind


def test_the_loss_of_a_batch_by_hand() -> None:
    """Eq. 4 to 8 on four segments, of which the second and the third are unlabelled."""
    config = without_dropout(sssl_config(sssl={"mixup_alpha": 1.0, "kl_weight": 0.0, "temperature": 0.5}))
    found = self_learning(config, [True, False, False, True])
    network, chosen = found.setting.network, np.arange(4)
    x = found.cut(chosen)
    with torch.no_grad():
        said = torch.softmax(copy.deepcopy(network).eval()(x), dim=1)
    targets = nn.functional.one_hot(found.labels[:4], 2).float()
    for row in (1, 2):
        targets[row] = said[row].square() / said[row].square().sum()  # T = 1/2
    rng = copy.deepcopy(found.setting.rng)
    delta, partner = float(rng.beta(1.0, 1.0)), rng.permutation(4)
    mixed = delta * x + (1 - delta) * x[torch.from_numpy(partner)]
    log_p = torch.log_softmax(copy.deepcopy(network).train()(mixed), dim=1)
    expected = 0.0
    for i in range(4):
        own, other = targets[i], targets[int(partner[i])]
        row = delta * (own * log_p[i]).sum() + (1 - delta) * (other * log_p[i]).sum()
        expected -= float(row.detach()) / 4
    assert float(found.loss(chosen).detach()) == pytest.approx(expected, rel=1e-5)


def test_lambda_reaches_the_loss_through_unlabelled_rows_only() -> None:
    def loss(kl_weight: float, labelled: list[bool]) -> tuple[float, dict[str, float]]:
        found = self_learning(sssl_config(sssl={"kl_weight": kl_weight}), labelled)
        torch.manual_seed(5)
        return float(found.loss(np.arange(8)).detach()), dict(found.figures())

    half = [True, False] * 4
    _, figures = loss(1.0, half)
    assert figures["loss_kl"] > 0
    assert figures["kl_weight"] == 1.0
    total, parts = loss(3.0, half)
    assert total == pytest.approx(parts["loss_mix"] + 3.0 * parts["loss_kl"], rel=1e-5)
    assert "loss_kl" not in loss(0.0, half)[1]
    total, parts = loss(1.0, [True] * 8)  # U is empty
    assert total == pytest.approx(parts["loss_mix"])
    assert parts.get("loss_kl", 0.0) == 0.0


def test_lambda_grows_over_its_epochs_after_the_warm_up() -> None:
    found = made(sssl_config(epochs=9, warm_up_epochs=2, sssl={"kl_weight": 0.5, "kl_ramp_epochs": 4}))
    assert isinstance(found, SsslLearner)
    weights = []
    for epoch in range(1, 9):
        found.epoch = epoch
        weights.append(found.kl_weight)
    assert weights == [0, 0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5]


def test_the_labels_of_unlabelled_segments_are_erased() -> None:
    def loss(label: int) -> float:
        found = self_learning(without_dropout(sssl_config()), [True, False, True, True])
        found.labels[1] = label
        return float(found.loss(np.arange(4)).detach())

    assert loss(0) == loss(1)


def test_batch_norm_is_moved_by_the_mixed_batches_alone() -> None:
    config = sssl_config(sssl={"kl_weight": 1.0})
    with_u, without = self_learning(config, [False] * 8), self_learning(config, [True] * 8)
    for found in (with_u, without):
        found.loss(np.arange(8))
    norms = [f.setting.network.trunk[1] for f in (with_u, without)]
    assert all(isinstance(norm, nn.BatchNorm2d) for norm in norms)
    assert torch.equal(norms[0].running_mean, norms[1].running_mean)  # type: ignore[arg-type]
    assert int(norms[0].num_batches_tracked) == 1  # type: ignore[arg-type]


def test_two_dropout_passes_share_the_convolutions_and_the_gradient_reaches_them() -> None:
    found = self_learning(sssl_config(), [False] * 8)
    network = found.setting.network
    calls: list[int] = []
    network.trunk.register_forward_hook(lambda *_: calls.append(1))
    kl = found._divergence(found.cut(np.arange(8)), torch.arange(3))
    assert len(calls) == 1
    assert network.training
    assert float(kl.detach()) > 0
    kl.backward()  # type: ignore[no-untyped-call]
    first = network.trunk[0].weight.grad
    assert isinstance(first, Tensor)
    assert float(first.abs().sum()) > 0


def test_the_divergence_is_of_rows_normalised_by_their_whole_batch_and_leaves_no_trace() -> None:
    found = self_learning(sssl_config(), [False] * 8)
    network = found.setting.network
    with torch.no_grad():
        network.head[-1].weight.mul_(100.0)  # type: ignore[union-attr, operator]  # untrained, it would say next to nothing
    batch, rows = found.cut(np.arange(8)), torch.tensor([1, 4])
    before = {name: value.clone() for name, value in network.named_buffers()}
    torch.manual_seed(3)
    kl = float(found._divergence(batch, rows).detach())
    after = dict(network.named_buffers())
    assert all(torch.equal(after[name], value) for name, value in before.items())
    torch.manual_seed(3)
    with torch.no_grad():
        embedding = network.embed(batch)[rows]  # in training: normalised by the eight rows
        p, q = (torch.softmax(network.classify(embedding), dim=1) for _ in range(2))
    by_hand = 0.5 * ((p * (p / q).log()).sum(1) + (q * (q / p).log()).sum(1)).mean()
    assert kl == pytest.approx(float(by_hand), rel=1e-5)
    network.embed(batch)
    assert not torch.equal(network.trunk[1].running_mean, before["trunk.1.running_mean"])  # type: ignore[arg-type]


def test_a_refined_label_keeps_the_probability_that_it_is_clean() -> None:
    found = self_learning(without_dropout(sssl_config(sssl={"refine": True})), [False] * 4)
    chosen = np.arange(4)
    found._clean_probability[:4] = torch.tensor([1.0, 0.25, 0.0, 0.5])
    with torch.no_grad():
        p = found._pseudo_labels(found.cut(chosen))
        guess = p**2 / (p**2).sum(1, keepdim=True)  # T = 0.5
        own = nn.functional.one_hot(found.labels[:4], 2).float()
        w = found._clean_probability[:4, None]
        targets = w * own + (1 - w) * guess
        log_p = torch.log_softmax(found.setting.network(found.cut(chosen)), dim=1)
    expected = -(targets * log_p).sum(1).mean()
    found.setting.network.train()
    found.loss(chosen)
    assert found.figures()["loss_mix"] == pytest.approx(float(expected), rel=1e-4)


def test_the_average_makes_the_pseudo_labels_where_one_is_kept() -> None:
    config = sssl_config(optimiser={"ema_decay": 0.9})
    found = self_learning(config, [False] * 4)
    with torch.no_grad():
        found.setting.network.head[-1].bias.add_(torch.tensor([5.0, -5.0]))  # type: ignore[union-attr, operator]
    x = found.cut(np.arange(4))
    pseudo = found._pseudo_labels(x)
    assert found.setting.network.training
    with torch.no_grad():
        torch.testing.assert_close(pseudo, torch.softmax(found.setting.optimiser.predictor(x), dim=1))


def test_pseudo_labels_may_be_what_was_said_when_the_losses_were_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SsslLearner, "_pseudo_labels", lambda *_: pytest.fail("predicted again"))
    config = sssl_config(warm_up_epochs=1, epochs=2, crops_per_clip=0)
    config = replace(config, sssl=replace(config.sssl, pseudo_labels_of="epoch"))
    learner = made(config, n_clips=4)
    learner.begin(2)
    learner._labelled = torch.zeros(len(learner.table), dtype=torch.bool)  # all are unlabelled
    network = learner.setting.network.eval()
    with torch.no_grad():
        now = torch.softmax(network(learner.cut(np.arange(6))), dim=1)
    assert learner._said[:6].numpy() == pytest.approx(now.numpy(), abs=1e-5)
    network.train()
    assert torch.isfinite(learner.loss(np.arange(6)))


def test_the_warm_up_is_plain_cross_entropy_with_inherited_labels() -> None:
    store, frames, clips = planted(8)
    config = sssl_config(epochs=2, warm_up_epochs=2)
    plain = replace(config, learner="inherited")
    one, other = (train_network(store, frames, clips, None, c, class_names=NAMES) for c in (config, plain))
    assert same_weights(one.state_dict(), other.state_dict())


def test_crops_are_random_in_the_warm_up_only() -> None:
    found = made(sssl_config(crops_per_clip=3))
    found.begin(1)
    assert found.place is None
    assert len(found.table) == 8 * 3
    found.begin(3)
    assert found.place is not None
    assert len(found.table) == len(found.grid) == 8 * 4


def test_some_of_the_grid_are_drawn_of_each_clip_anew_each_epoch() -> None:
    found = made(sssl_config(grid_per_clip=2))
    drawn = []
    for epoch in (1, 2, 3):
        found.begin(epoch)
        assert found.place is not None
        assert np.bincount(found.table.clip).tolist() == [2] * 8
        assert np.array_equal(found.grid.row[found.place], found.table.row)
        drawn.append(found.place.tolist())
    assert drawn[0] != drawn[1] != drawn[2]


def test_losses_are_those_of_the_segments_as_they_are_in_evaluation_mode() -> None:
    found = made(sssl_config(augment=replace(PLAIN, gain_db=30.0)))
    found.begin(3)
    network = copy.deepcopy(found.setting.network).eval()
    with torch.no_grad():
        logits = network(found.cut(np.arange(32)))
    expected = nn.functional.cross_entropy(logits, found.labels, reduction="none").numpy()
    assert found.partition is not None
    np.testing.assert_allclose(found.partition.losses, expected, rtol=1e-5)


@pytest.mark.parametrize("pseudo_labels_of", ["batch", "epoch"])
def test_clips_without_a_label_are_in_u_from_the_end_of_the_warm_up(pseudo_labels_of: str) -> None:
    config = sssl_config(
        grid_per_clip=2,
        network=NetworkConfig(dropout=0.0),
        sssl={"kl_weight": 0.0, "refine": True, "pseudo_labels_of": pseudo_labels_of},
    )
    found = made(config, n_clips=4, unlabelled=6, pseudo_labels=True)
    assert isinstance(found, SsslLearner)
    for epoch in (1, 2):
        found.begin(epoch)
        assert set(found.table.clip.tolist()) == set(range(4))
    drawn = []
    for epoch in (3, 4, 5, 6):
        found.begin(epoch)
        assert found.table.clip[:8].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
        others = found.table.clip[8:].tolist()
        assert len(others) == 8  # as many as there are with a label, two segments of each
        assert set(others) <= set(range(4, 10))
        assert not found._labelled[8:].any()
        assert (found._clean_probability[8:] == 0).all()
        assert found.partition is not None
        assert len(found.partition.losses) == 8  # nothing is told apart there
        drawn.append(frozenset(others))
    assert len(set(drawn)) > 1
    chosen = np.arange(8, 16)
    plain = found.cut(chosen)
    network = found.setting.network.eval()
    with torch.no_grad():
        guess = sharpen(torch.softmax(network(plain), dim=1), config.sssl.temperature)
    network.train()
    expected = cross_entropy(network(plain), guess)
    assert float(found.loss(chosen).detach()) == pytest.approx(float(expected.detach()), rel=1e-4)


def test_without_pseudo_labels_such_clips_are_not_learnt_from() -> None:
    found = made(sssl_config(), n_clips=4, unlabelled=6, pseudo_labels=False)
    found.begin(4)
    assert set(found.table.clip.tolist()) == set(range(4))


@pytest.mark.parametrize("labelled", [[True] * 8, [False] * 7 + [True]])
def test_an_empty_u_and_a_tiny_x_can_be_learnt_from(labelled: list[bool]) -> None:
    found = self_learning(sssl_config(sssl={"mixup_alpha": 1.0}), labelled)
    for chosen in (np.arange(8), np.arange(1)):
        assert math.isfinite(float(found.loss(chosen).detach()))


def test_wrong_labels_are_found_after_the_warm_up_and_not_learnt() -> None:
    store, frames, clips = planted(24)
    label = clips.label.copy()
    wrong = np.array([0, 5, 9, 14, 17, 22])
    label[wrong] = 1 - label[wrong]
    noisy = Clips(index=clips.index, label=label, truth=[np.full(4, k) for k in clips.label])
    reports: list[EpochReport] = []
    config = sssl_config(
        epochs=10,
        warm_up_epochs=3,
        sssl={"mixup_alpha": 0.4, "kl_weight": 0.0, "refine": True, "partition": PartitionConfig(least_share=0.5)},
    )
    config = replace(config, optimiser=replace(config.optimiser, learning_rate=0.1))
    network = train_network(store, frames, noisy, None, config, class_names=NAMES, on_epoch=reports.append)
    assert [r.partition is not None for r in reports] == [False] * 3 + [True] * 7
    first = reports[3].figures
    assert first["right_share"] == pytest.approx(0.75)
    assert first["partition_auroc"] > 0.95
    assert first["clean_precision"] > 0.95
    with torch.no_grad():
        said = network(frames.reshape(24, -1, 128)[:, :42]).argmax(1)
    assert (said.numpy() == clips.label).mean() > 0.9  # the real classes, also of the wrongly labelled


def test_a_warm_up_that_learnt_nothing_ends_the_training() -> None:
    store, frames, clips = planted(8)
    store.frames[:] = frames[:] = -40.0
    config = without_dropout(sssl_config())
    config = replace(config, optimiser=replace(config.optimiser, learning_rate=1e-6))
    epochs: list[int] = []
    with pytest.raises(TrainingError, match="training stalled"):
        train_network(store, frames, clips, None, config, class_names=NAMES, on_epoch=lambda r: epochs.append(r.epoch))
    assert epochs == [1]


def test_real_classes_that_do_not_fit_the_grid_are_refused() -> None:
    store, frames, clips = planted(8)
    wrong = Clips(index=clips.index, label=clips.label, truth=[np.zeros(3, dtype=np.int64)] * 8)
    with pytest.raises(ValueError, match="24 real classes for 32 segments"):
        train_network(store, frames, wrong, None, sssl_config(), class_names=NAMES)
