"""The recipes, and a budget for machines without a GPU.

**paper** does what the paper says and, where it is silent, what its anchors do (DivideMix, R-Drop, VGG16); **ours**
is ours of the same method, and what the model that comes with mertag was trained with (``docs/model.md``).
"""

from __future__ import annotations

from dataclasses import replace

from mertag.listen.windows import Segmentation
from mertag_train.learn.config import (
    AugmentConfig,
    NetworkConfig,
    OptimiserConfig,
    PartitionConfig,
    PretrainingConfig,
    Recipe,
    SongConfig,
    SsslConfig,
    TeacherConfig,
    TrainConfig,
)

PAPER = TrainConfig(
    recipe="paper",
    network=NetworkConfig(architecture="published"),
    optimiser=OptimiserConfig(learning_rate=0.01, schedule="cosine", batch_size=128),
    augment=AugmentConfig(mixup_alpha=0.0, time_masks=0, frequency_masks=0),
    learner="sssl",
    song=SongConfig(sub_windows_s=(), features="in_sample"),
    epochs=30,
    crops_per_clip=0,
    fractions=(0.85, 0.0, 0.15),
)

OURS = TrainConfig(
    recipe="ours",
    network=NetworkConfig(architecture="compact", width=0.5),
    optimiser=OptimiserConfig(learning_rate=0.02, schedule="one_cycle", batch_size=48, ema_decay=0.998),
    augment=AugmentConfig(mixup_alpha=0.4, gain_db=12.0, noise_share=0.08),
    learner="sssl",
    sssl=SsslConfig(
        partition=PartitionConfig(relative_to_clip=True, least_share=0.5),
        mixup_alpha=0.4,
        kl_weight=0.0,
        refine=True,
        pseudo_labels_of="epoch",
    ),
    teacher=TeacherConfig(
        name="musicnn",
        weight=0.5,
        label_share=0.5,
        pretraining=PretrainingConfig(
            epochs=30,
            crops_per_clip=5,
            optimiser=OptimiserConfig(learning_rate=0.05, schedule="one_cycle", batch_size=48),
        ),
    ),
    song=SongConfig(features="cross_fitted", classifier="svm-linear", c=0.1),
    epochs=20,
    warm_up_epochs=10,
    crops_per_clip=5,
    grid_per_clip=5,
    fractions=(0.9, 0.0, 0.1),
)
"""Ours: half of VGG16's channels with batch norm, taught by a music tagger before and beside the labels."""


CPU_EPOCHS, CPU_WARM_UP, CPU_INNER_FOLDS = 10, 5, 3


def on_cpu(recipe: TrainConfig) -> TrainConfig:
    """Return ours with half the epochs after pre-training, and three parts to cross-fit in place of five.

    Two slow cores then need four hours for 650 clips, and not nine. The paper's recipe stays as it is.
    """
    if recipe.recipe != "ours":
        return recipe
    song = replace(recipe.song, inner_folds=CPU_INNER_FOLDS)
    return replace(recipe, epochs=CPU_EPOCHS, warm_up_epochs=CPU_WARM_UP, song=song)


RECIPES: dict[Recipe, TrainConfig] = {"paper": PAPER, "ours": OURS}


SMALL_EPOCHS, SMALL_WARM_UP, SMALL_GRID, SMALL_EMA = 10, 3, 3, 0.99


def small(config: TrainConfig) -> TrainConfig:
    """Return a recipe cut down to what two CPU cores can do in minutes.

    The network, its optimiser, the segments and the song classifier's features become the same for every recipe and
    learner, so that what is compared is the learning: a quarter of VGG16's channels with batch norm, 1-second segments,
    `SMALL_GRID` of the grid a clip in each of `SMALL_EPOCHS` epochs, of which the first `SMALL_WARM_UP` are warm-up,
    no pre-training, and in-sample features. Augmentation, averaging and the recipe's self-learning stay.
    """
    network, song, figures = config.fractions
    averaged = SMALL_EMA if config.optimiser.ema_decay else 0.0
    return replace(
        config,
        segmentation=Segmentation(duration_s=1.0, hop_s=config.segmentation.hop_s),
        network=NetworkConfig(architecture="compact", width=0.25),
        optimiser=OptimiserConfig(learning_rate=0.03, schedule="cosine", batch_size=32, ema_decay=averaged),
        teacher=replace(config.teacher, pretraining=PretrainingConfig()),
        song=replace(config.song, features="in_sample"),
        fractions=(network + song, 0.0, figures),
        epochs=SMALL_EPOCHS,
        warm_up_epochs=SMALL_WARM_UP,
        crops_per_clip=0,
        grid_per_clip=SMALL_GRID,
    )
