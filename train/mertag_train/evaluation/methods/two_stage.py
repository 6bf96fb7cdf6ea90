"""Two stages (`mertag_train.evaluation.two_stage`): a masked auto-encoder without labels, then a BiLSTM.

Stage 1 sees no label, so that all targets of a fold share it: its embeddings are kept on disk under a name that stands
for everything they depend on.

::

    work/two-stage/0f3a…/
      request.json      what they depend on
      embeddings.npz    written last, in one step
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mertag.files import json_digest
from mertag_train.arrays import Floats32
from mertag_train.evaluation.methods.base import Context, Fold, Method, Predictions
from mertag_train.evaluation.methods.networks import (
    read_outputs,
    refuse_unheard,
    silent_segments,
    write_outputs,
    write_request,
)
from mertag_train.evaluation.two_stage import TwoStageConfig

if TYPE_CHECKING:
    from mertag_train.learn.config import TrainConfig


VERSION = 1
"""To be raised when the same settings come to mean something else, so that old results are not mixed with new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoStage(Method):
    """Embeddings of a masked auto-encoder, then a bidirectional LSTM."""

    name: str = "two-stage"
    summary: str = "masked auto-encoder without labels, BiLSTM over its segment embeddings"
    uses_segments: bool = True
    paper_row: str | None = "2-Stage"
    sizes: TwoStageConfig = field(default_factory=TwoStageConfig)

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return its own sizes and epochs, the front end and the segmentation."""
        return {
            "version": VERSION,
            **self.sizes.to_json(),
            "front_end": asdict(config.front_end),
            "segmentation": asdict(config.segmentation),
        }

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Train both stages on the training songs and predict the test songs.

        DatasetError is raised for a song that has no log-mel or is shorter than one segment, and for damaged embeddings
        on disk; TrainingError for a loss that is not finite.
        """
        # Here: the registry needs no torch.
        from mertag_train.evaluation.two_stage.networks import predict_sequences, train_sequences

        losses: list[float] = []

        def on_epoch(epoch: int, epochs: int, loss: float) -> None:
            losses.append(loss)
            context.on_progress(f"{fold.target}, fold {fold.name}, seed {fold.seed}: BiLSTM", epoch, epochs)

        embeddings = self._embeddings(fold, context)
        network = train_sequences(
            [embeddings[song.id] for song in fold.train],
            fold.train_labels,
            self.sizes.sequence,
            n_classes=fold.n_classes,
            seed=fold.seed,
            device=context.device,
            on_epoch=on_epoch,
        )
        tested = [embeddings[song.id] for song in fold.test]
        return Predictions(
            song_ids=fold.test_ids,
            probabilities=predict_sequences(network, tested),
            diagnostics={"test_steps": float(sum(map(len, tested))), "training_loss": losses[-1]},
        )

    def _embeddings(self, fold: Fold, context: Context) -> dict[str, Floats32]:
        """Return the embeddings of all songs of the fold, training the auto-encoder unless they are on disk."""
        from mertag_train.evaluation.two_stage.networks import embed, train_autoencoder

        def on_epoch(epoch: int, epochs: int, loss: float) -> None:
            what = f"{self.name}, fold {fold.name}, seed {fold.seed}: auto-encoder, error {loss:.3f}"
            context.on_progress(what, epoch, epochs)

        store, segmentation = context.log_mels(), context.config.segmentation
        songs = (*fold.train, *fold.test)
        everyone = store.index_of([song.id for song in songs])
        n_samples = store.n_samples[everyone].tolist()
        refuse_unheard(songs, store, context.config)
        silent = silent_segments(store, everyone, context.config)
        request = {
            "version": VERSION,
            "autoencoder": self.sizes.to_json()["autoencoder"],
            "front_end": asdict(store.front_end),
            "segmentation": asdict(segmentation),
            "seed": fold.seed,
            "train": [song.id for song in fold.train],
            "n_samples": {song.id: n for song, n in zip(songs, n_samples, strict=True)},
            **({"silent_segments": silent} if silent else {}),
            **({"spliced": context.spliced.fingerprint} if context.spliced else {}),
        }
        folder = context.work / "two-stage" / json_digest(request)[:16]
        kept = folder / "embeddings.npz"
        if not kept.exists():
            train = store.index_of([song.id for song in fold.train])
            frames, sizes = context.frames(), self.sizes.autoencoder
            network = train_autoencoder(store, frames, train, segmentation, sizes, seed=fold.seed, on_epoch=on_epoch)
            found = embed(network, store, frames, everyone, segmentation)
            write_request(folder, request)
            write_outputs(kept, [song.id for song in songs], found)
        return read_outputs(kept)


METHODS = (TwoStage(),)
