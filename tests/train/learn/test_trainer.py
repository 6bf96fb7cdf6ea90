"""The training loop on a planted problem: it learns, repeats, resumes, and stops with a reason when it must."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from toy_training import FRONT_END, RATE, TinyNetwork, planted, same_weights, toy_config

from mertag.errors import TrainingError
from mertag.listen.windows import Segmentation
from mertag_train.data.segments import grid
from mertag_train.learn import trainer
from mertag_train.learn.config import AugmentConfig, LearnerName, PartitionConfig, SsslConfig, TrainConfig
from mertag_train.learn.learners.base import InheritedLearner
from mertag_train.learn.trainer import Clips, EpochReport, Progress, band_statistics, predict, train_network
from mertag_train.networks.vgg import SegmentNetwork

pytestmark = [pytest.mark.command, pytest.mark.usefixtures("tiny_network")]

MIXED = AugmentConfig(mixup_alpha=0.4, gain_db=1.0)


def run(config: TrainConfig, *, n_clips: int = 8, **options: object) -> SegmentNetwork:
    store, frames, clips = planted(n_clips)
    return train_network(store, frames, clips, None, config, class_names=("low", "high"), **options)  # type: ignore[arg-type]


def accuracy(network: nn.Module, *, seed: int = 99) -> float:
    store, frames, clips = planted(8, seed=seed)
    found = predict(network, store, frames, clips.index, Segmentation(duration_s=1.0))
    return float(np.mean([p.mean(0).argmax() == label for p, label in zip(found, clips.label, strict=True)]))


def test_it_learns_to_tell_loud_from_quiet_clips() -> None:
    reports: list[EpochReport] = []
    store, frames, clips = planted(12)
    held_out = Clips(index=clips.index[8:], label=clips.label[8:])
    learnt = Clips(index=clips.index[:8], label=clips.label[:8])
    config = toy_config(epochs=10)
    network = train_network(
        store, frames, learnt, held_out, config, class_names=("low", "high"), on_epoch=reports.append
    )
    assert accuracy(network) == 1.0
    assert not network.training
    assert [r.epoch for r in reports] == list(range(1, 11))
    assert reports[-1].loss < reports[0].loss
    assert reports[-1].validation_accuracy == 1.0
    assert all(r.epochs == 10 and r.duration_s > 0 and r.segments_per_s > 0 for r in reports)


@pytest.mark.parametrize("learner", ["inherited", "sssl", "soft-labels", "elr"])
def test_bf16_learns_what_fp32_learns(learner: LearnerName, monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy_config(epochs=4, learner=learner, warm_up_epochs=2 if learner in ("sssl", "soft-labels") else 0)
    losses: dict[str, list[float]] = {"0": [], "1": []}
    for chosen, found in losses.items():  # any processor can compute in bf16, if slowly
        monkeypatch.setenv("MERTAG_BF16", chosen)
        network = run(config, on_epoch=lambda report, found=found: found.append(report.loss))
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert losses["0"] != losses["1"]
    assert losses["0"] == pytest.approx(losses["1"], rel=0.05, abs=0.02)


def test_the_statistics_inside_are_those_of_the_training_clips_only() -> None:
    store, frames, clips = planted(4)
    quiet = Clips(index=clips.index[1::2], label=clips.label[1::2])
    config = toy_config(epochs=1, augment=MIXED)
    network = train_network(store, frames, quiet, None, config, class_names=("low", "high"))
    mine = torch.cat([frames[store.offsets[i] : store.offsets[i + 1]] for i in quiet.index])
    torch.testing.assert_close(network.mean, mine.mean(0), atol=1e-3, rtol=0)
    torch.testing.assert_close(network.std, mine.std(0, correction=0), atol=1e-3, rtol=0)


def test_a_band_that_never_changes_is_not_blown_up() -> None:
    store, _, clips = planted(2)
    store.frames[:, 5] = -100.0
    mean, std = band_statistics(store, clips.index)
    assert float(mean[5]) == -100.0
    assert float(std[5]) == 1.0


VARIANTS = pytest.mark.parametrize(
    "config",
    [
        toy_config(epochs=3),
        toy_config(epochs=3, augment=MIXED, optimiser={"ema_decay": 0.9}),
        toy_config(epochs=3, crops_per_clip=0, optimiser={"schedule": "cosine"}),
        toy_config(epochs=4, learner="sssl", warm_up_epochs=1, crops_per_clip=0),
        toy_config(epochs=4, learner="sssl", warm_up_epochs=2, grid_per_clip=2, augment=MIXED),
        toy_config(
            epochs=4,
            learner="sssl",
            warm_up_epochs=2,
            crops_per_clip=0,
            grid_per_clip=3,
            sssl=SsslConfig(partition=PartitionConfig(relative_to_clip=True)),
            optimiser={"ema_decay": 0.9},
        ),
        toy_config(epochs=4, learner="soft-labels", warm_up_epochs=1, crops_per_clip=0),
        toy_config(epochs=4, learner="elr", crops_per_clip=0),
    ],
    ids=[
        "crops",
        "mixup and average",
        "grid",
        "self-learning",
        "self-learning after crops",
        "self-learning, averaged",
        "soft labels",
        "elr",
    ],
)


@VARIANTS
def test_the_same_seed_gives_the_same_weights_bit_for_bit(config: TrainConfig) -> None:
    one, again = run(config), run(config)
    other = run(replace(config, seed=1))
    assert same_weights(one.state_dict(), again.state_dict())
    assert not same_weights(one.state_dict(), other.state_dict())


@VARIANTS
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    seen: list[int] = []

    def stop_in_the_third_epoch(progress: Progress) -> None:
        if progress.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, checkpoint_path=path, on_step=stop_in_the_third_epoch)
    torch.rand(17)  # what else happened in between does not matter
    resumed = run(config, checkpoint_path=path, resume=True, on_epoch=lambda report: seen.append(report.epoch))
    assert seen == list(range(3, config.epochs + 1))
    assert same_weights(resumed.state_dict(), run(config).state_dict())


def test_a_finished_run_that_is_resumed_is_what_it_was(tmp_path: Path) -> None:
    config = toy_config(epochs=2)
    done = run(config, checkpoint_path=tmp_path / "c.pt")
    again = run(config, checkpoint_path=tmp_path / "c.pt", resume=True)
    assert same_weights(done.state_dict(), again.state_dict())


def test_without_resume_a_checkpoint_is_begun_anew(tmp_path: Path) -> None:
    config = toy_config(epochs=2)
    run(replace(config, seed=5), checkpoint_path=tmp_path / "c.pt")
    assert same_weights(run(config, checkpoint_path=tmp_path / "c.pt").state_dict(), run(config).state_dict())


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    run(toy_config(epochs=1, augment=MIXED), checkpoint_path=tmp_path / "c.pt")
    with pytest.raises(TrainingError, match="another configuration"):
        run(toy_config(epochs=2, augment=MIXED), checkpoint_path=tmp_path / "c.pt", resume=True)


def test_watching_and_held_out_clips_change_nothing() -> None:
    store, frames, clips = planted(8)
    config = toy_config(epochs=2, augment=MIXED)
    watched = train_network(
        store,
        frames,
        clips,
        clips,
        config,
        class_names=("low", "high"),
        on_epoch=lambda r: None,
        on_step=lambda p: None,
    )
    assert same_weights(watched.state_dict(), run(config).state_dict())


def test_a_network_that_learns_nothing_is_a_training_error_also_when_resumed(tmp_path: Path) -> None:
    store, frames, clips = planted(8)
    store.frames[:] = frames[:] = -40.0  # nothing to tell the clips apart
    config = toy_config(
        epochs=2,
        network=replace(toy_config().network, dropout=0.0),
        augment=AugmentConfig(mixup_alpha=0.0, time_masks=0, frequency_masks=0),
        optimiser={"momentum": 0.0},
    )
    config = replace(config, optimiser=replace(config.optimiser, learning_rate=1e-6))
    for resume in (False, True):
        with pytest.raises(TrainingError, match=r"training stalled: .* guessing \(ln 2 = 0.6931\).*--seed"):
            train_network(
                store,
                frames,
                clips,
                None,
                config,
                class_names=("low", "high"),
                checkpoint_path=tmp_path / "c.pt",
                resume=resume,
            )
    guessed = train_network(store, frames, clips, None, config, class_names=("low", "high"), may_guess=True)
    with torch.no_grad():
        p = guessed(frames[None, :44]).softmax(1)
    assert float((p - 0.5).abs().max()) < 0.05


def broken_after(n: int) -> Callable[..., Tensor]:
    loss, calls = InheritedLearner.loss, iter(range(10**6))

    def broken(self: InheritedLearner, chosen: npt.NDArray[np.int64]) -> Tensor:
        found = loss(self, chosen)
        return found * math.nan if next(calls) >= n else found

    return broken


@pytest.mark.parametrize("after", [0, 3])
def test_a_loss_that_is_no_number_is_a_training_error(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InheritedLearner, "loss", broken_after(after))
    with pytest.raises(
        TrainingError, match="training diverged in epoch 2.*--learning-rate below 0.3" if after else "epoch 1"
    ):
        run(toy_config(epochs=3), checkpoint_path=tmp_path / "c.pt")
    assert (tmp_path / "c.pt").exists() == bool(after)  # the one of the first epoch, which was sound


def test_a_last_step_that_breaks_the_weights_is_a_training_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Infinite(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return gradient * math.nan

    loss, calls = InheritedLearner.loss, iter(range(99))
    monkeypatch.setattr(
        InheritedLearner, "loss", lambda *args: Infinite.apply(loss(*args)) if next(calls) == 1 else loss(*args)
    )
    with pytest.raises(TrainingError, match="training diverged in epoch 1"):
        run(toy_config(epochs=1))  # two steps, the second of which has a finite loss and no gradient


def test_clips_shorter_than_a_segment_are_a_training_error() -> None:
    with pytest.raises(TrainingError, match=r"no training clip is as long as one segment \(5.0 s\)"):
        run(toy_config(segmentation=Segmentation(duration_s=5.0)))


def test_steps_are_counted_and_the_time_left_goes_by_work(monkeypatch: pytest.MonkeyPatch) -> None:
    config = toy_config(
        epochs=4,
        learner="sssl",
        warm_up_epochs=1,
        crops_per_clip=3,
        grid_per_clip=3,
        sssl=SsslConfig(kl_weight=0.0, pseudo_labels_of="epoch"),
    )
    clock = {"now": 0.0}
    monkeypatch.setattr(trainer.time, "monotonic", lambda: clock["now"])
    embed = TinyNetwork.embed

    def timed(self: TinyNetwork, segments: Tensor) -> Tensor:
        clock["now"] += len(segments) * (3 if torch.is_grad_enabled() else 1)  # the way back takes twice the way there
        return embed(self, segments)

    monkeypatch.setattr(TinyNetwork, "embed", timed)
    seen: list[Progress] = []
    monkeypatch.setattr(trainer, "EpochReport", lambda **fields: None)  # its rate would be divided by no time at all
    run(config, on_step=seen.append)
    # 8 clips: 24 random crops, then 24 segments of the grid, of which the losses are measured first
    assert [(p.epoch, p.steps) for p in seen if p.step == 1] == [(1, 3), (2, 3), (3, 3), (4, 3)]
    total_s = 24 * 3 + 3 * 24 * (1 + 3)
    assert clock["now"] == total_s
    ends = [p for p in seen if p.step == p.steps]
    assert [p.elapsed_s for p in ends] == [72, 168, 264, 360]
    assert all(p.elapsed_s + p.remaining_s == pytest.approx(total_s, rel=0.03) for p in ends)
    assert seen[-1].remaining_s == 0


def test_predictions_are_one_row_a_segment_of_each_clip() -> None:
    store, frames, clips = planted(3, duration_s=4.2)
    torch.manual_seed(0)
    network = TinyNetwork("compact", n_classes=2)
    segmentation = Segmentation(duration_s=2.0)
    found = predict(network, store, frames, clips.index[::-1], segmentation, batch_size=2)
    assert [p.shape for p in found] == [(3, 2)] * 3
    assert all(np.allclose(p.sum(1), 1, atol=1e-6) for p in found)
    with torch.no_grad():
        row = int(grid(store, np.array([2]), segmentation).row[1])
        expected = torch.softmax(network(frames[row : row + 85][None]), dim=1)[0]
    np.testing.assert_allclose(found[0][1], expected.numpy(), atol=1e-6)


def test_predictions_of_few_segments_are_spread_evenly() -> None:
    store, frames, clips = planted(1, duration_s=11.0)
    network = TinyNetwork("compact", n_classes=2)
    segmentation = Segmentation(duration_s=1.0)
    (whole,) = predict(network, store, frames, clips.index, segmentation)
    (few,) = predict(network, store, frames, clips.index, segmentation, at_most=3)
    np.testing.assert_allclose(few, whole[[0, 5, 10]], atol=1e-6)


def test_a_short_clip_has_no_prediction_and_no_clip_has_none() -> None:
    store, frames, clips = planted(2, duration_s=1.5)
    network = TinyNetwork("compact", n_classes=2)
    assert [len(p) for p in predict(network, store, frames, clips.index, Segmentation(duration_s=2.0))] == [0, 0]
    assert predict(network, store, frames, clips.index[:0], Segmentation(duration_s=1.0)) == []
    assert FRONT_END.n_frames(round(1.5 * RATE)) == store.offsets[1]


@pytest.mark.parametrize(("n", "sizes"), [(16, [8, 8]), (17, [8, 9]), (18, [8, 8, 2]), (9, [9]), (1, [1]), (5, [5])])
def test_no_batch_is_of_one_segment_where_there_are_more(n: int, sizes: list[int]) -> None:
    batches = trainer._batches(np.arange(n), 8)
    assert [len(batch) for batch in batches] == sizes
    np.testing.assert_array_equal(np.concatenate(batches), np.arange(n))
