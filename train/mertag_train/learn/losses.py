"""The losses of semi-supervised self-learning, as pure functions (paper, "Modified Semi-supervised Learning").

Shapes: logits and targets (batch, n_classes), targets being distributions; all losses are scalars in nats, means
over the rows of a batch.

What is printed wrongly in the paper is put right here: the exponent of eq. 4 is ``1/T`` (with a minus it would
un-sharpen), eq. 8 lacks its minus and is a mean, and eq. 9 is a mean over the unlabelled rows (a sum would grow with
their number).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """Return distributions (batch, n_classes) raised to ``1/T`` and normalised (eq. 4).

    The order of the classes stays; below a temperature of 1 the largest gains. Zero stays zero.
    """
    # In logarithms: a small probability to the power 1/T would vanish, and 0/0 follow.
    return torch.softmax(torch.log(probabilities) / temperature, dim=1)


def refine(labels: Tensor, pseudo: Tensor, clean_probability: Tensor) -> Tensor:
    """Return ``w * y + (1 - w) * p`` (DivideMix: Li et al., 2020, eq. 3).

    Parameters
    ----------
    labels, pseudo : Tensors, shape (batch, n_classes)
        Inherited labels y, one-hot, and the network's own predictions p.
    clean_probability : Tensor, shape (batch,)
        w, of each label.
    """
    w = clean_probability[:, None]
    return w * labels + (1 - w) * pseudo


def mix(values: Tensor, partner: Tensor, delta: float) -> Tensor:
    """Return ``delta * x_p + (1 - delta) * x_q`` (eq. 6 and 7), where q is row `partner` (batch,) of the same batch."""
    return values if delta == 1.0 else delta * values + (1 - delta) * values[partner]


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy with soft or one-hot targets, a mean over the rows (eq. 2, whose sum is from i=1)."""
    return -(targets * log_softmax(logits, dim=1)).sum(1).mean()


def mixed_cross_entropy(logits: Tensor, targets: Tensor, partner: Tensor, delta: float) -> Tensor:
    """Return the cross-entropy of mixed inputs (eq. 8).

    Parameters
    ----------
    logits : Tensor, shape (batch, n_classes)
        What the network says of the mixed inputs.
    targets : Tensor, shape (batch, n_classes)
        Of the inputs before they were mixed.
    partner : Tensor, shape (batch,)
        With which row each was mixed.
    delta : float
        Weight of the row itself, 0..1.
    """
    return cross_entropy(logits, mix(targets, partner, delta))


def symmetric_kl(one: Tensor, other: Tensor) -> Tensor:
    """Return half the sum of both Kullback-Leibler divergences between two predictions, given as logits (eq. 9).

    A mean over the rows; 0 where there is none. Gradients flow into both (R-Drop: Wu et al., 2021).
    """
    if len(one) == 0:
        return one.sum()  # 0, and on the graph
    log_p, log_q = log_softmax(one, dim=1), log_softmax(other, dim=1)
    # D(p|q) + D(q|p) = sum (p - q) (log p - log q)
    return 0.5 * ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1).mean()


def prior_divergence(logits: Tensor, prior: Tensor) -> Tensor:
    """Return the divergence of a batch's mean prediction from the class shares `prior` (n_classes,), D(prior | mean).

    It keeps self-learning from giving all to one class (Tanaka et al., 2018; Arazo et al., 2019). Classes without a
    share do not count.
    """
    # A mean of distributions underflows where all logits are far below the largest.
    mean = torch.softmax(logits, dim=1).mean(0).clamp_min(torch.finfo(logits.dtype).tiny)
    divergence: Tensor = torch.special.xlogy(prior, prior / mean).sum()
    return divergence
