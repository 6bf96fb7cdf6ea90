"""Stage 2 of the two-stage model: a bidirectional LSTM over a song's embeddings in time order, and a classifier.

A sequence is a float32 array of shape (n_steps, n_features), n_steps > 0, and each song has its own n_steps. It is
trained in fp32 on every device: it is small. numpy and torch only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from mertag.errors import TrainingError
from mertag_train.arrays import Floats, Floats32, Ints
from mertag_train.evaluation.two_stage.config import SequenceConfig


class SequenceClassifier(nn.Module):
    """Sequences to logits: standardise, dropout, bidirectional LSTM, mean over time, dropout, one linear layer.

    Parameters
    ----------
    config : SequenceConfig
        Its sizes.
    n_features : int
        Width of a step.
    n_classes : int
        K.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: SequenceConfig, *, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("std", torch.ones(n_features))
        self.dropout = nn.Dropout(config.dropout)
        self.lstm = nn.LSTM(n_features, config.hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * config.hidden, n_classes)

    def forward(self, padded: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits, shape (batch, n_classes).

        Parameters
        ----------
        padded : Tensor, shape (batch, longest, n_features)
            What lies behind the end of a sequence is never seen.
        lengths : int64 Tensor, shape (batch,)
            Steps of each; on the CPU.
        """
        steps = self.dropout((padded - self.mean) / self.std)
        packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)  # zeros behind each end
        pooled = outputs.sum(1) / lengths.to(outputs.device)[:, None]
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


def train_sequences(
    sequences: Sequence[Floats32],
    labels: Ints,
    config: SequenceConfig,
    *,
    n_classes: int,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
) -> SequenceClassifier:
    """Train a classifier on labelled sequences.

    Parameters
    ----------
    sequences : sequence of float32 arrays, shape (n_steps, n_features)
        One a song.
    labels : int64 array, shape (n_songs,)
        Classes.
    config : SequenceConfig
        Sizes and epochs.
    n_classes : int
        K.
    seed : int
        Of all that is random; on the CPU the same seed gives the same classifier, bit for bit.
    device : torch.device
        What trains.
    on_epoch : callable
        Told ``(epoch, epochs, loss)`` after each; the loss is the cross-entropy in nats.

    Returns
    -------
    SequenceClassifier
        The last epoch's, in evaluation mode.

    Raises
    ------
    TrainingError
        If the loss is not finite.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    flat = np.concatenate(list(sequences)).astype(np.float64)
    network = SequenceClassifier(config, n_features=flat.shape[1], n_classes=n_classes)
    std = flat.std(0)
    network.mean.copy_(torch.from_numpy(flat.mean(0)))
    network.std.copy_(torch.from_numpy(np.where(std > 0, std, 1.0)))  # a feature that never changes stays at 0
    network = network.to(device).train()
    steps = math.ceil(len(sequences) / config.batch_size)
    adam = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, config.learning_rate, total_steps=steps * config.epochs + 1)
    for epoch in range(1, config.epochs + 1):
        order = rng.permutation(len(sequences))
        total = 0.0
        for step in range(steps):
            chosen = order[step * config.batch_size : (step + 1) * config.batch_size]
            padded, lengths = _padded([sequences[i] for i in chosen], device)
            loss = nn.functional.cross_entropy(network(padded, lengths), torch.from_numpy(labels[chosen]).to(device))
            adam.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
            adam.step()
            schedule.step()
            total += float(loss.detach()) * len(chosen)
        if not math.isfinite(total):
            raise TrainingError(f"the sequence classifier diverged in epoch {epoch}; try another --seed")
        on_epoch(epoch, config.epochs, total / len(sequences))
    return network.eval()


@torch.no_grad()
def predict_sequences(network: SequenceClassifier, sequences: Sequence[Floats32], *, batch_size: int = 64) -> Floats:
    """Return the probabilities of each sequence, shape (n_songs, n_classes)."""
    network.eval()
    found: list[Tensor] = []
    for start in range(0, len(sequences), batch_size):
        padded, lengths = _padded(sequences[start : start + batch_size], network.mean.device)
        found.append(torch.softmax(network(padded, lengths).double(), dim=1).cpu())
    probabilities: Floats = torch.cat(found).numpy()
    return probabilities


def _padded(sequences: Sequence[Floats32], device: torch.device) -> tuple[Tensor, Tensor]:
    tensors = [torch.from_numpy(np.ascontiguousarray(s, dtype=np.float32)) for s in sequences]
    return pad_sequence(tensors, batch_first=True).to(device), torch.tensor([len(s) for s in sequences])
