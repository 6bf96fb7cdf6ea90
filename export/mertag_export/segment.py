"""Front end and networks as one ONNX graph: waveform in, segment probabilities out.

The graph is complete in itself and usable from any language; its inputs and outputs are described in
``docs/architecture.md``, "The ONNX contract".
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
from mertag.frontend import FrontEnd
from mertag_train.frontend import LogMel
from mertag_train.vgg import SegmentNetwork

OPSET = 20


class SegmentGraph(nn.Module):
    """What is exported: one log-mel, its segments, and the networks of all heads on them.

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
    """

    def __init__(
        self,
        front_end: FrontEnd,
        networks: Mapping[Target, SegmentNetwork],
        *,
        n_frames: int,
        half: bool = False,
    ) -> None:
        super().__init__()
        self.log_mel = LogMel(front_end)
        self.targets = tuple(networks)
        copies = [copy.deepcopy(network).cpu().float().eval() for network in networks.values()]
        self.half_networks = half
        self.mean = nn.ParameterList([nn.Parameter(n.mean.clone(), requires_grad=False) for n in copies])
        self.std = nn.ParameterList([nn.Parameter(n.std.clone(), requires_grad=False) for n in copies])
        for network in copies:
            # Normalised outside, in float32: a log-mel in dB has no room in half precision.
            network.set_statistics(torch.zeros_like(network.mean), torch.ones_like(network.std))
        self.networks = nn.ModuleList(copies)
        if half:
            self.networks.half()
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
        assert isinstance(self.frame, Tensor)
        segments = log_mel[starts[:, None] + self.frame[None, :]]  # (n_segments, segment frames, n_mels)
        found = []
        for mean, std, network in zip(self.mean, self.std, self.networks, strict=True):
            normal = (segments - mean) / std
            logits = network(normal.half() if self.half_networks else normal)
            found.append(torch.softmax(logits.float(), dim=-1))
        return tuple(found)


def export_segment(graph: SegmentGraph, path: Path, waveform: Tensor, starts: Tensor) -> None:
    """Write a segment graph as one ONNX file, its weights inside.

    Parameters
    ----------
    graph : SegmentGraph
        What is exported.
    path : Path
        The file.
    waveform, starts : Tensor
        An example; lengths stay free.
    """
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
