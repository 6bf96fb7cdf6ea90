"""The two networks of the two-stage model.

Stage 1, a masked auto-encoder that sees no label: a segment is (batch, n_frames, n_mels), float, in dB; inside, images
are (batch, channels, n_mels, n_frames). The target of the reconstruction is the segment as it was before masking,
standardised by the band statistics of the training clips.

Stage 2, a BiLSTM and a classifier: a sequence is a float32 array of shape (n_steps, n_features), n_steps > 0, in time
order, and each song has its own n_steps. It is trained in fp32 on every device: it is small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from mertag.errors import TrainingError
from mertag.listen.windows import Segmentation
from mertag_train.arrays import Floats, Floats32, Ints
from mertag_train.data import segments
from mertag_train.data.store import LogMelStore
from mertag_train.evaluation.two_stage import AutoEncoderConfig, SequenceConfig
from mertag_train.learn.augment import augment
from mertag_train.learn.config import AugmentConfig
from mertag_train.learn.optimise import autocast
from mertag_train.learn.trainer import band_statistics

EMBED_BATCH = 256


class MaskedAutoEncoder(nn.Module):
    """Strided convolutions down to a bottleneck, and transposed ones back up, for segments (n_frames, n_mels)."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: AutoEncoderConfig, *, n_mels: int, n_frames: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("std", torch.ones(n_mels))
        self.sizes = [(n_mels, n_frames)]  # of the images, from the segment down to the bottleneck
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        channels = 1
        for width in config.channels:
            down.append(
                nn.Sequential(
                    nn.Conv2d(channels, width, kernel_size=3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU(),
                )
            )
            up.insert(0, nn.ConvTranspose2d(width, channels, kernel_size=3, stride=2, padding=1))
            height, length = self.sizes[-1]
            self.sizes.append((-(-height // 2), -(-length // 2)))
            channels = width
        self.down, self.up = nn.Sequential(*down), nn.ModuleList(up)
        self.normalise_up = nn.ModuleList(nn.BatchNorm2d(width) for width in config.channels[-2::-1])
        flat = channels * self.sizes[-1][0] * self.sizes[-1][1]
        self.squeeze, self.widen = nn.Linear(flat, config.embedding), nn.Linear(config.embedding, flat)

    def standardised(self, segments: Tensor) -> Tensor:
        """Return segments (batch, n_frames, n_mels) as images (batch, 1, n_mels, n_frames), by band statistics."""
        scaled: Tensor = (segments - self.mean) / self.std
        return scaled.transpose(1, 2).unsqueeze(1).contiguous()

    def embed(self, segments: Tensor) -> Tensor:
        """Return the bottleneck, shape (batch, embedding), of segments (batch, n_frames, n_mels) in dB."""
        embedding: Tensor = self.squeeze(self.down(self.standardised(segments)).flatten(1))
        return embedding

    def forward(self, segments: Tensor) -> Tensor:
        """Return the reconstruction, standardised, shape (batch, 1, n_mels, n_frames)."""
        x: Tensor = self.widen(self.embed(segments)).relu().unflatten(1, (-1, *self.sizes[-1]))
        for i, layer in enumerate(self.up):
            x = layer(x, output_size=list(self.sizes[-2 - i]))
            if i < len(self.normalise_up):
                x = self.normalise_up[i](x).relu()
        return x


def masked(segment_batch: Tensor, fill: Tensor, config: AutoEncoderConfig, rng: np.random.Generator) -> Tensor:
    """Return segments (batch, n_frames, n_mels) with stretches of time and frequency set to `fill` (n_mels,)."""
    masks = AugmentConfig(
        mixup_alpha=0.0,
        gain_db=0.0,
        time_masks=config.time_masks,
        max_time_mask=config.max_time_mask,
        frequency_masks=config.frequency_masks,
        max_frequency_mask=config.max_frequency_mask,
    )
    return augment(segment_batch, fill, masks, rng)


def train_autoencoder(
    store: LogMelStore,
    frames: Tensor,
    clips: Ints,
    segmentation: Segmentation,
    config: AutoEncoderConfig,
    *,
    seed: int,
    on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
) -> MaskedAutoEncoder:
    """Train an auto-encoder on segments of some clips; return it in evaluation mode.

    On the CPU the same seed gives the same network, bit for bit. TrainingError is raised if no clip is as long as one
    segment, or the loss is not finite.

    Parameters
    ----------
    frames : Tensor, shape (total_frames, n_mels)
        The store's frames, on the device that trains.
    clips : int64 array, shape (n_clips,)
        Positions in the store of what is learnt from.
    segmentation : Segmentation
        Its duration is that of a segment.
    on_epoch : callable
        Told ``(epoch, epochs, loss)`` after each; the loss is the mean squared error, in band standard deviations.
    """
    device = frames.device
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n_frames = segmentation.segment_frames(store.front_end)
    network = MaskedAutoEncoder(config, n_mels=store.front_end.n_mels, n_frames=n_frames)
    mean, std = band_statistics(store, clips)
    network.mean.copy_(mean)
    network.std.copy_(std)
    network = network.to(device).train()
    per_clip = max(1, round(config.clip_s / segmentation.duration_s))
    n_rows = len(segments.random_crops(store, clips, segmentation, per_clip=per_clip, rng=np.random.default_rng(0)))
    if n_rows == 0:
        raise TrainingError(f"no training clip is as long as one segment ({segmentation.duration_s:g} s)")
    steps = math.ceil(n_rows / config.batch_size)
    adam = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, config.learning_rate, total_steps=steps * config.epochs + 1)
    for epoch in range(1, config.epochs + 1):
        rows = segments.random_crops(store, clips, segmentation, per_clip=per_clip, rng=rng).row
        order = rng.permutation(len(rows))
        total = torch.zeros((), device=device)
        for step in range(steps):
            chosen = torch.from_numpy(rows[order[step * config.batch_size : (step + 1) * config.batch_size]])
            whole = segments.cut(frames, chosen.to(device), n_frames)
            with autocast(device):
                rebuilt = network(masked(whole, network.mean, config, rng))
            loss = nn.functional.mse_loss(rebuilt.float(), network.standardised(whole))
            adam.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            schedule.step()
            total += loss.detach() * len(chosen)
        mean_loss = float(total) / len(rows)
        if not math.isfinite(mean_loss):
            raise TrainingError(f"the auto-encoder diverged in epoch {epoch} (loss {mean_loss}); try another --seed")
        on_epoch(epoch, config.epochs, mean_loss)
    return network.eval()


@torch.no_grad()
def embed(
    network: MaskedAutoEncoder, store: LogMelStore, frames: Tensor, clips: Ints, segmentation: Segmentation
) -> list[Floats32]:
    """Return the embeddings of each clip's segments on the fixed grid, unmasked: shape (n_segments, embedding)."""
    network.eval()
    n_frames = segmentation.segment_frames(store.front_end)
    tables = [segments.grid(store, np.array([index]), segmentation).row for index in clips]
    rows = torch.from_numpy(np.concatenate([np.zeros(0, dtype=np.int64), *tables])).to(frames.device)
    found: list[Tensor] = []
    for start in range(0, len(rows), EMBED_BATCH):
        batch = segments.cut(frames, rows[start : start + EMBED_BATCH], n_frames)
        with autocast(frames.device):
            found.append(network.embed(batch).float().cpu())
    return np.split(torch.cat(found).numpy(), np.cumsum([len(table) for table in tables])[:-1])


class SequenceClassifier(nn.Module):
    """Sequences to logits: standardise, dropout, bidirectional LSTM, mean over time, dropout, one linear layer."""

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
        """Return the logits, shape (batch, n_classes), of sequences (batch, longest, n_features) of some lengths.

        What lies behind the end of a sequence is never seen. The lengths, int64 of shape (batch,), are on the CPU.
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
    """Train a classifier on one sequence a song; return the last epoch's, in evaluation mode.

    On the CPU the same seed gives the same classifier, bit for bit. TrainingError is raised if the loss is not finite.

    Parameters
    ----------
    sequences : sequence of float32 arrays, shape (n_steps, n_features)
    labels : int64 array, shape (n_songs,)
    on_epoch : callable
        Told ``(epoch, epochs, loss)`` after each; the loss is the cross-entropy in nats.
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
