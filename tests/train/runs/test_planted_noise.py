"""Wrong labels planted into real songs: after the warm-up, their losses give them away."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mertag.emotion import CLASS_NAMES, Target
from mertag_train.data.datasets import read
from mertag_train.data.store import LogMelStore, log_mels
from mertag_train.learn.learners import Clips
from mertag_train.learn.recipes import OURS, PAPER, small
from mertag_train.learn.trainer import EpochReport, train_network
from mertag_train.runs.work import truth_of

pytestmark = pytest.mark.command

CLASSES = CLASS_NAMES[Target.QUADRANT]


class _ToldError(Exception):
    """The epoch that was waited for is over."""


@pytest.fixture(scope="module")
def store(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> LogMelStore:
    kept = os.environ.get("MERTAG_TEST_LOG_MELS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("log-mels") / "4q"
    return log_mels(read("4q", real_data / "4q"), PAPER.front_end, folder=folder)


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("share", [0.2, 0.4])
@pytest.mark.parametrize("recipe", ["paper", "ours"])
def test_flipped_labels_have_the_larger_losses_after_the_warm_up(
    share: float, recipe: str, store: LogMelStore, real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = read("4q", real_data / "4q")
    here = set(store.ids)
    songs = [song for song in dataset.songs if song.id in here]
    right = {song.id: int(song.targets[Target.QUADRANT]) for song in songs}
    rng = np.random.default_rng(0)
    wrong = rng.permutation(len(songs))[: round(share * len(songs))]
    labels = np.array(list(right.values()), dtype=np.int64)
    labels[wrong] = (labels[wrong] + rng.integers(1, len(CLASSES), len(wrong))) % len(CLASSES)
    config = small({"paper": PAPER, "ours": OURS}[recipe])
    truth = list(truth_of(songs, store, Target.QUADRANT, config, dataset, right=right).values())
    clips = Clips(index=store.index_of([song.id for song in songs]), label=labels, truth=truth)
    found: dict[str, float] = {}

    def on_epoch(report: EpochReport) -> None:
        if report.partition is not None:
            found.update(report.figures)
            raise _ToldError

    frames = torch.from_numpy(np.array(store.frames))
    with pytest.raises(_ToldError):
        train_network(store, frames, clips, None, config, class_names=CLASSES, on_epoch=on_epoch)
    auroc, precision, base = (found[n] for n in ("partition_auroc", "clean_precision", "right_share"))
    with capsys.disabled():
        print(
            f"\n{recipe}, {share:.0%} flipped: AUROC {auroc:.3f}, of the clean {precision:.3f} right, of all {base:.3f}"
        )
    assert base == pytest.approx(1 - share, abs=0.01)
    assert auroc > 0.6
    assert precision > base
