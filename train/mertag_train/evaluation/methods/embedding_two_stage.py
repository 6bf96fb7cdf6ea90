"""The second stage of the two-stage model on the embeddings of a pretrained network: no published row of its own.

What the auto-encoder of `two-stage` learns from the training songs, an ONNX model
(`mertag_train.evaluation.features.embedding_model`) brings along; the BiLSTM over them is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mertag_train.evaluation.features.embedding_model import refuse_none, sha256_of
from mertag_train.evaluation.features.embedding_table import VERSION, song_embeddings
from mertag_train.evaluation.methods.base import Context, Fold, Predictions
from mertag_train.evaluation.methods.two_stage import by_sequences
from mertag_train.evaluation.two_stage.config import SequenceConfig

if TYPE_CHECKING:
    from mertag_train.learn.config import Recipe, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingTwoStage:
    """Embeddings of an ONNX model, then a bidirectional LSTM."""

    name: str = "embedding-two-stage"
    summary: str = "embeddings of an ONNX model, BiLSTM over them"
    uses_segments: bool = False  # the windows are the model's
    uses_seed: bool = True
    paper_row: str | None = None
    recipe: Recipe | None = None
    sizes: SequenceConfig = field(default_factory=SequenceConfig)

    def settings(self, config: TrainConfig) -> Mapping[str, Any]:
        """Return its own sizes and epochs, and which definition of the embeddings is in use."""
        return {"version": VERSION, "sequence": asdict(self.sizes)}

    def model_settings(self, path: Path | None) -> Mapping[str, Any]:
        """Return the hash of the embedding model."""
        return {"embedding_model": sha256_of(refuse_none(self.name, path))}

    def predict(self, fold: Fold, context: Context) -> Predictions:
        """Embed the songs, train the BiLSTM on the training songs, and predict the test songs.

        Raises
        ------
        ConfigError
            If there is no embedding model, or it does not keep the contract.
        DatasetError
            If a clip cannot be embedded.
        TrainingError
            If the loss is not finite.
        """
        found = song_embeddings(self.name, (*fold.train, *fold.test), context)
        return by_sequences(fold, context, found, self.sizes)
