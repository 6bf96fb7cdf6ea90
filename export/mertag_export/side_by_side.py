"""Networks of statistics that see the same, as one: the same outputs from a quarter of the nodes.

A committee holds dozens of small networks. Written one by one they are a thousand nodes, and making a session of these
takes longer than a call with a clip.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mertag_train.networks.vgg import SegmentNetwork


class SideBySide(nn.Module):
    """What several networks of statistics make of the same measures, as one product of matrices a layer.

    Before its first layer each network normalises what was measured by means and variances of its own, which differ
    little between networks that were trained on the same songs. Here those of the first network serve all, and what
    remains, a factor and an offset for each measure, is part of each first layer. The second layers see all that the
    first ones give, with zeros where it is another network's.

    Parameters
    ----------
    networks : sequence of SegmentNetwork
        Of statistics, trained, all of the same classes; copies of their weights are taken.
    """

    middle: Tensor
    spread: Tensor

    def __init__(self, networks: Sequence[SegmentNetwork]) -> None:
        super().__init__()
        middle, spread = _seen(networks[0])
        self.register_buffer("middle", middle.float())
        self.register_buffer("spread", spread.float())
        self.n_networks, self.n_classes = len(networks), networks[0].n_classes
        first_layers, last_layers = zip(*(_layers(network, middle, spread) for network in networks), strict=True)
        self.first = _joined(first_layers, apart=False)
        self.last = _joined(last_layers, apart=True)

    def forward(self, measured: Tensor) -> Tensor:
        """Return the probabilities, shape (n_networks, batch, n_classes), of measures (batch, n_features).

        The layers may be in half precision; the measures, and what is returned, never are.
        """
        normal = (measured - self.middle) / self.spread
        logits = self.last(torch.relu(self.first(normal.to(self.first.weight.dtype)))).float()
        apart: Tensor = logits.reshape(-1, self.n_networks, self.n_classes).softmax(dim=2)
        return apart.transpose(0, 1)


def _seen(network: SegmentNetwork) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation that batch norm keeps of each measure, in double precision."""
    normal = _normal(network)
    assert normal.running_mean is not None
    assert normal.running_var is not None
    return normal.running_mean.double(), (normal.running_var.double() + normal.eps).sqrt()


def _normal(network: SegmentNetwork) -> nn.BatchNorm1d:
    assert network.statistics is not None
    return network.statistics.normal


def _layers(network: SegmentNetwork, middle: Tensor, spread: Tensor) -> tuple[nn.Linear, nn.Linear]:
    """Return both layers of a network in double precision, the first for measures less `middle` over `spread`."""
    own_middle, own_spread = _seen(network)
    normal = _normal(network)
    factor = normal.weight.double() * spread / own_spread
    offset = normal.bias.double() + normal.weight.double() * (middle - own_middle) / own_spread
    found = [copy.deepcopy(layer).double() for layer in network.head if isinstance(layer, nn.Linear)]
    first, last = found
    with torch.no_grad():
        first.bias.add_(first.weight @ offset)
        first.weight.mul_(factor)
    return first, last


def _joined(layers: Sequence[nn.Linear], *, apart: bool) -> nn.Linear:
    """Return layers as one in single precision: all see the same or, `apart`, each its own part of the input."""
    seen = sum(layer.in_features for layer in layers) if apart else layers[0].in_features
    joined = nn.Linear(seen, sum(layer.out_features for layer in layers)).requires_grad_(False)
    joined.weight.zero_()
    row = column = 0
    for layer in layers:
        rows, columns = slice(row, row + layer.out_features), slice(column, column + layer.in_features)
        joined.weight[rows, columns] = layer.weight.detach().float()
        joined.bias[rows] = layer.bias.detach().float()
        row, column = rows.stop, columns.stop if apart else 0
    return joined
