"""Front end and networks as one ONNX graph: waveform in, segment probabilities out.

The graph is complete in itself and usable from any language; its inputs and outputs are described in
``docs/onnx.md``, "A model bundle".
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from onnx import ModelProto
from torch import Tensor, nn

from mertag.emotion import Target
from mertag.listen.windows import FrontEnd, Segmentation
from mertag_train.data.frontend import LogMel
from mertag_train.networks.vgg import SegmentNetwork

OPSET = 20
SHARED_GROUPS = 4
"""Groups of convolutions that a shared graph runs once over all segments: 9/10 of the arithmetic."""


def shared_groups(segmentation: Segmentation) -> int:
    """Return how many groups a shared graph shares: none where segments do not overlap."""
    return SHARED_GROUPS if segmentation.hop_s < segmentation.duration_s else 0


class SegmentGraph(nn.Module):
    """What is exported: one log-mel, its segments, and the network of each head on them.

    Parameters
    ----------
    front_end : FrontEnd
        The signal constants.
    networks : mapping of Target to SegmentNetwork
        One a head, trained; copies are taken.
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

    frame: Tensor

    def __init__(
        self,
        front_end: FrontEnd,
        networks: Mapping[Target, SegmentNetwork],
        *,
        n_frames: int,
        half: bool = False,
        shared_groups: int = 0,
    ) -> None:
        super().__init__()
        self.log_mel = LogMel(front_end)
        self.targets = tuple(networks)
        self.half_networks, self.n_frames, self.shared_groups = half, n_frames, shared_groups
        copies = {str(target): copy.deepcopy(network).cpu().float().eval() for target, network in networks.items()}
        if half:
            for network in copies.values():  # not what it knows of the bands
                network.trunk.half()
                network.head.half()
        self.networks = nn.ModuleDict(copies)
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
        rows = starts[:, None] + self.frame[None, :]  # (n_segments, segment frames)
        said: list[Tensor] = []
        for network in self.networks.values():
            assert isinstance(network, SegmentNetwork)
            logits = network.classify(self._embedded(network, log_mel, rows, starts))
            said.append(torch.softmax(logits.float(), dim=-1))
        return tuple(said)

    def _embedded(self, network: SegmentNetwork, log_mel: Tensor, rows: Tensor, starts: Tensor) -> Tensor:
        """Return the embeddings of segments, or of the same cut out of what is seen in the whole log-mel."""
        # In float32: a log-mel in dB has no room in half precision.
        normal = (log_mel - network.mean) / network.std
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
