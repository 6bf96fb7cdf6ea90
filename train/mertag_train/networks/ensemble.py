"""Several segment networks as one: the mean of what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mertag_train.networks.vgg import SegmentNetwork


class Ensemble(nn.Module):
    """Networks of the same classes, trained on other songs or from other seeds; their probabilities are averaged."""

    def __init__(self, members: Sequence[SegmentNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, segments: Tensor) -> Tensor:
        """Return the logarithm of the mean probability, shape (batch, n_classes), of segments as a member takes them.

        It serves as logits: its softmax is the mean probability.
        """
        said = torch.stack([member(segments).float().log_softmax(dim=1) for member in self.members])
        return torch.logsumexp(said, dim=0) - math.log(len(self.members))


def members_of(network: SegmentNetwork | Ensemble) -> tuple[SegmentNetwork, ...]:
    """Return the networks of an ensemble; a single network is its own only member."""
    if not isinstance(network, Ensemble):
        return (network,)
    return tuple(network.members)  # type: ignore[arg-type]  # a ModuleList does not know what it holds
