"""Front end and networks as one ONNX graph: waveform in, segment probabilities out.

The graph is complete in itself and usable from any language; its inputs and outputs are described in
``docs/onnx.md``, "A model bundle".
"""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from onnx import ModelProto
from torch import Tensor, nn

from mertag.emotion import Target
from mertag.listen.windows import FrontEnd, Segmentation
from mertag_train.data.frontend import LogMel
from mertag_train.networks.vgg import Ensemble, SegmentNetwork, members_of


class FusedStatistics(nn.Module):
    """What several networks of statistics make of the same measures, as one product of matrices a layer.

    An ensemble holds dozens of small networks. Written one by one they are a thousand nodes, and making a session of
    these takes longer than a call with a clip.

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


OPSET = 20
SHARED_GROUPS = 4
"""Groups of convolutions that a shared graph runs once over all segments: 9/10 of the arithmetic."""


def shared_groups(segmentation: Segmentation) -> int:
    """Return how many groups a shared graph shares: none where segments do not overlap."""
    return SHARED_GROUPS if segmentation.hop_s < segmentation.duration_s else 0


class SegmentGraph(nn.Module):
    """What is exported: one log-mel, its segments, and the networks of all heads on them.

    Parameters
    ----------
    front_end : FrontEnd
        The signal constants.
    networks : mapping of Target to SegmentNetwork or Ensemble
        One a head, trained; copies are taken. Of an ensemble, the mean of what its members say.
    n_frames : int
        Frames of a segment.
    half : bool
        Compute the networks, not the front end, in float16.
    shared_groups : int
        How many groups of convolutions, each up to its pool, run once over the whole log-mel, and not for each
        segment anew. With a hop of 1 s, each second of a song lies in three segments of 3 s: the arithmetic of
        these groups falls to a third. Two things are then not quite as in training. A segment begins at a multiple
        of ``2**shared_groups`` frames, the nearest one (with 4: at most 0.2 s away). And at its two ends the
        convolutions see the music that lies beside it, where they saw zeros.
    """

    mean: Tensor
    std: Tensor
    frame: Tensor

    def __init__(
        self,
        front_end: FrontEnd,
        networks: Mapping[Target, SegmentNetwork | Ensemble],
        *,
        n_frames: int,
        half: bool = False,
        shared_groups: int = 0,
    ) -> None:
        super().__init__()
        self.log_mel = LogMel(front_end)
        self.targets = tuple(networks)
        self.half_networks, self.n_frames, self.shared_groups = half, n_frames, shared_groups
        members = [members_of(network) for network in networks.values()]
        views, view_of = _views([network for of_head in members for network in of_head])
        self.register_buffer("mean", torch.stack([mean for mean, _ in views])[:, None])
        self.register_buffer("std", torch.stack([std for _, std in views])[:, None])
        parts = [_parts(of_head, view_of) for of_head in members]
        self.sizes = tuple(len(of_head) for of_head in parts)
        self.view_of = tuple(view for of_head in parts for view, _ in of_head)
        # The names stand in the graph: whoever reads the weights there must know which view they are for.
        named = {
            f"{target}_{number}_view_{view}": part
            for target, of_head in zip(self.targets, parts, strict=True)
            for number, (view, part) in enumerate(of_head)
        }
        self.parts = nn.ModuleDict(named)
        measuring = [n.statistics for of_head in members for n in of_head if n.statistics is not None]
        # Nothing of what is measured is learnt, so that any network's statistics are everyone's.
        self.statistics = copy.deepcopy(measuring[0]).cpu().float() if measuring else None
        placed = zip(self.view_of, self.parts.values(), strict=True)
        self.measured_views = sorted({view for view, part in placed if isinstance(part, FusedStatistics)})
        if half:
            for part in self.parts.values():
                _halve(part)
        self.register_buffer("frame", torch.arange(n_frames), persistent=False)

    def forward(self, waveform: Tensor, starts: Tensor) -> tuple[Tensor, ...]:
        """Return the probabilities of each head, shape (n_segments, n_classes).

        Parameters
        ----------
        waveform : Tensor, shape (n_samples,)
            float32, mono.
        starts : Tensor, shape (n_segments,)
            int64: the first frame of each segment.
        """
        log_mel = self.log_mel(waveform)  # (n_frames, n_mels)
        # In float32: a log-mel in dB has no room in half precision.
        normals = (log_mel - self.mean) / self.std  # (n_views, n_frames, n_mels)
        rows = starts[:, None] + self.frame[None, :]  # (n_segments, segment frames)
        measured = self._measured(normals, rows)
        found: list[Tensor] = []  # of each part, (its networks, n_segments, n_classes)
        for view, part in zip(self.view_of, self.parts.values(), strict=True):
            if isinstance(part, FusedStatistics):
                found.append(part(measured[view]))
            else:
                assert isinstance(part, SegmentNetwork)
                logits = part.classify(self._convolved(part, normals[view], rows, starts))
                found.append(torch.softmax(logits.float(), dim=-1)[None])
        ends = list(itertools.accumulate(self.sizes))
        heads = [torch.cat(found[end - size : end]) for end, size in zip(ends, self.sizes, strict=True)]
        return tuple(said.mean(0) for said in heads)

    def _measured(self, normals: Tensor, rows: Tensor) -> dict[int, Tensor]:
        """Return the statistics of segments, (n_segments, n_features), of each view that a network of them has."""
        views = self.measured_views
        if self.statistics is None:
            return {}
        seen = normals if len(views) == len(normals) else normals[views]
        n_views, n_mels = len(views), normals.shape[2]
        segments = seen.index_select(1, rows.flatten()).reshape(-1, self.n_frames, n_mels)
        found = self.statistics.measure(segments).reshape(n_views, -1, self.statistics.n_features)
        return dict(zip(views, found.unbind(0), strict=True))

    def _convolved(self, network: SegmentNetwork, normal: Tensor, rows: Tensor, starts: Tensor) -> Tensor:
        """Return the embeddings of segments, or of the same cut out of what is seen in the whole log-mel."""
        first = normal[None] if self.shared_groups else normal[rows]
        image = network.image(first.half() if self.half_networks else first)
        shared, own = trunk_parts(network, self.shared_groups)
        seen = shared(image)
        if self.shared_groups:
            seen = self._cut(seen, starts)
        return network.summarise(own(seen))

    def _cut(self, seen: Tensor, starts: Tensor) -> Tensor:
        """Cut segments, (n_segments, channels, bands, columns), out of (1, channels, bands, all columns)."""
        frames_a_column = 2**self.shared_groups
        n_columns = self.n_frames // frames_a_column  # as many as a segment alone leaves after its pools
        first = (starts + frames_a_column // 2) // frames_a_column
        first = torch.clamp(first, max=seen.shape[3] - n_columns)  # rounded up, the last one may not fit
        columns = first[:, None] + torch.arange(n_columns)[None, :]
        return seen[0][:, :, columns].permute(2, 0, 1, 3)


def _views(networks: Sequence[SegmentNetwork]) -> tuple[list[tuple[Tensor, Tensor]], dict[SegmentNetwork, int]]:
    """Return the different means and standard deviations that networks know of the bands, and whose is which.

    Networks that were trained on the same songs see the same: it is computed, and written, once.
    """
    views: list[tuple[Tensor, Tensor]] = []
    view_of: dict[SegmentNetwork, int] = {}
    for network in networks:
        own = network.mean.detach().cpu().float(), network.std.detach().cpu().float()
        alike = (at for at, view in enumerate(views) if all(map(torch.equal, view, own)))
        view_of[network] = next(alike, len(views))
        if view_of[network] == len(views):
            views.append(own)
    return views, view_of


def _parts(
    networks: Sequence[SegmentNetwork], view_of: Mapping[SegmentNetwork, int]
) -> list[tuple[int, SegmentNetwork | FusedStatistics]]:
    """Return copies of the networks of a head, those of statistics with the same view as one, and the view of each."""
    parts: list[tuple[int, SegmentNetwork | FusedStatistics]] = []
    together: dict[int, list[SegmentNetwork]] = {}
    for network in networks:
        if network.convolves:
            parts.append((view_of[network], copy.deepcopy(network).cpu().float().eval()))
        else:
            together.setdefault(view_of[network], []).append(network)
    return parts + [(view, FusedStatistics(alike)) for view, alike in together.items()]


def _halve(part: nn.Module) -> None:
    """Turn the layers of a part to half precision, in which what is measured has no room."""
    layers = (part.first, part.last) if isinstance(part, FusedStatistics) else (part.trunk, part.head)
    for layer in layers:
        assert isinstance(layer, nn.Module)
        layer.half()


def trunk_parts(network: SegmentNetwork, groups: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Return a network's convolutions up to the pool that ends the given number of groups, and the rest."""
    ends = [at + 1 for at, layer in enumerate(network.trunk) if isinstance(layer, nn.MaxPool2d)]
    end = [0, *ends][groups]
    shared, own = network.trunk[:end], network.trunk[end:]
    assert isinstance(shared, nn.Sequential)
    assert isinstance(own, nn.Sequential)
    return shared, own


def export_segment(graph: SegmentGraph, path: Path, waveform: Tensor, starts: Tensor) -> None:
    """Write a segment graph as one ONNX file, weights inside; `waveform` and `starts` are an example of any length."""
    free = torch.export.Dim.DYNAMIC
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph.eval(),
            (waveform, starts),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes={"waveform": {0: free}, "starts": {0: free}},
            input_names=["waveform", "starts"],
            output_names=[f"probabilities_{target}" for target in graph.targets],
            external_data=False,
            verbose=False,
        )
        assert program is not None
        model = program.model_proto
    _tidy(model)
    path.write_bytes(model.SerializeToString())


def _tidy(model: ModelProto) -> None:
    """Name the free lengths as the contract does, and take out what the exporter notes: stack traces with paths."""
    graph = model.graph
    for value, length in ((graph.input[0], "n_samples"), *((v, "n_segments") for v in (graph.input[1], *graph.output))):
        value.type.tensor_type.shape.dim[0].dim_param = length
    del graph.value_info[:]  # its lengths have the exporter's names; every runtime infers them anew
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own chatter (absent torchvision, pytree warnings) off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
