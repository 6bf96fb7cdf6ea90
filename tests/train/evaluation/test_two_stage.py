"""The two-stage model: masks, an auto-encoder that learns, a BiLSTM that hears order, and no label it may not see."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_evaluation import config_with, context_of, fold_of
from toy_training import planted, same_weights

from mertag.emotion import Target
from mertag.errors import DatasetError, TrainingError
from mertag.listen.windows import Segmentation
from mertag_train.evaluation.methods import method
from mertag_train.evaluation.methods.two_stage import TwoStage
from mertag_train.evaluation.two_stage import AutoEncoderConfig, SequenceConfig, TwoStageConfig
from mertag_train.evaluation.two_stage.networks import (
    MaskedAutoEncoder,
    SequenceClassifier,
    embed,
    masked,
    predict_sequences,
    train_autoencoder,
    train_sequences,
)
from mertag_train.learn.config import TrainConfig

pytestmark = pytest.mark.command

SMALL = AutoEncoderConfig(channels=(4, 8, 8, 8), embedding=6, epochs=2, clip_s=2.0, batch_size=8, learning_rate=1e-2)
QUICK = TwoStageConfig(
    autoencoder=SMALL,
    sequence=SequenceConfig(hidden=8, epochs=20, batch_size=8, dropout=0.2, learning_rate=1e-2),
)
ONE_SECOND = Segmentation(duration_s=1.0, hop_s=1.0)


# Stage 1


@pytest.mark.parametrize(("n_mels", "n_frames"), [(128, 20), (128, 42), (128, 85), (128, 213), (64, 31)])
def test_a_segment_of_any_duration_comes_back_in_its_shape(n_mels: int, n_frames: int) -> None:
    network = MaskedAutoEncoder(SMALL, n_mels=n_mels, n_frames=n_frames)
    segments = torch.randn(3, n_frames, n_mels)
    assert network(segments).shape == network.standardised(segments).shape == (3, 1, n_mels, n_frames)
    assert network.embed(segments).shape == (3, SMALL.embedding)


def test_masks_are_stretches_of_time_and_frequency_no_wider_than_allowed() -> None:
    config = AutoEncoderConfig(time_masks=1, max_time_mask=0.25, frequency_masks=1, max_frequency_mask=0.1)
    fill = torch.full((128,), -999.0)
    found = masked(torch.zeros(200, 40, 128), fill, config, np.random.default_rng(0)) == -999.0
    times, bands = found.all(dim=2).sum(1), found.all(dim=1).sum(1)  # masked whole frames, masked whole bands
    assert times.max() == 10
    assert bands.max() == 12
    assert times.min() == bands.min() == 0
    # What is masked is whole frames and whole bands, and nothing else.
    assert torch.equal(found, found.all(dim=2)[:, :, None] | found.all(dim=1)[:, None, :])


def test_without_masks_the_input_is_as_it_was() -> None:
    segments = torch.randn(4, 42, 128)
    config = AutoEncoderConfig(time_masks=0, frequency_masks=0)
    assert torch.equal(masked(segments, torch.zeros(128), config, np.random.default_rng(0)), segments)


def test_the_auto_encoder_learns_without_labels() -> None:
    store, frames, clips = planted(12, n_classes=4)
    losses: list[float] = []
    config = replace(SMALL, epochs=8, clip_s=4.0)
    train_autoencoder(
        store, frames, clips.index, ONE_SECOND, config, seed=0, on_epoch=lambda epoch, epochs, loss: losses.append(loss)
    )
    assert len(losses) == 8
    assert losses[-1] < 0.5 * losses[0]


def test_the_same_seed_gives_the_same_auto_encoder_bit_for_bit_and_another_seed_another() -> None:
    store, frames, clips = planted(6)
    of = {seed: train_autoencoder(store, frames, clips.index, ONE_SECOND, SMALL, seed=seed) for seed in (0, 1)}
    again = train_autoencoder(store, frames, clips.index, ONE_SECOND, SMALL, seed=0)
    assert same_weights(of[0].state_dict(), again.state_dict())
    assert not same_weights(of[0].state_dict(), of[1].state_dict())


def test_only_the_training_clips_shape_the_auto_encoder() -> None:
    store, frames, clips = planted(8)
    other = frames.clone()
    other[store.offsets[6] :] += 30.0  # the clips that are not learnt from
    changed = replace(store, frames=other.numpy())
    one = train_autoencoder(store, frames, clips.index[:6], ONE_SECOND, SMALL, seed=0)
    two = train_autoencoder(changed, other, clips.index[:6], ONE_SECOND, SMALL, seed=0)
    assert same_weights(one.state_dict(), two.state_dict())


def test_each_clip_is_embedded_segment_by_segment_on_the_fixed_grid() -> None:
    store, frames, clips = planted(3)
    network = train_autoencoder(store, frames, clips.index, ONE_SECOND, SMALL, seed=0)
    found = embed(network, store, frames, clips.index[[2, 0]], ONE_SECOND)
    assert [e.shape for e in found] == [(4, 6), (4, 6)]
    start = int(store.offsets[2]) + 22_050 // 512
    alone = network.embed(frames[start : start + 42][None])[0]
    np.testing.assert_allclose(found[0][1], alone.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_clips_shorter_than_a_segment_are_nothing_to_learn_from() -> None:
    store, frames, clips = planted(2, duration_s=0.8)
    with pytest.raises(TrainingError, match=r"no training clip is as long as one segment \(1 s\)"):
        train_autoencoder(store, frames, clips.index, ONE_SECOND, SMALL, seed=0)


# Stage 2


def test_what_lies_behind_the_end_of_a_song_is_not_heard() -> None:
    torch.manual_seed(0)
    network = SequenceClassifier(SequenceConfig(hidden=4), n_features=3, n_classes=2).eval()
    sequence = torch.randn(1, 5, 3)
    beside = torch.cat([sequence, torch.full((1, 4, 3), 99.0)], dim=1)
    alone = network(sequence, torch.tensor([5]))
    padded = network(torch.cat([beside, torch.randn(1, 9, 3)]), torch.tensor([5, 9]))[:1]
    torch.testing.assert_close(alone, padded)


def rising_or_falling(n: int, *, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return sequences of differing lengths whose class is only in the order of their steps."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    sequences = []
    for label in labels:
        steps = np.linspace(-1, 1, int(rng.integers(6, 12)))[:, None] * np.ones(2)
        steps = steps if label else steps[::-1]
        sequences.append((steps + 0.1 * rng.normal(size=steps.shape)).astype(np.float32))
    return sequences, labels.astype(np.int64)


def test_the_order_of_segments_can_be_learnt_and_a_mean_could_not() -> None:
    sequences, labels = rising_or_falling(40, seed=0)
    config = SequenceConfig(hidden=8, epochs=20, batch_size=8, dropout=0.0, learning_rate=2e-2)
    network = train_sequences(sequences, labels, config, n_classes=2, seed=0, device=torch.device("cpu"))
    unseen, truth = rising_or_falling(20, seed=1)
    found = predict_sequences(network, unseen)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found.argmax(1) == truth).mean() >= 0.9


def test_the_same_seed_gives_the_same_classifier_and_a_constant_feature_no_harm() -> None:
    sequences, labels = rising_or_falling(12, seed=0)
    sequences = [np.concatenate([s, np.full((len(s), 1), 7, np.float32)], axis=1) for s in sequences]
    config = SequenceConfig(hidden=4, epochs=3, batch_size=4)
    one, two, three = (
        predict_sequences(
            train_sequences(sequences, labels, config, n_classes=2, seed=seed, device=torch.device("cpu")), sequences
        )
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)
    assert np.isfinite(one).all()


# The method


def test_it_beats_chance_where_the_class_can_be_heard_and_repeats_bit_for_bit(tmp_path: Path) -> None:
    fold = fold_of()
    longer = TwoStage(sizes=replace(QUICK, autoencoder=replace(SMALL, epochs=5, clip_s=4.0)))
    found = longer.predict(fold, context_of(tmp_path))
    truth = [song.targets[Target.QUADRANT] for song in fold.test]
    assert found.song_ids == fold.test_ids
    assert found.probabilities.shape == (8, 4)
    assert (found.probabilities.argmax(1) == truth).mean() >= 0.75  # chance: 0.25
    assert found.diagnostics["test_steps"] == 8 * 4
    (tmp_path / "other").mkdir()
    again = longer.predict(fold, context_of(tmp_path / "other"))
    assert np.array_equal(found.probabilities, again.probabilities)


def test_no_label_of_a_test_song_is_read(tmp_path: Path) -> None:
    fold = fold_of()
    wrong = tuple(replace(song, targets={t: 1 - k % 2 for t, k in song.targets.items()}) for song in fold.test)
    (tmp_path / "other").mkdir()
    found = TwoStage(sizes=QUICK).predict(fold, context_of(tmp_path))
    blind = TwoStage(sizes=QUICK).predict(replace(fold, test=wrong), context_of(tmp_path / "other"))
    assert np.array_equal(found.probabilities, blind.probabilities)


def test_targets_share_the_auto_encoder_and_nothing_else_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def counting(*args: object, **options: object) -> MaskedAutoEncoder:
        trained.append(options["seed"])
        return train_autoencoder(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("mertag_train.evaluation.two_stage.networks.train_autoencoder", counting)
    two_stage = TwoStage(sizes=QUICK)
    first = two_stage.predict(fold_of(), context_of(tmp_path))
    assert np.array_equal(two_stage.predict(fold_of(), context_of(tmp_path)).probabilities, first.probabilities)
    two_stage.predict(fold_of(target=Target.VALENCE), context_of(tmp_path))
    assert trained == [0]
    two_stage.predict(fold_of(seed=1), context_of(tmp_path))
    two_stage.predict(fold_of(n_train=20), context_of(tmp_path))
    longer = config_with(segmentation=Segmentation(duration_s=2.0))
    two_stage.predict(fold_of(), context_of(tmp_path, longer))
    TwoStage(sizes=replace(QUICK, autoencoder=replace(SMALL, epochs=1))).predict(fold_of(), context_of(tmp_path))
    assert trained == [0, 1, 0, 0, 0]


def test_damaged_embeddings_and_short_clips_are_errors_that_name_the_file(tmp_path: Path) -> None:
    TwoStage(sizes=QUICK).predict(fold_of(), context_of(tmp_path))
    (kept,) = tmp_path.glob("work/two-stage/*/embeddings.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"embeddings\.npz: not readable .*Delete it"):
        TwoStage(sizes=QUICK).predict(fold_of(), context_of(tmp_path))
    long_segments = config_with(segmentation=Segmentation(duration_s=5.0))
    with pytest.raises(DatasetError, match=r"shorter than one segment of 5 s: clip0"):
        TwoStage(sizes=QUICK).predict(fold_of(), context_of(tmp_path, long_segments))


def test_its_settings_are_its_own_and_what_it_uses_of_the_configuration() -> None:
    settings = dict(method("two-stage").settings(TrainConfig(epochs=3)))
    assert json.loads(json.dumps(settings)) == settings
    assert settings == dict(method("two-stage").settings(TrainConfig(epochs=4)))  # it has epochs of its own
    other = TrainConfig(segmentation=Segmentation(duration_s=1.0))
    assert settings != dict(method("two-stage").settings(other))
    assert settings != dict(TwoStage(sizes=QUICK).settings(TrainConfig()))
    assert settings["autoencoder"]["max_time_mask"] == 0.25
